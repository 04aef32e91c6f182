"""The cursors of rooms: what may be one, which are kept, and which an open brings."""

from __future__ import annotations

import json

import pytest

from realtime.core.cursors import MAX_CURSORS, MAX_ROOM_NAME, MAX_SAID, Cursors, Gap, Last, is_cursor, is_room_name


@pytest.mark.parametrize("text", ["0", "18c2f.5.Zk3x-_", "a" * 128])
def test_what_may_be_a_cursor(text: str) -> None:
    assert is_cursor(text)


@pytest.mark.parametrize("value", ["", "a" * 129, "a b", "a,b", "é", "a\n", None, 5, b"a"])
def test_what_is_no_cursor(value: object) -> None:
    assert not is_cursor(value)


@pytest.mark.parametrize("name", ["", "chat/7", "a,b%", "é😀", "😀" * MAX_ROOM_NAME, "a\n"])
def test_names_of_rooms(name: str) -> None:
    assert is_room_name(name)


@pytest.mark.parametrize("value", ["a" * (MAX_ROOM_NAME + 1), "\ud800", None, 5, b"a"])
def test_what_is_no_name_of_a_room(value: object) -> None:
    assert not is_room_name(value)


def test_the_last_cursor_of_a_room_counts_and_the_last_room_stands_last() -> None:
    cursors = Cursors({"a": "1", "b": "1"})
    cursors.heard("c", "1")
    cursors.heard("a", "2")
    assert list(cursors.items()) == [("b", "1"), ("c", "1"), ("a", "2")]
    assert (cursors["a"], len(cursors), "d" in cursors) == ("2", 3, False)
    assert cursors.said() == dict(cursors) == {"b": "1", "c": "1", "a": "2"}
    assert list(cursors.said()) == ["b", "c", "a"]


def test_the_room_that_was_not_heard_of_for_longest_is_forgotten() -> None:
    cursors = Cursors({str(number): "1" for number in range(MAX_CURSORS)})
    cursors.heard("0", "2")  # no longer the first
    cursors.heard("new", "1")
    assert len(cursors) == MAX_CURSORS
    assert "1" not in cursors
    assert {"0", "2", "new"} <= set(cursors)
    assert len(Cursors({str(number): "1" for number in range(200)})) == MAX_CURSORS


def test_an_open_brings_as_many_of_the_last_as_find_room() -> None:
    """Names of control characters are six times as long in JSON."""
    cursors = Cursors({f"{number:02}" + "\x01" * 200: "c" * 128 for number in range(MAX_CURSORS)})
    said = cursors.said()
    assert list(said) == list(cursors)[-len(said) :]
    assert MAX_SAID - 1500 < len(json.dumps(said, ensure_ascii=False, separators=(",", ":"))) <= MAX_SAID


def test_all_of_the_longest_names_without_escapes_find_room() -> None:
    cursors = Cursors({f"{number:02}" + "😀" * (MAX_ROOM_NAME - 2): "c" * 120 for number in range(MAX_CURSORS)})
    assert cursors.said() == dict(cursors)


def test_what_applications_see() -> None:
    assert Last("a", "1") == ("a", "1")
    assert Gap("a", "1", 0).missing == 0
