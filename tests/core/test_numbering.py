"""What both ends share where there are numbers and acks: numbered frames, acks, flushing, closing (docs/protocol.md
§4, §6, §8).
"""

from __future__ import annotations

import dataclasses

import pytest

from realtime.core.carrier import NumberedCarrier
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Dropped, Outgoing, RoomMessage, RoomPosition, Window
from realtime.core.lifecycle import Event, State
from realtime.core.machine import FOREVER
from realtime.core.numbering import ACK_DELAY, Numbering

from .fakes import SMALL, WIDE, Diary, FakeLink, duplex, life, poll, texts


class Machine(Numbering):
    """An end that says goodbye in one word, and does nothing by itself."""

    __slots__ = ()

    def _farewell(self) -> None:
        carrier, self.carrier = self.carrier, None
        assert carrier is not None
        carrier.finish(["goodbye"])

    @property
    def _hold(self) -> float:
        return self.config.hold

    def lost(self, carrier: NumberedCarrier, now: float) -> None:
        """Nothing is done about it."""
        carrier.finished = True

    def flush(self, now: float) -> None: ...

    def deadline(self) -> float:
        """Never."""
        return FOREVER

    def expire(self, now: float) -> None: ...


def attached(
    carrier: NumberedCarrier | None = None, config: object = SMALL, window: Window = WIDE
) -> tuple[Machine, Diary, NumberedCarrier, FakeLink]:
    """An open machine, on a duplex carrier unless given another."""
    diary = Diary()
    machine = Machine(config, window, diary, 0.0)  # type: ignore[arg-type] # a Config
    if carrier is None:
        carrier, _ = duplex()
    machine.state = State.OPEN
    machine.carrier = carrier
    link = carrier.link
    assert isinstance(link, FakeLink)
    return machine, diary, carrier, link


# -- numbered frames -------------------------------------------------------------------------------------------------


def test_messages_arrive_in_order_and_are_taken_in_order() -> None:
    machine, diary, carrier, _ = attached()
    machine.message(carrier, "a", 1, 1.0)
    machine.message(carrier, b"b", 1, 1.0)
    machine.drop_note(carrier, 3, 1.0)
    assert diary.read() == ["readable"] * 3
    assert [machine.take(1.0) for _ in range(3)] == ["a", b"b", Dropped(3)]
    assert machine.inbox.ack() == (3, 3)
    with pytest.raises(IndexError):
        machine.take(1.0)


def test_duplicates_are_dropped_and_the_cursor_goes_on() -> None:
    machine, diary, carrier, _ = attached()
    machine.message(carrier, "a", 1, 0.0)
    again, _ = duplex()
    machine.message(again, "a", 1, 0.0)
    machine.message(again, "b", 1, 0.0)
    assert diary.read() == ["readable"] * 2
    assert (machine.inbox.received, machine.duplicates, again.receive_cursor) == (2, 1, 3)


def test_notes_of_drops_and_closes_are_no_messages() -> None:
    machine, _, carrier, _ = attached()
    machine.message(carrier, "four", 4, 0.0)
    machine.drop_note(carrier, 3, 0.0)
    machine.peer_closed(carrier, 1000, "", 0.0)
    assert (machine.inbox.received, machine.inbox.messages, machine.inbox.total) == (3, 1, 4)


def test_a_position_of_a_room_is_a_note_that_nobody_has_to_ask_for() -> None:
    machine, diary, carrier, _ = attached()
    position = RoomPosition("chat", "1", None)
    machine.room_position(carrier, position, 0.0)
    assert diary.read() == ["readable", "noted"]
    machine.room_position(carrier, position, 0.0)
    assert diary.read() == ["readable"]  # it comes behind another
    assert [machine.take(0.0), machine.take(0.0)] == [position] * 2
    assert (machine.inbox.received, machine.inbox.taken, machine.inbox.messages) == (2, 2, 0)
    again, _ = duplex()
    machine.room_position(again, position, 0.0)
    assert (machine.duplicates, len(machine.inbox)) == (1, 0)


def test_who_has_closed_is_told_of_no_position() -> None:
    machine, diary, carrier, _ = attached()
    machine.close(1000, "", 0.0)
    diary.read()
    machine.room_position(carrier, RoomPosition("chat", "1", 0), 0.0)
    assert diary.read() == []
    assert machine.inbox.taken == 1


