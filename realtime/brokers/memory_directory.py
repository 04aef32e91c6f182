"""The directory of a cluster in one process: the same as in a broker elsewhere, with nothing that can fail."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ..core.claims import Claim
from ..core.leases import Ended, Known, Peer

__all__ = ["MemoryDirectory"]

KNOWN = 3600.0  # seconds for which a worker is known behind its lease
LONG_AGO = 1e9


class MemoryDirectory:
    """Workers, names and tombstones of the servers that share a MemoryBroker."""

    def __init__(self) -> None:
        self._peers: dict[str, tuple[Peer, float]] = {}  # until when their leases run
        self._claims: OrderedDict[str, tuple[Claim, float]] = OrderedDict()
        self._held: dict[str, dict[str, int]] = {}
        self._ended: OrderedDict[str, tuple[Ended, float]] = OrderedDict()

    async def enlist(self, peer: Peer, lease: float) -> bool:
        """Registers a worker, or renews its lease."""
        now = time.monotonic()
        for worker, (_, until) in list(self._peers.items()):
            if until + KNOWN < now:
                del self._peers[worker]
        before, _ = self._peers.get(peer.worker, (peer, 0.0))
        if before.incarnation != peer.incarnation:
            return False
        self._peers[peer.worker] = peer, now + lease
        return True

    async def strike(self, peer: Peer) -> None:
        """The worker has left."""
        before, _ = self._peers.get(peer.worker, (None, 0.0))
        if before is not None and before.incarnation == peer.incarnation:
            del self._peers[peer.worker]

    async def find(self, worker: str) -> Known:
        """What is known of a worker."""
        peer, until = self._peers.get(worker, (None, 0.0))
        return Known(peer, max(0.0, until - time.monotonic()))

    async def living(self) -> list[Peer]:
        """The workers whose leases run."""
        now = time.monotonic()
        return [peer for peer, until in self._peers.values() if until > now]

    async def met(self, part: int, known: bool) -> float:
        """This process has one run, which forgets nothing."""
        return LONG_AGO

    def home(self, name: str) -> int:
        """There is one part."""
        return 0

    async def claim(self, name: str, claim: Claim, life: float, may: bool) -> Claim | None:
        """Claims a name; who has it then."""
        before = await self.holder(name)
        if before is not None and before.worker != claim.worker:
            return before
        if before is None and not may:
            return None
        await self.keep(name, claim, life)
        return claim

    async def release(self, name: str, sid: str) -> None:
        """The name is given back."""
        before = await self.holder(name)
        if before is not None and before.sid == sid:
            del self._claims[name]

    async def keep(self, name: str, claim: Claim, life: float) -> bool:
        """Claims a name for a session that has begun, or for longer."""
        before = await self.holder(name)
        if before is not None and before.worker != claim.worker:
            return False
        self._claims[name] = claim, time.monotonic() + life
        self._claims.move_to_end(name)
        _tidy(self._claims)
        return True

    async def holder(self, name: str) -> Claim | None:
        """Who has a name."""
        claim, until = self._claims.get(name, (None, 0.0))
        return claim if until > time.monotonic() else None

    async def hold(self, key: str, worker: str, count: int) -> dict[str, int]:
        """A worker has so many; how many each has."""
        held = self._held.setdefault(key, {})
        held[worker] = count
        if not count:
            del held[worker]
        if not held:
            del self._held[key]
        return dict(held)

    async def bury(self, worker: str, ended: Mapping[str, tuple[Ended, float]]) -> None:
        """Keeps how sessions have ended."""
        now = time.monotonic()
        for sid, (one, life) in ended.items():
            self._ended[sid] = one, now + life
            self._ended.move_to_end(sid)
            _tidy(self._ended)

    async def ended(self, sid: str) -> Ended | None:
        """How this session has ended."""
        ended, until = self._ended.get(sid, (None, 0.0))
        return ended if until > time.monotonic() else None


def _tidy(kept: OrderedDict[str, tuple[Any, float]]) -> None:
    """Drops two of the oldest, if their time is over: so there are never many of them."""
    now = time.monotonic()
    for _ in range(min(2, len(kept))):
        name, (_, until) = next(iter(kept.items()))
        if until > now:
            return
        del kept[name]
