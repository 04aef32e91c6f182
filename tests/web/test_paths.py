"""Which URLs below a prefix are an endpoint's, and which stay the application's."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

import realtime


async def echo(session: realtime.Session) -> None:
    """Answers."""
    async for message in session:
        await session.send(message)


@asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A client, and the address of the application."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield http, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_in_a_sub_application() -> None:
    inner, outer = web.Application(), web.Application()
    rt = realtime.setup(inner, realtime.Server(shutdown_timeout=0.3))
    outer.add_subapp("/site", inner)
    rt.endpoint("/chat", sockjs=True)(echo)  # also after setup()
    async with running(outer) as (http, base):
        chat = f"{base}/site/realtime/chat"
        assert await (await http.get(chat)).text() == "Welcome to SockJS!\n"
        assert await (await http.post(chat + "/0/a/xhr")).text() == "o\n"
        async with http.ws_connect(chat) as ws:
            await ws.send_str("x")
            assert await ws.receive_str(timeout=30) == "x"
        assert (await http.get(f"{base}/realtime/chat")).status == 404


async def test_what_is_no_endpoints_stays_the_applications() -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    app = web.Application()
    rt = realtime.setup(app, realtime.Server(shutdown_timeout=0.3), prefix="")
    rt.endpoint("/chat")(echo)
    rt.endpoint("/sock", sockjs=True)(echo)
    app.router.add_get("/{rest:.*}", page)
    async with running(app) as (http, base):
        for path in ("/", "/chat", "/chat/", "/chat/info", "/chat/0/a/xhr", "/sock/a", "/sock/0/a/other", "/other"):
            assert await (await http.get(base + path)).text() == path
        assert await (await http.get(base + "/sock/")).text() == "Welcome to SockJS!\n"


async def test_the_longest_endpoint_counts() -> None:
    app = web.Application()
    rt = realtime.setup(app, realtime.Server(shutdown_timeout=0.3))
    rt.endpoint("/a", sockjs=True)(echo)
    rt.endpoint("/a/b", sockjs=True)(echo)
    async with running(app) as (http, base):
        for path in ("/a", "/a/b"):
            assert (await http.get(f"{base}/realtime{path}/info")).status == 200
        # A session of /a that is named like a version is no native request, and one of /a/b is none of /a.
        assert await (await http.post(f"{base}/realtime/a/0/v1/xhr")).text() == "o\n"
        assert {session.path for session in rt.sessions} == {"/a"}
        assert (await http.post(f"{base}/realtime/a/b/v1/xhr")).status == 404


def test_what_aiohttp_asks_of_a_resource() -> None:
    app = web.Application()
    realtime.setup(app, realtime.Server())
    (resource,) = [one for one in app.router.resources() if type(one).__name__ == "EndpointPaths"]
    assert resource.canonical == "/realtime/{endpoint}"
    assert str(resource.url_for(endpoint="chat")) == "/realtime/chat"
    assert resource.get_info() == {"formatter": "/realtime/{endpoint}"}
    assert resource.raw_match("/realtime/{endpoint}")
    assert (len(resource), list(resource), bool(resource)) == (0, [], True)


@pytest.mark.parametrize("transports", [("websocket", "polling"), ("polling",)])
async def test_a_browser_at_an_endpoint_is_told_that_the_address_is_right(transports: tuple[str, ...]) -> None:
    rt = realtime.Server()
    rt.endpoint("/chat", transports=transports)(echo)
    app = web.Application()
    realtime.setup(app, rt)
    async with running(app) as (http, base):
        for method in ("GET", "HEAD"):
            async with http.request(method, f"{base}/realtime/chat", headers={"Accept": "text/html"}) as answer:
                assert answer.status == (426 if "websocket" in transports else 400)
                assert answer.headers.get("Upgrade") == ("websocket" if "websocket" in transports else None)
                assert answer.headers["Cache-Control"].startswith("no-store")
                said = await answer.text()
            if method == "GET":
                assert said.startswith("The address is right: /realtime/chat is an endpoint of realtime.")
                assert "new Realtime('/realtime/chat')" in said
        for other in ("/realtime/char", "/realtime/chat/", "/realtime"):
            assert (await http.get(base + other)).status == 404
        assert (await http.put(f"{base}/realtime/chat")).status == 404


@pytest.mark.parametrize("first", [True, False])
async def test_a_page_at_an_endpoints_url_is_the_applications(first: bool) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="the page")

    rt = realtime.Server()
    for path in ("/chat", "/files/x"):
        rt.endpoint(path)(echo)
    app = web.Application()
    inner = web.Application()
    inner.router.add_get("/x", page)
    if first:
        app.router.add_get("/{name}", page)
        app.add_subapp("/files", inner)
    realtime.setup(app, rt, prefix="")
    if not first:
        app.router.add_get("/{name}", page)
        app.add_subapp("/files", inner)
    async with running(app) as (http, base):
        for path in ("/chat", "/files/x"):
            assert await (await http.get(base + path)).text() == "the page"


async def test_an_endpoint_that_made_room_for_another_is_gone() -> None:
    """As many as before does not mean the same ones: URLs are learnt once, and again."""
    app = web.Application()
    rt = realtime.setup(app, realtime.Server(shutdown_timeout=0.3))
    rt.endpoint("/first")(echo)
    async with running(app) as (http, base):
        for path, other in (("first", "second"), ("second", "first")):
            opened = await _opened(http, f"{base}/realtime/{path}/v1/long_polling")
            assert opened[:1] == "o", opened
            del rt._service.endpoints[f"/{path}"]
            rt.endpoint(f"/{other}")(echo)
            answer = await http.post(f"{base}/realtime/{path}/v1/long_polling", json=[])
            assert answer.status == 404, path


async def _opened(http: aiohttp.ClientSession, url: str) -> str:
    nonce = secrets.token_urlsafe(18)
    open_frame = f'o{{"gen":1,"nonce":"{nonce}","window":[256,1048576],"transports":["long_polling"]}}'
    async with http.post(url, json=[open_frame], headers={"Content-Type": "text/plain"}) as answer:
        (frame, *_) = await answer.json(content_type=None)
        return str(frame)
