"""Acknowledgements that somebody waits for come at once, not after their delay. The clocks stand still: what waits for
a delay waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import realtime
from realtime.testing import Clients, VirtualClock

from .patience import within

TRANSPORTS = ("websocket", "long_polling")


@pytest.fixture
async def client() -> AsyncIterator[Clients]:
    async with Clients() as clients:
        yield clients


def still(**settings: Any) -> realtime.Server:
    """A server whose clock does not move."""
    return realtime.Server(clock=VirtualClock(), **settings)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_flush_at_once_behind_send(client: Clients, transport: str) -> None:
    rt = still()

    @rt.endpoint("/sink")
    async def sink(session: realtime.Session) -> None:
        async for _ in session:
            pass

    session = await client(rt, "/realtime/sink", transports=[transport], clock=VirtualClock())
    async with within():
        for count in (1, 1000):  # the second is several windows
            for number in range(count):
                await session.send(str(number))
            await session.flush()
            assert session.unacknowledged == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_outbox_smaller_than_a_quarter_of_the_peers_window(client: Clients, transport: str) -> None:
    rt = still(max_outbox=3)

    @rt.endpoint("/source")
    async def source(session: realtime.Session) -> None:
        for number in range(100):
            await session.send(str(number))

    session = await client(rt, "/realtime/source", transports=[transport], clock=VirtualClock())
    async with within():
        assert [message async for message in session] == [str(number) for number in range(100)]


async def test_a_room_drops_nothing_of_who_keeps_up(client: Clients) -> None:
    rt = still(max_outbox=4, on_full="drop_oldest")

    @rt.endpoint("/room")
    async def member(session: realtime.Session) -> None:
        await session.join("room")
        async for message in session:
            await rt.room("room").send(message)

    session = await client(rt, "/realtime/room", transports=["websocket"], clock=VirtualClock())
    async with within():
        for number in range(100):
            await session.send(str(number))
            assert await session.receive() == str(number)
    assert session.dropped == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_close_tells_what_had_arrived(client: Clients, transport: str) -> None:
    rt = still()

    @rt.endpoint("/enough")
    async def enough(session: realtime.Session) -> None:
        await session.receive()

    session = await client(rt, "/realtime/enough", transports=[transport], clock=VirtualClock())
    await session.send("hello")
    async with within():
        await session.wait_closed()
    assert session.close_code == 1000
    assert session.unacknowledged == []


@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "sse", "long_polling"])
@pytest.mark.parametrize("size", [1_048_576, 1_500_000])  # all of the window, and more than that
async def test_what_the_window_holds_back_goes_when_all_before_it_was_taken(
    client: Clients, transport: str, size: int
) -> None:
    """Though that is less than a quarter of the window, of which nobody would tell before long."""
    rt = still(max_size=2_000_000)
    large = "x" * size

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    session = await client(rt, "/realtime/echo", transports=[transport], clock=VirtualClock(), max_size=2_000_000)
    async with within():
        await session.send("small")
        assert await session.receive() == "small"  # which is taken by now; or it waits, and is taken later
        for message in (large, "small", large):
            await session.send(message)
        assert [await session.receive() for _ in range(3)] == [large, "small", large]


@pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "sse", "long_polling"])
@pytest.mark.parametrize("side", ["server", "client"])
async def test_what_the_window_holds_back_for_a_slow_application(client: Clients, side: str, transport: str) -> None:
    """It takes the first message after it was asked."""
    rt = still()
    taking = asyncio.Event()
    received: asyncio.Queue[str | bytes] = asyncio.Queue()

    async def slow(session: realtime.Session | realtime.ClientSession) -> None:
        await taking.wait()
        for _ in range(2):
            received.put_nowait(await session.receive())

    async def fast(session: realtime.Session | realtime.ClientSession) -> None:
        for message in ("small", "x" * 1_048_576):
            await session.send(message)
        while not session._machine.outbox.acked:
            await session._listener.progressed()
        taking.set()

    @rt.endpoint("/both")
    async def both(session: realtime.Session) -> None:
        await (slow if side == "server" else fast)(session)
        await session.wait_closed()

    session = await client(rt, "/realtime/both", transports=[transport], clock=VirtualClock())
    async with within():
        await (fast if side == "server" else slow)(session)
        assert [len(await received.get()) for _ in range(2)] == [5, 1_048_576]
