"""Whoever counts or traces: each observer of a server is told everything, of which session, until it stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.core.machine import SessionMachine
from realtime.core.observer import Cause, Result
from realtime.observing import Guarded

from .web.place import eventually, serving


class Tracer:
    """An Observer that writes down what it is told, and of whom."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []  # what, and the sid

    def of(self, sid: str) -> list[str]:
        """What was told of one session."""
        return [what for what, whose in self.told if whose == sid]

    def opened(self, machine: SessionMachine, transport: str) -> None:
        """Written down."""
        self.told.append((f"opened {transport}", machine.sid))

    def attached(self, machine: SessionMachine, cause: Cause, before: str, after: str, lost: bool) -> None:
        """Written down."""
        self.told.append((f"attached {cause} {after}", machine.sid))

    def ended(self, machine: SessionMachine) -> None:
        """Written down."""
        assert machine.outcome is not None
        self.told.append((f"ended {machine.outcome.code}", machine.sid))

    def refused(self, code: int) -> None:
        """Written down."""
        self.told.append((f"refused {code}", ""))

    def flushed(self, seconds: float) -> None:
        """Written down."""
        assert seconds >= 0
        self.told.append(("flushed", ""))

    def handled(self, machine: SessionMachine, seconds: float, result: Result) -> None:
        """Written down."""
        assert seconds >= 0
        self.told.append((f"handled {result}", machine.sid))


LIFE = ["opened websocket", "attached open websocket", "ended 1000", "handled returned"]


async def one_session(place: Any) -> str:
    """A session from its beginning to its end, on a WebSocket; its sid."""
    async with realtime.connect(place.url("/echo"), transports=["websocket"]) as session:
        await session.send("x")
        assert await session.receive() == "x"
        sid: str = session.id
    await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
    return sid


async def test_each_observer_is_told_everything_and_of_which_session() -> None:
    async with serving() as place:
        one, two = Tracer(), Tracer()
        place.rt.observe(one)
        place.rt.observe(two)
        sids = [await one_session(place) for _ in range(2)]
        place.rt._service.refused(4404)
        assert one.told == two.told
        assert [one.of(sid) for sid in sids] == [LIFE, LIFE]
        assert one.of("").count("refused 4404") == 1
        assert "flushed" in one.of("")


async def test_an_observer_that_stops_is_told_nothing_more_and_the_others_are() -> None:
    async with serving() as place:
        one, two = Tracer(), Tracer()
        stop = place.rt.observe(one)
        place.rt.observe(two)
        await one_session(place)
        before = list(one.told)
        stop()
        stop()  # harmless
        sid = await one_session(place)
        assert one.told == before
        assert two.of(sid) == LIFE


async def test_the_sessions_there_are_get_a_new_observer_and_lose_one_that_stops() -> None:
    async with serving() as place:
        _, session = await place.parked("websocket")
        machine = session._machine
        tracer = Tracer()
        stop = place.rt.observe(tracer)
        assert machine.observers == (Guarded(tracer),)
        stop()
        assert not machine.observers
        place.rt.observe(tracer)
        place.rt.observe(tracer)  # told once all the same
        machine.end(1000, "", place.rt._service.clock.now())
        assert tracer.of(session.id) == ["ended 1000"]


class Faulty(Tracer):
    """One that raises, whatever it is told."""

    def opened(self, machine: SessionMachine, transport: str) -> None:
        super().opened(machine, transport)
        raise RuntimeError

    def attached(self, machine: SessionMachine, cause: Cause, before: str, after: str, lost: bool) -> None:
        super().attached(machine, cause, before, after, lost)
        raise RuntimeError

    def ended(self, machine: SessionMachine) -> None:
        super().ended(machine)
        raise asyncio.CancelledError  # of a future that it has looked at

    def refused(self, code: int) -> None:
        super().refused(code)
        raise RuntimeError

    def flushed(self, seconds: float) -> None:
        super().flushed(seconds)
        raise RuntimeError

    def handled(self, machine: SessionMachine, seconds: float, result: Result) -> None:
        super().handled(machine, seconds, result)
        raise RuntimeError


async def test_what_an_observer_raises_disturbs_neither_sessions_nor_other_observers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as place:
        faulty, tracer = Faulty(), Tracer()
        place.rt.observe(faulty)
        place.rt.observe(tracer)
        sid = await one_session(place)
        place.rt._service.refused(4404)
        assert faulty.told == tracer.told
        assert tracer.of(sid) == LIFE
        assert len(place.rt) == 0
    assert {record.message for record in caplog.records} == {"an observer raised, which it never should"}
