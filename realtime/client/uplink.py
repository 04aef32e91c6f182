"""What goes up by POSTs of its own: a session's batches beside a stream or a held poll, one after the other, and at the
very end the ack of the server's close; and what is done when they do not get through.

Which transport carries the session is the supervisor's to choose.
"""

from __future__ import annotations

from ..core.carrier import NumberedCarrier, Shape
from ..core.client_machine import Uplink
from ..protocols.native import parse_refusal, uplink_frames
from .authorization import Authorization
from .context import Context
from .exchange import LOST, POST, failed, request
from .links import PollLink
from .supervisor import Supervisor

__all__ = ["Sender", "acknowledge_close"]

# After so many in a row that did not get through another transport is looked for: about three seconds by default.
MANY = 6
FINAL_ACK_TRIES = 4


class Sender:
    """Sends a session's batches by POSTs, as long as its carrier needs that."""

    def __init__(self, context: Context, supervisor: Supervisor, authorization: Authorization) -> None:
        self._context = context
        self._machine = context.machine
        self._ledger = context.ledger
        self._supervisor = supervisor
        self._authorization = authorization
        self._since = 0.0  # when the first of those failed that failed in a row
        self._acked = 0  # how much of ours the server had then

    async def run(self) -> None:
        """Sends whatever there is to say until the session is over."""
        context, machine = self._context, self._machine
        while machine.outcome is None:
            await context.uplink_news.wait()
            context.uplink_news.clear()
            while self._needed() and (batch := machine.uplink(context.clock.now())) is not None:
                what = await self._post(batch)
                if what:
                    await self._failed(what)
                else:
                    self._ledger.posts_failed_in_a_row = 0

    def _needed(self) -> bool:
        """Whether messages go up by POSTs: beside a stream or a held poll. Plain polls bring them along."""
        carrier = self._machine.carrier
        return carrier is not None and (carrier.codec.shape is Shape.STREAM or carrier.codec.held)

    async def _post(self, batch: Uplink) -> str:
        """Sends one uplink batch. Returns "" once it was answered, else what became of it."""
        context, machine = self._context, self._machine
        try:
            frames = await request(context, "send", uplink_frames(POST, batch), context.settings.post_timeout)
        except LOST as error:
            machine.uplink_lost(batch)
            return failed(context, "send", error).what
        except BaseException:
            machine.uplink_lost(batch)
            raise
        end = context.feed(NumberedCarrier(POST, PollLink(), context.clock.now()), frames)
        if end is not None and machine.outcome is None:
            if end.refusal is not None and end.refusal.code == 4401:
                await self._authorization.renew(end.refusal)
            machine.uplink_lost(batch)  # refused without prejudice to the session: wait, and try again
            return end.what
        machine.uplink_answered(batch, context.clock.now())
        return ""

    async def _failed(self, what: str) -> None:
        """A POST was lost or refused: waits, longer each time; after many looks for another way; gives up at last.

        A server that is never told anything takes its client for gone after `resume_window`, however well the stream
        brings what comes down. So this end does not outlast that either.
        """
        machine, context, ledger = self._machine, self._context, self._ledger
        if machine.outcome is not None:
            return
        now = context.clock.now()
        if not ledger.posts_failed_in_a_row or machine.outbox.acked > self._acked:
            ledger.posts_failed_in_a_row = 0
            self._since, self._acked = now, machine.outbox.acked
        ledger.posts_failed_in_a_row += 1
        gives_up = self._since + machine.server.lifetime
        if now >= gives_up:
            machine.end(4411, f"nothing that is sent gets through: {what}", now)
            return
        if ledger.posts_failed_in_a_row % MANY == 0 and self._needed():
            await self._supervisor.doubt_posts(f"what is sent beside it does not get through: {what}")
        pause = context.settings.pause(ledger.posts_failed_in_a_row - 1)
        now = context.clock.now()
        await context.sleep(min(max(pause, context.come_back_at - now), max(gives_up - now, 0.0)))


async def acknowledge_close(context: Context) -> None:
    """Tells the server that its close has arrived, where no WebSocket can (docs/protocol.md §8)."""
    frames = uplink_frames(POST, context.machine.aside())
    least, most = context.settings.backoff
    for attempt in range(FINAL_ACK_TRIES):
        if attempt:
            await context.sleep(min(least * 2.0 ** (attempt - 1), most, 2.0))
        try:
            (frame, *_) = await request(context, "send", frames, min(2.0, context.settings.post_timeout))
        except LOST:
            continue
        if not (isinstance(frame, str) and frame[:1] == "x" and parse_refusal(frame).scope == "carrier"):
            return
