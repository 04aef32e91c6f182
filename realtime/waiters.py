"""Waiting for the next time something happens, on asyncio's futures: first come, first served."""

from __future__ import annotations

import asyncio

__all__ = ["Receivers", "Waiters"]


class Waiters(list["asyncio.Future[None]"]):
    """The coroutines that wait for the next time something happens, each on a future of its own: of those who wait, and
    of those who were woken and have not run."""

    __slots__ = ()

    def add(self) -> asyncio.Future[None]:
        """A place in the queue, to be given to wait()."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.append(future)
        return future

    def leave(self, future: asyncio.Future[None]) -> None:
        """Its wait is over."""
        if future in self:
            self.remove(future)

    async def wait(self, future: asyncio.Future[None]) -> None:
        """Returns at the next wake()."""
        try:
            await future
        finally:
            self.leave(future)

    def wake_first(self, count: int) -> None:
        """Wakes the `count` that have waited longest. Who was woken keeps its place until it runs."""
        for future in self[:count]:
            if not future.done():
                future.set_result(None)

    def wake(self) -> None:
        """Wakes all who wait."""
        if self:
            futures = self[:]
            self.clear()
            for future in futures:
                if not future.done():
                    future.set_result(None)


class Receivers:
    """The same for what mostly one waits for, and for long: that one's future is not in a list."""

    __slots__ = ("first", "others")

    def __init__(self) -> None:
        self.first: asyncio.Future[None] | None = None  # who waits, or was woken and has not run; longest of all
        self.others: Waiters | None = None  # who came after that one, if any

    def enter(self) -> asyncio.Future[None]:
        """A place in the queue: a future to wait for."""
        if self.first is not None:
            if self.others is None:
                self.others = Waiters()
            return self.others.add()
        self.first = asyncio.get_running_loop().create_future()
        return self.first

    def leave(self, future: asyncio.Future[None]) -> None:
        """Its wait is over."""
        if self.others is not None:
            if self.first is future:
                self.first = self.others.pop(0)
            else:
                self.others.leave(future)
            if not self.others:
                self.others = None
        elif self.first is future:
            self.first = None

    def wake_first(self, count: int) -> None:
        """Wakes the `count` that have waited longest. Who was woken keeps its place until it runs."""
        if count and self.first is not None:
            if not self.first.done():
                self.first.set_result(None)
            if self.others is not None:
                self.others.wake_first(count - 1)

    def wake_all(self) -> None:
        """Wakes all who wait."""
        self.wake_first(1)
        self.first = None
        if self.others is not None:
            others, self.others = self.others, None
            others.wake()