def test_a_message_of_a_room_is_a_message() -> None:
    machine, diary, carrier, _ = attached()
    message = RoomMessage("four", "chat", "1")
    machine.message(carrier, message, 4, 0.0)
    assert diary.read() == ["readable"]
    assert machine.take(0.0) is message
    assert (machine.inbox.messages, machine.inbox.total) == (1, 4)
    with pytest.raises(RemoteProtocolError, match="above max_size"):
        machine.message(carrier, message, SMALL.max_size + 1, 0.0)


def test_a_duplicate_is_not_measured_again() -> None:
    machine, _, carrier, _ = attached()
    machine.message(carrier, "a", 1, 0.0)
    again, _ = duplex()
    machine.message(again, "another size", SMALL.max_size + 1, 0.0)
    assert machine.duplicates == 1


@pytest.mark.parametrize("number", [3, 2**53 - 1])
def test_a_gap_is_a_protocol_error(number: int) -> None:
    machine, diary, carrier, _ = attached()
    machine.message(carrier, "a", 1, 0.0)
    machine.renumber(carrier, number)
    with pytest.raises(RemoteProtocolError, match=f"number {number} came after 1: a gap") as caught:
        machine.message(carrier, "c", 1, 0.0)
    assert caught.value.close_code == 1002
    assert machine.inbox.received == 1
    assert diary.read() == ["readable"]


def test_renumbering_sets_the_cursor_and_nothing_else() -> None:
    machine, _, carrier, _ = attached()
    for _ in range(3):
        machine.message(carrier, "x", 1, 0.0)
    late, _ = duplex()
    machine.renumber(late, 4)
    machine.message(late, "d", 1, 0.0)
    assert (machine.inbox.received, machine.duplicates) == (4, 0)
    machine.renumber(late, 1)  # backwards: all of it came before
    machine.message(late, "a", 1, 0.0)
    assert (machine.inbox.received, machine.duplicates, late.receive_cursor) == (4, 1, 2)


def test_a_carrier_may_ignore_numbered_frames() -> None:
    machine, diary, carrier, _ = attached()
    carrier.ignores = True
    carrier.receive_cursor = 9
    machine.message(carrier, "x", 1, 0.0)
    machine.drop_note(carrier, 1, 0.0)
    machine.peer_closed(carrier, 1000, "", 0.0)
    assert machine.inbox.received == 0
    assert diary.read() == []


def test_a_message_above_max_size() -> None:
    machine, _, carrier, _ = attached(config=dataclasses.replace(SMALL, max_size=10))
    machine.message(carrier, "x" * 10, 10, 0.0)
    with pytest.raises(RemoteProtocolError, match="11 bytes is above max_size=10") as caught:
        machine.message(carrier, "x" * 11, 11, 0.0)
    assert caught.value.close_code == 1009
    assert caught.value.http_status == 413


def test_a_message_beyond_the_window() -> None:
    machine, _, carrier, _ = attached()
    for _ in range(16):
        machine.message(carrier, "x", 1, 0.0)
    with pytest.raises(RemoteProtocolError, match="window"):
        machine.message(carrier, "x", 1, 0.0)


# -- acks ------------------------------------------------------------------------------------------------------------


def test_an_ack_makes_room_and_lets_more_go() -> None:
    machine, diary, carrier, link = attached(window=Window(1, 1000))
    for item in texts("a", "b"):
        machine.send(item)
    assert diary.read() == ["dirty"] * 2
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["ma"]
    machine.acknowledged(1, 1, 0.0)
    assert diary.read() == ["acknowledged", "dirty"]
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["mb"]
    machine.acknowledged(2, 1, 0.0)
    assert diary.read() == ["acknowledged"]  # nothing waits any more


def test_an_ack_is_written_when_it_is_due_by_time() -> None:
    machine, diary, carrier, link = attached()
    machine.message(carrier, "a", 1, 10.0)
    assert diary.woken == [10.0 + ACK_DELAY]
    machine.flush_ordered(carrier, 10.9)
    assert link.said == []
    machine.flush_ordered(carrier, 11.0)
    assert link.said == ["a1,0"]
    machine.flush_ordered(carrier, 20.0)
    assert link.said == []


def test_an_ack_is_due_at_once_after_a_quarter_of_the_window() -> None:
    machine, _, carrier, link = attached()
    for _ in range(4):
        machine.message(carrier, "x", 1, 0.0)
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["a4,0"]
    for _ in range(4):
        machine.take(0.0)
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["a4,4"]


