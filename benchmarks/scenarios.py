"""The scenarios: what is opened, what one operation is, and what the server spends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Literal, Protocol, TypeAlias

from .bare import BareLongPolling, BareStreaming, BareWebSocket
from .load import Broadcast, Echo, Failed, Limit, Peer, Tally
from .messages import Messages
from .native import WINDOW, NativeLongPolling, NativeStreaming, NativeWebSocket
from .peers import FLOOR, PeerWebSocket
from .peers import PEERS as DIALECTS
from .process import Meter, ServerProcess

__all__ = [
    "PEERS",
    "SCENARIOS",
    "Bench",
    "BroadcastScenario",
    "EchoScenario",
    "Figure",
    "MakePeer",
    "MemoryScenario",
    "OpeningScenario",
    "Plan",
    "Scenario",
]

Transport: TypeAlias = Literal["websocket", "long_polling", "xhr_streaming"]


class MakePeer(Protocol):
    """The constructor of a session: its port, the path it goes to, and where in the cycle of messages it begins."""

    def __call__(self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0) -> Peer: ...


PEERS: dict[tuple[str, Transport], MakePeer] = {
    ("realtime", "websocket"): NativeWebSocket,
    ("realtime", "long_polling"): NativeLongPolling,
    ("realtime", "xhr_streaming"): NativeStreaming,
    ("bare aiohttp", "websocket"): BareWebSocket,
    ("bare aiohttp", "long_polling"): BareLongPolling,
    ("bare aiohttp", "xhr_streaming"): BareStreaming,
    (FLOOR, "xhr_streaming"): BareStreaming,
    ("realtime, tune_gc()", "websocket"): NativeWebSocket,
    ("realtime, tune_gc()", "long_polling"): NativeLongPolling,
    **{(name, "websocket"): partial(PeerWebSocket, dialect=dialect) for name, dialect in DIALECTS.items()},
}

# How many sessions are being opened at any time.
OPENING = 16
# How long sessions may take to open or to leave, all together, in seconds.
PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how large: everything about a measurement that is not the scenario."""

    measured: Limit
    warm_up: Limit
    size: int = 64
    sessions: int | None = None  # instead of the scenario's own number
    settle: float = 0.05  # seconds between two looks at whether the server rests


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What came out: the server spent `cpu_seconds` or `memory` bytes on so many operations."""

    operations: int
    sessions: int
    cpu_seconds: float
    wall_seconds: float
    disturbance: float = 0.0  # seconds that the server or the generator waited for a core
    memory: int = 0
    latencies: tuple[float, ...] = field(default=(), repr=False)  # seconds, sorted, where they were measured

    def percentile(self, part: float) -> float:
        """The time that this part of the operations did not exceed, in milliseconds; 0 where none was measured."""
        return (
            self.latencies[min(int(part * len(self.latencies)), len(self.latencies) - 1)] * 1e3
            if self.latencies
            else 0.0
        )

    @property
    def throughput(self) -> float:
        """Operations a second, from one core of the server."""
        return self.operations / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def microseconds(self) -> float:
        """CPU time per operation."""
        return self.cpu_seconds / self.operations * 1e6

    @property
    def kibibytes(self) -> float:
        """Memory per operation."""
        return self.memory / self.operations / 1024

    @property
    def busy(self) -> float:
        """The part of the time in which the server worked; far below 1 it waited for the generator."""
        return self.cpu_seconds / self.wall_seconds if self.wall_seconds else 0.0

    @property
    def disturbed(self) -> float:
        """The part of the time in which the server or the generator waited for a core that another process had."""
        return self.disturbance / self.wall_seconds if self.wall_seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One line of the table."""

    name: str
    operation: str  # what one operation is
    transport: Transport
    sessions: int
    unit: ClassVar[str] = "µs"

    def title(self, sessions: int) -> str:
        """What the table calls it."""
        raise NotImplementedError

    def files(self, sessions: int) -> int:
        """How many open files a server, or the generator, needs for it."""
        return 2 * sessions + 200

    def value(self, figure: Figure) -> float:
        """The number for the table, in `unit` per operation."""
        return figure.microseconds

    async def measure(self, server: ServerProcess, contender: str, plan: Plan) -> Figure:
        """Runs it once against a server. Raises Failed when a message is lost, repeated or out of order."""
        return await self.measure_by(server, PEERS[contender, self.transport], PEERS[contender, "websocket"], plan)

    async def measure_by(self, server: ServerProcess, make: MakePeer, make_speaker: MakePeer, plan: Plan) -> Figure:
        """The same, with sessions that are made by these."""
        tally = Tally()
        bench = Bench(server, make, make_speaker, plan, tally)
        try:
            figure = await self._measure(bench, plan.sessions or self.sessions)
            tally.check()
        finally:
            await bench.abort()
        return figure

    async def _measure(self, bench: Bench, sessions: int) -> Figure:
        raise NotImplementedError


