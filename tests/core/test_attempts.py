"""A client's attempts, through the histories that both clients are held to: what is late, held back, given up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime.core.attempts import GOOD_LIFE, OPEN_TIMED_OUT, Attempts
from realtime.core.choice import DUPLEX, POLL, Rules
from realtime.core.supervision import Supervision

from .supervision_histories import VECTORS, play

VECTOR_LIST: list[dict[str, Any]] = json.loads(VECTORS.read_text())


def test_every_history_comes_out_of_attempts_and_events_together() -> None:
    for vector in VECTOR_LIST:
        assert play(vector) == vector["steps"], vector["name"]


def supervision(**rules: Any) -> Supervision:
    """A policy with a WebSocket and a poll, that has not begun."""
    return Supervision([("websocket", DUPLEX), ("polling", POLL)], Rules(**rules), lambda: 0.0, 0.0)


def test_opening_ends_when_its_time_is_over() -> None:
    policy = supervision(open_timeout=7.0, attach_timeout=100.0)
    policy.turn(0.0)
    assert isinstance(policy, Attempts)
    assert ("end", 4411, OPEN_TIMED_OUT) in policy.turn(7.0)
    assert policy.deadline() == float("inf")


@pytest.mark.parametrize(("lived", "fails"), [(GOOD_LIFE - 0.1, 2), (GOOD_LIFE, 1)])
def test_a_good_life_makes_failures_forgotten(lived: float, fails: int) -> None:
    policy = supervision()
    (_, first, *_), *_ = policy.turn(0.0)
    policy.opened(0.0, 60.0, 0.0, (1.0, 2.0))
    policy.attached(0.0, int(first))
    policy.fails = 1
    policy.choice.failed("websocket", "cut", 0.0)
    policy.lost(lived, int(first), "cut")
    assert policy.fails == fails


def test_who_carries_already_needs_no_grace() -> None:
    policy = supervision(upgrade=False)
    (_, first, *_), *_ = policy.turn(0.0)
    policy.opened(0.0, 60.0, 0.0, (1.0, 2.0))
    policy.attached(0.0, int(first))
    policy.turn(0.0)
    before = policy.deadline()
    policy._grant(0.0, 0.5)
    policy.turn(0.0)
    assert policy.deadline() == before
