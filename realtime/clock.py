"""The clock that servers and clients are given: what time it is, and "call me then".

Time is an argument everywhere in this package, so that a test can hold it still. This module says what
a clock must offer and has the real one; `realtime.testing.VirtualClock` is the one that a test moves by
hand. It knows nothing about sessions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Protocol

__all__ = ["CATCHING_UP", "STOOD_STILL", "Clock", "Patience", "SystemClock", "Timer", "call_later"]

# Where a call comes so many seconds late the process stood still, or its machine, or its event loop. What others have
# said meanwhile may lie unread, since event loops make calls that are due before they read. So the call is made so many
# seconds later, and who has spoken in time is not taken for silent.
STOOD_STILL = 2.0
CATCHING_UP = 1.0


class Timer(Protocol):
    """What `Clock.call_at` returns."""

    def cancel(self) -> None:
        """Forget the call. Harmless when it has been made or cancelled already."""
        ...


class Clock(Protocol):
    """Tells the time in seconds from an arbitrary start, and never goes back."""

    def now(self) -> float:
        """The time in seconds. Only differences mean anything."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call `callback()` once, when `now()` has reached `when` (seconds); soon, if it has already.

        The call is never made from within `call_at`. It may be late, so a callback asks `now()`.
        """
        ...


class SystemClock:
    """Real elapsed time, driving the timers of the running event loop.

    Where the system has it (Linux: time.clock_gettime(2)), this is CLOCK_BOOTTIME, which goes on while the machine
    sleeps: a peer that was silent through a night's suspend has been silent for a night. Elsewhere it is
    `time.monotonic`.

    The event loop's own timers stand still during a suspend, so a call that fell due in that time
    is made late, after the machine woke up. Any call that is due while the process stands still is made a second after
    that goes on, so that what lies in the sockets is read first.
    """

    # A C function: no frame of ours is made for it, several times a message.
    now: Callable[[], float] = staticmethod(
        partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    )

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call `callback()` from the running event loop once `now()` has reached `when` (seconds).

        Raises RuntimeError if no event loop is running.
        """
        return _Call(asyncio.get_running_loop(), self.now, when, callback)


class _Call:
    """One call that an event loop owes."""

    __slots__ = ("_callback", "_due", "_handle", "_loop", "_now")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float],
        when: float,
        callback: Callable[[], object],
    ) -> None:
        started = now()
        self._due = max(when, started)
        self._loop, self._now, self._callback = loop, now, callback
        self._handle = loop.call_later(self._due - started, self._run)

    def _run(self) -> None:
        if self._now() - self._due > STOOD_STILL:
            self._handle = self._loop.call_later(CATCHING_UP, self._callback)
        else:
            self._callback()

    def cancel(self) -> None:
        self._handle.cancel()


def call_later(seconds: float, callback: Callable[[], object]) -> Timer:
    """The running event loop's call_later(), for what another end has to do by then. Behind a standstill of the process
    it is made a second later, for that may have been done, and lie unread."""
    loop = asyncio.get_running_loop()
    return _Call(loop, loop.time, loop.time() + seconds, callback)


class Patience:
    """asyncio.timeout() for what others answer, and with the same error: `async with Patience(seconds)`; None is for
    ever. Behind a standstill of the process it is a second longer, for the answer may have come in that time."""

    __slots__ = ("_call", "_seconds", "_timeout")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._call: _Call | None = None

    def end(self) -> None:
        """The time is over now, unless it is already, or was not needed. Only of one that was entered."""
        if not self._timeout.expired():
            self._timeout.reschedule(-1.0)

    def expired(self) -> bool:
        """Whether the time was over before what was waited for. Only of one that was entered."""
        return self._timeout.expired()

    async def __aenter__(self) -> Patience:
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            self._call = _Call(loop, loop.time, loop.time() + self._seconds, self.end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None  # which has this
        await self._timeout.__aexit__(kind, error, traceback)
