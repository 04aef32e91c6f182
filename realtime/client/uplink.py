"""What goes up beside a stream or a held poll: one POST after the other, and what is done when they do not get through.

How a POST is made is in drivers.py; which transport carries the session is the supervisor's to choose.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from ..core.carrier import Shape

if TYPE_CHECKING:
    from .session import ClientSession

__all__ = ["Sender"]

# After so many in a row that did not get through another transport is looked for: about three seconds by default.
MANY = 6


class Sender:
    """Sends a session's batches by POSTs, as long as its carrier needs that."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._machine = session.machine
        self._failed_in_a_row = 0
        self._since = 0.0  # when the first of them failed
        self._acked = 0  # how much of ours the server had then

    async def run(self) -> None:
        """Sends whatever there is to say until the session is over."""
        from .drivers import post

        session, machine = self._session, self._machine
        while machine.outcome is None:
            await session.uplink_news.wait()
            session.uplink_news.clear()
            while self._needed() and (batch := machine.uplink(session.clock.now())) is not None:
                what = await post(session, batch)
                if what:
                    await self._failed(what)
                else:
                    self.through()

    def through(self) -> None:
        """What goes up has got through, by a POST or on a carrier that takes it along."""
        self._failed_in_a_row = 0

    def _needed(self) -> bool:
        """Whether messages go up by POSTs: beside a stream or a held poll. Plain polls bring them along."""
        carrier = self._machine.carrier
        return carrier is not None and (carrier.codec.shape is Shape.STREAM or carrier.codec.held)

    async def _failed(self, what: str) -> None:
        """A POST was lost or refused: waits, longer each time; after many looks for another way; gives up at last.

        A server that is never told anything takes its client for gone after `resume_window`, however well the stream
        brings what comes down. So this end does not outlast that either.
        """
        machine, session = self._machine, self._session
        if machine.outcome is not None:
            return
        now = session.clock.now()
        if not self._failed_in_a_row or machine.outbox.acked > self._acked:
            self._failed_in_a_row = 0
            self._since, self._acked = now, machine.outbox.acked
        self._failed_in_a_row += 1
        gives_up = self._since + machine.server.lifetime
        if now >= gives_up:
            machine.end(4411, f"nothing that is sent gets through: {what}", now)
            return
        if self._failed_in_a_row % MANY == 0 and self._needed():
            await session.supervisor.doubt_posts(f"what is sent beside it does not get through: {what}")
        least, most = session.settings.backoff
        pause = min(least * 2.0 ** min(self._failed_in_a_row - 1, 60), most) * (0.5 + random.random() / 2)
        now = session.clock.now()
        await session.sleep(min(max(pause, session.come_back_at - now), max(gives_up - now, 0.0)))
