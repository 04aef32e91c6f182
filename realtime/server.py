"""The server: what applications call. Checks what it is given; the service behind it does the work (service.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, Unpack

from .admission import Authorize
from .brokers.base import Health, Stores
from .brokers.redis import RedisBroker
from .brokers.rules import BROKER, BROKER_TIMEOUT
from .clock import Clock, SystemClock
from .core.addresses import check_proxies
from .core.config import Config
from .core.dialects import Dialect
from .core.errors import LocalProtocolError
from .core.identities import check_room
from .core.observer import Observer
from .core.origins import check_origins
from .core.settings import EndpointSettings, ServerSettings, check, having, having_all, names, number, shown
from .core.settings import clock as clock_rule
from .endpoint import ENDPOINT_SETTINGS, Endpoint, Handler, check_coroutine, check_reachable, check_takes, configure
from .hub import Room
from .identities import Identity
from .loops import gives_way
from .namespaces.events import Events
from .observing import Guarded
from .owners import Clusters
from .protocols.dialects import EngineIO, SocketIO, SockJS, check_routes, dialects_of
from .service import Service
from .session import Session
from .stomp.broker import STOMP

__all__ = ["Server"]

H = TypeVar("H", bound=Handler)
A = TypeVar("A", bound=Authorize)

# The default of what has to be given, where its absence has to be told in words of its own.
NOT_GIVEN: Any = None

# Settings that count or keep things for all endpoints together.
SERVER_SETTINGS = frozenset(ServerSettings.__annotations__) - frozenset(EndpointSettings.__annotations__)
_ORIGINS = 'origins such as ("https://example.org",), or one alone, or "*" for any'
_PROXIES = 'addresses and networks such as ("127.0.0.1", "10.0.0.0/8"), or one alone, or "unix"'
_DRAIN_TIMEOUT = number(0)
_DRAIN_DELAY = number(0).or_none("what is usual")
_OBSERVER = having_all(Observer, "an object that has all methods of an observer, as in realtime.core.observer.Observer")
# What a server takes besides the settings of Config.
SERVER_RULES = {
    "allowed_origins": names(_ORIGINS, some=False),
    "trusted_proxies": names(_PROXIES, some=False),
    "shutdown_timeout": number(0),
    "clock": clock_rule(),
    "broker": BROKER.or_none("none"),
    "broker_timeout": BROKER_TIMEOUT,
    "drain_rate": number(0, unit="sessions a second", above=True).or_none("all at once"),
    "cluster": having("member", "realtime.Cluster(…)", text=False).or_none("none"),
}


class Server:
    """Sessions for an aiohttp application: see realtime.setup().

    Keyword arguments are the settings of Config (docs/configuration.md); endpoints may override them. One that is
    unknown or has the wrong type raises TypeError, one out of bounds LocalProtocolError.

    `allowed_origins` lists the origins other than its own host from which browsers may connect, such as
    "https://example.org", or is "*" for any. `trusted_proxies` lists the addresses and networks whose forwarded headers
    are believed, such as "127.0.0.1" or "10.0.0.0/8" ("unix": whoever connects over a Unix socket). `shutdown_timeout`
    bounds the application's shutdown, in seconds.

    `broker` lets rooms and identities reach every worker: "redis://…" or another URL, or RedisBroker(…)
    (docs/scaling.md). Sends to them, joins and closings wait for it `broker_timeout` seconds at most. Without one, they
    are of this process. With it and `cluster`, a realtime.Cluster(…), the server is one worker of several, any of which
    takes any request. `drain_rate` is how many sessions a second are told to go by drain(); None: all at once.
    """

    def __init__(
        self,
        *,
        allowed_origins: Sequence[str] | str = (),
        trusted_proxies: Sequence[str] | str = (),
        shutdown_timeout: float = 3.0,
        clock: Clock | None = None,
        broker: Stores | str | None = None,
        broker_timeout: float = 5.0,
        cluster: Clusters | None = None,
        drain_rate: float | None = 100.0,
        **settings: Unpack[ServerSettings],
    ) -> None:
        config = configure(Config(), settings, "realtime.Server()", (*ServerSettings.__annotations__, *SERVER_RULES))
        allowed_origins = (allowed_origins,) if isinstance(allowed_origins, str) else allowed_origins
        trusted_proxies = (trusted_proxies,) if isinstance(trusted_proxies, str) else trusted_proxies
        check("allowed_origins", allowed_origins, SERVER_RULES["allowed_origins"])
        check("trusted_proxies", trusted_proxies, SERVER_RULES["trusted_proxies"])
        check_origins(tuple(allowed_origins))
        check_proxies(trusted_proxies)
        check("shutdown_timeout", shutdown_timeout, SERVER_RULES["shutdown_timeout"])
        check("clock", clock, SERVER_RULES["clock"])
        check("broker", broker, SERVER_RULES["broker"])
        check("broker_timeout", broker_timeout, SERVER_RULES["broker_timeout"])
        check("cluster", cluster, SERVER_RULES["cluster"])
        check("drain_rate", drain_rate, SERVER_RULES["drain_rate"])
        if cluster is not None and broker is None:
            raise LocalProtocolError(
                'the workers of a cluster find each other by their broker: give it, too, such as broker="redis://…"'
            )
        broker = RedisBroker(broker) if isinstance(broker, str) else broker
        if cluster is not None and broker is not None:
            cluster.check_broker(broker)
        self._service = Service(
            config,
            clock or SystemClock(),
            allowed_origins=tuple(allowed_origins),
            trusted_proxies=tuple(trusted_proxies),
            shutdown_timeout=shutdown_timeout,
            broker=broker,
            broker_timeout=broker_timeout,
            cluster=cluster,
            drain_rate=drain_rate,
        )

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins other than its own host from which browsers may connect, or ("*",)."""
        return self._service.allowed_origins

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """The addresses and networks whose forwarded headers are believed."""
        return self._service.trusted_proxies

    @property
    def shutdown_timeout(self) -> float:
        """What bounds the application's shutdown, in seconds."""
        return self._service.shutdown_timeout

    def endpoint(
        self,
        path: str,
        *,
        sockjs: SockJS | bool = False,
        engineio: EngineIO | str | None = None,
        socketio: SocketIO | str | None = None,
        raw: bool = True,
        subprotocols: Sequence[str] = (),
        dialects: Sequence[Dialect] = (),
        durable: bool = False,
        **settings: Unpack[EndpointSettings],
    ) -> Callable[[H], H]:
        """Registers a handler for sessions at `path`, below the prefix given to setup(): a coroutine function that is
        given the session, which is closed with 1000 when it returns, and with 1011 when it raises (1013 for a
        BrokerError).

        `sockjs` lets SockJS clients in as well: True, or SockJS(…) with its options. `engineio` lets in those of
        Engine.IO, at a path of its own from the application's root: "/engine.io", or EngineIO(path=…, …). `socketio`
        lets in those of Socket.IO, where the handler is a realtime.Events(): "/socket.io", or SocketIO(path=…, …).
        Unless `raw` is False, plain WebSocket clients come in too, where `transports` has "websocket". `subprotocols`
        names what is spoken with them ("v12.stomp", "mqtt", …; RFC 6455 §1.9), first choice first: of these the first
        that a client offers is agreed on, and is `session.subprotocol`. `dialects` are the options of other protocols
        (realtime/web/dialects.py), at most one of each type. With `durable`, sessions of native clients outlive this
        process: another worker goes on with them, over the server's `broker` (docs/durable.md). Other keyword arguments
        override the server's settings for this endpoint. Raises LocalProtocolError for a path that is taken, does not
        start with "/" or ends with one, or that no URL has, for a setting out of bounds, for what cannot be durable,
        and, from the decorator, for an Engine.IO path that another server of the application has or once the
        application has started, and for a dialect that has no routes; TypeError for an unknown setting or a value of
        the wrong type, and for a handler that is no coroutine function of one argument.
        """
        if not isinstance(path, str):
            called = " (it has to be called)" if callable(path) else f", not {shown(path)}"
            raise TypeError(f'@rt.endpoint takes the path of the endpoint: @rt.endpoint("/chat"){called}')
        if not path.startswith("/") or path.endswith("/") or "{" in path:
            right = "/" + (path.translate({ord("{"): None, ord("}"): None}).strip("/") or "chat")
            raise LocalProtocolError(
                f'an endpoint\'s path starts with "/", does not end with one, and has no variables: "{right}",'
                f" not {path!r}"
            )
        check_reachable(path)
        for name in (SERVER_SETTINGS | SERVER_RULES.keys()) & settings.keys():
            raise TypeError(f"{name} is a setting of the whole server: give it to realtime.Server()")
        config = configure(self._service.config, settings, f"the endpoint {path!r}", ENDPOINT_SETTINGS)
        spoken = dialects_of(
            config,
            sockjs=sockjs,
            engineio=engineio,
            socketio=socketio,
            raw=raw,
            subprotocols=subprotocols,
            dialects=dialects,
        )
        durable = self._service.check_durable(path, config, durable)
        theirs = next((dialect for dialect in spoken if isinstance(dialect, SocketIO)), None)

        def check_free() -> None:
            if path in self._service.endpoints:
                raise LocalProtocolError(f"there is an endpoint at {path!r} already: give this one another path")
            check_routes(spoken, {other.path: other.dialects for other in self._service.endpoints.values()})

        check_free()

        def register(handler: H) -> H:
            check_coroutine(handler, f"the handler of {path!r}")
            check_takes(handler, f"the handler of {path!r}", "the session")
            check_free()  # another may have come since
            if theirs is not None and not isinstance(handler, Events):
                raise LocalProtocolError(
                    f"Socket.IO's clients speak in events: the handler of {path!r} has to be a realtime.Events()"
                )
            stomp = handler if isinstance(handler, STOMP) else None
            if durable and isinstance(handler, (Events, STOMP)):
                raise LocalProtocolError(
                    f"durable=True is for handlers of messages: what {type(handler).__name__}() keeps of its clients"
                    " would not outlive the process"
                )
            endpoint = Endpoint(path, handler, config, spoken if stomp is None else stomp._dialects(spoken), durable)
            for added in self._service.on_endpoint:  # these may refuse
                added(endpoint)
            if isinstance(handler, Events):
                handler._register(self._service, path, theirs)
            if stomp is not None:
                port = stomp._register(self._service.sessions.hub, endpoint, shared=self._service.reaching)
                self._service.open_port(endpoint, port)
                self._service.at_end.append(stomp._close)
            self._service.endpoints[path] = endpoint
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
        Raises TypeError for a hook that is no coroutine function of one argument.
        """
        if hook is NOT_GIVEN:
            raise TypeError("@rt.authorize stands above the hook as it is, without a call: leave out the parentheses")
        check_coroutine(hook, "the authorize hook")
        check_takes(hook, "the authorize hook", "the request")
        self._service.admission.hook = hook
        return hook

    @gives_way
    async def close_identity(self, identity: str, code: int = 4401, reason: str = "") -> int:
        """Ends all sessions of an identity, at all workers: short for `rt.identity(identity).close(code, reason)`,
        which says more."""
        return await self.identity(identity).close(code, reason)

    def identity(self, identity: str) -> Identity:
        """Whom the authorize hook has called so, at all workers: `await rt.identity("ada").send("hello")`. Raises
        TypeError for what is no str."""
        return Identity(self._service.identities, identity)

    def room(self, name: str) -> Room:
        """The room of this name: `await rt.room("lobby").send("hello")`. Raises TypeError for what is no str, and
        LocalProtocolError for a name that begins with a NUL; its methods do for one with a lone surrogate, where rooms
        go over a broker or are kept."""
        check_room(name)
        return self._service.sessions.hub.room(name)

    def configure_rooms(self, pattern: str, *, history: int = 0, ttl: float = 3600.0, presence: bool = False) -> None:
        """Says what is kept of the rooms whose names `pattern` fits, in which * stands for any text.

        `history`: so many messages, until `ttl` seconds (100,000,000 at most) after the last. `presence`: who is in
        them, at all workers. Of several patterns that fit the one with the most characters beside its asterisks counts.
        All workers have to say the same. Without a broker it is kept in this process's memory. Raises TypeError and
        LocalProtocolError for what these can't be, for a pattern that is configured already, and once the server has
        started.
        """
        self._service.configure_rooms(pattern, history, ttl, presence)

    def health(self) -> Health:
        """Whether this worker may be sent requests, and if not, why: `health.ready`, `health.problems`.

        It is not ready while the broker is not reached, while it does not hear its own messages over it, and from its
        shutdown on. A Redis that refuses writes is a problem with which it is ready, as long as its lease runs; and so
        is one that came without data, and whose workers open nothing for a lease.
        realtime.readiness(rt) answers a load balancer with this.
        """
        return self._service.health()

    @property
    def sessions(self) -> Iterator[Session]:
        """The sessions that have not ended."""
        return iter(self._service.sessions)

    def __len__(self) -> int:
        return len(self._service.sessions)

    def __bool__(self) -> bool:
        return True

    async def drain(self, *, timeout: float = 30.0, delay: float | None = None) -> None:
        """Ends all sessions without losing a message, and takes no new ones.

        Each client is asked to stop sending, `drain_rate` of them a second (faster, where all could not be asked in
        half of `timeout`); when all it sent was received and taken by the handler, and the handler waits for more, its
        session closes with 1012. It comes back after a random part of `delay` seconds: by default of 5; at once,
        where this is a worker of a cluster and has a drain_rate. What is left after `timeout` seconds is closed
        regardless.

        A worker of a cluster does that by itself when its application shuts down (Cluster(drain_timeout=…)). Raises
        TypeError and LocalProtocolError for what are no seconds.
        """
        check("timeout", timeout, _DRAIN_TIMEOUT)
        check("delay", delay, _DRAIN_DELAY)
        self._service.runtime.check()
        await self._service.drain(timeout, delay)

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tells `observer` from now on what happens, also to the sessions there are; returns how to stop that. A server
        may have several: each is told everything, in the order in which they came (docs/metrics.md). What it raises is
        logged. Raises TypeError for an object that has not all of its methods.
        """
        check("observer", observer, _OBSERVER)
        return self._service.observe(Guarded(observer))

    def __repr__(self) -> str:
        return f"<Server with {len(self._service.endpoints)} endpoints, {len(self)} sessions>"
