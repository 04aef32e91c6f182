"""However fast a peer sends, others have their turn, and nothing heaps up meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import WSMessage, WSMsgType

from realtime.client.handshake import messages
from realtime.pace import TURN, Pace
from realtime.web.handshake import Incoming

SOME = 10 * TURN
TINY = WSMessage(WSMsgType.TEXT, "p", "")


class Wire(asyncio.Transport):
    """A connection, whether it is read, and how often it was not."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.closing = False
        self.pauses = 0

    def is_reading(self) -> bool:
        return self.reading

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        if self.closing:
            raise RuntimeError("closed")
        self.reading = True


class Flood:
    """A WebSocket on which much has come already, so that nobody ever waits for the next message."""

    def __init__(self, wire: Wire, count: int) -> None:
        self._left = count
        self.transport = wire
        self._response = SimpleNamespace(connection=self)

    async def receive(self) -> WSMessage:
        self._left -= 1
        return TINY if self._left >= 0 else WSMessage(WSMsgType.CLOSED, None, None)

    def __aiter__(self) -> Flood:
        return self

    async def __anext__(self) -> WSMessage:
        message = await self.receive()
        if message.type is WSMsgType.CLOSED:
            raise StopAsyncIteration
        return message


class Beside:
    """Another task: its turns, and in how many of these the connection was read."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.turns = 0
        self.read = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.turns += 1
            self.read += self._wire.reading
            await asyncio.sleep(0)

    def stop(self) -> None:
        self._task.cancel()


@pytest.mark.parametrize("side", ["server", "client"])
async def test_others_have_their_turn_and_nothing_more_is_read_meanwhile(side: str) -> None:
    wire = Wire()
    flood: Any = Flood(wire, SOME)
    incoming = Incoming(cast(Any, wire_request(wire)), flood) if side == "server" else messages(flood)
    beside = Beside(wire)
    taken = 0
    async for message in incoming:
        assert message is TINY
        assert wire.reading
        taken += 1
    beside.stop()
    assert taken == SOME
    assert beside.turns >= SOME // TURN
    assert (wire.pauses, beside.read) == (SOME // TURN, 0)


def wire_request(wire: Wire) -> SimpleNamespace:
    return SimpleNamespace(transport=wire)


async def test_a_connection_that_is_not_read_or_closed_is_left_so() -> None:
    wire = Wire()
    pace, nobodys = Pace(wire), Pace(None)
    wire.reading = False  # somebody else's doing
    for _ in range(TURN):
        await pace.step()
        await nobodys.step()
    assert (wire.reading, wire.pauses) == (False, 0)
    wire.reading = True

    async def close() -> None:
        wire.closing = True

    closing = asyncio.get_running_loop().create_task(close())
    for _ in range(2 * TURN):
        await pace.step()
    assert (wire.pauses, wire.closing) == (1, True)
    await closing
