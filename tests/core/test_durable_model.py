"""The schedules of the model of durable sessions keep their promises; `python -m tests.core.durable_model 20000` plays
many more.
"""

from __future__ import annotations

import pytest

from realtime.core.durable.rooms import Heard

from .durable_model.schedule import Schedule, Shipping, broken
from .durable_model.world import Violation


def test_the_schedules_hold() -> None:
    assert broken(range(300)) is None


def test_they_hold_with_the_client_that_ships() -> None:
    assert broken(range(200), of=Shipping) is None


def test_they_break_with_a_client_that_hears_rooms_on_every_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Heard, "takes", lambda self, room, cursor, gen: True)
    assert broken(range(300), of=Shipping) is not None


def test_they_meet_what_they_are_for() -> None:
    totals: dict[str, int] = {}
    for seed in range(60):
        for name, number in Schedule(seed).play().items():
            totals[name] = totals.get(name, 0) + number
    wanted = {
        "takeovers",
        "crashes",
        "in turns",
        "between write and wire",
        "between wire and ack",
        "pauses",
        "deploys",
        "fenced",
        "store went back",
        "rooms went back",
        "repeated requests",
    }
    assert {name for name in wanted if totals.get(name, 0) < 5} == set()


def test_other_tasks_than_the_handlers_join_rooms_and_leave_them() -> None:
    beside = [schedule for schedule in map(Schedule, range(200)) if schedule.beside]
    moves = [schedule.play().get("rooms joined or left beside the handler", 0) for schedule in beside]
    assert sum(moves) >= 5


def test_a_schedule_is_the_same_again_and_tells_its_steps() -> None:
    steps: list[list[str]] = [[], []]
    results = [Schedule(11, trace).play() for trace in steps]
    assert results[0] == results[1]
    assert steps[0] == steps[1]
    assert len(steps[0]) > 20


def test_what_once_broke_a_promise_holds() -> None:
    """Schedules that failed while the rules were written, each for a reason of its own."""
    for seed in (274, 1035, 2787, 6449, 6765, 7733):
        assert broken(range(seed, seed + 1)) is None


def test_a_broken_promise_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(self: Schedule) -> dict[str, int]:
        raise Violation("silent gap")

    monkeypatch.setattr(Schedule, "play", play)
    assert broken(range(3, 5)) == "seed 3: silent gap"
