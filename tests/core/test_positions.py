"""Positions of rooms for one client: at most one waits for each room, behind no message of it, and none is lost."""

from __future__ import annotations

from realtime.core.frames import POSITION, Outgoing, RoomItem, RoomNote, Window
from realtime.core.outbox import Outbox
from realtime.core.positions import Positions

WIDE = Window(1000, 1_000_000)


def outbox(most: int = 100) -> Outbox:
    """An empty one for so many."""
    return Outbox(WIDE, most, 1_000_000)


def message(room: str, cursor: str) -> RoomItem:
    """A message of a room."""
    return RoomItem(room, cursor, Outgoing.message(f"to {room}"))


def write(box: Outbox) -> list[tuple[str, str, int | None]]:
    """Writes all there is, as a codec does; the notes among it."""
    _, items = box.peek(box.last + 1, 1000, 1_000_000)
    for item in items:
        item.encoded["key"] = "done"
    return [(item.room, item.cursor, item.missing) for item in items if isinstance(item, RoomNote)]


def test_a_cursor_is_given_out_once() -> None:
    brought = {"a": "1", "b": "2"}
    positions = Positions(brought)
    assert [positions.cursor_of(room) for room in ("a", "a", "c")] == ["1", None, None]
    assert (positions.cursor_of("b"), brought) == ("2", {"a": "1", "b": "2"})


def test_a_position_makes_way_for_the_next_of_its_room() -> None:
    positions, box = Positions({}), outbox()
    assert positions.note(box, "a", "1", None)
    assert positions.note(box, "b", "1", None)
    assert not positions.note(box, "a", "2", None)
    assert not positions.note(box, "a", "3", None)
    assert write(box) == [("a", "3", None), ("b", "1", None)]
    assert positions.note(box, "a", "4", None)  # that one was sent
    assert write(box) == [("a", "4", None)]


def test_a_position_behind_a_message_is_another() -> None:
    positions, box = Positions({}), outbox()
    positions.note(box, "a", "1", None)
    assert positions.passed("a") is None
    box.append(message("a", "2"))
    assert positions.note(box, "a", "3", None)
    assert write(box) == [("a", "1", None), ("a", "3", None)]


def test_gaps_grow_and_what_is_unknown_stays_so() -> None:
    for told, whole in (
        ((None, 2), 2),
        ((2, None), 2),
        ((2, 3), 5),
        ((2, 0), 0),
        ((0, 3), 0),
        ((0, None), 0),
        ((None, None), None),
    ):
        positions, box = Positions({}), outbox()
        for number, missing in enumerate(told):
            positions.note(box, "a", str(number), missing)
        assert write(box) == [("a", "1", whole)]


def test_what_finds_no_room_waits_and_grows() -> None:
    positions, box = Positions({}), outbox(1)
    box.append(Outgoing.message("x"))
    assert not positions.note(box, "a", "1", None)
    assert not positions.note(box, "b", "1", 2)
    assert not positions.note(box, "a", "2", 1)
    assert (len(positions), len(box)) == (2, 1)
    assert not positions.settle(box)
    write(box)
    box.acknowledge(1, 1)
    assert positions.settle(box)
    assert (len(positions), write(box)) == (1, [("a", "2", 1)])
    box.acknowledge(2, 2)
    assert positions.settle(box)
    assert (len(positions), write(box)) == (0, [("b", "1", 2)])
    assert not positions.settle(box)


def test_what_waits_goes_before_the_next_message_of_its_room() -> None:
    positions, box = Positions({}), outbox(1)
    box.append(Outgoing.message("x"))
    positions.note(box, "a", "1", 1)
    assert positions.passed("b") is None
    note = positions.passed("a")
    assert note is not None
    assert (note.cursor, note.missing, len(positions)) == ("1", 1, 0)
    positions.keep(note)  # the message was dropped
    assert len(positions) == 1
    assert not positions.note(box, "a", "3", 4)
    assert positions.passed("a") is note
    assert (note.cursor, note.missing) == ("3", 5)


def test_nothing_is_kept_of_a_room_that_was_left() -> None:
    positions, box = Positions({}), outbox(1)
    box.append(Outgoing.message("x"))
    positions.note(box, "a", "1", 1)
    positions.left("a")
    positions.left("b")
    assert (len(positions), positions.passed("a")) == (0, None)


def test_positions_are_no_messages_and_are_not_dropped() -> None:
    positions, box = Positions({}), outbox(4)
    for room in ("a", "b"):
        positions.note(box, room, "1", None)
        positions.passed(room)
        box.append(message(room, "2"))
    assert box.make_room(10)
    assert [item.kind for item in box.waiting] == [POSITION, "d", POSITION]
    assert box.waiting[1].code == 2
    assert box.unacknowledged() == []
    write(box)
    assert (box.messages, box.notes, box.total) == (0, 3, 0)


def test_positions_alone_make_no_room() -> None:
    positions, box = Positions({}), outbox(2)
    positions.note(box, "a", "1", None)
    positions.note(box, "b", "1", None)
    assert not box.has_room(1)
    assert box.make_room(1)  # for what is newest, beyond the limits
    box.append(message("a", "2"))
    assert box.make_room(1)
    assert [item.kind for item in box.waiting] == [POSITION, POSITION, "d"]


def test_a_cursor_is_given_out_again_behind_a_join_that_failed() -> None:
    positions, box = Positions({"a": "1", "b": "1"}), outbox(4)
    assert positions.cursor_of("a") == "1"
    assert positions.cursor_of("a") is None
    positions.joined("a", False)
    assert positions.cursor_of("a") == "1"
    positions.given("a", "2")
    positions.given("b", "2")  # nobody joins it
    positions.joined("a", False)
    assert positions.cursor_of("a") == "2"
    positions.note(box, "a", "3", 1)
    positions.joined("a", False)
    assert positions.cursor_of("a") == "3"
    positions.joined("a", True)
    positions.joined("a", False)
    assert (positions.cursor_of("a"), positions.cursor_of("b")) == (None, "1")
    positions.left("b")  # while it is joined
    positions.joined("b", False)
    assert positions.cursor_of("b") is None


def test_a_join_that_fails_without_a_cursor_goes_on_where_it_was() -> None:
    positions = Positions({})
    assert positions.joining("a")
    assert not positions.joining("a")  # at once
    positions.given("a", "7")
    positions.joined("a", False)
    assert positions.cursor_of("a") == "7"
    positions.joined("a", True)
    assert positions.joining("a")
    positions.joined("a", False)  # it was given nothing
    assert positions.cursor_of("a") is None
