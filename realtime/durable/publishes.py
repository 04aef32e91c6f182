"""What durable sessions have committed to publish to rooms: published behind the commit, in order, and once
(docs/protocol.md §13.2).

Each is in the session's record until the broker has it, and has an id by its commit: whoever finds it there, this
worker or another one, publishes it under that, and the broker takes it once.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..brokers.excuses import excuse
from ..brokers.messages import encoded
from ..brokers.publishing import NOTHING
from ..core.durable.changes import Change, Published, Touch
from ..core.durable.owner import Owner
from ..core.durable.record import Publish
from ..core.errors import BrokerError
from ..core.frames import Outgoing
from ..hub import Hub
from ..loops import begin, ends

__all__ = ["FRESH", "MOST_PAUSE", "PAUSE", "Publishing", "publish"]

# Seconds between two attempts at a broker that does not answer, at first and at most.
PAUSE = 0.05
MOST_PAUSE = 0.5
# For so many seconds what the store has said of a session is believed. A worker that stood still for longer asks again
# before it publishes: another one may have published that long ago, and the broker have forgotten it.
FRESH = 30.0
# The broker remembers an id as long as it may take others to find what a worker has left, and for so many seconds in
# which no worker may have been there.
REMEMBERED = 600.0


async def publish(hub: Hub, one: Publish, life: float, until: float) -> None:
    """One attempt, up to this time of the loop. `life`: after how many seconds a session is looked at that nobody has.
    Raises BrokerError."""
    if asyncio.get_running_loop().time() > until:
        raise BrokerError("what is known of the session is too old")
    rooms = hub.rooms
    keep = None if hub.keep is None else hub.keep(one.room)
    payload = encoded(Outgoing.message(one.data), frozenset())
    try:
        await rooms._publishing.publish_as(one.id, one.room, keep or NOTHING, payload, 2 * life + REMEMBERED)
    except TimeoutError:
        raise BrokerError("no answer from the broker", maybe_sent=True) from None
    rooms.counts.published += 1


class Holder(Protocol):
    """Who has the session at this worker, and writes it."""

    owner: Owner
    running: bool
    confirmed: float

    def change(self, change: Change) -> asyncio.Future[bool]:
        """What the next write does, too. True when it is stored, False if it never will be."""


class Publishing:
    """What one session has to publish, while this worker has it."""

    def __init__(self, holding: Holder, hub: Hub, life: float) -> None:
        self._holding = holding
        self._hub = hub
        self._life = life
        self._task: asyncio.Task[None] | None = None

    def due(self) -> None:
        """There may be something to publish."""
        holding = self._holding
        if self._task is None and holding.running and holding.owner.record.publishes:
            self._task = begin(self._publish(), "realtime durable publishes")

    def stop(self) -> None:
        """This worker has the session no more."""
        if self._task is not None:
            self._task.cancel()

    async def _publish(self) -> None:
        holding = self._holding
        try:
            while waiting := holding.owner.record.publishes:
                for one in waiting:
                    if not await self._publish_one(one):
                        return
                if not await holding.change(Published(frozenset(one.id for one in waiting))):
                    return
        finally:
            self._task = None

    async def _publish_one(self, one: Publish) -> bool:
        """Until the broker has it; False where this worker has the session no more."""
        holding, loop, pause = self._holding, asyncio.get_running_loop(), PAUSE
        while True:
            if loop.time() > holding.confirmed + FRESH and not await holding.change(Touch()):
                return False
            try:
                await publish(self._hub, one, self._life, holding.confirmed + FRESH)
                return True
            except BaseException as error:
                if ends(error):
                    raise
                if pause == PAUSE:  # once is enough
                    excuse(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, MOST_PAUSE)
