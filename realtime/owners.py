"""Who has a session, and who may open one by a name: what the sessions of a worker in a cluster ask. Who answers is
cluster/'s.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, NoReturn, Protocol, TypeAlias, TypeVar

from .brokers.base import Store, Stores
from .core.errors import BrokerError, Refusal
from .core.leases import Ended, Found, Gone, Peer, Reached
from .core.proof import Proof
from .core.shares import Limit

__all__ = [
    "LEFT",
    "UNSURE",
    "Bridge",
    "BridgeEnded",
    "Bridges",
    "Claimed",
    "Clusters",
    "Elsewhere",
    "Member",
    "Mine",
    "Owners",
    "Reach",
    "Taken",
    "claiming",
    "digest_of",
    "look_for",
    "look_up",
]


T = TypeVar("T")

# What clients are told when the directory does not answer. (What went wrong is in the log, and has addresses.)
UNSURE = "nobody can say now who has this session, or who may open it; come back later"
LEAVING = "this worker is going away; come back later"
# For how many seconds the directory is asked again, and how many there are between two questions, at first and at most.
PATIENCE = 10.0
PAUSE = 0.05
MOST_PAUSE = 0.5


Reach: TypeAlias = Callable[[Peer], Awaitable[Reached]]
"""Tries to reach another worker. UNTRIED: it is there."""


class Mine(NamedTuple):
    """The name is this worker's: it opens the session, by this sid."""

    sid: str


class Taken(NamedTuple):
    """Another worker has the name: it has opened the session, or is about to."""

    peer: Peer
    sid: str


Claimed: TypeAlias = Mine | Taken | Gone


class Elsewhere(Refusal):
    """The request is for a session of another worker, which is alive, or not known to be dead: carry it there.

    Told to its client where nobody does: come back later.
    """

    def __init__(self, peer: Peer, sid: str, proof: Proof | None = None) -> None:
        super().__init__(4503, "the session is with another worker, to which this request was not carried")
        self.peer = peer
        self.sid = sid
        self.proof = proof  # what the request shows: see Gone.refusal()


class Owners(Protocol):
    """The directory, as a worker asks it. Everything here raises BrokerError (Refused, most of all) while nothing can
    be said, since the store is away, or has just come back: that is answered with 4503, of scope carrier."""

    @property
    def lease(self) -> float:
        """For how many seconds a worker counts as alive that is not heard of; 0 where that is not known any more."""

    def answering(self) -> float:
        """For how many seconds the store has been answering, without a pause and in one run."""

    def check(self) -> None:
        """Raises Refused while this worker may open no sessions, since others could not find it."""

    async def owner(self, sid: str) -> Found:
        """Who has this session: by the worker in the sid. An answer may be some seconds old: connecting shows."""

    async def alive(self, worker: str) -> Peer | Gone:
        """Another worker, as long as its lease runs, or may run for all that is known. That it is over is enough where
        it does no harm if the worker lives."""

    async def claim(self, name: str, digest: str, handed: bool = False) -> Claimed:
        """Claims a name (an opening nonce, or what a client chose) for a new session.

        `digest` is that of what an open by this name is bound to, "" for nothing. Opens by a name that is being claimed
        wait for the same answer. One that was `handed` on here, since the claim says so, is not Taken. Raises Refusal
        (4409) where the name is bound to something else.

        Whoever is told Mine calls settled() behind it, once, whatever came of it.
        """

    def settled(self, name: str, digest: str, sid: str) -> None:
        """What came of Mine: the sid of the session, "" where none was opened. Then the name is given back, when all
        who were told Mine have said so."""

    def give_back(self, name: str, sid: str) -> None:
        """This worker opens nothing by a name that the store has for it, and for the session of this sid."""

    def ended(self, name: str, sid: str, ended: Ended, life: float) -> None:
        """A session of this worker has ended, opened by this name ("" for none); for `life` seconds it is told how."""

    async def share(self, opening: object, limits: Sequence[Limit]) -> None:
        """A session is to be opened here that counts in these limits, which hold for all workers together. Raises
        Refusal (4429) where there are too many. Whoever has called it calls shared() behind it, once, also then."""

    def shared(self, opening: object, limits: Sequence[Limit]) -> None:
        """The session is counted, or there is none."""

    def recount(self, limits: Sequence[Limit]) -> None:
        """A session that counts in these has ended."""

    async def find(self, name: str) -> Taken | Gone | None:
        """Which other worker has a name, without claiming it; None if nobody has."""

    async def others(self) -> Sequence[Peer]:
        """The other workers whose leases run."""

    async def refused(self, peer: Peer, sid: str = "") -> Found:
        """A connection to this worker was refused, or another incarnation is there: that proves that it is gone. Asks
        again who has this session of it: Gone, with what the worker left of it, or another Peer of the same name."""

    async def unreachable(self, peer: Peer, sid: str = "") -> Found:
        """This worker could not be reached otherwise: it is Gone only if it has no lease either, and leases may be
        judged. Else raises Refused: its client tries again."""


