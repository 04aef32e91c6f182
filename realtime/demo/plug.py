"""Pull the plug: a visitor's own way to the server, which its buttons break and mend.

Each panel has a fault proxy of its own, and on loopback a server process of its own, so what a visitor does touches
nobody else. The proxies are made when the demo starts, so that their ports are known to the page's security policy;
they lead to the demo itself and nowhere else. Knows no requests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from ..testing import (
    DropResponse,
    Fault,
    FaultProxy,
    HoldResponse,
    KillWebSocket,
    ProxiedRequest,
    RefuseWebSocket,
    RepeatRequest,
    Rule,
)
from .child import ADDRESS, Child

__all__ = ["FAULTS", "ONCE", "Panel", "Proxies"]

STREAMS = ("sse", "xhr_streaming", "multipart", "htmlfile")
CUT_SECONDS = 5.0


def _streams(request: ProxiedRequest) -> bool:
    return request.path.rpartition("/")[2] in STREAMS


def _replies(request: ProxiedRequest) -> bool:
    return not request.is_websocket and not _streams(request)


# What stays until it is taken back. Those about HTTP refuse WebSockets as well, or nothing would be seen of them.
FAULTS: dict[str, tuple[Fault, ...]] = {
    "block_websocket": (RefuseWebSocket(),),
    "kill_websocket": (KillWebSocket(after_frames=1),),
    "hold_streams": (RefuseWebSocket(), HoldResponse(match=_streams)),
    "drop_replies": (RefuseWebSocket(), DropResponse(match=_replies, every=3)),
    "repeat_posts": (RefuseWebSocket(), RepeatRequest()),
}
# What is done once.
ONCE = ("cut", "restart", "mend")


class Panel:
    """One visitor's network."""

    def __init__(self, proxy: FaultProxy, child: Child | None, release: asyncio.Queue[FaultProxy]) -> None:
        self.proxy = proxy
        self.child = child
        self._release = release
        self._rules: dict[str, list[Rule]] = {}
        self._fired: dict[str, int] = dict.fromkeys(FAULTS, 0)
        self._cut: asyncio.Task[None] | None = None
        self._restarting = asyncio.Lock()

    @property
    def in_force(self) -> list[str]:
        """The faults that act now."""
        return [*self._rules, *(["cut"] if self._cut is not None else [])]

    def fired(self) -> dict[str, int]:
        """How often each fault has acted."""
        counts = dict(self._fired)
        for name, rules in self._rules.items():
            counts[name] += sum(rule.fired for rule in rules)
        return counts

    def set_fault(self, name: str, on: bool) -> None:
        """Puts a fault in force, or takes it back. Raises KeyError for a name that is not in FAULTS."""
        faults = FAULTS[name]
        if on and name not in self._rules:
            self._rules[name] = [self.proxy.add(fault) for fault in faults]
            self.proxy.cut()  # faults are for requests to come
        elif not on and name in self._rules:
            self._fired[name] += sum(rule.fired for rule in self._rules[name])
            for rule in self._rules.pop(name):
                rule.remove()

    def cut(self) -> None:
        """Cuts all connections, and refuses new ones for five seconds."""
        if self._cut is None:
            self._cut = asyncio.create_task(self._cut_for_a_while())

    async def _cut_for_a_while(self) -> None:
        try:
            self.proxy.cut(rst=True)
            self.proxy.unplug(refuse=True)
            await asyncio.sleep(CUT_SECONDS)
        finally:
            self.proxy.plug()
            self._cut = None

    async def mend(self) -> None:
        """Takes everything back."""
        for name in FAULTS:
            self.set_fault(name, False)
        if self._cut is not None:
            task = self._cut
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._cut = None
            self.proxy.plug()

    async def restart(self) -> None:
        """Kills the server process and starts it again. Raises OSError, also where there is none."""
        if self.child is None:
            raise OSError("this panel has no server process of its own")
        async with self._restarting:
            # As where nothing listens: connections are refused meanwhile, not answered by the proxy.
            self.proxy.cut(rst=True)
            self.proxy.unplug(refuse=True)
            try:
                await self.child.restart()
            finally:
                if self._cut is None:
                    self.proxy.plug()

    def tidy(self) -> None:
        """The proxy's log grows without a bound."""
        self.proxy.log.clear()

    async def aclose(self) -> None:
        """The proxy is another visitor's from now on."""
        try:
            await self.mend()
            self.proxy.cut()
            self.proxy.clear()
            self.tidy()
            async with self._restarting:
                if self.child is not None:
                    await self.child.kill()
        finally:
            self._release.put_nowait(self.proxy)


class Proxies:
    """The fault proxies that there are, and those nobody has."""

    def __init__(self, host: str, backend: tuple[str, int], limit: int, environment: Mapping[str, str]) -> None:
        """`environment`: of the panels' processes, beside our own."""
        self._environment = environment
        self._backend = backend
        self._all = [FaultProxy(*backend, listen=host) for _ in range(limit)]
        self._free: asyncio.Queue[FaultProxy] = asyncio.Queue()

    async def start(self) -> None:
        """All listen. Raises OSError."""
        for proxy in self._all:
            await proxy.start()
            self._free.put_nowait(proxy)

    @property
    def ports(self) -> list[int]:
        """Where they listen."""
        return [proxy.port for proxy in self._all]

    @property
    def free(self) -> int:
        """How many nobody has."""
        return self._free.qsize()

    async def panel(self, origins: Sequence[str], *, own_process: bool) -> Panel | None:
        """A panel for a visitor, with a process of its own if wanted; None if no proxy is free. Raises OSError."""
        try:
            proxy = self._free.get_nowait()
        except asyncio.QueueEmpty:
            return None
        child = None
        try:
            proxy.backend = self._backend
            if own_process:
                child = Child(origins, environment=self._environment)
                await child.start()
                proxy.backend = ADDRESS, child.port
        except BaseException:
            if child is not None:
                await child.kill()
            self._free.put_nowait(proxy)
            raise
        return Panel(proxy, child, self._free)

    async def aclose(self) -> None:
        """All end. What a fault's own code may have raised is no visitor's affair."""
        await asyncio.gather(*(proxy.aclose() for proxy in self._all), return_exceptions=True)