class Load(Protocol):
    """What is done, and how long each took."""

    async def run(self, limit: Limit) -> int:
        """See Tally.run()."""

    def latencies(self) -> tuple[float, ...]:
        """In seconds, sorted; of the last run, where they were taken."""


class Bench:
    """One measurement's sessions and meter."""

    def __init__(self, server: ServerProcess, make: MakePeer, make_speaker: MakePeer, plan: Plan, tally: Tally) -> None:
        self.server = server
        self.plan = plan
        self.tally = tally
        self.meter = Meter(server, plan.settle)
        self._make = make
        self._make_speaker = make_speaker
        self._messages = Messages(plan.size)
        self._open: list[Peer] = []

    async def peers(self, count: int, name: str, *, speaks: bool = True, spread: int = 0) -> list[Peer]:
        """So many sessions, open. Each begins `spread` further on in the cycle of messages."""
        port = self.server.port
        made = [self._make(port, name, self._messages, self.tally, number * spread) for number in range(count)]
        self._open += made
        await self._each(made, lambda peer: peer.open(speaks=speaks))
        return made

    async def speaker(self) -> Peer:
        """The session that speaks, over WebSocket whatever the others use."""
        peer = self._make_speaker(self.server.port, "speak", self._messages, self.tally)
        self._open.append(peer)
        await self._each([peer], lambda peer: peer.open())
        return peer

    async def leave(self, peers: Sequence[Peer]) -> None:
        """Ends sessions by the protocol."""
        await self._each(peers, lambda peer: peer.leave())
        gone = set(peers)
        self._open = [peer for peer in self._open if peer not in gone]

    async def abort(self) -> None:
        """Cuts what is left."""
        await self._each(self._open, lambda peer: peer.abort())
        self._open = []

    async def _each(self, peers: Sequence[Peer], act: Callable[[Peer], Awaitable[None]]) -> None:
        rest = iter(peers)

        async def work() -> None:
            for peer in rest:
                await act(peer)

        try:
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for _ in range(min(OPENING, len(peers))):
                    group.create_task(work())
        except TimeoutError:
            raise Failed(f"{len(peers)} sessions were not opened, or not ended, within {PATIENCE:g} seconds") from None
        except ExceptionGroup as group:
            first = group.exceptions[0]
            raise first if isinstance(first, Failed) else Failed(str(first)) from group

    async def measure(self, load: Load, sessions: int, warm: Callable[[], bool] = lambda: True) -> Figure:
        """Warms up, until all is `warm`, then measures."""
        await load.run(self.plan.warm_up)
        while not warm():
            await load.run(self.plan.warm_up)
        async with self.meter:
            operations = await load.run(self.plan.measured)
        return replace(self.figure(operations, sessions), latencies=load.latencies())

    def figure(self, operations: int, sessions: int, memory: int = 0) -> Figure:
        """What the meter says of so many operations."""
        return Figure(
            operations=operations,
            sessions=sessions,
            cpu_seconds=self.meter.cpu_seconds,
            wall_seconds=self.meter.wall_seconds,
            disturbance=self.meter.disturbance,
            memory=memory,
        )


@dataclass(frozen=True, kw_only=True)
class EchoScenario(Scenario):
    """Messages that come back."""

    in_flight: int = 1

    def title(self, sessions: int) -> str:
        """What the table calls it."""
        flight = "" if self.transport == "long_polling" else f", {self.in_flight} in flight"
        return f"{LABELS[self.transport]} echo, {sessions:,} sessions{flight}"

    async def _measure(self, bench: Bench, sessions: int) -> Figure:
        peers = await bench.peers(sessions, "echo", spread=7)
        return await bench.measure(Echo(peers, self.in_flight, bench.tally), sessions)


