"""What a worker has to write into the directory and nobody waits for: its claims, again, how its sessions have ended,
and how many it has of what is limited. Written until it is there; of what is never written the oldest is given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from ..brokers.base import Directory
from ..core.claims import Claim
from ..core.errors import BrokerError
from ..core.leases import Ended

__all__ = ["Keeping"]

log: logging.Logger = logging.getLogger("realtime.cluster")

BATCH = 128  # of what is written at once
PAUSE = 0.5  # seconds, where it could not be written
MOST_COUNTS = 100_000  # limits whose counts have changed


def _none(key: str) -> int:
    """Nothing is counted."""
    return 0


class Keeping:
    """What is due: claims of names by which sessions live, or were opened lately; of ends at most `most`."""

    def __init__(self, directory: Directory, worker: str, life: float, most: int) -> None:
        self.worker = worker
        self.held: Callable[[str], int] = _none  # how many sessions it has that count in a limit
        self._directory = directory
        self._life = life  # of a claim, in seconds
        self._most = most
        self._claims: OrderedDict[str, Claim] = OrderedDict()
        self._ends: OrderedDict[str, tuple[Ended, float]] = OrderedDict()  # until when
        self._counts: OrderedDict[str, None] = OrderedDict()
        self._due = asyncio.Event()
        self._written = asyncio.Event()  # nothing is due
        self._written.set()
        self._now: Callable[[], float] = asyncio.get_running_loop().time

    def claim(self, name: str, claim: Claim) -> None:
        """This claim is to be there."""
        self._claims[name] = claim
        self._added()

    def end(self, sid: str, ended: Ended, life: float) -> None:
        """How this session has ended is to be there, for so many seconds."""
        self._ends[sid] = ended, self._now() + life
        if len(self._ends) > self._most:
            self._ends.popitem(last=False)
        self._added()

    def count(self, key: str) -> None:
        """How many sessions of this worker count in this limit is to be there."""
        self._counts[key] = None
        if len(self._counts) > MOST_COUNTS:
            self._counts.popitem(last=False)
        self._added()

    def _added(self) -> None:
        self._due.set()
        self._written.clear()

    async def written(self) -> None:
        """Waits until nothing is due."""
        await self._written.wait()

    async def run(self) -> None:
        """Writes what is due, for ever."""
        while True:
            await self._due.wait()
            try:
                await self._write_ends()
                await self._write_claims()
                await self._write_counts()
            except BrokerError:
                await asyncio.sleep(PAUSE)
            else:
                if not self._claims and not self._ends and not self._counts:
                    self._due.clear()
                    self._written.set()

    async def _write_ends(self) -> None:
        now = self._now()
        batch = dict(islice(self._ends.items(), BATCH))
        alive = {sid: (ended, until - now) for sid, (ended, until) in batch.items() if until > now}
        if alive:
            await self._directory.bury(self.worker, alive)
        for sid, one in batch.items():
            if self._ends.get(sid) is one:
                del self._ends[sid]

    async def _write_claims(self) -> None:
        batch = list(islice(self._claims.items(), BATCH))
        answers = await asyncio.gather(*(self._keep(name, claim) for name, claim in batch))
        for (name, claim), kept in zip(batch, answers, strict=True):
            if self._claims.get(name) is claim:
                del self._claims[name]
            if not kept:
                log.warning("! another worker has opened a session by a name that this one had: the store forgot it")

    async def _write_counts(self) -> None:
        batch = list(islice(self._counts, BATCH))
        for key in batch:
            del self._counts[key]  # it may change again meanwhile
        try:
            await asyncio.gather(*(self._directory.hold(key, self.worker, self.held(key)) for key in batch))
        except BaseException:
            for key in batch:
                self.count(key)
            raise

    async def _keep(self, name: str, claim: Claim) -> bool:
        return await self._directory.keep(name, claim, self._life)
