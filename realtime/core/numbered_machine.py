"""The server's end where the wire has numbers and acks: carriers attach by generation, polls are answered, silence is
noticed, and a session nobody comes back to expires (docs/protocol.md §4 to §8).
"""

from __future__ import annotations

from .carrier import DUPLEX, POLL, STREAM, NumberedCarrier, Part, lay_alone
from .draining import Draining
from .inbox import NEVER
from .lifecycle import DETACHED, DRAINING, OPEN, Event
from .machine import FOREVER
from .numbering import ACK_DELAY
from .outbox import starved

__all__ = ["NumberedMachine", "answer_due"]


class NumberedMachine(Draining):
    """The server's end of a session of the native protocol. See ServerMachine for what it is made with."""

    __slots__ = ()

    # The bases' own: see Numbering.
    absent_at: float
    contact: float
    transport: str
    used: bool

    # -- carriers --------------------------------------------------------------------------------------------------

    def open(self, carrier: NumberedCarrier, gen: int, now: float) -> bool:
        """Takes up a carrier that opened this session by its nonce. See attach()."""
        self.born = now
        if now + self.config.open_timeout < self.wake_at:
            self.wake_by(now + self.config.open_timeout)
        return self.attach(carrier, gen, 0, 0, 1, now, named=False)

    def attach(
        self,
        carrier: NumberedCarrier,
        gen: int,
        received: int,
        taken: int,
        first: int,
        now: float,
        *,
        named: bool = True,
        alone: bool = False,
    ) -> bool:
        """Takes up a carrier that `named` the sid. A poll that is `alone`, as nothing came behind its head and no
        handler is about to say something, is answered here and now, if it is due.

        Returns whether it is now the session's carrier. If not it came late, is only to be read, and is to be
        given to retire() after what it brought. Raises RemoteProtocolError for absurd acks, and Refusal when its
        acks were all the session waited for to end.
        """
        if named:
            self.used = True
            if received != self.outbox.acked or taken != self.outbox.taken:
                self.acknowledged(received, taken, now)
            if self.outcome is not None:
                raise self.refusal()
        if self.inbox.metered:
            self.inbox.release(now)
        self.contact = carrier.last_received = now
        carrier.gen = gen
        carrier.receive_cursor = first
        carrier.send_cursor = received + 1
        carrier.attached = True
        # The gap of a POST is innocent: it overtook another (docs/protocol.md §4).
        shape, name = carrier.codec.shape, carrier.codec.name
        carrier.ignores = shape is not DUPLEX and first > self.inbox.received + 1
        if self.observers:
            self._observe(name, gen, now)
        if gen < self.gen:
            return False
        # Whoever comes anew while the carrier before is still here has lost that one, whatever we believe.
        lost = self.state is DETACHED or (self.carrier is not None and gen > self.gen)
        before = self.transport
        back = lost or before not in ("", name)
        if back and carrier.greeting is None:
            # With a greeting a poll is not held: its client is told at once that it is back.
            carrier.greeting = carrier.codec.attach_answer
        old, self.carrier = self.carrier, carrier
        self.gen = gen
        self.transport = name
        if old is not None and old is not carrier:
            self.retire(old)
        if shape is not POLL:
            carrier.write([self._greeting(carrier), *carrier.tickets])
            carrier.greeting, carrier.tickets = None, ()  # they are said
            if self.state is DRAINING:
                carrier.write([carrier.codec.go_away(self.drain_delay)])
        state = self.state
        if state is not OPEN:
            self._move(Event.ATTACH)
        if state is self.state and before != self.transport:
            self.listener.changed(state, state)
        if alone and shape is POLL:
            self._answer(carrier, now)
        elif shape is POLL or self.outbox.appended or self.asking:
            self.listener.dirty()  # which a session that has just begun need not be
        if self.carrier is carrier and (when := self.deadline()) < self.wake_at:
            self.wake_by(when)
        return True

    def retire(self, carrier: NumberedCarrier) -> None:
        """Ends a carrier that a newer one replaced. It may still be read."""
        parts = [self._greeting(carrier)] if carrier.codec.shape is POLL else []
        carrier.finish([*parts, carrier.codec.end_of_carrier("superseded")], reason="superseded")

    def _greeting(self, carrier: NumberedCarrier) -> Part:
        """What an answer opens with: `o` or `r`. Its acks count as announced on the newest carrier only."""
        received, taken = self.inbox.received, self.inbox.taken
        if received and self.carrier is carrier:
            self.inbox.announced(received, taken)
        return (carrier.greeting or carrier.codec.attach_answer)(received, taken)

    def uplink(
        self, carrier: NumberedCarrier, received: int, taken: int, first: int, now: float, *, alone: bool = False
    ) -> bool:
        """An uplink batch names the session: takes its acks and sets its cursor. `carrier` never attaches. Of one that
        is `alone`, as nothing comes behind its head, nothing is to be said unless its acks or our own news say so.

        Returns whether its frames are to be fed. Raises RemoteProtocolError for absurd acks.
        """
        self.used = True
        if self.inbox.metered:
            self.inbox.release(now)
        self.contact = now
        carrier.attached = True
        carrier.receive_cursor = first
        carrier.ignores = first > self.inbox.received + 1
        if received != self.outbox.acked or taken != self.outbox.taken:
            self.acknowledged(received, taken, now)
        if self.outcome is not None:
            return False
        if self.carrier is not None and (not alone or self.inbox.metered or self.inbox.owed_since is not NEVER):
            self.listener.dirty()
        return True

    def uplink_answer(self, carrier: NumberedCarrier) -> Part:
        """The answer to an uplink batch. Its ack never counts as announced (docs/protocol.md §6)."""
        if self.outcome is not None:
            return self._abrupt(carrier)
        return carrier.codec.ack(self.inbox.received, self.inbox.taken)

    def lost(self, carrier: NumberedCarrier, now: float) -> None:
        """The connection under a carrier is gone. Detaches the session if it was its newest."""
        carrier.finished = True
        if self.carrier is carrier:
            self.carrier = None
            self.absent_at = now
            self._move(Event.DETACH)
            self.wake_by(self.deadline())

    # -- writing -----------------------------------------------------------------------------------------------------

    def flush(self, now: float) -> None:
        """Writes what is due on the session's carrier."""
        carrier = self.carrier
        if carrier is None or self.outcome is not None:
            return
        codec, link, inbox = carrier.codec, carrier.link, self.inbox
        shape, owed, duplex = codec.shape, inbox.owed_since, codec.shape is DUPLEX
        # What is written out below is flush_ordered() as it usually is: one message that has just come, and nothing
        # else to say. (An ack that is owed waits for later.)
        if (
            (owed is NEVER or (duplex and now < owed + ACK_DELAY / 4 * self.ack_share and self.closing is None))
            and shape is not POLL
            and not (self.asking or inbox.metered or carrier.finished)
            and (duplex or carrier.written < self.config.max_stream_size)
            and link.writable
            and (item := self.outbox.number(carrier.send_cursor)) is not None
        ):
            if duplex:
                part = item.encoded.get(codec.key) or codec.item(item)
                link.write((part,))
                carrier.written += len(part)
            else:
                buffers = item.alone.get(codec) or lay_alone(codec, item)
                link.write(buffers)
                carrier.written += buffers.size
                carrier.last_written = now
            carrier.send_cursor += 1
            if shape is STREAM and carrier.written >= self.config.max_stream_size and link.writable:
                self._recycle(carrier, now)
            return
        if inbox.metered:
            inbox.release(now)
        if duplex:
            self.flush_ordered(carrier, now)
        elif shape is STREAM:
            self._flush_stream(carrier, now)
        elif not carrier.finished:
            self._answer(carrier, now)

    def _flush_stream(self, carrier: NumberedCarrier, now: float) -> None:
        if not self._worn_out(carrier):
            written = carrier.written
            self.flush_ordered(carrier, now)
            if carrier.written > written:
                carrier.last_written = now
        if self._worn_out(carrier):
            self._recycle(carrier, now)

    def _recycle(self, carrier: NumberedCarrier, now: float) -> None:
        """Ends a stream that has grown large (browsers keep all of it), or a carrier whose way is going away. The
        client opens the next at once."""
        carrier.finish([carrier.codec.end_of_carrier("recycled")], reason="recycled")
        self.carrier = None
        self.absent_at = now + self.config.poll_grace
        self.wake_by(self.deadline())

    def recycle(self, now: float) -> None:
        """Has the client come again by another connection, at once: what this one came by is going away."""
        carrier = self.carrier
        if carrier is not None and carrier.codec.shape is POLL:
            carrier.greeting = carrier.greeting or carrier.codec.attach_answer
            self._answer(carrier, now)
        elif carrier is not None:
            self._recycle(carrier, now)

    def _answer(self, carrier: NumberedCarrier, now: float) -> None:
        """Answers a poll when that is due, which ends its carrier: then the client has the grace time to poll again."""
        first, items = self.outbox.peek(carrier.send_cursor, self.config.max_batch, self.config.max_batch_size)
        asks = bool(self.outbox.waiting) and starved(self.outbox)
        if not items and not asks and not answer_due(self, carrier, now):
            return
        inbox, codec = self.inbox, carrier.codec
        parts = [(carrier.greeting or codec.attach_answer)(inbox.received, inbox.taken), *carrier.tickets]
        inbox.announced(inbox.received, inbox.taken)
        parts += map(codec.item, items) if first == carrier.send_cursor else self.numbered(carrier, first, items)
        if self.state is DRAINING and self.peer_last is None:
            parts.append(carrier.codec.go_away(self.drain_delay))
            self.going_told = now
        if asks:
            parts.append(codec.ping())
        carrier.finish(parts)
        carrier.send_cursor = first + len(items)
        self.carrier = None
        # How long the next poll may take before its client counts as gone.
        self.absent_at = now + (self.config.poll_grace if carrier.codec.held else self.config.timer_grace)
        if self.absent_at < self.wake_at:  # nothing is due before
            self.wake_by(self.deadline())

    # -- ending ------------------------------------------------------------------------------------------------------

    def _abrupt(self, carrier: NumberedCarrier) -> Part:
        assert self.outcome is not None
        return carrier.codec.abrupt(self.outcome.code, "session", self.inbox.received, self.outcome.reason)

    def _farewell(self) -> None:
        carrier, self.carrier = self.carrier, None
        assert carrier is not None
        assert self.outcome is not None
        codec = carrier.codec
        acks = self._greeting(carrier) if codec.shape is POLL else codec.ack(*self.inbox.ack())
        carrier.finish([acks, self._abrupt(carrier)], self.outcome.code, self.outcome.reason)

    # -- time --------------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When expire() has something to do next."""
        if self.outcome is not None:
            return FOREVER
        when = self.close_deadline
        if not self.used and (unused := self.born + self.config.open_timeout) < when:
            when = unused
        carrier = self.carrier
        if carrier is None:
            kept = 0.0 if self.state is OPEN else self.config.resume_window
            return min(when, self.absent_at + kept)
        if self.inbox.owed_since != NEVER or self.inbox.metered:
            when = min(when, self._ack_at())
        if carrier.codec.shape is POLL:
            when = min(when, carrier.started + self.config.hold)
            return when if self.state is not DRAINING else min(when, self._going_at())
        interval, silence = self.config.ping_interval, self.config.silence
        if interval is None:
            return when
        if carrier.codec.shape is STREAM:
            return min(when, _idle_since(self, carrier) + interval, _last_contact(self, carrier) + silence)
        silent = carrier.last_received + (silence if carrier.pinged or silence < interval else interval)
        return silent if silent < when else when  # min(), without a call

    def expire(self, now: float) -> None:
        """Does what is due by `now`: acks, pings, polls to answer, silence, and every kind of end."""
        if self.outcome is not None:
            return
        if not self.used and now >= self.born + self.config.open_timeout and not self.asked:
            self.end(4408, "the session was opened and never used", now)
            return
        if now >= self.close_deadline:
            self.end(4412, "the close was not acknowledged in time", now)
            return
        carrier = self.carrier
        if carrier is None:
            if now >= self.absent_at + self.config.resume_window and not self.asked:
                self.end(4410, "no carrier came within the resume window", now)
            elif now >= self.absent_at and self.state is OPEN:
                self._move(Event.DETACH)
            return
        if carrier.codec.shape is POLL or _watch(self, carrier, now):
            self.flush(now)
        self._rest()

    @property
    def _hold(self) -> float:
        return self.config.hold


