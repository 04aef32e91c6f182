"""A process that stood still has lost no time: what it waits for may have come meanwhile, and is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime import clock as clock_module
from realtime.clock import SystemClock
from realtime.testing import VirtualClock

from ..patience import arrives, within
from ..web.place import serving


@pytest.fixture
def standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call that is timed comes so late that the process must have stood still."""
    monkeypatch.setattr(clock_module, "STOOD_STILL", -1.0)


@pytest.mark.usefixtures("standstill")
async def test_the_answer_to_an_event_is_taken() -> None:
    async with serving() as place, within():
        events = realtime.Events()
        events.on("double")(lambda session, number: number * 2)
        place.rt.endpoint("/sums")(events)
        async with realtime.connect(place.url("/sums")) as session:
            assert await session.events().call("double", 21, timeout=0) == 42


@pytest.mark.usefixtures("standstill")
async def test_the_rest_of_a_body_is_taken() -> None:
    async with serving(request_timeout=0.001) as place, within():
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(b"POST /realtime/echo/v1/polling HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n[")
        await asyncio.sleep(0.01)
        writer.write(b'"]')
        assert b" 400 " in await reader.readline()  # it was read, and is no batch
        writer.close()


@pytest.mark.usefixtures("standstill")
async def test_auth_data_are_taken() -> None:
    async def auth() -> str:
        await asyncio.sleep(0.01)
        return "a token"

    options: Any = {"auth": auth, "open_timeout": 0.001, "clock": VirtualClock()}
    async with serving() as place, within(), realtime.connect(place.url("/echo"), **options) as session:
        assert session.transport == "websocket"


class Jumping(SystemClock):
    """A clock that shows how long the machine has stood still."""

    def __init__(self) -> None:
        self.still = 0.0
        self.now = lambda: SystemClock.now() + self.still


async def test_opening_has_its_time_anew() -> None:
    came: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: came.put_nowait(writer), "127.0.0.1", 0)
    clock = Jumping()
    async with server, within():
        port = server.sockets[0].getsockname()[1]
        connecting = realtime.connect(f"http://127.0.0.1:{port}/x", transports="polling", clock=clock)
        opening = asyncio.ensure_future(connecting._open())
        first = await came.get()
        clock.still = 60.0
        first.close()
        (await arrives(came.get())).close()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
