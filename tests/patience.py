"""Waiting for what has to happen, on a machine that may stop us for seconds at any moment.

A test may wait as long as it likes for what must come: the limit here only ends a test whose program is broken. What
must *not* take long is measured by `bounded()`, which does not count time in which this process was not running. What
judges a network by the clock, as the doctor and the supervisor do, is `steady`: judged again if the machine paused.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from .open_ends import LEFT

__all__ = ["PATIENCE", "Broken", "Pauses", "arrives", "bounded", "eventually", "leap", "steady", "within"]

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 90.0
"""Seconds to wait for what takes a fraction of one, unless the program is broken. Below pytest's own timeout."""

TICK = 0.05
"""Seconds between two looks of `bounded` at the event loop."""


@asynccontextmanager
async def within(what: str = "what has to happen here", limit: float = PATIENCE) -> AsyncIterator[asyncio.Timeout]:
    """Fails, and says for what it waited, if what is done here takes longer than anything of ours may. Where it is a
    hundred things at once, `limit` is more."""
    started = time.monotonic()
    timeout = asyncio.timeout(limit)
    try:
        async with timeout:
            yield timeout
    except TimeoutError:
        if not timeout.expired():
            raise
        raise AssertionError(f"waited {time.monotonic() - started:.0f} s in vain: {what}") from None


async def arrives(awaitable: Awaitable[T], what: str = "what is awaited here") -> T:
    """What the awaitable gives. Fails if that takes longer than anything of ours may."""
    async with within(what):
        return await awaitable


async def eventually(condition: Callable[[], object]) -> None:
    """Lets the event loop turn until `condition` holds. For what tells nobody that it happened."""
    async with within(f"until this holds: {_source(condition)}"):
        turns = 0
        while not condition():
            turns += 1
            # Others need the processor, too: threads, other processes, the kernel.
            await asyncio.sleep(0 if turns < 200 else 0.001)


def leap(seconds: float) -> None:
    """Moves the running event loop's clock: all that is due in the meantime is due now.

    So a test can give what it looks at half a minute, which no pause of the machine uses up, and need not wait for it.
    """
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign] # until the loop is closed with its test


@asynccontextmanager
async def bounded(limit: float) -> AsyncIterator[None]:
    """What is done here takes less than `limit` seconds in which this process was let run.

    The event loop is asked to look every 50 ms, and so many looks are counted. Where the process is stopped, or has
    to wait for a processor, a look comes late and counts no more than one in time.
    """
    loop = asyncio.get_running_loop()
    looks = 0
    handle: asyncio.TimerHandle

    def look() -> None:
        nonlocal looks, handle
        looks += 1
        handle = loop.call_later(TICK, look)

    handle = loop.call_later(TICK, look)
    try:
        yield
    finally:
        handle.cancel()
    assert looks * TICK < limit, f"this took {looks * TICK:.1f} s, and may take {limit:g}"


class Broken(AssertionError):
    """What no pause of the machine excuses."""


class Pauses:
    """Sees how long the event loop was kept from running meanwhile: by the machine, or by a callback of ours."""

    LONG = 0.1
    """Seconds after which what was measured by the clock is no measurement: the least that the doctor calls a lag."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Pauses:
        self._last = self._loop.time()
        self._handle = self._loop.call_later(TICK, self._look)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._handle.cancel()
        self._note()

    @property
    def any(self) -> bool:
        """Whether there was one that matters."""
        return self.longest > self.LONG

    def _note(self) -> None:
        now = self._loop.time()
        self.longest = max(self.longest, now - self._last - TICK)
        self._last = now

    def _look(self) -> None:
        self._note()
        self._handle = self._loop.call_later(TICK, self._look)


def steady(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, Coroutine[Any, Any, None]]:
    """For a test of what judges by the clock: if it fails and the process was paused meanwhile, it is made again.

    It fails if it fails without a pause, if it fails each time, and if anything is Broken.
    """

    @functools.wraps(test)
    async def judged(*args: P.args, **kwargs: P.kwargs) -> None:
        for _ in range(7):
            pauses = Pauses()
            try:
                with pauses:
                    return await test(*args, **kwargs)
            except Broken:
                raise
            except Exception as error:
                if not pauses.any:
                    raise
                print(f"paused for {pauses.longest:.2f} s, so this says nothing: {error!r}")  # noqa: T201 # for pytest
            await _let_go()
        return await test(*args, **kwargs)

    return judged


async def _let_go() -> None:
    """What a try has left that failed is nobody's any more, and no fault of the next."""
    await asyncio.sleep(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        known = len(LEFT)
        gc.collect()
        del LEFT[known:]


def _source(condition: Callable[[], object]) -> str:
    try:
        return " ".join(inspect.getsource(condition).split())
    except OSError:
        return repr(condition)
