"""What the fixture `realtime_client` is good for: real sockets, any transport, and networks that fail on demand."""

import aiohttp
import pytest
from guestbook import make_app

import realtime
from realtime.testing import Clients, FaultProxy

PATH = "/realtime/guestbook"


@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "long_polling"])
async def test_everybody_reads_it(realtime_client: Clients, transport: str) -> None:
    app = make_app()
    ada = await realtime_client(app, PATH, auth="ada", transports=[transport])
    await ada.send("hello")
    assert await ada.receive() == "ada: hello"
    grace = await realtime_client(app, PATH, auth="grace", transports=[transport])
    assert await grace.receive() == "ada: hello"  # who comes later reads what was written
    await grace.send("good day")
    assert await ada.receive() == await grace.receive() == "grace: good day"


async def test_a_name_is_needed(realtime_client: Clients) -> None:
    with pytest.raises(realtime.NegotiationError, match="say your name"):
        await realtime_client(make_app(), PATH)


async def test_the_rest_of_the_application_is_served_too(realtime_client: Clients) -> None:
    app = make_app()
    ada = await realtime_client(app, PATH, auth="ada")
    await ada.send("hello")
    await ada.receive()
    server = await realtime_client.server(app)
    async with aiohttp.ClientSession() as http, http.get(server.make_url("/")) as page:
        assert await page.text() == "ada: hello"


async def test_a_cut_connection_loses_nothing(realtime_client: Clients) -> None:
    server = await realtime_client.server(make_app())
    assert server.port is not None
    async with (
        FaultProxy("127.0.0.1", server.port) as proxy,
        realtime.connect(f"{proxy.url}{PATH}", auth="ada") as ada,
    ):
        await ada.send("hello")
        proxy.cut()
        assert await ada.receive() == "ada: hello"  # over another connection
