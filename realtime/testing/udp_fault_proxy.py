"""A UDP proxy that misbehaves on demand: for WebTransport, and whatever else goes by datagrams.

It knows no QUIC: datagrams are lost, late, doubled, out of order, or vanish altogether, as in a bad network. All chance
comes from the `random` that it is given, one draw for each datagram and fault, in the order in which they come.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from types import TracebackType
from typing import Any, Literal, TypeAlias, cast

from ..core.errors import LocalProtocolError

__all__ = ["UdpFaultProxy"]

Direction: TypeAlias = Literal["to_server", "to_client"]
WAYS: frozenset[Direction] = frozenset(("to_server", "to_client"))
CHANCES = ("loss", "duplicate", "reorder")
TIMES = ("latency", "jitter")
# A datagram that is to be overtaken is held for so long at most, in seconds: perhaps nothing follows it.
MAX_HOLD = 0.05


class _Flow(asyncio.DatagramProtocol):
    """What one client's socket sends, over a socket of its own to the server, and back."""

    def __init__(self, proxy: UdpFaultProxy, client: Any) -> None:
        self._proxy = proxy
        self.client = client
        self.transport: asyncio.DatagramTransport | None = None
        self._early: list[bytes] = []
        self.datagrams = 0
        self.cut: frozenset[str] = frozenset()  # the ways on which nothing passes any more
        self.held: dict[str, tuple[bytes, asyncio.TimerHandle]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # not all of asyncio's are one by their class
        for data in self._early:
            self.transport.sendto(data)
        self._early.clear()

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._proxy._came(self, data, "to_client")

    def error_received(self, error: Exception) -> None:
        """Nobody is there: that is silence here."""

    def to_server(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        elif not self.transport.is_closing():
            self.transport.sendto(data)

    def close(self) -> None:
        self.cut = WAYS
        for _, timer in self.held.values():
            timer.cancel()
        self.held.clear()
        if self.transport is not None:
            self.transport.close()


class _Front(asyncio.DatagramProtocol):
    def __init__(self, proxy: UdpFaultProxy) -> None:
        self._proxy = proxy

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._proxy._from_client(data, address)

    def error_received(self, error: Exception) -> None:
        """A client has gone."""


class UdpFaultProxy:
    """A UDP proxy in front of one server, on a free port of 127.0.0.1.

        async with UdpFaultProxy("127.0.0.1", port, loss=0.1, random=Random(1)) as proxy:
            ...  # connect to proxy.port

    `loss`, `duplicate` and `reorder` are the chances of a datagram to vanish, to come twice, and to be overtaken by the
    next. A round trip takes `latency` seconds, and by chance up to `jitter` more. `cut_after` cuts each flow, that is
    whatever comes from one client's socket, after so many of its datagrams, both ways counted, and as often as `cuts`
    says (None: always): nothing passes on it from then on in the direction `cut_way` ("to_server", "to_client", or None
    for both), and nobody is told. All of these may be set meanwhile.

    Raises LocalProtocolError, when they are set meanwhile, too, for chances that are none, and for chances and jitter
    without a `random`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        latency: float = 0.0,
        jitter: float = 0.0,
        cut_after: int | None = None,
        cuts: int | None = None,
        cut_way: Direction | None = None,
        random: Random | None = None,
    ) -> None:
        self._random = random
        # Where the server is. May be set: clients that come from then on go there.
        self.backend: tuple[str, int] = (host, port)
        self.loss: float = loss  # the chance of a datagram to vanish
        self.duplicate: float = duplicate  # the chance of a datagram to come twice
        self.reorder: float = reorder  # the chance of a datagram to be overtaken
        self.latency: float = latency  # of a round trip, in seconds
        self.jitter: float = jitter  # so many seconds more, by chance
        self.cut_after: int | None = cut_after  # a flow is cut after so many datagrams
        self.cuts: int | None = cuts  # so often; None: always
        self.cut_way: Direction | None = cut_way  # in this direction; None: in both
        # What does not get through at all: "to_server", "to_client", both, or neither.
        self.dark: frozenset[Direction] = frozenset()
        # How often what has happened: "passed", "lost", "doubled", "overtaken", "cut", "swallowed".
        self.counts: Counter[str] = Counter()
        self._flows: dict[Any, _Flow] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._port = 0

    def __setattr__(self, name: str, value: Any) -> None:
        """A setting is checked whenever it is set: what did nothing, without a word, would be a test of nothing."""
        if name in CHANCES and not 0 <= value <= 1:
            raise LocalProtocolError(f"{name}={value!r}: a chance is from 0 to 1")
        if name in TIMES and not value >= 0:
            raise LocalProtocolError(f"{name}={value!r}: latency and jitter are seconds, and not below 0")
        if name in (*CHANCES, "jitter") and value and self._random is None:
            raise LocalProtocolError(
                f"{name}={value!r}: what happens by chance needs a random, such as random.Random(1)"
            )
        super().__setattr__(name, value)

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens. Raises OSError if that fails."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Front(self), local_addr=("127.0.0.1", 0))
        self._port = self._transport.get_extra_info("sockname")[1]

    async def aclose(self) -> None:
        """Ends everything at once."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for flow in self._flows.values():
            flow.close()
        self._flows.clear()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    async def __aenter__(self) -> UdpFaultProxy:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def flows(self) -> int:
        """How many clients' sockets pass now: those that were cut do not count."""
        return sum(not flow.cut for flow in self._flows.values())

    # -- faults ------------------------------------------------------------------------------------------------------

    def cut(self) -> int:
        """Cuts all flows that there are; returns how many. Clients that come from another socket pass."""
        living = [flow for flow in self._flows.values() if flow.cut != WAYS]
        for flow in living:
            self._cut(flow)
        return len(living)

    def go_dark(self) -> None:
        """Nothing passes any more, either way, as where UDP is blocked; see `dark`."""
        self.dark = WAYS

    def clear(self) -> None:
        """Everything passes from now on, but for flows that were cut."""
        self.loss = self.duplicate = self.reorder = self.latency = self.jitter = 0.0
        self.cut_after = None
        self.dark = frozenset()

    def _cut(self, flow: _Flow, way: Direction | None = None) -> None:
        self.counts["cut"] += 1
        if way is None:
            flow.close()
        else:
            flow.cut = frozenset((way,))

    # -- datagrams ---------------------------------------------------------------------------------------------------

    def _from_client(self, data: bytes, address: Any) -> None:
        flow = self._flows.get(address)
        if flow is None:
            flow = self._flows[address] = _Flow(self, address)
            task = asyncio.get_running_loop().create_task(self._connect(flow))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._came(flow, data, "to_server")

    async def _connect(self, flow: _Flow) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: flow, remote_addr=self.backend)
        except OSError:  # nobody is there, which is silence; with the client's next datagram it is looked for again
            self._flows.pop(flow.client, None)
            return
        if flow.cut == WAYS:
            transport.close()

    def _chance(self, of: float) -> bool:
        return of > 0 and self._random is not None and self._random.random() < of

    def _came(self, flow: _Flow, data: bytes, direction: Direction) -> None:
        """One datagram: what becomes of it."""
        flow.datagrams += 1
        if not flow.cut and self.cut_after is not None and flow.datagrams > self.cut_after and self.cuts != 0:
            self.cuts = None if self.cuts is None else self.cuts - 1
            self._cut(flow, self.cut_way)
        if direction in flow.cut or direction in self.dark:
            self.counts["swallowed"] += 1
            return
        lost, doubled, overtaken = self._chance(self.loss), self._chance(self.duplicate), self._chance(self.reorder)
        if lost:
            self.counts["lost"] += 1
            return
        if overtaken and direction not in flow.held:
            self.counts["overtaken"] += 1
            timer = asyncio.get_running_loop().call_later(MAX_HOLD, self._let_go, flow, direction)
            flow.held[direction] = data, timer
            return
        self._pass(flow, data, direction)
        if doubled:
            self.counts["doubled"] += 1
            self._pass(flow, data, direction)
        self._let_go(flow, direction)

    def _let_go(self, flow: _Flow, direction: Direction) -> None:
        """The datagram that was to be overtaken, if there is one."""
        held = flow.held.pop(direction, None)
        if held is not None:
            data, timer = held
            timer.cancel()
            self._pass(flow, data, direction)

    def _pass(self, flow: _Flow, data: bytes, direction: Direction) -> None:
        late = self.latency / 2
        if self.jitter and self._random is not None:
            late += self.jitter * self._random.random() / 2
        if not late:
            self._deliver(flow, data, direction)
            return

        def deliver() -> None:
            self._timers.discard(timer)
            self._deliver(flow, data, direction)

        timer = asyncio.get_running_loop().call_later(late, deliver)
        self._timers.add(timer)

    def _deliver(self, flow: _Flow, data: bytes, direction: Direction) -> None:
        if direction in flow.cut or direction in self.dark:
            self.counts["swallowed"] += 1
            return
        self.counts["passed"] += 1
        if direction == "to_server":
            flow.to_server(data)
        elif self._transport is not None:
            self._transport.sendto(data, flow.client)
