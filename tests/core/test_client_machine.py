"""The client's end: generations, opening twice, uplink batches, giving up (docs/protocol.md §4-§8)."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.core.carrier import NumberedCarrier
from realtime.core.client_machine import LEAST_ACK_SHARE, NO_KEY, Attach, ClientMachine, Uplink
from realtime.core.config import INITIAL_WINDOW, Config
from realtime.core.durable.record import Tenure
from realtime.core.errors import LocalProtocolError, RemoteProtocolError
from realtime.core.frames import Outgoing, Window
from realtime.core.lifecycle import State
from realtime.core.machine import FOREVER
from realtime.core.numbering import ACK_DELAY

from .client_ends import client, opened, polling, send, streaming
from .fakes import WIDE, Diary, FakeLink, contents, duplex, life, poll, stream

# -- carriers --------------------------------------------------------------------------------------------------------


def test_the_first_carrier_opens_and_each_one_has_the_next_gen() -> None:
    machine, diary = client()
    first, _ = duplex()
    assert machine.start(first, 1.0) == Attach("", 1, 0, 0, 1, NO_KEY)
    assert (first.gen, first.started, first.last_received) == (1, 1.0, 1.0)
    assert machine.state is State.CONNECTING
    assert diary.read() == ["dirty"]
    second, _ = poll()
    assert machine.start(second, 2.0) == Attach("", 2, 0, 0, 1, NO_KEY)
    assert machine.carrier is second


def test_opening() -> None:
    machine, diary = client()
    carrier, link = duplex()
    machine.start(carrier, 0.0)
    assert machine.outbox.window == INITIAL_WINDOW
    assert machine.opened(carrier, "s1", WIDE, 0, 0, 1.0)
    assert (machine.sid, machine.outbox.window, machine.state) == ("s1", WIDE, State.OPEN)
    assert diary.moves == [(State.CONNECTING, State.OPEN)]
    machine.flush(1.0)
    assert link.said == ["a0,0"]  # confirms the sid at once
    machine.flush(1.0)
    assert link.said == []


def test_messages_may_go_right_behind_the_open_within_the_initial_window() -> None:
    machine, _ = client()
    carrier, link = duplex()
    machine.start(carrier, 0.0)
    send(machine, *[str(number) for number in range(20)])
    machine.flush(0.0)
    assert len(link.said) == INITIAL_WINDOW.messages
    machine.opened(carrier, "s1", WIDE, 16, 0, 1.0)
    machine.flush(1.0)
    assert link.said == ["m16", "m17", "m18", "m19", "a0,0"]


def test_a_message_larger_than_the_initial_window_waits_for_o() -> None:
    machine, _ = client()
    carrier, link = duplex()
    machine.start(carrier, 0.0)
    send(machine, "x" * (INITIAL_WINDOW.size + 1), "y")
    machine.flush(0.0)
    assert link.said == []
    machine.opened(carrier, "s1", WIDE, 0, 0, 1.0)
    machine.flush(1.0)
    assert [len(str(said)) for said in link.said][:2] == [INITIAL_WINDOW.size + 2, 2]


def test_an_attach_says_what_was_received_and_starts_at_the_lowest_not_acked() -> None:
    machine, _, carrier, _ = opened()
    send(machine, "a", "b", "c")
    machine.flush(0.0)
    machine.acknowledged(1, 1, 0.0)
    machine.message(carrier, "x", 1, 0.0)
    machine.message(carrier, "y", 1, 0.0)
    machine.take(0.0)
    following, link = duplex()
    assert machine.start(following, 1.0) == Attach("s1", 2, 2, 1, 2, NO_KEY)
    assert (following.send_cursor, following.receive_cursor) == (2, 3)
    assert not machine.inbox.news
    machine.flush(1.0)
    assert link.said == ["mb", "mc"]


def test_cursors_are_set_when_the_request_is_sent() -> None:
    machine, _, carrier, _ = opened()
    following, _ = duplex()
    machine.start(following, 0.0)
    machine.message(carrier, "x", 1, 0.0)  # the old carrier is read until it ends
    machine.attach_answered(following, 0, 0, 0.0)
    machine.message(following, "x", 1, 0.0)
    assert (machine.inbox.received, machine.duplicates) == (1, 1)


def test_a_carrier_that_attaches_in_place_of_another_is_told_as_a_change() -> None:
    machine, diary, _, _ = opened()
    following, _ = duplex()
    machine.start(following, 0.0)
    machine.attach_answered(following, 0, 0, 0.0)
    assert diary.moves == [(State.OPEN, State.OPEN)]


def test_an_attached_on_an_older_carrier_brings_its_acks_and_no_more() -> None:
    machine, diary, _, _ = opened()
    send(machine, "a")
    machine.flush(0.0)
    older, _ = poll()
    machine.start(older, 0.0)
    newest, _ = duplex()
    machine.start(newest, 0.0)
    machine.attach_answered(older, 1, 0, 0.0)
    assert machine.outbox.acked == 1
    assert diary.moves == []


def test_absurd_acks_in_an_attached() -> None:
    machine, _, carrier, _ = opened()
    with pytest.raises(RemoteProtocolError):
        machine.attach_answered(carrier, 1, 0, 0.0)


def test_only_the_newest_carriers_end_detaches() -> None:
    machine, diary, older, _ = opened()
    newest, _ = duplex()
    machine.start(newest, 0.0)
    machine.attach_answered(newest, 0, 0, 0.0)
    diary.moves.clear()
    machine.lost(older, 1.0)
    assert (older.finished, machine.state, diary.moves) == (True, State.OPEN, [])
    machine.lost(newest, 1.0)
    assert (machine.state, machine.carrier) == (State.DETACHED, None)
    assert diary.moves == [(State.OPEN, State.DETACHED)]


def test_a_carrier_that_is_recycled_detaches_nothing_but_the_next_one_does_if_it_fails() -> None:
    machine, diary, carrier, _ = opened()
    diary.moves.clear()
    machine.recycled(carrier)
    machine.lost(carrier, 1.0)  # its connection ends, too
    assert (carrier.finished, machine.state, machine.carrier, diary.moves) == (True, State.OPEN, None, [])
    following, _ = duplex()
    machine.start(following, 1.0)
    machine.lost(following, 2.0)
    assert diary.moves == [(State.OPEN, State.DETACHED)]


def test_a_carrier_that_is_lost_before_it_opened_detaches_nothing() -> None:
    machine, diary = client()
    carrier, _ = duplex()
    machine.start(carrier, 0.0)
    machine.lost(carrier, 1.0)
    assert (machine.state, machine.carrier, diary.moves) == (State.CONNECTING, None, [])
    assert machine.opening == set()


def test_a_session_that_has_ended_starts_no_carrier() -> None:
    machine, _, _, _ = opened()
    machine.end(1011, "", 0.0)
    with pytest.raises(LocalProtocolError, match="has ended"):
        machine.start(duplex()[0], 0.0)


# -- opening twice ---------------------------------------------------------------------------------------------------


def raced() -> tuple[ClientMachine, NumberedCarrier, NumberedCarrier, FakeLink]:
    """Two opens are out, WebSocket first; the second, a poll, has been answered with s1."""
    machine, _ = client()
    websocket, link = duplex()
    machine.start(websocket, 0.0)
    other, _ = poll()
    machine.start(other, 0.0)
    machine.opened(other, "s1", WIDE, 0, 0, 0.0)
    return machine, websocket, other, link


def test_a_carrier_whose_o_names_another_session_is_dropped() -> None:
    machine, websocket, other, _ = raced()
    assert not machine.opened(websocket, "s2", Window(1, 1), 0, 0, 1.0)
    assert (machine.sid, machine.outbox.window) == ("s1", WIDE)
    assert websocket.finished
    assert machine.carrier is other


def test_ones_own_repeated_open_is_taken_for_its_acks() -> None:
    machine, websocket, _, link = raced()
    send(machine, "a")
    machine.flush_ordered(websocket, 0.0)
    assert machine.opened(websocket, "s1", Window(1, 1), 1, 0, 1.0)
    assert (machine.outbox.acked, machine.outbox.window, websocket.attached) == (1, WIDE, True)
    assert link.said == ["ma"]


def test_the_o_of_each_carrier_is_confirmed() -> None:
    machine, websocket, _, link = raced()
    machine.flush(0.0)
    machine.start(websocket, 0.0)
    machine.confirm = False  # by the poll, whose answer may be lost
    machine.opened(websocket, "s1", WIDE, 0, 0, 1.0)
    machine.flush(1.0)
    assert link.said == ["a0,0"]


def test_a_late_refusal_of_an_open_is_ignored() -> None:
    machine, websocket, _, _ = raced()
    machine.refused(websocket, 4409, None, "used", 1.0)
    assert machine.outcome is None
    assert websocket.finished


def test_a_refusal_of_the_only_open_ends_the_session() -> None:
    machine, _ = client()
    carrier, _ = poll()
    machine.start(carrier, 0.0)
    machine.refused(carrier, 4408, 0, "never used", 1.0)
    assert machine.outcome == (4408, "never used", False)


# -- refusals --------------------------------------------------------------------------------------------------------


def test_a_refusal_tells_what_had_been_received() -> None:
    machine, _, carrier, _ = opened()
    send(machine, "a", "b", "c")
    machine.flush(0.0)
    machine.refused(carrier, 1011, 2, "failed", 0.0)
    assert machine.outcome == (1011, "failed", False)
    assert machine.outbox.unacknowledged() == ["c"]


@pytest.mark.parametrize("received", [None, 0, 7, 2**53 - 1])
def test_a_refusal_that_says_nothing_useful_acks_nothing(received: int | None) -> None:
    machine, _, carrier, _ = opened()
    send(machine, "a", "b")
    machine.flush(0.0)
    machine.refused(carrier, 4404, received, "unknown", 0.0)
    assert machine.outcome == (4404, "unknown", False)
    assert machine.outbox.unacknowledged() == ["a", "b"]


def test_a_refusal_older_than_the_acks_takes_nothing_back() -> None:
    machine, _, carrier, _ = opened()
    send(machine, "a", "b")
    machine.flush(0.0)
    machine.acknowledged(2, 2, 0.0)
    machine.refused(carrier, 1011, 1, "", 0.0)
    assert (machine.outbox.acked, machine.outbox.taken) == (2, 2)


def test_a_refusal_that_covers_our_close_is_its_ack_whatever_its_code() -> None:
    machine, _, carrier, _ = opened()
    send(machine, "a")
    machine.close(3000, "ours", 0.0)
    machine.flush(0.0)
    machine.refused(carrier, 4410, 2, "theirs", 0.0)
    assert machine.outcome == (3000, "ours", True)


def test_a_refusal_that_does_not_cover_our_close() -> None:
    machine, _, carrier, _ = opened()
    send(machine, "a")
    machine.close(3000, "ours", 0.0)
    machine.flush(0.0)
    machine.refused(carrier, 4410, 1, "theirs", 0.0)
    assert machine.outcome == (4410, "theirs", False)


# -- draining --------------------------------------------------------------------------------------------------------


def test_the_answer_to_go_away_comes_behind_everything_numbered() -> None:
    machine, diary, carrier, link = opened()
    send(machine, "a", "b")
    link.writable = False
    machine.flush(0.0)
    machine.going_away(0.0)
    assert machine.state is State.DRAINING
    assert diary.moves == [(State.OPEN, State.DRAINING)]
    link.writable = True
    machine.flush(0.0)
    assert link.said == ["g0"]  # nothing was numbered yet, and now nothing is
    machine.flush(0.0)
    assert link.said == []
    assert carrier.send_cursor == 1
    assert machine.outbox.unnumbered == 2


def test_what_was_numbered_is_sent_again_before_the_answer() -> None:
    machine, _, carrier, _ = opened()
    send(machine, "a", "b")
    machine.flush(0.0)
    machine.lost(carrier, 0.0)
    machine.going_away(0.0)
    following, link = duplex()
    machine.start(following, 0.0)
    machine.attach_answered(following, 1, 0, 0.0)
    assert machine.state is State.DRAINING
    machine.flush(0.0)
    assert link.said == ["n2", "mb", "g2"]


def test_the_answer_to_go_away_does_not_wait_for_what_was_acked_on_another_carrier() -> None:
    machine, _, older, _ = opened()
    send(machine, "a")
    machine.flush(0.0)
    newest, link = duplex()
    machine.start(newest, 0.0)
    machine.attach_answered(newest, 0, 0, 0.0)
    machine.acknowledged(1, 1, 0.0)
    assert older.send_cursor == 2
    machine.going_away(0.0)
    machine.flush(0.0)
    assert link.said == ["g1"]


def test_the_answer_to_go_away_waits_until_all_numbered_has_been_written() -> None:
    machine, _, _, link = opened(max_batch=3)
    send(machine, *"abcd")
    machine.flush(0.0)
    link.writes.clear()
    following = FakeLink()
    carrier = NumberedCarrier(duplex()[0].codec, following, 0.0)
    machine.start(carrier, 0.0)
    machine.attach_answered(carrier, 0, 0, 0.0)
    machine.going_away(0.0)

    class Full(list[Any]):
        def append(self, write: Any) -> None:
            super().append(write)
            following.writable = False

    following.writes = Full()
    machine.flush(0.0)
    assert following.said == ["ma", "mb", "mc"]
    following.writable = True
    machine.flush(0.0)
    assert following.said == ["md"]
    following.writable = True
    machine.flush(0.0)
    assert following.said == ["g4"]


def test_a_repeated_go_away_is_answered_again() -> None:
    machine, diary, _, link = opened()
    machine.going_away(0.0)
    machine.flush(0.0)
    machine.going_away(1.0)
    machine.flush(1.0)
    assert link.said == ["g0", "g0"]
    assert diary.moves == [(State.OPEN, State.DRAINING)]


@pytest.mark.parametrize("end", [False, True])
def test_a_session_that_closes_or_has_ended_does_not_answer_go_away(end: bool) -> None:
    machine, _, _, _ = opened()
    machine.close(1000, "", 0.0)
    if end:
        machine.end(1011, "", 0.0)
    machine.going_away(0.0)
    assert not machine.going_due
    assert not machine.outbox.held


# -- writing ---------------------------------------------------------------------------------------------------------


def test_a_flush_writes_nothing_on_polls_or_without_a_carrier_or_after_the_end() -> None:
    machine, _, held = polling()
    send(machine, "a")
    machine.flush(0.0)
    machine.lost(held, 0.0)
    machine.flush(0.0)
    assert machine.outbox.last == 0
    machine, _, _, link = opened()
    machine.end(1011, "", 0.0)
    link.writes.clear()
    machine.flush(0.0)
    assert link.writes == []


def test_confirming_waits_for_a_link_that_takes_it() -> None:
    machine, _ = client()
    carrier, link = duplex()
    machine.start(carrier, 0.0)
    machine.opened(carrier, "s1", WIDE, 0, 0, 0.0)
    link.writable = False
    machine.flush(0.0)
    assert link.said == []
    link.writable = True
    machine.flush(0.0)
    assert link.said == ["a0,0"]


def test_a_flush_asks_to_be_woken_for_the_ack() -> None:
    machine, diary, _, link = opened()
    machine.inbox.put("x", 1, 5.0)
    machine.flush(5.0)
    assert diary.woken == [5.0 + ACK_DELAY]
    assert machine.deadline() == 5.0 + ACK_DELAY
    machine.flush(6.0)
    assert link.said == ["a1,0"]


@pytest.mark.parametrize("share", [LEAST_ACK_SHARE, 0.9, 1.0])
def test_each_client_takes_a_part_of_its_own_of_the_time_for_an_ack(share: float) -> None:
    for (carrier, link), whole in ((duplex(), ACK_DELAY), (poll(), 10.0)):
        machine = ClientMachine(Config(ping_interval=20.0, max_queue=16), Diary(), 0.0, share)
        machine.start(carrier, 0.0)
        machine.opened(carrier, "s1", WIDE, 0, 0, 0.0, "K")
        machine.confirm = False
        machine.message(carrier, "x", 1, 5.0)
        due = 5.0 + whole * share
        for now in (due - 0.01, due):
            machine.flush(now)
            batch = machine.uplink(now)
            assert (link.said == ["a1,0"] or batch is not None) == (now == due)


@pytest.mark.parametrize(("share", "count"), [(LEAST_ACK_SHARE, 48), (0.875, 56), (1.0, 64)])
@pytest.mark.parametrize(("queue", "size"), [(256, 1), (10_000, 4096)])
def test_and_of_the_quarter_of_the_window(share: float, count: int, queue: int, size: int) -> None:
    carrier, link = duplex()
    config = Config(max_queue=queue, max_queue_size=256 * 4096)
    machine = ClientMachine(config, Diary(), 0.0, share)
    machine.start(carrier, 0.0)
    machine.opened(carrier, "s1", WIDE, 0, 0, 0.0, "K")
    machine.confirm = False
    for _ in range(count):
        assert link.said == []
        machine.message(carrier, "x" * size, size, 5.0)
        machine.flush(5.0)
    assert link.said == [f"a{count},0"]


# -- ending ----------------------------------------------------------------------------------------------------------


def test_the_servers_close_is_acked_on_a_websocket_before_it_closes() -> None:
    machine, _, carrier, link = opened()
    machine.message(carrier, "a", 1, 0.0)
    machine.peer_closed(carrier, 1000, "done", 0.0)
    assert link.said == ["a2,0"]
    assert link.closed is not None
    assert not machine.final_ack


def test_the_servers_close_over_http_leaves_the_ack_to_the_shell() -> None:
    machine, _, held = polling()
    machine.peer_closed(held, 1000, "done", 0.0)
    assert machine.final_ack
    assert machine.inbox.ack() == (1, 0)


def test_the_servers_close_in_a_poll_beside_our_own_close() -> None:
    machine, _, held = polling()
    machine.close(3000, "ours", 0.0)
    machine.peer_closed(held, 1000, "theirs", 0.0)
    assert machine.outcome == (1000, "theirs", True)
    assert machine.final_ack


def test_the_servers_close_on_an_older_carrier_leaves_the_ack_to_the_shell() -> None:
    machine, _, older, _ = opened()
    newest, _ = duplex()
    machine.start(newest, 0.0)
    machine.lost(newest, 0.0)
    machine.peer_closed(older, 1000, "done", 0.0)
    assert machine.final_ack


def test_a_second_end_changes_nothing() -> None:
    machine, _, held = polling()
    machine.peer_closed(held, 1000, "done", 0.0)
    machine.end(4411, "", 0.0)
    assert machine.outcome == (1000, "done", True)
    assert machine.final_ack


def test_an_end_by_the_ack_of_our_own_close_owes_no_ack() -> None:
    machine, _, held = polling()
    machine.close(3000, "ours", 0.0)
    batch = machine.uplink(0.0)
    assert batch is not None
    machine.refused(held, 3000, 1, "", 0.0)
    assert machine.outcome == (3000, "ours", True)
    assert not machine.final_ack


def test_an_abrupt_end_is_told_on_a_websocket() -> None:
    machine, _, carrier, link = opened()
    machine.message(carrier, "a", 1, 0.0)
    machine.fail(RemoteProtocolError(1002, "a gap"), 0.0)
    assert link.said == ["x1002,session,1,a gap"]
    assert link.closed is not None


def test_an_abrupt_end_over_http_or_before_the_attach_just_ends_the_carrier() -> None:
    machine, _, held = polling()
    machine.fail(RemoteProtocolError(1002, "a gap"), 0.0)
    assert isinstance(held.link, FakeLink)
    assert (held.link.said, held.link.closed is not None) == ([], True)
    assert not machine.final_ack
    machine, _ = client()
    carrier, link = duplex()
    machine.start(carrier, 0.0)
    machine.end(4411, "", 0.0)
    assert (link.said, link.closed is not None) == ([], True)


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_client_without_contact_gives_up() -> None:
    machine, _, carrier, _ = opened()
    machine.lost(carrier, 5.0)
    assert machine.deadline() == 130.0  # resume_window + ping_interval + ping_timeout after the last contact
    machine.expire(129.9)
    assert machine.outcome is None
    machine.contact = 10.0
    machine.expire(130.0)
    assert machine.outcome is None
    machine.expire(140.0)
    machine.expire(141.0)
    assert machine.outcome == (4411, "no contact with the server", False)
    assert machine.deadline() == FOREVER


def test_a_close_that_is_not_acknowledged_in_time() -> None:
    machine, _, _, _ = opened()
    machine.close(1000, "", 7.0)
    machine.contact = 137.0
    machine.expire(136.9)
    assert machine.outcome is None
    machine.expire(137.0)
    assert machine.outcome == (4412, "the close was not acknowledged in time", False)


def test_the_client_pings_later_than_the_server_and_then_drops_the_carrier() -> None:
    machine, _, carrier, link = opened()
    assert machine.deadline() == 25.0
    machine.expire(24.9)
    assert link.said == []
    machine.expire(25.0)
    assert link.said == ["p"]
    assert machine.deadline() == 30.0
    machine.expire(27.0)
    assert link.said == []
    machine.expire(30.0)
    assert (link.aborted, carrier.finished, machine.state) == (True, True, State.DETACHED)


def test_a_ping_is_not_written_on_a_link_that_takes_no_more() -> None:
    machine, _, _, link = opened()
    link.writable = False
    machine.expire(25.0)
    assert link.said == []
    machine.expire(30.0)
    assert link.aborted


def test_the_servers_announced_times_are_those_that_count() -> None:
    machine, _, _, _ = opened()
    machine.server = Config(ping_interval=2.0, ping_timeout=2.0, resume_window=10.0)
    assert machine.deadline() == 3.0
    machine.server = Config(ping_interval=2.0, ping_timeout=None, resume_window=10.0)
    assert machine.deadline() == 2.0
    machine.expire(2.0)
    assert machine.deadline() == 12.0  # pinged, and no silence is too long; only the contact counts


def test_where_there_are_no_pings_a_silent_websocket_is_kept_for_ever() -> None:
    machine, _, carrier, link = opened()
    machine.server = Config(ping_interval=None, resume_window=10.0)
    assert machine.deadline() == FOREVER
    machine.expire(1e9)
    assert (machine.outcome, machine.carrier, link.said) == (None, carrier, [])
    machine.lost(carrier, 1e9)
    assert machine.deadline() == 10.0
    machine.expire(1e9)
    assert machine.outcome is not None
    assert machine.outcome.code == 4411


def test_what_goes_up_beside_a_stream_goes_by_requests() -> None:
    machine, _, _, link = streaming()
    send(machine, "a")
    machine.flush(0.0)
    batch = machine.uplink(0.0)
    assert batch is not None
    assert contents(batch.items) == ["ma"]
    assert link.writes == []


def test_a_ping_on_a_stream_is_answered_by_a_batch_with_the_acks() -> None:
    machine, diary, carrier, link = streaming()
    machine.message(carrier, "x", 1, 1.0)
    assert machine.uplink(1.0) is None  # the ack has time
    machine.pinged(carrier, "")
    assert diary.read()[-1] == "dirty"
    assert machine.uplink(1.0) == Uplink("s1", 1, 0, 1, [], None, NO_KEY)
    assert machine.uplink(1.0) is None
    assert link.writes == []


def test_a_ping_on_a_websocket_is_answered_there() -> None:
    machine, _, carrier, link = opened()
    machine.pinged(carrier, "x")
    assert link.said == ["qx"]
    assert not machine.confirm


def test_an_ack_beside_a_stream_has_half_a_hold() -> None:
    machine, _, carrier, _ = streaming()
    machine.message(carrier, "x", 1, 1.0)
    assert machine.deadline() == 11.0
    assert machine.uplink(10.9) is None
    batch = machine.uplink(11.0)
    assert batch is not None
    assert batch.received == 1


def test_a_silent_stream_is_dropped_by_its_own_silence_and_never_pinged() -> None:
    machine, _, carrier, link = streaming()
    assert machine.deadline() == 30.0
    machine.contact = 29.0  # answers to sends say nothing about the stream
    machine.expire(29.9)
    assert (link.aborted, link.said) == (False, [])
    carrier.last_received = 10.0
    machine.expire(30.0)
    assert machine.deadline() == 40.0
    machine.expire(40.0)
    assert (link.aborted, carrier.finished, life(machine)) == (True, True, State.DETACHED)
    assert link.writes == []


def test_a_stream_that_is_not_attached_yet_is_its_shells_to_give_up() -> None:
    machine, _, _, _ = streaming()
    late, link = stream(5.0)
    machine.start(late, 5.0)
    machine.expire(100.0)
    assert not link.aborted
    assert machine.deadline() == 130.0


def test_without_pings_a_silent_stream_is_kept() -> None:
    machine, _, carrier, _ = streaming(ping_interval=None)
    assert machine.deadline() == FOREVER
    machine.expire(1e9)
    assert machine.carrier is carrier


def test_the_answer_to_go_away_on_a_stream_goes_by_a_batch() -> None:
    machine, _, _, _ = streaming()
    send(machine, "a")
    machine.uplink_lost(machine.uplink(0.0) or pytest.fail("no batch"))
    machine.going_away(1.0)
    batch = machine.uplink(1.0)
    assert batch is not None
    assert (contents(batch.items), batch.going) == (["ma"], 1)


def test_the_servers_close_on_a_stream_leaves_the_ack_to_the_shell() -> None:
    machine, _, carrier, link = streaming()
    machine.peer_closed(carrier, 1000, "", 1.0)
    assert machine.outcome == (1000, "", True)
    assert machine.final_ack
    assert (link.writes, link.closed is not None) == ([], True)


def test_a_carrier_that_is_not_attached_or_polls_is_not_pinged() -> None:
    machine, _ = client()
    carrier, link = duplex()
    machine.start(carrier, 0.0)
    machine.expire(100.0)
    assert link.said == []
    assert machine.deadline() == 130.0
    machine, diary, held = polling()
    diary.read()
    machine.expire(100.0)
    assert diary.read() == ["dirty"]
    assert isinstance(held.link, FakeLink)
    assert held.link.said == []


def test_the_first_end_counts() -> None:
    machine, *_ = opened()
    machine.end(4000, "one", 0.0)
    machine.end(1000, "two", 0.0, clean=True)
    assert machine.outcome == (4000, "one", False)
    assert not machine.final_ack


def test_a_carrier_started_with_a_reserved_gen_runs_beside_the_newest() -> None:
    machine, _ = client()
    gen = machine.reserve()
    websocket, _ = duplex()
    assert machine.start(websocket, 0.0).gen == gen + 1
    beside, _ = poll()
    assert machine.start(beside, 0.0, gen=gen) == Attach("", gen, 0, 0, 1, NO_KEY)
    assert machine.carrier is websocket
    machine.opened(beside, "s1", WIDE, 0, 0, 0.0)
    assert (machine.sid, life(machine), machine.carrier) == ("s1", State.OPEN, websocket)
    assert machine.opened(websocket, "s1", WIDE, 0, 0, 0.1)
    assert life(machine) is State.OPEN


# -- keys and tickets ------------------------------------------------------------------------------------------------


def test_all_that_a_client_says_shows_its_key_and_no_repr_does() -> None:
    machine, _ = client()
    carrier, _ = duplex()
    assert machine.start(carrier, 0.0).proof == ""
    machine.opened(carrier, "s1", Window(16, 65_536), 0, 0, 0.0, "secret")
    attach, aside = machine.start(poll()[0], 1.0), machine.aside()
    assert (attach.proof, aside.proof) == ("secret", "secret")
    assert (aside.sid, aside.received, aside.taken, aside.first, aside.items) == ("s1", 0, 0, 1, [])
    for said in (attach, aside):
        assert "secret" not in repr(said)
        assert "s1" not in repr(said)


def test_a_ticket_is_for_the_next_gen() -> None:
    machine, _ = client()
    assert machine.ticket() == ""
    machine.hand_out(1, ["one", "two"])
    assert machine.ticket() == "one"
    machine.reserve()
    assert machine.ticket() == "two"
    machine.reserve()
    assert machine.ticket() == ""


@pytest.mark.parametrize("posts", [False, True], ids=["duplex", "posts"])
def test_the_answer_to_go_away_waits_for_the_rest_of_a_group_that_has_begun(posts: bool) -> None:
    """Of an event with bytes the server has all, or it would have half of it when it closes."""
    link = FakeLink()
    if posts:
        machine, _, _ = polling(max_batch=4)
    else:
        machine, _, _, link = opened()
    for item in Outgoing.group("event", b"one", b"two", b"three"):
        machine.send(item)
    send(machine, "not numbered")
    machine.outbox.peek(1, 2, 1000)
    machine.going_away(0.0)
    if posts:
        batch = machine.uplink(0.0)
        assert batch is not None
        assert (contents(batch.items), batch.going) == (["mevent", "bb'one'"], None)
        machine.acknowledged(2, 2, 0.0)
        machine.uplink_answered(batch, 0.0)
        assert not machine.may_answer(3)
        last = machine.uplink(0.0)
        assert last is not None
        assert (contents(last.items), last.going) == (["bb'two'", "bb'three'"], 4)
    else:
        assert not machine.may_answer(3)
        machine.flush(0.0)
        assert link.said == ["mevent", "bb'one'", "bb'two'", "bb'three'", "g4"]
    assert machine.outbox.unnumbered == 1


def test_an_answer_by_an_owner_from_before_takes_up_nothing() -> None:
    machine, _ = client()
    first, second, third = (duplex()[0] for _ in range(3))
    machine.start(first, 0.0)
    machine.start(second, 0.0)  # both name none
    assert machine.opened(first, "s1", WIDE, 0, 0, 0.0, "", "t1")
    assert machine.opened(second, "s1", WIDE, 0, 0, 0.0, "", "t2")
    assert (second.attached, second.ignores, machine.carrier) == (False, True, None)
    machine.start(third, 0.0)
    fourth, _ = duplex()
    machine.start(fourth, 0.0)
    machine.attach_answered(third, 0, 0, 0.0, "t3", Tenure("", 0, 0, 0))
    machine.attach_answered(fourth, 0, 0, 0.0, "t4", Tenure("", 0, 0, 0))
    assert (third.attached, fourth.attached, fourth.ignores, machine.carrier) == (True, False, True, None)
    fifth, link = duplex()
    machine.start(fifth, 0.0)
    machine.attach_answered(fifth, 0, 0, 0.0, "t3")
    machine.flush(0.0)
    assert link.said[-1] == "l5"  # its rooms are heard on it
