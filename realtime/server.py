"""The server: what applications call, and the parts that do it, in one place.

`endpoint` is what is served, `sessions` who is here, `admission` who may, `networks` what gets through where, `runtime`
what flushes and keeps deadlines. Knows no aiohttp: web/ brings it requests, and carriers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, Unpack
from weakref import ReferenceType

from .admission import Admission, Authorize
from .clock import Clock, SystemClock
from .core.config import Config
from .core.dialects import Dialect
from .core.errors import LocalProtocolError
from .core.machine import check_close_code
from .core.observer import Observer
from .core.settings import EndpointSettings, ServerSettings, check, names, number, shown
from .core.settings import clock as clock_rule
from .endpoint import ENDPOINT_SETTINGS, Endpoint, Handler, check_coroutine, configure
from .hub import Room
from .loops import gives_way
from .networks import Networks
from .notices import Notices
from .protocols.dialects import EngineIO, SockJS, check_routes, dialects_of
from .runtime import Runtime
from .session import Session
from .sessions import Sessions

__all__ = ["Server"]

H = TypeVar("H", bound=Handler)
A = TypeVar("A", bound=Authorize)

# Deadlines this close together are served by one wake-up, so that idle sessions cost little.
GRAIN = 0.05

# The default of what has to be given, where its absence has to be told in words of its own.
NOT_GIVEN: Any = None

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
        self.config = configure(
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
        self.on_shutdown: list[Callable[[], None]] = []  # web/ ends what no session holds
        self.on_endpoint: list[Callable[[Endpoint], None]] = []  # web/ gives an endpoint routes of its own
        self._runtime = Runtime(self.clock, "server", GRAIN)
        self._admission = Admission(self.config, self.clock)
        self.notices = Notices(self.clock.now)  # what is said once in the log, by web/ as well
        self._sessions = Sessions(self.config, self._runtime, self._admission, self.notices)
        self._networks = Networks(self.clock)
        self._application: ReferenceType[object] | None = None  # that it is set up in, until that shuts down
        # What web/ asks of the parts, and whoever else brings requests.
        self.hub = self._sessions.hub
        self.open = self._sessions.open
        self.claimed = self._sessions.claimed
        self.route = self._sessions.route
        self.check_key = self._sessions.check_key
        self.arrived = self._admission.arrived
        self.check_rate = self._admission.check_rate
        self.check_withdrawn = self._admission.check_withdrawn
        self.identify = self._admission.identify
        self.admit = self._admission.admit
        self.authorized = self._admission.authorized
        self.reauthorize = self._admission.reauthorize
        self.negotiate = self._networks.negotiate
        self.decided = self._networks.decided
        self.note_failure = self._networks.note_failure

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
        a setting out of bounds, and, from the decorator, for an Engine.IO path that another server of the application
        has or once the application has started, and for a dialect that has no routes; TypeError for an unknown setting
        or a value of the wrong type, and for a handler that is no coroutine function.
        """
        if not isinstance(path, str):
            called = " (it has to be called)" if callable(path) else f", not {shown(path)}"
            raise TypeError(f'@rt.endpoint takes the path of the endpoint: @rt.endpoint("/chat"){called}')
        if not path.startswith("/") or path.endswith("/") or "{" in path:
            right = "/" + path.translate({ord("{"): None, ord("}"): None}).strip("/")
            raise LocalProtocolError(
                f'an endpoint\'s path starts with "/", does not end with one, and has no variables: "{right}",'
                f" not {path!r}"
            )
        for name in (SERVER_SETTINGS | SERVER_RULES.keys()) & settings.keys():
            raise TypeError(f"{name} is a setting of the whole server: give it to realtime.Server()")
        config = configure(self.config, settings, f"the endpoint {path!r}", ENDPOINT_SETTINGS)
        spoken = dialects_of(
            config, sockjs=sockjs, engineio=engineio, raw=raw, subprotocols=subprotocols, dialects=dialects
        )

        def check_free() -> None:
            if path in self.endpoints:
                raise LocalProtocolError(f"there is an endpoint at {path!r} already: give this one another path")
            check_routes(spoken, {other.path: other.dialects for other in self.endpoints.values()})

        check_free()

        def register(handler: H) -> H:
            check_coroutine(handler, f"the handler of {path!r}")
            check_free()  # another may have come since
            endpoint = Endpoint(path, handler, config, spoken)
            for added in self.on_endpoint:  # these may refuse
                added(endpoint)
            self.endpoints[path] = endpoint
            return handler

        return register

    def authorize(self, hook: A = NOT_GIVEN) -> A:
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
        if hook is NOT_GIVEN:
            raise TypeError("@rt.authorize stands above the hook as it is, without a call: leave out the parentheses")
        check_coroutine(hook, "the authorize hook")
        self._admission.hook = hook
        return hook

    @gives_way
    async def close_identity(self, identity: str, code: int = 4401, reason: str = "") -> int:
        """Ends all sessions of an identity in this process, at once; returns how many there were.

        What was not delivered is lost, and the client is told `code` and `reason`. Opens about which the authorize
        hook is being asked now are refused (4401) if it says that they are this identity's. Clients may open again
        unless the hook refuses them. Raises LocalProtocolError for a code that applications may not use.
        """
        check_close_code(code)
        self._runtime.check()
        if not isinstance(identity, str):
            raise TypeError(f"an identity is a str, not {type(identity).__name__}")
        reason = reason or "the identity was withdrawn"
        ended = self._sessions.end(code, reason, identity=identity)
        self._admission.withdraw(identity, reason)
        return ended

    @property
    def _abandoned(self) -> bool:
        """Whether the event loop that it was started in has been closed, without a shutdown."""
        loop = self._runtime.loop
        return loop is not None and loop.is_closed()

    def room(self, name: str) -> Room:
        """The room of this name: `await rt.room("lobby").send("hello")`."""
        return self.hub.room(name)

    @property
    def sessions(self) -> Iterator[Session]:
        """The sessions that have not ended."""
        return iter(self._sessions)

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
        self._runtime.check()
        self._sessions.refusing = True
        self._sessions.drain(delay)
        await self._sessions.wait(timeout)
        self._sessions.close(1012, "the server restarts")
        await self._sessions.wait(min(timeout, 1.0))
        self._sessions.end(1012, "the server restarts")

    # -- what metrics, and web/, use -------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tells `observer` (core.observer) from now on what happens, also to the sessions there are; returns how to
        stop that. A server may have several: each is told everything, in the order in which they came.
        """

        def stop() -> None:
            self._sessions.observe(tuple(other for other in self._sessions.observers if other is not observer))

        stop()  # whoever is there already is told once
        self._sessions.observe((*self._sessions.observers, observer))
        return stop

    def refused(self, code: int) -> None:
        """A request or a WebSocket is answered with a refusal (docs/protocol.md §9)."""
        for observer in self._sessions.observers:
            observer.refused(code)

    @property
    def asks(self) -> bool:
        """Whether there is an authorize hook, which may take its time."""
        return self._admission.hook is not None

    def note_end(self, sid: str, transport: str, since: float) -> None:
        """The connection under a session's newest carrier, which began at `since`, is gone, without a word."""
        session = self._sessions.get(sid)
        if session is not None:
            self._networks.note_end(session, transport, since)

    # -- the end ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The application starts (again). What another event loop has left behind that runs no more, and was not shut
        down, is forgotten: nobody could go on with it, or end it. Raises LocalProtocolError while that loop runs."""
        loop, before = asyncio.get_running_loop(), self._runtime.loop
        if before is not None and before is not loop:
            if before.is_running():
                raise LocalProtocolError(
                    "this Server runs in another event loop already: make one realtime.Server() for each"
                )
            self._sessions.reset()
            self._admission.reset()
            self._runtime.reset()
        self._runtime.loop = loop
        self._sessions.started()
        self.closing = self._sessions.refusing = False

    async def shutdown(self) -> None:
        """Ends every session with 1001, within shutdown_timeout whatever the clients do."""
        self._runtime.check()
        self.closing = self._sessions.refusing = True
        for stop in self.on_shutdown:
            stop()
        self._sessions.close(1001, "the server is going away")
        self._runtime.flush()
        # Whoever listens on a live connection acknowledges at once; who is between two polls comes back.
        await self._sessions.wait(self.shutdown_timeout / 4, near_only=True)
        self._sessions.end(1001, "the server is going away")
        await self._sessions.tell(self.shutdown_timeout / 4)
        await self._sessions.handlers.stop(self.shutdown_timeout / 4)
        self._runtime.stop()
        self._runtime.loop = None  # it may start again, in any

    def __repr__(self) -> str:
        return f"<Server with {len(self.endpoints)} endpoints, {len(self)} sessions>"
