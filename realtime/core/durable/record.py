"""What the store keeps of a durable session: all that another worker needs to go on with it (docs/protocol.md §13).

Pure data. Numbers are no identity: two writers may give the same ones. So each write has an id that is never used
again, and so has each tenure, which is the time from a takeover to the next.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, TypeAlias

from ..frames import Dropped
from ..rooms import Position

__all__ = ["IDS", "TENURES", "Arrived", "Close", "Item", "Message", "Publish", "Record", "Stage", "Tenure", "created"]

IDS = 16  # so many of the writes before are named in a record: from these its owner knows a store that went back
TENURES = 64  # so many are kept at most: a client that reads none of so many answers must not make its record grow

Message: TypeAlias = str | bytes
Arrived: TypeAlias = str | bytes | Dropped
"""What has a number on its way from the client, but for its close."""


class Close(NamedTuple):
    """The end of a stream, or of a session."""

    code: int
    reason: str = ""


Item: TypeAlias = str | bytes | Dropped | Close
"""What has a number on its way to the client."""


class Stage(Enum):
    """How far a session is."""

    LIVE = "live"  # its handler runs, or has to
    CLOSING = "closing"  # its handler has returned, and the client has not acknowledged that
    ENDED = "ended"  # a tombstone


class Tenure(NamedTuple):
    """One owner's, with the numbers that it began with."""

    id: str
    sent: int = 0  # the highest number on its way down
    received: int = 0  # the highest that was received
    taken: int = 0  # the highest that the handler has taken


class Publish(NamedTuple):
    """A message for a room that was committed, until the broker has it."""

    id: str  # of its write, and which of that write's it is: cursors name it (core/rooms)
    room: str
    data: Message


class Record(NamedTuple):
    """A session as it was written. `id` is the write's."""

    id: str
    owner: str  # the worker's incarnation; "" for nobody: it was handed over
    tenures: tuple[Tenure, ...]  # from the one that its client attached with last; the last is its owner's
    before: tuple[str, ...] = ()  # the ids of the writes before this one, the newest last
    opening: str = ""  # what it was opened with, as JSON: whose it is, its key, its windows
    used: bool = False  # its client has its sid
    gen: int = 0  # the highest
    stage: Stage = Stage.LIVE
    end: Close | None = None  # how it ends, or has ended
    # Down.
    sent: int = 0  # the highest number given
    outbox: tuple[Item, ...] = ()  # the last of these, as far as they are not acknowledged
    # Up.
    received: int = 0  # the highest number, the close's too
    taken: int = 0
    inbox: tuple[Arrived, ...] = ()  # what was received behind it
    closed: Close | None = None  # the client's close, behind that
    # The handler's.
    begun: bool = False  # what it does before it receives anything is committed
    redelivered: bool = False  # it has committed something of the message that it has not taken
    starts: int = 0  # how often it began behind a takeover, and came to nothing
    attempts: int = 0  # how often that message was given to it behind a takeover
    data: str = "null"  # JSON
    rooms: tuple[tuple[str, Position], ...] = ()  # where it has joined
    infos: tuple[tuple[str, str], ...] = ()  # what it says of itself in these, as JSON, where it says something
    publishes: tuple[Publish, ...] = ()
    # Of rooms that its client has heard in earlier sessions, and has not joined in this one.
    cursors: tuple[tuple[str, str], ...] = ()

    @property
    def tenure(self) -> Tenure:
        """Its owner's."""
        return self.tenures[-1]

    @property
    def draining(self) -> bool:
        """Its client has closed and gone, and the handler has yet to take what is in front of that."""
        return self.closed is not None and self.stage is Stage.LIVE

    def joined(self, room: str) -> Position | None:
        """Where it has joined this room, if it has."""
        return dict(self.rooms).get(room)

    def item(self, number: int) -> Item | None:
        """What has this number on its way to the client, unless that is acknowledged, or not given."""
        index = number - (self.sent - len(self.outbox)) - 1
        return self.outbox[index] if 0 <= index < len(self.outbox) else None

    def now(self) -> Tenure:
        """The numbers of this moment, under its owner's id."""
        return Tenure(self.tenure.id, self.sent, self.received, self.taken)


def created(id: str, owner: str, tenure: str, opening: str, gen: int) -> Record:
    """A new session's. Its handler begins when this is in the store, where nothing was; and its client is told of it
    then. Whoever finds it there already has lost, and goes on with what is found."""
    return Record(id, owner, (Tenure(tenure),), opening=opening, gen=gen)
