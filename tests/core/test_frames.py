"""Messages are text or bytes, sizes are payload bytes (docs/protocol.md §1, §3)."""

from __future__ import annotations

import pytest

from realtime.core.errors import LocalProtocolError
from realtime.core.frames import (
    BINARY,
    CLOSE,
    DROPPED,
    KEPT,
    TEXT,
    Group,
    Outgoing,
    RoomItem,
    RoomMessage,
    RoomNote,
    RoomPosition,
    Unshared,
    missed,
    parts_of,
    payload_size,
)

KINDS = (Outgoing, Unshared)
TEXTS = [("", 0), ("hello", 5), ("é", 2), ("e\u0301", 3), ("\u2028", 3), ("\0", 1), ("😀", 4), ("\U0010ffff", 4)]


@pytest.mark.parametrize(("text", "size"), TEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_text_is_that_of_its_utf8(kind: type[Outgoing], text: str, size: int) -> None:
    message = kind.message(text)
    assert (message.kind, message.data, message.size, message.code) == (TEXT, text, size, 0)
    assert payload_size(text) == size


def test_text_with_a_lone_surrogate_is_refused_where_it_was_written() -> None:
    with pytest.raises(LocalProtocolError, match="lone surrogate at index 2"):
        Outgoing.message("ab\ud800")
    with pytest.raises(UnicodeEncodeError):
        payload_size("\udfff")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind_are_copied_into_the_message(kind: type) -> None:
    source = bytearray(b"\x00\xff")
    message = Outgoing.message(kind(source))
    source[0] = 7
    assert (message.kind, message.data, message.size) == (BINARY, b"\x00\xff", 2)
    assert type(message.data) is bytes


def test_a_wide_memoryview_counts_its_bytes() -> None:
    assert Outgoing.message(memoryview(bytes(8)).cast("I")).size == 8


@pytest.mark.parametrize("data", [None, 1, True, ["a"], {"a": 1}])
def test_anything_else_is_a_type_error(data: object) -> None:
    with pytest.raises(TypeError, match="str or bytes, not " + type(data).__name__):
        Outgoing.message(data)  # type: ignore[arg-type] # that is what is tested


def test_notes_and_closes_have_size_0() -> None:
    note = Outgoing.dropped(3)
    assert (note.kind, note.size, note.code) == (DROPPED, 0, 3)
    close = Outgoing.close(1000, "a reason")
    assert (close.kind, close.size, close.code, close.data) == (CLOSE, 0, 1000, "a reason")


def test_repr_shows_no_payload() -> None:
    assert repr(Outgoing.message("secret")) == "<Outgoing m 6 bytes>"


def test_each_message_of_a_group_knows_how_many_follow() -> None:
    group = Outgoing.group("event", b"one", bytearray(b"two"))
    assert [(item.kind, item.behind) for item in group] == [("m", 2), ("b", 1), ("b", 0)]
    assert Outgoing.message("alone").behind == 0
    with pytest.raises(TypeError, match="str or bytes"):
        Outgoing.group("event", 5)  # type: ignore[arg-type]


def test_a_message_of_a_room_is_made_of_a_plain_one() -> None:
    plain = Outgoing.message("é")
    item = RoomItem("chat", "1.2.x", plain)
    assert (item.kind, item.data, item.size, item.room, item.cursor) == ("h", "é", 2, "chat", "1.2.x")
    assert item.plain is plain
    assert item.encoded is not plain.encoded


@pytest.mark.parametrize(
    ("before", "more", "after"),
    [(None, None, None), (None, 2, 2), (2, None, 2), (2, 3, 5), (2, 0, 0), (0, 2, 0), (0, None, 0), (None, 0, 0)],
)
def test_a_note_that_moves_adds_what_is_missing(before: int | None, more: int | None, after: int | None) -> None:
    note = RoomNote("chat", "1", before)
    note.move("2", more)
    assert (note.kind, note.size, note.room, note.cursor, note.missing) == ("h-", 0, "chat", "2", after)


def test_what_came_of_a_room() -> None:
    assert RoomMessage(b"x", "chat", "1") == RoomMessage(b"x", "chat", "1")
    assert RoomPosition("chat", "1", None) != RoomPosition("chat", "1", 0)


def test_a_group_is_one_thing_for_a_room() -> None:
    group = Group("é", b"one", memoryview(b"two"), volatile=True)
    assert (group.kind, group.data, group.size, group.volatile) == ("m", "é", 8, True)
    assert [(part.data, part.behind) for part in group.parts] == [("é", 2), (b"one", 1), (b"two", 0)]
    again = Group.of(group.parts)
    assert (again.parts, again.size, again.data, again.volatile) == (group.parts, 8, "é", False)
    assert not Group("alone").volatile
    assert [part.code for part in Group("é", b"one").parts] == [0, 0]
    assert [part.code for part in Group("é", b"one", kept=True).parts] == [KEPT, KEPT]


def test_the_last_of_a_group_says_where_the_room_stands() -> None:
    group = Group("event", b"one", b"\x00\x01")
    item = RoomItem("chat", "1.2.x", group)
    assert (item.data, item.size, item.behind) == (b"\x00\x01", 2, 0)
    assert item.parts == (*group.parts[:-1], item)
    alone = RoomItem("chat", "1.2.x", Outgoing.message("a"))
    assert (alone.parts, parts_of(alone)) == ((alone,), (alone,))
    assert (parts_of(group), parts_of(group.parts[0])) == (group.parts, (group.parts[0],))


def test_of_a_message_for_one_receiver_nothing_is_kept() -> None:
    item, other = Unshared.message("x"), Outgoing.message("x")
    for name in Outgoing.__slots__:
        assert getattr(item, name) == getattr(other, name), name
    item.encoded["a key"] = "made"
    assert not item.encoded
    with pytest.raises(AttributeError, match="read-only"):
        item.behind = 1


def test_what_is_told_in_place_of_a_message() -> None:
    assert missed(RoomMessage("x", "news", "1.2.x")) == RoomPosition("news", "1.2.x", 1)
