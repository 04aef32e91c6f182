"""Rooms of a durable session. Their messages take no number and are not stored for each member: how far the client has
heard a room says its cursor, which it brings with every attach (docs/protocol.md §13.4).

    a join      commits the position at which it was made
    an owner    begins at the higher of that and the client's cursor
    the client  drops what is at or below its cursor; a gap takes the cursor's place
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..cursors import MAX_CURSORS
from ..frames import Window
from ..rooms import Position, Reading

__all__ = ["Flow", "Heard", "begins", "contradicted", "resumed"]


def begins(joined: Position, cursor: Position | None) -> Position:
    """Behind which position a room's messages go to the client. A cursor may be older than the join: the session had
    left the room, and has joined it again."""
    return joined if cursor is None or cursor[:2] < joined[:2] else cursor


class Resumed(NamedTuple):
    """Where a room goes on for a client."""

    position: Position
    missing: int | None  # None: nothing is. Else how many messages are missing in front of it; 0: nobody knows


def contradicted(position: Position, reading: Reading) -> bool:
    """Whether the room's store has lost the message at this position, as far as this reading shows it."""
    behind = position.epoch == reading.epoch and position.offset > reading.top
    return behind or position.epoch > reading.epoch or reading.contradicts(position)


def resumed(position: Position, reading: Reading) -> Resumed:
    """Where a client goes on that was at this position, by a reading of what follows it."""
    first = reading.before or reading.end
    if position.epoch != reading.epoch or contradicted(position, reading):
        start = first
        if position.epoch < reading.epoch and first.offset < reading.base:
            start = reading.beginning  # what is above the base is new to everybody
        return Resumed(start, 0)
    if first.offset > position.offset:
        return Resumed(first, first.offset - position.offset)  # too old for what is kept
    return Resumed(position, None)


class Heard:
    """The client's side: how far it has heard each room, and which frames are news. `gen` is that of the carrier that
    brought them. Whatever an older carrier brings comes on the newest, too, which has shown the cursors."""

    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}
        self._left: dict[str, None] = {}  # of these, the rooms that the session is not in, those it left first in front
        self._newest = 0
        self._since = 0  # carriers below this one are not listened to any more

    def attaches(self, gen: int) -> None:
        """A carrier attaches, and shows the positions of now."""
        self._newest = gen

    def takes(self, room: str, position: Position, gap: bool, gen: int) -> bool:
        """Whether a frame is taken; the cursor moves then. Behind a gap a room may stand lower than before: so nothing
        counts that older carriers still bring, and a gap only on the newest, which else would tell the same gap behind
        another position."""
        if gap:
            self._since = self._newest
        if gen < self._since:
            return False
        known = self.positions.get(room)
        if not gap and known is not None and position[:2] <= known[:2]:
            return False
        self._left.pop(room, None)
        self.positions[room] = position
        while len(self.positions) > MAX_CURSORS and self._left:
            forgotten = next(iter(self._left))
            del self._left[forgotten], self.positions[forgotten]
        return True

    def left(self, room: str) -> None:
        """The session is out of this room. Its cursor is kept as long as there is room for it: if the store goes back
        the session may be in there again, and has not to hear everything twice."""
        if room in self.positions:
            self._left[room] = None


class Flow:
    """How many room frames a carrier may be written beyond those that its client has taken: a receive window of their
    own, since they are in no other. The client counts them, on each carrier."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._sizes: deque[int] = deque()
        self._size = 0
        self._taken = 0

    def may(self, size: int) -> bool:
        """Whether a message of so many bytes may be written now. Alone, one of any size may."""
        return not self._sizes or (len(self._sizes) < self._window.messages and self._size + size <= self._window.size)

    def sent(self, size: int) -> None:
        """A frame was written: a message of so many bytes, or another one, which has none."""
        self._sizes.append(size)
        self._size += size

    def taken(self, count: int) -> None:
        """The client has taken so many frames of this carrier."""
        while self._taken < count and self._sizes:
            self._taken += 1
            self._size -= self._sizes.popleft()
