"""One node of Redis, as a worker uses it: a connection for commands, one for subscriptions, and the beat that shows
whether the second hears what the first sends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from ...core.errors import BrokerError
from .ear import Ear
from .link import Link

__all__ = ["Node"]

log: logging.Logger = logging.getLogger("realtime.broker")

MISSING = 2  # beats, until the subscriptions count as deaf


class Node:
    """A node: its link, its ear, its beats every `beat` seconds on a channel that is there for this worker alone."""

    def __init__(self, link: Link, ear: Ear, channel: str, *, beat: float, deaf: Callable[[Node], None]) -> None:
        self.link = link
        self.ear = ear
        self.deafnesses: int = 0
        self.hears: bool = False  # its own beats
        self._channel = channel
        self._beat = beat
        self._deaf = deaf
        self._sent = self._heard = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Its address."""
        return self.link.name

    def start(self) -> None:
        """Begins to connect, and to beat."""
        self.ear.subscribe(self._channel)
        self.link.start()
        self.ear.start()
        self._task = asyncio.get_running_loop().create_task(self._live(), name=f"realtime broker beat {self.name}")

    def beat_on(self, channel: str) -> None:
        """Beats on this channel from now on. In a cluster it is in a slot of the node's: whoever subscribes to any that
        is not there any more is refused, with all its subscriptions."""
        if channel != self._channel:
            self.ear.unsubscribe(self._channel)
            self.ear.subscribe(channel)
            self._channel, self._heard = channel, self._sent

    async def close(self) -> None:
        """Ends both connections."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.ear.close()
        await self.link.close()

    def heard(self, channel: str, data: bytes) -> bool:
        """Whether this was a beat."""
        if channel != self._channel:
            return False
        with suppress(ValueError):
            self._heard = max(self._heard, int(data))
        self.hears = True
        return True

    async def _live(self) -> None:
        command = "SPUBLISH" if self.ear.sharded else "PUBLISH"
        while True:
            await asyncio.sleep(self._beat)
            if not self.link.connected.is_set() or not self.ear.standing:
                self._heard = self._sent  # that nothing comes is known
                self.hears = False
                continue
            if self._sent - self._heard >= MISSING:
                self._heard = self._sent
                self.hears = False
                self.deafnesses += 1
                log.warning("! %s: %d beats were not heard; subscribing again", self.name, MISSING)
                self._deaf(self)
                self.ear.renew()
                continue
            self._sent += 1
            with suppress(BrokerError):
                await self.link.call(command, self._channel, str(self._sent))
