"""The directory, as one worker uses it: it registers and renews, claims names, and finds who has a session
(docs/scaling.md §7). What is decided decide core/claims and core/leases; what is asked, the store answers.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from ..brokers.base import Refused, Store
from ..core.attendance import Standing
from ..core.claims import Answer, Claim, Claims, Runs
from ..core.errors import BrokerError, Refusal
from ..core.leases import (
    HERE,
    Ended,
    Found,
    Gone,
    Later,
    Peer,
    Reached,
    Registration,
)
from ..core.shares import Limit
from ..loops import Tasks
from ..owners import Claimed, Mine, Taken
from .counting import Counting
from .finding import NOT_FREE, NOT_NOW, Finding
from .keeping import Keeping

__all__ = ["Directory"]

log: logging.Logger = logging.getLogger("realtime.cluster")

RENEWALS = 4  # in one lease
KEEPINGS = 5  # so often in a claim's life those are renewed that last
FAREWELL = 5.0  # seconds for what is left to be written when the worker goes

RECOUNTS = 900.0  # seconds, after which counts are written again, though nothing has changed
KNOWN = 100_000  # names that were opened by lately, of which another run of the store is told again

NOT_FOUND = "this worker is not registered now, so that it opens no sessions; come back later"
OTHER = "this nonce has opened a session already; open with a new nonce"


class Directory:
    """See realtime.owners.Owners. `peer` is this worker; `rename` gives it another name, and says which, or says None
    where it has sessions by the present one. `ends` says how its sessions have ended, with for how long that is told.
    `count` says how many sessions it has that count in a limit, `counted` what all these are. Claims last for `life`
    seconds; of ends that are to be written at most `most` are kept."""

    def __init__(
        self,
        store: Store,
        peer: Peer,
        *,
        rename: Callable[[], str | None],
        ends: Callable[[], Iterable[tuple[str, Ended, float]]],
        count: Callable[[str], int],
        counted: Callable[[], Iterable[str]],
        lease: float,
        life: float,
        most: int,
    ) -> None:
        self.peer: Peer = peer
        self.registration: Registration = Registration(lease)
        self.claims: Claims = Claims(peer.worker, life, KNOWN)
        self._store = store
        self._directory = store.directory
        self._rename = rename
        self._ends = ends
        self.lease: float = lease
        self._now = asyncio.get_running_loop().time
        self._standing = Standing(self._now(), lease)
        self._runs = Runs(lease)
        self._finding = Finding(self._directory, self._standing, lease)
        self._keeping = Keeping(self._directory, peer.worker, life, most)
        self._counting = Counting(self._directory, self._keeping, self._standing, count, counted)
        self._met: set[str] = set()  # runs that were told of what has begun
        self._tasks = Tasks("directory", log)
        self._back = asyncio.Event()
        self.registered: asyncio.Event = asyncio.Event()  # once
        self._stranger = False  # another has this worker's name, and it can take no other

    # -- starting and ending -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to register, as soon as the store is reached."""
        self._tasks.keep_up(self._live)
        self._tasks.keep_up(self._renew_claims)
        self._tasks.keep_up(self._renew_counts)
        self._tasks.keep_up(self._keeping.run)

    async def leave(self) -> None:
        """Writes what is left to be written, and gives up this worker's place: in five seconds at most."""
        until = self._now() + FAREWELL
        with suppress(TimeoutError, BrokerError):
            async with asyncio.timeout_at(until):
                await self._keeping.written()
        self.registration.lost()
        await self._tasks.end()
        with suppress(TimeoutError, BrokerError):
            async with asyncio.timeout_at(until):
                await self._directory.strike(self.peer)

    # -- the store -----------------------------------------------------------------------------------------------------

    def returned(self, run: str) -> None:
        """A run of the store answers that did not before."""
        self._standing.answered(self._now())
        if run not in self._met:
            self._standing.returned(self._now())
            if self._met:
                self._tell_again(run)
            self._met.add(run)
        self._back.set()

    def failed(self) -> None:
        """The store does not answer."""
        self._standing.failed()

    def answering(self) -> float:
        """For how many seconds the store has been answering."""
        return self._standing.answering(self._now())

    def _tell_again(self, run: str) -> None:
        """Another run is told of what has begun here, of what has ended, and of what is counted."""
        for name, claim in self.claims.begun(self._now()):
            if self._store.run_at(self._directory.home(name)) == run:
                self._keeping.claim(name, claim)
        for sid, ended, life in self._ends():
            self._keeping.end(sid, ended, life)
        self._counting.tell()

    async def _live(self) -> None:
        while True:
            self._back.clear()
            await self._register()
            # The lowest part of each run.
            parts = {self._store.run_at(part): part for part in reversed(range(self._store.parts))}
            parts.pop("", None)
            self._runs.gone(set(parts))
            for part in parts.values():
                await self._meet(part)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.lease / RENEWALS):
                    await self._back.wait()

    async def _register(self) -> None:
        asked = self._now()
        with suppress(BrokerError):
            if await self._directory.enlist(self.peer, self.lease):
                self.registration.renewed(asked)
                self._standing.renewed(asked, self._now())
                if not self.registered.is_set():
                    log.info("= this worker is %s of the cluster, at %s", self.peer.worker, self.peer.address)
                self.registered.set()
                return
            self.registration.lost()
            name = self._rename()
            if name is None:
                if not self._stranger:
                    log.error("! another worker has the name of this one, whose sessions only it can serve now")
                self._stranger = True
                return
            self.peer = self.peer._replace(worker=name)
            self.claims.worker = self._keeping.worker = name
            self._back.set()  # and tries again at once

    async def _meet(self, part: int) -> None:
        """Asks since when the run that has this part may have been without claims."""
        run = self._store.run_at(part)
        with suppress(BrokerError):
            ago = await self._directory.met(part, self._runs.known(run))
            if run and run == self._store.run_at(part):
                self._runs.met(run, ago, self._now())

    async def _renew_claims(self) -> None:
        while True:
            await asyncio.sleep(self.claims.life / KEEPINGS)
            for name, claim in self.claims.lasting():
                self._keeping.claim(name, claim)

    async def _renew_counts(self) -> None:
        while True:
            await asyncio.sleep(RECOUNTS)
            self._counting.tell()

    # -- names ---------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises Refused while this worker may open no sessions."""
        if not self.registration.runs(self._now()):
            raise Refused(NOT_FOUND)

    def wait(self) -> float:
        """In how many seconds names that nobody has are given again, by every run of the store that is known."""
        return self._runs.wait(self._now())

    async def claim(self, name: str, digest: str, handed: bool = False) -> Claimed:
        """Claims a name."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()

        def tell(what: Answer) -> None:
            if not answer.done():
                answer.set_result(what)
            elif self._is_mine(what):
                self.settled(name, digest, "")  # who asked has left

        if self.claims.ask(name, tell):
            self._tasks.begin(self._ask(name, digest))  # it goes on for the others, if this one leaves
        try:
            told = await answer
        except asyncio.CancelledError:
            if not answer.cancelled() and self._is_mine(answer.result()):
                self.settled(name, digest, "")
            raise
        if not isinstance(told, Claim):
            raise Refused(NOT_FREE)
        if told.digest != digest:
            if self._is_mine(told):
                self.settled(name, digest, "")
            raise Refusal(4409, OTHER)
        if self._is_mine(told):
            return Mine(told.sid)
        if handed:
            raise Refused(NOT_NOW)  # one hop at most
        return await self._taken(told.sid)

    def _is_mine(self, what: Answer) -> bool:
        return isinstance(what, Claim) and what.worker == self.peer.worker

    async def _ask(self, name: str, digest: str) -> None:
        answer: Answer = Later.LATER
        try:
            home = self._directory.home(name)
            if not self._runs.known(self._store.run_at(home)):
                await self._meet(home)
            claim = Claim(f"{self.peer.worker}.{secrets.token_urlsafe(18)}", digest)
            may = self._runs.may_claim(self._store.run_at(home), self._now())
            answer = await self._directory.claim(name, claim, self.claims.life, may) or Later.LATER
        except BrokerError:
            pass
        finally:
            self.claims.answered(name, answer)

    def settled(self, name: str, digest: str, sid: str) -> None:
        """What came of Mine."""
        free = self.claims.settled(name, Claim(sid, digest) if sid else None, self._now())
        if free is not None:
            self.give_back(name, free.sid)

    def give_back(self, name: str, sid: str) -> None:
        """The name is not for the session of this sid."""
        self._tasks.begin(self._release(name, sid))

    async def _release(self, name: str, sid: str) -> None:
        with suppress(BrokerError):
            await self._directory.release(name, sid)

    def ended(self, name: str, sid: str, ended: Ended, life: float) -> None:
        """A session of this worker has ended."""
        if name:
            self.claims.ended(name, self._now())
        if life > 0:
            self._keeping.end(sid, ended, life)

    async def find(self, name: str) -> Taken | Gone | None:
        """Which other worker has a name."""
        home = self._directory.home(name)
        claim = await self._finding.holder(name, lambda: self._runs.may_claim(self._store.run_at(home), self._now()))
        if claim is None or self._is_mine(claim):
            return None
        taken = await self._taken(claim.sid)
        if isinstance(taken, Gone):
            self._finding.holders.doubt(name)
        return taken

    async def _taken(self, sid: str) -> Taken | Gone:
        found = await self.owner(sid)
        assert found is not HERE
        return Taken(found, sid) if isinstance(found, Peer) else found

    # -- limits --------------------------------------------------------------------------------------------------------

    async def share(self, opening: object, limits: Sequence[Limit]) -> None:
        """A session is to be opened that counts in these."""
        await self._counting.share(opening, limits)

    def shared(self, opening: object, limits: Sequence[Limit]) -> None:
        """It is counted, or there is none."""
        self._counting.shared(opening, limits)

    def recount(self, limits: Sequence[Limit]) -> None:
        """What this worker has may have changed."""
        self._counting.recount(limits)

    # -- sessions ------------------------------------------------------------------------------------------------------

    async def owner(self, sid: str) -> Found:
        """Who has this session."""
        return HERE if sid.partition(".")[0] == self.peer.worker else await self._finding.owner(sid)

    async def alive(self, worker: str) -> Peer | Gone:
        """Another worker, as long as its lease runs."""
        return await self._finding.alive(worker)

    async def others(self) -> Sequence[Peer]:
        """The other workers whose leases run."""
        return [peer for peer in await self._directory.living() if peer.worker != self.peer.worker]

    async def refused(self, peer: Peer, sid: str = "") -> Found:
        """A connection to this worker was refused."""
        return await self._finding.again(peer, sid, Reached.REFUSED)

    async def unreachable(self, peer: Peer, sid: str = "") -> Found:
        """This worker could not be reached otherwise."""
        return await self._finding.again(peer, sid, Reached.UNREACHABLE)
