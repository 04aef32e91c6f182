"""The sessions of a server: opened, found, observed and ended.

What may have to ask who has a session is awaited (open, route, claimed); what is created, is created without waiting.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from .admission import Admission
from .brokers.identities import Identities, following
from .clock import Patience
from .core.config import Config
from .core.durable.opening import PREFIX, is_durable
from .core.errors import Refusal
from .core.frames import Window
from .core.leases import Ended
from .core.numbered_machine import NumberedMachine
from .core.observer import Observer, Result
from .core.proof import Proof
from .core.registry import Registry
from .core.server_machine import ServerMachine
from .endpoint import Endpoint
from .handlers import Handlers
from .hub import Hub
from .notices import Notices
from .owners import Owners, claiming, look_for, look_up
from .request import SessionRequest
from .runtime import Runtime
from .session import ServerListener, Session

__all__ = ["Sessions"]

log: logging.Logger = logging.getLogger("realtime.server")
session_log: logging.Logger = logging.getLogger("realtime.session")

# <worker>.<token>
SID = re.compile(r"([A-Za-z0-9_-]{4})\.[A-Za-z0-9_-]{24}")
SHUTTING = "the server is shutting down; come back later"
# What is told to requests for sessions of other processes, in 123 bytes at most.
ASTRAY = "opened by another process: one before a restart, or one of several, which has to get all its requests"

URLSAFE = bytes.maketrans(b"+/", b"-_")

# The headers of the request that opens a session are kept with it: so many bytes.
MAX_HEADERS = 32_768


def draw() -> tuple[str, str]:
    """What a sid has behind its dot, of 144 random bits, and a key, of 192, in the alphabet of RFC 4648 §5. From the
    system, as the module `secrets` has it, and asked for once."""
    text = b2a_base64(os.urandom(42), newline=False).translate(URLSAFE).decode()
    return text[:24], text[24:]


class Keeper(Protocol):
    """The durable sessions of this worker."""

    async def route(self, sid: str, proof: Proof | None) -> Session:
        """The session of this sid. Raises as Sessions.route() does."""


class Sessions:
    """All sessions of one server in this process."""

    def __init__(self, config: Config, runtime: Runtime, admission: Admission, notices: Notices) -> None:
        self.hub: Hub = Hub(runtime.check)
        self.handlers: Handlers = Handlers(runtime.clock, self._handled)
        self.registry: Registry = Registry(config)
        self.observers: tuple[Observer, ...] = ()
        self.owners: Owners | None = None  # the directory of a cluster
        self.refusing = False  # no new ones are taken
        self.keeper: Keeper | None = None  # of durable sessions, where this worker or others have any
        self.shared: Identities | None = None  # identities that go over a broker, while the server runs
        self._config = config
        self._runtime = runtime
        self._now = runtime.clock.now
        self._when_ended = self._ended  # one object for all
        self._admission = admission
        self._notices = notices
        self._worker = ""  # part of every sid: who owns it
        self.incarnation: str = ""  # of this start of it
        self.reachable = False  # others can bring requests here
        self._process = 0
        self.started()
        self.by_sid: dict[str, Session] = {}  # those that have not ended
        self._untold: set[str] = set()  # sessions that ended while their client was between two polls, at shutdown
        self._told = asyncio.Event()  # set when there are none any more

    def started(self) -> None:
        """The application starts. Processes that were forked meanwhile are workers of their own."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._worker = secrets.token_urlsafe(3)

    @property
    def worker(self) -> str:
        """What the sids of this process begin with."""
        return self._worker

    def rename(self) -> str | None:
        """Takes another name, since another worker has this one; None where there are sessions by it."""
        if self.by_sid or self.registry.tombstones:
            return None
        self._worker = secrets.token_urlsafe(3)
        return self._worker

    def __len__(self) -> int:
        return len(self.by_sid)

    def __iter__(self) -> Iterator[Session]:
        """Those that have not ended; they may end meanwhile."""
        return iter(tuple(self.by_sid.values()))

    def get(self, sid: str) -> Session | None:
        """The session of this sid, if there is one."""
        return self.by_sid.get(sid)

    def of(self, identity: str) -> tuple[Session, ...]:
        """Those of an identity."""
        return tuple(self.by_sid[machine.sid] for machine in self.registry.of(identity))

    # -- opening -------------------------------------------------------------------------------------------------------

    async def open(
        self,
        endpoint: Endpoint,
        *,
        nonce: str,
        binding: object,
        window: Window,
        identity: str | None,
        request: SessionRequest,
        address: str = "",
        kind: Callable[..., ServerMachine] = NumberedMachine,
    ) -> Session:
        """The session that this nonce opens, new or as before. Raises Refusal, and Elsewhere where it is another
        worker's.

        `binding` is what an open by the same nonce has to come with; without one, the nonce is a name that the client
        chose for its session, and whoever comes by it finds that: compare the identity. `kind` makes the machine, for
        protocols that need one of their own.

        A new one's handler starts in the next turn of the event loop: attach a carrier first.
        """
        session = await self.claim(nonce, binding)
        if session is None and self.owners is not None:
            if self.refusing:
                if request._handed:
                    self.owners.give_back(nonce, request._handed)
                raise Refusal(4503, SHUTTING)
            limits = self.registry.limits(identity, address)
            claim = claiming(self.owners, nonce, binding, bool(request._handed), limits)
            async with claim as claimed, following(self.shared, identity):
                self._admission.check_withdrawn(identity, request)
                session = self._create(endpoint, nonce, binding, window, identity, request, address, kind, claimed.sid)
                claimed.opened = session.id
            return session
        if session is None and identity is not None and self.shared is not None:
            async with following(self.shared, identity):
                self._admission.check_withdrawn(identity, request)
                return self._create(endpoint, nonce, binding, window, identity, request, address, kind, "")
        if identity is not None:
            self._admission.check_withdrawn(identity, request)
        if session is None:
            session = self._create(endpoint, nonce, binding, window, identity, request, address, kind, "")
        return session

    def _create(
        self,
        endpoint: Endpoint,
        nonce: str,
        binding: object,
        window: Window,
        identity: str | None,
        request: SessionRequest,
        address: str,
        kind: Callable[..., ServerMachine],
        sid: str,
    ) -> Session:
        """A new session, by this sid if there is one, for a nonce that was found free. Nothing waits in here: of two
        opens that found it free at once, the second gets the session of the first. Raises Refusal."""
        session = self._opened(nonce, binding) if nonce in self.registry.nonces else None
        if session is not None:
            return session
        if self.refusing:
            raise Refusal(4503, SHUTTING)
        self.registry.check_room(identity, address)
        if request._pack() > MAX_HEADERS:
            raise Refusal(4400, f"the headers are above {MAX_HEADERS} bytes, too much to be kept with the session")
        now = self._now()
        token, key = draw()
        listener = ServerListener(self._runtime, self._when_ended)
        sid = sid or f"{self._worker}.{token}"
        # By their places: names would be copied at each step of the inheritance.
        machine = kind(endpoint.config, window, listener, now, sid, nonce, binding, identity, address)
        if isinstance(machine, NumberedMachine):  # the native protocol's: no other can show a key
            machine.secret = key
        session = Session(listener, endpoint.path, endpoint.config.on_full, self.hub, request)
        session._machine = listener.machine = machine  # _bind(), without a call
        self.registry.add(machine)
        self.by_sid[machine.sid] = session
        if identity is not None and self.shared is not None:
            self.shared.here(identity)
        self._runtime.wake(machine, now + endpoint.config.open_timeout)  # also if no carrier ever attaches
        machine.observers = self.observers
        for observer in self.observers:
            observer.opened(machine, request.transport)
        self.handlers.start(session, endpoint.handler)
        if session_log.isEnabledFor(logging.DEBUG):  # a label is a hash
            session_log.debug("= session %s opened at %s", session.label, endpoint.path)
        return session

    async def claim(self, nonce: str, binding: object) -> Session | None:
        """The session that this nonce has opened here, or None. Raises Refusal when it may not open (again)."""
        return self._opened(nonce, binding) if nonce in self.registry.nonces else None

    async def claimed(self, name: str) -> Session | None:
        """The session for which its client chose this name, as its nonce; None if the name is free, and stays so.
        Raises Refusal when that session has ended not long ago, and Elsewhere where it is another worker's."""
        session = self._opened(name, None)
        if session is None and self.owners is not None:
            await look_for(self.owners, name)
        return session

    def _opened(self, nonce: str, binding: object) -> Session | None:
        machine = self.registry.opened(nonce, binding, self._now())
        return None if machine is None else self.by_sid[machine.sid]

    # -- finding -------------------------------------------------------------------------------------------------------

    async def route(self, sid: str, proof: Proof | None = None) -> Session:
        """The session of this sid. Raises Refusal when it is unknown or has ended, Elsewhere where it is not here.

        With a `proof`, how a session with a key has ended is told to nobody else.
        """
        if self.keeper is not None and is_durable(sid):
            return await self.keeper.route(sid, proof)
        if self.owners is not None and sid not in self.by_sid:
            await look_up(self.owners, sid, proof)
        self._find(sid, proof)
        return self.by_sid[sid]

    def check_key(self, sid: str, proof: Proof) -> None:
        """Raises the Refusal of a request that shows this, where the session is not known, or has another key."""
        machine = self._find(sid, proof)
        if not proof.fits(machine.secret):
            raise proof.refusal()

    def _find(self, sid: str, proof: Proof | None) -> ServerMachine:
        """See registry.find()."""
        try:
            return self.registry.find(sid, self._now(), proof)
        except Refusal as refusal:
            self._untold.discard(sid)
            if not self._untold:
                self._told.set()
            worker = SID.fullmatch(sid)
            if refusal.code != 4404 or worker is None or worker[1] == self._worker:
                raise
        if self.refusing:  # a proxy has kept a connection here, and the session is at who comes next
            raise Refusal(4503, SHUTTING)
        _warn(self._notices, worker[1], self._worker)
        raise Refusal(4404, ASTRAY, scope="session")

    def ends(self) -> Iterator[tuple[str, Ended, float]]:
        """How sessions have ended, and for how many seconds more that is told."""
        now = self._now()
        for sid, one in tuple(self.registry.tombstones.items()):
            yield sid, Ended(one.code, one.reason, one.received, one.key), one.expires - now

    # -- observing -----------------------------------------------------------------------------------------------------

    def observe(self, observers: tuple[Observer, ...]) -> None:
        """Replaces the observers: from now on exactly these are told."""
        self.observers = observers
        self._runtime.on_flush = tuple(observer.flushed for observer in observers)
        for session in self:
            session._machine.observers = observers

    def _handled(self, session: Session, seconds: float, result: Result) -> None:
        for observer in self.observers:
            observer.handled(session._machine, seconds, result)
        self.hub.leave_all(session)

    # -- ending --------------------------------------------------------------------------------------------------------

    def _ended(self, machine: ServerMachine) -> None:
        """A session is over: bury it, and give its handler close_timeout to notice."""
        outcome = machine.outcome
        assert outcome is not None
        if session_log.isEnabledFor(logging.DEBUG):
            session_log.debug("= session %s ended with %d %s", machine.label, outcome.code, outcome.reason)
        session = self.by_sid.pop(machine.sid)
        self.registry.bury(machine, self._now())
        if self.owners is not None:
            ended = Ended(outcome.code, outcome.reason, machine.inbox.received, machine.key)
            remembered = 0.0 if machine.sid.startswith(PREFIX) else machine.remembered  # of those are records
            self.owners.ended(machine.nonce, machine.sid, ended, remembered)
            self.owners.recount(self.registry.limits(machine.identity, machine.address))
        for observer in self.observers:
            observer.ended(machine)
        self._runtime.forget(machine)
        self.hub.leave_all(session)
        if machine.identity is not None and self.shared is not None:
            self.shared.gone(machine.identity)
        self.handlers.ended(session)

    def end(self, code: int, reason: str, *, identity: str | None = None, within: float = 0.0) -> int:
        """Ends all at once, or all of an identity; returns how many there were. Who polls again `within` so many
        seconds is for tell()."""
        ending = tuple(self) if identity is None else self.of(identity)
        now = self._now()
        if self.refusing:
            self._untold.update(session.id for session in ending if session._returns(now, within))
        for session in ending:
            session._machine.end(code, reason, now)
        return len(ending)

    def close(self, code: int, reason: str) -> None:
        """Closes all, as their handlers could."""
        now = self._now()
        for session in self:
            session._machine.close(code, reason, now)

    async def wait(self, timeout: float, *, near_only: bool = False) -> None:
        """Waits for so long until all have ended, or all that have a connection: one that carries them, or that their
        client will poll on in that time."""
        now = self._now()
        waiters = [
            asyncio.ensure_future(session.wait_closed())
            for session in self
            if not near_only or session._machine.carrier is not None or session._returns(now, timeout)
        ]
        try:
            if waiters:
                await asyncio.wait(waiters, timeout=timeout)
        finally:  # whoever waits may be cancelled, and try again
            for waiter in waiters:
                waiter.cancel()

    async def tell(self, timeout: float) -> None:
        """Waits for so long until the clients that were between two polls when their sessions ended have come back, and
        were told."""
        if self._untold:
            self._told = asyncio.Event()  # of this event loop: the next start may be in another one
            with suppress(TimeoutError):
                async with Patience(timeout):
                    await self._told.wait()
        self._untold.clear()

    def reset(self) -> None:
        """Forgets all sessions of an earlier event loop, in which nothing can run any more."""
        if self.by_sid:
            log.warning("%d sessions of an event loop that was closed before are forgotten", len(self.by_sid))
        self.hub.reset()
        self.shared = None
        self.registry = Registry(self._config)
        self.by_sid = {}
        self._untold = set()
        self.handlers.reset()


def _warn(notices: Notices, worker: str, own: str) -> None:
    """Of requests for other workers' sessions."""
    notices.warn(
        "astray",
        "a request names a session that another process has opened (its sid begins with %s, those of this process"
        " with %s). After a restart that is to be expected. If it goes on, several processes are serving: each"
        " keeps its own sessions, so make them a cluster (docs/scaling.md), let the proxy send all requests of a client"
        " to the same one (docs/deployment.md), or run one",
        worker,
        own,
    )
