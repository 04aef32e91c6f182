"""What both ends of a session share where the wire has numbers and acks: numbered frames in and out, and which acks go
when (docs/protocol.md §4, §6). NumberedMachine and ClientMachine mix it in.
"""

from __future__ import annotations

from abc import abstractmethod

from .carrier import DUPLEX, POLL, STREAM, NumberedCarrier, Part, share
from .errors import RemoteProtocolError
from .frames import Dropped, Outgoing, RoomMessage, RoomPosition, missed
from .inbox import AT_ONCE, NEVER, Received
from .lifecycle import DRAINING
from .machine import FOREVER, SessionMachine
from .outbox import starved

__all__ = ["ACK_DELAY", "Numbering"]

ACK_DELAY = 1.0  # seconds, on a duplex carrier (docs/protocol.md §6)


class Numbering(SessionMachine):
    """A machine's numbered half."""

    __slots__ = ()

    carrier: NumberedCarrier | None
    # For which part of the delays below news waits for an ack of its own.
    ack_share: float = 1.0
    # The base's own, named again for type checkers that would guess from what is assigned here.
    asking: bool
    duplicates: int

    # -- what frames say ---------------------------------------------------------------------------------------

    def _is_next(self, carrier: NumberedCarrier, now: float) -> bool:
        """Moves the carrier's cursor by one numbered frame; whether that frame is new."""
        if self.outcome is not None:
            return False
        if carrier.ignores:
            self._ignored(carrier, now)
            return False
        number = carrier.receive_cursor
        carrier.receive_cursor = number + 1
        received = self.inbox.received
        if number <= received:
            self.duplicates += 1
            self._ignored(carrier, now)
            return False
        if number > received + 1:
            raise RemoteProtocolError(1002, f"number {number} came after {received}: a gap")
        return True

    def _ignored(self, carrier: NumberedCarrier, now: float) -> None:
        """A numbered frame changed nothing. A window of them may have been on its way, on each carrier."""
        carrier.ignored += 1
        if carrier.ignored > self.inbox.window.messages:
            self.inbox.other(now)

    def message(self, carrier: NumberedCarrier, data: str | bytes | RoomMessage, size: int, now: float) -> None:
        """A message came on `carrier`. `size` is its payload in bytes."""
        inbox = self.inbox
        number = carrier.receive_cursor
        if number == inbox.received + 1 and self.outcome is None and not carrier.ignores:  # as it usually is
            carrier.receive_cursor = number + 1
            new = True
        else:
            new = self._is_next(carrier, now)
        if new:
            if size > self.config.max_size:
                if isinstance(data, RoomMessage):  # the next session goes on behind it, or would end by it as well
                    self._receive(missed(data), 0, now)
                raise RemoteProtocolError(1009, f"a message of {size} bytes is above max_size={self.config.max_size}")
            # _receive(), without a call: this is where most messages pass.
            owed = inbox.owed_since
            inbox.put(data, size, now)
            if self.closing is not None:
                inbox.discard(now)
            else:
                self.listener.readable()
            if self.carrier is not None and (inbox.owed_since != owed or inbox.metered):
                self.wake_by(self._ack_at())

    def drop_note(self, carrier: NumberedCarrier, count: int, now: float) -> None:
        """The peer dropped `count` messages at this point of its stream."""
        if self._is_next(carrier, now):
            self._receive(Dropped(count), 0, now)
            self.inbox.notes += 1

    def room_position(self, carrier: NumberedCarrier, position: RoomPosition, now: float) -> None:
        """`h` came without a message."""
        if self._is_next(carrier, now):
            self._receive(position, 0, now)
            self.inbox.notes += 1
            if len(self.inbox.items) == 1:
                self.listener.noted()

    def peer_closed(self, carrier: NumberedCarrier, code: int, reason: str, now: float) -> None:
        """`c` came: the peer's whole stream is here."""
        if self._is_next(carrier, now):
            self.inbox.count(0, now)
            self.inbox.notes += 1
            self.end(code, reason, now, clean=True)

    def renumber(self, carrier: NumberedCarrier, number: int) -> None:
        """`n` came: the next numbered frame on `carrier` has this number."""
        carrier.receive_cursor = number

    def pinged(self, carrier: NumberedCarrier, payload: str) -> None:
        """`p` came: answered with the acks it asks for, and `q`, and once more when all that came before was taken.
        Dropped while the peer does not read.

        In a batch it needs no pong: the answer to the batch is one, has acks, and is the only thing to write there.
        """
        self.inbox.ask()
        if carrier.finished or carrier.codec.shape is POLL or not carrier.link.writable:
            return
        parts: list[Part] = []
        if carrier is self.carrier and self.inbox.news:
            parts.append(self._announce(carrier))
        parts.append(carrier.codec.pong(payload))
        carrier.write(parts)

    def ask_for_acks(self) -> None:
        """Puts a ping behind what is sent next, so that its ack comes without the usual delay."""
        self.asking = True
        self.listener.dirty()

    # -- the application's side ------------------------------------------------------------------------------

    def take(self, now: float) -> Received:
        """The oldest message received. Raises IndexError when there is none."""
        inbox = self.inbox
        owed = inbox.owed_since
        item = inbox.take(now)
        if self.outcome is None:
            if inbox.owed_since != owed or owed == AT_ONCE or inbox.metered:
                due_at = inbox.due_at(self._ack_delay())
                if self.carrier is not None:
                    self.wake_by(due_at)
                if due_at <= now:
                    self.listener.dirty()
            if self.state is DRAINING and not inbox.items:
                self.listener.may_be_drained()
        return item

    # -- writing -------------------------------------------------------------------------------------------------

    def flush_ordered(self, carrier: NumberedCarrier, now: float) -> None:
        """Writes all that may go on an ordered carrier: peek, write, commit, while the link takes it."""
        link, codec, outbox, inbox = carrier.link, carrier.codec, self.outbox, self.inbox
        most, most_bytes = self.config.max_batch, self.config.max_batch_size
        known, delay = inbox.owed_since, 0.0
        if known != NEVER:
            delay = ACK_DELAY * self.ack_share if codec.shape is DUPLEX else self._ack_delay()
        while link.writable and not carrier.finished:
            cursor = carrier.send_cursor
            first, items = outbox.peek(cursor, most, most_bytes)
            parts: list[Part] = []
            owed = inbox.owed_since
            if inbox.metered or (
                owed != NEVER and (self.closing is not None or now >= owed + (delay / 4 if items else delay))
            ):
                acked = self._ack_part(carrier, bool(items), now)
                if acked is not None:
                    parts.append(acked)
            if first != cursor:
                parts += self.numbered(carrier, first, items)
            else:
                for item in items:
                    part = item.encoded.get(codec.key)  # as it is for all but the first receiver
                    parts.append(codec.item(item) if part is None else part)
            if not parts:
                break
            # A stream's is a copy of all: made once, as a broadcast's receivers write the same. (A WebSocket's frame is
            # a part itself.)
            streams = items and codec.shape is STREAM
            buffers = share(codec, items[-1], parts) if streams else codec.wrap(parts)
            for buffer in buffers:
                carrier.written += len(buffer)
            link.write(buffers)
            if items:
                carrier.send_cursor = first + len(items)
                if not outbox.waiting and carrier.send_cursor > outbox.last:
                    break
        if outbox.waiting and starved(outbox):
            self.asking = True
        if self.asking and not carrier.finished and link.writable:
            self.asking = False
            carrier.write([codec.ping()])
        if inbox.owed_since != known or inbox.metered:
            self.wake_by(self._ack_at())

    def numbered(self, carrier: NumberedCarrier, first: int, items: list[Outgoing]) -> list[Part]:
        """The parts for peeked items, with the renumbering that the carrier's cursor needs."""
        codec = carrier.codec
        parts: list[Part] = []
        if items:
            if first != carrier.send_cursor:
                parts.append(codec.number(first))
            for item in items:
                part = item.encoded.get(codec.key)
                parts.append(codec.item(item) if part is None else part)
        return parts

    def _ack_part(self, carrier: NumberedCarrier, beside: bool, now: float) -> Part | None:
        """The ack to write on `carrier` now, if one is due. News rides on what is written when it is not
        brand-new: an ack in front of every echo would cost more than it frees. A close always brings it along, so that
        the peer can tell what did not arrive."""
        inbox = self.inbox
        inbox.release(now)
        if self.closing is None:
            delay = ACK_DELAY * self.ack_share if carrier.codec.shape is DUPLEX else self._ack_delay()
            if now < inbox.due_at(delay / 4 if beside else delay):
                return None
        return self._announce(carrier) if inbox.news else None

    def _announce(self, carrier: NumberedCarrier) -> Part:
        received, taken = self.inbox.ack()
        self.inbox.announced(received, taken)
        return carrier.codec.ack(received, taken)

    # -- silence ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def lost(self, carrier: NumberedCarrier, now: float) -> None:
        """The connection under a carrier is gone."""

    def _drop(self, carrier: NumberedCarrier, now: float) -> None:
        """The peer has been silent for too long."""
        self.lost(carrier, now)
        carrier.link.abort()

    def _ping_or_drop(self, carrier: NumberedCarrier, interval: float | None, silence: float, now: float) -> None:
        """On a duplex carrier pings a peer that has been silent for `interval`, once, and drops the carrier when it has
        been for `silence` (docs/protocol.md §7)."""
        if interval is None or now < carrier.last_received + interval:
            return
        if now >= carrier.last_received + silence:
            self._drop(carrier, now)
        elif not carrier.pinged:
            carrier.pinged = True
            if carrier.link.writable:
                carrier.write([carrier.codec.ping()])

    # -- time ------------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def _hold(self) -> float:
        """How long the server holds a poll, in seconds."""

    def _ack_delay(self) -> float:
        """How long news may wait for an ack of its own (docs/protocol.md §6)."""
        carrier = self.carrier
        if carrier is not None and carrier.codec.shape is DUPLEX:
            return ACK_DELAY * self.ack_share
        return self._hold / 2 * self.ack_share

    def _ack_at(self) -> float:
        """When an ack is due by time, where there is a carrier to write it on."""
        return FOREVER if self.carrier is None else self.inbox.due_at(self._ack_delay())
