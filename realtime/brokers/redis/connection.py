"""What the connection for commands and the one for subscriptions share: redis-py makes it, it is made again with
back-off, and of the tasks that serve it the first to end ends all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from ...loops import stop

__all__ = ["Backoff", "Connect", "Living", "in_words", "let_go", "together"]

Connect = Callable[[], Awaitable[AbstractConnection]]
"""Makes a connection, connected. Raises RedisError or OSError."""


class Backoff:
    """How long to wait before the next attempt: from 50 ms on, doubled each time, up to `most` seconds."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._next = 0.05

    def reset(self) -> None:
        """The last attempt succeeded."""
        self._next = 0.05

    def next(self) -> float:
        """Seconds to wait now."""
        now, self._next = self._next, min(self._next * 2, self._most)
        return now


class Living:
    """What lives in a task of its own, from start() to close()."""

    def __init__(self, name: str) -> None:
        self.name: str = name  # without credentials
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to connect."""
        self._task = asyncio.get_running_loop().create_task(self._live(), name=f"realtime broker {self.name}")

    async def close(self) -> None:
        """Ends the connection, and makes no other."""
        task, self._task = self._task, None
        if task is not None:
            await stop(task)

    async def _live(self) -> None:
        """Connects, serves, and again."""
        raise NotImplementedError


async def together(name: str, *parts: Coroutine[Any, Any, None]) -> None:
    """Runs these until one ends, and ends the others. Raises what that one raised."""
    tasks = [asyncio.get_running_loop().create_task(part, name=f"realtime broker {name}") for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def let_go(connection: AbstractConnection) -> None:
    """Closes a connection, whatever state it is in. Waits for it no longer than for a connection to be made."""
    with suppress(RedisError, OSError):
        await connection.disconnect()


def in_words(error: BaseException) -> str:
    """What went wrong, without more than that."""
    return " ".join(str(error).split()) or type(error).__name__
