"""When which session wants to be looked at: one heap for all sessions of a server, no timer per session.

Pure: whoever owns it sleeps until next() and calls run(now).
"""

from __future__ import annotations

import heapq
from collections import deque
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
    """Each machine has one live entry, at its `wake_at`; the others are skipped when reached, or cleared away before,
    since they keep their machines in memory.

    The heap has times alone, and a dictionary says whose they are: the garbage collector need not look at either.
    """

    __slots__ = ("_at", "_count", "_heap", "_limit")

    def __init__(self) -> None:
        self._heap: list[float] = []  # each time once
        self._at: dict[float, Expiring | deque[Expiring]] = {}  # whose time it is; several in the order of their wishes
        self._count = 0
        self._limit = STALE

    def __len__(self) -> int:
        return self._count

    def schedule(self, machine: Expiring, when: float) -> bool:
        """Looks at `machine` at `when`, unless it will earlier. Returns whether this is now the next of all."""
        if not when < machine.wake_at:  # nor if that is NEVER
            return False
        machine.wake_at = when
        if when not in self._at:
            self._at[when] = machine
            heapq.heappush(self._heap, when)
            self._count += 1
        else:
            self._put(machine, when)
        if self._count > self._limit:
            self._clear_away()
        return self._heap[0] == when

    def _put(self, machine: Expiring, when: float) -> None:
        """At a time that others have, too."""
        others = self._at[when]
        if isinstance(others, deque):
            others.append(machine)
        else:
            self._at[when] = deque((others, machine))
        self._count += 1

    def forget(self, machine: Expiring) -> None:
        """Never looks at `machine` again: no entry equals its `wake_at`, and no wish is earlier."""
        machine.wake_at = NEVER

    def _clear_away(self) -> None:
        entries = self._at
        self._heap, self._at, self._count = [], {}, 0
        for when, whose in entries.items():
            # A machine that wanted the same time twice is there twice.
            for machine in dict.fromkeys(whose) if isinstance(whose, deque) else (whose,):
                if machine.wake_at == when:
                    if when in self._at:
                        self._put(machine, when)
                    else:
                        self._at[when] = machine
                        self._heap.append(when)
                        self._count += 1
        heapq.heapify(self._heap)
        self._limit = max(STALE, 2 * self._count)

    def next(self) -> float:
        """When run() is due next; infinity for never."""
        return self._heap[0] if self._heap else FOREVER

    def run(self, now: float, most: int | None = None) -> None:
        """Expires whatever is due by `now` and schedules it anew; so many machines at most, and then next() says that
        more are due."""
        left = -1 if most is None else most
        while left and self._heap and self._heap[0] <= now:
            when = self._heap[0]
            machine = self._take(when)
            if machine.wake_at != when:
                continue
            left -= 1
            # What it asks for meanwhile is in its deadline() afterwards. (An ack that is due and can't be written
            # asks to be looked at at once, for ever.)
            machine.wake_at = -FOREVER
            try:
                machine.expire(now)
            finally:  # what raises, as none should, is looked at again all the same: it would never end
                machine.wake_at = FOREVER
                when = machine.deadline()
                if when < FOREVER:
                    self.schedule(machine, when if when > now else now + RETRY)

    def _take(self, when: float) -> Expiring:
        """The first of those whose time, the earliest of all, this is."""
        self._count -= 1
        whose = self._at[when]
        if isinstance(whose, deque):
            machine = whose.popleft()
            if whose:
                return machine
        else:
            machine = whose
        del self._at[when]
        heapq.heappop(self._heap)
        return machine