@dataclass(frozen=True, kw_only=True)
class BroadcastScenario(Scenario):
    """One message to all sessions."""

    in_flight: int = 1
    listen: str = "listen"
    heard: int = 0  # so many messages at least each listener has had when the clock is read

    def title(self, sessions: int) -> str:
        """What the table calls it."""
        flight = "one at a time" if self.in_flight == 1 else f"{self.in_flight} in flight"
        return f"{LABELS[self.transport]} broadcast to {sessions:,}, {flight}"

    async def _measure(self, bench: Bench, sessions: int) -> Figure:
        listeners = await bench.peers(sessions, self.listen, speaks=False)
        speaker = await bench.speaker()
        broadcast = Broadcast(speaker, listeners, self.in_flight, bench.tally)
        return await bench.measure(broadcast, sessions, lambda: all(peer.received >= self.heard for peer in listeners))


@dataclass(frozen=True, kw_only=True)
class OpeningScenario(Scenario):
    """Sessions that open; they leave between two readings of the clock."""

    # More would use up the ports of one address, each of which rests for a minute after use.
    MOST: ClassVar[int] = 10_000

    def title(self, sessions: int) -> str:
        """What the table calls it."""
        return f"Opening a session ({LABELS[self.transport]}), up to {sessions:,} open"

    async def _measure(self, bench: Bench, sessions: int) -> Figure:
        limit = bench.plan.measured
        await bench.leave(await bench.peers(min(sessions, 100), "echo"))
        operations = 0
        while operations < min(limit.operations, self.MOST) and bench.meter.wall_seconds < limit.seconds:
            async with bench.meter:
                peers = await bench.peers(sessions, "echo")
            operations += len(peers)
            await bench.leave(peers)
        return bench.figure(operations, sessions)


@dataclass(frozen=True, kw_only=True)
class MemoryScenario(Scenario):
    """Sessions that do nothing: what the resident set grows by."""

    unit: ClassVar[str] = "KiB"

    def title(self, sessions: int) -> str:
        """What the table calls it."""
        return f"Memory of an idle session ({LABELS[self.transport]}), {sessions:,} open"

    def value(self, figure: Figure) -> float:
        """The number for the table, in `unit` per operation."""
        return figure.kibibytes

    async def _measure(self, bench: Bench, sessions: int) -> Figure:
        # The first few pay for what is made once: modules, caches, the allocator's first blocks.
        await bench.peers(min(sessions, 50), "listen", speaks=False)
        await bench.meter.rest()
        before = bench.server.memory()
        async with bench.meter:
            await bench.peers(sessions, "listen", speaks=False)
        return bench.figure(sessions, sessions, bench.server.memory() - before)


LABELS: dict[Transport, str] = {
    "websocket": "WebSocket",
    "long_polling": "Long-polling",
    "xhr_streaming": "XHR streaming",
}

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        EchoScenario(name="websocket-echo", operation="echo", transport="websocket", sessions=100),
        EchoScenario(name="websocket-echo-32", operation="echo", transport="websocket", sessions=100, in_flight=32),
        BroadcastScenario(name="websocket-broadcast", operation="delivery", transport="websocket", sessions=1000),
        BroadcastScenario(
            name="websocket-broadcast-16", operation="delivery", transport="websocket", sessions=1000, in_flight=16
        ),
        EchoScenario(
            name="long-polling-echo", operation="cycle (a send and a poll)", transport="long_polling", sessions=100
        ),
        BroadcastScenario(name="long-polling-broadcast", operation="delivery", transport="long_polling", sessions=1000),
        BroadcastScenario(
            name="streaming-broadcast",
            operation="delivery",
            transport="xhr_streaming",
            sessions=1000,
            heard=WINDOW[0] // 4 + 1,  # by then a session has acknowledged, on a connection of its own
        ),
        OpeningScenario(name="opening", operation="session", transport="websocket", sessions=1000),
        MemoryScenario(name="memory-websocket", operation="session", transport="websocket", sessions=2000),
        MemoryScenario(name="memory-long-polling", operation="session", transport="long_polling", sessions=2000),
        MemoryScenario(name="memory-streaming", operation="session", transport="xhr_streaming", sessions=2000),
    )
}
