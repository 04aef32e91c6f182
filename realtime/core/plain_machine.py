"""The server's end of a session whose protocol neither numbers nor acknowledges.

One carrier at a time, and no resuming: what was written counts as delivered, and a carrier that is cut ends the
session. Between two polls, and between two streams, a client has `resume_window` to come again. Without windows in the
protocol, whoever feeds messages asks `inbox.has_room` first, and stops reading meanwhile: so long it is `waiting`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .carrier import DUPLEX, POLL, STREAM, Capabilities, Carrier
from .config import Config
from .errors import Refusal, RemoteProtocolError
from .frames import BINARY, Outgoing, Window
from .inbox import Received
from .lifecycle import DRAINING, OPEN, Event, State
from .machine import FOREVER, Listener
from .server_machine import ServerMachine

__all__ = ["INTERRUPTED", "NO_WINDOW", "PlainMachine"]

# The code of a session whose carrier was cut: no close was exchanged.
INTERRUPTED = 1006
# What a peer that announces no window is taken to take.
NO_WINDOW = Window(2**53, 2**53)


class PlainMachine(ServerMachine):
    """The server's end. See ServerMachine for what else it is made with."""

    __slots__ = ("capabilities", "reachable_for", "waiting")

    # The bases' own, named again for type checkers that would guess from what is assigned here.
    absent_at: float
    contact: float
    gen: int
    transport: str

    def __init__(
        self,
        config: Config,
        peer_window: Window,
        listener: Listener,
        now: float,
        *facts: Any,
        capabilities: Capabilities,
        **named: Any,
    ) -> None:
        super().__init__(config, peer_window, listener, now, *facts, **named)
        self.capabilities: Capabilities = capabilities
        self.waiting: int = 0  # how many wait for room in the inbox: the peer's silence is our doing
        # For how many seconds the client can have come by any worker, where that can change; None: always.
        self.reachable_for: Callable[[], float] | None = None

    selective = True
    acknowledges = False

    def unfit(self, item: Outgoing) -> str:
        """Why the wire protocol can't carry this message; empty when it can."""
        if item.kind != BINARY or self.capabilities.binary:
            return ""
        return f"{self.capabilities.protocol} carries text only: send a str to this client, such as base64"

    @property
    def remembered(self) -> float:
        """For how many seconds after its end requests are told how the session ended; none for a session without a
        name."""
        assert self.outcome is not None
        return self.config.resume_window if self.nonce and self.outcome.code != 4410 else 0.0

    # -- carriers --------------------------------------------------------------------------------------------------

    def take_up(self, carrier: Carrier, now: float) -> None:
        """Takes up a carrier; the session's first is told so.

        Raises Refusal when the session has ended, and when another carrier carries it (4409).
        """
        if self.outcome is not None:
            raise self.refusal()
        if self.carrier is not None:
            raise Refusal(4409, "another connection is still open")
        self._carry(carrier, now)

    def _carry(self, carrier: Carrier, now: float) -> None:
        """The carrier is the session's from here."""
        gen = self.gen + 1
        if self.observers:
            self._observe(carrier.codec.name, gen, now)
        first, self.gen, carrier.gen = not self.gen, gen, gen
        self.used = True
        self.contact = carrier.last_received = carrier.last_written = carrier.last_pinged = now
        carrier.send_cursor = self.outbox.acked + 1
        carrier.attached = True
        self.carrier = carrier
        self.transport = carrier.codec.name
        before = self.state
        self._move(Event.ATTACH)
        if before is self.state:
            self.listener.changed(before, before)
        if first:
            self._greet(carrier, now)
        self.wake_by(self.deadline())
        self.listener.dirty()

    def _greet(self, carrier: Carrier, now: float) -> None:
        """Writes the protocol's greeting on the session's first carrier."""
        if self.capabilities.greeting:
            carrier.write([self.capabilities.greeting])
        if carrier.codec.shape is POLL:
            self._let_go(carrier, now)

    def _let_go(self, carrier: Carrier, now: float) -> None:
        """Ends a carrier behind what it has brought; its client comes again."""
        carrier.finish([])
        self.carrier = None
        self.absent_at = now + self.config.resume_window  # from then on it counts as gone, and the session ends
        self.wake_by(self.absent_at)

    def recycle(self, now: float) -> None:
        """Has the client come again by another connection, at once, where it can go on by one."""
        carrier = self.carrier
        if carrier is None or carrier.codec.shape is DUPLEX:
            return
        if carrier.codec.shape is POLL:
            carrier.write([carrier.codec.ping()])
        self._let_go(carrier, now)

    def lost(self, carrier: Carrier, now: float, reason: str = "the connection was interrupted") -> None:
        """The connection under a carrier is gone. How many of the last messages arrived is unknown."""
        carrier.finished = True
        if self.carrier is carrier:
            self.end(INTERRUPTED, reason, now)

    def peer_left(self, carrier: Carrier, code: int, reason: str, now: float) -> None:
        """The peer has closed the connection, and said so."""
        if self.carrier is carrier:
            self.end(code, reason, now, clean=True)

    # -- receiving -------------------------------------------------------------------------------------------------

    def pause(self, now: float) -> None:
        """Somebody waits for room in the inbox: what the peer says next is not read before resume()."""
        self.waiting += 1

    def resume(self) -> None:
        """One waiting message fewer; see pause()."""
        self.waiting -= 1

    def sign_of_life(self, carrier: Carrier, now: float) -> None:
        """A sign of life came on a carrier."""
        self.contact = carrier.last_received = now

    def receive(self, data: str | bytes, size: int, now: float) -> None:
        """A message came. `size` is its payload in bytes. Raises RemoteProtocolError when it is too large."""
        if self.outcome is not None:
            return
        if size > self.config.max_size:
            raise RemoteProtocolError(1009, f"a message of {size} bytes is above max_size={self.config.max_size}")
        self._receive(data, size, now)

    def take(self, now: float) -> Received:
        """The oldest message received. Raises IndexError when there is none."""
        inbox = self.inbox
        item = inbox.take(now)
        inbox.announced(inbox.received, inbox.taken)  # there is nobody to tell
        if self.outcome is None:
            if inbox.metered:
                self.wake_by(self._ack_at())
            self.listener.acknowledged()
            if self.state is DRAINING and not self.inbox.items:
                self.listener.may_be_drained()
        return item

    def ask_for_acks(self) -> None:
        """Has what waits written soon: this protocol has no acks to ask for."""
        self.listener.dirty()

    def _ack_at(self) -> float:
        """Nothing is acknowledged, but there may be room again."""
        return self.inbox.releases_at

    def _release(self, now: float) -> None:
        """There is room where the rate has let something through."""
        if self.inbox.releases_at <= now:
            self.inbox.release(now)
            self.listener.acknowledged()

    # -- writing ---------------------------------------------------------------------------------------------------

    def flush(self, now: float) -> None:
        """Writes what is due on the session's carrier."""
        carrier = self.carrier
        if carrier is None or self.outcome is not None:
            return
        codec, outbox, config = carrier.codec, self.outbox, self.config
        while not carrier.finished and carrier.link.writable and not self._worn_out(carrier):
            most = config.max_batch
            if self.closing is not None and codec.shape is POLL:
                most = max(1, min(most, len(outbox) - 1))  # the close has an answer to itself
            first, items = outbox.peek(carrier.send_cursor, most, config.max_batch_size)
            if not items:
                return
            parts = [part for part in map(codec.item, items) if part]
            if parts:
                carrier.last_written = now
                carrier.write(parts, items[-1] if codec.shape is STREAM else None)
            self._commit(carrier, first, items, now)  # which may end the session: its close counts as acknowledged
            if parts and codec.shape is POLL and self.carrier is carrier:
                self._let_go(carrier, now)
        if self.carrier is carrier and self._worn_out(carrier):
            self._let_go(carrier, now)

    def _commit(self, carrier: Carrier, first: int, items: list[Outgoing], now: float) -> None:
        """Counts what was written on a carrier as received and taken, since this protocol has no acks. May end the
        session."""
        super()._commit(carrier, first, items, now)
        written = carrier.send_cursor - 1
        self.acknowledged(written, written, now)

    # -- draining --------------------------------------------------------------------------------------------------

    def drain(self, delay: float) -> None:
        """The client cannot be asked to stop: the session is closed when its handler waits for more."""
        if self.state in (State.CONNECTING, OPEN):
            self._move(Event.DRAIN)

    @property
    def drained(self) -> bool:
        """Whether the handler has taken all there is."""
        return self.state is DRAINING and not len(self.inbox)

    # -- ending ----------------------------------------------------------------------------------------------------

    def _farewell(self) -> None:
        carrier, self.carrier = self.carrier, None
        assert carrier is not None
        assert self.outcome is not None
        code, reason, clean = self.outcome
        # A clean end is our own close, which was written, or the peer's.
        carrier.finish([] if clean else [carrier.codec.abrupt(code, "session", None, reason)], code, reason)

    # -- time ------------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When expire() has something to do next."""
        if self.outcome is not None:
            return FOREVER
        when = min(self.close_deadline, self.inbox.releases_at)
        carrier = self.carrier
        if carrier is None:
            return min(when, self.absent_at)
        if carrier.codec.shape is POLL:
            return min(when, carrier.started + self.config.hold)
        return min(when, self._due_at(carrier), self._silent_at(carrier))

    def _due_at(self, carrier: Carrier) -> float:
        """When the carrier wants a heartbeat."""
        interval = self.config.ping_interval
        if interval is None or not carrier.link.writable:
            return FOREVER
        if carrier.codec.capabilities.heartbeat == "ask":
            return min(carrier.last_written, max(carrier.last_received, carrier.last_pinged)) + interval
        return carrier.last_written + interval

    def _silent_at(self, carrier: Carrier) -> float:
        """When the carrier counts as dead: it has not said a word, or has not taken one."""
        if carrier.codec.capabilities.heartbeat == "ask":
            return carrier.last_received + self.config.silence
        return FOREVER if carrier.link.writable else carrier.last_written + self.config.silence

    def excuse(self, now: float) -> None:
        """Nobody could come until now. A client that is absent has its time anew."""
        super().excuse(now + self.config.resume_window)

    def _excused(self, now: float) -> bool:
        """Whether the client, which is absent, may not have been able to come. Its time begins when it is."""
        left = self.config.resume_window - (FOREVER if self.reachable_for is None else self.reachable_for())
        if left <= 0:
            return False
        self.absent_at = now + left
        return True

    def expire(self, now: float) -> None:
        """Does what is due by `now`: heartbeats, silence, and every kind of end."""
        if self.outcome is not None:
            return
        self._release(now)
        if now >= self.close_deadline:
            self.end(4412, "the close was not taken in time", now)
            return
        carrier = self.carrier
        if carrier is None:
            if now >= self.absent_at and not self.asked and not self._excused(now):
                self.end(4410, "the client did not come back in time", now)
        elif carrier.codec.shape is POLL:
            if now >= carrier.started + self.config.hold and carrier.link.writable:
                carrier.write([carrier.codec.ping()])
                self._let_go(carrier, now)
        else:
            if self.waiting:
                carrier.last_received = now  # nothing is read meanwhile
            if now >= self._silent_at(carrier):
                self.lost(carrier, now)
                carrier.link.abort()
            elif now >= self._due_at(carrier):
                carrier.last_written = carrier.last_pinged = now
                carrier.write([carrier.codec.ping()])
            self.flush(now)
            self._rest()
