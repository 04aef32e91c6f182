"""What the congestion control makes of a path, in time of its own."""

from __future__ import annotations

from math import inf

import pytest
from aioquic.quic.congestion.reno import RenoCongestionControl

from realtime.quic.congestion import FEW, Bbr, Mode, Pacer

from .path import SIZE, Path, Sender

RATE, DISTANCE = 1_250_000.0, 0.04  # 10 Mbit/s
HOLDS = RATE * DISTANCE


def share(sender: Sender, begin: float, end: float) -> float:
    """Which share of what its path delivers gets through between two moments."""
    sender.path.run(begin)
    before = sender.delivered
    sender.path.run(end)
    return (sender.delivered - before) / ((end - begin) * sender.path.rate)


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_path_is_filled_also_where_packets_are_lost(loss: float, seed: int) -> None:
    path = Path(rate=RATE, distance=DISTANCE, queue=2 * HOLDS, loss=loss, seed=seed)
    sender = Sender(path)
    assert share(sender, 1.0, 9.0) > 0.85 * (1 - loss)
    assert path.dropped < 0.02 * path.passed


def test_where_packets_are_lost_it_is_many_times_what_reno_gets_through() -> None:
    several = []
    for control in (RenoCongestionControl(max_datagram_size=SIZE), Bbr(max_datagram_size=SIZE)):
        path = Path(rate=RATE, distance=DISTANCE, queue=2 * HOLDS, loss=0.05)
        several.append(share(Sender(path, control), 1.0, 9.0))
    assert several[1] > 5 * several[0]


def test_the_queue_is_left_nearly_empty() -> None:
    """So that what is said between is not late."""
    path = Path(rate=RATE, distance=DISTANCE, queue=20 * HOLDS)
    Sender(path)
    path.run(2.0)
    waiting = []
    for step in range(700):
        path.run(2.0 + step / 100)
        waiting.append(path.waiting)
    assert sum(waiting) / len(waiting) < 0.5 * HOLDS
    assert max(waiting) < HOLDS


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_path_that_changes(factor: float) -> None:
    path = Path(rate=RATE, distance=DISTANCE, queue=4 * HOLDS)
    sender = Sender(path)
    path.run(5.0)
    path.rate *= factor
    assert share(sender, 9.0, 14.0) > 0.8
    assert path.waiting < 2 * path.rate * DISTANCE


def test_a_path_that_grows_longer_is_noticed() -> None:
    path = Path(rate=RATE, distance=DISTANCE, queue=8 * HOLDS)
    sender = Sender(path)
    path.run(5.0)
    path.distance = 3 * DISTANCE
    assert share(sender, 17.0, 22.0) > 0.75


def test_a_path_that_grows_many_times_longer_is_filled_anew() -> None:
    """What was on the way by the distance of before was so little that it said nothing of the path."""
    path = Path(rate=RATE, distance=DISTANCE, queue=8 * HOLDS)
    sender = Sender(path)
    path.run(5.0)
    path.distance = 8 * DISTANCE
    assert share(sender, 20.0, 24.0) > 0.7


def test_where_what_is_too_much_is_dropped_at_once_little_is() -> None:
    """A policer, or a box with hardly a queue."""
    path = Path(rate=RATE, distance=DISTANCE, queue=0.1 * HOLDS)
    sender = Sender(path)
    assert share(sender, 2.0, 12.0) > 0.7
    before = path.dropped, path.passed
    path.run(22.0)
    assert path.dropped - before[0] < 0.1 * (path.passed - before[1])


def test_where_half_is_lost_less_is_sent() -> None:
    path = Path(rate=RATE, distance=DISTANCE, queue=2 * HOLDS)
    sender = Sender(path)
    path.run(3.0)
    before = path.passed
    path.run(4.0)
    usual = path.passed - before
    path.loss = 0.5
    path.run(6.0)
    before = path.passed
    path.run(7.0)
    assert path.passed - before < 0.5 * usual
    path.loss = 0.0
    assert share(sender, 12.0, 15.0) > 0.8


def test_two_share_a_path() -> None:
    path = Path(rate=RATE, distance=DISTANCE, queue=2 * HOLDS)
    one = Sender(path)
    path.run(3.0)
    other = Sender(path)
    path.run(10.0)
    before = one.delivered, other.delivered
    path.run(25.0)
    shares = [(sender.delivered - was) / (15.0 * RATE) for sender, was in zip((one, other), before, strict=True)]
    assert sum(shares) > 0.85
    assert min(shares) > 0.2


def test_few_packets_say_nothing_of_a_path() -> None:
    """Whoever says little at first, and then much, begins as anybody does."""
    path = Path(rate=RATE, distance=DISTANCE, queue=2 * HOLDS)
    sender = Sender(path, every=0.1)
    path.run(8.0)
    control = sender.control
    assert isinstance(control, Bbr)
    assert control.mode is Mode.START
    assert control.congestion_window >= 10 * SIZE
    sender.every = 0.0
    assert share(sender, 9.0, 14.0) > 0.85


