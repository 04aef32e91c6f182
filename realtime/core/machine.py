"""What both ends of a session share: lifecycle, numbering, windows, replay, closes and acks (DESIGN rules 1-3, 8).

No I/O, no clock, no randomness: `now` is passed in, the next deadline is asked for, and a Listener is called
directly. server_machine and client_machine add what each end does with its carriers.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

from .carrier import Carrier, Part, Shape
from .config import Config
from .errors import LocalProtocolError, RemoteProtocolError, SessionClosed
from .frames import Dropped, Outgoing, Window
from .inbox import Inbox
from .lifecycle import Event, State, next_state
from .outbox import Outbox
from .rates import Meter

__all__ = ["Ended", "Listener", "SessionMachine", "check_close_code", "label_of", "shown"]

ACK_DELAY = 1.0  # seconds, on a duplex carrier (rule 3)
FOREVER = float("inf")


# What is never shown: whoever reads one in a log has it.
SECRETS = frozenset(("auth", "key", "nonce", "proof", "shown", "sid"))
LABEL_DIGITS = 12


def label_of(sid: str) -> str:
    """What a log calls a session: the beginning of its sid's SHA-256, the same at both ends. Nobody finds the sid by
    it, which has 144 random bits. Empty where there is no sid."""
    return hashlib.sha256(sid.encode()).hexdigest()[:LABEL_DIGITS] if sid else ""


def shown(value: NamedTuple) -> str:
    """The repr of a tuple that holds secrets: without them."""
    fields = (f"{name}={field!r}" for name, field in value._asdict().items() if name not in SECRETS)
    return f"<{type(value).__name__} {' '.join(fields)}>"


class Ended(NamedTuple):
    """How a session ended, for this side."""

    code: int
    reason: str
    clean: bool  # a `c` was received or acked


class Listener(Protocol):
    """Whoever holds the machine. All calls are made synchronously, from inside the machine's methods."""

    def readable(self) -> None:
        """The inbox has something."""

    def acknowledged(self) -> None:
        """The outbox shrank, or the peer has received more; without windows, the inbox may have room again."""

    def dirty(self) -> None:
        """There may be something to write: flush() before long."""

    def changed(self, before: State, after: State) -> None:
        """The state moved, or a carrier took over (then both are the same)."""

    def quiet(self) -> None:
        """A draining session may have nothing left to do."""

    def ended(self) -> None:
        """The session has ended; `machine.outcome` says how."""

    def wake(self, when: float) -> None:
        """expire() wants to be called at `when`, which is earlier than asked before."""


def may_close_with(code: int) -> bool:
    """Whether a clean close may have this code (docs/protocol.md §8)."""
    return code in (1000, 1001, 1008, 1011, 1012, 1013) or 3000 <= code <= 4999


def check_close_code(code: int) -> None:
    """Raises LocalProtocolError unless an application may close with `code` (docs/protocol.md §8)."""
    if not may_close_with(code):
        raise LocalProtocolError(f"close code {code}: use 1000, 1001, 1008, 1011, 1012, 1013 or one from 3000 to 4999")


