"""Positions, cursors, and what a reading shows."""

from __future__ import annotations

import json

import pytest

from realtime.brokers.messages import decoded, encoded
from realtime.core.errors import LocalProtocolError
from realtime.core.frames import Outgoing
from realtime.core.rooms import CLOSING, START, Entry, Position, Reading, same

ENTRIES = (Entry(7, 4, "d", "c", b""), Entry(7, 5, "e", "d", b""))


def test_a_cursor_holds_the_position_and_is_safe_in_json() -> None:
    for position in (START, Position(1_790_000_000_000, 17, "AbC-_9-17"), Position(2**53, 2**53, "x" * 64)):
        cursor = position.cursor
        assert json.loads(json.dumps(cursor)) == cursor
        assert Position.parse(cursor) == position


@pytest.mark.parametrize("cursor", ["", "1.2", "1.2.3.4", "g.2.a", "1.2.ä", "1.2." + "x" * 65, "-1.2.a", "1.2.a\n"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(LocalProtocolError, match="this is no cursor: pass on what"):
        Position.parse(cursor)


def test_a_cursor_has_bounds_and_a_type() -> None:
    for cursor in (f"{2**53 + 1:x}.1.a", f"1.{2**53 + 1:x}.a"):
        with pytest.raises(LocalProtocolError, match=r"2\*\*53"):
            Position.parse(cursor)
    with pytest.raises(TypeError, match=r"a cursor is a str, as room\.send"):
        Position.parse(b"1.2.a")


def test_an_unknown_id_may_be_any() -> None:
    assert same("a", "a")
    assert same("", "a")
    assert same("a", "")
    assert not same("a", "b")


def test_what_a_reading_shows() -> None:
    reading = Reading(7, 9, "i", 3, "c", ENTRIES, {2: "b"})
    assert [reading.id_at(offset) for offset in range(1, 11)] == [
        None, "b", "c", "d", "e", None, None, None, "i", None,
    ]  # fmt: skip
    assert reading.end == Position(7, 9, "i")
    assert reading.beginning == Position(7, 3, "c")
    assert reading.before == Position(7, 3, "c")
    assert Reading(7, 9, "i").before is None
    assert ENTRIES[1].position == Position(7, 5, "e")


def test_what_contradicts_a_position() -> None:
    reading = Reading(7, 9, "i", entries=ENTRIES)
    for position, contradicted in (
        (Position(7, 4, "d"), False),
        (Position(7, 4, "x"), True),
        (Position(7, 4, ""), False),
        (Position(7, 7, "x"), False),  # nobody can tell
        (Position(7, 10, "x"), False),  # behind the end
        (Position(6, 4, "x"), False),
    ):
        assert reading.contradicts(position) is contradicted


def test_a_message_that_closes_the_room() -> None:
    assert Entry(1, 2, "b", "a", CLOSING).closes
    assert not Entry(1, 2, "b", "a", b"m\nx").closes
    assert encoded(Outgoing.message("x"), frozenset()) != CLOSING
    assert encoded(Outgoing.message(""), frozenset()) != CLOSING
    assert decoded(CLOSING) is None
