"""A network with nothing but distance: everything a session goes through, at every round trip, with default options.

Each scenario runs at all of them at once, so the whole takes as long as the farthest. Nothing here is judged by time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any, TypeAlias

import realtime
from realtime.testing import FaultProxy, RefuseWebSocket, serve

from ..patience import PATIENCE, steady, within
from .soak import Report, exchange, numbered

# Seconds of round trip, and of jitter.
DISTANCES = [(0.0, 0.0), (0.06, 0.0), (0.15, 0.0), (0.25, 0.0), (0.6, 0.0), (0.15, 0.2)]
ALL = ["websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling"]
OPTIONS: list[dict[str, Any]] = [{}, *({"transports": [name]} for name in ALL)]  # the default list first
COUNT = 40


class Far:
    """One server, and a client's way to it."""

    def __init__(self, proxy: FaultProxy, server: realtime.Server, reports: list[Report]) -> None:
        self.proxy = proxy
        self.server = server
        self.reports = reports

    def connect(self, path: str, **options: Any) -> realtime.client.connect:
        """Opens a session at an endpoint."""
        return realtime.connect(f"{self.proxy.url}/realtime/{path}", **options)


@contextlib.asynccontextmanager
async def far(latency: float, jitter: float) -> AsyncIterator[Far]:
    """A server with /exchange, which exchanges COUNT messages, and /close/<when>, which closes; a proxy in front."""
    server = realtime.Server(open_timeout=PATIENCE)  # all at once take a busy machine a while
    reports: list[Report] = []

    @server.endpoint("/exchange")
    async def both_ways(session: realtime.Session) -> None:
        report = Report()
        reports.append(report)
        try:
            await exchange(session, COUNT, report)
            await session.receive()
        finally:
            report.closed = (session.close_code or 0, session.close_reason or "")

    @server.endpoint("/closes")
    async def closes(session: realtime.Session) -> None:
        await session.send(numbered(1))
        await session.close(3001, "enough")

    async with serve(server) as running:
        assert running.port is not None
        async with FaultProxy("127.0.0.1", running.port, latency=latency, jitter=jitter, random=Random(1)) as proxy:
            yield Far(proxy, server, reports)


Scenario: TypeAlias = Callable[[Far, dict[str, Any]], Awaitable[None]]


async def everywhere(scenarios: dict[Scenario, list[dict[str, Any]]]) -> None:
    """Runs scenarios for each of their cases at every distance, all at once. Each has a network of its own."""

    async def one(scenario: Scenario, case: dict[str, Any], latency: float, jitter: float) -> None:
        try:
            async with far(latency, jitter) as place:
                await scenario(place, case)
        except Exception as error:
            where = f"{latency * 1000:.0f} ms of round trip and {jitter * 1000:.0f} ms of jitter"
            error.add_note(f"{getattr(scenario, '__name__', scenario)} at {where}, {case}")
            raise

    runs = [
        one(scenario, case, latency, jitter)
        for scenario, cases in scenarios.items()
        for case in cases
        for latency, jitter in DISTANCES
    ]
    async with within("scenarios at every distance", 5 * PATIENCE):
        ends = await asyncio.gather(*runs, return_exceptions=True)  # one that fails leaves the others to end
    if failed := [end for end in ends if isinstance(end, Exception)]:
        raise ExceptionGroup("of the scenarios at every distance", failed)


def complete(place: Far, session: realtime.ClientSession, report: Report) -> None:
    """The session is closed at both ends, and lost, repeated or reordered nothing. There never was another one."""
    assert (session.close_code, session.close_reason) == (1000, "")
    (there,) = place.reports
    assert (report.received, report.wrong) == (COUNT, [])
    assert (there.received, there.wrong) == (COUNT, [])
    assert there.closed == (1000, "")
    assert session.unacknowledged == []
    assert len(place.server) == 0


async def opens_exchanges_and_closes(place: Far, options: dict[str, Any]) -> None:
    """The plain course of a session."""
    report = Report()
    async with place.connect("exchange", **options) as session:
        await exchange(session, COUNT, report)
        await session.flush()
        if options:
            assert [session.transport] == options["transports"]
    complete(place, session, report)


async def the_server_closes(place: Far, options: dict[str, Any]) -> None:
    """What was sent before the close arrives, and the server learns that the close has."""
    async with place.connect("closes", **options) as session:
        got = [message async for message in session]
    assert got == [numbered(1)]
    assert (session.close_code, session.close_reason) == (3001, "enough")
    assert session.unacknowledged == []
    assert len(place.server) == 0


async def both_ends_close_at_once(place: Far, options: dict[str, Any]) -> None:
    """Both ends are clean, by the code of one of them."""
    session = await place.connect("closes", **options)
    await session.close(3002, "goodbye")
    assert session.close_code in (3001, 3002)
    assert session.unacknowledged == []


async def resumes(place: Far, options: dict[str, Any]) -> None:
    """Every connection is cut in the middle of the exchange: the same session goes on."""
    report = Report()
    async with place.connect("exchange", **options) as session:
        report.take(await session.receive())
        place.proxy.cut(rst=True)
        await exchange(session, COUNT, report)
        await session.flush()
    complete(place, session, report)


async def moves(place: Far, options: dict[str, Any]) -> None:
    """The session changes its transport while messages travel both ways."""
    report = Report()
    async with place.connect("exchange", transports=[*ALL], upgrade=False) as session:
        async with asyncio.TaskGroup() as group:
            group.create_task(exchange(session, COUNT, report))
            for transport in options["route"]:
                await session.switch(transport)
                assert session.transport == transport
        await session.flush()
    complete(place, session, report)


async def comes_home_to_the_websocket(place: Far, _: dict[str, Any]) -> None:
    """WebSockets are refused until a poll or a stream carries the session; then it moves up, by itself."""
    refused = place.proxy.add(RefuseWebSocket())
    report = Report()
    home = asyncio.Event()
    async with place.connect("exchange") as session:
        session.on_change(lambda _: home.set() if session.transport == "websocket" else None)
        assert session.transport != "websocket"
        refused.remove()
        await home.wait()
        await exchange(session, COUNT, report)
        await session.flush()
        assert session.transport == "websocket"
    complete(place, session, report)


@steady
async def test_opening_and_closing_at_every_distance() -> None:
    await everywhere(
        {opens_exchanges_and_closes: OPTIONS, the_server_closes: OPTIONS, both_ends_close_at_once: OPTIONS}
    )


@steady
async def test_resuming_and_moving_at_every_distance() -> None:
    routes = (["websocket", "sse", "long_polling"], ["polling", "xhr_streaming", "websocket"])
    await everywhere(
        {resumes: OPTIONS, moves: [{"route": route} for route in routes], comes_home_to_the_websocket: [{}]}
    )
