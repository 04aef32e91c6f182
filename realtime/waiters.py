"""Waiting for the next time something happens, on asyncio's futures: first come, first served. And going on in the very
turn of the event loop in which it has happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Never

__all__ = ["Receivers", "Waiters", "Wakeups"]


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


class Wakeups:
    """Has a task that waits go on in the very turn of the event loop that brings what it waits for, where set_result()
    has it go on in the next: when what has come is read, so that nothing of an application runs in the middle of that.
    """

    __slots__ = ("collecting", "woken")

    def __init__(self) -> None:
        self.collecting: bool = False  # something is read
        self.woken: asyncio.Future[None] | None = None  # by that; a second one goes on in the next turn

    def during(self, read: Callable[[bytes], object], data: bytes) -> None:
        """Reads what has come, and then has who was woken by that go on. To be called from the event loop: where a task
        is running, no other can go on before the next turn, and neither does this one's."""
        self.collecting = True
        try:
            read(data)
        finally:
            self.collecting = False
            future, self.woken = self.woken, None
            if future is not None and not future.done():
                callbacks = getattr(future, "_callbacks", None)
                if callbacks and len(callbacks) == 1:  # that is a task's, which goes on by it
                    ((callback, context),) = callbacks
                    future.remove_done_callback(callback)
                    future.set_result(None)
                    try:
                        context.run(callback, future)
                    except RuntimeError:  # of asyncio, or the context: what a task raises is told to who waits for that
                        future.add_done_callback(callback, context=context)
                    except (SystemExit, KeyboardInterrupt) as error:  # the loop's; some take it for the connection's
                        future.get_loop().call_soon(_raise, error)
                else:
                    future.set_result(None)


def _raise(error: BaseException) -> Never:
    raise error
