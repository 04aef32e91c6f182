"""The client's end of a durable session: whose answers count, and what rooms bring on which carrier (docs/protocol.md
§13.3, §13.4)."""

from __future__ import annotations

import pytest

from realtime.core.carrier import NumberedCarrier
from realtime.core.client_machine import LEAST_ACK_SHARE, ClientMachine
from realtime.core.config import Config
from realtime.core.cursors import MAX_CURSORS
from realtime.core.durable.following import AHEAD, NO_NEWS, RoomNews
from realtime.core.durable.record import Tenure
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import RoomMessage, RoomPosition
from realtime.core.inbox import AT_ONCE

from ..client_ends import client, send
from ..fakes import WIDE, Diary, FakeLink, duplex, poll, stream


def durable() -> tuple[ClientMachine, Diary, NumberedCarrier, FakeLink]:
    """A durable session of tenure "t1", open on a WebSocket that was told its cursors: none."""
    machine, diary = client()
    carrier, link = duplex()
    assert machine.start(carrier, 0.0).tenure == ""
    assert machine.opened(carrier, "s1", WIDE, 0, 0, 0.0, "", "t1")
    machine.flush(0.0)
    assert link.said == ["a0,0", "l1"]
    link.writes.clear()
    diary.read()
    return machine, diary, carrier, link


def attach(machine: ClientMachine, tenure: str = "t1", began: Tenure | None = None) -> NumberedCarrier:
    """Another WebSocket, which is answered by the owner of this tenure, and told the cursors."""
    carrier, _ = duplex()
    assert machine.start(carrier, 0.0).tenure == machine.following.tenure
    machine.attach_answered(carrier, 0, 0, 0.0, tenure, began)
    machine.flush(0.0)
    return carrier


def message(room: str, offset: int) -> RoomMessage:
    return RoomMessage("hi", room, f"1.{offset}.x")


def test_what_rooms_brought_is_said_behind_a_part_of_the_quarter_that_the_client_draws() -> None:
    machine, (carrier, _) = ClientMachine(Config(), Diary(), 0.0, LEAST_ACK_SHARE), duplex()
    machine.start(carrier, 0.0)
    machine.opened(carrier, "s1", WIDE, 0, 0, 0.0, "", "t1")
    machine.flush(0.0)
    rooms = machine.following.rooms
    assert rooms is not None
    for offset in range(1, 49):
        assert rooms.rooms_due_at(1.0) != AT_ONCE
        machine.room_came(carrier, message("chat", offset), 2, 5.0)
        machine.take(5.0)
    assert rooms.rooms_due_at(1.0) == AT_ONCE


# -- owners ----------------------------------------------------------------------------------------------------------


def test_a_session_is_durable_if_its_first_o_names_a_tenure() -> None:
    machine, _ = client()
    carrier, link = duplex()
    machine.start(carrier, 0.0)
    machine.opened(carrier, "s1", WIDE, 0, 0, 0.0)
    machine.flush(0.0)
    assert link.said == ["a0,0"]
    machine.room_came(carrier, message("chat", 1), 2, 0.0)
    machine.room_left(carrier, "chat", 0.0)
    assert not machine.inbox.items
    assert machine.cursors(carrier) is None
    assert (machine.following.tenure, machine.following.rooms) == ("", None)


def test_o_is_the_first_frame_of_a_durable_session() -> None:
    machine, _ = client()
    carrier, _ = duplex()
    machine.start(carrier, 0.0)
    machine.message(carrier, "too early", 9, 0.0)
    with pytest.raises(RemoteProtocolError) as caught:
        machine.opened(carrier, "s1", WIDE, 0, 0, 0.0, "", "t1")
    assert caught.value.close_code == 1002


def test_an_attached_of_another_tenure_drops_the_older_carriers() -> None:
    machine, _, first, link = durable()
    second, other = stream()
    machine.start(second, 0.0)
    machine.attach_answered(second, 0, 0, 0.0, "t1")
    assert not first.finished  # the same owner's: read until it ends
    third = attach(machine, "t2", Tenure("", 0, 0, 0))
    assert (first.finished, second.finished, third.finished) == (True, True, False)
    assert (first.ignores, second.ignores, third.ignores) == (True, True, False)
    assert (link.aborted, other.aborted) == (True, True)
    assert machine.carrier is third
    machine.message(first, "too late", 8, 0.0)
    assert machine.inbox.received == 0


