"""The server: endpoints, sessions and their handlers, one sweep for all deadlines, one flush a turn, and every end.

Knows machines and asyncio, and no aiohttp: web/ brings it carriers. A handler is one task per session.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar, Unpack
from weakref import ReferenceType

from .clock import Clock, SystemClock, Timer
from .core.addresses import network_of
from .core.config import Config
from .core.deadlines import Deadlines
from .core.dialects import Dialect
from .core.errors import LocalProtocolError, Refusal, SessionClosed, Unauthorized
from .core.frames import Window
from .core.health import Failure, Memory
from .core.lifecycle import State
from .core.machine import check_close_code
from .core.negotiation import Choice, Evidence, negotiate
from .core.numbered_machine import NumberedMachine
from .core.observer import Observer, Result
from .core.proof import Key, Proof
from .core.registry import Registry
from .core.server_machine import ServerMachine
from .core.settings import (
    EndpointSettings,
    ServerSettings,
    check,
    names,
    number,
    unknown,
    unknown_transport,
)
from .core.settings import clock as clock_rule
from .hub import Hub, Room
from .protocols.dialects import RULES as ENDPOINT_RULES
from .protocols.dialects import EngineIO, SockJS, check_routes, dialects_of
from .session import Endpoint, Handler, Session, SessionRequest
from .transports import TRANSPORTS

__all__ = ["Authorize", "Server"]

log = logging.getLogger("realtime.server")
negotiation_log = logging.getLogger("realtime.negotiation")
session_log = logging.getLogger("realtime.session")

Authorize = Callable[[SessionRequest], Awaitable[str | None]]
H = TypeVar("H", bound=Handler)
A = TypeVar("A", bound=Authorize)

# Deadlines this close together are served by one wake-up, so that idle sessions cost little.
GRAIN = 0.05
# What failed for a network: demoted for 30 s at first, 10 min at most; so many networks are remembered.
MEMORY = (30.0, 600.0, 4096)
# The headers of the request that opens a session are kept with it: so many bytes.
MAX_HEADERS = 32_768
# So many withdrawals are remembered, for requests that were on their way.
MOST_WITHDRAWN = 4096
# A WebSocket that lived so long, in seconds, got through; one that was cut before did not.
GOOD_LIFE = 10.0

# Settings that count or keep things for all endpoints together.
SERVER_SETTINGS = frozenset(ServerSettings.__annotations__) - frozenset(EndpointSettings.__annotations__)
_ORIGINS = 'origins such as ("https://example.org",), or one alone, or "*" for any'
_PROXIES = 'addresses and networks such as ("127.0.0.1", "10.0.0.0/8"), or one alone, or "unix"'
# What a server takes besides the settings of Config.
SERVER_RULES = {
    "allowed_origins": names(_ORIGINS, some=False),
    "trusted_proxies": names(_PROXIES, some=False),
    "shutdown_timeout": number(0),
    "clock": clock_rule(),
}


class Server:
    """Sessions for an aiohttp application: see realtime.setup().

    Keyword arguments are the settings of Config (docs/configuration.md); endpoints may override them. One that is
    unknown or has the wrong type raises TypeError, one out of bounds LocalProtocolError.

    `allowed_origins` lists the origins other than its own host from which browsers may connect, such as
    "https://example.org", or is "*" for any. `trusted_proxies` lists the addresses and networks whose forwarded headers
    are believed, such as "127.0.0.1" or "10.0.0.0/8" ("unix": whoever connects over a Unix socket). `shutdown_timeout`
    bounds the application's shutdown, in seconds.
    """

    def __init__(
        self,
        *,
        allowed_origins: Sequence[str] | str = (),
        trusted_proxies: Sequence[str] | str = (),
        shutdown_timeout: float = 3.0,
        clock: Clock | None = None,
        **settings: Unpack[ServerSettings],
    ) -> None:
        self.config = _configure(
            Config(), settings, "realtime.Server()", (*ServerSettings.__annotations__, *SERVER_RULES)
        )
        allowed_origins = (allowed_origins,) if isinstance(allowed_origins, str) else allowed_origins
        trusted_proxies = (trusted_proxies,) if isinstance(trusted_proxies, str) else trusted_proxies
        check("allowed_origins", allowed_origins, SERVER_RULES["allowed_origins"])
        check("trusted_proxies", trusted_proxies, SERVER_RULES["trusted_proxies"])
        check("shutdown_timeout", shutdown_timeout, SERVER_RULES["shutdown_timeout"])
        check("clock", clock, SERVER_RULES["clock"])
        self.allowed_origins: tuple[str, ...] = tuple(allowed_origins)
        self.trusted_proxies: tuple[str, ...] = tuple(trusted_proxies)
        self.shutdown_timeout = shutdown_timeout
        self.clock: Clock = clock or SystemClock()
        self.endpoints: dict[str, Endpoint] = {}
        self.closing = False  # shutting down: nothing new is taken
        self._draining = False  # no new sessions
        self._worker = secrets.token_urlsafe(3)  # part of every sid: who owns it
        self.hub = Hub()
        self.on_shutdown: list[Callable[[], None]] = []  # web/ ends what no session holds
        self.on_endpoint: list[Callable[[Endpoint], None]] = []  # web/ gives an endpoint routes of its own
        self._memory = Memory(*MEMORY)
        self._authorize: Authorize | None = None
        self._withdrawals = 0  # how many there were: a request knows how many it has seen
        self._withdrawn: dict[str, tuple[int, str]] = {}  # the latest of an identity, and its reason
        self._all_withdrawn = 0  # of those before this one, not all are remembered
        self._observers: tuple[Observer, ...] = ()
        self._registry = Registry(self.config)
        self._sessions: dict[str, Session] = {}
        self._tasks: dict[Session, asyncio.Task[None]] = {}
        self._dirty: list[Session] = []
        self._deadlines = Deadlines()
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._loop: asyncio.AbstractEventLoop | None = None  # in which it was started
        self._application: ReferenceType[object] | None = None  # that it is set up in, until that shuts down

    # -- what applications use -------------------------------------------------------------------------------------

    def endpoint(
        self,
        path: str,
        *,
        sockjs: SockJS | bool = False,
        engineio: EngineIO | str | None = None,
        raw: bool = True,
        subprotocols: Sequence[str] = (),
        dialects: Sequence[Dialect] = (),
        **settings: Unpack[EndpointSettings],
    ) -> Callable[[H], H]:
        """Registers a handler for sessions at `path`, below the prefix given to setup().

        `sockjs` lets SockJS clients in as well: True, or SockJS(…) with its options. `engineio` lets in those of
        Engine.IO, at a path of its own from the application's root: "/engine.io", or EngineIO(path=…, …).
        Unless `raw` is False, plain WebSocket clients come in too, where `transports` has "websocket". `subprotocols`
        names what is spoken with them ("v12.stomp", "mqtt", …; RFC 6455 §1.9), first choice first: of these the first
        that a client offers is agreed on, and is `session.subprotocol`. `dialects` are the options of other protocols
        (realtime/web/dialects.py), at most one of each type. Other keyword arguments override the server's settings for
        this endpoint. Raises LocalProtocolError for a path that is taken, does not start with "/" or ends with one, for
        a setting out of bounds, and, from the decorator, for an Engine.IO path once the application has started, and
        for a dialect that has no routes; TypeError for an unknown setting or a value of the wrong type, and for a
        handler that is no coroutine function.
        """
        if not path.startswith("/") or path.endswith("/") or "{" in path:
            raise LocalProtocolError(f'an endpoint\'s path starts with "/" and does not end with one: {path!r}')
        if path in self.endpoints:
            raise LocalProtocolError(f"there is an endpoint at {path!r} already")
        for name in (SERVER_SETTINGS | SERVER_RULES.keys()) & settings.keys():
            raise TypeError(f"{name} is a setting of the whole server: give it to realtime.Server()")
        known = (*EndpointSettings.__annotations__, *ENDPOINT_RULES, "subprotocols")
        config = _configure(self.config, settings, f"the endpoint {path!r}", known)
        spoken = dialects_of(
            config, sockjs=sockjs, engineio=engineio, raw=raw, subprotocols=subprotocols, dialects=dialects
        )
        check_routes(spoken, {other.path: other.dialects for other in self.endpoints.values()})

        def register(handler: H) -> H:
            _check_coroutine(handler, f"the handler of {path!r}")
            endpoint = Endpoint(path, handler, config, spoken)
            for added in self.on_endpoint:  # these may refuse
                added(endpoint)
            self.endpoints[path] = endpoint
            return handler

        return register

    def authorize(self, hook: A) -> A:
        """Registers the coroutine that says who a client is, asked for every request that opens or names a session.

        It gets the SessionRequest, with `auth` as the client gave it when it opened (or renewed it since), and returns
        the identity (a string, or None for nobody in particular) or raises realtime.Unauthorized. While it runs,
        `request.http` is aiohttp's request. Later requests of another identity are refused.

        A request with the Cookie and Authorization that its session was last authorised with, less than authorize_ttl
        seconds ago, is not asked about; one with neither always is. The hook may take its time: an open that its client
        repeats meanwhile, with the same auth data, headers (but for those that change from one request to the next),
        page, query and address, gets the same answer, and one whose client has left by then opens nothing. Cookies, and
        what a browser logs in with by itself (Basic and the like), are hidden from it where any site could have made a
        browser send them (docs/protocol.md §9). Should it raise anything else, that is logged, and the client is told
        to come back later.
        Raises TypeError for a hook that is no coroutine function.
        """
        _check_coroutine(hook, "the authorize hook")
        self._authorize = hook
        return hook

    async def close_identity(self, identity: str, code: int = 4401, reason: str = "") -> int:
        """Ends all sessions of an identity in this process, at once; returns how many there were.

        What was not delivered is lost, and the client is told `code` and `reason`. Opens about which the authorize
        hook is being asked now are refused (4401) if it says that they are this identity's. Clients may open again
        unless the hook refuses them. Raises LocalProtocolError for a code that applications may not use.
        """
        check_close_code(code)
        if not isinstance(identity, str):
            raise TypeError(f"an identity is a str, not {type(identity).__name__}")
        sessions = [session for session in self.sessions if session.identity == identity]
        now = self.clock.now()
        reason = reason or "the identity was withdrawn"
        for session in sessions:
            session._machine.end(code, reason, now)
        self._withdrawals += 1
        self._withdrawn.pop(identity, None)
        self._withdrawn[identity] = self._withdrawals, reason
        if len(self._withdrawn) > MOST_WITHDRAWN:
            self._all_withdrawn, _ = self._withdrawn.pop(next(iter(self._withdrawn)))
        return len(sessions)

    def arrived(self, request: SessionRequest) -> None:
        """A request to open a session has come: identities that were withdrawn before are no affair of it."""
        request._withdrawals = self._withdrawals

    def check_withdrawn(self, identity: str | None, request: SessionRequest) -> None:
        """Raises Refusal when the identity was withdrawn since this request came: what the hook says of it may be
        older than that."""
        if identity is None:
            return
        when, reason = self._withdrawn.get(identity, (0, ""))
        if when > request._withdrawals:
            raise Refusal(4401, reason)
        if self._all_withdrawn > request._withdrawals:
            raise Refusal(4503, "too many identities were withdrawn meanwhile; come back later")

    def room(self, name: str) -> Room:
        """The room of this name: `await rt.room("lobby").send("hello")`."""
        return self.hub.room(name)

    @property
    def sessions(self) -> Iterator[Session]:
        """The sessions that have not ended."""
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def __bool__(self) -> bool:
        return True

    async def drain(self, *, timeout: float = 30.0, delay: float = 5.0) -> None:
        """Ends all sessions without losing a message, and takes no new ones.

        Each client is asked to stop sending and to come back after a random part of `delay` seconds; when all it sent
        was received and taken by the handler, and the handler waits for more, its session closes with 1012. After
        `timeout` seconds what is left is closed regardless.
        """
        self._draining = True
        for session in self.sessions:
            session._machine.drain(delay)
            session.may_be_drained()
        await self._wait_for_sessions(timeout)
        for session in self.sessions:
            session._machine.close(1012, "the server restarts", self.clock.now())
        await self._wait_for_sessions(min(timeout, 1.0))
        self._end_all(1012, "the server restarts")

    # -- what metrics use ------------------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tells `observer` (core.observer) from now on what happens, also to the sessions there are; returns how to
        stop that. A server may have several: each is told everything, in the order in which they came.
        """

        def stop() -> None:
            self._set_observers(tuple(other for other in self._observers if other is not observer))

        stop()  # whoever is there already is told once
        self._set_observers((*self._observers, observer))
        return stop

    def _set_observers(self, observers: tuple[Observer, ...]) -> None:
        self._observers = observers
        for session in self.sessions:
            session._machine.observers = observers

    def refused(self, code: int) -> None:
        """A request or a WebSocket is answered with a refusal (docs/protocol.md §9)."""
        for observer in self._observers:
            observer.refused(code)

    # -- what web/ uses: sessions ----------------------------------------------------------------------------------

    @property
    def asks(self) -> bool:
        """Whether the application says who clients are, which may take a while."""
        return self._authorize is not None

    def check_rate(self, address: str) -> None:
        """Counts an attempt to open from this address. Raises Refusal (4429) when it makes too many."""
        self._registry.check_rate(address, self.clock.now())

    async def admit(self, session: Session, request: SessionRequest) -> None:
        """Sees to it that this request may name this session. Raises Refusal: see identify(), and 4403 when it is
        somebody else's; and what the session ended with, if it did in the meantime."""
        if self._authorize is not None and not self._still_authorized(session, request):
            if await self.identify(request) != session.identity:
                raise Refusal(4403, "the session belongs to another identity")
            if session.closed:
                raise session._machine.refusal()
            self.authorized(session, request)

    def _still_authorized(self, session: Session, request: SessionRequest) -> bool:
        if session._authorized is None:
            return False
        credentials, when = session._authorized
        # Who shows neither is known by the auth data of the open, and asked about each time.
        return (
            credentials != b""
            and credentials == request._credentials
            and self.clock.now() < when + self.config.authorize_ttl
        )

    def authorized(self, session: Session, request: SessionRequest) -> None:
        """The application has said that this request is by the session's client."""
        if self._authorize is not None:
            session._authorized = request._credentials, self.clock.now()

    async def reauthorize(self, session: Session, request: SessionRequest) -> None:
        """The session's client, admitted already, has brought the fresh auth data in `request`.

        Ends the session (4401, 4403) when the application refuses them, or finds somebody else. Raises Refusal (4503)
        when it cannot tell.
        """
        try:
            if self._authorize is not None and await self.identify(request) != session.identity:
                raise Refusal(4403, "the fresh auth data are another identity's")
        except Refusal as refusal:
            if refusal.code not in (4401, 4403):
                raise
            session._machine.end(refusal.code, refusal.reason, self.clock.now())
            return
        self.authorized(session, request)
        session.request._raw_auth = request._raw_auth

    async def identify(self, request: SessionRequest) -> str | None:
        """Asks the application who the client is. Raises Refusal: 4401, 4403 when it refuses, 4503 when it fails."""
        if self._authorize is None:
            return None
        hide = request._show_http()
        try:
            identity = await self._authorize(request)
            if identity is not None and not isinstance(identity, str):
                raise TypeError(f"authorize returns a str or None, not {type(identity).__name__}")
        except Refusal:
            raise
        except Exception as error:
            log.error("the authorize hook raised; to refuse a client, raise realtime.Unauthorized", exc_info=error)
            raise Refusal(4503, "the server cannot authorise anybody now; come back later") from None
        finally:
            hide()
        return identity

    def negotiate(
        self,
        endpoint: Endpoint,
        request: SessionRequest,
        transports: Sequence[str] = (),
        failed: Mapping[str, tuple[str, float]] | None = None,
        tried: Mapping[str, float] | None = None,
        taken: str = "",
    ) -> list[Choice]:
        """All transports in the order of the policy, each with a verdict for this client, and why."""
        now = self.clock.now()
        evidence = Evidence(
            http_version=request.http_version,
            reported={name: Failure(1, now - ago, how) for name, (how, ago) in (failed or {}).items()},
            remembered=self._memory.of(network_of(request.remote)),
            timings=tried or {},
        )
        return negotiate(endpoint.config.transports, tuple(TRANSPORTS), transports, taken, evidence, now)

    def note_failure(self, remote: str | None, transport: str, how: str) -> None:
        """A transport did not get through for a client at this address."""
        self._memory.failed(network_of(remote), transport, how, self.clock.now())

    def note_end(self, sid: str, transport: str, since: float) -> None:
        """The connection under a session's newest carrier is gone, without a word."""
        session = self._sessions.get(sid)
        if session is None:
            return
        lived = self.clock.now() - since
        if lived >= GOOD_LIFE:
            self._memory.worked(network_of(session.request.remote), transport)
        elif not session.closed and session._machine.closing is None and not self.closing:
            self.note_failure(session.request.remote, transport, f"cut after {lived:.1f} s")

    def decided(self, session: Session, choices: Sequence[Choice]) -> None:
        """A new session's transports are settled: shown to the handler, and logged.

        What the client says has failed counts in its own choices. Others of its network are not told: anybody could
        say so, in any words.
        """
        session._choices = tuple(choices)
        negotiation_log.info(
            "session %s at %s: %s",
            session.label,
            session.path,
            "; ".join(f"{choice.name} {choice.verdict} ({choice.reason_for_others})" for choice in choices),
        )

    def open(
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
        """The session that this nonce opens, new or as before. Raises Refusal.

        `kind` makes its machine, for protocols that need one of their own.

        A new one's handler starts in the next turn of the event loop: attach a carrier first.
        """
        now = self.clock.now()
        machine = self._registry.opened(nonce, binding, now)
        self.check_withdrawn(identity, request)
        if machine is not None:
            return self._sessions[machine.sid]
        if self.closing or self._draining:
            raise Refusal(4503, "the server is shutting down; come back later")
        self._registry.check_room(identity, address)
        if request._kept > MAX_HEADERS:
            raise Refusal(4400, f"the headers are above {MAX_HEADERS} bytes, too much to be kept with the session")
        session = Session(self, endpoint, self.hub, request)
        sid = f"{self._worker}.{secrets.token_urlsafe(18)}"
        session._machine = machine = kind(
            endpoint.config,
            window,
            session,
            now,
            sid=sid,
            nonce=nonce,
            binding=binding,
            identity=identity,
            address=address,
        )
        if isinstance(machine, NumberedMachine):  # the native protocol's: no other can show a key
            machine.key = Key(secrets.token_urlsafe(24))
        self._registry.add(machine)
        self._sessions[sid] = session
        machine.wake_by(now + endpoint.config.open_timeout)  # also if no carrier ever attaches
        machine.observers = self._observers
        for observer in self._observers:
            observer.opened(machine, request.transport)
        loop = asyncio.get_running_loop()
        hide = request._show_http()
        self._tasks[session] = loop.create_task(
            self._handle(endpoint, session), name=f"realtime handler {endpoint.path}"
        )
        loop.call_soon(hide)  # comes when the handler first waits
        session_log.debug("= session %s opened at %s", session.label, endpoint.path)
        return session

    async def route(self, sid: str, proof: Proof | None = None) -> Session:
        """The session of this sid. Raises Refusal when it is unknown or has ended.

        With a `proof`, how a session with a key has ended is told to nobody else.
        """
        self._registry.find(sid, self.clock.now(), proof)
        return self._sessions[sid]

    def check_key(self, sid: str, proof: Proof) -> None:
        """Raises the Refusal that a request for this session gets which shows this, where it is unknown or has ended,
        and where that is not its key."""
        machine = self._registry.find(sid, self.clock.now(), proof)
        if not proof.fits(machine.key):
            raise proof.refusal()

    async def claimed(self, name: str) -> Session | None:
        """The session for which its client chose this name, as its nonce; None if the name is free.

        Raises Refusal when that session has ended not long ago. Who finds the name free claims it by open().
        """
        machine = self._registry.claimed(name, self.clock.now())
        return None if machine is None else self._sessions[machine.sid]

    async def _handle(self, endpoint: Endpoint, session: Session) -> None:
        machine = session._machine
        started = self.clock.now()
        result = Result.RETURNED
        try:
            await endpoint.handler(session)
        except SessionClosed as error:
            # The handler met the end of its own session: nothing to report.
            if not session.closed and machine.closing is None:
                result = Result.RAISED
                self._handler_failed(session, error)
        except Unauthorized as error:
            machine.close(error.code, error.reason, self.clock.now())
        except asyncio.CancelledError:
            result = Result.CANCELLED
            if not session.closed:
                machine.close(1011, "the handler was cancelled", self.clock.now())
                raise
        except Exception as error:
            result = Result.RAISED
            self._handler_failed(session, error)
        finally:
            # Unless it was forgotten with its event loop, and what is left of it is collected now.
            if session in self._tasks:
                machine.close(1000, "", self.clock.now())
                for observer in self._observers:
                    observer.handled(machine, self.clock.now() - started, result)
                self.hub.leave_all(session)
                del self._tasks[session]

    def _handler_failed(self, session: Session, error: BaseException) -> None:
        session_log.error("the handler of session %s raised", session.label, exc_info=error)
        session._machine.close(1011, "the handler failed", self.clock.now())

    # -- what sessions use (session.Runtime) -----------------------------------------------------------------------

    def mark_dirty(self, session: Session) -> None:
        """Flush the session once in this turn of the event loop."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(session)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        observers = self._observers
        started = time.perf_counter() if observers else 0.0
        now = self.clock.now()
        for session in dirty:
            if session._woken:
                # Its handler runs next: what it answers goes along, which saves a poll.
                session._woken = False
                self.mark_dirty(session)
                continue
            session._dirty = False
            try:
                session._machine.flush(now)
            except Exception:  # the others' turn must come
                log.exception("session %s could not be flushed", session.label)
                session._machine.end(1011, "the server failed", now)
        for observer in observers:
            observer.flushed(time.perf_counter() - started)

    def wake_session(self, session: Session, when: float) -> None:
        """Look at the session at `when`."""
        self._deadlines.schedule(session._machine, when)
        if when < self._timer_at:
            self._set_timer(when)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self.clock.call_at(when, self._sweep)

    def _sweep(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = self.clock.now()
        try:
            self._deadlines.run(now)
        finally:
            when = self._deadlines.next()
            if when < self._timer_at and when < float("inf"):
                self._set_timer(max(when, now + GRAIN))

    def session_ended(self, session: Session) -> None:
        """A session is over: bury it, and give its handler close_timeout to notice."""
        machine = session._machine
        now = self.clock.now()
        assert machine.outcome is not None
        session_log.debug("= session %s ended with %d %s", machine.label, machine.outcome.code, machine.outcome.reason)
        self._registry.bury(machine, now)
        self._sessions.pop(machine.sid, None)
        for observer in self._observers:
            observer.ended(machine)
        self._deadlines.forget(machine)
        self.hub.leave_all(session)
        task = self._tasks.get(session)
        if task is not None:
            patience = self.clock.call_at(now + machine.config.close_timeout, task.cancel)
            task.add_done_callback(lambda _: patience.cancel())

    # -- the end ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The application starts (again). What an event loop has left behind that was closed without a shutdown is
        forgotten: nobody could go on with it, or end it."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop and self._loop.is_closed():
            self._forget()
        self._loop = loop
        self.closing = self._draining = False

    def _forget(self) -> None:
        if self._sessions:
            log.warning("%d sessions of an event loop that was closed before are forgotten", len(self._sessions))
        for session in self._sessions.values():
            self.hub.leave_all(session)
        self._registry = Registry(self.config)
        self._sessions = {}
        self._tasks = {}
        self._dirty = []
        self._deadlines = Deadlines()
        self._timer, self._timer_at = None, float("inf")

    async def shutdown(self) -> None:
        """Ends every session with 1001, within shutdown_timeout whatever the clients do."""
        self.closing = True
        for stop in self.on_shutdown:
            stop()
        now = self.clock.now()
        for session in self.sessions:
            session._machine.close(1001, "the server is going away", now)
        self._flush()
        # Whoever listens on a live connection acknowledges at once; who is between two polls can't any more.
        await self._wait_for_sessions(self.shutdown_timeout / 3, duplex_only=True)
        self._end_all(1001, "the server is going away")
        tasks = set(self._tasks.values()) - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self.shutdown_timeout / 3)
            for _ in range(2):  # a handler may catch the first
                for task in late:
                    task.cancel()
                if late:
                    _, late = await asyncio.wait(late, timeout=self.shutdown_timeout / 6)
            for task in late:
                log.warning("%s ignores cancellation and is left behind", task.get_name())
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, float("inf")

    def _end_all(self, code: int, reason: str) -> None:
        now = self.clock.now()
        for session in self.sessions:
            session._machine.end(code, reason, now)

    async def _wait_for_sessions(self, timeout: float, *, duplex_only: bool = False) -> None:
        waiters = [
            asyncio.ensure_future(session.wait_closed())
            for session in self.sessions
            if not duplex_only or (session._machine.state is not State.CLOSED and session._machine.carrier is not None)
        ]
        if waiters:
            _, pending = await asyncio.wait(waiters, timeout=timeout)
            for waiter in pending:
                waiter.cancel()

    def __repr__(self) -> str:
        return f"<Server with {len(self.endpoints)} endpoints, {len(self)} sessions>"


def _check_coroutine(function: object, what: str) -> None:
    """Raises TypeError for a plain `def`: it would fail for each session anew, with words that do not help.

    Wrappers made with functools.wraps are known by what they wrap. What has no code of its own (an object that can be
    called) or cannot say (a lambda) is taken at its word.
    """
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    wrong = inspect.isfunction(function) or inspect.ismethod(function)
    if wrong and not inspect.iscoroutinefunction(function) and getattr(function, "__name__", "") != "<lambda>":
        name = getattr(function, "__name__", repr(function))
        kind = "an async generator" if inspect.isasyncgenfunction(function) else "a plain function"
        raise TypeError(f"{what} has to be a coroutine function, `async def {name}(…)`: this one is {kind}")


def _configure(base: Config, settings: Mapping[str, object], owner: str, known: Sequence[str]) -> Config:
    """The settings over those of `base`, which has all of them."""
    for name in settings:
        if name not in known:
            raise unknown(name, known, owner)
    config = dataclasses.replace(base, **settings)  # type: ignore[arg-type] # Config checks the types
    for name in config.transports:
        if name not in TRANSPORTS:
            raise unknown_transport(name, tuple(TRANSPORTS), "this server")
    return config
