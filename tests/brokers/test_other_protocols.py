"""Rooms with history × clients of other protocols: plain messages, in the order of the room, no word of positions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

import realtime

from ..patience import within
from ..web.place import Place, serving

each_broker = pytest.mark.parametrize("broker", ["memory", "tcp"], indirect=True)
ROOM = "kept/a"
GONE = "1.1.gone"  # a cursor of a store that there never was: parsed, and a gap

Receive = Callable[[], Awaitable[str | bytes]]


@asynccontextmanager
async def room(broker: Any, *, after: str | None = None) -> AsyncIterator[Place]:
    """A server whose sessions at /room get the last two messages, or all behind `after`, and say "in" then."""
    rt = realtime.Server(broker=broker, shutdown_timeout=0.3)
    rt.configure_rooms("kept/*", history=4)

    async def handler(session: realtime.Session) -> None:
        await session.join(ROOM, history=2, after=after)
        await session.send("in")
        async for message in session:
            await rt.room(ROOM).send(message, skip=session)

    rt.endpoint("/room", sockjs=True, engineio="/engine.io")(handler)
    async with serving(rt) as place:
        yield place


@asynccontextmanager
async def bare(place: Place) -> AsyncIterator[Receive]:
    async with place.http.ws_connect(place.url("/room")) as ws:

        async def receive() -> str | bytes:
            message = await ws.receive()
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
            return message.data  # type: ignore[no-any-return]

        yield receive


@asynccontextmanager
async def sockjs(place: Place) -> AsyncIterator[Receive]:
    async with place.http.ws_connect(place.url("/room/000/one/websocket")) as ws:
        assert await ws.receive_str() == "o"
        waiting: list[str] = []

        async def receive() -> str:
            while not waiting:
                frame = await ws.receive_str()
                assert frame[0] in "ah", frame
                waiting.extend(json.loads(frame[1:]) if frame[0] == "a" else [])
            return waiting.pop(0)

        yield receive


@asynccontextmanager
async def sockjs_polls(place: Place) -> AsyncIterator[Receive]:
    url = place.url("/room/000/two/xhr")
    async with place.http.post(url) as answer:
        assert await answer.text() == "o\n"
    waiting: list[str] = []

    async def receive() -> str:
        while not waiting:
            async with place.http.post(url) as answer:
                frame = await answer.text()
            assert frame[0] in "ah", frame
            waiting.extend(json.loads(frame[1:]) if frame[0] == "a" else [])
        return waiting.pop(0)

    yield receive


@asynccontextmanager
async def engineio(place: Place) -> AsyncIterator[Receive]:
    async with place.http.ws_connect(f"{place.base}/engine.io/?EIO=4&transport=websocket") as ws:
        assert (await ws.receive_str())[0] == "0"

        async def receive() -> str | bytes:
            while True:
                message = await ws.receive()
                if message.type is aiohttp.WSMsgType.BINARY:
                    return bytes(message.data)
                assert message.data[0] in "42", message
                if message.data[0] == "4":
                    return str(message.data[1:])

        yield receive


CLIENTS = {"bare": bare, "sockjs": sockjs, "sockjs_polls": sockjs_polls, "engineio": engineio}
BINARY = ("bare", "engineio")  # SockJS has no bytes: such messages pass its clients by


@each_broker
async def test_they_hear_the_snapshot_and_what_follows(broker: Any) -> None:
    async with within(), room(broker) as place:
        for message in ("0", "1", b"\x02"):
            await place.rt.room(ROOM).send(message)
        async with AsyncExitStack() as stack:
            members = {name: await stack.enter_async_context(client(place)) for name, client in CLIENTS.items()}
            for name, receive in members.items():
                wanted = ["1", b"\x02", "in"] if name in BINARY else ["1", "in"]
                assert [await receive() for _ in wanted] == wanted, name
            for message in ("3", b"\x04", "5"):
                await place.rt.room(ROOM).send(message)
            for name, receive in members.items():
                wanted = ["3", b"\x04", "5"] if name in BINARY else ["3", "5"]
                assert [await receive() for _ in wanted] == wanted, name


@each_broker
@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
async def test_a_gap_is_nothing_to_them_and_all_that_is_kept_comes(broker: Any, client: Any) -> None:
    async with within(), room(broker, after=GONE) as place:
        for number in range(6):
            await place.rt.room(ROOM).send(str(number))
        async with client(place) as receive:
            assert [await receive() for _ in range(5)] == ["2", "3", "4", "5", "in"]
            (session,) = place.rt.sessions
            assert session.gap


@each_broker
async def test_skipped_and_heard_beside_a_native_client(broker: Any) -> None:
    async with within(), room(broker) as place, realtime.connect(place.url("/room")) as ada:
        assert await ada.receive() == "in"
        async with sockjs(place) as receive:
            assert await receive() == "in"
            await ada.send("from ada")
            assert await receive() == "from ada"
            await place.rt.room(ROOM).send("to both")
            assert (await receive(), await ada.receive()) == ("to both", "to both")
