"""The way out to a wire, on which pieces can be late. Order is always kept."""

from __future__ import annotations

import asyncio
from math import inf

from .wire import Wire


class Outlet:
    """Writes to `wire`: each piece `lag` seconds late, and none before `hold` seconds from now.

    With a hold of infinity nothing goes out before `flush`. Pieces that wait are kept in memory without
    a bound; without lag and hold nothing is kept and `write` waits for the wire.
    """

    def __init__(self, wire: Wire, *, lag: float = 0.0, hold: float = 0.0) -> None:
        self.wire = wire
        self._lag = lag
        self._loop = asyncio.get_running_loop()
        self._opens = self._loop.time() + hold
        self._late = bool(lag or hold)
        self._released = asyncio.Event()
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None
        """Sends what is late. Whoever is done with the outlet reaps it, with those of other outlets at once."""

    async def write(self, data: bytes) -> bool:
        """Send a piece, or keep it for later. False if the peer is known to be gone."""
        if not self._late:
            return await self.wire.write(data)
        if self.task is None:
            self.task = asyncio.create_task(self._send_late())
        self._queue.put_nowait((max(self._loop.time() + self._lag, self._opens), data))
        return True

    async def flush(self) -> None:
        """Wait until everything has gone out in its time; what waits for this goes out now."""
        self._released.set()
        await self._queue.join()

    async def _send_late(self) -> None:
        while True:
            due, data = await self._queue.get()
            if due == inf:
                await self._released.wait()
            else:
                await asyncio.sleep(due - self._loop.time())
            await self.wire.write(data)
            self._queue.task_done()
