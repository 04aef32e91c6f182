"""What a write of a durable session changes. Pure: each change makes one record of another.

What a handler has done in a turn is stored at once, with the number that it has taken: a crash leaves all of a turn, or
nothing. Only these commits bring the handler's own state; all others leave it as the turn's last commit did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from ..frames import Dropped
from ..rooms import Position
from .record import Close, Item, Message, Publish, Record, Stage

__all__ = [
    "Attempt",
    "Change",
    "Commit",
    "Context",
    "Ended",
    "HandedOver",
    "Joins",
    "Published",
    "Publishes",
    "PutOut",
    "Renewed",
    "Sends",
    "Touch",
    "move",
]


class Context(NamedTuple):
    """What a write knows besides."""

    floor: int = 0  # numbers up to this one may have been read by somebody
    most: int | None = None  # so many items may wait for acknowledgement before messages are dropped; None: any number


class Change(Protocol):
    """One of what a write does."""

    def apply(self, record: Record, context: Context) -> Record:
        """The record behind it. `record` has the write's id already."""


def send(record: Record, items: Sequence[Item], context: Context) -> Record:
    """Gives these their numbers. What has been stored under a number never changes: where the outbox is full, what is
    new is dropped, and the note of that grows only as long as nobody can have read it."""
    if record.closed is not None or record.stage is not Stage.LIVE:
        return record  # nothing numbered follows either side's close
    messages = [item for item in items if not isinstance(item, Close)]
    room = len(messages) if context.most is None else max(0, context.most - len(record.outbox))
    outbox, sent = [*record.outbox, *messages[:room]], record.sent + len(messages[:room])
    if messages[room:]:
        note = Dropped(len(messages[room:]))
        last = outbox[-1] if outbox else None
        if isinstance(last, Dropped) and sent > context.floor:
            outbox[-1] = Dropped(last.count + note.count)
        else:
            outbox.append(note)
            sent += 1
    for close in items[len(messages) :]:
        outbox.append(close)
        sent += 1
    return record._replace(outbox=tuple(outbox), sent=sent)


def publish(record: Record, messages: Sequence[tuple[str, Message]]) -> Record:
    """These are to be published. Each is named by its write, and which of that write's it is."""
    first = sum(one.id.startswith(f"{record.id}-") for one in record.publishes)
    named = [Publish(f"{record.id}-{first + index}", *one) for index, one in enumerate(messages)]
    return record._replace(publishes=(*record.publishes, *named))


def in_rooms(record: Record, rooms: dict[str, Position], infos: dict[str, str]) -> Record:
    """The session is in these rooms, and says this of itself, as far as it is in them."""
    said = ((room, info) for room, info in infos.items() if room in rooms and info)
    return record._replace(rooms=tuple(rooms.items()), infos=tuple(said))


def move(rooms: dict[str, Position], joins: Iterable[tuple[str, Position | None]]) -> None:
    """The session has joined these of its rooms behind these positions, or (None) left them."""
    for room, position in joins:
        rooms.pop(room, None)
        if position is not None:
            rooms[room] = position


def moved(record: Record, joins: Sequence[tuple[str, Position | None]], infos: Sequence[tuple[str, str]]) -> Record:
    """The same of its record, with what it says of itself in rooms from now on. A cursor of earlier sessions is used
    up by the join."""
    if record.cursors:
        joined = dict(joins)
        record = record._replace(cursors=tuple(one for one in record.cursors if joined.get(one[0]) is None))
    rooms = dict(record.rooms)
    move(rooms, joins)
    return in_rooms(record, rooms, {**dict(record.infos), **dict(infos)})


class Commit(NamedTuple):
    """What a handler has done since its last commit."""

    data: str  # the session's, as JSON
    # The number of the message that it was given; 0 for what precedes the first one, None for what is between two.
    turn: int | None
    takes: bool = False  # that message is done with
    sends: tuple[Message, ...] = ()
    joins: tuple[tuple[str, Position | None], ...] = ()  # None: has left
    publishes: tuple[tuple[str, Message], ...] = ()
    close: Close | None = None  # the handler has returned
    infos: tuple[tuple[str, str], ...] = ()  # what it says of itself in rooms from now on, as JSON

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        if record.stage is Stage.ENDED:
            return record
        record = publish(record, self.publishes)
        record = send(record, self.sends if self.close is None else (*self.sends, self.close), context)
        record = moved(record._replace(data=self.data), self.joins, self.infos)
        if self.turn == 0:
            record = record._replace(begun=True, starts=0)
        elif self.turn is not None and self.takes:
            record = record._replace(taken=self.turn, inbox=record.inbox[1:], redelivered=False, attempts=0)
        elif self.turn is not None:
            record = record._replace(redelivered=True)
        if self.close is not None:
            record = record._replace(stage=Stage.CLOSING, end=self.close)
        return discarded(record)


class Sends(NamedTuple):
    """What another task than the handler's has sent."""

    items: tuple[Message | Dropped, ...]

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        return send(record, self.items, context)


class Publishes(NamedTuple):
    """What another task than the handler's publishes: also behind an end that the same write brings."""

    messages: tuple[tuple[str, Message], ...]

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        return publish(record, self.messages)


class Joins(NamedTuple):
    """Which rooms another task than the handler's has joined, and left. Behind a handler that has returned there are
    none."""

    joins: tuple[tuple[str, Position | None], ...]  # None: has left
    infos: tuple[tuple[str, str], ...] = ()

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        return moved(record, self.joins, self.infos) if record.stage is Stage.LIVE else record


class Touch(NamedTuple):
    """Nothing of its own: what has arrived is stored, and what was acknowledged let go, with every write."""

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        return record


class Attempt(NamedTuple):
    """A handler begins behind a takeover, or is about to be given its first message."""

    turn: int  # 0: it begins

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        if self.turn:
            return record._replace(attempts=record.attempts + 1)
        return record._replace(starts=record.starts + 1)


class Renewed(NamedTuple):
    """The client has brought fresh auth data: whoever goes on with the session asks the application with these."""

    opening: str  # with them

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        return record._replace(opening=self.opening)


class Published(NamedTuple):
    """The broker has these."""

    ids: frozenset[str]

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        return record._replace(publishes=tuple(one for one in record.publishes if one.id not in self.ids))


class PutOut(NamedTuple):
    """A room was closed, by the message at this epoch and offset: who had joined it before that leaves."""

    room: str
    at: tuple[int, int]

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        rooms = dict(record.rooms)
        joined = rooms.get(self.room)
        if joined is not None and joined[:2] < self.at:
            del rooms[self.room]
        return in_rooms(record, rooms, dict(record.infos))


class HandedOver(NamedTuple):
    """The owner gives it up, for anybody to go on with."""

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        return record._replace(owner="")


class Ended(NamedTuple):
    """It is over. What it was going to publish stays, until that is done."""

    end: Close

    def apply(self, record: Record, context: Context) -> Record:
        """See Change."""
        if record.stage is Stage.ENDED:
            return record
        return record._replace(stage=Stage.ENDED, end=self.end, outbox=(), inbox=(), rooms=(), infos=(), cursors=())


def discarded(record: Record) -> Record:
    """What was received is done with where the handler has returned."""
    if record.stage is not Stage.CLOSING:
        return record
    return record._replace(taken=record.received - (record.closed is not None), inbox=())
