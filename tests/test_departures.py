"""A server's drain, in virtual time: who is told to go, and when."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

import realtime
from realtime.core.frames import Window
from realtime.core.lifecycle import State
from realtime.departures import Departures
from realtime.session import Session
from realtime.testing import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000.0)


@pytest.fixture
def rt(clock: VirtualClock) -> realtime.Server:
    rt = realtime.Server(clock=clock, resume_window=1e6, open_timeout=1e6)

    @rt.endpoint("/x")
    async def handler(session: Session) -> None:
        await session.wait_closed()

    return rt


async def opened(rt: realtime.Server, count: int) -> list[Session]:
    """So many sessions."""
    return [
        await rt._service.sessions.open(
            rt._service.endpoints["/x"],
            nonce=f"nonce{number}",
            binding=None,
            window=Window(16, 65_536),
            identity=None,
            request=realtime.SessionRequest(),
        )
        for number in range(count)
    ]


def draining(sessions: list[Session]) -> int:
    return sum(session._machine.state is State.DRAINING for session in sessions)


def steps(clock: VirtualClock, sessions: list[Session], step: float, count: int) -> Iterator[int]:
    """How many are told in each step of time."""
    for _ in range(count):
        before = draining(sessions)
        clock.advance(step)
        yield draining(sessions) - before


async def test_sessions_are_told_so_many_a_second(rt: realtime.Server, clock: VirtualClock) -> None:
    sessions = await opened(rt, 120)
    draw = random.Random(5).random
    departures = Departures(sessions, clock, rate=20.0, within=60.0, delay=0.0, draw=draw)
    assert draining(sessions) == 0
    told = list(steps(clock, sessions, 1.0, 6))
    assert told == [20] * 6
    assert len(departures) == 0
    rt._service.sessions.end(1000, "")


async def test_no_second_has_more_than_the_rate_and_one_wherever_it_begins(
    rt: realtime.Server, clock: VirtualClock
) -> None:
    sessions = await opened(rt, 120)
    Departures(sessions, clock, rate=20.0, within=60.0, delay=0.0, draw=random.Random(6).random)
    told = list(steps(clock, sessions, 0.05, 130))
    assert sum(told) == 120
    assert max(sum(told[at : at + 20]) for at in range(110)) <= 21
    assert len(set(told)) > 1  # jittered: not one after each step
    rt._service.sessions.end(1000, "")


async def test_all_are_told_in_time(rt: realtime.Server, clock: VirtualClock) -> None:
    sessions = await opened(rt, 100)
    Departures(sessions, clock, rate=1.0, within=5.0, delay=0.0, draw=lambda: 0.5)
    clock.advance(5.0)
    assert draining(sessions) == 100
    rt._service.sessions.end(1000, "")


async def test_without_a_rate_all_are_told_at_once(rt: realtime.Server, clock: VirtualClock) -> None:
    sessions = await opened(rt, 10)
    Departures(sessions, clock, rate=None, within=5.0, delay=2.5, draw=lambda: 0.5)
    assert draining(sessions) == 10
    assert {session._machine.drain_delay for session in sessions} == {2.5}  # type: ignore[attr-defined]
    rt._service.sessions.end(1000, "")


async def test_who_has_left_is_not_waited_for(rt: realtime.Server, clock: VirtualClock) -> None:
    sessions = await opened(rt, 10)
    departures = Departures(sessions, clock, rate=10.0, within=5.0, delay=0.0, draw=lambda: 0.5)
    rt._service.sessions.end(1000, "")
    clock.advance(0.05)
    assert len(departures) == 0
    assert departures._timer is None


async def test_once_it_is_stopped_nobody_else_is_told(rt: realtime.Server, clock: VirtualClock) -> None:
    sessions = await opened(rt, 10)
    departures = Departures(sessions, clock, rate=10.0, within=5.0, delay=0.0, draw=lambda: 0.5)
    clock.advance(0.5)
    departures.stop()
    departures.stop()
    clock.advance(5.0)
    assert draining(sessions) == 5
    rt._service.sessions.end(1000, "")
