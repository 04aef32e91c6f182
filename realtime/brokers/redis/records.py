"""Durable sessions over Redis: a session, the index of its partition, and what is left for workers, in the slot of its
sid.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ...core.durable.encoding import read, written
from ...core.durable.owner import Write
from ...core.durable.takeover import Notice, indexed
from ...core.errors import BrokerError
from ..base import Sight, Unreadable
from .nodes import Nodes
from .scripts import Keys, ms, sha

__all__ = ["RedisRecords"]

REPLICATION = 1000  # ms that a takeover waits for a replica, where there is one
BEHIND = 10.0  # seconds in which no replica is waited for where one was not there in time
NOTICES = 1000  # of one answer
NOTICES_LIFE = 3_600_000  # ms for which notices are kept that nobody reads


class _Copying:
    """How far what was written at one node is known to be at a replica, too. All are asked about together: until there
    is an answer, Redis says nothing else on that connection."""

    def __init__(self) -> None:
        self.written = self.copied = 0  # how many takeovers
        self.again = 0.0  # when a replica may be waited for
        self.lock = asyncio.Lock()


class RedisRecords:
    """Durable sessions, as one worker uses them."""

    def __init__(self, nodes: Nodes, keys: Keys) -> None:
        self._nodes = nodes
        self._keys = keys
        self._copying: dict[str, _Copying] = {}  # by the name of a node

    async def load(self, sid: str) -> Sight | None:
        """What there is of a session."""
        answer = await self._script(self.home(sid), "record_load", (self._keys.record(sid),))
        if not answer:
            return None
        try:
            return Sight(read(_text(answer[0])), int(answer[1]) / 1000)
        except ValueError as error:
            raise Unreadable(f"session {sid}: {error}") from None

    async def put(self, sid: str, write: Write, life: float, notice: Notice | None = None, to: str = "") -> str:
        """Writes, if the write that it expects is there; the id of the one that is there then."""
        part, record = self.home(sid), write.record
        keys = (self._keys.record(sid), self._keys.due(part), self._keys.notices(part, to))
        left = "" if notice is None else _line(notice)
        kept = (ms(life), int(indexed(record)), left, NOTICES_LIFE)
        text = written(record).encode("utf-8", "surrogatepass")
        found = _text(await self._script(part, "record_put", keys, write.expected, record.id, text, sid, *kept))
        if to and found == record.id:
            await self._replicated(part)
        return found

    async def id(self, sid: str) -> str:
        """The id of the write that is there."""
        answer = await self._nodes.call(self.home(sid), "HGET", self._keys.record(sid), "i")
        return "" if answer is None else _text(answer)

    def home(self, sid: str) -> int:
        """The partition of a session."""
        return self._keys.part(sid)

    async def notices(self, part: int, worker: str) -> list[Notice]:
        """What was left for a worker."""
        found = await self._nodes.call(part, "LRANGE", self._keys.notices(part, worker), 0, NOTICES - 1)
        return [Notice(*_text(one).split(" ")) for one in found]

    async def noticed(self, part: int, worker: str, notices: Sequence[Notice]) -> None:
        """These are done with."""
        done = [_line(notice) for notice in notices]
        await self._script(part, "records_noticed", (self._keys.notices(part, worker),), *done)

    async def due(self, part: int, most: int, longest: float = math.inf) -> list[str]:
        """Sessions that are to be looked at."""
        last = "" if longest == math.inf else ms(longest)
        return [_text(sid) for sid in await self._script(part, "records_due", (self._keys.due(part),), most, last)]

    async def postpone(self, sid: str, seconds: float) -> None:
        """It is due again later."""
        part = self.home(sid)
        keys = (self._keys.due(part), self._keys.record(sid))
        await self._script(part, "record_postpone", keys, sid, int(seconds * 1000))

    async def _replicated(self, part: int) -> None:
        """A takeover waits for a replica, if there is one, though not for long; with others that were written by then,
        and not where a replica was late just now."""
        now = asyncio.get_running_loop().time
        copying = self._copying.setdefault(self._nodes.name_at(part), _Copying())
        copying.written += 1
        mine = copying.written
        async with copying.lock:
            if copying.copied >= mine or now() < copying.again:
                return
            written = copying.written
            with suppress(BrokerError):
                if b"connected_slaves:0" not in await self._nodes.call(part, "INFO", "replication"):
                    seconds = REPLICATION / 1000
                    if not await self._nodes.call(part, "WAIT", 1, REPLICATION, patience=seconds):
                        copying.again = now() + BEHIND
            copying.copied = written

    async def _script(self, part: int, name: str, keys: tuple[str, ...], *rest: Any) -> Any:
        return await self._nodes.call(part, "EVALSHA", sha(name), len(keys), *keys, *rest)


def _line(notice: Notice) -> str:
    return f"{notice.session} {notice.tenure}"


def _text(answer: Any) -> str:
    return bytes(answer).decode("utf-8", "surrogatepass")