class BridgeEnded(Exception):
    """A bridge has ended: the other worker has ended the session (`clean`), or is gone."""

    def __init__(self, *, clean: bool) -> None:
        super().__init__("the other worker ended it" if clean else "the other worker is gone")
        self.clean: bool = clean


class Bridge(Protocol):
    """A session at another worker, for a client of this one. All raise BridgeEnded."""

    async def send(self, message: str | bytes) -> None:
        """The client says this; waits until it may go."""

    async def receive(self) -> str | bytes:
        """What the worker says."""

    def close(self) -> None:
        """The client has left."""


class Bridges(Protocol):
    """Those of one worker."""

    async def open(self, pid: str, request: Any) -> Bridge | None:
        """Opens a session at the worker where a client may go on by this pid, as if it had made this request there.
        None where there is none, or that worker is not reached."""


class Left:
    """The directory of a worker that has left it. On a connection that was kept a request may still come here, for a
    session that lives elsewhere: another worker finds it. See Owners."""

    lease: float = 0.0

    def _refuse(self) -> NoReturn:
        raise Refusal(4503, LEAVING)

    def answering(self) -> float:
        """It is not asked any more, so nobody waits for it."""
        return float("inf")

    def check(self) -> None:
        """No session is opened."""
        self._refuse()

    async def owner(self, sid: str) -> Found:
        """Another worker is asked."""
        self._refuse()

    async def alive(self, worker: str) -> Peer | Gone:
        """Another worker is asked."""
        self._refuse()

    async def claim(self, name: str, digest: str, handed: bool = False) -> Claimed:
        """Another worker is asked."""
        self._refuse()

    def settled(self, name: str, digest: str, sid: str) -> None:
        """Nothing was claimed."""

    def give_back(self, name: str, sid: str) -> None:
        """Nothing was claimed."""

    def ended(self, name: str, sid: str, ended: Ended, life: float) -> None:
        """All have ended before."""

    async def share(self, opening: object, limits: Sequence[Limit]) -> None:
        """No session is opened."""
        self._refuse()

    def shared(self, opening: object, limits: Sequence[Limit]) -> None:
        """Nothing is counted."""

    def recount(self, limits: Sequence[Limit]) -> None:
        """Nothing is counted."""

    async def find(self, name: str) -> Taken | Gone | None:
        """Another worker is asked."""
        self._refuse()

    async def others(self) -> Sequence[Peer]:
        """Another worker is asked."""
        self._refuse()

    async def refused(self, peer: Peer, sid: str = "") -> Found:
        """Another worker is asked."""
        self._refuse()

    async def unreachable(self, peer: Peer, sid: str = "") -> Found:
        """Another worker is asked."""
        self._refuse()


LEFT: Owners = Left()


