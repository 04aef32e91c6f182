"""What a room has sent last, as this process follows it: for members that are not offered each message, but take them
at their own pace, as durable sessions do (docs/protocol.md §13.4). It is kept once for all of them, and bounded.

    start ──passed──passed──passed── end    the positions follow each other: a gap begins it anew
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from ..broadcasts import Receiver, offer
from ..core.durable.room_outbox import Passed
from ..core.frames import RoomItem
from ..core.rooms import Entry, Position, same
from .messages import decoded

__all__ = ["MOST", "MOST_SIZE", "Feed", "Reader", "said"]

MOST = 256  # messages
MOST_SIZE = 262_144  # and bytes of them; the last one is kept whatever its size


class Reader(Receiver, Protocol):
    """Who takes them."""

    def _may_read(self, room: str) -> None:
        """There may be something in this room, now that it is followed. Never waits, never raises."""


def said(room: str, entry: Entry) -> Passed:
    """A message of a room. What is none of ours is for nobody."""
    found = decoded(entry.payload)
    if found is None:
        return Passed(entry.position, None, frozenset())
    return Passed(entry.position, RoomItem(room, entry.position.cursor, found[0]), found[1])


class Feed:
    """Of one room."""

    def __init__(self, name: str) -> None:
        self.readers: dict[Reader, None] = {}
        self._name = name
        self._start: Position | None = None  # None: it is not known yet where the room stands
        self._passed: deque[Passed] = deque()
        self._size = 0

    def begins(self, position: Position) -> None:
        """The room is followed, and stands here."""
        if self._start is None:
            self._start = position
            for reader in tuple(self.readers):
                reader._may_read(self._name)

    def passes(self, passed: Passed) -> None:
        """The next message."""
        if self._start is None:
            return
        self._passed.append(passed)
        self._size += _size(passed)
        while len(self._passed) > MOST or (self._size > MOST_SIZE and len(self._passed) > 1):
            first = self._passed.popleft()
            self._size -= _size(first)
            self._start = first.position

    def gap(self, position: Position) -> None:
        """The room goes on here, and not behind what was kept."""
        self._passed.clear()
        self._size, self._start = 0, position

    def after(self, position: Position, seen: bool) -> Iterable[Passed] | None:
        """See core.durable.room_outbox.Source."""
        start, passed = self._start, self._passed
        if start is None or position.epoch != start.epoch or position.offset < start.offset:
            return None
        at = position.offset - start.offset
        if at > len(passed):
            return () if seen else None
        there = passed[at - 1].position if at else start
        if not same(there.id, position.id) if seen else there.id != position.id:
            return None
        return islice(passed, at, None)

    def offer(self, passed: Passed, member: Receiver) -> None:
        """Offers a message of a room without history to one of its members."""
        if member in self.readers:
            member._offer_position(self._name, "")
        elif passed.item is not None:
            offer(member, passed.item.plain)


def _size(passed: Passed) -> int:
    return 0 if passed.item is None else passed.item.size
