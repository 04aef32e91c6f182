"""The service behind a Server: its settings and endpoints, and the parts that do the work. Gates and web/ bring it
requests, and carriers; applications never see it.

`endpoints` is what is served, `sessions` who is here, `admission` who may, `networks` what gets through where,
`runtime` what flushes and keeps deadlines. Knows no aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import ReferenceType

from .admission import Admission
from .brokers.base import Health, Keep, Stores
from .brokers.memory import MemoryBroker
from .brokers.rooms import Rooms
from .brokers.rules import RoomRules
from .clock import Clock
from .core.config import Config
from .core.errors import LocalProtocolError
from .core.observer import Observer
from .endpoint import Endpoint
from .networks import Networks
from .notices import Notices
from .owners import Clusters, Member
from .runtime import Runtime
from .sessions import Sessions

__all__ = ["Service"]

# Deadlines this close together are served by one wake-up, so that idle sessions cost little.
GRAIN = 0.05
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
        self.on_endpoint: list[Callable[[Endpoint], None]] = []  # web/ gives an endpoint routes of its own
        self.notices: Notices = Notices(clock.now)  # what is said once in the log, by web/ as well
        self.runtime: Runtime = Runtime(clock, "server", GRAIN)
        self.admission: Admission = Admission(config, clock)
        self.sessions: Sessions = Sessions(config, self.runtime, self.admission, self.notices)
        self.networks: Networks = Networks(clock)
        self.carrying: object | None = None  # what carries requests to other workers: see web.carried
        self.broker: Stores | None = broker
        self.broker_timeout = broker_timeout
        self.cluster: Clusters | None = cluster
        self.member: Member | None = None  # of that, while it runs
        self.room_rules: RoomRules = RoomRules()
        if broker is not None:
            self.sessions.hub.keep = self._keep

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
        """The rooms that go over a broker begin. Does not wait for it."""
        self.room_rules.fixed = True
        hub = self.sessions.hub
        if self.broker is not None and hub.shared is None:
            store = self.broker.store()
            hub.shared = Rooms(store, hub, self.broker_timeout)
            if self.cluster is not None:
                self.member = self.cluster.member(self, store)
                hub.shared.watchers.append(self.member)
                await self.member.start()
            await hub.shared.start()

    async def stop_rooms(self) -> None:
        """They end."""
        hub = self.sessions.hub
        if self.member is not None:
            member, self.member = self.member, None
            await member.close()
        if hub.shared is not None:
            rooms, hub.shared = hub.shared, None
            await rooms.close()

    def health(self) -> Health:
        """Whether requests may come here, and if not, why."""
        rooms = self.sessions.hub.shared
        if self.closing or self.sessions.refusing:
            return Health(False, ("the server is shutting down",))
        if self.broker is None:
            return Health(True)
        return rooms.health() if rooms is not None else Health(False, ("the server has not started",))

    # -- who watches -----------------------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tells `observer` from now on what happens: see Server.observe()."""

        def stop() -> None:
            self.sessions.observe(tuple(other for other in self.sessions.observers if other is not observer))

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

    async def drain(self, timeout: float, delay: float) -> None:
        """Ends all sessions without losing a message, and takes no new ones: see Server.drain()."""
        self.sessions.refusing = True
        self.sessions.drain(delay)
        await self.sessions.wait(timeout)
        self.sessions.close(1012, "the server restarts")
        await self.sessions.wait(min(timeout, 1.0))
        self.sessions.end(1012, "the server restarts")

    async def shutdown(self) -> None:
        """Ends every session with 1001, within shutdown_timeout whatever the clients do."""
        self.runtime.check()
        self.closing = self.sessions.refusing = True
        for stop in self.on_shutdown:
            stop()
        self.sessions.close(1001, "the server is going away")
        self.runtime.flush()
        # Whoever listens on a live connection acknowledges at once; who is between two polls comes back.
        await self.sessions.wait(self.shutdown_timeout / 4, near_only=True)
        self.sessions.end(1001, "the server is going away")
        await self.sessions.tell(self.shutdown_timeout / 4)
        await self.sessions.handlers.stop(self.shutdown_timeout / 4)
        await self.stop_rooms()
        self.runtime.stop()
        self.runtime.loop = None  # it may start again, in any
