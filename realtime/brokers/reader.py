"""What is asked of a store about a room, until there is an answer: its history, and who is present."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, TypeVar

from ..clock import Patience
from ..core.errors import BrokerError
from ..core.rooms import Position, Reading
from .base import Keep, Present, Refused, Store, Unanswered, overdue
from .messages import decoded
from .publishing import PAUSE

__all__ = ["Past", "Reader"]

T = TypeVar("T")


class Past(NamedTuple):
    """What a room's history has."""

    messages: list[tuple[str, str | bytes]]  # each with its cursor
    gap: bool  # what was asked for is not there any more
    cursor: str  # behind all of it


class Reader:
    """Asks what may be asked twice. Who waits longer than `timeout` seconds is told, by BrokerError."""

    def __init__(self, store: Store, timeout: float) -> None:
        self._store = store
        self._timeout = timeout

    async def history(self, name: str, keep: Keep, limit: int, after: Position | None) -> Past:
        """At most `limit` messages: those behind `after`, or the last ones."""
        messages: list[tuple[str, str | bytes]] = []
        gap, position, end = False, after, None
        async with self._limit():
            while True:
                behind, last = position, 0 if position else limit
                reading = await self._ask(name, partial(self._store.read, name, keep, behind, behind, last))
                end = end or reading.end
                if position is not None and not gap:
                    known = reading.id_at(position.offset)
                    gap = position.epoch != reading.epoch or position.offset > reading.top or known is None
                    gap = gap or reading.contradicts(position)
                for entry in reading.entries[: limit - len(messages)]:
                    found = decoded(entry.payload)
                    position = entry.position
                    if found is not None:
                        messages.append((position.cursor, found[0].data))
                if len(messages) >= limit or not reading.more:
                    return Past(messages, gap, (position if messages and position else end).cursor)

    async def reading(self, name: str, keep: Keep, after: Position | None, last: int) -> Reading:
        """Where a room stands, with what is behind `after`, or the `last` messages. Raises BrokerError."""
        async with self._limit():
            return await self._ask(name, partial(self._store.read, name, keep, after, after, last))

    async def clear(self, name: str) -> None:
        """Forgets the messages of a room. Raises BrokerError."""
        async with self._limit():
            await self._ask(name, partial(self._store.clear, name))

    async def count(self, name: str) -> int:
        """How many are present. Raises BrokerError."""
        async with self._limit():
            return await self._ask(name, partial(self._store.count, name))

    async def members(self, name: str) -> list[Present]:
        """Who is present. Raises BrokerError."""
        async with self._limit():
            return await self._ask(name, partial(self._store.members, name))

    async def _ask(self, name: str, question: Callable[[], Awaitable[T]]) -> T:
        """Asks what may be asked twice, until there is an answer."""
        while True:
            try:
                return await question()
            except (Refused, Unanswered):
                await asyncio.sleep(PAUSE)
                await self._store.reached(name)

    @asynccontextmanager
    async def _limit(self) -> AsyncIterator[None]:
        try:
            async with Patience(self._timeout):
                yield
        except TimeoutError:
            raise BrokerError(overdue(self._store, self._timeout)) from None