class Member(Protocol):
    """A server as a worker of a cluster."""

    @property
    def drain_timeout(self) -> float:
        """For how many seconds its sessions may go to others when the server shuts down."""

    @property
    def problem(self) -> str:
        """Why it can take no sessions; "" where it can."""

    @property
    def note(self) -> str:
        """Why it takes no new sessions for a while, although it is well, as no other worker does; "" where it does."""

    async def start(self) -> None:
        """Begins: behind this it may be found, as soon as the store is reached. Does not wait for that."""

    async def settle(self) -> None:
        """Waits for that, for a moment."""

    async def close(self) -> None:
        """Leaves: its sessions have ended, and the store is still there."""

    def returned(self, run: str) -> None:
        """A run of the store answers that did not before."""

    def failed(self) -> None:
        """The store does not answer."""


class Clusters(Protocol):
    """What a server is told to be a worker of."""

    def check_broker(self, broker: Stores) -> None:
        """Raises LocalProtocolError where its workers could not keep their leases by this broker."""

    def member(self, service: Any, store: Store) -> Member:
        """Makes a server's service a worker, over this store. Called in its event loop."""


def digest_of(binding: object) -> str:
    """Stands for what an open is bound to, where others keep it: "" for nothing."""
    if binding is None:
        return ""
    return hashlib.sha256(repr(binding).encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Opening:
    """A session that is to be opened, by this sid if that is not empty."""

    def __init__(self, sid: str) -> None:
        self.sid = sid
        self.opened = ""  # the sid of the session that was


@asynccontextmanager
async def claiming(
    owners: Owners, name: str, binding: object, handed: bool, limits: Sequence[Limit]
) -> AsyncIterator[Opening]:
    """Claims a name, and counts in what is limited for all workers, while a session is opened by it. No name ("")
    is any worker's. Raises Refusal; Elsewhere where another worker has the name."""
    one = name or object()
    opening = Opening(await _claim(owners, name, binding, handed))
    try:
        try:
            if limits:
                await owners.share(one, limits)
            yield opening
        except BrokerError:
            raise Refusal(4503, UNSURE) from None
        finally:
            if limits:
                owners.shared(one, limits)
    finally:
        if name:
            owners.settled(name, digest_of(binding), opening.opened)


async def _claim(owners: Owners, name: str, binding: object, handed: bool) -> str:
    """The sid that a name opens by. Raises Refusal."""
    try:
        if not handed:
            owners.check()
        if not name:
            return ""
        found = await owners.claim(name, digest_of(binding), handed)
    except BrokerError:
        raise Refusal(4503, UNSURE) from None
    if isinstance(found, Taken):
        raise Elsewhere(found.peer, found.sid)
    if isinstance(found, Gone):
        raise found.refusal(None)
    return found.sid


async def look_for(owners: Owners, name: str) -> None:
    """Raises Elsewhere where another worker has a name, and Refusal where that is gone and has said how it ended. Waits
    a while until somebody can say: for clients that come by names a refusal is the end."""
    found = await _answer(lambda: owners.find(name), patient=True)
    if isinstance(found, Taken):
        raise Elsewhere(found.peer, found.sid)
    if found is not None and found.ended is not None:
        raise found.refusal(None)


async def look_up(owners: Owners, sid: str, proof: Proof | None) -> None:
    """Raises Elsewhere where another worker has a session, and Refusal where that is gone. Without a proof the protocol
    is one whose clients do not try again: waits a while until somebody can say."""
    found = await _answer(lambda: owners.owner(sid), patient=proof is None)
    if isinstance(found, Peer):
        raise Elsewhere(found, sid, proof)
    if isinstance(found, Gone):
        raise found.refusal(proof)


async def _answer(ask: Callable[[], Awaitable[T]], *, patient: bool) -> T:
    """What the directory says, asked again for a while where it is `patient`. Raises Refusal (4503)."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE if patient else 0.0
    pause = PAUSE
    while True:
        try:
            return await ask()
        except BrokerError:
            if loop.time() + pause > until:
                raise Refusal(4503, UNSURE) from None
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_PAUSE)
