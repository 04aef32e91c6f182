"""When which session wants to be looked at: one heap for all sessions of a server, no timer per session.

Pure: whoever owns it sleeps until next() and calls run(now).
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Protocol

__all__ = ["Deadlines", "Expiring"]

# A session that cannot do what is due (its carrier takes no more) is looked at again after so many seconds.
RETRY = 0.25
# Entries that nothing comes of are cleared away when there are more than this, and twice as many as the last time.
STALE = 64
FOREVER = float("inf")
NEVER = float("nan")


class Expiring(Protocol):
    """What has deadlines: a session's machine."""

    wake_at: float

    def deadline(self) -> float:
        """When expire() has something to do; infinity for never."""

    def expire(self, now: float) -> None:
        """Does what is due."""


class Deadlines:
    """Each machine has one live entry, the one that equals its `wake_at`; the others are skipped when reached, or
    cleared away before, since they keep their machines in memory."""

    __slots__ = ("_counter", "_heap", "_limit")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Expiring]] = []
        self._counter = count()
        self._limit = STALE

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, machine: Expiring, when: float) -> bool:
        """Looks at `machine` at `when`, unless it will earlier. Returns whether this is now the next of all."""
        if not when < machine.wake_at:  # nor if that is NEVER
            return False
        machine.wake_at = when
        heapq.heappush(self._heap, (when, next(self._counter), machine))
        if len(self._heap) > self._limit:
            self._clear_away()
        return self._heap[0][2] is machine

    def forget(self, machine: Expiring) -> None:
        """Never looks at `machine` again: no entry equals its `wake_at`, and no wish is earlier."""
        machine.wake_at = NEVER

    def _clear_away(self) -> None:
        self._heap[:] = {id(entry[2]): entry for entry in self._heap if entry[2].wake_at == entry[0]}.values()
        heapq.heapify(self._heap)
        self._limit = max(STALE, 2 * len(self._heap))

    def next(self) -> float:
        """When run() is due next; infinity for never."""
        return self._heap[0][0] if self._heap else FOREVER

    def run(self, now: float, most: int | None = None) -> None:
        """Expires whatever is due by `now` and schedules it anew; so many machines at most, and then next() says that
        more are due."""
        heap = self._heap
        left = -1 if most is None else most
        while heap and heap[0][0] <= now and left:
            when, _, machine = heapq.heappop(heap)
            if machine.wake_at != when:
                continue
            left -= 1
            # What it asks for meanwhile is in its deadline() afterwards. (An ack that is due and can't be written
            # asks to be looked at at once, for ever.)
            machine.wake_at = -FOREVER
            machine.expire(now)
            machine.wake_at = FOREVER
            when = machine.deadline()
            if when < FOREVER:
                self.schedule(machine, when if when > now else now + RETRY)
