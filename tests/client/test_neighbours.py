"""What a client makes of its neighbours: an aiohttp session of the application's that is closed, and servers that say
what none says.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

import realtime
from realtime.client.context import _delay
from realtime.client.doctor import examine
from realtime.client.drivers import drive
from realtime.client.drivers.webtransport import offers_of
from realtime.client.handshake import connect_websocket
from realtime.client.wire import words
from realtime.quic import client as quic_client
from realtime.testing import serve

from ..patience import arrives, eventually
from .test_failures import FAST, answering, beside, place


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_closed_http_session_ends_its_session(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of it is a bug of ours, and the end of the session still lets go of all."""
    async with place() as (_, _, url):
        http = aiohttp.ClientSession()
        session = await realtime.connect(url, transports=[transport], http=http, upgrade=False, **FAST)
        await eventually(lambda: session.state == "open")
        await http.close()
        await arrives(session.wait_closed())
        assert session.close_code == 4411
        assert "http is closed" in str(session.close_reason)
        session._machine.final_ack = session._machine.following.unsaid = True
        await arrives(session.close())
        assert not session._context._tasks
    assert caplog.records == []


@pytest.mark.parametrize("transport", ["xhr_streaming", "long_polling", "polling"])
async def test_what_is_refused_says_why_whatever_the_http_session_raises(transport: str) -> None:
    rt = realtime.Server()

    @rt.authorize
    async def nobody(request: realtime.SessionRequest) -> None:
        raise realtime.Unauthorized("not today")

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        """Nobody comes."""

    async with serve(rt) as there, aiohttp.ClientSession(raise_for_status=True) as http:
        with pytest.raises(realtime.NegotiationError, match="refused with 4401: not today"):
            await realtime.connect(there.make_url("/realtime/echo"), transports=transport, http=http)


async def test_a_handshake_that_is_refused_says_how_whatever_the_http_session_raises() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "7"})

    async with answering(handle) as url, aiohttp.ClientSession(raise_for_status=True) as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await connect_websocket(http, URL(url))
        assert words(caught.value) == "the WebSocket handshake was answered with HTTP 503"
        assert caught.value.headers is not None
        assert caught.value.headers["Retry-After"] == "7"


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer secret\n"}, {"X-\0": "secret"}, {"X": "\x7fsecret"}])
def test_headers_that_are_none_are_told_where_they_were_written(headers: dict[str, str]) -> None:
    with pytest.raises(realtime.LocalProtocolError, match="control character") as caught:
        realtime.connect("http://localhost/", headers=headers)
    assert "secret" not in str(caught.value)


def test_a_proxy_that_refuses_is_told_as_that() -> None:
    info: Any = None
    error = aiohttp.ClientHttpProxyError(info, (), status=407, message="Proxy Authentication Required")
    assert words(error) == "the forward proxy refuses the connection with HTTP 407"


async def test_one_connect_is_one_session_at_a_time() -> None:
    """Its end would be the end of another one's."""
    async with place() as (_, _, url):
        opening = realtime.connect(url, transports=["polling"])
        async with opening as session:
            with pytest.raises(realtime.LocalProtocolError, match="call it for each"):
                await opening.__aenter__()
            assert not session.closed
        async with opening as another:
            assert session.closed
            assert not another.closed


async def test_whatever_the_end_meets_all_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("realtime.client.session.acknowledge_close", fails)
    async with place() as (_, _, url):
        session = await realtime.connect(url, transports=["polling"], **FAST)
        session._machine.end(4999, "over", session._now())
        session._machine.final_ack = True
        with pytest.raises(RuntimeError, match="a bug of ours"):
            await arrives(session.close())
        assert session._context._http is not None
        assert session._context._http.closed
        assert not session._context._tasks


@pytest.mark.parametrize("said", ["x", "x4403,somebody,,no", "x1,carrier,,no"])
async def test_refusals_that_none_can_read(said: str, caplog: pytest.LogCaptureFixture) -> None:
    """A probe's, and the answer to the ack of a close."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if "Upgrade" not in request.headers:
            return web.Response(text=f'["{said}"]')
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_str(said)
        await ws.receive()
        return ws

    async with place() as (_, _, url), answering(handle) as other:
        session = await realtime.connect(url, transports=["websocket", "polling"], **FAST)
        await eventually(lambda: session.state == "open")
        object.__setattr__(session._context.settings, "url", URL(other))
        carrying, _ = beside(session, "websocket", "probe")
        assert (await arrives(drive(session._context, carrying))).how == "lost"
        session._machine.end(4999, "over", session._now())
        session._machine.final_ack = True
        await arrives(session.close())
    assert caplog.records == []


@pytest.mark.parametrize("proxy", ["https://ada:secret@box:3128", "ada:secret@box:x", "socks5://ada:secret@box"])
async def test_the_password_of_a_proxy_is_not_shown(proxy: str) -> None:
    with pytest.raises(realtime.LocalProtocolError, match="looks like http://host:3128") as caught:
        await examine("http://127.0.0.1:9/", proxy=proxy)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3.0), ("-1", 0.0), ("inf", 3600.0), ("nan", 0.0), ("-nan", 0.0), ("soon", 0.0)]
)
def test_when_a_draining_server_wants_clients_back(text: str, seconds: float) -> None:
    assert _delay(text) == seconds


async def test_a_list_of_transports_that_comes_in_pieces() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"transports": [{"name": ')
        begun.set()
        await rest.wait()
        await response.write(b'"webtransport"}]}')
        return response

    begun, rest = asyncio.Event(), asyncio.Event()
    async with answering(handle) as url, aiohttp.ClientSession() as http:
        asking = asyncio.ensure_future(offers_of(http, URL(url), {}))
        await arrives(begun.wait())
        await asyncio.wait({asking}, timeout=0.01)  # it may only fail by coming too soon
        rest.set()
        assert await arrives(asking) == [{"name": "webtransport"}]


async def test_a_list_of_transports_that_is_none() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text="[" * 60_000)

    async with answering(handle) as url, aiohttp.ClientSession() as http:
        with pytest.raises(ConnectionError, match="not in the protocol"):
            await offers_of(http, URL(url), {})


async def test_a_host_that_has_no_name_is_one_that_is_not_reached() -> None:
    with pytest.raises(ConnectionError, match="no name of a host"):
        await quic_client.open_channel("a" * 70 + ".example", 9, "/", [])


async def test_a_connection_that_cannot_begin_keeps_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("a bug of ours")

    made: list[tuple[asyncio.DatagramTransport, object]] = []
    endpoint = asyncio.get_running_loop().create_datagram_endpoint

    async def watched(*arguments: Any, **named: Any) -> object:
        made.append(await endpoint(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(asyncio.get_running_loop(), "create_datagram_endpoint", watched)
    monkeypatch.setattr(quic_client, "Connection", fails)
    with pytest.raises(ValueError, match="a bug of ours"):
        await quic_client.open_channel("127.0.0.1", 9, "/", [])
    assert [transport.is_closing() for transport, _ in made] == [True]
