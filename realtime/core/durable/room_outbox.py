"""What the server tells one carrier of a durable session of its rooms (docs/protocol.md §13.4): which it is not in,
where each begins, and what follows, as far as its client's window goes.

Messages of rooms are kept for no member. They are taken from what the room has sent last, which all members at a worker
share, or read from the room's store. So there is nothing to be bounded here but what is on its way to the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from ..cursors import MAX_CURSORS
from ..errors import LocalProtocolError
from ..frames import Group, RoomItem, RoomNote, Window
from ..rooms import Entry, Position, Reading
from .rooms import Flow, begins, contradicted, resumed

__all__ = ["Passed", "RoomOutbox", "Source", "Told"]

Told: TypeAlias = RoomItem | RoomNote | str
"""A message, a position or a gap; the name of a room alone: the session is not in it."""


class Passed(NamedTuple):
    """What has gone through a room: a message, or a position behind something that is for nobody."""

    position: Position  # behind it
    item: RoomItem | None
    skipped: frozenset[str]  # the ids of those that it is not for


class Source(Protocol):
    """Where rooms are taken from."""

    def after(self, room: str, position: Position, seen: bool) -> Iterable[Passed] | None:
        """What has gone through a room behind this position; None where it has to be read. `seen`: this worker has seen
        that it was there: if it is behind all that there is here, nothing follows yet."""

    def read(self, question: int, room: str, position: Position) -> None:
        """Read what is behind this position, and call answer() with that, or unanswered()."""

    def said(self, room: str, entry: Entry) -> Passed:
        """A message that was read."""


class Place:
    """Where a carrier stands in a room."""

    __slots__ = ("joined", "known", "needs", "position", "seen")

    def __init__(self, joined: Position, position: Position, known: bool) -> None:
        self.joined: Position = joined  # where the session has joined
        self.position: Position = position  # behind what was told
        self.known: bool = known  # it is stored, or was told by this worker: not only the client says so
        self.seen: bool = False  # it was told, or read, by this worker
        self.needs: int = 0  # of so many bytes is the message that found the window full


class RoomOutbox:
    """Of a session, for its newest carrier. `window` is its client's; what is larger than `most` bytes is a gap. Of
    messages `batch` bytes at most wait here to be written, or one."""

    def __init__(self, window: Window, most: int, batch: int, sid: str) -> None:
        self.source: Source
        self.gen: int = 0  # of the carrier
        self._window, self._most, self._batch, self._sid = window, most, batch, sid
        self._rooms: dict[str, Position] = {}  # that the session is in, as is stored, and where it has joined them
        self._gaps: dict[str, tuple[Position, int]] = {}  # what was missing where it has joined, which nobody stores
        self._told: dict[str, Position] = {}  # where this worker was in each, on whatever carrier
        self._cursors: dict[str, str] | None = None  # the client's; None until the carrier has brought them
        self._lefts: dict[str, None] = {}  # of these, the rooms that it is not in
        self._places: dict[str, Place] = {}
        self._due: dict[str, None] = {}  # rooms in which there may be something
        self._queue: list[Told] = []
        self._queued = 0  # bytes of messages in there
        # What is being read: the question, the room, and behind which position.
        self._asked: tuple[int, str, Position] | None = None
        self._questions = 0
        self._flow = Flow(window)

    # -- what is stored ------------------------------------------------------------------------------------------------

    def update(self, rooms: Iterable[tuple[str, Position]]) -> None:
        """The session is in these rooms now, as is stored."""
        before, self._rooms = self._rooms, dict(rooms)
        if before == self._rooms:
            return
        for room in {**before, **self._rooms}:
            if before.get(room) != self._rooms.get(room):
                self._due[room] = None
            if room not in self._rooms and room in (self._cursors or ()) and room not in self._places:
                self._lefts[room] = None  # before anything was told of it
        self._told = {room: told for room, told in self._told.items() if room in self._rooms}
        self._gaps = {room: gap for room, gap in self._gaps.items() if gap[0] == self._rooms.get(room, gap[0])}

    def missed(self, room: str, joined: Position, missing: int) -> None:
        """So many messages were missing where the session joins, which is told where it begins."""
        self._gaps.pop(room, None)
        self._gaps[room] = joined, missing
        if len(self._gaps) > MAX_CURSORS:
            del self._gaps[next(iter(self._gaps))]

    # -- carriers ------------------------------------------------------------------------------------------------------

    def begin(self, gen: int) -> None:
        """Another carrier has come: nothing is told on it before it has brought cursors."""
        self.gen = gen
        self._cursors = None
        self._lefts, self._places, self._due = {}, {}, {}
        self._queue, self._queued, self._asked = [], 0, None
        self._flow = Flow(self._window)

    def show(self, gen: int, cursors: Mapping[str, str]) -> bool:
        """How far the client has heard its rooms. The first for a carrier counts; whether it does."""
        if gen != self.gen or self._cursors is not None:
            return False
        self._cursors = dict(cursors)
        self._lefts = {room: None for room in cursors if room not in self._rooms}
        self._due = dict.fromkeys(self._rooms)
        return True

    def taken(self, gen: int, count: int) -> bool:
        """The client has taken so many frames of the carrier of this gen. Whether that is news."""
        return gen == self.gen and self._flow.taken(count)

    @property
    def due(self) -> bool:
        """Whether there may be something to be told."""
        return bool(self._due or self._lefts)

    def heard(self, room: str) -> bool:
        """Something has gone through a room; whether that is for the carrier."""
        if self._cursors is None or room not in self._rooms:
            return False
        self._due[room] = None
        return True

    # -- what is told --------------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether something is being read: there is more to tell in a moment."""
        return self._asked is not None

    def prepare(self) -> bool:
        """Looks what there is to tell; whether there is, other than of rooms that the client has asked for."""
        if self._cursors is not None and self._due:
            self._settle(self._cursors)
            for room in tuple(self._due):
                place = self._places.get(room)
                if room not in self._rooms if place is None else self._push(room, place):
                    del self._due[room]
        return bool(self._queue)

    def frames(self) -> list[Told]:
        """What there is to tell now, and is told by this."""
        self.prepare()
        lefts: list[Told] = []
        while self._lefts and self._flow.may_note:
            lefts.append(room := next(iter(self._lefts)))
            del self._lefts[room]
            self._flow.sent(0)
        told, self._queue, self._queued = [*lefts, *self._queue], [], 0
        return told

    def _settle(self, cursors: dict[str, str]) -> None:
        """Says which rooms were left, and then where others begin."""
        for room in self._due:
            place = self._places.get(room)
            if place is not None and self._rooms.get(room) != place.joined and self._flow.may_note:
                del self._places[room]
                self._note(room)
                cursors.pop(room, None)
                if len(cursors) < 2 * MAX_CURSORS:
                    cursors[room] = place.position.cursor  # if it joins again behind that, nothing comes twice
        for room in self._due:
            joined = self._rooms.get(room)
            if joined is not None and room not in self._places and self._flow.may_note:
                said = cursors.get(room)
                cursor = _position_of(said)
                position = begins(joined, cursor)
                self._places[room] = Place(joined, position, position in (joined, self._told.get(room)))
                if position.cursor != said:
                    gap = self._gaps.pop(room, None)
                    self._note(RoomNote(room, position.cursor, None if gap is None else gap[1]))

    def _note(self, told: RoomNote | str) -> None:
        self._flow.sent(0)
        self._queue.append(told)

    def _push(self, room: str, place: Place) -> bool:
        """Tells what there is of a room, or has it read; whether that is all for now."""
        if self._rooms.get(room) != place.joined or not self._flow.may(place.needs):
            return False
        passed = self.source.after(room, place.position, place.seen)
        if passed is not None:
            return all(self._tell(room, place, one) for one in passed)
        if self._asked is not None:
            return False
        self._questions += 1
        self._asked = self._questions, room, place.position
        self.source.read(self._questions, room, place.position)
        return True  # what comes meanwhile makes it due again

    def _tell(self, room: str, place: Place, one: Passed) -> bool:
        """Tells the next of a room, if the window takes it."""
        item, missing = one.item, None
        if self._sid in one.skipped:
            item = None
        elif item is not None and (item.size > self._most or isinstance(item.plain, Group)):
            item, missing = None, 1  # which no frame carries
        size = 0 if item is None else item.size
        if not self._flow.may(size):
            place.needs = size
            return False
        if self._queued and self._queued + size > self._batch:
            return False
        self._queued += size
        place.needs, place.known, place.seen = 0, True, True
        place.position = self._told[room] = one.position
        self._flow.sent(size)
        self._queue.append(RoomNote(room, one.position.cursor, missing) if item is None else item)
        return True

    # -- what was read -------------------------------------------------------------------------------------------------

    def unanswered(self, question: int) -> None:
        """There was no answer: whoever asked says heard() when it is worth another question."""
        self._answered(question)

    def _answered(self, question: int) -> Place | None:
        """The place that a question was about; None where that is of no interest any more."""
        if self._asked is None or self._asked[0] != question:
            return None  # another carrier's
        _, room, position = self._asked
        self._asked = None
        place = self._places.get(room)
        if place is None or place.position == position:
            return place
        self._due[room] = None  # it has gone on meanwhile, to where that reading may not reach
        return None

    def answer(self, question: int, room: str, reading: Reading) -> tuple[int, int] | None:
        """What is behind the position that was asked about. Where the store has lost that, and it was known to be
        there, it is not gone by yet: the room's epoch is to be raised first, above the second if it is the first; then
        heard()."""
        place = self._answered(question)
        if place is None:
            return None
        position = place.position
        at = resumed(position, reading)
        if at.missing is not None and self.source.after(room, position, False) is not None:
            self._due[room] = None  # it has come here meanwhile
            return None
        if at.missing is not None:
            if place.known and contradicted(position, reading):
                return reading.epoch, max(reading.epoch, position.epoch)
            if not self._flow.may_note:
                self._due[room] = None
                return None
            place.position = self._told[room] = at.position
            self._note(RoomNote(room, at.position.cursor, at.missing))
        place.known = place.seen = True
        more = reading.more
        for entry in reading.entries:
            if entry.offset > place.position.offset and not self._tell(room, place, self.source.said(room, entry)):
                more = True
                break
        if more:
            self._due[room] = None
        return None


def _position_of(cursor: str | None) -> Position | None:
    """Where a client says that it was; None for what is no cursor of ours."""
    try:
        return None if cursor is None else Position.parse(cursor)
    except LocalProtocolError:
        return None
