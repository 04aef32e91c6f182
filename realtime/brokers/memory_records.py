"""Durable sessions in one process: the same as in a broker elsewhere, with nothing that can fail. They outlive their
server, and not the process: which is what tests want.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..core.durable.owner import Write
from ..core.durable.record import Record
from ..core.durable.takeover import Notice, indexed
from .base import Sight

__all__ = ["MemoryRecords"]

WORKERS = 1000  # for so many notices are kept


class _Kept(NamedTuple):
    record: Record
    written: float
    due: float  # when it is looked at, or forgotten
    ended: bool


class MemoryRecords:
    """The durable sessions of the servers that share a MemoryBroker."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._notices: dict[str, list[Notice]] = {}

    async def load(self, sid: str) -> Sight | None:
        """What there is of a session."""
        kept = self._find(sid)
        return None if kept is None else Sight(kept.record, time.monotonic() - kept.written)

    async def put(self, sid: str, write: Write, life: float, notice: Notice | None = None, to: str = "") -> str:
        """Writes, if the write that it expects is there; the id of the one that is there then."""
        there = await self.id(sid)
        if there != write.expected:
            return there
        now = time.monotonic()
        self._forget(now)
        self._kept.pop(sid, None)
        self._kept[sid] = _Kept(write.record, now, now + life, not indexed(write.record))
        if notice is not None:
            self._notices.setdefault(to, []).append(notice)
            if len(self._notices) > WORKERS:  # the first of them is gone, most likely
                del self._notices[next(iter(self._notices))]
        return write.record.id

    async def id(self, sid: str) -> str:
        """The id of the write that is there."""
        kept = self._find(sid)
        return "" if kept is None else kept.record.id

    def home(self, sid: str) -> int:
        """There is one part."""
        return 0

    async def notices(self, part: int, worker: str) -> list[Notice]:
        """What was left for a worker."""
        return list(self._notices.get(worker, ()))

    async def noticed(self, part: int, worker: str, notices: Sequence[Notice]) -> None:
        """These are done with."""
        left = [one for one in self._notices.pop(worker, []) if one not in notices]
        if left:
            self._notices[worker] = left

    async def due(self, part: int, most: int, longest: float = math.inf) -> list[str]:
        """Sessions that are to be looked at."""
        now = time.monotonic()
        found = sorted((kept.due, sid) for sid, kept in self._kept.items() if not kept.ended and kept.due <= now)
        return [sid for _, sid in found[:most]]

    async def postpone(self, sid: str, seconds: float) -> None:
        """It is due again later."""
        kept = self._kept.get(sid)
        if kept is not None and not kept.ended:
            self._kept[sid] = kept._replace(due=time.monotonic() + seconds)

    def _find(self, sid: str) -> _Kept | None:
        kept = self._kept.get(sid)
        return None if kept is None or (kept.ended and kept.due <= time.monotonic()) else kept

    def _forget(self, now: float) -> None:
        """Drops two of those that were written longest ago, if they have ended and their time is over: so there are
        never many of them."""
        for sid in list(self._kept)[:2]:
            kept = self._kept[sid]
            if kept.ended and kept.due <= now:
                del self._kept[sid]
