"""Waiting for the next time something happens, on asyncio's futures: first come, first served."""

from __future__ import annotations

import asyncio

__all__ = ["Waiters"]


class Waiters:
    """The coroutines that wait for the next time something happens, each on a future of its own."""

    __slots__ = ("futures",)

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[None]] = []  # of those who wait, and of those who were woken and have not run

    def __bool__(self) -> bool:
        return bool(self.futures)

    def add(self) -> asyncio.Future[None]:
        """A place in the queue, to be given to wait()."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return future

    def leave(self, future: asyncio.Future[None]) -> None:
        """Its wait is over."""
        if future in self.futures:
            self.futures.remove(future)

    async def wait(self, future: asyncio.Future[None]) -> None:
        """Returns at the next wake()."""
        try:
            await future
        finally:
            self.leave(future)

    def wake_first(self, count: int) -> None:
        """Wakes the `count` that have waited longest. Who was woken keeps its place until it runs."""
        for future in self.futures[:count]:
            if not future.done():
                future.set_result(None)

    def wake(self) -> None:
        """Wakes all who wait."""
        if self.futures:
            futures, self.futures = self.futures, []
            for future in futures:
                if not future.done():
                    future.set_result(None)
