"""What runs sessions at both ends: one flush a turn, one timer for all deadlines, faults kept apart."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from realtime.core.client_machine import ClientMachine
from realtime.core.config import Config
from realtime.listener import SessionListener
from realtime.runtime import SLICE, Runtime
from realtime.testing import VirtualClock


class Flushed(ClientMachine):
    """A machine that counts, and fails when told to."""

    def __init__(self, listener: SessionListener[ClientMachine], log: list[str], name: str, fails: bool) -> None:
        super().__init__(Config(), listener, 0.0)
        self.log, self.name, self.fails = log, name, fails

    def flush(self, now: float) -> None:
        self.log.append(self.name)
        if self.fails:
            raise RuntimeError("a fault of ours")


def session(runtime: Runtime, log: list[str], name: str, *, fails: bool = False) -> SessionListener[ClientMachine]:
    """As much of a session as is run."""
    listener = SessionListener[ClientMachine](runtime, lambda machine: log.append(f"{name} ended"))
    listener.machine = Flushed(listener, log, name, fails)
    return listener


async def test_each_is_flushed_once_in_a_turn() -> None:
    log: list[str] = []
    runtime = Runtime(VirtualClock(), "client")
    one, two = session(runtime, log, "one"), session(runtime, log, "two")
    took: list[float] = []
    runtime.on_flush = (took.append, lambda seconds: log.append("written"))
    for _ in range(3):
        one.dirty()
        two.dirty()
    assert log == []
    await asyncio.sleep(0)
    assert log == ["one", "two", "written"]
    assert (len(took), took[0] >= 0) == (1, True)
    await asyncio.sleep(0)
    one.dirty()
    await asyncio.sleep(0)
    assert log == ["one", "two", "written", "one", "written"]


async def test_what_a_woken_application_answers_goes_along() -> None:
    log: list[str] = []
    runtime = Runtime(VirtualClock(), "client")
    one = session(runtime, log, "one")

    async def application() -> None:
        await one.enter()
        log.append("answered")
        one.dirty()

    task = asyncio.create_task(application())
    await asyncio.sleep(0)
    one.dirty()  # an ack is due
    one.machine.inbox.put("message", 7, 0.0)
    one.readable()
    await task
    await asyncio.sleep(0)
    assert log == ["answered", "one"]


async def test_who_cannot_be_told_of_the_end_has_ended_and_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    """What has made the flush fail meets the last word as well."""
    log: list[str] = []
    runtime = Runtime(VirtualClock(), "server")
    broken, fine = session(runtime, log, "broken", fails=True), session(runtime, log, "fine")

    class Carrying:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("a fault of ours")

    broken.machine.carrier = Carrying()  # type: ignore[assignment]
    broken.dirty()
    fine.dirty()
    await asyncio.sleep(0)
    assert log == ["broken", "broken ended", "fine"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("side", ["server", "client"])
async def test_a_flush_that_fails_ends_its_session_and_no_other(side: str, caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    runtime = Runtime(VirtualClock(), side)
    broken, fine = session(runtime, log, "broken", fails=True), session(runtime, log, "fine")
    broken.dirty()
    fine.dirty()
    await asyncio.sleep(0)
    assert log == ["broken", "broken ended", "fine"]
    assert broken.machine.outcome == (1011, f"the {side} failed", False)
    assert fine.machine.outcome is None
    (record,) = caplog.records
    assert (record.levelno, record.exc_info is not None) == (logging.ERROR, True)


async def test_many_are_flushed_in_slices_in_the_order_in_which_they_were_marked() -> None:
    log: list[str] = []
    runtime = Runtime(VirtualClock(), "server")
    names = [str(number) for number in range(2 * SLICE + 10)]
    sessions = [session(runtime, log, name) for name in names]
    for each in sessions:
        each.dirty()
    await asyncio.sleep(0)
    assert log == names[:SLICE]
    sessions[0].dirty()  # comes behind those who wait
    sessions[-1].dirty()  # waits already: what it has to write now goes along
    await asyncio.sleep(0)
    assert log == names[: 2 * SLICE]
    await asyncio.sleep(0)
    assert log == [*names, "0"]
    await asyncio.sleep(0)
    assert len(log) == len(names) + 1
    for each in sessions:
        each.dirty()
    runtime.flush()  # the shutdown's: all at once
    assert log[len(names) + 1 :] == names


class Due:
    """Something with deadlines, that notes when it was looked at."""

    def __init__(self, clock: VirtualClock, *later: float) -> None:
        self.wake_at = float("inf")
        self.looked: list[float] = []
        self._clock = clock
        self._later = list(later)

    def deadline(self) -> float:
        return self._later[0] if self._later else float("inf")

    def expire(self, now: float) -> None:
        self.looked.append(self._clock.now())
        while self._later and self._later[0] <= now:
            self._later.pop(0)


def waiting(clock: VirtualClock) -> int:
    """How many timers there are."""
    return sum(timer.pending for _, _, timer in clock._timers)


@pytest.mark.parametrize(("grain", "second"), [(0.0, 1.01), (0.05, 1.05)])
def test_one_timer_serves_all_deadlines(grain: float, second: float) -> None:
    clock = VirtualClock()
    runtime = Runtime(clock, "server", grain)
    one, two, three = Due(clock, 1.0, 1.01), Due(clock, 5.0), Due(clock, 3.0)
    for each in (two, one, three):
        runtime.wake(each, each.deadline())
    assert waiting(clock) == 1
    for at in (1.0, second, 5.0):
        clock.advance(at - clock.now())
        assert waiting(clock) == (at < 5.0)
    assert one.looked == [1.0, pytest.approx(second)]
    assert (two.looked, three.looked) == ([5.0], [3.0])


def test_what_is_forgotten_or_stopped_is_not_looked_at() -> None:
    clock = VirtualClock()
    runtime = Runtime(clock, "server")
    one, two = Due(clock, 1.0), Due(clock, 2.0)
    runtime.wake(one, 1.0)
    runtime.wake(two, 2.0)
    runtime.forget(one)
    clock.advance(1.5)
    assert one.looked == []
    runtime.stop()
    assert waiting(clock) == 0
    clock.advance(10.0)
    assert two.looked == []


def test_a_deadline_that_fails_stops_no_other() -> None:
    class Broken(Due):
        def expire(self, now: float) -> None:
            super().expire(now)
            raise RuntimeError("a fault of ours")

    clock = VirtualClock()
    runtime = Runtime(clock, "server")
    broken, fine = Broken(clock, 1.0), Due(clock, 2.0)
    runtime.wake(broken, 1.0)
    runtime.wake(fine, 2.0)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        clock.advance(1.0)
    clock.advance(1.0)
    assert fine.looked == [2.0]


def test_it_tells_when_its_process_stood_still() -> None:
    clock = VirtualClock()
    runtime, told = Runtime(clock, "server"), list[tuple[float, float]]()
    runtime.on_standstill = lambda now, late: told.append((now, late))
    one = Due(clock, 1.0, 2.0)
    runtime.wake(one, 1.0)
    clock.advance(1.0)
    clock._now = 60.0  # what is owed comes late
    clock.advance(0.0)
    assert (one.looked, told) == ([1.0, 60.0], [(60.0, 58.0)])
    runtime.wake(Due(clock, 1.0), 1.0)  # what is due since long ago when it is said
    clock.advance(0.0)
    assert len(told) == 1


def test_many_deadlines_at_once_are_looked_at_in_slices() -> None:
    clock = VirtualClock()
    runtime = Runtime(clock, "server", 0.05)
    many = [Due(clock, 1.0) for _ in range(2 * SLICE + 10)]
    for each in many:
        runtime.wake(each, 1.0)
    done: list[int] = []

    def look() -> None:
        done.append(sum(len(each.looked) for each in many))
        if len(done) < 4:
            clock.call_at(clock.now(), look)

    clock.call_at(1.0, look)
    clock.advance(1.0)  # nothing waits for the grain that is due already
    assert done == [SLICE, 2 * SLICE, 2 * SLICE + 10, 2 * SLICE + 10]
    assert waiting(clock) == 0
