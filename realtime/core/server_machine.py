"""The server's end of a session, for every protocol: identity, key, observers, and the refusal of late requests.

numbered_machine and plain_machine are its two kinds: with and without numbers and acks on the wire.
"""

from __future__ import annotations

from abc import abstractmethod

from .carrier import Capabilities, Carrier, Shape
from .config import Config
from .errors import Refusal
from .frames import Outgoing, Window
from .machine import Listener, SessionMachine
from .observer import Cause, Observer
from .proof import ATTACH, Key, Proof, Tickets

__all__ = ["ServerMachine"]


# The transport that comes by a port that the server opens for it alone.
WITH_OWN_PORT = "webtransport"


class ServerMachine(SessionMachine):
    """The server's end. `sid`, `key`, `nonce` and `binding` are the registry's to choose."""

    # What its wire protocol can do; those that have no machine of their own can do all.
    capabilities: Capabilities = Capabilities()

    __slots__ = (
        "absent_at",
        "address",
        "asked",
        "binding",
        "born",
        "handed",
        "identity",
        "nonce",
        "observers",
        "secret",
        "tickets",
        "used",
    )

    def __init__(
        self,
        config: Config,
        peer_window: Window,
        listener: Listener,
        now: float,
        sid: str,
        nonce: str = "",
        binding: object = None,
        identity: str | None = None,
        address: str = "",
        key: str = "",
    ) -> None:
        super().__init__(config, peer_window, listener, now)
        self.sid = sid
        self.secret: str = key  # see key
        self.nonce: str = nonce
        self.binding: object = binding
        self.identity: str | None = identity
        self.address: str = address  # what the limits per address count; empty for none
        self.born: float = now  # when it was last opened: open_timeout counts from here
        # The client has named the sid, or acknowledged `o`: opening by nonce is over (docs/protocol.md §5).
        self.used: bool = False
        self.absent_at: float = now  # without a carrier: when it counts, or will count, as detached
        # Of so many of its client's requests the application is asked whether they may: it is neither absent nor mute.
        self.asked: int = 0
        self.handed: int = 0  # the gen up to which tickets were handed out
        self.tickets: Tickets | None = None  # that were used, if any
        self.observers: tuple[Observer, ...] = ()

    @property
    def key(self) -> Key:
        """What its client proves itself by; empty where the protocol has nothing of the kind."""
        return Key(self.secret)

    @key.setter
    def key(self, key: str) -> None:
        self.secret = str(key)  # a Key would be one more object for each session

    @property
    def remembered(self) -> float:
        """For how many seconds after the session's end requests that name it are told how it ended."""
        return self.config.lifetime

    # -- who may ---------------------------------------------------------------------------------------------------

    def prove(self, proof: Proof) -> bool:
        """Whether a request that shows this may do what it says; False for one with a ticket that came late: it
        changes nothing. Raises Refusal (4403) when it shows the wrong thing.
        """
        if not proof.fits(self.secret):
            raise proof.refusal()
        if not proof.use:
            return True
        if proof.use == ATTACH:
            return proof.number >= self.gen and self._use_ticket(proof, self.gen)
        return self._use_ticket(proof, self.inbox.received + 1)

    def _use_ticket(self, proof: Proof, least: int) -> bool:
        if self.tickets is None:
            self.tickets = Tickets()
        return self.tickets.take(proof, least)

    @property
    def out_of_tickets(self) -> bool:
        """Whether the newest carrier came by the last ticket that was handed out: the next will want another."""
        used = 0 if self.tickets is None else self.tickets.used(ATTACH)
        return self.gen == used and self.gen >= self.handed

    # -- the application's side ------------------------------------------------------------------------------------

    def offer(self, item: Outgoing) -> bool | None:
        """See SessionMachine.offer(). Without a carrier nothing is flushed: the next is given what waits."""
        half_full = self.outbox.offer(item)
        if half_full is not None and self.carrier is not None:
            self.listener.dirty()
        return half_full

    # -- carriers --------------------------------------------------------------------------------------------------

    def _observe(self, name: str, gen: int, now: float) -> None:
        """Tells of a carrier of transport `name`, before it takes over (or not, when it is late)."""
        before = self.transport
        lost = self.gen > 0 and self.carrier is None and now >= self.absent_at
        if not self.gen:
            cause = Cause.OPEN
        elif gen < self.gen:
            cause = Cause.LATE
        elif gen == self.gen:
            cause = Cause.REPEATED
        elif name != before:
            cause = Cause.UPGRADE if self._rank(name) < self._rank(before) else Cause.DOWNGRADE
        elif not self.used:
            cause = Cause.REPEATED
        else:
            cause = Cause.NEXT if self.carrier is None and not lost else Cause.RESUME
        for observer in self.observers:
            observer.attached(self, cause, before, name, lost)

    def _rank(self, name: str) -> int:
        """The place of a transport in the endpoint's list, best first. One with a port of its own that is not in it is
        wanted most, or it would not carry: the list was left alone."""
        transports = self.config.transports
        if name in transports:
            return transports.index(name)
        return -1 if name == WITH_OWN_PORT else len(transports)

    def _worn_out(self, carrier: Carrier) -> bool:
        """Whether a stream has brought enough. One that still has much to send goes on until its reader has that: it
        could not come again before."""
        return (
            carrier.codec.shape is Shape.STREAM
            and carrier.written >= self.config.max_stream_size
            and carrier.link.writable
        )

    def excuse(self, now: float) -> None:
        """Nobody could come until now. A client that is absent has its time anew."""
        if self.carrier is None:
            self.absent_at = max(self.absent_at, now)

    # -- draining ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def drain(self, delay: float) -> None:
        """Begins a drain: what was received is still taken, then the session closes. `delay` (seconds) spreads the
        clients' return."""

    @abstractmethod
    def recycle(self, now: float) -> None:
        """Has the client come again by another connection, at once, where it can go on by one: what this one came by is
        going away."""

    @property
    @abstractmethod
    def drained(self) -> bool:
        """Whether a draining session has nothing left to do."""

    # -- ending ------------------------------------------------------------------------------------------------------

    def refusal(self) -> Refusal:
        """What a request for this ended session is told."""
        assert self.outcome is not None
        return Refusal(self.outcome.code, self.outcome.reason, scope="session", received=self.inbox.received)
