"""Bare WebSocket clients at an endpoint's own URL: messages as they are, closes both ways, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

import realtime
from realtime.testing import VirtualClock

from .place import Place, eventually, serving


async def connect(place: Place, path: str = "/echo", **options: Any) -> aiohttp.ClientWebSocketResponse:
    """A client of no protocol."""
    ws: aiohttp.ClientWebSocketResponse = await place.http.ws_connect(place.url(path), **options)
    return ws


async def handed(place: Place) -> realtime.Session:
    """The next session at /park."""
    async with asyncio.timeout(30):
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
        assert await place.rt.room("lobby").send(b"bytes") == 1
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
        assert (await place.http.get(place.url("/echo"))).status == 404
        headers = {"Sec-WebSocket-Key": "x", "Upgrade": "websocket"}
        answer = await place.http.get(place.url("/echo"), headers=headers)
        told = "Not a valid websocket request: the Connection header does not say Upgrade\n"
        assert (answer.status, await answer.text()) == (400, told)


@pytest.mark.parametrize("end", [lambda rt: rt.drain(timeout=30), lambda rt: rt.shutdown()], ids=["drain", "shutdown"])
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