def test_a_poll_that_was_answered_is_not_dropped_again() -> None:
    machine, _, _, _ = durable()
    answered, link = poll()
    machine.start(answered, 0.0)
    machine.attach_answered(answered, 0, 0, 0.0, "t1")
    answered.finished = True
    attach(machine, "t2", Tenure("", 0, 0, 0))
    assert not link.aborted


def test_an_answer_of_an_owner_that_was_gone_beyond_does_not_count() -> None:
    machine, _, _, _ = durable()
    early, _ = duplex()
    machine.start(early, 0.0)  # it names t1
    later, _ = duplex()
    machine.start(later, 0.0)
    machine.attach_answered(early, 0, 0, 0.0, "t2", Tenure("", 0, 0, 0))
    assert machine.following.tenure == "t2"
    machine.attach_answered(later, 0, 0, 0.0, "t3", Tenure("", 0, 0, 0))  # behind t1: that was t2's beginning
    assert later.ignores
    assert later.finished
    assert (machine.carrier, machine.following.tenure, machine.outcome) == (None, "t2", None)


def test_an_o_again_of_another_owner_is_judged_likewise() -> None:
    machine, _, _, _ = durable()
    beside, _ = poll()
    assert machine.start(beside, 0.0).tenure == "t1"
    assert machine.opened(beside, "s1", WIDE, 0, 0, 0.0, "", "t1")
    assert machine.opened(beside, "s1", WIDE, 0, 0, 0.0, "", "t2")  # its own session, and that is over
    assert machine.outcome is not None
    assert machine.outcome.code == AHEAD


@pytest.mark.parametrize(
    ("began", "ahead"),
    [
        (Tenure("", 2, 1, 1), False),
        (Tenure("", 1, 1, 1), True),  # one that was received is lost
        (Tenure("", 2, 0, 0), True),  # one that was acknowledged
        (Tenure("", 2, 1, 0), True),  # one that was taken
        (None, True),  # it does not know how the tenure ended that this client knows
    ],
)
@pytest.mark.parametrize("shape", ["duplex", "poll"])
def test_a_client_that_is_ahead_of_the_store_ends_its_session(began: Tenure | None, ahead: bool, shape: str) -> None:
    machine, _, carrier, _ = durable()
    send(machine, "a")
    machine.flush(0.0)
    machine.acknowledged(1, 1, 0.0)
    machine.message(carrier, "one", 3, 0.0)
    machine.message(carrier, "two", 3, 0.0)
    following, link = duplex() if shape == "duplex" else poll()
    machine.start(following, 0.0)
    machine.attach_answered(following, 1, 1, 0.0, "t2", began)
    assert (machine.outcome is not None) is ahead
    assert machine.following.unsaid is (ahead and shape == "poll")
    if ahead:
        assert machine.outcome is not None
        assert (machine.outcome.code, machine.outcome.clean) == (4414, False)
        ending = ["x4414,session,2,the server has lost what this client has"]
        assert link.said == (ending if shape == "duplex" else [])
    else:
        assert machine.following.tenure == "t2"


def test_acks_of_a_send_count_if_both_name_the_tenure_of_now() -> None:
    machine, _, carrier, _ = durable()
    send(machine, "a", "b", "c")
    machine.flush(0.0)
    answer, _ = poll()
    machine.following.sends(answer, "t1")
    machine.send_answered(answer, 1, 0, "t1", 0.0)
    assert machine.outbox.acked == 1
    machine.following.sends(answer, "t0")
    machine.send_answered(answer, 2, 0, "t1", 0.0)
    machine.send_answered(answer, 2, 0, "t0", 0.0)
    unknown, _ = poll()
    machine.send_answered(unknown, 2, 0, "t1", 0.0)  # who asked aside
    assert (machine.outbox.acked, carrier.finished, machine.following.moved) == (1, False, False)


def test_an_answer_of_another_owner_drops_the_carrier_once() -> None:
    machine, _, carrier, link = durable()
    answer, _ = poll()
    machine.following.sends(answer, "t1")
    machine.send_answered(answer, 0, 0, "t2", 0.0)
    assert (carrier.finished, link.aborted, machine.carrier) == (True, True, None)
    following, link = duplex()
    machine.start(following, 0.0)
    machine.send_answered(answer, 0, 0, "t2", 0.0)
    assert (following.finished, link.aborted) == (False, False)
    machine.attach_answered(following, 0, 0, 0.0, "t2", Tenure("", 0, 0, 0))
    assert not machine.following.moved


