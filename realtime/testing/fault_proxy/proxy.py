"""The proxy itself: it listens, keeps its connections, and is what a test talks to."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random
from types import TracebackType

from .connection import Connection
from .distance import Distance
from .faults import End, EventKind, Fault, ProxyEvent
from .rule import Rule
from .shared import Shared
from .tasks import reap
from .wire import READ_SIZE, Wire


class FaultProxy:
    """A TCP/HTTP proxy in front of one server, whose faults a test scripts.

    Without faults it passes on HTTP/1.x requests, and whatever follows a 101, unchanged, each client
    over a connection of its own to the server. A client that ends its sending direction has left, as
    most proxies see it.

        async with FaultProxy("127.0.0.1", port) as proxy:
            rule = proxy.add(KillWebSocket(after_frames=1, times=1))
            ...  # connect to proxy.url
            await rule.wait_fired()

    With `latency` the server is far away: see `__init__`. All randomness comes from `random`, which only faults with a
    `chance` and `jitter` need. An exception that a fault's `match` raises ends the connection, and is raised again by
    `aclose`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        latency: float = 0.0,
        jitter: float = 0.0,
        random: Random | None = None,
        listen: str = "127.0.0.1",
    ) -> None:
        """A proxy for the server at `host` and `port`, to listen on a free port of address `listen`.

        `latency` is the round trip to it in seconds: bytes take half of it each way, ends of connections too, and
        a new connection costs one before its first bytes pass. `jitter` are seconds, too: a round trip takes up to so
        much longer, by chance. Order is kept, and nothing slows down what is sent: much can be on its way at once.

        Raises ValueError for times below 0, and for jitter without a `random`.
        """
        self._distance = Distance(latency, jitter, random)
        self._shared = Shared((host, port), random)
        self._listen = listen
        self._port = 0
        self._near = 0  # the port behind the distance
        self._refusing = False
        self._listener: asyncio.Server | None = None
        self._far: asyncio.Server | None = None  # where clients connect, if there is a distance
        self._relays: set[asyncio.Task[None]] = set()
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._accepted = 0

    # Life

    async def start(self) -> None:
        """Listen. Raises OSError if that fails."""
        self._listener = await asyncio.start_server(self._accept, self._listen, 0, limit=READ_SIZE)
        self._port = self._listener.sockets[0].getsockname()[1]
        if self._distance.any:
            try:
                near, far = self._port, await asyncio.start_server(self._relay, self._listen, 0, limit=READ_SIZE)
            except BaseException:
                await self._close()
                raise
            self._near, self._far, self._port = near, far, far.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """End every task and connection at once. Raises what a fault's `match` raised."""
        await self._close()
        if self._shared.errors:
            raise self._shared.errors.pop(0)

    async def _close(self) -> None:
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        listener.close()
        if self._far is not None:
            self._far.close()
        await reap(*self._relays)
        await reap(*self._connections)
        await self._shared.close()
        await listener.wait_closed()
        if self._far is not None:
            await self._far.wait_closed()

    async def __aenter__(self) -> FaultProxy:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.aclose()
        else:
            await self._close()  # the test's own failure comes first

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens: "http://127.0.0.1:PORT"."""
        return f"http://{f'[{self._listen}]' if ':' in self._listen else self._listen}:{self._port}"

    @property
    def backend(self) -> tuple[str, int]:
        """Host and port of the server. May be set: connections made from then on go there."""
        return self._shared.backend

    @backend.setter
    def backend(self, address: tuple[str, int]) -> None:
        self._shared.backend = address

    # What a test sees

    @property
    def log(self) -> list[ProxyEvent]:
        """What it saw and did, in order. It grows without a bound; a test may clear it."""
        return self._shared.log

    async def wait_logged(self, kind: EventKind, n: int = 1) -> None:
        """Return when `n` events of this kind have been logged in all. Set your own time-out around it."""
        await self._shared.logged[kind].wait(n)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in force, in the order in which they are asked."""
        return tuple(self._shared.rules)

    @property
    def connections(self) -> int:
        """How many clients' connections are open, mute ones included."""
        return len(self._connections)

    # What a test does

    def add(self, fault: Fault) -> Rule:
        """Put a fault in force for requests that arrive from now on.

        Raises ValueError if it has a chance between 0 and 1 and the proxy no `random`.
        """
        return self._shared.add(fault)

    def clear(self) -> None:
        """Remove every rule. Requests that have been taken keep their faults."""
        self._shared.rules.clear()

    def cut(self, *, rst: bool = False) -> None:
        """End every connection now, mute ones too, with FIN or RST; drop what is held or late."""
        how: End = "rst" if rst else "fin"
        for connection in self._connections.values():
            connection.link.cut(how)
        self._shared.drop_copies()

    def unplug(self, *, refuse: bool = False) -> None:
        """As if the cable were pulled: every connection is mute both ways, without FIN or RST.

        New ones are accepted and mute too, or, with `refuse`, reset at once. What is sent meanwhile is
        lost for good, except that bytes already handed to the system still arrive.
        """
        self._shared.plugged = False
        self._refusing = refuse
        for connection in self._connections.values():
            connection.link.mute("both")

    def plug(self) -> None:
        """New connections work again. Those from before stay mute until their peers give up, or `cut`."""
        self._shared.plugged = True
        self._refusing = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        if self._listener is None:
            wire.abort()
            return
        if self._refusing:
            wire.reset()
            return
        self._accepted += 1
        connection = Connection(self._shared, self._accepted, wire)
        task = asyncio.create_task(connection.run())
        self._connections[task] = connection
        task.add_done_callback(self._ended)

    def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Wire(reader, writer)
        if self._listener is None:
            client.abort()
            return
        task = asyncio.create_task(self._bring_near(client))
        self._relays.add(task)
        task.add_done_callback(partial(self._relayed, client))

    def _relayed(self, client: Wire, task: asyncio.Task[None]) -> None:
        self._relays.discard(task)
        client.abort()  # it may never have begun

    async def _bring_near(self, client: Wire) -> None:
        try:
            near = Wire(*await asyncio.open_connection(self._listen, self._near, limit=READ_SIZE))
            await self._distance.relay(client, near)
        except OSError:
            pass  # nobody listens there any more: this proxy is being closed
        finally:
            client.abort()
            await client.closed()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).link.client.abort()  # it may never have begun
        if not task.cancelled() and (error := task.exception()) is not None:
            self._shared.errors.append(error)

    def __repr__(self) -> str:
        host, port = self.backend
        return f"<FaultProxy {self.url} for {host}:{port} rules={len(self.rules)} open={self.connections}>"
