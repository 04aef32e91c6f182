"""Rooms of a durable session. Their messages take no number and are not stored for each member: how far the client has
heard a room says its cursor, which it brings with every attach (docs/protocol.md §13.4).

    a join      commits the position at which it was made
    an owner    begins at the higher of that and the client's cursor
    the client  listens to the carrier alone that it has told its cursors
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..cursors import MAX_CURSORS
from ..frames import Window
from ..rooms import Position, Reading

__all__ = ["MAX_NOTES", "Flow", "Heard", "begins", "contradicted", "resumed"]

# So many frames that bring no message may come beyond the window: where each room of a carrier begins, its gaps, and
# that it was left.
MAX_NOTES = 4 * MAX_CURSORS


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
    """The client's side: how far it has heard each room, and which frames are news."""

    def __init__(self) -> None:
        self._cursors: dict[str, str] = {}
        self._left: dict[str, None] = {}  # of these, the rooms that the session is not in, those it left first in front
        self._gen = 0

    def __getitem__(self, room: str) -> str:
        return self._cursors[room]

    def __contains__(self, room: str) -> bool:
        return room in self._cursors

    def __len__(self) -> int:
        """Of so many rooms there is a cursor: MAX_CURSORS at the most, if the server keeps to what it may."""
        return len(self._cursors)

    def shown(self, gen: int) -> dict[str, str]:
        """The cursors, to be shown to the carrier of this gen. From now on only its frames count, and it brings all
        that is behind them. What an older one still brought would be missing in them, and may be lost meanwhile."""
        self._gen = gen
        return dict(self._cursors)

    def takes(self, room: str, cursor: str, gen: int) -> bool:
        """Whether a frame counts that this carrier has brought; the cursor moves then."""
        if gen != self._gen:
            return False
        self._left.pop(room, None)
        self._cursors[room] = cursor
        while len(self._cursors) > MAX_CURSORS and self._left:
            forgotten = next(iter(self._left))
            del self._left[forgotten], self._cursors[forgotten]
        return True

    def left(self, room: str) -> None:
        """The session is out of this room, which may be said again. Its cursor is kept as long as there is room for it:
        if the store goes back the session may be in there again, and has not to hear everything twice."""
        if room in self._cursors:
            self._left[room] = None


class Flow:
    """How many room frames a carrier may be written beyond those that its client has taken: a receive window of their
    own, since they are in no other. The client counts them, on each carrier."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._sizes: deque[int] = deque()
        self._size = 0
        self._taken = 0

    @property
    def outstanding(self) -> int:
        """How many frames were written that are not taken."""
        return len(self._sizes)

    def may(self, size: int) -> bool:
        """Whether a message of so many bytes may be written now. Alone, one of any size may."""
        return not self._sizes or (len(self._sizes) < self._window.messages and self._size + size <= self._window.size)

    @property
    def may_note(self) -> bool:
        """Whether a frame without a message may go beyond the window."""
        return len(self._sizes) < self._window.messages + MAX_NOTES

    def sent(self, size: int) -> None:
        """A frame was written: a message of so many bytes, or another one, which has none."""
        self._sizes.append(size)
        self._size += size

    def taken(self, count: int) -> bool:
        """The client has taken so many frames of this carrier. Whether that is news."""
        before = self._taken
        while self._taken < count and self._sizes:
            self._taken += 1
            self._size -= self._sizes.popleft()
        return self._taken > before
