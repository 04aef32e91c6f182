"""The cursors of rooms: how far a client has heard each (docs/protocol.md §3.5). What is in one is the server's
affair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .frames import payload_size

__all__ = ["MAX_CURSORS", "MAX_ROOM_NAME", "MAX_SAID", "Cursors", "Gap", "Last", "is_cursor", "is_room_name"]

MAX_CURSORS = 64  # of so many rooms, those that were heard of last
MAX_ROOM_NAME = 256  # characters
MAX_SAID = 24_576  # characters of JSON, in an open
CURSOR = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def is_cursor(value: object) -> bool:
    """Whether this may be a cursor."""
    return isinstance(value, str) and CURSOR.fullmatch(value) is not None


def is_room_name(value: object) -> bool:
    """Whether a room of this name can have cursors."""
    if not isinstance(value, str) or len(value) > MAX_ROOM_NAME:
        return False
    try:
        payload_size(value)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


class Last(NamedTuple):
    """Where the message that was received last came from. Both are None where nothing was told of a room."""

    room: str | None
    cursor: str | None


class Gap(NamedTuple):
    """What is missing of a room: messages in front of this cursor. How many, or 0 where nobody knows."""

    room: str
    cursor: str
    missing: int


class Cursors(Mapping[str, str]):
    """Room → cursor, of at most MAX_CURSORS rooms, the one that was heard of last at the end."""

    __slots__ = ("_known",)

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self._known: dict[str, str] = {}
        for room, cursor in (known or {}).items():
            self.heard(room, cursor)

    def heard(self, room: str, cursor: str) -> None:
        """The room was heard up to here."""
        known = self._known
        known.pop(room, None)
        known[room] = cursor
        if len(known) > MAX_CURSORS:
            del known[next(iter(known))]

    def __getitem__(self, room: str) -> str:
        return self._known[room]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def said(self) -> dict[str, str]:
        """Those that an open brings: as many of the last as find room there."""
        size, rooms = 2, []
        for room, cursor in reversed(self._known.items()):
            size += len(json.dumps(room, ensure_ascii=False)) + len(cursor) + 4
            if size > MAX_SAID:
                break
            rooms.append(room)
        return {room: self._known[room] for room in reversed(rooms)}
