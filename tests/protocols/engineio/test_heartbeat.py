"""Who is heard when, in both versions of Engine.IO."""

from __future__ import annotations

from realtime.core.machine import FOREVER
from realtime.protocols.engineio.heartbeat import Heartbeat
from realtime.protocols.engineio.packets import NOOP, PING


def started(version: int) -> Heartbeat:
    """Heartbeats every 25 s, answered within 20, from 0 s on."""
    heartbeat = Heartbeat(version, 25.0, 20.0)
    assert heartbeat.next == FOREVER
    heartbeat.start(0.0)
    return heartbeat


def test_version_4_pings_at_every_interval_and_is_answered_in_time() -> None:
    heartbeat = started(4)
    assert heartbeat.next == 25.0
    assert heartbeat.beat(25.0, unread=False) == PING
    assert (heartbeat.beat_at, heartbeat.gone_at, heartbeat.next) == (50.0, 45.0, 45.0)
    heartbeat.received(30.0)  # anything that comes is a sign of life
    assert heartbeat.gone_at == 50.0
    assert heartbeat.beat(50.0, unread=False) == PING
    assert heartbeat.gone_at == 50.0  # the first of them was not answered yet
    heartbeat.answered()
    assert heartbeat.gone_at == FOREVER
    heartbeat.received(60.0)
    assert heartbeat.gone_at == FOREVER  # nobody was waited for


def test_a_late_sweep_costs_the_client_nothing_of_its_time() -> None:
    late, very_late = started(4), started(4)
    late.beat(26.0, unread=False)
    assert late.gone_at == 45.0
    very_late.beat(40.0, unread=False)  # the process stood still
    assert very_late.gone_at == 60.0


def test_version_3_waits_for_the_clients_pings() -> None:
    heartbeat = started(3)
    assert heartbeat.next == heartbeat.gone_at == 45.0
    heartbeat.received(20.0)
    assert heartbeat.gone_at == 65.0


def test_version_3_gives_signs_of_life_to_a_client_that_is_not_read() -> None:
    heartbeat = started(3)
    assert heartbeat.unread(10.0) == 10.0 + 20.0 / 3
    assert heartbeat.unread(12.0) == 10.0 + 20.0 / 3
    assert heartbeat.beat(17.0, unread=True) == NOOP
    assert heartbeat.beat_at == 17.0 + 20.0 / 3
    assert heartbeat.beat(24.0, unread=False) == ""
    assert heartbeat.beat_at == FOREVER


def test_version_4_pings_a_client_that_is_not_read_as_ever() -> None:
    assert started(4).unread(10.0) == 25.0
