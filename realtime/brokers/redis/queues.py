"""Queues over Redis, as one worker uses them: see brokers.base.QueueStore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base import Taken
from .nodes import Nodes
from .scripts import Keys, sha

__all__ = ["RedisQueues"]

REPEATS = 60_000  # ms for which the id of a put is remembered
TAKE_SIZE = 1_048_576  # bytes that are taken at once, or one message that is larger


class RedisQueues:
    """Streams with one group."""

    def __init__(self, nodes: Nodes, keys: Keys) -> None:
        self._nodes = nodes
        self._keys = keys

    async def put(self, queue: str, id: str, payload: bytes, most: int) -> bool:
        """Puts a message at the end; False where there is no room."""
        keys = (self._keys.queue(queue), self._keys.put(queue, id))
        return bool(await self._script(queue, "queue_put", keys, (payload, most, REPEATS)))

    async def take(self, queue: str, worker: str, most: int, idle: float | None) -> list[Taken]:
        """The next messages, which are the worker's from now on."""
        rest = (worker, most, TAKE_SIZE, "" if idle is None else int(idle * 1000))
        found = await self._script(queue, "queue_take", self._all(queue), rest)
        return [Taken(bytes(id).decode(), bytes(payload), int(times)) for id, payload, times in found]

    async def keep(self, queue: str, worker: str, ids: Sequence[str]) -> None:
        """The worker is there, and has these."""
        await self._script(queue, "queue_keep", (self._keys.queue(queue),), (worker, *ids))

    async def settle(self, queue: str, ids: Sequence[str]) -> None:
        """These are done."""
        await self._script(queue, "queue_settle", self._all(queue), tuple(ids))

    async def give_back(self, queue: str, worker: str, given: Sequence[tuple[str, int]]) -> None:
        """These are for others, in their old places."""
        said = (each for one in given for each in one)
        await self._script(queue, "queue_give_back", self._both(queue), (worker, *said))

    async def count(self, queue: str) -> int:
        """How many it holds, those that are given and not settled included."""
        return int(await self._nodes.call(self._keys.part(queue), "XLEN", self._keys.queue(queue)))

    def _all(self, queue: str) -> tuple[str, str, str]:
        return *self._both(queue), self._keys.looked(queue)

    def _both(self, queue: str) -> tuple[str, str]:
        return self._keys.queue(queue), self._keys.back(queue)

    async def _script(self, queue: str, name: str, keys: tuple[str, ...], rest: tuple[Any, ...]) -> Any:
        return await self._nodes.call(self._keys.part(queue), "EVALSHA", sha(name), len(keys), *keys, *rest)
