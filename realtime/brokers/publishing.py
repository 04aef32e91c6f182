"""What this process publishes: in order, asked again while its outcome is unknown, and never sent twice
(docs/scaling.md §5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ..clock import Patience
from ..core.errors import BrokerError
from ..core.publications import Acknowledged, Publication
from ..core.rooms import Position
from ..loops import stop
from .base import Keep, Refused, Store, Unanswered, overdue

__all__ = ["Publishing"]

MAX_WAITING = 10_000  # publishes
MAX_WAITING_SIZE = 64 * 1024 * 1024  # and bytes of them: whoever publishes more is refused at once
NOTHING = Keep()
PAUSE = 0.05  # seconds between two looks whether the store is there again


class Publishing:
    """Publishes of one process, whose ids begin with `source`. Who waits longer than `timeout` seconds is told."""

    def __init__(
        self, store: Store, source: str, timeout: float, acknowledged: Callable[[str, Position], None]
    ) -> None:
        self.known: Acknowledged = Acknowledged()
        self._store = store
        self._source = source
        self._timeout = timeout
        self._acknowledged = acknowledged
        self._number = 0
        self._waiting = self._size = 0
        # By room: those that may not go on before the store is there again, with their numbers.
        self._blocked: dict[str, dict[int, asyncio.Future[None]]] = {}
        self._waker: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Wakes nobody any more."""
        if self._waker is not None:
            await stop(self._waker)

    async def publish(self, room: str, keep: Keep, payload: bytes) -> Position:
        """Publishes; where it stands. Raises BrokerError."""
        if self._waiting >= MAX_WAITING or (self._size and self._size + len(payload) > MAX_WAITING_SIZE):
            raise BrokerError(f"{self._waiting} messages ({self._size} bytes) wait for the broker: it is too slow")
        self._number += 1
        publication = Publication(room, f"{self._source}-{self._number:x}")
        self._waiting += 1
        self._size += len(payload)
        try:
            async with Patience(self._timeout):
                return await self._publish(publication, self._number, keep, payload)
        except TimeoutError:
            raise BrokerError(overdue(self._store, self._timeout), maybe_sent=publication.maybe_sent) from None
        finally:
            self._waiting -= 1
            self._size -= len(payload)

    async def _publish(self, publication: Publication, number: int, keep: Keep, payload: bytes) -> Position:
        room = publication.room
        if self._blocked.get(room):
            await self._turn(room, number)  # behind those that wait
        while True:
            run = self._store.run_of(room)
            if run:
                try:
                    position = await self._store.publish(room, keep, publication.id, payload, publication.attempt(run))
                except Refused:
                    publication.refused()
                except Unanswered:
                    publication.unanswered()
                except BrokerError as error:
                    raise BrokerError(error.reason, maybe_sent=publication.unknown) from None
                else:
                    if position is None:
                        reason = "the broker was restarted before it answered, and knows nothing of this message now"
                        raise BrokerError(reason, maybe_sent=True)
                    self.known.add(room, run, position)
                    self._acknowledged(room, position)
                    return position
            await self._turn(room, number)

    async def publish_as(self, id: str, room: str, keep: Keep, payload: bytes, life: float) -> None:
        """Publishes under an id that somebody else keeps, and under which it is asked again as long as this raises
        BrokerError: the store knows it for `life` seconds, in each run that has the message."""
        run = self._store.run_of(room)
        if not run:
            raise Refused("the broker is away")
        async with Patience(self._timeout):
            position = await self._store.publish(room, keep, id, payload, False, life)
        assert position is not None
        self.known.add(room, run, position)
        self._acknowledged(room, position)

    # -- what may be taken back ----------------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Which runs of the store are still there? Asked by a command that they answer."""
        runs: dict[str, int] = {}
        for part in range(self._store.parts):
            runs.setdefault(self._store.run_at(part), part)
        runs.pop("", None)
        for run, part in runs.items():
            with suppress(BrokerError):
                await self._store.expired(part)
                if self._store.run_at(part) == run:
                    self.known.sweep({run})

    async def compare(self) -> None:
        """What an earlier run of the store has acknowledged is compared with the present one."""
        for name, before, position in self.known.questions(self._store.run_of):
            run = self._store.run_of(name)
            with suppress(BrokerError):
                reading = await self._store.read(name, NOTHING, None, position)
                raising = None
                if run and self._store.run_of(name) == run:
                    raising = self.known.compared(name, before, reading, run)
                if raising is not None:
                    await self._store.raise_epoch(name, NOTHING, *raising)

    # -- waiting for the store -----------------------------------------------------------------------------------------

    async def _turn(self, room: str, number: int) -> None:
        """Waits until the store is there again, and whoever came first has gone on."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._blocked.setdefault(room, {})[number] = future
        if self._waker is None or self._waker.done():
            self._waker = asyncio.get_running_loop().create_task(self._wake(), name="realtime broker publishes")
        try:
            await future
        finally:
            blocked = self._blocked[room]
            del blocked[number]
            if not blocked:
                del self._blocked[room]

    async def _wake(self) -> None:
        while self._blocked:
            await asyncio.sleep(PAUSE)
            for room, blocked in tuple(self._blocked.items()):
                if self._store.run_of(room):
                    for number in sorted(blocked):
                        if not blocked[number].done():
                            blocked[number].set_result(None)
