"""Handlers at the client that do not return, when the server puts it out, and when the session ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.testing import Clients

from ..patience import eventually, within

TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
SOON = 0.05  # seconds of close_timeout


class Stuck:
    """A client whose handlers never return."""

    def __init__(self, main: realtime.ClientNamespace) -> None:
        self.told: list[Any] = []
        self.running = asyncio.Event()
        self.go = asyncio.Event()
        main.on("hang")(self.hang)
        main.on("beside", concurrent=2)(self.hang)
        main.on("quick")(lambda: self.told.append("quick"))
        main.on("disconnect")(self.disconnect)

    async def hang(self) -> None:
        """Waits for `go`."""
        self.running.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.told.append("cancelled")
            raise

    async def disconnect(self, reason: str) -> None:
        """The client is out."""
        self.told.append(reason)


def serving(events: realtime.Events, sessions: list[realtime.EventSession]) -> realtime.Server:
    """A server of these events, who notes its sessions."""
    events.on("connect")(lambda session: sessions.append(session))
    rt = realtime.Server(shutdown_timeout=0.5)
    rt.endpoint("/chat")(events)
    return rt


@TRANSPORTS
async def test_who_is_put_out_is_out_at_once_and_told_behind_its_handler(transport: str) -> None:
    events, sessions = realtime.Events(), []  # type: ignore[var-annotated]
    async with Clients() as client, within():
        session = await client(serving(events, sessions), "/realtime/chat", transports=transport, close_timeout=SOON)
        main = session.events()
        stuck = Stuck(main)
        await main.ready()
        await sessions[0].emit("hang")
        await stuck.running.wait()
        await sessions[0].emit("quick")
        await sessions[0].disconnect()
        await eventually(lambda: main.closed)
        with pytest.raises(realtime.SessionClosed, match="io server disconnect"):
            await main.emit("late")
        # It may ask again before it has handled all: what is behind that is for the new one.
        again = session.events()
        assert again is not main
        again.on("news")(lambda what: stuck.told.append(what))
        await eventually(lambda: len(sessions) == 2)
        await sessions[1].emit("news", 1)
        await again.ready()
        await eventually(lambda: len(stuck.told) == 4)
        assert stuck.told == ["cancelled", "quick", "io server disconnect", 1]
        assert session.events() is again


@pytest.mark.parametrize("event", ["hang", "beside"])
@pytest.mark.parametrize("by", ["server", "client"])
async def test_the_session_ends_and_handlers_with_it(event: str, by: str) -> None:
    events, sessions = realtime.Events(), []  # type: ignore[var-annotated]
    async with Clients() as client, within():
        session = await client(serving(events, sessions), "/realtime/chat", close_timeout=SOON)
        main = session.events()
        stuck = Stuck(main)
        await main.ready()
        await sessions[0].emit(event)
        await stuck.running.wait()
        await (sessions[0].session.close(3000) if by == "server" else session.close())
        await eventually(lambda: len(stuck.told) == 2)
        assert stuck.told == ["cancelled", "transport close" if by == "server" else "io client disconnect"]
        assert main.closed


async def test_the_session_ends_and_a_handler_returns_in_time() -> None:
    events, sessions = realtime.Events(), []  # type: ignore[var-annotated]
    async with Clients() as client, within():
        session = await client(serving(events, sessions), "/realtime/chat")
        main = session.events()
        stuck = Stuck(main)
        await main.ready()
        for event in ("beside", "hang", "quick"):
            await sessions[0].emit(event)
        await stuck.running.wait()
        await sessions[0].session.close(3000)
        await session.wait_closed()
        stuck.go.set()
        await eventually(lambda: len(stuck.told) == 2)
        assert stuck.told == ["quick", "transport close"]


async def test_who_is_put_out_while_it_is_told_that_it_is_in() -> None:
    events, sessions = realtime.Events(), []  # type: ignore[var-annotated]
    async with Clients() as client, within():
        session = await client(serving(events, sessions), "/realtime/chat", close_timeout=SOON)
        main = session.events()
        stuck = Stuck(main)
        main.on("connect")(stuck.hang)
        await stuck.running.wait()
        await sessions[0].disconnect()
        await eventually(lambda: len(stuck.told) == 2)
        assert stuck.told == ["cancelled", "io server disconnect"]
        await session.close()
