"""The clients that ship in rooms of durable sessions, over each transport, while workers change: what a room keeps
comes once and in order, and what is missing of one that keeps nothing is told.
"""

from __future__ import annotations

import asyncio

import pytest

import realtime

from ..client.test_durable import Switch
from ..patience import arrives
from .test_rooms import joining, rooms_of
from .workers import worker

TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "long_polling", "polling")
MESSAGES = 40


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_room_goes_on_at_another_worker(transport: str) -> None:
    async with worker(realtime.MemoryBroker()) as place:
        them = [await place.worker(joining, prepare=rooms_of, poll_interval=(0.01, 0.05)) for _ in range(2)]
        switch = Switch(*(one.url for one in them))
        url = await switch.start()
        try:
            async with realtime.connect(url, transports=transport, backoff=(0.01, 0.1)) as session:
                await session.send("join kept")
                assert await arrives(session.receive()) == "done join kept"
                for number in range(MESSAGES):
                    await them[number % 2].rt.room("kept").send(str(number))
                    if number % 17 == 5:
                        switch.turn()
                    if number % 10 == 9:
                        heard = [await arrives(session.receive(), str(number)) for _ in range(10)]
                        assert heard == [str(n) for n in range(number - 9, number + 1)]
                        assert session.last.room == "kept"
                assert session.gap is None
                await session.send("leave kept")
                assert await arrives(session.receive()) == "done leave kept"
        finally:
            await switch.stop()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_room_that_keeps_nothing_is_heard_between_two_polls_too(transport: str) -> None:
    async with worker(realtime.MemoryBroker()) as place:
        one = await place.worker(joining, prepare=rooms_of, poll_interval=(0.01, 0.05))
        async with realtime.connect(one.url, transports=transport, backoff=(0.01, 0.1)) as session:
            await session.send("join plain")
            assert await arrives(session.receive()) == "done join plain"
            for number in range(MESSAGES):
                await one.rt.room("plain").send(str(number))
                if number % 10 == 3:
                    await asyncio.sleep(0)
            assert [await arrives(session.receive()) for _ in range(MESSAGES)] == [str(n) for n in range(MESSAGES)]
            assert session.gap is None


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_slow_application_is_waited_for(transport: str) -> None:
    """Much more is sent than the client's window takes, and its own messages go on meanwhile."""
    async with worker(realtime.MemoryBroker()) as place:
        one = await place.worker(joining, prepare=rooms_of, poll_interval=(0.01, 0.05))
        async with realtime.connect(one.url, transports=transport, max_queue=16, backoff=(0.01, 0.1)) as session:
            await session.send("join kept")
            assert await arrives(session.receive()) == "done join kept"
            for number in range(90):
                await one.rt.room("kept").send(str(number))
            heard: list[str] = []
            said: list[str] = []
            await session.send("say kept last")
            while len(heard) < 91 or not said:
                message = str(await arrives(session.receive()))
                (said if session.last.room is None else heard).append(message)
            assert heard == [*map(str, range(90)), "last"]
            assert said == ["done say kept last"]
            assert session.gap is None


@pytest.mark.parametrize("transport", ["sse", "xhr_streaming", "multipart"])
async def test_a_stream_that_has_brought_enough_of_a_room_is_followed_by_another(transport: str) -> None:
    async with worker(realtime.MemoryBroker()) as place:
        one = await place.worker(joining, prepare=rooms_of, max_stream_size=4096)
        async with realtime.connect(one.url, transports=transport, backoff=(0.01, 0.1)) as session:
            await session.send("join kept")
            assert await arrives(session.receive()) == "done join kept"
            for number in range(30):
                await one.rt.room("kept").send(f"{number} {'x' * 500}")
                assert str(await arrives(session.receive())).startswith(f"{number} ")
            assert session.gap is None
            assert one.sessions[0]._machine.gen > 2
