"""One session that changes its transport every few hundred messages, by itself, by hand and by a broken network."""

from __future__ import annotations

import asyncio
from itertools import cycle

import pytest

import realtime
from realtime.testing import DropResponse, KillWebSocket, RefuseWebSocket, RepeatRequest

from ..patience import steady
from .soak import assert_exactly_once, soak_server

ALL = ["websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling"]


async def received(session: realtime.ClientSession, number: int) -> None:
    """Waits until the session's client has received so many messages."""
    news = asyncio.Event()
    listener = session._listener
    receive = listener.readable

    def readable() -> None:
        receive()
        news.set()

    listener.readable = readable  # type: ignore[method-assign] # watches, and calls what it replaces
    try:
        while session._machine.inbox.received < number:
            news.clear()
            await news.wait()
    finally:
        del listener.readable


@pytest.mark.parametrize(
    "route",
    [
        ["long_polling", "websocket"],
        ["polling", "websocket"],
        ["long_polling", "polling"],
        ["long_polling", "websocket", "polling", "long_polling", "polling", "websocket"],
        ["xhr_streaming", "websocket"],
        ["sse", "multipart", "xhr_streaming"],
        ["sse", "long_polling", "multipart", "polling", "xhr_streaming", "websocket"],
    ],
    ids="-".join,
)
@steady
async def test_long_run_over_changing_transports(route: list[str]) -> None:
    count, every = 3600, 300
    changes: list[str] = []

    async def move(session: realtime.ClientSession) -> None:
        for number, transport in zip(range(every, count, every), cycle(route), strict=False):
            await received(session, number)
            await session.switch(transport)
            changes.append(transport)

    async with soak_server(count) as soak:
        server, client, _ = await soak.run(transports=ALL, upgrade=False, meanwhile=move, attach_timeout=30.0)
        assert_exactly_once(server, client, count)
        assert len(changes) >= 10


async def test_long_run_over_changing_transports_and_faults() -> None:
    """The same with everything breaking at once: moves fail, carriers die, replies are lost, POSTs repeated."""
    count, every = 6000, 200
    moves: list[bool] = []

    async def move(session: realtime.ClientSession) -> None:
        for number, transport in zip(range(every, count, every), cycle(ALL), strict=False):
            await received(session, number)
            try:
                await session.switch(transport)
            except realtime.NegotiationError:
                moves.append(False)
            else:
                moves.append(True)

    async with soak_server(count) as soak:
        soak.proxy.add(KillWebSocket(after_frames=120, end="rst"))
        soak.proxy.add(RefuseWebSocket(every=3))
        soak.proxy.add(DropResponse(match=lambda request: request.method == "POST", every=7))
        soak.proxy.add(RepeatRequest(every=3))
        server, client, _ = await soak.run(transports=ALL, meanwhile=move)
        assert_exactly_once(server, client, count)
        assert moves.count(True) >= 5


@steady
async def test_a_client_comes_home_to_the_websocket() -> None:
    """A WebSocket that is refused at first and let through later: the session upgrades by itself."""
    async with soak_server(1) as soak:
        refusal = soak.proxy.add(RefuseWebSocket())
        transports: list[str] = []
        async with realtime.connect(
            soak.url, transports=ALL, upgrade_interval=(0.05, 0.1), attach_timeout=1.0
        ) as session:
            home = asyncio.Event()

            def changed(event: str) -> None:
                transports.append(session.transport)
                if session.transport == "websocket":
                    home.set()

            session.on_change(changed)
            assert session.transport in ("long_polling", "xhr_streaming")  # opened by one, on its way to the other
            assert "403" in session.attempts["websocket"]
            await refusal.wait_fired(3)
            refusal.remove()
            await home.wait()
        assert session.close_code == 1000
        assert "websocket" in transports


async def test_pulling_the_plug_and_putting_it_back() -> None:
    """Every connection goes mute, and comes back within the resume window: the same session, nothing lost."""
    count = 3000

    gone = asyncio.Event()

    async def pull(session: realtime.ClientSession) -> None:
        def changed(event: str) -> None:
            if session.state == "detached":
                gone.set()

        session.on_change(changed)
        for number in (500, 1500):
            await received(session, number)
            gone.clear()
            soak.proxy.unplug()
            await gone.wait()
            soak.proxy.plug()

    async with soak_server(count) as soak:
        server, client, session = await soak.run(transports=["websocket"], meanwhile=pull)
        assert_exactly_once(server, client, count)
        assert session.unacknowledged == []