def test_taking_a_quarter_asks_for_a_flush_and_taking_one_for_a_wake() -> None:
    machine, diary, carrier, _ = attached()
    for _ in range(4):
        machine.message(carrier, "x", 1, 0.0)
    machine.inbox.announced(4, 0)
    diary.read()
    diary.woken.clear()
    machine.take(5.0)
    assert (diary.read(), diary.woken) == ([], [5.0 + ACK_DELAY])
    for _ in range(3):
        machine.take(5.0)
    assert diary.read() == ["dirty"]


def test_an_ack_rides_on_what_is_written_when_it_is_not_brand_new() -> None:
    machine, _, carrier, link = attached()
    machine.message(carrier, "a", 1, 0.0)
    machine.send(Outgoing.message("echo"))
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["mecho"]
    machine.send(Outgoing.message("later"))
    machine.flush_ordered(carrier, ACK_DELAY / 4)
    assert link.said == ["a1,0", "mlater"]


def test_without_a_carrier_no_ack_is_waited_for() -> None:
    machine, diary, carrier, _ = attached()
    machine.carrier = None
    machine.message(carrier, "a", 1, 0.0)
    assert diary.woken == []


def test_where_an_ack_costs_a_request_it_may_wait_half_a_hold() -> None:
    carrier, _ = poll()
    machine, diary, _, _ = attached(carrier)
    machine.message(carrier, "a", 1, 0.0)
    assert diary.woken == [SMALL.hold / 2]


# -- pings -----------------------------------------------------------------------------------------------------------


def test_a_ping_is_answered_with_the_acks_if_they_changed_and_a_pong() -> None:
    machine, _, carrier, link = attached()
    machine.pinged(carrier, "1")
    assert link.said == ["q1"]
    machine.message(carrier, "a", 1, 0.0)
    machine.pinged(carrier, "2")
    assert link.said == ["a1,0", "q2"]
    machine.pinged(carrier, "3")
    assert link.said == ["q3"]


def test_a_ping_on_an_older_carrier_announces_nothing() -> None:
    machine, _, carrier, _ = attached()
    machine.message(carrier, "a", 1, 0.0)
    older, link = duplex()
    machine.pinged(older, "")
    assert link.said == ["q"]
    assert machine.inbox.news


def test_a_ping_is_dropped_while_the_peer_does_not_read_or_when_the_carrier_is_finished() -> None:
    machine, _, carrier, link = attached()
    link.writable = False
    machine.pinged(carrier, "")
    link.writable = True
    carrier.finished = True
    machine.pinged(carrier, "")
    assert link.said == []


def test_a_ping_on_a_poll_writes_no_batch_of_its_own() -> None:
    carrier, _ = poll()
    machine, _, _, link = attached(carrier)
    machine.message(carrier, "a", 1, 0.0)
    machine.pinged(carrier, "")
    assert link.writes == []
    assert machine.inbox.news


def test_asking_for_acks_puts_one_ping_behind_what_is_sent() -> None:
    machine, diary, carrier, link = attached()
    machine.send(Outgoing.message("a"))
    machine.ask_for_acks()
    assert diary.read() == ["dirty", "dirty"]
    machine.flush_ordered(carrier, 0.0)
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["ma", "p"]


def test_what_the_window_holds_back_has_the_peer_asked_once() -> None:
    machine, _, carrier, link = attached(window=Window(16, 8))
    for item in texts("a", "x" * 8):
        machine.send(item)
    machine.flush_ordered(carrier, 0.0)
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["ma", "p"]


def test_a_room_message_that_is_too_large_leaves_a_gap() -> None:
    machine, _, carrier, _ = attached()
    size = machine.config.max_size + 1
    with pytest.raises(RemoteProtocolError, match="max_size"):
        machine.message(carrier, RoomMessage("x" * size, "news", "1.2.x"), size, 0.0)
    assert machine.take(0.0) == RoomPosition("news", "1.2.x", 1)


# -- flushing --------------------------------------------------------------------------------------------------------


def test_everything_waiting_goes_in_one_write() -> None:
    machine, _, carrier, link = attached()
    for item in (*texts("a"), Outgoing.message(b"b"), Outgoing.dropped(2)):
        machine.send(item)
    machine.flush_ordered(carrier, 0.0)
    assert link.writes == [["ma", "bb'b'", "d2"]]
    assert carrier.send_cursor == 4
    machine.flush_ordered(carrier, 0.0)
    assert len(link.writes) == 1


