"""Rooms of a durable session: where an owner begins, what its client takes, how much may be on the way."""

from __future__ import annotations

import pytest

from realtime.core.cursors import MAX_CURSORS
from realtime.core.durable.rooms import MAX_NOTES, Flow, Heard, Resumed, begins, contradicted, resumed
from realtime.core.frames import Window
from realtime.core.rooms import Entry, Position, Reading


def at(offset: int, epoch: int = 1, id: str | None = None) -> Position:
    return Position(epoch, offset, f"p{offset}" if id is None else id)


def entries(*offsets: int, epoch: int = 1) -> list[Entry]:
    return [Entry(epoch, offset, f"p{offset}", f"p{offset - 1}", b"") for offset in offsets]


def test_an_owner_begins_at_the_higher_of_join_and_cursor() -> None:
    assert begins(at(3), None) == at(3)
    assert begins(at(3), at(5)) == at(5)
    assert begins(at(5), at(3)) == at(5)
    assert begins(at(5), at(3, epoch=2)) == at(3, epoch=2)


@pytest.mark.parametrize(
    ("position", "reading", "expected"),
    [
        (at(3), Reading(1, 5, "p5", entries=entries(4, 5)), Resumed(at(3), None)),
        (at(5), Reading(1, 5, "p5"), Resumed(at(5), None)),
        # Not kept any more: so many are missing.
        (at(3), Reading(1, 9, "p9", entries=entries(8, 9)), Resumed(at(7), 4)),
        (at(3), Reading(1, 9, "p9"), Resumed(at(9), 6)),
        # Another message stands there, or none does.
        (at(5, id="lost"), Reading(1, 5, "p5"), Resumed(at(5), 0)),
        (at(7), Reading(1, 5, "p5"), Resumed(at(5), 0)),
        # Another epoch: all above its base is new.
        (at(7), Reading(2, 9, "p9", 6, "p6", entries(7, 8, 9, epoch=2)), Resumed(at(6, epoch=2), 0)),
        (at(7), Reading(2, 9, "p9", 6, "p6", entries(8, 9, epoch=2)), Resumed(at(7, epoch=2), 0)),
        (at(7), Reading(2, 6, "p6", 6, "p6"), Resumed(at(6, epoch=2), 0)),
        (at(7), Reading(2, 4, "p4", 6, "p6"), Resumed(at(6, epoch=2), 0)),
        # An epoch that the store has lost.
        (at(7, epoch=3), Reading(2, 9, "p9", 6, "p6", entries(7, 8, 9, epoch=2)), Resumed(at(6, epoch=2), 0)),
    ],
)
def test_where_a_room_goes_on(position: Position, reading: Reading, expected: Resumed) -> None:
    assert resumed(position, reading) == expected


def test_what_the_store_has_lost() -> None:
    reading = Reading(2, 5, "p5", ids={4: "p4"})
    assert not contradicted(at(4, epoch=2), reading)
    assert not contradicted(at(9, epoch=1), reading)  # an epoch that is over
    assert contradicted(at(4, epoch=2, id="x"), reading)
    assert contradicted(at(6, epoch=2), reading)
    assert contradicted(at(1, epoch=3), reading)


def test_a_client_listens_to_the_carrier_that_it_has_told_its_cursors() -> None:
    heard = Heard()
    assert heard.shown(1) == {}
    assert heard.takes("r", "c1", 1)
    assert heard["r"] == "c1"
    assert heard.shown(2) == {"r": "c1"}
    assert not heard.takes("r", "c2", 1)
    assert heard["r"] == "c1"
    assert heard.takes("r", "c3", 2)
    assert "other" not in heard


def test_cursors_of_rooms_that_were_left_make_way_first() -> None:
    heard = Heard()
    for index in range(MAX_CURSORS):
        heard.takes(f"r{index}", "c1", 0)
    heard.left("r5")
    heard.left("r7")
    heard.left("unknown")
    assert "r5" in heard
    heard.takes("r5", "c2", 0)  # it is in there again
    heard.takes("another", "c1", 0)
    assert "r7" not in heard
    assert len(heard.shown(1)) == MAX_CURSORS
    heard.takes("and another", "c1", 1)
    assert len(heard) == len(heard.shown(1)) == MAX_CURSORS + 1  # which no server does: none is lost


def test_only_so_much_is_on_its_way() -> None:
    flow = Flow(Window(2, 10))
    assert flow.may(99)  # alone
    flow.sent(6)
    assert flow.may(4)
    assert not flow.may(5)
    flow.sent(0)
    assert flow.outstanding == 2
    assert not flow.may(0)
    assert flow.taken(1)
    assert flow.may(10)
    assert not flow.taken(1)  # says nothing new
    assert flow.may(10)
    flow.taken(9)
    assert flow.may(99)


def test_frames_without_a_message_may_go_beyond_the_window() -> None:
    flow = Flow(Window(1, 10))
    for _ in range(1 + MAX_NOTES):
        assert flow.may_note
        flow.sent(0)
    assert not flow.may_note
    flow.taken(1)
    assert flow.may_note
