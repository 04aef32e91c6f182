"""What a handler does between two commits, and the data it keeps (docs/protocol.md §13.1).

A turn begins when a handler is given a message and ends when it asks for the next one; what precedes the first is turn
0. Nothing of it is seen by anybody before its commit. It is bounded by raising: waiting would be for what only the
commit can bring.
"""

from __future__ import annotations

import json
from typing import Any

from ..cursors import MAX_CURSORS
from ..errors import LocalProtocolError, SendBufferFull
from ..frames import payload_size
from ..rooms import Position
from .changes import Commit, move
from .record import Close, Message

__all__ = ["Turn", "serialised"]


DEPTH = 100
"""So deep may a session's data be nested: whoever takes it over reads them, with less of the stack left, it may be."""


def serialised(data: Any, most: int) -> str:
    """A session's data as they are stored: JSON of at most so many characters, and not too deep. What JSON would bring
    back as something else is refused, and so are keys that are no strings.

    Raises LocalProtocolError.
    """
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        read = json.loads(text)
        same = bool(read == data)
        payload_size(text)
    except Exception as error:  # what it has of classes of the application's may raise anything
        raise LocalProtocolError(f"session.data has to be JSON, and is not: {error}") from None
    if not same:
        raise LocalProtocolError(
            "session.data has to be JSON that reads back the same: dicts with str keys, lists, str, numbers, bool, None"
        )
    if len(text) > most:
        raise LocalProtocolError(f"session.data takes {len(text)} characters as JSON, and at most {most} are kept")
    if text.count("[") + text.count("{") > DEPTH and _is_deep(read):
        raise LocalProtocolError(f"session.data is nested more than {DEPTH} deep")
    return text


def _is_deep(data: Any) -> bool:
    level = [data]
    for _ in range(DEPTH + 1):
        inner = [one for one in level if isinstance(one, (dict, list))]
        level = [part for one in inner for part in (one.values() if isinstance(one, dict) else one)]
    return bool(inner)


class Turn:
    """What was done in a turn since its last commit. At most `messages` sends and publishes, of `size` bytes; alone,
    one of any size may. `rooms` are those that the session is in behind all that was committed, by anybody, with where
    it has joined them: a commit changes them."""

    def __init__(self, number: int | None, rooms: dict[str, Position], messages: int, size: int) -> None:
        self.number: int | None = number  # None: it is given no message, between two others
        self._rooms = rooms
        self._messages = messages
        self._size = size
        self._sends: list[Message] = []
        self._publishes: list[tuple[str, Message]] = []
        self._joins: dict[str, Position | None] = {}
        self._infos: dict[str, str] = {}
        self._bytes = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was done."""
        return not (self._sends or self._publishes or self._joins or self._infos)

    def send(self, data: Message) -> None:
        """To the client. Raises SendBufferFull."""
        self._count(data)
        self._sends.append(data)

    def publish(self, room: str, data: Message) -> None:
        """To a room, behind the commit. Raises SendBufferFull."""
        self._count(data)
        self._publishes.append((room, data))

    def _count(self, data: Message) -> None:
        size, held = payload_size(data), len(self._sends) + len(self._publishes)
        if held >= self._messages or (held and self._bytes + size > self._size):
            raise SendBufferFull(held, self._bytes, in_turn=True)
        self._bytes += size

    def __contains__(self, room: str) -> bool:
        """Whether the session is in this room, as far as the turn has come."""
        return self._joins[room] is not None if room in self._joins else room in self._rooms

    def check_join(self, room: str) -> None:
        """Raises LocalProtocolError where this room would be one more than its client keeps cursors of."""
        if room not in self and sum(one in self for one in {**self._rooms, **self._joins}) >= MAX_CURSORS:
            raise LocalProtocolError(f"a durable session is in {MAX_CURSORS} rooms at most: leave some")

    def join(self, room: str, position: Position) -> None:
        """The session is in this room, behind this position. Raises as check_join() does."""
        self.check_join(room)
        self._joins[room] = position
        self._infos.pop(room, None)

    def tell(self, room: str, info: str) -> None:
        """What it says of itself in this room, in which it is, as JSON; "" for nothing."""
        self._infos[room] = info

    def leave(self, room: str) -> None:
        """It is not in this room any more. Nothing is noted of one that it has never been in."""
        self._infos.pop(room, None)
        if room in self._rooms:
            self._joins[room] = None
        else:
            self._joins.pop(room, None)

    def overtaken(self, room: str) -> Position | None:
        """Another task joins this room, or leaves it, with a commit of its own: what the turn was to do there is
        nothing. Where it had joined, if it has."""
        self._infos.pop(room, None)
        return self._joins.pop(room, None)

    def closed(self, room: str, at: tuple[int, int]) -> None:
        """The room was closed by the message at this epoch and offset: who had joined before that has left."""
        position = self._joins.get(room, self._rooms.get(room))
        if position is not None and position[:2] < at:
            self.leave(room)

    def commit(self, data: str, *, takes: bool = False, close: Close | None = None) -> Commit:
        """All that was done since the last commit. The turn goes on behind it, unless it takes its message."""
        commit = Commit(
            data,
            self.number,
            takes,
            tuple(self._sends),
            tuple(self._joins.items()),
            tuple(self._publishes),
            close,
            tuple(self._infos.items()),
        )
        move(self._rooms, self._joins.items())
        self._sends, self._publishes, self._joins, self._infos, self._bytes = [], [], {}, {}, 0
        return commit