def test_batches_are_bounded_and_follow_each_other_while_the_link_takes_them() -> None:
    machine, _, carrier, link = attached(config=dataclasses.replace(SMALL, max_batch=3))
    for item in texts(*"abcd"):
        machine.send(item)
    machine.flush_ordered(carrier, 0.0)
    assert link.writes == [["ma", "mb", "mc"], ["md"]]


def test_a_link_that_takes_no_more_is_left_alone() -> None:
    machine, _, carrier, link = attached()
    machine.send(Outgoing.message("a"))
    machine.ask_for_acks()
    link.writable = False
    machine.flush_ordered(carrier, 0.0)
    assert link.said == []
    assert machine.outbox.last == 0  # not even numbered
    link.writable = True
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["ma", "p"]


def test_a_carrier_that_is_finished_is_not_flushed() -> None:
    machine, _, carrier, link = attached()
    machine.send(Outgoing.message("a"))
    machine.ask_for_acks()
    carrier.finished = True
    machine.flush_ordered(carrier, 0.0)
    assert link.writes == []
    assert machine.asking


def test_a_sender_renumbers_where_acks_from_elsewhere_freed_what_lay_between() -> None:
    machine, _, carrier, link = attached()
    for item in texts("a", "b", "c"):
        machine.send(item)
    machine.flush_ordered(carrier, 0.0)
    machine.acknowledged(2, 0, 0.0)
    late, late_link = duplex()  # attached with received=0, sent before those acks
    machine.flush_ordered(late, 0.0)
    assert link.said == ["ma", "mb", "mc"]
    assert late_link.said == ["n3", "mc"]
    assert late.send_cursor == 4


def test_a_close_brings_the_ack_along() -> None:
    machine, _, carrier, link = attached()
    machine.message(carrier, "a", 1, 0.0)
    machine.close(1000, "", 0.0)
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["a1,1", "c1000,"]


# -- closing ---------------------------------------------------------------------------------------------------------


def test_a_clean_close_is_a_message_and_its_ack_ends_the_session() -> None:
    machine, diary, carrier, link = attached()
    machine.send(Outgoing.message("a"))
    machine.close(3000, "enough", 5.0)
    assert machine.state is State.CLOSING
    assert machine.close_deadline == 5.0 + SMALL.lifetime
    assert diary.woken == [machine.close_deadline]
    machine.flush_ordered(carrier, 5.0)
    assert link.said == ["ma", "c3000,enough"]
    machine.acknowledged(1, 1, 5.0)
    assert machine.outcome is None
    diary.read()
    machine.acknowledged(2, 1, 5.0)
    assert machine.outcome == (3000, "enough", True)
    assert life(machine) is State.CLOSED
    assert diary.read() == ["changed", "ended"]
    assert link.said == ["goodbye"]
    assert machine.carrier is None


def test_a_side_that_has_closed_discards_what_comes_and_counts_it_as_taken() -> None:
    machine, diary, carrier, _ = attached()
    machine.message(carrier, "before", 1, 0.0)
    machine.close(1000, "", 0.0)
    assert machine.inbox.ack() == (1, 1)
    diary.read()
    machine.message(carrier, "after", 1, 0.0)
    assert machine.inbox.ack() == (2, 2)
    assert diary.read() == []


def test_a_close_goes_out_although_the_peer_drains() -> None:
    machine, _, carrier, link = attached()
    machine.outbox.held = True
    machine.send(Outgoing.message("a"))
    machine.close(1000, "", 0.0)
    machine.flush_ordered(carrier, 0.0)
    assert link.said == ["ma", "c1000,"]


def test_the_peers_close_ends_the_session_in_order() -> None:
    machine, diary, carrier, _ = attached()
    machine.message(carrier, "last words", 10, 0.0)
    machine.peer_closed(carrier, 3000, "bye", 0.0)
    assert machine.outcome == (3000, "bye", True)
    assert diary.read() == ["readable", "changed", "ended"]
    assert machine.inbox.received == 2
    assert machine.take(0.0) == "last words"  # what was received can still be taken
    assert diary.read() == []


def test_the_peers_close_needs_no_window() -> None:
    machine, _, carrier, _ = attached()
    for _ in range(16):
        machine.message(carrier, "x", 1, 0.0)
    machine.peer_closed(carrier, 1000, "", 0.0)
    assert machine.outcome == (1000, "", True)


def test_a_close_after_a_gap_is_a_protocol_error() -> None:
    machine, _, carrier, _ = attached()
    carrier.receive_cursor = 2
    with pytest.raises(RemoteProtocolError, match="gap"):
        machine.peer_closed(carrier, 1000, "", 0.0)