@pytest.mark.parametrize(("shape", "dropped"), [("poll", True), ("stream", False), ("none", False)])
def test_a_carrier_that_has_not_attached_finds_out_by_itself_unless_it_is_held(shape: str, dropped: bool) -> None:
    machine, _, first, _ = durable()
    machine.lost(first, 0.0)
    carrier, link = poll() if shape == "poll" else stream()
    if shape != "none":
        machine.start(carrier, 0.0)
    answer, _ = poll()
    machine.following.sends(answer, "t1")
    machine.send_answered(answer, 0, 0, "t2", 0.0)
    assert (carrier.finished, link.aborted) == (dropped, dropped)
    assert machine.following.moved


# -- rooms -----------------------------------------------------------------------------------------------------------


def test_rooms_are_heard_on_the_carrier_that_was_told_the_cursors() -> None:
    machine, diary, first, _ = durable()
    machine.room_came(first, message("chat", 1), 2, 0.0)
    assert diary.read() == ["readable"]
    second, link = duplex()
    machine.start(second, 0.0)
    machine.room_came(first, message("chat", 2), 2, 0.0)  # it has been told nothing yet
    machine.attach_answered(second, 0, 0, 0.0, "t1")
    machine.flush(0.0)
    assert link.said[-1] == "l2,chat,1.2.x"
    machine.room_came(first, message("chat", 3), 2, 0.0)
    machine.room_left(first, "chat", 0.0)
    machine.room_came(second, message("chat", 3), 2, 0.0)
    assert [machine.take(0.0) for _ in range(3)] == [message("chat", offset) for offset in (1, 2, 3)]
    assert not machine.inbox.items


def test_a_note_that_nothing_is_in_front_of_is_told() -> None:
    machine, diary, carrier, _ = durable()
    machine.room_came(carrier, RoomPosition("chat", "1.1.x", None), 0, 0.0)
    assert diary.read() == ["readable", "noted"]
    assert machine.brought == 1
    machine.room_came(carrier, RoomPosition("chat", "1.1.x", None), 0, 0.0)
    assert diary.read() == ["readable"]


def test_a_message_of_a_room_is_no_larger_than_any() -> None:
    machine, _, carrier, _ = durable()
    with pytest.raises(RemoteProtocolError) as caught:
        machine.room_came(carrier, message("chat", 1), machine.config.max_size + 1, 0.0)
    assert caught.value.close_code == 1009


def test_behind_its_close_or_the_end_a_client_hears_nothing() -> None:
    machine, diary, carrier, _ = durable()
    machine.close(1000, "", 0.0)
    diary.read()
    machine.room_came(carrier, message("chat", 1), 2, 0.0)
    assert not machine.inbox.items
    assert "readable" not in diary.read()
    machine.end(1000, "", 0.0)
    machine.room_came(carrier, message("chat", 2), 2, 0.0)
    machine.room_left(carrier, "chat", 0.0)
    assert machine.following.heard["chat"] == "1.1.x"


def test_what_was_taken_of_rooms_is_said_as_acks_are() -> None:
    machine, diary, carrier, link = durable()
    for offset in range(5):
        machine.room_came(carrier, message("chat", offset), 2, 0.0)
    diary.read()
    machine.take(1.0)
    assert diary.woken[-1] == 2.0
    assert machine.deadline() == 2.0
    machine.flush(1.0)
    assert link.said == []
    assert diary.read() == []
    for _ in range(3):
        machine.take(1.0)
    assert diary.read() == ["dirty"]
    machine.flush(1.0)
    assert link.said == ["f1,4"]  # of a window of 16
    machine.take(1.5)
    machine.flush(2.5)
    assert link.said == ["f1,5"]
    machine.lost(carrier, 2.5)
    machine.room_left(carrier, "chat", 2.5)
    assert machine.deadline() > 100


def test_of_a_poll_nothing_is_said_to_be_taken() -> None:
    machine, _, _, _ = durable()
    carrier, _ = poll()
    machine.start(carrier, 0.0)
    assert machine.cursors(carrier) == {}
    for offset in range(16):
        machine.room_came(carrier, message("chat", offset), 2, 0.0)
        machine.take(0.0)
    machine.attach_answered(carrier, 0, 0, 0.0, "t1")
    assert machine.uplink(0.0) is None


