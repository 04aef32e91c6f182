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
from typing import Protocol

__all__ = ["Clock", "SystemClock", "Timer"]


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
    is made late, after the machine woke up.
    """

    # A C function: no frame of ours is made for it, several times a message.
    now: Callable[[], float] = staticmethod(
        partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    )

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Call `callback()` from the running event loop once `now()` has reached `when` (seconds).

        Raises RuntimeError if no event loop is running.
        """
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), callback)
