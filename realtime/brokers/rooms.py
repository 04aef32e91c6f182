"""Rooms over a broker: joins, sends and presence of one process; the broker's listener (docs/scaling.md).

What is lost or repeated decides core/follower; what is said to Redis, the store. Knows no sessions: receivers.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import NamedTuple, Protocol

from ..clock import Patience
from ..core.errors import BrokerError
from ..core.frames import Outgoing
from ..core.rooms import CLOSING, Entry, Position
from ..loops import Tasks
from .base import Health, Keep, QueueStore, Store, overdue
from .counts import Counts
from .local import Joining, LocalRoom
from .members import Members, Receiver
from .messages import encoded
from .presence import Attending
from .publishing import Publishing
from .reader import Reader

__all__ = ["Joined", "Rooms", "Timing"]

MAX_BROADCASTS = 256  # messages that are not offered to all yet: with more, no others are read
CLOSED = 1  # anything: it is for nobody
COMPARED, MAX_COMPARED = 32, 500  # rooms that are compared at once, and in a second

log: logging.Logger = logging.getLogger("realtime.broker")


class Timing(NamedTuple):
    """Seconds: for how long a worker counts as alive, and from one sweep to the next."""

    lease: float = 10.0
    sweep: float = 5.0


class Joined(NamedTuple):
    """How a join went."""

    cursor: str  # where the member starts
    gap: bool  # it could not go on where it was


class Watcher(Protocol):
    """Whom it is told, too, when the store comes and goes."""

    def returned(self, run: str) -> None:
        """A run of the store answers that did not before."""

    def failed(self) -> None:
        """The store does not answer."""


class Rooms:
    """The rooms of one process that go over a broker, from start() to close()."""

    def __init__(
        self,
        store: Store,
        hub: Members,
        timeout: float,
        timing: Timing = Timing(),  # noqa: B008
        counts: Counts | None = None,
        name: str = "",
    ) -> None:
        self.counts: Counts = counts or Counts()
        self.worker: str = f"{name}{secrets.token_urlsafe(9)}"
        self.reader: Reader = Reader(store, timeout)
        self._store, self._hub = store, hub
        self.queues: QueueStore = store.queues  # of all workers
        self.timeout: float = timeout  # for how many seconds the store is waited for
        self.timing: Timing = timing  # of leases
        self._local: dict[str, LocalRoom] = {}
        self._joining: dict[Receiver, set[str]] = {}  # the rooms that each joins, or has joined, behind a snapshot
        self.tasks: Tasks = Tasks("rooms", log)
        self._attending = Attending(store, timing.lease)
        self._publishing = Publishing(store, self.worker, timeout, self._acknowledged)
        self._runs: set[str] = set()
        self.watchers: list[Watcher] = []  # of the store

    # -- starting and ending -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begins. Does not wait for the broker."""
        await self._store.start(self.worker, self)
        self.tasks.keep_up(self._renew)
        self.tasks.keep_up(self._compare)
        self.tasks.keep_up(self._sweep)

    async def close(self) -> None:
        """Ends. The members of this worker are not present any more."""
        for room in self._local.values():
            room.gone = True
        with suppress(TimeoutError):
            async with Patience(1.0):
                await self._attending.resign()
        await self._publishing.close()
        await self.tasks.end()
        await self._store.close()

    def health(self) -> Health:
        """How the broker is."""
        return self._store.health()

    @property
    def followed(self) -> int:
        """How many rooms this worker follows."""
        return len(self._local)

    # -- members -------------------------------------------------------------------------------------------------------

    def hold(self, name: str, keep: Keep, members: Members | None = None, every: int = 1) -> LocalRoom:
        """The room as this process follows it, until release(). Its members are the hub's, or these; it is compared in
        so many sweeps once."""
        room = self._local.get(name)
        if room is None:
            hub, patience = members or self._hub, self.timing.sweep / 2
            room = LocalRoom(name, keep, self._store, hub, self.tasks.begin, patience, self.counts, every)
            self._local[name] = room
            self._store.subscribe(name)
        room.users += 1
        return room

    def release(self, room: LocalRoom) -> None:
        """Whoever held it needs it no more."""
        room.users -= 1
        self._tidy(room)

    @asynccontextmanager
    async def _using(self, name: str, keep: Keep) -> AsyncIterator[LocalRoom]:
        """The room as this process follows it, which is kept meanwhile."""
        room = self.hold(name, keep)
        try:
            yield room
        finally:
            self.release(room)

    def _tidy(self, room: LocalRoom) -> None:
        if not room.needed and self._local.get(room.name) is room:
            room.gone = True
            del self._local[room.name]
            self._store.unsubscribe(room.name)

    async def join(
        self, receiver: Receiver, name: str, keep: Keep, *, info: str, last: int, after: Position | None
    ) -> Joined:
        """Puts a receiver into a room, behind its snapshot if it wants one. Raises BrokerError. Where it raises, or is
        cancelled, the receiver is not in the room, unless it was before."""
        there = receiver in self._hub.members(name)
        async with self._using(name, keep) as room:
            joined = await self._join(receiver, room, last, after)
        if keep.presence:
            try:
                await self.attend(receiver, name, info)
            except BaseException:  # who is cancelled has not joined, and goes on where this has come if it joins again
                if not there:
                    self._hub.leave(receiver, name)
                raise
        return joined

    async def _join(self, receiver: Receiver, room: LocalRoom, last: int, after: Position | None) -> Joined:
        there = receiver in self._hub.members(room.name) or receiver in room.joining
        try:
            async with Patience(self.timeout):
                stays = await room.live_for(receiver)
        except TimeoutError:
            raise self._too_late("the room could not be joined") from None
        position = room.follower.position
        assert position is not None
        if not stays or there or receiver in self._hub.members(room.name) or receiver in room.joining:
            return Joined(position.cursor, False)
        receiver._check_member()
        if not last and after is None:
            return Joined(room.begin(receiver).cursor, False)
        joining = room.joining[receiver] = Joining(
            room, receiver, self._store, after=after, last=last, timeout=self.timeout
        )
        self._joining.setdefault(receiver, set()).add(room.name)
        try:
            await joining.run()
        except BaseException as error:
            if room.joining.get(receiver) is joining:
                self.left(receiver, room.name)
            if isinstance(error, TimeoutError):
                raise self._too_late("the room could not be read, and was not joined,") from None
            raise
        return Joined((joining.start or position).cursor, joining.gapped)  # no start: it has left before

    async def attend(self, receiver: Receiver, name: str, info: str) -> None:
        """A receiver is present in a room, if it is in there, or is joining it."""
        room = self._local.get(name)
        if receiver in self._hub.members(name) or (room is not None and receiver in room.joining):
            with suppress(TimeoutError):
                async with Patience(self.timeout):
                    await self._attending.add(name, receiver.id, info)

    def _too_late(self, what: str) -> BrokerError:
        return BrokerError(overdue(self._store, self.timeout, what))

    def left(self, receiver: Receiver, name: str) -> None:
        """A receiver has left the hub's room, or is to leave before it is there."""
        if (names := self._joining.get(receiver)) is not None:
            names.discard(name)
            if not names:
                del self._joining[receiver]
        room = self._local.get(name)
        if room is not None:
            room.entering.pop(receiver, None)
            joining = room.joining.pop(receiver, None)
            if joining is not None:
                joining.left()
            self._tidy(room)
        if self._attending.remove(name, receiver.id):
            self.tasks.begin(self._attending.tell())

    def left_all(self, receiver: Receiver) -> None:
        """A receiver ends; what it is joining, it joins no more."""
        for name in tuple(self._joining.get(receiver, ())):
            self.left(receiver, name)

    # -- sending, closing and watching ---------------------------------------------------------------------------------

    async def send(self, name: str, keep: Keep, item: Outgoing, skipped: frozenset[str]) -> str:
        """Publishes; the cursor behind it. Raises BrokerError."""
        return (await self._publish(name, keep, encoded(item, skipped))).cursor

    async def _publish(self, name: str, keep: Keep, payload: bytes) -> Position:
        try:
            position = await self._publishing.publish(name, keep, payload)
        except BrokerError as error:
            if error.maybe_sent:
                self.counts.unknown += 1
            else:
                self.counts.failed += 1
            raise
        self.counts.published += 1
        return position

    async def close_room(self, name: str, keep: Keep) -> None:
        """Takes everybody out of a room; waits until those of this process are. Raises BrokerError."""
        async with self._using(name, keep) if name in self._local else nullcontext() as room:
            position = await self._publish(name, keep, CLOSING)
            if room is None:
                return
            try:
                async with Patience(self.timeout):
                    await room.until_closed(position)
                    await self._hub.broadcasts.send(name, (), CLOSED, frozenset())  # behind the members' turn
            except TimeoutError:
                reason = f"this worker has not heard of the closing within broker_timeout ({self.timeout:g} s)"
                raise BrokerError(reason, maybe_sent=True) from None

    def _acknowledged(self, name: str, position: Position) -> None:
        if (room := self._local.get(name)) is not None:
            room.follower.learn(position)

    async def watch(self, name: str, keep: Keep) -> AsyncIterator[dict[str, str]]:
        """Who is present, whenever that may have changed: first at once. Waits while the broker is away."""
        async with self._using(name, keep) as room:
            while True:
                attended = room.attended = room.attended or asyncio.Event()
                try:
                    present = await self._store.members(name)
                except BrokerError:
                    await asyncio.sleep(min(1.0, self.timing.sweep))
                    continue
                yield {one.member: one.info for one in present}
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.timing.sweep):
                        await attended.wait()

    # -- what the broker tells -----------------------------------------------------------------------------------------

    def received(self, room: str, entry: Entry) -> None:
        """A message of a room."""
        if (local := self._local.get(room)) is not None:
            local.follower.message(entry)

    def subscribed(self, room: str) -> None:
        """The subscription stands."""
        if (local := self._local.get(room)) is not None:
            local.follower.subscribed()
            local.look()

    def unsubscribed(self, rooms: Iterable[str]) -> None:
        """The subscriptions of these are lost, or may be."""
        for room in rooms:
            if (local := self._local.get(room)) is not None:
                local.unsubscribed()

    def missed(self, room: str) -> None:
        """Something came that could not be taken."""
        if (local := self._local.get(room)) is not None:
            local.follower.missed()

    def attended(self, room: str) -> None:
        """Who is present may have changed."""
        if (local := self._local.get(room)) is not None:
            local.look()

    def returned(self, run: str) -> None:
        """A run of the store answers that did not before."""
        now = asyncio.get_running_loop().time()
        self._attending.standing.answered(now)
        if run not in self._runs:
            self._runs.add(run)
            self._attending.standing.returned(now)
        for watcher in self.watchers:
            watcher.returned(run)
        self.tasks.begin(self._back())

    async def _back(self) -> None:
        await self._publishing.compare()
        await self._attending.renew()

    def failed(self) -> None:
        """The store does not answer."""
        self._attending.standing.failed()
        for watcher in self.watchers:
            watcher.failed()

    async def give_way(self) -> None:
        """Lets others have their turn, and members be offered what came."""
        while True:
            await asyncio.sleep(0)
            if len(self._hub.broadcasts) <= MAX_BROADCASTS:  # each turn offers some
                return

    # -- sweeps --------------------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.timing.lease / 4)
            await self._attending.renew()

    async def _compare(self) -> None:
        while True:
            await asyncio.sleep(self.timing.sweep * random.uniform(0.75, 1.25))
            # A few after the other, so that ten thousand rooms are no burst, and leave time for messages.
            due = [room for room in self._local.values() if room.is_due()]
            for index, room in enumerate(due, 1):
                if room.follower.live and not room.gone:
                    room.follower.compare()
                if not index % COMPARED:
                    await asyncio.sleep(COMPARED / MAX_COMPARED)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.timing.sweep * random.uniform(0.75, 1.25))
            await self._publishing.sweep()
            await self._publishing.compare()
            await self._attending.sweep()
            await self._attending.reap()