def test_nothing_numbered_counts_behind_the_end() -> None:
    machine, diary, carrier, _ = attached()
    machine.peer_closed(carrier, 1000, "", 0.0)
    diary.read()
    machine.message(carrier, "x", 1, 0.0)
    machine.peer_closed(carrier, 3000, "", 0.0)
    assert machine.inbox.received == 1
    assert machine.outcome == (1000, "", True)
    assert diary.read() == []


def test_if_both_close_each_keeps_the_code_that_reached_it_first() -> None:
    machine, _, carrier, _ = attached()
    machine.close(3000, "ours", 0.0)
    machine.flush_ordered(carrier, 0.0)
    machine.peer_closed(carrier, 3001, "theirs", 0.0)
    machine.acknowledged(1, 1, 0.0)
    assert machine.outcome == (3001, "theirs", True)


# -- draining, time, and the rest ------------------------------------------------------------------------------------


def test_a_draining_session_is_quiet_when_its_inbox_is_empty() -> None:
    machine, diary, carrier, _ = attached()
    machine.message(carrier, "a", 1, 0.0)
    machine.message(carrier, "b", 1, 0.0)
    machine._move(Event.DRAIN)
    assert diary.moves == [(State.OPEN, State.DRAINING)]
    diary.read()
    machine.take(0.0)
    assert diary.read() == []
    machine.take(0.0)
    assert diary.read() == ["may_be_drained"]


def test_numbered_frames_that_change_nothing_cost_beyond_a_window_of_them() -> None:
    machine, _, carrier, _ = attached(config=dataclasses.replace(SMALL, max_message_rate=1.0, rate_burst=1.0))
    carrier.ignores = True
    for _ in range(SMALL.max_queue):
        machine.message(carrier, "x", 1, 0.0)
    with pytest.raises(RemoteProtocolError) as caught:
        for _ in range(1000):
            machine.message(carrier, "x", 1, 0.0)
    assert caught.value.close_code == 1008
    assert carrier.ignored > SMALL.max_queue


def test_taking_without_a_carrier_asks_for_no_wake() -> None:
    machine, diary, carrier, _ = attached()
    machine.message(carrier, "a", 1, 0.0)
    machine.carrier = None
    machine.inbox.announced(1, 0)
    diary.woken.clear()
    assert machine.take(1.0) == "a"
    assert diary.woken == []


def test_a_silent_peer_is_pinged_once_and_dropped_later() -> None:
    machine, _, carrier, link = attached()
    machine._ping_or_drop(carrier, None, 30.0, 1000.0)
    machine._ping_or_drop(carrier, 20.0, 30.0, 19.0)
    assert link.said == []
    machine._ping_or_drop(carrier, 20.0, 30.0, 20.0)
    machine._ping_or_drop(carrier, 20.0, 30.0, 29.0)
    assert link.said == ["p"]
    carrier.pinged, link.writable = False, False
    machine._ping_or_drop(carrier, 20.0, 30.0, 29.0)
    assert link.said == []
    machine._ping_or_drop(carrier, 20.0, 30.0, 30.0)
    assert (link.aborted, carrier.finished) == (True, True)


@pytest.mark.parametrize(
    ("first", "contents", "parts"),
    [(1, (), []), (1, ("a", "b"), ["ma", "mb"]), (3, (), []), (3, ("a",), ["n3", "ma"])],
)
def test_items_are_numbered_anew_where_the_cursor_is_elsewhere(
    first: int, contents: tuple[str, ...], parts: list[str]
) -> None:
    machine, _, carrier, _ = attached()
    assert machine.numbered(carrier, first, texts(*contents)) == parts


def test_what_a_rate_holds_back_is_acknowledged_when_it_counts_as_taken() -> None:
    config = dataclasses.replace(SMALL, max_message_rate=1, rate_burst=1)
    machine, _, carrier, link = attached(config=config)
    machine.flush_ordered(carrier, 0.0)
    assert link.said == []  # nothing to tell
    for number in range(2):
        machine.message(carrier, f"{number}", 1, 0.0)
        machine.take(0.0)
    machine.flush_ordered(carrier, 0.5)
    assert link.said == []
    machine.flush_ordered(carrier, ACK_DELAY)
    assert link.said == ["a2,2"]
    machine.flush_ordered(carrier, 9.0)
    assert link.said == []
