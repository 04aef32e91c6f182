"""Queues of the servers of one process that share a MemoryBroker: see brokers.base.QueueStore."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence

from .base import Taken

__all__ = ["MemoryQueueStore"]

MAX_REPEATS = 10_000  # ids of puts that are remembered
TAKE_SIZE = 1_048_576


class _Entry:
    """A message, whose it is, and since when."""

    __slots__ = ("payload", "since", "times", "worker")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.worker = ""
        self.since = 0.0
        self.times = 0


class MemoryQueueStore:
    """Queues in memory, in the order of their ids."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, _Entry]] = {}
        self._repeats: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._number = 0

    async def put(self, queue: str, id: str, payload: bytes, most: int) -> bool:
        """Puts a message at the end; False where there is no room."""
        if (queue, id) in self._repeats:
            return True
        entries = self._queues.get(queue, {})
        if len(entries) >= most:
            return False
        self._number += 1
        self._queues.setdefault(queue, entries)[f"{self._number}-0"] = _Entry(payload)
        self._repeats[queue, id] = None
        if len(self._repeats) > MAX_REPEATS:
            self._repeats.popitem(last=False)
        return True

    async def take(self, queue: str, worker: str, most: int, idle: float | None) -> list[Taken]:
        """The next messages, which are the worker's from now on."""
        found: list[Taken] = []
        size, now, gone = 0, time.monotonic(), set[str]()
        for id, entry in self._queues.get(queue, {}).items():
            if len(found) >= most or size >= TAKE_SIZE:
                break
            if not entry.worker or (idle is not None and now - entry.since >= idle):
                entry.times += 1
                if entry.worker in gone:
                    entry.times = max(2, entry.times - 1)
                elif entry.worker:
                    gone.add(entry.worker)
                entry.worker, entry.since = worker, now
                size += len(entry.payload)
                found.append(Taken(id, entry.payload, entry.times))
        return found

    async def keep(self, queue: str, worker: str, ids: Sequence[str]) -> None:
        """The worker is there, and has these."""
        for entry in self._own(queue, worker, ids):
            entry.since = time.monotonic()

    async def settle(self, queue: str, ids: Sequence[str]) -> None:
        """These are done."""
        entries = self._queues.get(queue, {})
        for id in ids:
            entries.pop(id, None)
        if not entries:
            self._queues.pop(queue, None)

    async def give_back(self, queue: str, worker: str, given: Sequence[tuple[str, int]]) -> None:
        """These are for others, in their old places."""
        for id, times in given:
            for entry in self._own(queue, worker, (id,)):
                entry.worker, entry.times = "", times

    async def count(self, queue: str) -> int:
        """How many it holds."""
        return len(self._queues.get(queue, ()))

    def _own(self, queue: str, worker: str, ids: Sequence[str]) -> list[_Entry]:
        entries = self._queues.get(queue, {})
        return [entry for id in ids if (entry := entries.get(id)) is not None and entry.worker == worker]
