"""Numbered messages both ways: each side says at once what was lost, repeated or reordered on the way to it.

Used by the panel whose network is broken, in this process and in a child: verify(), and count_on() where a store keeps
the session. Knows sessions and nothing of the web.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from ..core.errors import SessionClosed
from ..session import Session

__all__ = ["SETTINGS", "Count", "count_on", "verify"]

# Of the endpoint: short enough that a silent network is found out while somebody watches.
SETTINGS: dict[str, Any] = {"ping_interval": 4.0, "ping_timeout": 4.0, "max_size": 4096, "max_message_rate": 200.0}
PACES = (0.02, 5.0)  # seconds between messages
MOST_MISSING = 1000


class Count:
    """Counts messages that are numbered from 1, on from what stored() gave."""

    def __init__(self, stored: Mapping[str, Any] = {}) -> None:  # nobody writes to it
        self.received: int = stored.get("received", 0)
        self.repeated: int = stored.get("repeated", 0)
        self.reordered: int = stored.get("reordered", 0)
        self._last: int = stored.get("last", 0)
        self._missing: set[int] = set(stored.get("missing", ()))

    @property
    def lost(self) -> int:
        """Numbers that were passed over and have not come since."""
        return len(self._missing)

    def take(self, number: int) -> None:
        """A message has come."""
        self.received += 1
        if number > self._last:
            room = MOST_MISSING - len(self._missing)
            self._missing.update(range(self._last + 1, min(number, self._last + 1 + room)))
            self._last = number
        elif number in self._missing:
            self._missing.remove(number)
            self.reordered += 1
        else:
            self.repeated += 1

    def as_dict(self) -> dict[str, int]:
        """The four counts."""
        names = ("received", "lost", "repeated", "reordered")
        return {name: getattr(self, name) for name in names}

    def stored(self) -> dict[str, Any]:
        """All that another one needs to count on, in JSON."""
        return {**self.as_dict(), "last": self._last, "missing": sorted(self._missing)}


async def verify(session: Session) -> None:
    """A handler: counts what comes, and sends numbered messages that carry its counts.

    The client's messages are {"n": number, "pace": seconds or null}. At that pace it is sent to; with null, only when
    it has said something.
    """
    count = Count()
    pace: float | None = None
    news = asyncio.Event()

    async def talk() -> None:
        number = 0
        with contextlib.suppress(SessionClosed):
            while True:
                if pace is None:
                    await news.wait()
                else:
                    await asyncio.sleep(pace)
                news.clear()
                number += 1
                await session.send(json.dumps({"n": number, "up": count.as_dict()}))

    talking = asyncio.create_task(talk())
    try:
        async for message in session:
            asked = _read(message)
            if asked is None:
                await session.close(4000, 'a message is {"n": number, "pace": seconds or null}')
                return
            number, pace = asked
            count.take(number)
            news.set()
    finally:
        talking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await talking


async def count_on(session: Session) -> None:
    """A handler of a durable session: the same, and what it has counted outlives its process. It answers each message,
    at the client's pace: so all that it does belongs to a turn.
    """
    count = Count(session.data.get("count", {}))
    async for message in session:
        asked = _read(message)
        if asked is None:
            await session.close(4000, 'a message is {"n": number, "pace": seconds or null}')
            return
        count.take(asked[0])
        number = session.data["number"] = session.data.get("number", 0) + 1
        session.data["count"] = count.stored()
        await session.send(json.dumps({"n": number, "up": count.as_dict()}))


def _read(message: str | bytes) -> tuple[int, float | None] | None:
    try:
        fields = json.loads(message)
        number, pace = fields["n"], fields["pace"]
        if type(number) is not int or number < 1:
            return None
        return number, None if pace is None else min(max(PACES[0], float(pace)), PACES[1])  # of a NaN the least
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
