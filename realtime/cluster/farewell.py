"""How a worker takes its leave of those whose sessions' clients come by it, while it drains and behind that.

At the beginning it has them send their clients by another worker, where these can go on in the same session; requests
may still be brought by this one meanwhile. Some WebSockets cannot: their session ends with them. So that
goes on for as long as the worker's own sessions have; then the worker that has its session ends that cleanly, and only
then are connections closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ..clock import Patience
from ..core.leases import Peer
from ..loops import begin
from .hops import Broken, Hops
from .tunnel import Tunnel

__all__ = ["EARLY", "Farewell"]

# Said in the place of how many seconds the last sessions have: whoever can come by another worker is to do so.
EARLY = -1.0
# How long those may take whose sessions are told last, and what is under way then, in seconds.
FAREWELL = 1.0
# How long another worker may take to hear it.
PATIENCE = 5.0


class Farewell:
    """Of one worker. `say` tells another one that this one leaves: see Facts.leaving."""

    def __init__(self, hops: Hops, say: Callable[[Peer, float], Awaitable[None]]) -> None:
        self.begun: bool = False  # whoever comes is to come again by another worker
        self.tunnels: set[Tunnel] = set()  # WebSockets whose sessions others have
        self._hops = hops
        self._say = say
        self._telling: set[asyncio.Task[None]] = set()

    def add(self, tunnel: Tunnel) -> None:
        """A WebSocket is carried."""
        self.tunnels.add(tunnel)
        tunnel.ended.add_done_callback(lambda _: self.tunnels.discard(tunnel))

    def begin(self) -> None:
        """This worker begins to drain."""
        self.begun = True
        self._tell(EARLY)

    async def end_sessions(self, seconds: float) -> None:
        """Its own sessions are gone. Waits until those are, too, whose clients can come by no other worker; for so many
        seconds at most, or a moment."""
        seconds = max(seconds, FAREWELL)
        self._tell(seconds)
        if self.tunnels:
            await asyncio.wait([tunnel.ended for tunnel in self.tunnels], timeout=seconds)

    def last(self) -> None:
        """What has begun since is told the same."""
        self.begun = True
        self._tell(0.0)

    async def close(self) -> None:
        """Nothing is carried any more; what ends by itself in a moment may."""
        if self._telling:
            with suppress(TimeoutError):
                async with Patience(FAREWELL):
                    await asyncio.wait(self._telling)
                    await self._hops.quiet()
        for task in self._telling:
            task.cancel()

    def _tell(self, seconds: float) -> None:
        for peer in self._hops.busy():
            task = begin(self._tell_one(peer, seconds), "realtime leaves")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell_one(self, peer: Peer, seconds: float) -> None:
        with suppress(Broken, TimeoutError):
            async with Patience(PATIENCE):
                await self._say(peer, seconds)
