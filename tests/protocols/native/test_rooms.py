"""Messages of rooms: what is wrong with one, in words. What each says the vectors hold (tests/vectors/rooms.json)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.cursors import MAX_CURSORS
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import Outgoing, RoomItem, RoomMessage, RoomNote, RoomPosition
from realtime.protocols.native.rooms import parse_room, parse_rooms, room_frame

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = TEXTS.filter(lambda text: len(text) <= 256) | st.text("%,25C2", max_size=80)
CURSORS = st.from_regex(r"\A[A-Za-z0-9_.-]{1,128}\Z")


@given(NAMES, CURSORS, TEXTS | st.binary())
def test_a_message_is_read_as_it_was_written(room: str, cursor: str, data: str | bytes) -> None:
    plain = Outgoing.message(data)
    frame = room_frame(RoomItem(room, cursor, plain))
    assert parse_room(frame) == (RoomMessage(data, room, cursor), plain.size)


@given(NAMES, CURSORS, st.none() | st.integers(0, 2**53 - 1))
def test_a_position_is_read_as_it_was_written(room: str, cursor: str, missing: int | None) -> None:
    assert parse_room(room_frame(RoomNote(room, cursor, missing))) == (RoomPosition(room, cursor, missing), 0)


@given(st.text())
def test_whatever_comes_is_read_or_refused(rest: str) -> None:
    said = []
    with contextlib.suppress(RemoteProtocolError):
        said.append(parse_room("h" + rest)[0])
    for told in said:  # what was read is what was said
        again = RoomNote(told.room, told.cursor)
        assert ("h" + rest).startswith(room_frame(again))


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        ("hchat", 1002, "h<room>,<cursor>,<message>"),
        ("h\ud800,1", 1007, "the name of a room with a lone surrogate"),
        ("hchat,1,", 1002, "what a room has sent is"),
        ("hchat,1,x", 1002, "what a room has sent is"),
        ("hchat,1,m\ud800", 1007, "text with a lone surrogate"),
        ("hchat,1,b?", 1007, "not base64"),
        ("hchat,1,dx", 1002, "a gap is not a number"),
    ],
)
def test_what_is_wrong_with_a_frame(frame: str, code: int, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words) as caught:
        parse_room(frame)
    assert caught.value.close_code == code


def test_the_cursors_of_an_open() -> None:
    assert parse_rooms({}) == {}
    assert parse_rooms({"chat": "1"}) == {"chat": "1"}


@pytest.mark.parametrize(
    ("rooms", "words"),
    [
        (None, "an object of at most 64 rooms"),
        ({str(number): "1" for number in range(MAX_CURSORS + 1)}, "an object of at most 64 rooms"),
        ({"a" * 257: "1"}, "at most 256 characters"),
        ({"chat": 1}, "a cursor is 1 to 128 characters"),
    ],
)
def test_what_is_wrong_with_the_cursors_of_an_open(rooms: Any, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words) as caught:
        parse_rooms(rooms)
    assert caught.value.close_code == 4400