def test_a_client_with_a_window_that_waits_tells_no_cursors_until_some_is_taken() -> None:
    machine, diary, carrier, _ = durable()
    for offset in range(16):
        machine.room_came(carrier, message("chat", offset), 2, 0.0)
    following, link = duplex()
    machine.start(following, 0.0)
    machine.attach_answered(following, 0, 0, 0.0, "t1")
    machine.flush(0.0)
    assert link.said == []
    diary.read()
    machine.take(0.0)
    assert diary.read() == ["dirty"]
    machine.flush(0.0)
    assert link.said == ["l2,chat,1.15.x"]


def test_beside_a_held_poll_without_cursors_a_send_tells_them() -> None:
    machine, _, carrier, _ = durable()
    for offset in range(16):
        machine.room_came(carrier, message("chat", offset), 2, 0.0)
    held, _ = poll()
    machine.start(held, 0.0)
    assert machine.cursors(held) is None
    assert machine.uplink(0.0) is None
    machine.take(0.0)
    batch = machine.uplink(0.0)
    assert batch is not None
    assert batch.news == RoomNews(2, {"chat": "1.15.x"}, None)
    machine.lost(held, 0.0)
    machine.uplink_lost(batch)
    assert machine.following.again
    following, _ = poll()
    machine.start(following, 0.0)
    machine.cursors(following)
    machine.inbox.announced(0, 0)
    assert machine.uplink(0.0) is None  # this one has been told them with its request
    assert not machine.following.again


def test_news_of_a_session_that_is_not_durable_are_none() -> None:
    machine, _ = client()
    carrier, _ = stream()
    machine.start(carrier, 0.0)
    machine.opened(carrier, "s1", WIDE, 0, 0, 0.0)
    batch = machine.uplink(0.0)
    assert batch is not None
    assert (batch.tenure, batch.news, machine.brought) == ("", NO_NEWS, 0)
    machine.uplink_lost(batch)
    assert not machine.following.again


def test_a_room_that_was_left_keeps_its_cursor() -> None:
    machine, _, carrier, _ = durable()
    machine.room_came(carrier, message("chat", 1), 2, 0.0)
    machine.room_left(carrier, "chat", 0.0)
    following = attach(machine)
    assert machine.following.told == following.gen
    assert machine.following.heard["chat"] == "1.1.x"


def test_a_session_is_in_no_more_rooms_than_there_are_cursors() -> None:
    machine, _, carrier, _ = durable()
    for number in range(MAX_CURSORS):
        machine.room_came(carrier, RoomPosition(f"r{number}", "1.1.x", None), 0, 0.0)
    machine.room_left(carrier, "r7", 0.0)
    machine.room_came(carrier, RoomPosition("more", "1.1.x", None), 0, 0.0)
    assert "r7" not in machine.following.heard
    with pytest.raises(RemoteProtocolError) as caught:
        machine.room_came(carrier, RoomPosition("too many", "1.1.x", None), 0, 0.0)
    assert caught.value.close_code == 1002


def test_what_a_lost_send_has_said_of_rooms_is_said_again() -> None:
    machine, _ = client()
    carrier, _ = stream()
    machine.start(carrier, 0.0)
    machine.opened(carrier, "s1", WIDE, 0, 0, 0.0, "", "t1")
    for _ in range(2):
        batch = machine.uplink(0.0)
        assert batch is not None
        assert batch.news == RoomNews(1, {}, None)
        machine.uplink_lost(batch)
    batch = machine.uplink(0.0)
    assert batch is not None
    machine.uplink_answered(batch, 0.0)
    for offset in range(4):
        machine.room_came(carrier, message("chat", offset), 2, 0.0)
        machine.take(0.0)
    for _ in range(2):
        batch = machine.uplink(0.0)
        assert batch is not None
        assert batch.news == RoomNews(1, None, 4)
        machine.uplink_lost(batch)


def test_without_a_carrier_a_send_says_nothing_of_rooms() -> None:
    machine, _, carrier, _ = durable()
    machine.room_came(carrier, message("chat", 1), 2, 0.0)
    machine.take(0.0)
    machine.lost(carrier, 0.0)
    send(machine, "hello")
    batch = machine.uplink(100.0)
    assert batch is not None
    assert batch.news == NO_NEWS
