"""What goes up by POSTs of its own: a session's batches beside a stream or a held poll, one after the other, and at the
very end the ack of the server's close.

What is done when they do not get through is the policy's to choose.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from ..core.carrier import NumberedCarrier, Shape
from ..core.client_machine import Uplink
from ..loops import ends
from ..protocols.native import parse_refusal, uplink_frames
from .authorization import Authorization
from .context import Context
from .ends import CarrierEnd
from .exchange import LOST, POST, failed, request, waiting
from .links import PollLink

__all__ = ["Sender", "acknowledge_close", "say_end"]

log: logging.Logger = logging.getLogger("realtime.session")

FINAL_ACK_TRIES = 4


class Sender:
    """Sends a session's batches by POSTs, as long as its carrier needs that."""

    def __init__(self, context: Context, authorization: Authorization) -> None:
        self._context = context
        self._machine = context.machine
        self._policy = context.policy
        self._authorization = authorization
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sends whatever there is to say until the session is over."""
        self._task = self._context.spawn(self._run(), "uplink")

    @property
    def was_cancelled(self) -> bool:
        """Whether somebody else has cancelled it, as an event loop that ends does to all tasks."""
        return self._task is not None and self._task.cancelling() > 0

    def network_changed(self) -> None:
        """What is under way may never be answered: it is repeated at once. Numbers make that safe."""
        if self._task is not None:
            self._task.cancel()
            self.start()
            self._context.uplink_news.set()

    async def _run(self) -> None:
        context, machine, policy = self._context, self._machine, self._policy
        while machine.outcome is None:
            await context.uplink_news.wait()
            context.uplink_news.clear()
            while self._needed() and (batch := machine.uplink(context.clock.now())) is not None:
                end = await self._post(batch)
                if end is None:
                    context.tell(policy.post_answered)
                    continue
                context.tell(policy.post_failed, end.what, end.wait)
                await context.sleep(max(policy.post_at - context.clock.now(), 0.0))

    def _needed(self) -> bool:
        """Whether messages go up by POSTs: beside a stream or a held poll. Plain polls bring them along."""
        carrier = self._machine.carrier
        return carrier is not None and (carrier.codec.shape is Shape.STREAM or carrier.codec.held)

    async def _post(self, batch: Uplink) -> CarrierEnd | None:
        """Sends one uplink batch. Returns None once it was answered, else what became of it: it is due again."""
        context, machine = self._context, self._machine
        end: CarrierEnd | None
        try:
            try:
                parts = uplink_frames(POST, batch)
                frames, wait = await request(context, "send", parts, context.settings.post_timeout)
                carrier = NumberedCarrier(POST, PollLink(), context.clock.now())
                machine.following.sends(carrier, batch.tenure)
                end = waiting(context.feed(carrier, frames), wait)
            except LOST as error:
                return failed(context, "send", error)
            if end is None or machine.outcome is not None:
                machine.uplink_answered(batch, context.clock.now())
                return None
            # Refused without prejudice to the session: wait, and try again.
            if end.refusal is not None and end.refusal.code == 4401:
                await self._authorization.renew(end.refusal)
            return end
        except BaseException as error:
            if ends(error):
                raise
            # A bug of ours, or of what it stands on: this batch is lost, and no more than that.
            log.error("a send of session %s failed", machine.label, exc_info=error)
            return CarrierEnd("send", f"this client failed: {error!r}")
        finally:
            machine.uplink_lost(batch)  # unless it was answered


async def say_end(context: Context) -> None:
    """Tells the server of an abrupt end that no WebSocket can tell it. It finds out by itself if this is lost."""
    machine = context.machine
    assert machine.outcome is not None
    code, reason, _ = machine.outcome
    end = POST.abrupt(code, "session", machine.inbox.received, reason)
    with suppress(*LOST):
        parts = [*uplink_frames(POST, machine.aside()), end]
        await request(context, "send", parts, min(2.0, context.settings.post_timeout))


async def acknowledge_close(context: Context) -> None:
    """Tells the server that its close has arrived, where no WebSocket can (docs/protocol.md §8)."""
    frames = uplink_frames(POST, context.machine.aside())
    least, most = context.settings.backoff
    for attempt in range(FINAL_ACK_TRIES):
        if attempt:
            await context.sleep(min(least * 2.0 ** (attempt - 1), most, 2.0))
        try:
            (frame, *_), _ = await request(context, "send", frames, min(2.0, context.settings.post_timeout))
            if not (isinstance(frame, str) and frame[:1] == "x" and parse_refusal(frame).scope == "carrier"):
                return
        except LOST:
            continue
