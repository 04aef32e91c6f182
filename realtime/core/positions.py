"""What the server tells one client of where its rooms stand: its own cursors in, positions without a message out
(docs/protocol.md §3.5).

A position that has not been sent makes way for the next one of its room, and waits beside the outbox while that is
full: so there is never more than one for each room, and one for each message. Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping

from .frames import RoomNote
from .outbox import Outbox

__all__ = ["Positions"]


class Positions:
    """Of a session whose client takes positions. It has to be told when the session leaves a room."""

    __slots__ = ("_cursors", "_joining", "_latest", "_waiting", "settling")

    def __init__(self, cursors: Mapping[str, str]) -> None:
        self._cursors = dict(cursors)
        self._joining: dict[str, str] = {}  # given out to a join, and how far that has come ("": nowhere yet)
        self._latest: dict[str, RoomNote] = {}  # of each room, as long as no message of it came after that
        self._waiting: dict[str, RoomNote] = {}  # of these, those for which the outbox has had no room
        self.settling: bool = False  # somebody will call settle() when there may be room

    def __len__(self) -> int:
        """How many wait for room in the outbox."""
        return len(self._waiting)

    def cursor_of(self, room: str) -> str | None:
        """The cursor that the client brought for this room; it is given out once, or again to the join that follows one
        that has failed."""
        cursor = self._cursors.pop(room, None)
        if cursor is not None:
            self._joining[room] = cursor
        return cursor

    def joining(self, room: str) -> bool:
        """A join of this room begins, for which the client brought no cursor; False if another goes on."""
        if room in self._joining:
            return False
        self._joining[room] = ""
        return True

    def given(self, room: str, cursor: str) -> None:
        """The client has, or will be sent, what is before this position: so far a join has come, if one goes on."""
        if room in self._joining:
            self._joining[room] = cursor

    def joined(self, room: str, done: bool) -> None:
        """The join that the cursor was given out to, or that began without one, has ended. If it has failed, the next
        one goes on where it was."""
        cursor = self._joining.pop(room, None)
        if cursor and not done:
            self._cursors[room] = cursor

    def note(self, outbox: Outbox, room: str, cursor: str, missing: int | None) -> bool:
        """The room stands here. Whether there is something new to write."""
        self.given(room, cursor)
        note = self._latest.get(room)
        if note is not None and not note.encoded:
            note.move(cursor, missing)
            return False
        note = self._latest[room] = RoomNote(room, cursor, missing)
        if outbox.has_room(0):
            outbox.append(note)
            return True
        self._waiting[room] = note
        return False

    def passed(self, room: str) -> RoomNote | None:
        """A message of this room goes to the outbox. What has to be said before it, if anything still waits."""
        self._latest.pop(room, None)
        return self._waiting.pop(room, None)

    def keep(self, note: RoomNote) -> None:
        """That message was dropped: what had to be said before it waits on."""
        self._latest[note.room] = self._waiting[note.room] = note

    def settle(self, outbox: Outbox) -> bool:
        """The outbox may have room again. Whether there is something new to write."""
        news = False
        while self._waiting and outbox.has_room(0):
            outbox.append(self._waiting.pop(next(iter(self._waiting))))
            news = True
        return news

    def left(self, room: str) -> None:
        """The session has left this room."""
        self._latest.pop(room, None)
        self._waiting.pop(room, None)
        self._joining.pop(room, None)
