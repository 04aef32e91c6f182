"""Limits of all workers together: each keeps its own count in the directory, and whoever opens a session adds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..brokers.base import Directory
from ..core.attendance import Standing
from ..core.errors import Refusal
from ..core.registry import RETRY_AFTER
from ..core.shares import Limit, Shares, total
from .keeping import Keeping

__all__ = ["Counting"]


class Counting:
    """A worker's part in them. `count` says how many sessions it has that count in a limit, `counted` what all these
    are."""

    def __init__(
        self,
        directory: Directory,
        keeping: Keeping,
        standing: Standing,
        count: Callable[[str], int],
        counted: Callable[[], Iterable[str]],
    ) -> None:
        self._directory = directory
        self._keeping = keeping
        self._standing = standing
        self._count = count
        self._counted = counted
        self._shares = Shares()
        self._now = asyncio.get_running_loop().time
        keeping.held = self._held

    def _held(self, key: str) -> int:
        """How many sessions this worker has, or is opening."""
        return self._count(key) + self._shares.count(key)

    async def share(self, opening: object, limits: Sequence[Limit]) -> None:
        """A session is to be opened that counts in these. Raises Refusal."""
        for limit in limits:
            self._shares.begin(limit.key, opening)
        for limit in limits:
            counts = await self._directory.hold(limit.key, self._keeping.worker, self._held(limit.key))
            if total(counts, self._keeping.worker, None) > limit.most:
                await self._look_at(limit, counts)

    async def _look_at(self, limit: Limit, counts: Mapping[str, int]) -> None:
        """More than there may be; but what dead workers had does not count. Raises Refusal."""
        me = self._keeping.worker
        living = [peer.worker for peer in await self._directory.living()]
        steady = self._standing.steady(self._now())
        if total(counts, me, living if steady else None) > limit.most:
            raise Refusal(4429, limit.reason, retry_after=RETRY_AFTER)
        for worker in counts.keys() - {me, *living}:
            await self._directory.hold(limit.key, worker, 0)

    def shared(self, opening: object, limits: Sequence[Limit]) -> None:
        """The session is counted, or there is none."""
        for limit in limits:
            self._shares.end(limit.key, opening)
        self.recount(limits)

    def recount(self, limits: Sequence[Limit]) -> None:
        """What this worker has may have changed."""
        for limit in limits:
            self._keeping.count(limit.key)

    def tell(self) -> None:
        """Tells the directory all again."""
        for key in self._counted():
            self._keeping.count(key)
