"""What a client sends by requests of its own (docs/protocol.md §6, §13)."""

from __future__ import annotations

from realtime.core.carrier import NumberedCarrier
from realtime.core.client_machine import NO_KEY, ClientMachine, Uplink
from realtime.core.config import Config
from realtime.core.durable.following import NO_NEWS, RoomNews
from realtime.core.durable.record import Tenure
from realtime.core.frames import RoomMessage

from .client_ends import client, polling, send
from .fakes import WIDE, contents, duplex, poll, stream


def test_uplink_goes_by_requests_only_while_no_duplex_carrier_is_attached() -> None:
    machine, _, _ = polling()
    assert machine.uplink_wanted
    websocket, _ = duplex()
    machine.start(websocket, 0.0)
    assert machine.uplink_wanted  # it may never answer
    machine.attach_answered(websocket, 0, 0, 0.0)
    assert not machine.uplink_wanted
    send(machine, "a")
    assert machine.uplink(0.0) is None
    machine.lost(websocket, 0.0)
    assert machine.uplink_wanted


def test_before_there_is_a_sid_no_batch_can_name_it() -> None:
    machine, _ = client()
    machine.start(poll()[0], 0.0)
    send(machine, "a")
    assert not machine.uplink_wanted
    assert machine.uplink(0.0, force=True) is None


def test_a_batch_starts_at_the_lowest_not_acked_and_one_is_in_flight() -> None:
    machine, _, _ = polling()
    send(machine, "a", "b")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert (batch.sid, batch.first, contents(batch.items), batch.going) == ("s1", 1, ["ma", "mb"], None)
    send(machine, "c")
    assert machine.uplink(0.0) is None
    assert machine.uplink(0.0, force=True) is None
    machine.acknowledged(2, 0, 0.0)
    machine.uplink_answered(batch, 1.0)
    following = machine.uplink(1.0)
    assert following is not None
    assert (following.first, contents(following.items)) == (3, ["mc"])


def test_a_lost_batch_is_due_again_and_its_ack_too() -> None:
    machine, diary, held = polling()
    machine.message(held, "x", 1, 0.0)
    send(machine, "a")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert (batch.received, batch.taken) == (1, 0)
    diary.read()
    machine.uplink_lost(batch)
    assert diary.read() == ["dirty"]
    assert machine.inbox.due(0.0, 1000.0)
    assert machine.uplink(0.0) == batch


def test_a_batch_that_was_lost_and_is_answered_late_frees_nothing_that_is_in_flight() -> None:
    machine, diary, _ = polling()
    send(machine, "a")
    first = machine.uplink(0.0)
    assert first is not None
    machine.uplink_lost(first)
    send(machine, "b")
    second = machine.uplink(0.0)
    assert second is not None
    machine.uplink_answered(first, 5.0)
    assert machine.uplink_out is second
    assert machine.contact == 5.0
    diary.read()
    machine.uplink_lost(first)
    assert machine.uplink_out is second
    assert diary.read() == []


def test_an_ack_counts_as_announced_once_its_batch_is_answered() -> None:
    machine, _, held = polling()
    machine.message(held, "x", 1, 0.0)
    assert machine.uplink(9.9) is None
    batch = machine.uplink(10.0)  # half of ping_interval later
    assert batch is not None
    assert (batch.received, batch.taken, batch.items) == (1, 0, [])
    assert machine.inbox.news
    machine.uplink_answered(batch, 10.0)
    assert not machine.inbox.news
    assert machine.uplink(100.0) is None


def test_the_sid_is_confirmed_by_a_batch_that_says_nothing_else() -> None:
    machine, _ = client()
    first, _ = poll()
    machine.start(first, 0.0)
    machine.opened(first, "s1", WIDE, 0, 0, 0.0)
    batch = machine.uplink(0.0)
    assert batch == Uplink("s1", 0, 0, 1, [], None, NO_KEY)
    machine.uplink_answered(batch, 0.0)
    assert machine.uplink(0.0) is None
    assert machine.uplink(0.0, force=True) == batch


def test_a_batch_has_room_for_its_head_and_the_answer_to_go_away() -> None:
    machine, _, _ = polling(max_batch=5)
    machine.server = Config(max_batch=4)
    send(machine, *"abcdef")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert contents(batch.items) == ["ma", "mb"]


def test_a_batch_has_no_more_bytes_than_either_end_allows() -> None:
    machine, _, _ = polling(max_batch_size=5)
    send(machine, "aa", "bb", "cc")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert contents(batch.items) == ["maa", "mbb"]
    machine.uplink_lost(batch)
    machine.server = Config(max_batch_size=3)
    batch = machine.uplink(0.0)
    assert batch is not None
    assert contents(batch.items) == ["maa"]


def test_a_session_that_has_ended_sends_no_batch() -> None:
    machine, _, _ = polling()
    send(machine, "a")
    machine.end(1011, "", 0.0)
    assert machine.uplink(0.0, force=True) is None


def test_a_poll_brings_messages_while_no_batch_is_in_flight() -> None:
    machine, _, held = polling()
    send(machine, "a", "b")
    machine.confirm = True
    assert contents(machine.poll_items(held)) == ["ma", "mb"]
    assert held.send_cursor == 3
    assert not machine.confirm
    assert machine.poll_items(held) == []
    batch = machine.uplink(0.0)
    assert batch is not None
    assert machine.poll_items(held) == []


