"""The durable sessions of one worker: opened, found, taken over, handed over, and swept when nobody has them
(docs/protocol.md §13.2). What is decided decides core/durable; what is asked, the store answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NoReturn, TypeVar

from ..admission import Admission
from ..brokers.base import Records, Store
from ..brokers.identities import following
from ..core.durable.opening import PREFIX, Opening
from ..core.durable.owner import Write
from ..core.durable.record import Record, Stage, created
from ..core.durable.takeover import Notice, Step, Underway, place, taken_over
from ..core.errors import BrokerError, Refusal
from ..core.frames import Window
from ..core.leases import UNKNOWN, Gone, Later, Peer
from ..core.proof import Proof
from ..core.server_machine import ServerMachine
from ..endpoint import Endpoint
from ..loops import begin
from ..owners import UNSURE, Elsewhere, Reach, claiming, digest_of
from ..request import SessionRequest
from ..runtime import Runtime
from ..sessions import MAX_HEADERS, SHUTTING, Sessions
from .holding import DurableListener, Holding, unused_id
from .requests import opening_of, request_of
from .served import Served
from .session import DurableSession
from .sweeps import Sweeps
from .whose import Whose, owner_of

__all__ = ["Keeper", "sid_of"]

log: logging.Logger = logging.getLogger("realtime.server")

T = TypeVar("T")

TRIES = 3  # of a request to find its session, where others take it at the same time
PAUSE = 0.05  # seconds between two questions to a store that does not answer
USED = "this nonce has opened a session already; open with a new nonce"
ANOTHER = "nobody can say now who has this session; come back later"
NOT_SERVED = "this worker has no such endpoint, and another one may have it; come back later"
AWAY = "this server has not started, or has no store for durable sessions; come back later"


def sid_of(path: str, nonce: str) -> str:
    """The sid that an open by this nonce gets at an endpoint, at whatever worker: so that one is opened."""
    digest = hashlib.sha256(f"{path}\0{nonce}".encode()).digest()
    return PREFIX + urlsafe_b64encode(digest[:18]).decode()


class Keeper:
    """See above. `endpoints` has those that are served, by their paths."""

    def __init__(
        self,
        sessions: Sessions,
        admission: Admission,
        runtime: Runtime,
        endpoints: dict[str, Endpoint],
        reach: Callable[[], Reach | None],
    ) -> None:
        self.sessions: Sessions = sessions
        self.holdings: dict[str, Holding] = {}
        self.records: Records
        self.leaving: bool = False
        self._admission = admission
        self._runtime = runtime
        self.served: Served = Served(sessions, endpoints)
        self._underway = Underway()
        self.now: Callable[[], float] = runtime.clock.now
        self._started = False
        self._whose = Whose(sessions, reach)
        self.sweeps: Sweeps

    # -- starting and ending -------------------------------------------------------------------------------------------

    def start(self, store: Store) -> None:
        """Begins, over this store."""
        self.records = store.records
        if self.sessions.owners is None:
            self.sessions.incarnation = secrets.token_urlsafe(12)
        self.sweeps = Sweeps(self, store)
        self.holdings, self._underway, self._started, self.leaving = {}, Underway(), True, False
        self.sweeps.start()

    @property
    def reachable(self) -> bool:
        """Whether others could bring requests for what is here."""
        return self.alone or self.sessions.reachable

    @property
    def alone(self) -> bool:
        """Whether this worker is in no cluster."""
        return self.sessions.owners is None

    @property
    def name(self) -> str:
        """What records name this worker by."""
        return owner_of(self.sessions.worker, self.sessions.incarnation)

    def returned(self, run: str) -> None:
        """A run of the store answers that did not before."""
        self.sweeps.returned(run)

    def failed(self) -> None:
        """The store does not answer."""

    async def hand_over(self, turn: float, moments: Callable[[int], Sequence[float]] | None = None) -> None:
        """The worker goes: all sessions are given up for others, each behind the turn that is under way, if that takes
        no longer than so many seconds; and at its moment, of those that there are for so many, in seconds from now."""
        self.leaving = True
        loop = asyncio.get_running_loop()
        while holdings := tuple(self.holdings.values()):  # a takeover may have been under way
            times = [0.0] * len(holdings) if moments is None else moments(len(holdings))
            await asyncio.gather(*(one.give(after, turn) for one, after in zip(holdings, times, strict=True)))
            moments = None
        if self._started:
            await self.sweeps.finished(loop.time() + turn)

    async def stop(self) -> None:
        """Ends."""
        if self._started:
            self._started = False
            await self.sweeps.stop()

    # -- opening -------------------------------------------------------------------------------------------------------

    async def open(
        self,
        endpoint: Endpoint,
        nonce: str,
        gen: int,
        binding: object,
        window: Window,
        identity: str | None,
        request: SessionRequest,
        address: str,
        cursors: Mapping[str, str],
    ) -> DurableSession:
        """The session that this nonce opens, new or as before. `cursors`: how far its client has heard rooms in earlier
        ones. Raises Refusal, and Elsewhere where it is another worker's."""
        sid = sid_of(endpoint.path, nonce)

        async def create() -> bool:
            if self.sessions.refusing:
                raise Refusal(4503, SHUTTING)
            if request._pack() > MAX_HEADERS:
                raise Refusal(4400, f"the headers are above {MAX_HEADERS} bytes, too much to be kept with the session")
            self.sessions.registry.check_room(identity, address)
            opening = opening_of(
                request,
                endpoint.path,
                key=secrets.token_urlsafe(24),
                binding=binding,
                identity=identity,
                address=address,
                window=window,
                life=self.served.life(endpoint),
            )
            record = created(unused_id(), self.name, unused_id(), opening.written(), gen)
            record = record._replace(cursors=tuple(cursors.items()))
            async with _counted(self.sessions, identity, address), following(self.sessions.shared, identity):
                self._admission.check_withdrawn(identity, request)
                done = await _put(self, endpoint, sid, Write("", record))
                if done:
                    self._hold(endpoint, sid, record, opening, request, suspected=False)
            return done

        def check(opening: Opening, record: Record) -> None:
            if opening.binding != digest_of(binding) or opening.path != endpoint.path or record.used:
                raise Refusal(4409, USED)

        holding = await self._find(sid, check, create)
        if holding.machine.used:
            raise Refusal(4409, USED)
        self._admission.check_withdrawn(identity, request)
        return holding.session

    # -- finding -------------------------------------------------------------------------------------------------------

    async def route(self, sid: str, proof: Proof | None) -> DurableSession:
        """The session of this sid, taken over where nobody has it. Raises Refusal where there is none, or the request
        may not go on with it, and Elsewhere where it is another worker's."""

        def check(opening: Opening, record: Record) -> None:
            if proof is None:
                raise Gone().refusal(None)
            if not proof.fits(opening.key):
                raise proof.refusal()

        return (await self._find(sid, check, None, proof)).session

    async def _find(
        self,
        sid: str,
        check: Callable[[Opening, Record], None],
        create: Callable[[], Awaitable[bool]] | None,
        proof: Proof | None = None,
    ) -> Holding:
        """The hold of this session, as soon as this worker has it. `check` says whether the request may, of what the
        store has; `create` makes what is not there."""
        for _ in range(TRIES):
            holding = self.holdings.get(sid)
            if holding is not None and not holding.giving:
                check(holding.opening, holding.owner.record)
                return holding
            if holding is not None:
                await holding.gone.wait()
            if self.leaving:
                raise Elsewhere(await self._whose.another(), sid, proof)
            sight = await self._ask(lambda: self.records.load(sid))
            record = None if sight is None else sight.record
            if record is None and create is None:
                raise Refusal(4404, UNKNOWN, scope="session")
            opening = None if record is None else _opening(record)
            if record is not None and opening is not None:
                check(opening, record)
            where = place(record, self.name, has=sid in self.holdings, owner=await self.whose(record))
            if where is Step.TOMBSTONE:
                assert record is not None
                assert record.end is not None
                raise Refusal(*record.end, scope="session", received=record.received)
            if isinstance(where, Peer):
                raise Elsewhere(where, sid, proof)
            if where is Later.LATER:
                break
            if where is Step.SERVE:
                continue
            free = asyncio.Event()
            if not self._underway.begins(sid, free.set):
                await free.wait()
                continue
            try:
                if record is None:
                    assert create is not None
                    await create()
                else:
                    assert opening is not None
                    if self.served.endpoint(opening) is None:
                        await self._not_served(sid, opening, record, proof)
                    await self._take_over(sid, record, opening)
            finally:
                self._underway.ended(sid)
            holding = self.holdings.get(sid)
            if holding is not None:
                return holding
        raise Refusal(4503, ANOTHER)

    async def _not_served(self, sid: str, opening: Opening, record: Record, proof: Proof | None) -> NoReturn:
        """Nobody has this session, and there is no such endpoint here: in a rolling deploy another worker may have it,
        still or already. Raises Refusal: Elsewhere where there are others."""
        if self.alone:
            raise Refusal(4404, f"there is no durable endpoint {opening.path} any more", scope="session")
        raise Elsewhere(await self._whose.another(NOT_SERVED, record.owner), sid, proof)

    async def whose(self, record: Record | None) -> Peer | Gone | Later:
        """Who has a session that has this record."""
        if record is None or record.stage is Stage.ENDED or record.owner == self.name:
            return Gone()
        return await self._whose(record.owner)

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The store's answer. Raises Refusal (4503)."""
        if not self._started:
            raise Refusal(4503, AWAY)
        try:
            return await ask()
        except BrokerError:
            raise Refusal(4503, UNSURE) from None

    # -- taking over ---------------------------------------------------------------------------------------------------

    async def adopt(self, sid: str, record: Record) -> None:
        """Takes over what nobody asks for. Raises Refusal."""
        if sid not in self.holdings and self._underway.begins(sid, lambda: None):
            try:
                await self._take_over(sid, record, _opening(record))
            finally:
                self._underway.ended(sid)

    async def _take_over(self, sid: str, record: Record, opening: Opening) -> bool:
        """Writes a takeover of what was seen; whether it has happened. Raises Refusal."""
        endpoint = self.served.endpoint(opening)
        if endpoint is None:
            raise Refusal(4503, NOT_SERVED)
        if self.leaving:
            raise Refusal(4503, SHUTTING)
        new = taken_over(record, self.name, unused_id(), unused_id())
        notice = Notice(sid, record.tenure.id) if record.owner else None
        async with following(self.sessions.shared, opening.identity):
            done = await _put(self, endpoint, sid, Write(record.id, new), notice, record.owner)
            if done:
                log.debug("= a durable session is taken over")
                self._hold(endpoint, sid, new, opening, request_of(opening), suspected=bool(record.owner))
                if self.sessions.owners is not None:
                    self.sessions.owners.recount(self.sessions.registry.limits(opening.identity, opening.address))
        return done

    def _hold(
        self,
        endpoint: Endpoint,
        sid: str,
        record: Record,
        opening: Opening,
        request: SessionRequest,
        *,
        suspected: bool,
    ) -> None:
        """This worker has the session from now on."""
        now = self.now()
        holding = Holding(self, sid, endpoint, record, opening, suspected=suspected)
        listener = DurableListener(self._runtime, self._ended)
        listener.holding = holding
        machine = holding.make(listener, now)
        session = DurableSession(listener, endpoint.path, endpoint.config.on_full, self.sessions.hub, request)
        session._bind(machine)
        if record.cursors:
            session._takes_positions(dict(record.cursors))
        session._begin(holding, record.data, restored=record.begun)
        holding.session = session
        self.holdings[sid] = holding
        self.sessions.registry.add(machine)
        self.sessions.by_sid[sid] = session
        if machine.identity is not None and self.sessions.shared is not None:
            self.sessions.shared.here(machine.identity)
        machine.observers = self.sessions.observers
        machine.restore(now)
        self._runtime.wake(machine, machine.deadline())
        for observer in self.sessions.observers:
            observer.opened(machine, request.transport)
        if self.leaving:
            begin(holding.hand_over(0.0), "realtime hands over")
        else:
            holding.start()

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _ended(self, machine: ServerMachine) -> None:
        """A session has ended, or goes on elsewhere."""
        holding = self.holdings.pop(machine.sid, None)
        if holding is not None:
            holding.over()
            if not holding.machine.moved:
                self.sweeps.bury(holding)
        self.sessions._ended(machine)


async def _put(
    keeper: Keeper, endpoint: Endpoint, sid: str, write: Write, notice: Notice | None = None, to: str = ""
) -> bool:
    """Writes, until it is known whether that has happened: it may have, without an answer."""
    pause, due = PAUSE, keeper.served.due(keeper.served.life(endpoint), write.record)
    until = asyncio.get_running_loop().time() + endpoint.config.request_timeout
    while True:
        try:
            return await keeper.records.put(sid, write, due, notice, to) == write.record.id
        except BrokerError:
            if asyncio.get_running_loop().time() > until:
                raise Refusal(4503, UNSURE) from None
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.5)


def _counted(sessions: Sessions, identity: str | None, address: str) -> AbstractAsyncContextManager[object]:
    """Counts a session that is opened in what is limited for all workers."""
    owners, limits = sessions.owners, sessions.registry.limits(identity, address)
    return nullcontext() if owners is None else claiming(owners, "", None, False, limits)


def _opening(record: Record) -> Opening:
    """What a record's session was opened with. Raises Refusal for what cannot be read."""
    try:
        return Opening.read(record.opening)
    except ValueError as error:
        raise Refusal(4404, str(error), scope="session") from None
