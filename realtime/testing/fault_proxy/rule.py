"""A fault that has been put to a proxy: which requests it takes, and how often it has acted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from .faults import Fault, ReorderRequests
from .http import ProxiedRequest


class Counter:
    """A number that only grows, and that can be waited for."""

    def __init__(self) -> None:
        self.value: int = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def add(self) -> None:
        self.value += 1
        for wanted, future in self._waiting:
            if wanted <= self.value and not future.done():
                future.set_result(None)

    async def wait(self, wanted: int) -> None:
        if self.value >= wanted:
            return
        entry = (wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        finally:
            self._waiting.remove(entry)


class Rule:
    """What `FaultProxy.add` returns.

    A request that the rule takes *arms* it; it *fires* when the fault begins to act on that request. For
    most faults that is the same moment; a cut after 1,000 bytes is armed by the request and fires at
    the 1,000th byte, or never.
    """

    def __init__(self, fault: Fault, random: Random | None, remove: Callable[[Rule], None]) -> None:
        if 0 < fault.chance < 1 and random is None:
            raise ValueError("a chance needs FaultProxy(..., random=Random(seed))")
        self.fault = fault  # what was added
        self._random = random
        self._remove = remove
        self._matched = 0
        self._armed = Counter()
        self._fired = Counter()
        # For ReorderRequests: the request it holds back, with what that waits for, and those that arrived
        # meanwhile, one of which will overtake it.
        self._held: tuple[ProxiedRequest, asyncio.Future[None]] | None = None
        self._overtaking: list[ProxiedRequest] = []

    @property
    def armed(self) -> int:
        """How many requests it has taken."""
        return self._armed.value

    @property
    def fired(self) -> int:
        """How many times its fault has acted."""
        return self._fired.value

    async def wait_armed(self, n: int = 1) -> None:
        """Return when it has taken `n` requests in all. Set your own time-out around it."""
        await self._armed.wait(n)

    async def wait_fired(self, n: int = 1) -> None:
        """Return when its fault has acted `n` times in all. Set your own time-out around it."""
        await self._fired.wait(n)

    def remove(self) -> None:
        """Take no more requests. Those it has taken keep their fault. Harmless if removed already."""
        self._remove(self)

    # For the proxy.

    def _take(self, request: ProxiedRequest) -> bool:
        """Whether the fault is for this request; counts."""
        fault = self.fault
        if not fault.applies_to(request):
            return False
        if self._held is not None:
            self._overtaking.append(request)
            return False
        self._matched += 1
        turn = self._matched - fault.skip - 1
        if turn < 0 or turn % fault.every or (fault.times is not None and self.armed >= fault.times):
            return False
        if fault.chance < 1 and (self._random is None or self._random.random() >= fault.chance):
            return False
        if isinstance(fault, ReorderRequests):
            self._held = (request, asyncio.get_running_loop().create_future())
        self._armed.add()
        return True

    def _fire(self) -> None:
        """Count one act of the fault."""
        self._fired.add()

    async def _overtaken(self, seconds: float) -> bool:
        """Wait until a later request has overtaken the one held, for that long at most. Whether it has."""
        if self._held is None:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._held[1]
        except TimeoutError:
            return False
        finally:
            self._let_go()
        return True

    def _answered(self, request: ProxiedRequest) -> None:
        """The server has answered this request: if it was to overtake, the one held may go."""
        if self._held is not None and any(request is other for other in self._overtaking):
            future = self._held[1]
            if not future.done():
                future.set_result(None)

    def _forget(self, request: ProxiedRequest) -> None:
        """This request is over, held or not."""
        if self._held is not None and self._held[0] is request:
            self._let_go()

    def _let_go(self) -> None:
        self._held = None
        self._overtaking = []

    def __repr__(self) -> str:
        return f"<Rule {self.fault!r} armed={self.armed} fired={self.fired}>"
