"""A room that has members in this process, around its follower; and a member that catches up, around its tail."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

from ..broadcasts import offer
from ..clock import Patience
from ..core.follower import Follower
from ..core.frames import RoomItem, RoomPosition
from ..core.rooms import Entry, Position, Reading
from ..core.tail import Tail
from .base import Keep, Store
from .counts import Counts
from .excuses import EXCUSED
from .feed import Feed, Reader, said
from .members import Members, Receiver
from .messages import decoded

__all__ = ["Joining", "LocalRoom"]

RETRY = 0.3  # seconds until an unanswered question is asked again


class Spawn(Protocol):
    """Begins a task, which ends with the broker."""

    def __call__(self, coroutine: Coroutine[Any, Any, None]) -> object: ...


class LocalRoom:
    """A room as this process follows it. Those in the hub stand where the follower stands."""

    def __init__(
        self,
        name: str,
        keep: Keep,
        store: Store,
        hub: Members,
        spawn: Spawn,
        patience: float,
        counts: Counts,
        every: int = 1,
    ) -> None:
        self.name = name
        self.keep = keep
        self.follower: Follower = Follower(bool(keep.history), self, patience=patience)
        self.joining: dict[Receiver, Joining] = {}
        self.entering: dict[Receiver, list[object]] = {}  # who waits to join until it is live: once for each join
        self.users = 0  # who wait for it, or watch it
        # Of these rooms there may be as many as users, and seldom anybody waits: events are made when they do.
        self.attended: asyncio.Event | None = None  # who is present may have changed
        self.gone = False
        self.feed: Feed | None = None  # for members that read
        self._store = store
        self._hub = hub
        self.spawn = spawn
        self.counts = counts
        self._ready: asyncio.Event | None = None
        self._read_up_to = 0  # while an answer is taken: what is delivered up to here, no subscription has brought
        self._closings: asyncio.Event | None = None  # where it was closed last may be known to be elsewhere
        self._every = every
        self._sweeps = random.randrange(every)  # until the next in which it is compared

    @property
    def needed(self) -> bool:
        """Whether anybody here is in it."""
        return bool(self.users or self.joining or self._hub.members(self.name))

    def is_due(self) -> bool:
        """Whether it is to be compared in this sweep."""
        due = not self._sweeps
        self._sweeps = (self._sweeps or self._every) - 1
        return due

    def look(self) -> None:
        """Who is present may have changed."""
        if self.attended is not None:  # whoever asks from now on waits for what changes behind that
            self.attended.set()
            self.attended = None

    async def live(self) -> None:
        """Waits until it is subscribed and compared."""
        while not self.follower.live:
            self._ready = self._ready or asyncio.Event()
            await self._ready.wait()

    async def live_for(self, receiver: Receiver) -> bool:
        """The same for who is about to join: whether it has not left meanwhile."""
        mine = object()
        self.entering.setdefault(receiver, []).append(mine)
        try:
            await self.live()
        finally:
            entering = self.entering.get(receiver, [])
            stays = mine in entering
            if stays:
                entering.remove(mine)
            if not entering:
                self.entering.pop(receiver, None)
        return stays

    async def until_closed(self, position: Position) -> None:
        """Waits until the message there, which closes the room, has come."""
        while self.follower.closed < position[:2]:
            self._closings = self._closings or asyncio.Event()
            await self._closings.wait()

    def unsubscribed(self) -> None:
        """The subscription is lost, or may be."""
        self.follower.unsubscribed()

    def level(self, receiver: Receiver) -> None:
        """A member stands where the room stands."""
        self._hub.join(receiver, self.name)

    def begin(self, receiver: Receiver) -> Position:
        """A member begins where the room stands, which has to be known; where that is."""
        position = self.follower.position
        assert position is not None
        self.level(receiver)
        if self.keep.history:
            receiver._offer_position(self.name, position.cursor)
        return position

    def read_by(self, reader: Reader) -> Feed:
        """A member reads, for whom what passes is kept until the room is not needed any more."""
        if self.feed is None:
            self.feed = Feed(self.name)
            if self.follower.live and self.follower.position is not None:
                self.feed.begins(self.follower.position)
        self.feed.readers[reader] = None
        return self.feed

    def read_no_more(self, reader: Reader) -> None:
        """It does not."""
        if self.feed is not None:
            self.feed.readers.pop(reader, None)
            if not self.feed.readers:
                self.feed = None

    def said(self, entry: Entry) -> tuple[RoomItem | RoomPosition, frozenset[str]]:
        """A message of a room with history, for all that take it, and who is skipped. Of what is none of ours, the
        position alone."""
        passed = said(self.name, entry)
        return passed.item or RoomPosition(self.name, entry.position.cursor, None), passed.skipped

    # -- what the follower asks for ------------------------------------------------------------------------------------

    def read(self, after: Position | None, known: Position | None) -> None:
        """Reads the room."""
        self.spawn(self._read(after, known))

    async def _read(self, after: Position | None, known: Position | None) -> None:
        reading: Reading | None = None
        with EXCUSED:
            reading = await self._store.read(self.name, self.keep, after, known)
        if not self.gone:
            self._read_up_to = reading.entries[-1].offset if reading and reading.entries else 0
            self.follower.answer(reading, asyncio.get_running_loop().time())
            self._read_up_to = 0

    def raise_epoch(self, seen: int, above: int) -> None:
        """Raises the epoch."""
        self.spawn(self._raise_epoch(seen, above))

    async def _raise_epoch(self, seen: int, above: int) -> None:
        done = False
        with EXCUSED:
            self.counts.raised += await self._store.raise_epoch(self.name, self.keep, seen, above)
            done = True
        if not self.gone:
            self.follower.raised(done)

    def retry(self) -> None:
        """Compares in a while."""
        self.spawn(self._retry())

    async def _retry(self) -> None:
        await asyncio.sleep(RETRY)
        if not self.gone:
            self.follower.compare()

    def ready(self) -> None:
        """Members may join."""
        if self._ready is not None:
            self._ready.set()
            self._ready = None
        if self.feed is not None and self.follower.position is not None:
            self.feed.begins(self.follower.position)
        self._look_for_closings()

    def deliver(self, entry: Entry) -> None:
        """The next message, for all."""
        self.counts.repaired += entry.offset <= self._read_up_to
        if self.feed is not None:
            self._pass_on(self.feed, entry)
        else:
            found = self.said(entry) if self.keep.history else decoded(entry.payload)
            if found is not None:
                self._hub.broadcasts.begin(self.name, self._hub.members(self.name), *found)
        if entry.closes:
            self._put_all_out()
        for joining in tuple(self.joining.values()):
            if entry.closes:
                joining.closed(entry.position[:2])
            joining.offer(entry)

    def _pass_on(self, feed: Feed, entry: Entry) -> None:
        """The same, where some read: what is offered tells them that there is something."""
        passed = said(self.name, entry)
        feed.passes(passed)
        item: Any = passed.item or RoomPosition(self.name, entry.position.cursor, None)
        if not self.keep.history:
            item = partial(feed.offer, passed)
        self._hub.broadcasts.begin(self.name, self._hub.members(self.name), item, passed.skipped)

    def closed(self, at: tuple[int, int]) -> None:
        """It was closed there, behind the gap that was told."""
        self._put_all_out()
        for joining in tuple(self.joining.values()):
            joining.closed(at)

    def _put_all_out(self) -> None:
        """Who is here leaves, behind what was sent before."""
        self._hub.broadcasts.begin(self.name, self._hub.members(self.name), partial(self._hub.put_out, name=self.name))
        self._look_for_closings()

    def _look_for_closings(self) -> None:
        if self._closings is not None:
            self._closings.set()
            self._closings = None

    def put_out(self, receiver: Receiver) -> None:
        """A member that was joining leaves."""
        self._hub.put_out(receiver, self.name)

    def gap(self, position: Position, lost: int | None) -> None:
        """Messages are lost to all."""
        self.counts.gaps += 1
        if self.feed is not None:
            self.feed.gap(position)
        told = RoomPosition(self.name, position.cursor, lost or 0) if self.keep.history else lost or 1
        self._hub.broadcasts.begin(self.name, self._hub.members(self.name), told)
        for joining in tuple(self.joining.values()):
            joining.offer(position)


class Joining:
    """A member that is given a snapshot, and then what came meanwhile, until it stands where the room stands."""

    def __init__(
        self,
        room: LocalRoom,
        receiver: Receiver,
        store: Store,
        *,
        after: Position | None,
        last: int,
        timeout: float,
    ) -> None:
        self.gapped: bool = False
        self.start: Position | None = after
        self._begun = False  # the member was told where it starts
        self._at = after  # behind what it was told
        self._reading: Reading | None = None  # which is answered now
        self._room = room
        self._receiver = receiver
        self._store = store
        self._timeout = timeout
        self._since = asyncio.get_running_loop().time()  # since when it waits for the store
        self._running = True  # it waits for its outbox, or the store
        self._news = asyncio.Event()
        self._missed = False  # what came while it was slow
        self._unread: tuple[Position | None, int] | None = None  # the next part, which is read when this one is sent
        self._unsent: deque[RoomItem | RoomPosition] = deque()
        self._tail = Tail(bool(room.keep.history), self, cursor=after, last=last)

    async def run(self) -> None:
        """Gives it everything up to where the room stands. Waits for room in its outbox, as its handler's sends do, and
        for each answer of the store. Raises TimeoutError when one takes too long."""
        loop = asyncio.get_running_loop()
        self._tail.again()
        while not self._over and (self._tail.pending or self._unsent or self._missed):
            async with Patience(self._since + self._timeout - loop.time()):
                await self._news.wait()
            self._news.clear()
            while self._unsent and not self._over:
                item = self._unsent.popleft()
                if isinstance(item, RoomItem):
                    await self._receiver._give_room(item)
                else:
                    self._receiver._offer_position(item.room, item.cursor, item.missing)
                self._since = loop.time()
            if self._unread is not None:
                unread, self._unread = self._unread, None
                self.read(*unread)
            elif self._missed:
                self._missed = False
                self._tail.read_again()
        self._running = False
        self.settle()

    @property
    def _over(self) -> bool:
        """Whether its member has left, or stands among the others."""
        return self._room.joining.get(self._receiver) is not self

    def left(self) -> None:
        """The member has left before it was there: run() ends."""
        self._news.set()

    def settle(self) -> None:
        """Stands it among the others, if it is where they are."""
        tail, room = self._tail, self._room
        if self._running or tail.pending or tail.position is None or room.follower.position is None or self._over:
            return
        if tail.leaves:
            room.put_out(self._receiver)
        elif tail.position[:2] == room.follower.position[:2]:
            del room.joining[self._receiver]
            room.level(self._receiver)

    def closed(self, at: tuple[int, int]) -> None:
        """The room was closed there."""
        self._tail.closed(at)

    def offer(self, item: Entry | Position) -> None:
        """What all members get."""
        if self._unsent and self._room.keep.history:
            self._missed = True  # it is slow: what it could not take is read again
        else:
            self._tail.offer(item)
            self.settle()

    # -- what the tail asks for ----------------------------------------------------------------------------------------

    def read(self, after: Position | None, last: int) -> None:
        """Reads the room; the next part when this one is sent."""
        if self._unsent:
            self._unread = (after, last)
        else:
            self._room.spawn(self._read(after, last))

    async def _read(self, after: Position | None, last: int) -> None:
        room = self._room
        reading: Reading | None = None
        with EXCUSED:
            reading = await self._store.read(room.name, room.keep, after, after, last)
        if self._over:
            return
        if reading is not None:
            self._since = asyncio.get_running_loop().time()
            room.follower.learn(reading.end)
        self._reading = reading
        self._tail.answer(reading)
        self._reading = None
        if reading is not None and not self._tail.pending:
            self._begin()
        self._news.set()
        self.settle()

    def retry(self) -> None:
        """Asks again in a while."""
        self._room.spawn(self._again(RETRY))

    async def _again(self, pause: float) -> None:
        await asyncio.sleep(pause)
        if not self._over:
            self._tail.again()

    def gone(self, seen: int, above: int) -> None:
        """What it was given is gone from the store."""
        self._room.spawn(self._gone(seen, above))

    async def _gone(self, seen: int, above: int) -> None:
        pause = RETRY
        with EXCUSED:
            await self._store.raise_epoch(self._room.name, self._room.keep, seen, above)
            pause = 0.0
        await self._again(pause)

    def starts(self, position: Position, at: float) -> None:
        """It starts here."""
        self.start = position

    def take(self, entry: Entry) -> None:
        """The next message."""
        room, receiver = self._room, self._receiver
        if room.keep.history:
            self._begin()
            item, skipped = room.said(entry)
            self._tell(RoomPosition(room.name, item.cursor, None) if receiver.id in skipped else item)
            self._at = entry.position
        else:
            found = decoded(entry.payload)
            if found is not None and receiver.id not in found[1]:
                offer(receiver, found[0])

    def gap(self, position: Position) -> None:
        """Messages are lost to it."""
        self.gapped = True
        self.start = position
        self._room.counts.gaps_of_joins += 1
        room, at, reading = self._room, self._at, self._reading
        if room.keep.history:
            missing = 0  # nobody knows
            if at is not None and at.epoch == position.epoch and not (reading and reading.contradicts(at)):
                missing = max(0, position.offset - at.offset)
            self._begun, self._at = True, position
            self._tell(RoomPosition(room.name, position.cursor, missing))
        else:
            self._receiver._miss(1)

    def _begin(self) -> None:
        """Tells where it starts, in front of everything else: where no gap has said so."""
        if not self._begun and self._room.keep.history and self.start is not None:
            self._begun, self._at = True, self.start
            self._tell(RoomPosition(self._room.name, self.start.cursor, None))

    def _tell(self, item: RoomItem | RoomPosition) -> None:
        if self._running:
            self._unsent.append(item)
        elif isinstance(item, RoomItem):
            self._receiver._offer_room(item)
        else:
            self._receiver._offer_position(item.room, item.cursor, item.missing)
