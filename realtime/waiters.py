"""Whoever waits for the next time something happens: asyncio's futures, first come, first served."""

from __future__ import annotations

import asyncio

__all__ = ["Waiters"]


class Waiters:
    """Whoever waits for the next time something happens, each on a future of its own."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        return bool(self._futures)

    def add(self) -> asyncio.Future[None]:
        """A place in the queue, to be given to wait()."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        return future

    async def wait(self, future: asyncio.Future[None]) -> None:
        """Returns at the next wake()."""
        try:
            await future
        finally:
            if future in self._futures:
                self._futures.remove(future)

    def wake_first(self, count: int) -> None:
        """Wakes the `count` that have waited longest. Who was woken keeps its place until it runs."""
        for future in self._futures[:count]:
            if not future.done():
                future.set_result(None)

    def wake(self) -> None:
        """Wakes all who wait."""
        if self._futures:
            futures, self._futures = self._futures, []
            for future in futures:
                if not future.done():
                    future.set_result(None)
