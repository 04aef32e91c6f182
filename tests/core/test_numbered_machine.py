"""The server's end: generations, polls, silence, expiry (docs/protocol.md §4, §5, §7, §8)."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock, call

import pytest

from realtime.core.carrier import NumberedCarrier, Shape
from realtime.core.config import Config
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.core.frames import Outgoing, Window
from realtime.core.lifecycle import State
from realtime.core.machine import FOREVER
from realtime.core.numbered_machine import NumberedMachine
from realtime.core.numbering import ACK_DELAY
from realtime.core.observer import Cause, Observer

from .fakes import WIDE, Diary, FakeLink, duplex, life, poll, stream, texts

TIMES = {"ping_interval": 20.0, "ping_timeout": 10.0, "resume_window": 100.0, "open_timeout": 10.0}


def server(window: Window = WIDE, **settings: Any) -> tuple[NumberedMachine, Diary]:
    """A session that has just been made, at 0 s."""
    diary = Diary()
    config = Config(**{"max_queue": 16, "max_queue_size": 65_536, **TIMES, **settings})
    return NumberedMachine(config, window, diary, 0.0, sid="s1", nonce="n1"), diary


def opened(now: float = 0.0, **settings: Any) -> tuple[NumberedMachine, Diary, NumberedCarrier, FakeLink]:
    """A session whose client has attached on a duplex carrier; what that said is forgotten."""
    machine, diary = server(**settings)
    carrier, link = duplex(now)
    machine.attach(carrier, 1, 0, 0, 1, now)
    link.writes.clear()
    diary.read()
    diary.moves.clear()
    diary.woken.clear()
    return machine, diary, carrier, link


def parked(now: float = 0.0, **settings: Any) -> tuple[NumberedMachine, Diary, NumberedCarrier, FakeLink]:
    """A session with one held poll."""
    machine, diary = server(**settings)
    carrier, link = poll(now)
    machine.attach(carrier, 1, 0, 0, 1, now)
    diary.read()
    diary.moves.clear()
    return machine, diary, carrier, link


def streaming(now: float = 0.0, **settings: Any) -> tuple[NumberedMachine, Diary, NumberedCarrier, FakeLink]:
    """A session whose client has attached by a stream; what that said is forgotten."""
    machine, diary = server(**settings)
    carrier, link = stream(now)
    machine.attach(carrier, 1, 0, 0, 1, now)
    link.writes.clear()
    diary.read()
    diary.moves.clear()
    return machine, diary, carrier, link


def answered(machine: NumberedMachine, now: float) -> None:
    """The client sends an uplink batch that says nothing new."""
    outbox = machine.outbox
    machine.uplink(poll(now)[0], outbox.acked, outbox.taken, machine.inbox.received + 1, now)


# -- opening and attaching -------------------------------------------------------------------------------------------


def test_an_open_is_answered_by_its_own_head_and_does_not_use_the_sid() -> None:
    machine, diary = server()
    carrier, link = duplex()
    carrier.greeting = lambda received, taken: f"o{received},{taken}"
    assert machine.open(carrier, 1, 0.0)
    assert link.said == ["o0,0"]
    assert not machine.used
    assert machine.state is State.OPEN
    assert diary.moves == [(State.CONNECTING, State.OPEN)]
    assert (machine.deadline(), machine.carrier) == (10.0, carrier)


def test_an_attach_is_answered_with_the_acks_and_uses_the_sid() -> None:
    machine, _, _, _ = opened()
    machine.lost(machine.carrier or pytest.fail("no carrier"), 1.0)
    machine.send(Outgoing.message("a"))
    carrier, link = duplex()
    assert machine.attach(carrier, 2, 0, 0, 1, 2.0)
    assert machine.used
    assert (machine.gen, carrier.gen, carrier.attached) == (2, 2, True)
    machine.flush(2.0)
    assert link.said == ["r0,0", "ma"]


@pytest.mark.parametrize("kind", [opened, streaming])
def test_a_carrier_whose_way_is_going_away_is_ended_and_another_awaited(kind: Any) -> None:
    machine, _, carrier, link = kind()
    machine.send(Outgoing.message("a"))
    machine.recycle(1.0)
    assert link.said == ["erecycled"]
    assert link.closed == (1000, "recycled")
    assert (machine.carrier, machine.state) == (None, State.OPEN)
    machine.lost(carrier, 1.5)  # which is no news
    machine.recycle(1.5)  # there is none
    following, following_link = duplex()
    machine.attach(following, carrier.gen + 1, 0, 0, 1, 2.0)
    machine.flush(2.0)
    assert following_link.said == ["r0,0", "ma"]


def test_a_poll_whose_way_is_going_away_is_answered() -> None:
    machine, _, _, link = parked()
    machine.recycle(1.0)
    assert link.said == ["r0,0"]
    assert (machine.carrier, machine.state) == (None, State.OPEN)


def test_cursors_are_set_by_the_attach() -> None:
    machine, _, first, first_link = opened()
    for item in texts("a", "b", "c"):
        machine.send(item)
    machine.message(first, "x", 1, 0.0)
    machine.flush(0.0)
    assert first_link.said == ["ma", "mb", "mc"]
    carrier, link = duplex()
    machine.attach(carrier, 2, 2, 1, 2, 0.0)
    assert (carrier.send_cursor, carrier.receive_cursor) == (3, 2)
    machine.flush(0.0)
    assert link.said == ["r1,0", "mc"]
    machine.message(carrier, "y", 1, 0.0)
    assert machine.inbox.received == 2


def test_the_ack_in_an_attached_counts_as_announced() -> None:
    machine, _, first, _ = opened()
    machine.message(first, "x", 1, 0.0)
    assert machine.inbox.news
    machine.attach(duplex()[0], 2, 0, 0, 2, 0.0)
    assert not machine.inbox.news


def test_a_higher_gen_takes_over_and_the_old_carrier_is_told() -> None:
    machine, diary, old, old_link = opened()
    new, _ = duplex()
    assert machine.attach(new, 5, 0, 0, 1, 1.0)
    assert machine.carrier is new
    assert old_link.said == ["esuperseded"]
    assert (old.finished, old_link.closed) == (True, (1000, "superseded"))
    assert diary.moves == []  # nothing to tell: the transport is the same
    machine.message(old, "still counts", 1, 1.0)
    assert machine.inbox.received == 1
    machine.lost(old, 2.0)  # and its loss detaches nothing
    assert machine.state is State.OPEN


def test_an_equal_gen_is_the_same_request_repeated_the_latest_arrival_takes_over() -> None:
    machine, _, _, old_link = opened()
    again, _ = duplex()
    assert machine.attach(again, 1, 0, 0, 1, 1.0)
    assert machine.carrier is again
    assert old_link.said == ["esuperseded"]


def test_a_lower_gen_is_late_but_what_it_brought_counts() -> None:
    machine, _, newest, newest_link = opened()
    machine.send(Outgoing.message("a"))
    machine.attach(newest, 4, 0, 0, 1, 0.0)
    machine.flush(0.0)
    late, late_link = duplex()
    assert not machine.attach(late, 3, 1, 0, 1, 1.0)
    assert machine.outbox.acked == 1
    machine.message(late, "brought", 1, 1.0)
    machine.retire(late)
    assert machine.inbox.received == 1
    assert late_link.said == ["esuperseded"]
    assert machine.carrier is newest
    assert newest_link.closed is None


def test_attaching_the_same_carrier_again_does_not_retire_it() -> None:
    machine, _, carrier, link = opened()
    machine.attach(carrier, 2, 0, 0, 1, 0.0)
    assert link.said == ["r0,0"]
    assert not carrier.finished


def test_a_poll_that_is_superseded_is_answered_with_acks_that_are_not_announced() -> None:
    machine, _, _, link = parked()
    send, _ = poll()
    machine.uplink(send, 0, 0, 1, 0.0)
    machine.message(send, "x", 1, 0.0)
    machine.attach(poll()[0], 2, 0, 0, 2, 0.0)
    assert link.said == ["r1,0", "esuperseded"]
    assert machine.inbox.news
    assert link.closed == (1000, "superseded")


@pytest.mark.parametrize(("received", "taken"), [(1, 0), (1, 1), (0, 1)])
def test_absurd_acks_in_an_attach(received: int, taken: int) -> None:
    machine, _, _, _ = opened()
    with pytest.raises(RemoteProtocolError):
        machine.attach(duplex()[0], 2, received, taken, 1, 0.0)


def test_an_attach_whose_ack_was_all_the_session_waited_for() -> None:
    machine, _, carrier, _ = opened()
    machine.message(carrier, "x", 1, 0.0)
    machine.close(3000, "bye", 0.0)
    machine.flush(0.0)
    machine.lost(carrier, 0.0)
    with pytest.raises(Refusal) as caught:
        machine.attach(duplex()[0], 2, 1, 0, 2, 1.0)
    refusal = caught.value
    assert (refusal.code, refusal.reason, refusal.scope, refusal.received) == (3000, "bye", "session", 1)
    assert machine.outcome == (3000, "bye", True)


def test_reopening_renews_the_open_timeout() -> None:
    machine, _ = server()
    machine.open(duplex()[0], 1, 0.0)
    machine.open(duplex(8.0)[0], 2, 8.0)
    machine.expire(10.0)
    assert machine.outcome is None
    assert machine.deadline() == 18.0
    machine.expire(18.0)
    assert machine.outcome is not None
    assert machine.outcome.code == 4408


def test_who_is_looked_at_before_an_open_is_late_asks_for_nothing() -> None:
    machine, diary = server()
    machine.wake_at = 10.0
    machine.open(duplex()[0], 1, 0.0)
    assert diary.woken == []


def test_a_session_that_was_never_attached_ends_at_open_timeout() -> None:
    machine, _ = server()
    assert machine.deadline() == 10.0
    machine.expire(9.9)
    assert machine.outcome is None
    machine.expire(10.0)
    assert machine.outcome is not None
    assert (machine.outcome.code, machine.outcome.clean) == (4408, False)


# -- uplink batches --------------------------------------------------------------------------------------------------


def test_an_uplink_batch_is_answered_with_acks_that_do_not_count_as_announced() -> None:
    machine, diary, _, _ = parked()
    send, _ = poll()
    assert machine.uplink(send, 0, 0, 1, 3.0)
    assert machine.contact == 3.0
    assert "dirty" in diary.read()
    machine.message(send, "a", 1, 3.0)
    assert machine.uplink_answer(send) == "a1,0"
    assert machine.inbox.news


def test_an_uplink_batch_alone_flushes_nothing_unless_there_is_something_to_say() -> None:
    machine, diary, carrier, link = streaming(window=Window(1, 100))
    machine.offer(Outgoing.message("a"))
    machine.flush(0.0)
    diary.read()
    assert machine.uplink(poll()[0], 0, 0, 1, 1.0, alone=True)
    assert "dirty" not in diary.read()
    machine.offer(Outgoing.message("b"))
    machine.flush(1.0)
    assert link.said == ["ma"]
    diary.read()
    assert machine.uplink(poll()[0], 1, 1, 1, 2.0, alone=True)  # which makes room for it
    assert "dirty" in diary.read()
    machine.flush(2.0)
    assert link.said == ["mb"]
    machine.message(carrier, "up", 2, 2.0)
    diary.read()
    assert machine.uplink(poll()[0], 1, 1, 2, 3.0, alone=True)
    assert "dirty" in diary.read()  # an ack is owed


def test_an_uplink_batch_uses_the_sid() -> None:
    machine, _ = server()
    machine.uplink(poll()[0], 0, 0, 1, 0.0)
    assert machine.used


def test_an_innocent_gap_of_a_post_changes_nothing_and_is_answered_normally() -> None:
    machine, _, _, _ = parked()
    send, _ = poll()
    assert machine.uplink(send, 0, 0, 3, 0.0)
    machine.message(send, "third", 1, 0.0)
    assert machine.inbox.received == 0
    assert machine.uplink_answer(send) == "a0,0"
    assert machine.outcome is None


def test_the_gap_of_a_poll_is_innocent_too_and_that_of_a_websocket_is_not() -> None:
    machine, _, _, _ = opened()
    late, _ = poll()
    machine.attach(late, 2, 0, 0, 2, 0.0)
    machine.message(late, "second", 1, 0.0)
    assert machine.inbox.received == 0
    websocket, _ = duplex()
    machine.attach(websocket, 3, 0, 0, 2, 0.0)
    with pytest.raises(RemoteProtocolError, match="gap"):
        machine.message(websocket, "second", 1, 0.0)


def test_absurd_acks_in_an_uplink_batch() -> None:
    machine, _, _, _ = parked()
    with pytest.raises(RemoteProtocolError):
        machine.uplink(poll()[0], 1, 0, 1, 0.0)


def test_an_uplink_batch_that_ends_the_session_by_its_ack() -> None:
    machine, _, _, _ = parked()
    machine.close(1000, "bye", 0.0)
    machine.flush(0.0)
    send, _ = poll()
    assert not machine.uplink(send, 1, 0, 1, 0.0)
    assert machine.uplink_answer(send) == "x1000,session,0,bye"


# -- the loss of carriers --------------------------------------------------------------------------------------------


def test_the_loss_of_the_newest_carrier_detaches() -> None:
    machine, diary, carrier, _ = opened()
    machine.lost(carrier, 5.0)
    assert carrier.finished
    assert (machine.state, machine.carrier) == (State.DETACHED, None)
    assert diary.moves == [(State.OPEN, State.DETACHED)]
    assert machine.deadline() == 5.0 + 100.0
    machine.lost(carrier, 6.0)
    assert machine.deadline() == 5.0 + 100.0


def test_a_detached_session_waits_for_resume_window_and_then_ends() -> None:
    machine, _, carrier, _ = opened()
    machine.lost(carrier, 5.0)
    machine.expire(104.9)
    assert machine.outcome is None
    machine.expire(105.0)
    machine.expire(200.0)
    assert machine.outcome == (4410, "no carrier came within the resume window", False)
    assert machine.deadline() == FOREVER


def test_a_detached_session_that_is_attached_in_time_goes_on() -> None:
    machine, _, carrier, _ = opened()
    machine.lost(carrier, 5.0)
    machine.attach(duplex(104.0)[0], 2, 0, 0, 1, 104.0)
    machine.expire(105.0)
    assert machine.state is State.OPEN


# -- polls -----------------------------------------------------------------------------------------------------------


def test_a_held_poll_without_news_waits_until_it_has_been_held_long_enough() -> None:
    machine, _, carrier, link = parked()
    machine.flush(0.0)
    machine.flush(19.9)
    assert link.writes == []
    assert machine.deadline() == 20.0
    machine.expire(20.0)
    assert link.writes == [["r0,0"]]
    assert (carrier.finished, link.closed, machine.carrier) == (True, (1000, ""), None)


def test_a_held_poll_is_answered_when_there_is_something_to_send() -> None:
    machine, _, _, link = parked()
    for item in texts("a", "b"):
        machine.send(item)
    machine.flush(1.0)
    assert link.writes == [["r0,0", "ma", "mb"]]
    machine.flush(1.0)
    assert len(link.writes) == 1


def test_the_first_long_poll_after_another_transport_or_after_an_absence_is_not_held() -> None:
    machine, *_ = opened()  # on a WebSocket
    held, link = poll(1.0, name="long_polling")
    machine.attach(held, 2, 0, 0, 1, 1.0)
    machine.flush(1.0)
    assert link.said == ["r0,0"]
    following, link = poll(1.1, name="long_polling")
    machine.attach(following, 3, 0, 0, 1, 1.1)
    machine.flush(1.1)
    assert link.writes == []
    machine.lost(following, 1.2)
    back, link = poll(1.3, name="long_polling")
    machine.attach(back, 4, 0, 0, 1, 1.3)
    machine.flush(1.3)
    assert link.said == ["r0,0"]


def test_a_poll_that_comes_while_an_older_one_is_held_is_not_held() -> None:
    machine, _, _, old = parked()
    again, link = poll(1.0)
    machine.attach(again, 1, 0, 0, 1, 1.0)  # the same request, repeated on the way
    machine.flush(1.0)
    assert (old.said[-1:], link.writes) == (["esuperseded"], [])
    anew, link = poll(2.0)
    machine.attach(anew, 2, 0, 0, 1, 2.0)  # its client has given the one before up
    machine.flush(2.0)
    assert link.said == ["r0,0"]


def test_a_held_poll_is_answered_when_an_ack_is_due() -> None:
    machine, _, carrier, link = parked()
    machine.message(carrier, "x", 1, 2.0)
    assert machine.deadline() == 12.0  # half of ping_interval
    machine.flush(11.9)
    assert link.writes == []
    machine.expire(12.0)
    assert link.said == ["r1,0"]
    assert not machine.inbox.news


def test_an_answer_is_bounded_and_the_rest_comes_with_the_next_poll() -> None:
    machine, _, _, link = parked(max_batch=3)
    for item in texts(*"abcd"):
        machine.send(item)
    machine.flush(0.0)
    assert link.said == ["r0,0", "ma", "mb", "mc"]
    following, following_link = poll()
    machine.attach(following, 2, 3, 0, 1, 0.0)
    machine.flush(0.0)
    assert following_link.said == ["r0,0", "md"]


def test_a_lost_answer_is_repeated_to_the_next_poll() -> None:
    machine, _, _, link = parked()
    machine.send(Outgoing.message("a"))
    machine.flush(0.0)
    assert link.said == ["r0,0", "ma"]
    following, following_link = poll()
    machine.attach(following, 2, 0, 0, 1, 0.0)
    machine.flush(0.0)
    assert following_link.said == ["r0,0", "ma"]


def test_an_answer_renumbers_where_acks_came_by_a_send() -> None:
    machine, _, _, _ = parked()
    for item in texts("a", "b"):
        machine.send(item)
    machine.flush(0.0)
    following, link = poll()
    machine.attach(following, 2, 0, 0, 1, 0.0)
    machine.uplink(poll()[0], 1, 0, 1, 0.0)
    machine.flush(0.0)
    assert link.said == ["r0,0", "n2", "mb"]


def test_a_poll_that_opens_is_never_held() -> None:
    machine, _ = server()
    carrier, link = poll()
    carrier.greeting = lambda received, taken: "o"
    machine.open(carrier, 1, 0.0)
    machine.flush(0.0)
    assert link.said == ["o"]
    assert carrier.finished


def test_a_plain_poll_is_answered_at_once() -> None:
    machine, _ = server()
    carrier, link = poll(held=False)
    machine.attach(carrier, 1, 0, 0, 1, 0.0)
    machine.flush(0.0)
    assert link.said == ["r0,0"]


def test_a_poll_whose_connection_is_gone_is_not_answered() -> None:
    machine, _, carrier, link = parked()
    carrier.finished = True
    machine.send(Outgoing.message("a"))
    machine.flush(0.0)
    assert link.writes == []
    assert machine.outbox.last == 0


# When the client of an answered poll counts as gone.
@pytest.mark.parametrize(
    ("held", "settings", "grace"),
    [
        (True, {}, 10.0),  # ping_timeout
        (True, {"ping_timeout": None}, 20.0),
        (True, {"ping_interval": None, "ping_timeout": None}, 25.0),
        (False, {}, 90.0),  # timers of hidden pages
        (False, {"ping_interval": 60.0, "ping_timeout": 60.0}, 120.0),
        (False, {"ping_interval": None}, 90.0),
    ],
)
def test_the_grace_after_a_poll(held: bool, settings: dict[str, Any], grace: float) -> None:
    machine, _ = server(**settings)
    carrier, _ = poll(held=held)
    machine.attach(carrier, 1, 0, 0, 1, 0.0)
    machine.send(Outgoing.message("a"))
    machine.flush(3.0)
    assert machine.state is State.OPEN
    assert machine.deadline() == 3.0 + grace
    machine.expire(3.0 + grace - 0.1)
    assert machine.state is State.OPEN
    machine.expire(3.0 + grace)
    assert life(machine) is State.DETACHED
    assert machine.deadline() == 3.0 + grace + 100.0
    machine.expire(3.0 + grace + 100.0)
    assert machine.outcome is not None
    assert machine.outcome.code == 4410


def test_the_next_poll_within_the_grace_finds_the_session_open() -> None:
    machine, diary, _, _ = parked()
    machine.expire(20.0)
    machine.attach(poll(29.0)[0], 2, 0, 0, 1, 29.0)
    assert diary.moves == []  # open all the time, and by the same transport
    assert machine.deadline() == 49.0


# -- ordered carriers ------------------------------------------------------------------------------------------------


def test_a_flush_without_a_carrier_writes_nothing() -> None:
    machine, _, carrier, link = opened()
    machine.send(Outgoing.message("a"))
    machine.lost(carrier, 0.0)
    machine.flush(0.0)
    assert link.writes == []
    machine.end(1011, "", 0.0)
    machine.flush(0.0)
    assert link.writes == []


def test_the_first_news_asks_to_be_woken_for_its_ack() -> None:
    machine, diary, carrier, _ = opened()
    machine.message(carrier, "x", 1, 5.0)
    machine.message(carrier, "y", 1, 5.5)
    assert diary.woken == [5.0 + ACK_DELAY]
    assert machine.deadline() == 5.0 + ACK_DELAY
    assert carrier.codec.shape is Shape.DUPLEX


def test_a_silent_peer_is_pinged_and_then_dropped() -> None:
    machine, _, carrier, link = opened()
    assert machine.deadline() == 20.0
    machine.expire(19.0)
    assert link.said == []
    machine.expire(20.0)
    assert link.said == ["p"]
    assert machine.deadline() == 30.0
    machine.expire(25.0)
    assert link.said == []  # one ping is enough
    machine.expire(30.0)
    assert link.aborted
    assert (carrier.finished, machine.state) == (True, State.DETACHED)
    assert machine.deadline() == 30.0 + 100.0


def test_any_sign_of_life_starts_the_clock_anew() -> None:
    machine, _, carrier, link = opened()
    machine.expire(20.0)
    carrier.last_received, carrier.pinged = 29.0, False
    machine.expire(30.0)
    assert not link.aborted
    assert machine.deadline() == 49.0


def test_a_peer_that_does_not_read_is_not_pinged_but_dropped_all_the_same() -> None:
    machine, _, _, link = opened()
    link.writable = False
    machine.expire(20.0)
    assert link.said == []
    machine.expire(30.0)
    assert link.aborted


def test_without_pings_a_silent_websocket_is_never_dropped() -> None:
    machine, _, carrier, link = opened(ping_interval=None)
    assert machine.deadline() == FOREVER
    machine.expire(1e9)
    assert (machine.carrier, link.said) == (carrier, [])


def test_without_a_ping_timeout_a_silent_peer_is_pinged_once_and_kept() -> None:
    machine, _, carrier, link = opened(ping_timeout=None)
    machine.expire(20.0)
    assert machine.deadline() == FOREVER
    machine.expire(1e9)
    assert (machine.carrier, link.said) == (carrier, ["p"])


# -- streams ---------------------------------------------------------------------------------------------------------


def test_a_stream_is_written_flush_by_flush() -> None:
    machine, _ = server()
    carrier, link = stream()
    machine.attach(carrier, 1, 0, 0, 1, 0.0)
    machine.send(Outgoing.message("a"))
    machine.flush(0.0)
    machine.send(Outgoing.message("b"))
    machine.flush(0.0)
    assert link.writes == [["r0,0"], ["ma"], ["mb"]]


def test_a_stream_that_opens_begins_with_o() -> None:
    machine, _ = server()
    carrier, link = stream()
    carrier.greeting = lambda received, taken: f"o{received},{taken}"
    machine.open(carrier, 1, 0.0)
    machine.flush(0.0)
    assert (link.said, link.closed) == (["o0,0"], None)


def test_what_comes_up_beside_a_stream_is_acked_on_it_after_half_a_hold() -> None:
    machine, _, _, link = streaming()
    send, _ = poll()
    machine.uplink(send, 0, 0, 1, 1.0)
    machine.message(send, "x", 1, 1.0)
    machine.uplink_answer(send)
    machine.flush(1.0)
    assert machine.deadline() == 11.0
    machine.expire(11.0)
    assert link.said == ["a1,0"]


def test_a_stream_that_was_superseded_is_told_and_nothing_else() -> None:
    machine, _, old, link = streaming()
    machine.send(Outgoing.message("a"))
    assert machine.attach(stream()[0], 2, 0, 0, 1, 1.0)
    assert (link.said, link.closed, old.finished) == (["esuperseded"], (1000, "superseded"), True)
    late, late_link = stream()
    assert not machine.attach(late, 1, 0, 0, 1, 2.0)
    machine.retire(late)
    assert late_link.said == ["esuperseded"]


def test_the_gap_of_a_streams_request_is_innocent_too() -> None:
    machine, _ = server()
    carrier, _ = stream()
    machine.attach(carrier, 1, 0, 0, 3, 0.0)
    machine.message(carrier, "x", 1, 0.0)
    assert machine.inbox.received == 0


def test_a_stream_is_recycled_when_it_has_brought_enough() -> None:
    machine, diary, carrier, link = streaming(max_stream_size=4096)
    machine.send(Outgoing.message("x" * 4000))
    machine.flush(1.0)
    assert link.closes == 0
    machine.send(Outgoing.message("y" * 100))
    machine.flush(2.0)
    assert link.said[2:] == ["erecycled"]
    assert (link.closed, carrier.finished, machine.carrier) == ((1000, "recycled"), True, None)
    assert (machine.state, diary.moves) == (State.OPEN, [])
    machine.lost(carrier, 2.5)  # its end changes nothing more
    assert machine.state is State.OPEN


def test_what_is_sent_after_a_recycling_waits_for_the_next_stream() -> None:
    machine, diary, _, _ = streaming(max_stream_size=4096)
    machine.send(Outgoing.message("x" * 4096))
    machine.flush(1.0)
    machine.send(Outgoing.message("b"))
    machine.flush(1.0)
    again, link = stream()
    machine.attach(again, 2, 1, 1, 1, 2.0)
    machine.flush(2.0)
    assert link.said == ["r0,0", "mb"]
    assert diary.moves == []  # it was open all the time


@pytest.mark.parametrize(
    ("settings", "grace"),
    [({}, 10.0), ({"ping_timeout": None}, 20.0), ({"ping_interval": None, "ping_timeout": None}, 25.0)],
)
def test_the_grace_after_a_recycling(settings: dict[str, Any], grace: float) -> None:
    machine, _, _, _ = streaming(max_stream_size=4096, **settings)
    machine.send(Outgoing.message("x" * 4096))
    machine.flush(3.0)
    assert machine.deadline() == 3.0 + grace
    machine.expire(3.0 + grace - 0.1)
    assert machine.state is State.OPEN
    machine.expire(3.0 + grace)
    assert life(machine) is State.DETACHED
    assert machine.deadline() == 3.0 + grace + 100.0


def test_a_stream_whose_reader_is_behind_is_recycled_when_it_has_caught_up_and_gets_nothing_more() -> None:
    machine, _, _, link = streaming(max_stream_size=4096)
    machine.send(Outgoing.message("x" * 4096))
    write = link.write

    def fill(buffers: Any) -> None:
        write(buffers)
        link.writable = False

    link.write = fill  # type: ignore[method-assign] # the connection's buffer is full behind it
    machine.flush(1.0)
    machine.send(Outgoing.message("later"))
    machine.flush(2.0)
    assert len(link.writes) == 1
    link.writable = True
    machine.flush(3.0)
    assert link.said[1:] == ["erecycled"]
    assert machine.carrier is None


def test_a_stream_that_cannot_be_written_yet_is_not_recycled_for_its_head() -> None:
    machine, _ = server(max_stream_size=4096)
    carrier, link = stream()
    link.writable = False
    carrier.greeting = lambda received, taken: "o" + "x" * 2000
    machine.open(carrier, 1, 0.0)
    machine.flush(0.0)
    assert link.closed is None


def test_a_quiet_stream_is_pinged_and_its_client_heard_by_its_sends() -> None:
    machine, _, carrier, link = streaming()
    assert machine.deadline() == 20.0
    machine.expire(19.9)
    assert link.said == []
    machine.expire(20.0)
    assert link.said == ["p"]
    assert machine.deadline() == 30.0
    answered(machine, 20.1)
    assert machine.deadline() == 40.0
    machine.expire(40.0)
    assert link.said == ["p"]
    assert machine.carrier is carrier


def test_a_stream_whose_client_is_silent_is_dropped() -> None:
    machine, _, carrier, link = streaming()
    machine.expire(20.0)
    machine.expire(29.9)
    assert not link.aborted
    machine.expire(30.0)
    assert (link.aborted, carrier.finished, machine.state) == (True, True, State.DETACHED)
    assert machine.deadline() == 130.0


def test_what_is_written_puts_off_the_ping_as_long_as_the_client_is_heard() -> None:
    machine, _, _, link = streaming()
    for now in (9.0, 18.0, 27.0):
        machine.send(Outgoing.message("x"))
        machine.flush(now)
        machine.expire(now)
        answered(machine, now + 1)
    assert link.said == ["mx", "mx", "mx"]
    assert machine.deadline() == 47.0


def test_a_client_that_is_spoken_to_and_says_nothing_is_asked_before_it_is_dropped() -> None:
    machine, _, carrier, link = streaming(ping_timeout=2.0)  # less than an ack may take
    machine.send(Outgoing.message("x"))
    machine.flush(19.0)
    assert machine.deadline() == 20.0
    machine.expire(20.0)
    assert link.said == ["mx", "p"]
    machine.expire(21.0)
    assert link.said == []  # one ping is enough
    answered(machine, 21.5)
    machine.expire(22.0)
    assert machine.carrier is carrier
    assert machine.deadline() == 40.0


def test_a_stream_that_takes_no_more_is_not_pinged_but_dropped_all_the_same() -> None:
    machine, _, _, link = streaming()
    link.writable = False
    machine.expire(20.0)
    assert link.said == []
    machine.expire(30.0)
    assert link.aborted


def test_contact_before_the_stream_counts_from_its_start() -> None:
    machine, _ = server()
    carrier, link = stream(50.0)
    machine.attach(carrier, 1, 0, 0, 1, 50.0)
    machine.contact = 0.0
    machine.expire(79.0)
    assert not link.aborted
    assert machine.deadline() == 80.0


@pytest.mark.parametrize("settings", [{"ping_interval": None}, {"ping_interval": None, "ping_timeout": None}])
def test_without_pings_a_silent_stream_is_kept(settings: dict[str, Any]) -> None:
    machine, _, carrier, link = streaming(**settings)
    assert machine.deadline() == FOREVER
    machine.expire(1e9)
    assert (machine.carrier, link.said) == (carrier, [])


def test_without_a_ping_timeout_a_silent_stream_is_pinged_and_kept() -> None:
    machine, _, carrier, link = streaming(ping_timeout=None)
    for now in (20.0, 40.0, 60.0):
        assert machine.deadline() == now
        machine.expire(now)
    assert (machine.carrier, link.said) == (carrier, ["p", "p", "p"])


def test_a_ping_in_a_streams_request_is_answered_by_the_pings_of_the_stream() -> None:
    machine, _, carrier, link = streaming()
    machine.pinged(carrier, "x")
    assert link.said == ["qx"]
    link.writable = False  # as it is before its head was written
    machine.pinged(carrier, "x")
    assert link.said == []


# -- ending ----------------------------------------------------------------------------------------------------------


def test_the_clients_close_is_answered_on_the_spot_with_the_ack_and_x() -> None:
    machine, _, carrier, link = opened()
    machine.peer_closed(carrier, 1000, "bye", 0.0)
    assert link.writes == [["a1,0", "x1000,session,1,bye"]]
    assert link.closed == (1000, "bye")


def test_the_clients_close_finds_a_poll_parked() -> None:
    machine, _, _, link = parked()
    send, _ = poll()
    machine.uplink(send, 0, 0, 1, 0.0)
    machine.peer_closed(send, 3000, "", 0.0)
    assert link.said == ["r1,0", "x3000,session,1,"]
    assert machine.uplink_answer(send) == "x3000,session,1,"


def test_a_close_that_is_not_acknowledged_in_time() -> None:
    machine, _, carrier, _ = opened()
    machine.close(1000, "", 0.0)
    machine.flush(0.0)
    carrier.last_received = 129.0
    machine.expire(129.9)
    assert machine.outcome is None
    machine.expire(130.0)
    assert machine.outcome == (4412, "the close was not acknowledged in time", False)


def test_observers_are_told_before_a_carrier_takes_over() -> None:
    machine, _ = server()
    observer = Mock(spec=Observer)
    machine.observers = (observer,)
    machine.attach(duplex(name="websocket")[0], 1, 0, 0, 1, 0.0)
    machine.attach(poll(name="polling")[0], 2, 0, 0, 1, 0.0)
    assert observer.attached.call_args_list == [
        call(machine, Cause.OPEN, "", "websocket", False),
        call(machine, Cause.DOWNGRADE, "websocket", "polling", False),
    ]


def test_a_flush_counts_what_has_come_within_the_rate_as_taken() -> None:
    machine, _, carrier, link = opened(max_message_rate=1, rate_burst=1)
    for text in ("a", "b"):
        machine.message(carrier, text, 1, 0.0)
        machine.take(0.0)
    assert machine.inbox.taken == 1
    machine.flush(1.0)
    assert machine.inbox.taken == 2
    assert link.said[-1] == "a2,2"


# -- what comes alone, and what drains -------------------------------------------------------------------------------


def test_a_poll_that_comes_alone_is_answered_as_it_comes_if_there_is_something_for_it() -> None:
    machine, _ = server()
    waits, waits_link = poll()
    assert machine.attach(waits, 1, 0, 0, 1, 0.0, alone=True)
    assert (waits_link.said, machine.carrier) == ([], waits)
    machine.send(Outgoing.message("hello"))
    carrier, link = poll(1.0)
    assert machine.attach(carrier, 2, 0, 0, 1, 1.0, alone=True)
    assert (link.said, machine.carrier) == (["r0,0", "mhello"], None)


def test_an_answer_wakes_nobody_earlier_than_what_is_due_anyway() -> None:
    machine, diary, _, link = parked()
    machine.wake_at = 0.5
    diary.woken.clear()
    machine.send(Outgoing.message("hello"))
    machine.flush(0.0)
    assert link.said == ["r0,0", "mhello"]
    assert diary.woken == []


def test_who_attaches_to_a_session_that_drains_is_told() -> None:
    machine, _, _, _ = parked()
    machine.drain(2.5)
    carrier, link = stream()
    machine.attach(carrier, 2, 0, 0, 1, 1.0)
    assert link.said == ["r0,0", "g2.5"]
    last, last_link = poll(2.0)
    machine.attach(last, 3, 0, 0, 1, 2.0, alone=True)
    assert last_link.said == ["r0,0", "g2.5"]


def test_a_batch_finds_taken_what_is_within_the_rate_by_now() -> None:
    machine, _, carrier, _ = opened(max_message_rate=1.0, rate_burst=1.0)
    for number in range(3):
        machine.message(carrier, str(number), 1, 0.0)
        machine.take(0.0)
    before = machine.inbox.taken
    answered(machine, 60.0)
    assert before < machine.inbox.taken == 3


def test_a_poll_is_answered_to_ask_what_was_taken_where_the_window_holds_something_back() -> None:
    machine, _, _, link = parked(window=Window(16, 8))
    machine.send(Outgoing.message("a"))
    machine.flush(0.0)
    machine.send(Outgoing.message("x" * 8))
    for gen, taken in ((2, 0), (3, 0), (4, 1)):
        carrier, link = poll(0.0)
        machine.attach(carrier, gen, 1, taken, 1, 0.0)
        machine.flush(0.0)
        assert link.said == {2: ["r0,0", "p"], 3: [], 4: ["r0,0", "m" + "x" * 8]}[gen]
