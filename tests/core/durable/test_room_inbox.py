"""What the client of a durable session has received: numbered messages and those of rooms, in the order of their
arrival, and the window of rooms."""

from __future__ import annotations

from collections import deque

import pytest

from realtime.core.durable.room_inbox import RoomInbox
from realtime.core.durable.rooms import MAX_NOTES
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import RoomMessage, RoomPosition, Window
from realtime.core.inbox import AT_ONCE, NEVER


def inbox(messages: int = 8, size: int = 1000) -> tuple[RoomInbox, list[float]]:
    """One that hears rooms on the carrier of gen 1, and when something of a room was taken."""
    taken: list[float] = []
    made = RoomInbox(Window(messages, size), taken.append)
    made.begin(1)
    return made, taken


def message(number: int) -> RoomMessage:
    return RoomMessage(f"r{number}", "chat", f"1.{number}.x")


def test_what_came_first_is_taken_first() -> None:
    box, taken = inbox()
    box.put("m1", 2, 0.0)
    box.put_room(message(1), 2)
    box.put("m2", 2, 0.0)
    box.put_room(RoomPosition("chat", "1.2.x", None), 0)
    assert [box.take(1.0) for _ in range(4)] == ["m1", message(1), "m2", RoomPosition("chat", "1.2.x", None)]
    assert (box.received, box.taken) == (2, 2)  # rooms have no numbers
    assert (box.messages, box.frames) == (3, 2)
    assert taken == [1.0, 1.0]
    with pytest.raises(IndexError):
        box.take(1.0)


def test_a_room_may_come_before_anything_numbered() -> None:
    box, _ = inbox()
    box.put_room(message(1), 2)
    box.put("m1", 2, 0.0)
    box.rest()
    assert [box.take(1.0), box.take(1.0)] == [message(1), "m1"]


def test_the_window_of_rooms_counts_messages() -> None:
    box, _ = inbox(messages=3)
    for number in range(3):
        box.put_room(message(number), 2)
    with pytest.raises(RemoteProtocolError, match="window of rooms") as caught:
        box.put_room(message(3), 2)
    assert caught.value.close_code == 1002


def test_the_window_of_rooms_counts_bytes_and_one_alone_has_any_size() -> None:
    box, _ = inbox(size=10)
    box.put_room(message(0), 11)
    with pytest.raises(RemoteProtocolError):
        box.put_room(message(1), 1)
    box.take(0.0)
    with pytest.raises(RemoteProtocolError):
        box.put_room(message(1), 1)  # taken, and not said yet
    assert box.rooms_taken() == 1
    box.put_room(message(1), 10)


def test_notes_go_beyond_the_window_but_not_without_end() -> None:
    box, _ = inbox(messages=1)
    box.put_room(message(0), 2)
    for _ in range(MAX_NOTES):
        box.put_room(RoomPosition("chat", "1.1.x", 0), 0)
    with pytest.raises(RemoteProtocolError):
        box.put_room(RoomPosition("chat", "1.1.x", 0), 0)
    with pytest.raises(RemoteProtocolError):
        box.pass_by(0.0)


def test_a_quarter_of_the_window_is_said_at_once_and_less_after_a_time() -> None:
    box, _ = inbox(messages=8)
    for number in range(3):
        box.put_room(message(number), 2)
    assert box.rooms_due_at(1.0) == NEVER
    box.take(5.0)
    assert box.rooms_due_at(1.0) == 6.0
    box.take(5.5)
    assert box.rooms_due_at(1.0) == AT_ONCE
    assert box.rooms_taken() == 2
    assert box.rooms_due_at(1.0) == NEVER
    box.take(7.0)
    assert box.rooms_due_at(1.0) == 8.0
    assert box.rooms_taken() == 3


def test_a_quarter_of_its_bytes_too() -> None:
    box, _ = inbox(size=100)
    box.put_room(message(0), 25)
    box.take(5.0)
    assert box.rooms_due_at(1.0) == AT_ONCE


def test_what_was_said_by_a_send_that_is_lost_is_said_again() -> None:
    box, _ = inbox()
    box.put_room(message(0), 2)
    box.take(5.0)
    assert box.rooms_taken() == 1
    box.taken_lost()
    assert box.rooms_due_at(1.0) == AT_ONCE
    assert box.rooms_taken() == 1
    assert box.rooms_due_at(1.0) == NEVER


def test_what_is_not_for_the_application_is_taken_with_what_is_before_it() -> None:
    box, _ = inbox()
    box.pass_by(0.0)
    assert box.rooms_taken() == 1
    box.put_room(message(0), 2)
    box.pass_by(0.0)
    box.pass_by(0.0)
    assert box.rooms_taken() == 1
    box.take(0.0)
    assert box.rooms_taken() == 4


def test_another_carrier_counts_anew() -> None:
    box, taken = inbox()
    box.put_room(message(0), 2)
    box.put_room(message(1), 2)
    box.take(0.0)
    box.begin(2)
    box.pass_by(0.0)  # what waits came by another carrier
    assert box.rooms_taken() == 1
    box.take(1.0)
    assert taken == [0.0, 1.0]
    assert box.rooms_taken() == 1
    box.put_room(message(2), 2)
    box.take(2.0)
    assert box.rooms_taken() == 2


def test_whether_another_carrier_may_bring_a_window() -> None:
    box, _ = inbox(messages=2, size=10)
    box.put_room(message(0), 2)
    assert box.has_room_for_rooms
    box.put_room(message(1), 2)
    assert not box.has_room_for_rooms
    box.take(0.0)
    box.take(0.0)
    box.rooms_taken()
    box.put_room(message(2), 10)
    assert not box.has_room_for_rooms
    box.take(0.0)
    assert box.has_room_for_rooms


def test_what_is_discarded_is_taken() -> None:
    box, taken = inbox()
    box.put("m1", 2, 0.0)
    box.put_room(message(0), 2)
    box.discard(3.0)
    assert (box.items, box.taken, taken) == (deque(), 1, [3.0])
    assert box.rooms_taken() == 1
    assert box.has_room_for_rooms
