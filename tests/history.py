"""A room with a history in a list, for tests of the wire and of clients: what a broker does for a session's join."""

from __future__ import annotations

from collections.abc import Iterable

import realtime
from realtime.core.frames import Outgoing, RoomItem

__all__ = ["HistoryRoom"]


class HistoryRoom:
    """One room. It keeps the last `keep` messages; `epoch` names its stream, and another begins anew."""

    def __init__(self, name: str, keep: int = 1_000_000) -> None:
        self.name = name
        self.keep = keep
        self.epoch = 1
        self.said: list[RoomItem] = []
        self.members: list[realtime.Session] = []

    def cursor(self, offset: int) -> str:
        """Behind the message of this number."""
        return f"{self.epoch}.{offset}.x"

    def join(self, session: realtime.Session) -> None:
        """Its messages from here on, or from where the client was."""
        cursor = session._cursor_of(self.name)
        epoch, _, rest = (cursor or self.cursor(len(self.said))).partition(".")
        first = len(self.said) - self.keep
        at = rest.partition(".")[0]
        if epoch != str(self.epoch) or not at.isdigit() or int(at) > len(self.said):
            start = max(0, first)
            session._offer_position(self.name, self.cursor(start), 0)
        elif int(at) < first:
            start = first
            session._offer_position(self.name, self.cursor(start), first - int(at))
        else:
            start = int(at)
            if cursor is None:
                session._offer_position(self.name, self.cursor(start))
        for item in self.said[start:]:
            session._offer_room(item)
        self.members.append(session)

    def leave(self, session: realtime.Session) -> None:
        """No more of them."""
        self.members.remove(session)

    def send(self, message: str | bytes, skip: Iterable[realtime.Session] = ()) -> None:
        """To all who have joined, but those that are skipped."""
        cursor = self.cursor(len(self.said) + 1)
        item = RoomItem(self.name, cursor, Outgoing.message(message))
        self.said.append(item)
        for member in self.members:
            if member in skip:
                member._offer_position(self.name, cursor)
            else:
                member._offer_room(item)