class SessionMachine:
    """One end of a session. See ServerMachine and ClientMachine."""

    __slots__ = (
        "asking",
        "carrier",
        "close_deadline",
        "closing",
        "config",
        "contact",
        "duplicates",
        "gen",
        "inbox",
        "listener",
        "outbox",
        "outcome",
        "peer_last",
        "sid",
        "state",
        "wake_at",
    )

    def __init__(self, config: Config, peer_window: Window, listener: Listener, now: float) -> None:
        self.config = config
        self.listener = listener
        self.sid = ""
        self.state = State.CONNECTING
        self.inbox = Inbox(config.window, Meter.of(config, now))
        self.outbox = Outbox(peer_window, config.max_outbox, config.max_outbox_size)
        self.carrier: Carrier | None = None  # the newest one
        self.gen = 0
        self.asking = False  # the application waits for an acknowledgement
        self.closing: tuple[int, str] | None = None
        self.close_deadline = FOREVER
        self.outcome: Ended | None = None
        self.contact = now  # when the peer was last heard, on any carrier
        self.peer_last: int | None = None  # draining: the peer numbers nothing above this
        self.wake_at = FOREVER  # when the sweep will look: kept by Deadlines
        self.duplicates = 0  # numbered frames that had come before

    # -- the application's side ------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raises SessionClosed when nothing can be sent any more."""
        if self.outcome is not None:
            raise SessionClosed(self.outcome.code, self.outcome.reason)
        if self.closing is not None:
            raise SessionClosed(*self.closing)

    def unfit(self, item: Outgoing) -> str:
        """Why the wire protocol can't carry this message now; empty when it can."""
        return ""

    def send(self, item: Outgoing) -> None:
        """Queues a message. Whether there is room is asked before, by the session."""
        self.outbox.append(item)
        self.listener.dirty()

    def take(self, now: float) -> str | bytes | Dropped:
        """The oldest message received. Raises IndexError when there is none."""
        item = self.inbox.take(now)
        if self.outcome is None:
            self.wake_by(self._ack_at())
            if self.inbox.due_at(self._ack_delay()) <= now:
                self.listener.dirty()
            if self.state is State.DRAINING and not self.inbox:
                self.listener.quiet()
        return item

    def close(self, code: int, reason: str, now: float) -> None:
        """Ends this side's stream with a clean close. What arrives from now on is discarded. Idempotent."""
        if self.outcome is not None or self.closing is not None:
            return
        self.closing = (code, reason)
        self.close_deadline = now + self.config.lifetime
        self.outbox.held = False
        self.outbox.append(Outgoing.close(code, reason))
        self._move(Event.CLOSE)
        self.inbox.discard(now)
        self.wake_by(self.close_deadline)
        self.listener.dirty()

    # -- what frames say ---------------------------------------------------------------------------------------

    def _is_next(self, carrier: Carrier, now: float) -> bool:
        """Moves the carrier's cursor by one numbered frame; whether that frame is new."""
        if self.outcome is not None:
            return False
        if carrier.deaf:
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

    def _ignored(self, carrier: Carrier, now: float) -> None:
        """A numbered frame changed nothing. A window of them may have been on its way, on each carrier."""
        carrier.ignored += 1
        if carrier.ignored > self.inbox.window.messages:
            self.inbox.other(now)

    def message(self, carrier: Carrier, data: str | bytes, size: int, now: float) -> None:
        """A message came on `carrier`. `size` is its payload in bytes."""
        if self._is_next(carrier, now):
            if size > self.config.max_size:
                raise RemoteProtocolError(1009, f"a message of {size} bytes is above max_size={self.config.max_size}")
            self._receive(data, size, now)

    def drop_note(self, carrier: Carrier, count: int, now: float) -> None:
        """The peer dropped `count` messages at this point of its stream."""
        if self._is_next(carrier, now):
            self._receive(Dropped(count), 0, now)
            self.inbox.notes += 1

    def _receive(self, data: str | bytes | Dropped, size: int, now: float) -> None:
        self.inbox.put(data, size, now)
        if self.closing is not None:
            self.inbox.discard(now)
        else:
            self.listener.readable()
        self.wake_by(self._ack_at())

    def peer_closed(self, carrier: Carrier, code: int, reason: str, now: float) -> None:
        """`c` came: the peer's whole stream is here."""
        if self._is_next(carrier, now):
            self.inbox.count(0, now)
            self.inbox.notes += 1
            self.end(code, reason, now, clean=True)

    def renumber(self, carrier: Carrier, number: int) -> None:
        """`n` came: the next numbered frame on `carrier` has this number."""
        carrier.receive_cursor = number

    def acknowledged(self, received: int, taken: int, now: float) -> bool:
        """An ack came, on anything; returns whether it told something new."""
        outbox = self.outbox
        news = outbox.acknowledge(received, taken)
        if news:
            if self.closing is not None and outbox.closed_cleanly:
                self.end(*self.closing, now, clean=True)
                return news
            self.listener.acknowledged()
            if outbox.unnumbered:
                self.listener.dirty()
        return news

    def pinged(self, carrier: Carrier, payload: str) -> None:
        """`p` came: answered with the acks it asks for, and `q`. Dropped while the peer does not read.

        In a batch it needs no pong: the answer to the batch is one, has acks, and is the only thing to write there.
        """
        if carrier.over or carrier.codec.shape is Shape.POLL or not carrier.link.writable:
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

    # -- writing -------------------------------------------------------------------------------------------------

    def flush_duplex(self, carrier: Carrier, now: float) -> None:
        """Writes all that may go on an ordered carrier: peek, write, commit, while the link takes it."""
        while not carrier.over and carrier.link.writable:
            first, items = self.outbox.peek(carrier.send_cursor, self.config.max_batch, self.config.max_batch_size)
            parts = self.numbered(carrier, first, items)
            acked = self._ack_part(carrier, bool(items), now)
            if acked is not None:
                parts.insert(0, acked)
            if not parts:
                break
            carrier.write(parts)
            self._commit(carrier, first, items, now)
            if not self.outbox.pending(carrier.send_cursor):
                break
        if self.asking and not carrier.over and carrier.link.writable:
            self.asking = False
            carrier.write([carrier.codec.ping()])

    def numbered(self, carrier: Carrier, first: int, items: list[Outgoing]) -> list[Part]:
        """The parts for peeked items, with the renumbering that the carrier's cursor needs."""
        codec = carrier.codec
        parts: list[Part] = []
        if items:
            if first != carrier.send_cursor:
                parts.append(codec.number(first))
            parts += [codec.item(item) for item in items]
        return parts

    def _commit(self, carrier: Carrier, first: int, items: list[Outgoing], now: float) -> None:
        if not items:
            return
        carrier.send_cursor = first + len(items)
        if not carrier.codec.capabilities.acks:
            written = carrier.send_cursor - 1
            self.acknowledged(written, written, now)

    def _ack_part(self, carrier: Carrier, beside: bool, now: float) -> Part | None:
        """The ack to write on `carrier` now, if one is due. News rides on what is written when it is not
        brand-new: an ack in front of every echo would cost more than it frees. A close always brings it along, so that
        the peer can tell what did not arrive."""
        inbox = self.inbox
        inbox.release(now)
        if not inbox.news or not carrier.codec.capabilities.acks:
            return None
        delay = self._ack_delay()
        if self.closing is None and not inbox.due(now, delay / 4 if beside else delay):
            return None
        return self._announce(carrier)

    def _announce(self, carrier: Carrier) -> Part:
        received, taken = self.inbox.ack()
        self.inbox.announced(received, taken)
        return carrier.codec.ack(received, taken)

    # -- ending ----------------------------------------------------------------------------------------------------

    def end(self, code: int, reason: str, now: float, *, clean: bool = False) -> None:
        """Ends the session: the one method that does. Idempotent; the first end counts."""
        if self.outcome is not None:
            return
        self.outcome = Ended(code, reason, clean)
        before = self.state
        self._move(Event.END)
        carrier, self.carrier = self.carrier, None
        if carrier is not None:
            self._farewell(carrier)
        self.listener.changed(before, self.state)
        self.listener.ended()

    def fail(self, error: RemoteProtocolError, now: float) -> None:
        """The peer broke the protocol: the session ends with the error's code."""
        self.end(error.close_code, error.reason, now)

    def _farewell(self, carrier: Carrier) -> None:
        """Tells the peer on its newest carrier that the session has ended."""
        raise NotImplementedError

    # -- time and state --------------------------------------------------------------------------------------------

    def wake_by(self, when: float) -> None:
        """Makes sure that expire() is called by `when`."""
        if when < self.wake_at:
            self.listener.wake(when)

    def _ack_delay(self) -> float:
        """How long news may wait for an ack of its own (rule 3)."""
        carrier = self.carrier
        if carrier is not None and carrier.codec.shape is Shape.DUPLEX:
            return ACK_DELAY
        return self.config.hold / 2

    def _ack_at(self) -> float:
        """When an ack is due by time, where there is a carrier to write it on."""
        return FOREVER if self.carrier is None else self.inbox.due_at(self._ack_delay())

    def _move(self, event: Event) -> None:
        before = self.state
        self.state = next_state(before, event)
        if event is not Event.END and self.state is not before:
            self.listener.changed(before, self.state)

    @property
    def label(self) -> str:
        """What logs call the session."""
        return label_of(self.sid)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.label or '(no sid)'} {self.state} gen={self.gen}"
            f" in={self.inbox.received},{self.inbox.taken} out={self.outbox.acked}/{self.outbox.last}>"
        )
