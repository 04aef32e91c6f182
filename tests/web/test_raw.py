"""Bare WebSocket clients at an endpoint's own URL: messages as they are, closes both ways, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

import realtime
from realtime.testing import VirtualClock
from realtime.web.subprotocols import agree

from .place import Place, eventually, serving


async def connect(place: Place, path: str = "/echo", **options: Any) -> aiohttp.ClientWebSocketResponse:
    """A client of no protocol."""
    ws: aiohttp.ClientWebSocketResponse = await place.http.ws_connect(place.url(path), **options)
    return ws


async def handed(place: Place) -> realtime.Session:
    """The next session at /park."""
    async with asyncio.timeout(90):
        return await place.sessions.get()


async def test_text_and_bytes_as_they_are() -> None:
    async with serving() as place:
        ws = await connect(place)
        for text in ("hello", "", '["x"]', "é\u2028"):
            await ws.send_str(text)
            assert await ws.receive_str(timeout=30) == text
        await ws.send_bytes(b"\x00\xff")
        assert await ws.receive_bytes(timeout=30) == b"\x00\xff"
        await ws.close()


async def test_the_same_handler_serves_native_clients() -> None:
    async with serving() as place:
        async with realtime.connect(place.url("/park")):
            assert (await handed(place)).transport
        ws = await connect(place, "/park")
        session = await handed(place)
        assert session.transport == session.request.transport == "websocket"
        await ws.close(code=4001, message=b"enough")
        await session.wait_closed()
        assert (session.close_code, session.close_reason) == (4001, "enough")


async def test_the_server_closes() -> None:
    async with serving() as place:
        ws = await connect(place, "/park")
        session = await handed(place)
        await session.send("last")
        await session.close(3000, "Go away!")
        assert await ws.receive_str(timeout=30) == "last"
        message = await ws.receive(timeout=30)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 3000, "Go away!")


async def test_a_connection_that_is_cut_ends_the_session() -> None:
    async with serving() as place:
        ws = await connect(place, "/park")
        session = await handed(place)
        assert ws._response.connection is not None
        ws._response.connection.transport.abort()  # type: ignore[union-attr]
        await session.wait_closed()
        assert session.close_code == 1006
        await ws.close()


async def test_pings_of_both_sides() -> None:
    async with serving(clock=VirtualClock()) as place:
        ws = await connect(place, "/park", autoping=False)
        session = await handed(place)
        await ws.ping(b"there?")
        pong = await ws.receive(timeout=30)
        assert (pong.type, pong.data) == (WSMsgType.PONG, b"there?")
        place.tick(21)
        assert (await ws.receive(timeout=30)).type is WSMsgType.PING
        place.tick(20)  # no pong
        await session.wait_closed()
        assert session.close_code == 1006
        await ws.close()


async def test_a_client_is_not_read_faster_than_its_handler_takes() -> None:
    async with serving(max_queue=16) as place:
        release = asyncio.Event()
        got: list[str | bytes] = []

        @place.rt.endpoint("/slow")
        async def slow(session: realtime.Session) -> None:
            await release.wait()
            async for message in session:
                got.append(message)

        ws = await connect(place, "/slow")
        for number in range(1000):
            await ws.send_str(str(number))
        (session,) = place.rt.sessions
        await eventually(lambda: len(session._machine.inbox) == 16)
        release.set()
        await eventually(lambda: len(got) == 1000)
        assert got == [str(number) for number in range(1000)]
        await ws.close()


async def test_a_message_above_max_size() -> None:
    async with serving(max_size=1000) as place:
        ws = await connect(place)
        await ws.send_str("x" * 1000)
        assert len(await ws.receive_str(timeout=30)) == 1000
        await ws.send_str("x" * 1001)
        message = await ws.receive(timeout=30)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)


async def test_a_room_reaches_everybody() -> None:
    async with serving() as place:
        ws = await connect(place, "/park")
        await (await handed(place)).join("lobby")
        await place.rt.room("lobby").send(b"bytes")
        assert await ws.receive_bytes(timeout=30) == b"bytes"
        await ws.close()


async def refused(place: Place, **options: Any) -> tuple[int, str]:
    """The close that a client is refused with."""
    ws = await connect(place, "/park", **options)
    message = await ws.receive(timeout=30)
    assert message.type is WSMsgType.CLOSE
    return message.data, message.extra or ""


async def test_refusals_are_readable() -> None:
    async with serving() as place:

        @place.rt.authorize
        async def nobody(request: realtime.SessionRequest) -> str | None:
            raise realtime.Unauthorized("log in first")

        assert await refused(place) == (4401, "log in first")


async def test_a_page_of_another_origin() -> None:
    async with serving() as place:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await connect(place, origin="https://evil.example")
        assert error.value.status == 403


@pytest.mark.parametrize("settings", [{"raw": False}, {"transports": ("long_polling",)}])
async def test_an_endpoint_without_bare_websockets(settings: dict[str, object]) -> None:
    def prepare(place: Place) -> None:
        @place.rt.endpoint("/native", **settings)  # type: ignore[arg-type]
        async def native(session: realtime.Session) -> None:
            raise AssertionError

    async with serving(prepare=prepare) as place:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await connect(place, "/native")
        assert error.value.status == 404


async def test_what_is_no_handshake_is_none_of_ours() -> None:
    async with serving() as place:
        assert (await place.http.get(place.url("/echo"))).status == 426
        headers = {"Sec-WebSocket-Key": "x", "Upgrade": "websocket"}
        answer = await place.http.get(place.url("/echo"), headers=headers)
        told = "Not a valid websocket request: the Connection header does not say Upgrade\n"
        assert (answer.status, await answer.text()) == (400, told)


@pytest.mark.parametrize(
    "end", [lambda rt: rt.drain(timeout=30), lambda rt: rt._service.shutdown()], ids=["drain", "shutdown"]
)
async def test_the_server_goes(end: Callable[[realtime.Server], asyncio.Future[None]]) -> None:
    async with serving() as place:
        ws = await connect(place)
        await ws.send_str("x")
        assert await ws.receive_str(timeout=30) == "x"
        ending = asyncio.ensure_future(end(place.rt))
        message = await ws.receive(timeout=30)
        assert message.type is WSMsgType.CLOSE
        assert message.data in (1001, 1012)
        await ws.close()
        await ending


# -- sub-protocols -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def speaking(*names: str) -> AsyncIterator[Place]:
    """A place whose /spoken says which sub-protocol it speaks."""
    rt = realtime.Server(shutdown_timeout=0.3)

    @rt.endpoint("/spoken", subprotocols=names, sockjs=True, engineio="/engine.io")
    async def spoken(session: realtime.Session) -> None:
        assert session.subprotocol == session.request.subprotocol
        await session.send(str(session.subprotocol))
        await session.wait_closed()

    async with serving(rt) as place:
        yield place


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("path", ["/spoken", "/spoken/websocket"])
@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ("mqtt", "mqtt"),
        ("v10.stomp, v12.stomp", "v12.stomp"),  # the endpoint prefers it
        ("wamp.2.json ,\tmqtt", "mqtt"),
        ("wamp.2.json", None),
        ("MQTT", None),  # case counts (RFC 6455 §4.1)
        ("mqt", None),
        (",", None),
        ("", None),
        (None, None),
    ],
)
async def test_a_sub_protocol_is_agreed_on(path: str, offered: str | None, agreed: str | None) -> None:
    headers = {} if offered is None else {"Sec-WebSocket-Protocol": offered}
    async with speaking("v12.stomp", "v10.stomp", "mqtt") as place:
        ws = await connect(place, path, headers=headers)
        assert ws._response.headers.get("Sec-WebSocket-Protocol") == agreed
        assert await ws.receive_str(timeout=30) == str(agreed)
        (session,) = place.rt.sessions
        assert session.request.headers.get("Sec-WebSocket-Protocol") == offered
        await ws.close()


@pytest.mark.usefixtures("quiet_log")
async def test_what_a_client_offers_may_stand_in_several_headers() -> None:
    async with speaking("v12.stomp", "mqtt") as place:
        headers = CIMultiDict([("Sec-WebSocket-Protocol", "x, mqtt"), ("Sec-WebSocket-Protocol", "v12.stomp")])
        ws = await connect(place, "/spoken", headers=headers)
        assert ws._response.headers.getall("Sec-WebSocket-Protocol") == ["v12.stomp"]
        await ws.close()


@pytest.mark.usefixtures("quiet_log")
async def test_the_client_of_aiohttp_agrees_too() -> None:
    async with speaking("v12.stomp", "mqtt") as place:
        ws = await connect(place, "/spoken", protocols=("x", "mqtt"))
        assert ws.protocol == "mqtt"
        await ws.close()
        assert (await connect(place, "/echo", protocols=("mqtt",))).protocol is None  # which names none


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("path", ["/spoken/0/0/websocket", "/spoken/v1/websocket", "/engine.io"])
async def test_sub_protocols_are_for_bare_websockets(path: str) -> None:
    async with speaking("mqtt") as place:
        url = place.base + "/engine.io/?EIO=4&transport=websocket" if path == "/engine.io" else place.url(path)
        opening = '?open={"nonce":"%s","gen":1,"window":[256,65536]}' % ("n" * 24) if "v1" in path else ""
        ws = await place.http.ws_connect(url + opening, protocols=("mqtt",))
        assert ws.protocol is None
        await eventually(lambda: len(place.rt) == 1)
        (session,) = place.rt.sessions
        assert session.subprotocol is None
        await ws.close()


def test_an_authorize_hook_sees_the_sub_protocol() -> None:
    assert realtime.SessionRequest().subprotocol is None
    assert realtime.SessionRequest(subprotocol="mqtt")._renewed(b"{}").subprotocol == "mqtt"


@pytest.mark.parametrize("settings", [{"raw": False}, {"transports": ("polling",)}])
def test_sub_protocols_where_no_bare_websocket_comes_in(settings: dict[str, Any]) -> None:
    with pytest.raises(realtime.LocalProtocolError, match="bare WebSockets"):
        realtime.Server().endpoint("/x", subprotocols=("mqtt",), **settings)


def test_a_request_that_somebody_has_read_is_left_as_it_is() -> None:
    request = make_mocked_request("GET", "/", headers={"Sec-WebSocket-Protocol": "a, b"})
    request._read_bytes = b"a body"
    assert agree(request, ("b", "a")) == (request, "b")
