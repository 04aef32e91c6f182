"""The service behind a Server: its settings and endpoints, and the parts that do the work. Gates and web/ bring it
requests, and carriers; applications never see it.

`endpoints` is what is served, `sessions` who is here, `admission` who may, `networks` what gets through where,
`runtime` what flushes and keeps deadlines. Knows no aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import ReferenceType

from .admission import Admission
from .brokers.base import Health, Keep, Stores
from .brokers.counts import Counts
from .brokers.identities import Identities
from .brokers.memory import MemoryBroker
from .brokers.rooms import Rooms, Timing
from .brokers.rules import RoomRules
from .clock import Clock
from .core.config import Config
from .core.errors import LocalProtocolError
from .core.observer import Observer
from .core.pacing import moments
from .core.settings import check, flag
from .departures import Departures
from .durable.keeper import Keeper
from .endpoint import Endpoint
from .identities import Here
from .networks import Networks
from .notices import Notices
from .owners import Bridges, Clusters, Member, Reach
from .runtime import Runtime
from .sessions import Sessions
from .stomp.port import Port

__all__ = ["MOMENT", "Service"]

log: logging.Logger = logging.getLogger("realtime.server")

# Deadlines this close together are served by one wake-up, so that idle sessions cost little.
GRAIN = 0.05
# Over so many seconds clients' return is spread, unless they are told to go one after another, and there are others.
DELAY = 5.0
MOMENT = 0.001
# Of a room that goes over a broker, and is not configured, nothing is kept but where it stands.
NOTHING = Keep()


class Service:
    """What a Server consists of. Its settings have been checked."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        allowed_origins: tuple[str, ...],
        trusted_proxies: tuple[str, ...],
        shutdown_timeout: float,
        broker: Stores | None = None,
        broker_timeout: float = 5.0,
        cluster: Clusters | None = None,
        drain_rate: float | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.allowed_origins = allowed_origins
        self.trusted_proxies = trusted_proxies
        self.shutdown_timeout = shutdown_timeout
        self.endpoints: dict[str, Endpoint] = {}
        self.application: ReferenceType[object] | None = None  # that it is set up in, until that shuts down
        self.closing: bool = False  # shutting down: nothing new is taken
        self.on_shutdown: list[Callable[[], None]] = []  # web/ ends what no session holds
        self.on_drain: list[Callable[[], None]] = []  # and cluster/ has clients of others' sessions come by others
        self.on_drained: list[Callable[[float], Awaitable[None]]] = []  # which some can't: they have so many seconds
        self.on_endpoint: list[Callable[[Endpoint], None]] = []  # web/ gives an endpoint routes of its own
        self.at_end: list[Callable[[], Awaitable[None]]] = []  # what ends behind the sessions, and before the broker
        self.ports: list[tuple[Endpoint, Port]] = []  # beside HTTP's, open while the application runs: see gates.stomp
        self.notices: Notices = Notices(clock.now)  # what is said once in the log, by web/ as well
        self.runtime: Runtime = Runtime(clock, "server", GRAIN)
        self.runtime.on_standstill = self._excuse
        self.admission: Admission = Admission(config, clock)
        self.sessions: Sessions = Sessions(config, self.runtime, self.admission, self.notices)
        self.networks: Networks = Networks(clock)
        self.carrying: object | None = None  # what carries requests to other workers: see web.carried
        self.taking: object | None = None  # what takes sessions of WebTransport: see webtransport.carried.Taking
        self.reach: Reach | None = None  # tries to reach other workers
        self.bridges: Bridges | None = None  # to the workers where clients of this one go on
        self.broker: Stores | None = broker
        self.broker_timeout = broker_timeout
        self.drain_rate = drain_rate
        self.draw: Callable[[], float] = random.random  # for what is spread over time
        self.broker_counts: Counts = Counts()
        self.cluster: Clusters | None = cluster
        self.member: Member | None = None  # of that, while it runs
        self.room_rules: RoomRules = RoomRules()
        self.identities: Here = Here(self.sessions, self.admission, self.runtime)
        self.keeper: Keeper | None = None  # of durable sessions, where this worker or others have any
        self.reaching: bool = broker is not None  # other workers: identities go over the broker
        if broker is not None:
            self.sessions.hub.keep = self._keep

    @property
    def opens_at_once(self) -> bool:
        """Whether nobody is asked before a session opens or goes on: no hook, and no other workers."""
        return self.admission.hook is None and self.sessions.owners is None

    def _excuse(self, now: float, _: float) -> None:
        """This process stood still, and nobody could come."""
        for session in self.sessions:
            session._machine.excuse(now)

    # -- rooms -----------------------------------------------------------------------------------------------------

    def configure_rooms(self, pattern: str, history: int, ttl: float, presence: bool) -> None:
        """What is kept of some rooms: see Server.configure_rooms()."""
        self.room_rules.add(pattern, history, ttl, presence)
        if self.broker is None:
            self.broker = MemoryBroker()
            self.sessions.hub.keep = self.room_rules.keep  # all others are of this process alone, as ever

    def _keep(self, name: str) -> Keep | None:
        """Over a broker go all rooms."""
        return self.room_rules.keep(name) or NOTHING

    async def start_rooms(self) -> None:
        """The rooms that go over a broker begin, and a worker of a cluster. Waits for the broker no more than a
        moment."""
        self.room_rules.fixed = True
        hub = self.sessions.hub
        if self.broker is not None and hub.shared is None:
            store, timing, name = self.broker.store(), Timing(), f"{self.sessions.worker}-"
            rooms = hub.shared = Rooms(store, hub, self.broker_timeout, timing, self.broker_counts, name)
            if self.reaching:
                self.sessions.shared = Identities(rooms, self.identities, self.broker_timeout, timing)
            if self.cluster is not None:
                self.member = self.cluster.member(self, store)
                rooms.watchers.append(self.member)
                await self.member.start()
                self._keep_durable()
            if self.keeper is not None:
                self.keeper.start(store)
                rooms.watchers.append(self.keeper)
            await rooms.start()
            if self.sessions.shared is not None:
                self.sessions.shared.start()
            if self.member is not None:
                await self.member.settle()

    async def stop_rooms(self) -> None:
        """They end."""
        hub = self.sessions.hub
        if self.keeper is not None:
            await self.keeper.stop()
        if self.member is not None:
            member, self.member = self.member, None
            await member.close()
        if hub.shared is not None:
            rooms, hub.shared, self.sessions.shared = hub.shared, None, None
            await rooms.close()

    def health(self) -> Health:
        """Whether requests may come here, and if not, why."""
        rooms = self.sessions.hub.shared
        if self.closing or self.sessions.refusing:
            return Health(False, ("the server is shutting down",))
        if self.broker is None:
            return Health(True)
        if rooms is None:
            return Health(False, ("the server has not started",))
        health = rooms.health()
        if health.ready and self.member is not None:
            if self.member.problem:
                return Health(False, (self.member.problem, *health.problems))
            if self.member.note:
                return Health(True, (self.member.note, *health.problems))
        return health

    def check_durable(self, path: str, config: Config, durable: bool) -> bool:
        """Whether an endpoint's sessions are durable. Raises TypeError, and LocalProtocolError where they cannot be."""
        check("durable", durable, flag())
        if not durable:
            return False
        if self.broker is None or not self.reaching:
            raise LocalProtocolError(
                f'the endpoint {path!r} is durable: its sessions are kept by a broker, such as broker="redis://…", or'
                " broker=realtime.MemoryBroker() in one process"
            )
        if config.on_full == "drop_oldest":
            raise LocalProtocolError(
                f"the endpoint {path!r} is durable: what is stored for its clients is not dropped, so on_full takes"
                " 'wait' or 'close'"
            )
        if self.sessions.hub.shared is not None and not any(one.durable for one in self.endpoints.values()):
            raise LocalProtocolError(
                f"the endpoint {path!r} is durable: register the first of these before the server starts"
            )
        self._keep_durable()
        return True

    def _keep_durable(self) -> None:
        """Durable sessions are opened here, or other workers may have some, which are found for their clients."""
        if self.keeper is None:
            self.keeper = self.sessions.keeper = Keeper(
                self.sessions, self.admission, self.runtime, self.endpoints, lambda: self.reach
            )

    def open_port(self, endpoint: Endpoint, port: Port | None) -> None:
        """An endpoint's clients come by a port of their own as well, from the start on. Raises LocalProtocolError once
        the application has started."""
        if port is not None:
            if self.runtime.loop is not None and self.runtime.loop.is_running():
                raise LocalProtocolError(
                    f"the endpoint {endpoint.path!r} has a TCP port, which opens when the application starts: register"
                    " it before"
                )
            self.ports.append((endpoint, port))

    # -- who watches -----------------------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tells `observer`, which never raises, from now on what happens: see Server.observe()."""

        def stop() -> None:
            self.sessions.observe(tuple(other for other in self.sessions.observers if other != observer))

        stop()  # whoever is there already is told once
        self.sessions.observe((*self.sessions.observers, observer))
        return stop

    def refused(self, code: int) -> None:
        """A request or a WebSocket is answered with a refusal (docs/protocol.md §9)."""
        for observer in self.sessions.observers:
            observer.refused(code)

    def note_end(self, sid: str, transport: str, since: float) -> None:
        """The connection under a session's newest carrier, which began at `since`, is gone, without a word."""
        session = self.sessions.get(sid)
        if session is not None:
            self.networks.note_end(session, transport, since)

    # -- the beginning, and the end --------------------------------------------------------------------------------

    @property
    def abandoned(self) -> bool:
        """Whether the event loop that it was started in has been closed, without a shutdown."""
        loop = self.runtime.loop
        return loop is not None and loop.is_closed()

    def start(self) -> None:
        """The application starts (again). What another event loop has left behind that runs no more, and was not shut
        down, is forgotten: nobody could go on with it, or end it. Raises LocalProtocolError while that loop runs."""
        loop, before = asyncio.get_running_loop(), self.runtime.loop
        if before is not None and before is not loop:
            if before.is_running():
                raise LocalProtocolError(
                    "this Server runs in another event loop already: make one realtime.Server() for each"
                )
            self.sessions.reset()
            self.admission.reset()
            self.runtime.reset()
        self.runtime.loop = loop
        self.sessions.started()
        self.closing = self.sessions.refusing = False

    async def _hand_over(self, turn: float, within: float) -> None:
        """Gives durable sessions up for other workers, where there are any at the pace of a drain: whoever has to wait
        for others is still served here. Each turn is waited for so many seconds."""
        rate, when = self.drain_rate, None
        if self.member is not None and rate is not None and within:
            when = partial(moments, rate=rate, within=within, draw=self.draw)
        if self.keeper is not None:
            await self.keeper.hand_over(turn, when)

    async def drain(self, timeout: float, delay: float | None) -> None:
        """Ends all sessions without losing a message, and takes no new ones: see Server.drain()."""
        self.sessions.refusing = True
        began = self.clock.now()
        until = began + timeout
        if count := len(self.sessions):
            log.info("= %d sessions are told to go, within %g s", count, timeout)
        for hook in self.on_drain:
            hook()
        await self._hand_over(timeout / 4, timeout / 2)
        timeout = max(until - self.clock.now(), timeout / 2)
        if delay is None:
            delay = 0.0 if self.member is not None and self.drain_rate is not None else DELAY
        rate, within = self.drain_rate, max(timeout / 2, MOMENT)
        departures = Departures(self.sessions, self.clock, rate=rate, within=within, delay=delay, draw=self.draw)
        try:
            await self.sessions.wait(timeout)
        finally:
            departures.stop()
        if count:
            log.info("= after %.1f s %d have not gone, and are ended", self.clock.now() - began, len(self.sessions))
        self.sessions.close(1012, "the server restarts")
        await self.sessions.wait(min(timeout, 1.0))
        self.sessions.end(1012, "the server restarts")
        self.sessions.handlers.end_absent(1012)

    async def shutdown(self) -> None:
        """Ends every session with 1001, within shutdown_timeout whatever the clients do. A worker of a cluster lets
        them go to the others first."""
        self.runtime.check()
        lasts = 0.0 if self.member is None else self.member.drain_timeout
        until = self.clock.now() + lasts
        self.sessions.refusing = self.sessions.refusing or lasts > 0
        await self._hand_over(self.shutdown_timeout / 4, lasts / 2)
        if lasts:
            await self.drain(max(until - self.clock.now(), lasts / 2), None)
            for wait in self.on_drained:
                await wait(until - self.clock.now())
        self.closing = self.sessions.refusing = True
        for stop in self.on_shutdown:
            stop()
        self.sessions.close(1001, "the server is going away")
        self.runtime.flush()
        # Whoever listens on a live connection acknowledges at once; who is between two polls comes back.
        patience = self.shutdown_timeout / 4
        await self.sessions.wait(patience, near_only=True)
        self.sessions.end(1001, "the server is going away", within=patience)
        await self.sessions.tell(patience)
        await self.admission.stop(patience)
        await self.sessions.handlers.stop(patience)
        for end in self.at_end:
            await end()
        await self.stop_rooms()
        self.runtime.stop()
        self.runtime.loop = None  # it may start again, in any
