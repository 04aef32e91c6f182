"""Who has a session, or a name, as one worker finds it: what the store says holds for a while, and for longer while the
store is away. What proves that a worker is gone core/leases decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..brokers.base import Directory, Refused
from ..core.attendance import Standing
from ..core.claims import Claim
from ..core.errors import BrokerError
from ..core.leases import Gone, Known, Neighbours, Peer, Reached, Recalled, judge

__all__ = ["NOT_FREE", "NOT_NOW", "Finding"]

log: logging.Logger = logging.getLogger("realtime.cluster")

NEIGHBOURS = 4096  # workers whose addresses are kept
HOLDERS = 65_536  # names of others' sessions, of which it is known whose they are

NOT_NOW = "nobody can say now who has this session; come back later"
NOT_FREE = "nobody can say now who has this name: the store is away, or has just come back; come back later"


class Finding:
    """The other workers, and whose names are whose. All raise BrokerError while nothing can be said."""

    def __init__(self, directory: Directory, standing: Standing, lease: float) -> None:
        self.neighbours: Neighbours = Neighbours(lease, NEIGHBOURS)
        self.holders: Recalled[Claim] = Recalled(lease, HOLDERS)
        self._directory = directory
        self._standing = standing
        self._now = asyncio.get_running_loop().time

    async def owner(self, sid: str) -> Peer | Gone:
        """Which other worker has this session. While the store is away that is who was reached last."""
        return await self._known(sid.partition(".")[0], sid, fenced=False)

    async def alive(self, worker: str) -> Peer | Gone:
        """How another worker is reached, as long as its lease runs, or may run, for all that is known."""
        return await self._known(worker, "", fenced=True)

    async def _known(self, worker: str, sid: str, *, fenced: bool) -> Peer | Gone:
        known = self.neighbours.peer(worker, self._now())
        if known is not None:
            return known
        try:
            return await self._find(worker, sid, None, Reached.UNTRIED, fenced=fenced)
        except BrokerError:
            last = self.neighbours.last(worker)
            if last is None:
                raise
            return last  # connecting shows whether it is there

    async def again(self, peer: Peer, sid: str, reached: Reached) -> Peer | Gone:
        """A connection to this worker went so."""
        return await self._find(peer.worker, sid, peer, reached)

    async def _find(
        self, worker: str, sid: str, tried: Peer | None, reached: Reached, *, fenced: bool = False
    ) -> Peer | Gone:
        if tried is not None:
            self.neighbours.doubt(worker)
        asked = self._now()
        known = await self._directory.find(worker)
        if known.peer is not None and known.leased:
            self.neighbours.learn(known.peer, asked, known.lease)
        elif known.peer is None and tried is None:
            known = Known(self.neighbours.last(worker))
        steady = self._standing.steady(self._now())
        verdict = judge(known, tried, reached, steady, fenced=fenced)
        if isinstance(verdict, Peer):
            return verdict
        if isinstance(verdict, Gone):
            log.debug("- worker %s is gone: %s, %s, leases may be judged: %s", worker, known, reached.value, steady)
            return Gone(await self._directory.ended(sid)) if sid else verdict
        ended = await self._directory.ended(sid) if sid else None
        if ended is not None:  # that of its session its worker alone has written, whatever became of the worker
            return Gone(ended)
        raise Refused(NOT_NOW)

    async def holder(self, name: str, free: Callable[[], bool]) -> Claim | None:
        """Whose a name is; None for nobody's, where a name that nobody has claimed is `free`. While the store is away
        that is whose it was: nobody claims anything meanwhile."""
        claim = self.holders.fresh(name, self._now())
        if claim is not None:
            return claim
        try:
            claim = await self._directory.holder(name)
        except BrokerError:
            claim = self.holders.last(name)
            if claim is None:
                raise
            return claim
        if claim is not None:
            self.holders.note(name, claim, self._now())
        elif not free():
            raise Refused(NOT_FREE)  # another run may have forgotten it
        return claim