def test_over_http_the_answer_rides_on_the_last_batch() -> None:
    machine, _, _ = polling(max_batch=4)
    send(machine, "a", "b", "c")
    first = machine.uplink(0.0)
    assert first is not None
    machine.uplink_lost(first)
    machine.outbox.peek(1, 10, 1000)  # all three are numbered now
    machine.going_away(0.0)
    send(machine, "not numbered")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert (contents(batch.items), batch.going) == (["ma", "mb"], None)
    machine.acknowledged(2, 2, 0.0)
    machine.uplink_answered(batch, 0.0)
    assert machine.going_due
    last = machine.uplink(0.0)
    assert last is not None
    assert (contents(last.items), last.going) == (["mc"], 3)
    machine.acknowledged(3, 3, 0.0)
    machine.uplink_answered(last, 0.0)
    assert not machine.going_due
    assert machine.uplink(0.0) is None


# -- durable sessions ------------------------------------------------------------------------------------------------


def durable() -> tuple[ClientMachine, NumberedCarrier]:
    """A durable session of tenure "t1", with a stream that has brought `o`, and told its cursors: none."""
    machine, _ = client()
    carrier, _ = stream()
    machine.start(carrier, 0.0)
    machine.opened(carrier, "s1", WIDE, 0, 0, 0.0, "", "t1")
    batch = machine.uplink(0.0)
    assert batch == Uplink("s1", 0, 0, 1, [], None, NO_KEY, "t1", RoomNews(1, {}, None))
    machine.uplink_answered(batch, 0.0)
    return machine, carrier


def test_a_batch_names_the_tenure_that_was_read_of_last() -> None:
    machine, _ = durable()
    send(machine, "a")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert (batch.tenure, batch.news, contents(batch.items)) == ("t1", NO_NEWS, ["ma"])
    assert machine.aside().tenure == "t1"
    carrier, _ = stream()
    machine.start(carrier, 0.0)
    machine.attach_answered(carrier, 0, 0, 0.0, "t2", Tenure("", 0, 0, 0))
    assert machine.aside().tenure == "t2"


def test_a_batch_has_room_for_what_is_said_of_rooms() -> None:
    machine, _ = durable()
    machine.server = Config(max_batch=6)
    send(machine, *"abcdef")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert contents(batch.items) == ["ma", "mb"]


def test_cursors_go_without_messages() -> None:
    machine, _ = durable()
    carrier, _ = stream()
    machine.start(carrier, 0.0)
    send(machine, "a")
    first = machine.uplink(0.0)
    assert first is not None
    assert (first.news, contents(first.items)) == (NO_NEWS, ["ma"])  # the carrier has not attached
    machine.uplink_lost(first)
    machine.attach_answered(carrier, 0, 0, 0.0, "t1")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert (batch.news, batch.items) == (RoomNews(2, {}, None), [])
    machine.uplink_answered(batch, 0.0)
    batch = machine.uplink(0.0)
    assert batch is not None
    assert (batch.news, contents(batch.items)) == (NO_NEWS, ["ma"])


def test_what_a_lost_batch_has_said_of_rooms_is_said_again() -> None:
    machine, carrier = durable()
    machine.room_came(carrier, RoomMessage("hi", "chat", "1.1.x"), 2, 0.0)
    machine.take(0.0)
    carrier, _ = stream()
    machine.start(carrier, 0.0)
    machine.attach_answered(carrier, 0, 0, 0.0, "t1")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert batch.news == RoomNews(2, {"chat": "1.1.x"}, None)
    for number in range(2, 6):
        machine.room_came(carrier, RoomMessage("hi", "chat", f"1.{number}.x"), 2, 0.0)
        machine.take(0.0)
    machine.uplink_lost(batch)
    batch = machine.uplink(0.0)
    assert batch is not None
    assert batch.news == RoomNews(2, {"chat": "1.5.x"}, 4)
    machine.uplink_lost(batch)
    following, _ = stream()
    machine.start(following, 0.0)  # and what was lost was for the carrier before
    assert machine.uplink(0.0) is None
    machine.attach_answered(following, 0, 0, 0.0, "t1")
    batch = machine.uplink(0.0)
    assert batch is not None
    assert batch.news == RoomNews(3, {"chat": "1.5.x"}, None)


def test_nothing_is_sent_to_an_owner_that_no_carrier_has_found() -> None:
    machine, carrier = durable()
    send(machine, "a")
    batch = machine.uplink(0.0)
    assert batch is not None
    answer, _ = poll()
    machine.following.sends(answer, batch.tenure)
    machine.send_answered(answer, 1, 1, "t2", 0.0)
    machine.uplink_answered(batch, 0.0)
    assert machine.outbox.acked == 0  # it is another owner's word
    assert carrier.finished
    assert machine.uplink(0.0, force=True) is None
    following, _ = stream()
    machine.start(following, 0.0)
    assert machine.uplink(0.0, force=True) is None
    machine.attach_answered(following, 1, 1, 0.0, "t2", Tenure("", 0, 1, 1))
    assert machine.outbox.acked == 1
    assert machine.uplink(0.0) is not None


def test_what_is_shown_of_a_batch_has_no_secrets() -> None:
    shown = repr(Uplink("the-session", 1, 0, 1, [], None, NO_KEY, "t1"))
    assert shown.startswith("<Uplink received=1 taken=0 first=1 items=[] going=None tenure='t1'")
    assert "the-session" not in shown
    assert "proof" not in shown
