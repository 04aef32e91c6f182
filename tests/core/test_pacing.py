"""When each of many is told to go."""

from __future__ import annotations

import random

from realtime.core.pacing import moments


def most_within(times: list[float], window: float) -> int:
    """How many there are at most in any so many seconds."""
    return max(sum(begin <= time < begin + window for time in times) for begin in times)


def test_nobody() -> None:
    assert moments(0, 10.0, 5.0, lambda: 0.5) == []


def test_one_in_each_part() -> None:
    assert moments(3, 10.0, 5.0, lambda: 0.5) == [0.05, 0.15, 0.25]


def test_whatever_is_drawn_no_second_has_more_than_the_rate_and_one() -> None:
    draw = random.Random(7).random
    times = moments(500, 50.0, 60.0, draw)
    assert times == sorted(times)
    assert len(set(times)) == 500
    assert most_within(times, 1.0) <= 51
    assert 9.9 < times[-1] <= 10.0


def test_many_are_told_faster_so_that_all_are_told_in_time() -> None:
    times = moments(1000, 50.0, 5.0, random.Random(7).random)
    assert times[-1] <= 5.0
    assert most_within(times, 1.0) <= 201
