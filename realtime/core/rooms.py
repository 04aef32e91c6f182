"""Where a room stands: positions in its stream, cursors, and what one reading of it says (docs/scaling.md §2).

A position is never a number alone: offsets can be given twice by a store that went back, ids can't.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .errors import LocalProtocolError

__all__ = ["CLOSING", "START", "Entry", "Position", "Reading", "same"]

CLOSING = b"x\n"
"""What the message says that closes a room: no application can send it (brokers/messages)."""

MAX_NUMBER = 2**53  # what JSON, JavaScript and Lua count to
_CURSOR = re.compile(r"([0-9a-f]{1,14})\.([0-9a-f]{1,14})\.([A-Za-z0-9_-]{0,64})")


class Position(NamedTuple):
    """Behind a message of a room: in which epoch, its offset, and its id ("" where nobody can tell, and at 0)."""

    epoch: int
    offset: int
    id: str

    @property
    def cursor(self) -> str:
        """The position as applications and clients hold it: opaque, and safe in JSON."""
        return f"{self.epoch:x}.{self.offset:x}.{self.id}"

    @classmethod
    def parse(cls, cursor: object) -> Position:
        """The position of a cursor. Raises TypeError for no string, LocalProtocolError for what is no cursor."""
        if not isinstance(cursor, str):
            raise TypeError(f"a cursor is a str, as room.send() gives it, not {type(cursor).__name__}")
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            raise LocalProtocolError("this is no cursor: pass on what room.send() gave, unchanged")
        epoch, offset = int(match[1], 16), int(match[2], 16)
        if epoch > MAX_NUMBER or offset > MAX_NUMBER:
            raise LocalProtocolError("this is no cursor: its numbers are above 2**53")
        return cls(epoch, offset, match[3])


START = Position(0, 0, "")
"""Before everything."""


class Entry(NamedTuple):
    """A message of a room: where it stands, its id and that of the one before it, and what it says."""

    epoch: int
    offset: int
    id: str
    previous: str  # the id of the message before it; "" if it is the first
    payload: bytes

    @property
    def position(self) -> Position:
        """Behind it."""
        return Position(self.epoch, self.offset, self.id)

    @property
    def closes(self) -> bool:
        """Whether it closes the room: who is in it there leaves it."""
        return self.payload == CLOSING


class Reading(NamedTuple):
    """What the store said of a room at one moment."""

    epoch: int
    top: int  # the offset of the last message
    id: str  # and its id
    base: int = 0  # the top when the epoch was raised to this one
    base_id: str = ""
    entries: Sequence[Entry] = ()  # what follows the position that was asked for, or the base; in order
    ids: Mapping[int, str] = {}  # at offsets that were asked for, as far as they are known
    more: bool = False  # there are entries behind these
    at: float = 0.0  # the store's clock, in seconds
    closed: tuple[int, int] = (0, 0)  # epoch and offset of the last message that closed the room

    @property
    def end(self) -> Position:
        """Behind the last message."""
        return Position(self.epoch, self.top, self.id)

    @property
    def beginning(self) -> Position:
        """Where the epoch begins."""
        return Position(self.epoch, self.base, self.base_id)

    @property
    def before(self) -> Position | None:
        """Before the first of the entries; None if there are none."""
        if not self.entries:
            return None
        first = self.entries[0]
        return Position(self.epoch, first.offset - 1, first.previous)

    def id_at(self, offset: int) -> str | None:
        """The id at an offset, as far as this reading shows it; None if it does not."""
        if offset == self.top:
            return self.id
        if offset in self.ids:
            return self.ids[offset]
        for entry in self.entries:
            if entry.offset == offset:
                return entry.id
            if entry.offset == offset + 1:
                return entry.previous
        return None

    def contradicts(self, position: Position) -> bool:
        """Whether another message stands where this one was."""
        if position.epoch != self.epoch or position.offset > self.top:
            return False
        found = self.id_at(position.offset)
        return found is not None and not same(found, position.id)


def same(one: str, other: str) -> bool:
    """Whether two ids may be of one message: they are equal, or one is unknown."""
    return not one or not other or one == other
