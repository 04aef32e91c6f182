"""What is carried for durable sessions ends with the lease of the worker that it is carried to: another one takes them
over, when their clients come again.

A worker that stands still says nothing, and ends nothing: who waits for it would find out by the silence alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ..core.errors import BrokerError, Refusal
from ..core.leases import Peer
from ..loops import begin
from ..owners import Owners
from .hops import Hop, Hops

__all__ = ["Lapses"]

LOOK = 0.5  # seconds between two looks; the directory is asked once in a lease


class Lapses:
    """Of one worker's connections to others."""

    def __init__(self, hops: Hops, owners: Callable[[], Owners | None]) -> None:
        self._hops = hops
        self._owners = owners
        self._task: asyncio.Task[None] | None = None

    def add(self, hop: Hop) -> None:
        """Something of a durable session is carried here, until the connection ends or is kept for others."""
        hop.durable = True
        if self._task is None:
            self._task = begin(self._looks(), "realtime looks at leases")

    def close(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()

    async def _looks(self) -> None:
        try:
            while peers := {peer for hop, peer in self._hops.open.items() if hop.durable}:
                for peer in peers:
                    await self.look(peer)
                await asyncio.sleep(LOOK)
        finally:
            self._task = None

    async def look(self, peer: Peer) -> None:
        """Ends what is carried to this worker for durable sessions, if its lease is over."""
        owners = self._owners()
        with suppress(BrokerError, Refusal):
            if owners is not None and await owners.alive(peer.worker) != peer:
                for hop, other in tuple(self._hops.open.items()):
                    if hop.durable and other == peer:
                        hop.transport.abort()
