"""Rooms with history and presence in one process: the same as a broker elsewhere, with nothing to start and nothing
that can fail. What is kept ends with the process.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping

from ..core.rooms import Entry, Position, Reading
from .base import REPEATS, Expired, Health, Keep, Listener, Present
from .memory_directory import MemoryDirectory
from .memory_queues import MemoryQueueStore
from .memory_records import MemoryRecords

__all__ = ["MemoryBroker", "MemoryStore"]

PAGE = 256  # messages of one reading
MAX_REPEATS = 10_000  # ids of publishes that are remembered
UNUSED = 60.0  # seconds for which a room is kept that nobody uses
RUN = "memory"


class _Room:
    """What is kept of a room."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.top = self.base = 0
        self.id = self.base_id = ""
        self.closed = (0, 0)
        self.entries: deque[Entry] = deque()
        self.ends = 0.0  # when its history ends
        self.unused = 0.0  # from when on it may be forgotten, if nobody uses it
        self.ears: dict[MemoryStore, None] = {}
        self.present: dict[str, Present] = {}


class MemoryBroker:
    """Rooms in this process, for `realtime.Server(broker=…)`. Servers that are given the same one share their rooms."""

    timeout: float = 0.0  # the store is always there

    def __init__(self) -> None:
        self._rooms: OrderedDict[str, _Room] = OrderedDict()  # by their last use
        self._repeats: OrderedDict[tuple[str, str], Position] = OrderedDict()
        self._leases: dict[str, float] = {}
        self._answers: OrderedDict[str, tuple[float, dict[str, str]]] = OrderedDict()  # until when, by question
        self._directory = MemoryDirectory()
        self._queues = MemoryQueueStore()
        self._records = MemoryRecords()
        self._epoch = 0

    def store(self) -> MemoryStore:
        """What a worker uses."""
        return MemoryStore(self)

    def __repr__(self) -> str:
        return f"<MemoryBroker with {len(self._rooms)} rooms>"

    def _new_epoch(self, above: int = 0) -> int:
        self._epoch = max(self._epoch + 1, above + 1, time.time_ns() // 1_000_000)
        return self._epoch

    def _room(self, name: str, ttl: float = 0.0) -> _Room:
        """The room, new if need be; it is used."""
        now = time.monotonic()
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = _Room(self._new_epoch())
        elif room.entries and room.ends < now:
            room.entries.clear()
        room.unused = max(room.unused, now + max(ttl, UNUSED))
        self._rooms.move_to_end(name)
        for _ in range(2):  # so that there are never many that nobody uses
            self._look_at_oldest(now)
        return room

    def _look_at_oldest(self, now: float) -> None:
        name, room = next(iter(self._rooms.items()))
        if room.unused < now and not room.ears and not room.present:
            del self._rooms[name]
        else:
            self._rooms.move_to_end(name)


class MemoryStore:
    """The rooms of a MemoryBroker, as one worker uses them."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.parts = 1
        self.directory: MemoryDirectory = broker._directory
        self.queues: MemoryQueueStore = broker._queues
        self.records: MemoryRecords = broker._records
        self._broker = broker
        self._worker = ""
        self._listener: Listener
        self._loop: asyncio.AbstractEventLoop
        self._rooms: set[str] = set()

    # -- Broker --------------------------------------------------------------------------------------------------------

    async def start(self, worker: str, listener: Listener) -> None:
        """Nothing to connect to."""
        self._worker, self._listener = worker, listener
        self._loop = asyncio.get_running_loop()
        self._tell(listener.returned, RUN)

    async def close(self) -> None:
        """Hears no more."""
        for room in tuple(self._rooms):
            self.unsubscribe(room)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        """As from elsewhere: never from within what it is about. Where its loop was closed before this, nobody hears
        it, which is no affair of whoever tells."""
        try:
            self._loop.call_soon(call, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def subscribe(self, room: str) -> None:
        """Its messages come."""
        self._rooms.add(room)
        self._broker._room(room).ears[self] = None
        self._tell(self._listener.subscribed, room)

    def unsubscribe(self, room: str) -> None:
        """They come no more."""
        self._rooms.discard(room)
        self._broker._room(room).ears.pop(self, None)

    async def publish(
        self, room: str, keep: Keep, id: str, payload: bytes, ask: bool, life: float = REPEATS
    ) -> Position | None:
        """Publishes, or finds what was published."""
        repeats = self._broker._repeats
        before = repeats.get((room, id))
        if before is not None or ask:
            return before
        kept = self._broker._room(room, keep.ttl)
        entry = Entry(kept.epoch, kept.top + 1, id, kept.id, payload)
        kept.top, kept.id = entry.offset, id
        if entry.closes:
            kept.closed = entry.position[:2]
        if keep.history:
            kept.entries.append(entry)
            kept.ends = time.monotonic() + keep.ttl
            while len(kept.entries) > keep.history:
                kept.entries.popleft()
        repeats[room, id] = entry.position
        if len(repeats) > MAX_REPEATS:
            repeats.popitem(last=False)
        for store in kept.ears:
            store._tell(store._listener.received, room, entry)
        return entry.position

    def run_of(self, room: str) -> str:
        """One, for ever."""
        return RUN

    def run_at(self, part: int) -> str:
        """One, for ever."""
        return RUN

    async def reached(self, room: str) -> None:
        """It always is."""

    def health(self) -> Health:
        """Well."""
        return Health(True)

    # -- History -------------------------------------------------------------------------------------------------------

    async def read(
        self, room: str, keep: Keep, after: Position | None, known: Position | None, last: int = 0
    ) -> Reading:
        """Where a room stands, and what follows."""
        kept = self._broker._room(room)
        start = kept.top - last
        if after is not None:
            start = after.offset if after.epoch == kept.epoch else kept.base
        # Entries of before the epoch was raised are of this one now, as everywhere.
        entries = [entry._replace(epoch=kept.epoch) for entry in kept.entries if entry.offset > start]
        ids = {}
        for position in (after, known):
            if position is not None:
                for entry in kept.entries:
                    if entry.offset == position.offset:
                        ids[position.offset] = entry.id
                    elif entry.offset == position.offset + 1:
                        ids[position.offset] = entry.previous
        page = tuple(entries[:PAGE])
        more = len(entries) > PAGE
        clock, closed = time.time(), kept.closed
        return Reading(kept.epoch, kept.top, kept.id, kept.base, kept.base_id, page, ids, more, clock, closed)

    async def raise_epoch(self, room: str, keep: Keep, seen: int, above: int) -> bool:
        """Raises the epoch, if it is `seen`."""
        kept = self._broker._room(room)
        if kept.epoch != seen:
            return False
        kept.epoch, kept.base, kept.base_id = self._broker._new_epoch(max(seen, above)), kept.top, kept.id
        for store in kept.ears:
            store._tell(store._listener.missed, room)
        return True

    async def clear(self, room: str) -> None:
        """Forgets the messages of a room."""
        self._broker._room(room).entries.clear()

    # -- Presence and Leases -------------------------------------------------------------------------------------------

    async def attend(self, room: str, add: Mapping[str, str], remove: Iterable[str]) -> bool:
        """Adds and removes members of this worker."""
        if self._worker not in self._broker._leases:
            return False
        kept = self._broker._room(room)
        for member, info in add.items():
            kept.present[member] = Present(member, self._worker, info)
        for member in remove:
            if member in kept.present and kept.present[member].worker == self._worker:
                del kept.present[member]
        self._attended(room, kept)
        return True

    @staticmethod
    def _attended(name: str, room: _Room) -> None:
        for store in room.ears:
            store._tell(store._listener.attended, name)

    def parts_of(self, rooms: Iterable[str]) -> set[int]:
        """There is one."""
        return {0 for _ in rooms}

    async def attending(self, part: int) -> dict[str, list[str]]:
        """What is kept as this worker's."""
        found: dict[str, list[str]] = {}
        for name, room in self._broker._rooms.items():
            for one in room.present.values():
                if one.worker == self._worker:
                    found.setdefault(name, []).append(one.member)
        return found

    async def members(self, room: str) -> list[Present]:
        """Who is in a room."""
        return list(self._broker._room(room).present.values())

    async def count(self, room: str) -> int:
        """How many are in a room."""
        return len(self._broker._room(room).present)

    async def register(self, part: int, lease: float) -> bool:
        """Registers this worker, or renews its lease."""
        new = self._worker not in self._broker._leases
        self._broker._leases[self._worker] = time.monotonic() + lease
        return new

    async def workers(self, part: int) -> list[str]:
        """The workers whose leases have not run out."""
        now = time.monotonic()
        return [name for name, until in self._broker._leases.items() if until >= now]

    async def expired(self, part: int) -> list[Expired]:
        """The workers whose leases have run out."""
        now = time.monotonic()
        return [Expired(part, name, repr(until)) for name, until in self._broker._leases.items() if until < now]

    async def reap(self, expired: Expired) -> bool:
        """Removes a worker with its members, if its lease is still that one."""
        if repr(self._broker._leases.get(expired.worker)) != expired.until:
            return False
        self._remove(expired.worker)
        return True

    async def resign(self, part: int) -> None:
        """Removes this worker with its members."""
        self._remove(self._worker)

    async def answer(self, part: int, question: str, text: str) -> None:
        """This worker's answer to a question."""
        answers, now = self._broker._answers, time.monotonic()
        _, found = answers.pop(question, (0.0, {}))
        answers[question] = now + UNUSED, found
        found[self._worker] = text
        while next(iter(answers.values()))[0] < now:
            answers.popitem(last=False)

    async def answers(self, part: int, question: str) -> dict[str, str]:
        """The answers to a question."""
        return dict(self._broker._answers.get(question, (0.0, {}))[1])

    def _remove(self, worker: str) -> None:
        self._broker._leases.pop(worker, None)
        for name, room in self._broker._rooms.items():
            gone = [member for member, one in room.present.items() if one.worker == worker]
            for member in gone:
                del room.present[member]
            if gone:
                self._attended(name, room)
