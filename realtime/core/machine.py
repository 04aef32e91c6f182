"""What every end of a session has: a lifecycle, an inbox, an outbox, and one way to end (docs/protocol.md §6, §8).

No I/O, no clock, no randomness: `now` is passed in, the next deadline is asked for, and a Listener is called
directly. `numbering` adds what numbers and acks are for; server_machine and client_machine what each end does with its
carriers.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

from .carrier import Carrier
from .config import Config
from .errors import LocalProtocolError, RemoteProtocolError, SessionClosed
from .frames import Outgoing, Window
from .inbox import Inbox, Received
from .lifecycle import TRANSITIONS, Event, State, next_state
from .outbox import Outbox
from .rates import Meter
from .settings import check, instance

__all__ = [
    "FOREVER",
    "Ended",
    "Listener",
    "SessionMachine",
    "check_close",
    "label_of",
    "may_close_with",
    "shown",
]

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
    """The session object that a machine tells what happens. Calls are synchronous, from inside the machine's
    methods."""

    def readable(self) -> None:
        """The inbox has something."""

    def noted(self) -> None:
        """The only thing in the inbox is a note, which needs nobody to ask for it."""

    def acknowledged(self) -> None:
        """The outbox shrank, or the peer has received more; without windows, the inbox may have room again."""

    def dirty(self) -> None:
        """There may be something to write: flush() before long."""

    def changed(self, before: State, after: State) -> None:
        """The state moved, or a carrier of another transport took over (then both are the same)."""

    def may_be_drained(self) -> None:
        """A draining session may have nothing left to do."""

    def ended(self) -> None:
        """The session has ended; `machine.outcome` says how."""

    def wake(self, when: float) -> None:
        """expire() wants to be called at `when`, which is earlier than asked before."""


_CODE = instance("a whole number", int)
_REASON = instance("text", str)


def may_close_with(code: int) -> bool:
    """Whether a clean close may have this code (docs/protocol.md §8)."""
    return code in (1000, 1001, 1008, 1011, 1012, 1013) or 3000 <= code <= 4999


def check_close(code: int, reason: str) -> None:
    """Raises LocalProtocolError unless an application may close with `code` (docs/protocol.md §8), and TypeError for
    what is no code, or no reason."""
    check("code", code, _CODE)
    check("reason", reason, _REASON)
    if not may_close_with(code):
        raise LocalProtocolError(f"close code {code}: use 1000, 1001, 1008, 1011, 1012, 1013 or one from 3000 to 4999")


class SessionMachine(ABC):
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
        "sid",
        "state",
        "transport",
        "wake_at",
    )

    def __init__(self, config: Config, peer_window: Window, listener: Listener, now: float) -> None:
        self.config: Config = config
        self.listener: Listener = listener
        self.sid: str = ""
        self.state: State = State.CONNECTING
        self.inbox: Inbox = Inbox(config.window, Meter.of(config, now) if config.metered else None)
        self.outbox: Outbox = Outbox(peer_window, config.max_outbox, config.max_outbox_size)
        self.carrier: Carrier | None = None  # the newest one
        self.transport: str = ""  # of the newest carrier there was; empty before the first
        self.gen: int = 0
        self.asking: bool = False  # the application waits for an acknowledgement
        self.closing: tuple[int, str] | None = None
        self.close_deadline: float = FOREVER
        self.outcome: Ended | None = None
        self.contact: float = now  # when something was last received, on any carrier
        self.wake_at: float = FOREVER  # when the sweep will look: kept by Deadlines
        self.duplicates: int = 0  # numbered frames that had come before

    # -- the application's side ------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.outcome is not None or self.closing is not None

    def check_open(self) -> None:
        """Raises SessionClosed when nothing can be sent any more."""
        if self.outcome is not None:
            raise SessionClosed(self.outcome.code, self.outcome.reason)
        if self.closing is not None:
            raise SessionClosed(*self.closing)

    # Whether there are messages that the wire protocol can't carry: see unfit().
    selective = False
    # Whether it acknowledges what comes.
    acknowledges = True

    def unfit(self, item: Outgoing) -> str:
        """Why the wire protocol can't carry this message now; empty when it can."""
        return ""

    def send(self, item: Outgoing) -> bool:
        """Queues a message. Whether there is room is asked before, by the session. See Outbox.append()."""
        half_full = self.outbox.append(item)
        self.listener.dirty()
        return half_full

    def offer(self, item: Outgoing) -> bool | None:
        """Queues a message, if there is room for it. See Outbox.offer()."""
        half_full = self.outbox.offer(item)
        if half_full is not None:
            self.listener.dirty()
        return half_full

    @abstractmethod
    def take(self, now: float) -> Received:
        """The oldest message received. Raises IndexError when there is none."""

    @abstractmethod
    def ask_for_acks(self) -> None:
        """Asks the peer to acknowledge at once, without the usual delay: the application waits for that."""

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
        self.wake_by(min(self.close_deadline, self._ack_at()))
        self.listener.dirty()

    # -- what comes --------------------------------------------------------------------------------------------

    def _receive(self, data: Received, size: int, now: float) -> None:
        inbox = self.inbox
        owed = inbox.owed_since
        inbox.put(data, size, now)
        if self.closing is not None:
            inbox.discard(now)
        else:
            self.listener.readable()
        if inbox.metered or (self.acknowledges and inbox.owed_since != owed):
            self.wake_by(self._ack_at())

    def acknowledged(self, received: int, taken: int, now: float) -> bool:
        """An ack came, on anything; returns whether it told something new."""
        outbox = self.outbox
        if received == outbox.acked and taken == outbox.taken:
            return False
        news = outbox.acknowledge(received, taken)
        if news:
            if self.closing is not None and outbox.closed_cleanly:
                self.end(*self.closing, now, clean=True)
                return news
            self.listener.acknowledged()
            if outbox.waiting:
                self.listener.dirty()
        return news

    # -- writing -------------------------------------------------------------------------------------------------

    @abstractmethod
    def flush(self, now: float) -> None:
        """Writes what is due on the session's carrier."""

    def _commit(self, carrier: Carrier, first: int, items: list[Outgoing], now: float) -> None:
        """Moves the carrier's cursor behind these items, numbered from `first`, which were written on it."""
        if items:
            carrier.send_cursor = first + len(items)

    # -- ending ----------------------------------------------------------------------------------------------------

    def end(self, code: int, reason: str, now: float, *, clean: bool = False) -> None:
        """Ends the session: the one method that does. Idempotent; the first end counts."""
        if self.outcome is not None:
            return
        self.outcome = Ended(code, reason, clean)
        before = self.state
        self._move(Event.END)
        try:
            if self.carrier is not None:
                self._farewell()
            self.listener.changed(before, self.state)
        finally:  # whatever the carrier does, it is over, and nobody would ask again
            self.listener.ended()

    def fail(self, error: RemoteProtocolError, now: float) -> None:
        """The peer broke the protocol: the session ends with the error's code."""
        self.end(error.close_code, error.reason, now)

    @abstractmethod
    def _farewell(self) -> None:
        """Tells the peer on the newest carrier that the session has ended, and lets go of that carrier."""

    # -- time and state --------------------------------------------------------------------------------------------

    @abstractmethod
    def deadline(self) -> float:
        """When expire() has something to do next."""

    @abstractmethod
    def expire(self, now: float) -> None:
        """Does what is due by `now`."""

    @abstractmethod
    def _ack_at(self) -> float:
        """When the next ack is due, or the next look at a peer that waits for room."""

    def _rest(self) -> None:
        """Nothing much happens: what is empty takes no room."""
        self.inbox.rest()
        self.outbox.rest()

    def wake_by(self, when: float) -> None:
        """Makes sure that expire() is called by `when`."""
        if when < self.wake_at:
            self.listener.wake(when)

    def _move(self, event: Event) -> None:
        before = self.state
        # next_state(), without a call: it says what is wrong.
        self.state = TRANSITIONS[before].get(event) or next_state(before, event)
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
