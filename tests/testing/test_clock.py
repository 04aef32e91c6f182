"""The virtual clock: it moves only when told, and makes its calls in order of time."""

from __future__ import annotations

import pytest

from realtime.clock import Clock
from realtime.testing import VirtualClock


def test_it_is_a_clock_and_stands_still() -> None:
    clock: Clock = VirtualClock(5.0)
    assert clock.now() == 5.0
    assert clock.now() == 5.0


def test_calls_are_made_in_order_of_time_each_at_its_own() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, float]] = []
    clock.call_at(3, lambda: seen.append(("c", clock.now())))
    clock.call_at(1, lambda: seen.append(("a", clock.now())))
    clock.call_at(1, lambda: seen.append(("b", clock.now())))
    clock.advance(2)
    assert seen == [("a", 1), ("b", 1)]
    assert clock.now() == 2
    clock.advance(1)
    assert seen[2:] == [("c", 3)]


def test_a_callback_may_owe_more_calls() -> None:
    clock = VirtualClock()
    seen: list[float] = []

    def tick() -> None:
        seen.append(clock.now())
        clock.call_at(clock.now() + 1, tick)

    clock.call_at(1, tick)
    clock.advance(3.5)
    assert seen == [1, 2, 3]
    assert clock.next_deadline() == 4
    assert clock.now() == 3.5


def test_a_time_that_has_passed_is_due_at_the_next_advance() -> None:
    clock = VirtualClock(10)
    seen: list[float] = []
    clock.call_at(2, lambda: seen.append(clock.now()))
    assert seen == []
    clock.advance(0)
    assert seen == [10]


def test_cancelling() -> None:
    clock = VirtualClock()
    seen: list[str] = []
    first = clock.call_at(1, lambda: seen.append("first"))
    second = clock.call_at(2, lambda: seen.append("second"))
    assert clock.next_deadline() == 1
    first.cancel()
    first.cancel()
    assert not first.pending
    assert clock.next_deadline() == 2
    clock.advance(5)
    assert seen == ["second"]
    second.cancel()
    assert clock.next_deadline() is None


def test_one_callback_may_cancel_another() -> None:
    clock = VirtualClock()
    seen: list[str] = []
    late = clock.call_at(1, lambda: seen.append("late"))
    clock.call_at(0.5, late.cancel)
    clock.advance(2)
    assert seen == []


def test_an_exception_stops_the_clock_there_and_loses_nothing() -> None:
    clock = VirtualClock()
    seen: list[float] = []

    def fail() -> None:
        raise LookupError("no")

    clock.call_at(1, fail)
    clock.call_at(2, lambda: seen.append(clock.now()))
    with pytest.raises(LookupError):
        clock.advance(5)
    assert clock.now() == 1
    clock.advance(1)
    assert seen == [2]


def test_it_does_not_go_back_nor_into_itself() -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(float("nan"))
    clock.call_at(1, lambda: clock.advance(1))
    with pytest.raises(RuntimeError, match="within advance"):
        clock.advance(1)


def test_reprs_tell_the_state() -> None:
    clock = VirtualClock()
    timer = clock.call_at(1.5, lambda: None)
    assert repr(timer) == "<VirtualTimer at 1.5 pending>"
    assert repr(clock) == "<VirtualClock now=0 next=1.5>"
    timer.cancel()
    assert repr(timer) == "<VirtualTimer at 1.5 over>"
