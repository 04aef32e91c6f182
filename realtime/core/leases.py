"""Who has a session, as far as that can be known: workers, their leases, and what proves that one is gone
(docs/scaling.md §7).

An expired lease proves nothing: its worker may have lost only the store. A refused connection proves it. Where a
mistake does no harm, since writes are fenced, the lease is enough. Pure: the store's answers, and how a connection
went, are arguments.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from .errors import Refusal
from .proof import Key, Proof

__all__ = [
    "HERE",
    "UNKNOWN",
    "Ended",
    "Found",
    "Gone",
    "Here",
    "Known",
    "Later",
    "Neighbours",
    "Peer",
    "Reached",
    "Recalled",
    "Registration",
    "judge",
]

T = TypeVar("T")

FOREVER = float("inf")
UNKNOWN = "no such session: it never was, its worker has gone, or it ended too long ago"


class Peer(NamedTuple):
    """A worker as others reach it."""

    worker: str  # the part before the dot in its sids
    incarnation: str  # of this start of it: a hop names it, and another one at the same address refuses
    address: str  # unix:/path or tcp://host:port


class Here(Enum):
    """It is this worker's own."""

    HERE = "here"


HERE = Here.HERE


class Ended(NamedTuple):
    """What a worker leaves of a session that has ended."""

    code: int
    reason: str
    received: int  # the highest number of its client's messages
    key: Key = Key("")  # without one, whoever names the session is told

    def refusal(self, proof: Proof | None) -> Refusal:
        """What a request is told that shows this; who could not have gone on with the session is told nothing of it.
        See core.registry.Registry.find()."""
        if proof is not None:
            if not self.key:
                return Gone().refusal(None)
            if not proof.fits(self.key):
                return proof.refusal()
        return Refusal(self.code, self.reason, scope="session", received=self.received)


class Gone(NamedTuple):
    """Nobody has it any more. How it ended, if that is known."""

    ended: Ended | None = None

    def refusal(self, proof: Proof | None) -> Refusal:
        """What a request for it is told."""
        return Refusal(4404, UNKNOWN, scope="session") if self.ended is None else self.ended.refusal(proof)


Found: TypeAlias = Here | Peer | Gone
"""Who has a session: this worker, another one (alive, or not known to be dead), or nobody."""


class Later(Enum):
    """Nobody can say now: 4503, of scope carrier."""

    LATER = "later"


class Known(NamedTuple):
    """What the store says of a worker: how it is reached, if it is registered, and for how many seconds its lease still
    runs."""

    peer: Peer | None = None
    lease: float = 0.0

    @property
    def leased(self) -> bool:
        """Whether its lease runs."""
        return self.lease > 0


class Reached(Enum):
    """How a connection to a worker went."""

    UNTRIED = "untried"
    REFUSED = "refused"  # nobody is there, or another incarnation
    UNREACHABLE = "unreachable"  # no answer in time, no route, anything else


def judge(
    known: Known, tried: Peer | None, reached: Reached, steady: bool, *, fenced: bool = False
) -> Peer | Gone | Later:
    """Where a request for a session of a worker goes, of which the store says this, and for which `tried` was connected
    to before. `steady` is whether leases may be judged (core.attendance.Standing). Where sessions are `fenced`, as
    durable ones are, a worker without a lease is gone, and nobody tries it.

    A tombstone may say more than Gone: ask for it behind this answer, since a worker writes them before it goes.
    """
    if known.peer is None:
        # Nobody of this name is registered. It has left, or the store has forgotten it, or both were cut off.
        return Gone() if steady or reached is Reached.REFUSED else Later.LATER
    if fenced and steady and not known.leased:
        return Gone()
    if tried is None or tried != known.peer:
        return known.peer  # also without a lease: a connection shows more
    if reached is Reached.REFUSED:
        return Gone()
    return Later.LATER if known.leased or not steady else Gone()


class Recalled(Generic[T]):
    """What the store last said of something, by its name. That holds for one lease, if nothing else is said, and until
    it is doubted. At most so many are kept: the oldest is asked about again."""

    def __init__(self, lease: float, most: int) -> None:
        self._lease = lease
        self._most = most
        self._said: OrderedDict[str, tuple[T, float]] = OrderedDict()  # until when

    def note(self, name: str, said: T, now: float, seconds: float | None = None) -> None:
        """The store says this, which holds for so many seconds from `now` on."""
        self._said[name] = said, now + (self._lease if seconds is None else seconds)
        self._said.move_to_end(name)
        if len(self._said) > self._most:
            self._said.popitem(last=False)

    def fresh(self, name: str, now: float) -> T | None:
        """What was said, if that is not long ago."""
        said, until = self._said.get(name, (None, now))
        return said if now < until else None

    def doubt(self, name: str) -> None:
        """That was found wrong, or may be: the store is asked again."""
        said = self.last(name)
        if said is not None:
            self._said[name] = said, -FOREVER

    def last(self, name: str) -> T | None:
        """What was said, however long ago: for where the store does not answer, or has forgotten."""
        return self._said.get(name, (None, 0.0))[0]


class Neighbours(Recalled[Peer]):
    """The other workers: who is connected to shows whether it is there. One that the store has forgotten may only have
    lost the store."""

    def learn(self, peer: Peer, asked: float, lease: float) -> None:
        """The store has this worker, with a lease that runs for so many seconds, as it was asked then."""
        self.note(peer.worker, peer, asked, lease)

    def peer(self, worker: str, now: float) -> Peer | None:
        """How it is reached, if the lease runs that it had when that was asked."""
        return self.fresh(worker, now)


class Registration:
    """This worker's own lease, by its own clock: it counts from before it was asked for."""

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._until = 0.0

    def renewed(self, asked: float) -> None:
        """The store has registered this worker, or renewed its lease, when it was asked at this time."""
        self._until = max(self._until, asked + self._lease)

    def lost(self) -> None:
        """It is not registered: it has not started, has left, or its name is another's."""
        self._until = 0.0

    def runs(self, now: float) -> bool:
        """Whether others can find it: else it opens no sessions."""
        return now < self._until
