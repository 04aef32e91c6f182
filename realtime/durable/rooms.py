"""The rooms of one durable session at this worker: joined and left with its turns, followed as long as it is here, and
taken from where they were when its client comes (docs/protocol.md §13.4).

What its client is told, and when, decides core/durable/room_outbox. Here is where that is taken from: what the rooms
have sent last (brokers/feed), or their store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, NamedTuple, Protocol

from ..brokers.base import Keep
from ..brokers.excuses import excuse
from ..brokers.feed import Feed, Reader, said
from ..brokers.local import LocalRoom
from ..brokers.presence import info_text
from ..brokers.publishing import NOTHING
from ..core.durable.changes import Change, PutOut
from ..core.durable.machine import DurableMachine
from ..core.durable.owner import Owner
from ..core.durable.record import Stage
from ..core.durable.room_outbox import Passed
from ..core.durable.rooms import resumed
from ..core.rooms import Entry, Position
from ..hub import Hub
from ..loops import begin, ends

__all__ = ["Joined", "SessionRooms"]

RETRY = 0.3  # seconds until an unanswered question is asked again


class Holder(Protocol):
    """Who has the session at this worker, and writes it."""

    owner: Owner
    running: bool

    @property
    def machine(self) -> DurableMachine:
        """Its machine."""

    def change(self, change: Change) -> asyncio.Future[bool]:
        """What the next write does, too. True when it is stored, False if it never will be."""


class Joined(NamedTuple):
    """Where a session joins a room."""

    position: Position
    missing: int | None  # how many messages are missing in front of it, 0 for nobody knows; None: nothing is


class SessionRooms:
    """See above. `reader` is the session, which is a member of its rooms. One task joins at a time."""

    def __init__(self, holding: Holder, reader: Reader, hub: Hub) -> None:
        self._holding = holding
        self._reader = reader
        self._hub = hub
        self._held: dict[str, LocalRoom] = {}
        self._feeds: dict[str, Feed] = {}
        self._joining: set[str] = set()  # rooms that it is about to enter
        self.joined: dict[str, Position] = dict(holding.owner.record.rooms)  # behind all that is to be written yet
        self._closing: dict[str, tuple[int, int]] = {}  # rooms that it is about to leave, and where they were closed
        self._tasks: set[asyncio.Task[None]] = set()
        holding.machine.rooms.source = self

    # -- being in them -------------------------------------------------------------------------------------------------

    def _keep(self, room: str) -> Keep:
        keep = None if self._hub.keep is None else self._hub.keep(room)
        return keep or NOTHING

    def _hold(self, room: str) -> LocalRoom:
        """The room as this worker follows it, from now on."""
        held = self._held.get(room)
        if held is None:
            held = self._held[room] = self._hub.rooms.hold(room, self._keep(room))
            self._feeds[room] = held.read_by(self._reader)
        return held

    def _release(self, room: str) -> None:
        held = self._held.pop(room, None)
        self._closing.pop(room, None)
        if held is not None:
            del self._feeds[room]
            held.read_no_more(self._reader)
            if self._hub.shared is not None:
                self._hub.shared.release(held)

    def restore(self) -> None:
        """The session is here, and in the rooms that its record says."""
        record = self._holding.owner.record
        if record.stage is Stage.LIVE and self._hub.shared is not None:
            infos = dict(record.infos)
            for room, _ in record.rooms:
                local = self._hold(room)
                self._hub.join(self._reader, room)
                if local.keep.presence:
                    self._begin(self._hub.rooms.attend(self._reader, room, infos.get(room, info_text(None))))
                self.may_read(room)

    async def join(self, room: str, info: str, last: int, after: Position | None) -> Joined:
        """Enters a room: whatever comes there from now on is kept until the turn is stored. Raises BrokerError."""
        new = room not in self._held
        local = self._hold(room)
        self._joining.add(room)
        try:
            joined = await self._hub.rooms.join(self._reader, room, local.keep, info=info, last=0, after=None)
            position = Position.parse(joined.cursor)
            if not last and after is None:
                return Joined(position, None)
            reading = await self._hub.rooms.reader.reading(room, local.keep, after, last)
            if after is None:
                return Joined(reading.before or reading.end, None)
            return Joined(*resumed(after, reading))
        except BaseException:
            if new and self._holding.owner.record.joined(room) is None:
                self._hub.leave(self._reader, room)
                self._release(room)
            raise
        finally:
            self._joining.discard(room)

    def stored(self) -> None:
        """A write has changed the rooms that the session is in."""
        record = self._holding.owner.record
        rooms = dict(record.rooms) if record.stage is Stage.LIVE else {}
        for room in tuple(self._held):
            if room not in rooms:
                self._let_go(room)
        for room in rooms:
            if self._hub.shared is not None:
                self._hold(room)  # it may have been closed, and let go of, while its join was written
            self.may_read(room)

    def left(self, room: str) -> None:
        """The session is out of a room: it has left it, which is stored with the turn, or the room was closed."""
        if room in self._held:
            self._closed(room, self._held[room])
            if self._holding.owner.record.joined(room) is None:
                self._let_go(room)

    def closing(self, room: str) -> tuple[int, int]:
        """Where a room was closed last, as far as this worker has heard."""
        local = self._held.get(room)
        return (0, 0) if local is None else local.follower.closed

    def _let_go(self, room: str) -> None:
        """Of a room that the session is not in, unless it has joined it again meanwhile, or is about to."""
        if room not in self._joining and self._reader not in self._hub.members(room):
            self._release(room)

    def stop(self) -> None:
        """The session is not here any more."""
        for room in tuple(self._held):
            self._release(room)
        for task in tuple(self._tasks):
            task.cancel()

    # -- what passes ---------------------------------------------------------------------------------------------------

    def may_read(self, room: str) -> None:
        """Something has passed there, or it is followed now."""
        local = self._held.get(room)
        if local is not None and self._holding.running:
            self._closed(room, local)
            self._holding.machine.room_passed(room)

    def may_read_all(self) -> None:
        """The same, in any of them."""
        for room in tuple(self._held):
            self.may_read(room)

    def _closed(self, room: str, local: LocalRoom) -> None:
        """The session leaves a room that was closed since it has joined."""
        at = local.follower.closed
        if at == (0, 0) or self._closing.get(room) == at:
            return  # as it usually is
        joined = self.joined.get(room)
        if joined is not None and joined[:2] < at:
            self._closing[room] = at
            del self.joined[room]
            self._holding.change(PutOut(room, at))
            if self._reader in self._hub.members(room):
                self._hub.put_out(self._reader, room)

    # -- what is told of them: see core.durable.room_outbox.Source -----------------------------------------------------

    def after(self, room: str, position: Position, seen: bool) -> Iterable[Passed] | None:
        """What has gone through a room behind this position."""
        feed = self._feeds.get(room)
        return None if feed is None else feed.after(position, seen)

    def said(self, room: str, entry: Entry) -> Passed:
        """A message that was read."""
        return said(room, entry)

    def read(self, question: int, room: str, position: Position) -> None:
        """Reads what is behind this position."""
        self._begin(self._read(question, room, position))

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = begin(coroutine, "realtime durable rooms")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, question: int, room: str, position: Position) -> None:
        machine = self._holding.machine
        store, keep = self._hub.rooms._store, self._keep(room)
        try:
            reading = await store.read(room, keep, position, position)
            if room in self._held:
                self._held[room].follower.learn(reading.end)
            raising = machine.rooms.answer(question, room, reading)
            if raising is not None:
                await store.raise_epoch(room, keep, *raising)
                machine.rooms.heard(room)
        except BaseException as error:
            if ends(error):
                raise
            excuse(error)
            machine.rooms.unanswered(question)
            machine.listener.dirty()
            await asyncio.sleep(RETRY)
            machine.rooms.heard(room)
        if self._holding.running:
            machine.listener.dirty()
