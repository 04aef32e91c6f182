"""Durable sessions in rooms: what is joined is stored with the turn, what rooms send comes once and in order on any
carrier, and another worker goes on behind the client's cursors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

import realtime

from .raw import Raw
from .workers import Handler, Place, Worker, worker


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with worker(realtime.MemoryBroker()) as place:
        yield place


def rooms_of(rt: realtime.Server) -> None:
    rt.configure_rooms("kept", history=100)
    rt.configure_rooms("present", history=100, presence=True)


async def with_rooms(place: Place, handler: Handler, **settings: Any) -> Worker:
    return await place.worker(handler, prepare=rooms_of, **settings)


async def joining(session: realtime.Session) -> None:
    """Joins and leaves rooms as it is told, and says so."""
    async for message in session:
        what, _, room = str(message).partition(" ")
        if what == "join":
            await session.join(room)
        elif what == "leave":
            await session.leave(room)
        elif what == "say":
            await session.publish(*room.split(" ", 1))
        await session.send(f"done {message!s}")


class Member(Raw):
    """Over a WebSocket: with the cursors of its rooms."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.cursors: dict[str, str] = {}
        self.heard: list[str] = []
        self.left: list[str] = []
        self.came = 0  # frames of rooms, on this carrier

    async def shows(self) -> None:
        """Tells the carrier its cursors."""
        self.came = 0
        await self.socket.send_str(",".join([f"l{self.gen}", *(f"{room},{at}" for room, at in self.cursors.items())]))

    def read(self, frame: str, cursor: int) -> int:
        if frame[:1] != "l":
            return super().read(frame, cursor)
        self.frames.append(frame)
        self.came += 1
        room, *rest = frame[1:].split(",", 2)
        if not rest:
            self.left.append(room)
            return cursor
        self.cursors[room] = rest[0]
        self.heard += [f"{room} {one}" for one in rest[1:]]
        return cursor

    async def hears(self, count: int) -> None:
        """Reads until so many messages and gaps have come from rooms."""
        while len(self.heard) < count:
            assert await self.next(), self.frames

    async def asks(self, text: str) -> None:
        await self.say(text)
        await self.until(f"mdone {text}")


@pytest.mark.parametrize("room", ["kept", "plain"])
async def test_a_member_hears_the_room(place: Place, room: str) -> None:
    one = await with_rooms(place, joining)
    raw = Member(place.http, one.url)
    await raw.open()
    await raw.shows()
    await raw.asks(f"join {room}")
    for text in ("a", "b"):
        await one.rt.room(room).send(text)
    await raw.hears(2)
    assert raw.heard == [f"{room} ma", f"{room} mb"]
    await raw.asks(f"leave {room}")
    await one.rt.room(room).send("c")
    await raw.until("l")
    assert raw.left == [room]
