"""When which session wants to be looked at: one heap for all sessions of a server, no timer per session.

Pure: whoever owns it sleeps until next() and calls run(now).
"""

from __future__ import annotations

import heapq
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

    Times within the same `grain` (seconds) are one: all whose times these are are looked at when the last of them has
    come. So there are few, however many sessions there are; and what finding the next costs does not grow with them.
    With a grain of 0, each time is one.

    The heap has numbers alone, and a dictionary says whose they are: the garbage collector need not look at either.
    """

    __slots__ = ("_at", "_count", "_due", "_due_at", "_grain", "_heap", "_limit", "_until")

    def __init__(self, grain: float = 0.0) -> None:
        self._grain = grain
        self._heap: list[float] = []  # which grains, or times, there are
        self._at: dict[float, Expiring | list[Expiring]] = {}  # whose they are; several in the order of their wishes
        self._until: dict[float, float] = {}  # the last time that was wished for in each
        self._due: list[Expiring] = []  # whose time has come: the first is the last of these
        self._due_at = -FOREVER
        self._count = 0
        self._limit = STALE

    def __len__(self) -> int:
        return self._count

    def schedule(self, machine: Expiring, when: float) -> bool:
        """Looks at `machine` at `when`, unless it will earlier. Returns whether this is now among the next of all."""
        if not when < machine.wake_at:  # nor if that is NEVER
            return False
        machine.wake_at = when
        key = when // self._grain if self._grain and when > -FOREVER else when
        others = self._at.get(key)
        if others is None:
            self._at[key], self._until[key] = machine, when
            heapq.heappush(self._heap, key)
        else:
            if isinstance(others, list):
                others.append(machine)
            else:
                self._at[key] = [others, machine]
            if when > self._until[key]:
                self._until[key] = when
        self._count += 1
        if self._count > self._limit:
            self._clear_away()
        return self._heap[0] == key

    def forget(self, machine: Expiring) -> None:
        """Never looks at `machine` again: no entry equals its `wake_at`, and no wish is earlier."""
        machine.wake_at = NEVER

    def _clear_away(self) -> None:
        entries, grain = self._at, self._grain
        self._at, self._until, self._count = {}, {}, len(self._due)
        for key, whose in entries.items():
            live = []
            # A machine that wanted the same time twice is there twice.
            for machine in dict.fromkeys(whose) if isinstance(whose, list) else (whose,):
                when = machine.wake_at
                if key == (when // grain if grain and when > -FOREVER else when):
                    live.append(machine)
                    self._until[key] = max(when, self._until.get(key, -FOREVER))
            if live:
                self._at[key] = live if live[1:] else live[0]
                self._count += len(live)
        self._heap = list(self._at)
        heapq.heapify(self._heap)
        self._limit = max(STALE, 2 * self._count)

    def next(self) -> float:
        """When run() is due next; infinity for never."""
        if self._due:
            return self._due_at
        return self._until[self._heap[0]] if self._heap else FOREVER

    def run(self, now: float, most: int | None = None) -> None:
        """Expires whatever is due by `now` and schedules it anew; so many machines at most, and then next() says that
        more are due."""
        left = -1 if most is None else most
        while left and (self._due or self._come(now)):
            machine = self._due.pop()
            self._count -= 1
            if not machine.wake_at <= now:  # which is another time by now, or NEVER
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

    def _come(self, now: float) -> bool:
        """Takes up the earliest, if it has come."""
        if not self._heap or self._until[self._heap[0]] > now:
            return False
        key = heapq.heappop(self._heap)
        self._due_at = self._until.pop(key)
        whose = self._at.pop(key)
        if isinstance(whose, list):
            whose.reverse()
            self._due = whose
        else:
            self._due = [whose]
        return True
