"""A clock that moves only when a test says so.

It satisfies `realtime.clock.Clock` and knows nothing else: no event loop, no real time. Callbacks run
inside `advance`; a task that one of them wakes runs when the test next awaits.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

__all__ = ["VirtualClock", "VirtualTimer"]


class VirtualTimer:
    """A call that a `VirtualClock` owes. `when` is in seconds of that clock."""

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self._callback: Callable[[], object] | None = callback

    @property
    def pending(self) -> bool:
        """True until the call has been made or cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Forget the call. Harmless when it has been made or cancelled already."""
        self._callback = None

    def _run(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def __repr__(self) -> str:
        return f"<VirtualTimer at {self.when:g} {'pending' if self.pending else 'over'}>"


class VirtualClock:
    """A clock for tests. It starts at `start` seconds and stands still between calls of `advance`."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._advancing = False
        # The number keeps calls that are due at the same time in the order in which they were asked for.
        self._order = count()
        self._timers: list[tuple[float, int, VirtualTimer]] = []

    def now(self) -> float:
        """The time in seconds."""
        return self._now

    def call_at(self, when: float, callback: Callable[[], object]) -> VirtualTimer:
        """Owe `callback()` at `when` (seconds). A time that has passed is due at the next `advance`."""
        timer = VirtualTimer(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def next_deadline(self) -> float | None:
        """When the earliest call that is still owed is due, in seconds; None if none is."""
        while self._timers and not self._timers[0][2].pending:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, making every call that falls due on the way.

        Calls are made in order of time, each with `now()` at its own time, and may owe further calls,
        which are made too if they fall due within `seconds`. If one raises, the exception is passed on
        and the clock stays at that moment: what was due later is still owed.

        Raises ValueError if `seconds` is negative, RuntimeError if called from such a call.
        """
        if not seconds >= 0:  # of a NaN neither is true
            raise ValueError(f"a clock does not go back: advance({seconds!r})")
        if self._advancing:
            raise RuntimeError("advance() called from within advance(); a callback may only owe more calls")
        target = self._now + seconds
        self._advancing = True
        try:
            while (due := self.next_deadline()) is not None and due <= target:
                self._now = max(self._now, due)
                heapq.heappop(self._timers)[2]._run()
            self._now = target
        finally:
            self._advancing = False

    def __repr__(self) -> str:
        return f"<VirtualClock now={self._now:g} next={self.next_deadline()}>"
