"""Distance: the time that bytes take on their way, without anything else that a network does to them.

A relay of bytes in front of the proxy's own listener. It knows neither HTTP nor faults, so all that those do lies
behind the same distance: a cut, too, is seen half a round trip later.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Literal, TypeAlias

from .faults import End
from .tasks import reap
from .wire import READ_SIZE, Wire

MOST_ON_THE_WAY = 64 * 1024 * 1024
"""Bytes that one direction of a connection holds at the most; then its sender waits, as for a window of that size."""

# What is on its way: when it arrives, and bytes or an end.
Item: TypeAlias = tuple[float, bytes | Literal["fin", "rst"]]


class Distance:
    """How far away the server is: a round trip takes `latency` seconds, and up to `jitter` more."""

    def __init__(self, latency: float, jitter: float, random: Random | None) -> None:
        """Raises ValueError for negative times, and for jitter without a `random`."""
        if not (0 <= latency < float("inf") and 0 <= jitter < float("inf")):
            raise ValueError("latency and jitter are seconds, 0 or more, and finite")
        if jitter and random is None:
            raise ValueError("jitter needs a random: FaultProxy(…, random=Random(seed))")
        self.latency = latency
        self.jitter = jitter
        self._random = random

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self.latency or self.jitter)

    def one_way(self) -> float:
        """How many seconds the next bytes are on their way."""
        late = self._random.random() * self.jitter if self._random is not None else 0.0
        return (self.latency + late) / 2

    async def relay(self, client: Wire, proxy: Wire) -> None:
        """Passes on what each side sends, and how it ends, until both directions have ended.

        The connection costs its client a round trip before anything passes, as the handshake of TCP does: the one of
        this machine took no time. In the end the proxy's side is given back; the client's is the caller's.
        """
        opens = asyncio.get_running_loop().time() + self.one_way() + self.one_way()
        ways = {
            asyncio.create_task(_Way(self, client, proxy, opens).run()),
            asyncio.create_task(_Way(self, proxy, client, opens).run()),
        }
        try:
            while ways:
                done, ways = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                if any(way.result() == "rst" for way in done):
                    return
        finally:
            await reap(*ways)
            proxy.abort()
            await proxy.closed()


class _Way:
    """One direction of a connection."""

    def __init__(self, distance: Distance, source: Wire, sink: Wire, opens: float) -> None:
        self._distance = distance
        self._source = source
        self._sink = sink
        self._opens = opens
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Item] = asyncio.Queue()
        self._size = 0
        self._room = asyncio.Event()

    async def run(self) -> End:
        """Passes everything on. How it ended: "rst" ends the other direction as well."""
        reading = asyncio.create_task(self._read())
        last = self._opens
        try:
            while True:
                due, item = await self._items.get()
                last = max(due, last)  # order is kept, however the times jitter
                await asyncio.sleep(last - self._loop.time())
                if item == "fin":
                    self._sink.send_fin()
                    return "fin"
                if item == "rst":
                    self._sink.reset()
                    return "rst"
                assert isinstance(item, bytes)
                if not await self._sink.write(item):
                    # There is nobody: who sends hears so, in its time.
                    await asyncio.sleep(self._distance.one_way())
                    self._source.reset()
                    return "rst"
                self._size -= len(item)
                self._room.set()
        finally:
            await reap(reading)

    async def _read(self) -> None:
        """Takes what the source sends, at once: much may be on its way at the same time."""
        source = self._source
        while await source.more():
            data = source.take(READ_SIZE)
            self._size += len(data)
            self._items.put_nowait((self._arrives(), data))
            while self._size > MOST_ON_THE_WAY:
                self._room.clear()
                await self._room.wait()
        self._items.put_nowait((self._arrives(), "rst" if source.was_reset else "fin"))

    def _arrives(self) -> float:
        return max(self._loop.time(), self._opens) + self._distance.one_way()