def _last_contact(machine: NumberedMachine, carrier: NumberedCarrier) -> float:
    return max(carrier.started, machine.contact)


def _idle_since(machine: NumberedMachine, carrier: NumberedCarrier) -> float:
    """When a stream was last written to, or its client last seen or pinged: its next ping is counted from then."""
    return min(carrier.last_written, max(_last_contact(machine, carrier), carrier.last_pinged))


def _watch(machine: NumberedMachine, carrier: NumberedCarrier, now: float) -> bool:
    """Pings a silent peer, and drops its carrier when it stays silent. Returns whether there may be anything else to
    write: while all is still, pings are all that a session costs."""
    interval, silence = machine.config.ping_interval, machine.config.silence
    if interval is None:
        return True
    if carrier.codec.shape is STREAM:
        # The client hears these pings, and answers each by a send: that is what is heard of it.
        if now >= _last_contact(machine, carrier) + silence:
            machine._drop(carrier, now)
        elif now >= _idle_since(machine, carrier) + interval and carrier.link.writable:
            carrier.last_written = carrier.last_pinged = now
            carrier.write([carrier.codec.ping()])
        return True
    machine._ping_or_drop(carrier, interval, silence, now)
    outbox, inbox = machine.outbox, machine.inbox
    waits = outbox.waiting or carrier.send_cursor <= outbox.last or machine.asking
    return bool(waits) or inbox.owed_since != NEVER or inbox.metered


def answer_due(machine: NumberedMachine, carrier: NumberedCarrier, now: float) -> bool:
    """Whether a poll is to be answered though there is no message for it."""
    return (
        carrier.greeting is not None
        or not carrier.codec.held
        or machine.inbox.due(now, machine._ack_delay())
        or now >= carrier.started + machine.config.hold
        or now >= machine._going_at()
    )
