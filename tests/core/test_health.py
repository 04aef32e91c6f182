"""What failed, how long it is remembered, and when it is worth another try."""

from __future__ import annotations

import pytest

from realtime.core.health import Failure, Health, Memory


def test_what_never_failed_is_well() -> None:
    health = Health(5.0, 100.0)
    assert health.is_well("websocket", 0.0)
    assert health.retry_at("websocket", 7.0) == 7.0
    assert health.failure("websocket", 0.0) is None
    assert len(health) == 0


def test_each_failure_in_a_row_doubles_the_wait_up_to_a_limit() -> None:
    health = Health(5.0, 100.0)
    waits = []
    now = 0.0
    for _ in range(7):
        health.failed("websocket", "refused", now)
        waits.append(health.retry_at("websocket", now) - now)
        now = health.retry_at("websocket", now)
    assert waits == [5.0, 10.0, 20.0, 40.0, 80.0, 100.0, 100.0]
    assert health.is_well("sse", now)


def test_it_is_tried_again_when_its_time_has_come() -> None:
    health = Health(5.0, 100.0)
    health.failed("websocket", "refused", 10.0)
    assert not health.is_well("websocket", 14.9)
    assert health.is_well("websocket", 15.0)
    assert health.failure("websocket", 15.0) == Failure(1, 10.0, "refused")  # remembered, and worth a try


def test_a_success_forgets_all() -> None:
    health = Health(5.0, 100.0)
    health.failed("websocket", "refused", 0.0)
    health.worked("websocket")
    health.worked("websocket")
    assert health.is_well("websocket", 0.0)


def test_failures_fade_one_by_one() -> None:
    health = Health(5.0, 100.0)
    for now in (0.0, 5.0, 15.0):
        health.failed("websocket", "cut", now)
    assert health.times("websocket", 114.0) == 3
    assert health.times("websocket", 115.0) == 2
    assert health.times("websocket", 215.0) == 1
    assert health.times("websocket", 315.0) == 0
    assert len(health) == 0


def test_another_network_forgets_everything() -> None:
    health = Health(5.0, 100.0)
    health.failed("websocket", "refused", 0.0)
    health.failed("sse", "held", 0.0)
    health.forget()
    assert health.is_well("websocket", 0.0)
    assert health.is_well("sse", 0.0)


def test_a_memory_keeps_networks_apart() -> None:
    memory = Memory(5.0, 100.0, 10)
    memory.failed("a", "websocket", "refused", 0.0)
    memory.failed("a", "sse", "held", 0.0)
    assert memory.of("b") is None
    assert not memory.of("a").is_well("websocket", 1.0)  # type: ignore[union-attr] # there is one
    memory.worked("b", "websocket")
    memory.worked("a", "websocket")
    assert len(memory) == 1
    memory.worked("a", "sse")
    assert len(memory) == 0


def test_the_least_recently_used_network_is_forgotten_first() -> None:
    memory = Memory(5.0, 100.0, 2)
    for network in ("a", "b"):
        memory.failed(network, "websocket", "refused", 0.0)
    memory.of("a")
    memory.failed("c", "websocket", "refused", 0.0)
    assert (memory.of("a") is not None, memory.of("b"), memory.of("c") is not None) == (True, None, True)


def test_a_thousand_failures_in_a_row_are_no_overflow() -> None:
    health = Health(5.0, 100.0)
    for _ in range(2000):
        health.failed("websocket", "refused", 0.0)
    assert health.retry_at("websocket", 0.0) == 100.0
    assert health.times("websocket", 0.0) == 64


@pytest.mark.parametrize("most", [0.0, 5e-324])
def test_where_nothing_is_waited_for_a_failure_counts_for_its_moment(most: float) -> None:
    """As with connect(upgrade_interval=(0, 0))."""
    health = Health(0.0, most)
    health.failed("websocket", "refused", 1.0)
    health.failed("websocket", "refused", 1.0)
    assert health.times("websocket", 1.0) == 2
    assert health.failure("websocket", 1.0) == Failure(2, 1.0, "refused")
    assert health.is_well("websocket", 1.0)
    assert health.times("websocket", 1.1) == 0
    assert len(health) == 0