def test_a_round_trip_in_no_time_is_a_short_one() -> None:
    """As a clock may have it that stands still for a while."""
    path = Path(rate=RATE, distance=DISTANCE, queue=2 * HOLDS)
    control = Sender(path, every=0.1).control
    assert isinstance(control, Bbr)
    path.run(1.0)
    assert control.rate > 0
    control.on_rtt_measurement(now=1.0, rtt=0.0)
    assert control.rate < control.pacing_rate < inf


def test_where_nothing_comes_through_all_begins_anew() -> None:
    path = Path(rate=RATE, distance=DISTANCE, queue=2 * HOLDS)
    sender = Sender(path)
    path.run(3.0)
    path.loss = 1.0
    path.run(6.0)
    control = sender.control
    assert isinstance(control, Bbr)
    assert control.congestion_window == 2 * SIZE
    assert control.rate == 0.0
    assert control.pacing_rate == 0.0
    path.loss = 0.0
    assert share(sender, 9.0, 14.0) > 0.8


def test_another_path_behind_a_silence_is_filled_however_much_farther_it_leads() -> None:
    """Another network, for instance: neither the distance of before nor what was lost says anything of it."""
    path = Path(rate=RATE, distance=DISTANCE, queue=2 * HOLDS)
    sender = Sender(path)
    path.run(5.0)
    path.loss = 1.0
    path.run(8.5)
    path.loss, path.distance = 0.0, 8 * DISTANCE
    assert share(sender, 12.0, 15.0) > 0.6


def test_the_distance_is_looked_at_again_with_little_on_the_way() -> None:
    path = Path(rate=RATE, distance=DISTANCE, queue=20 * HOLDS)
    sender = Sender(path)
    control = sender.control
    assert isinstance(control, Bbr)
    seen = set()
    for step in range(1500):
        path.run(step / 50)
        seen.add(control.mode)
        if control.mode is Mode.LOOK:
            assert control.congestion_window <= FEW * SIZE or control.bytes_in_flight > FEW * SIZE
    assert {Mode.CRUISE, Mode.LOOK} <= seen
    assert share(sender, 30.0, 40.0) > 0.85


def test_what_expires_is_not_on_its_way_any_more() -> None:
    path = Path(rate=RATE, distance=DISTANCE, queue=HOLDS)
    sender = Sender(path)
    path.run(0.01)
    control = sender.control
    assert control.bytes_in_flight > 0
    control.on_packets_expired(packets=[*sender._on_the_way.values()])
    assert control.bytes_in_flight == 0


def test_the_pacer_keeps_the_rate_whoever_asks_and_however_late() -> None:
    """aioquic asks whenever something has come, and is called late on a busy machine."""
    control = Bbr(max_datagram_size=SIZE)
    control._rates.append((0, RATE))
    control._rtt, control.mode, control._phase = DISTANCE, Mode.CRUISE, 2
    for step in (0.0001, 0.0013, 0.02, 0.05):
        pacer, sent, now = Pacer(control, max_datagram_size=SIZE), 0, 0.0
        pacer.update_rate(0, DISTANCE)
        while now < 4.0:
            now += step
            while pacer.next_send_time(now) is None:
                pacer.update_after_send(now)
                sent += SIZE
        assert 0.95 < sent / (4.0 * RATE) < 1.05, step


def test_who_was_silent_has_no_more_than_a_burst() -> None:
    control = Bbr(max_datagram_size=SIZE)
    control._rates.append((0, RATE))
    control._rtt, control.mode, control._phase = DISTANCE, Mode.CRUISE, 2
    pacer, sent = Pacer(control, max_datagram_size=SIZE), 0
    pacer.update_rate(0, DISTANCE)
    while pacer.next_send_time(100.0) is None:
        pacer.update_after_send(100.0)
        sent += 1
    assert sent <= 7
    for _ in range(1000):  # what goes at any time is not owed for ever
        pacer.update_after_send(100.0)
    later = pacer.next_send_time(100.0)
    assert later is not None
    assert later < 100.0 + 2 * SIZE / RATE


def test_before_anything_is_known_nothing_waits() -> None:
    control = Bbr(max_datagram_size=SIZE)
    pacer = Pacer(control, max_datagram_size=SIZE)
    assert pacer.next_send_time(1.0) is None
    pacer.update_after_send(1.0)
    assert pacer.next_send_time(1.0) is None
    control._rates.append((0, 100.0))  # of the few bytes that were said
    control._rtt = DISTANCE
    assert control.pacing_rate > 10 * SIZE / DISTANCE
