"""Python's cyclic garbage collector, tuned for a process that keeps many sessions for long: on demand, and reversibly.

Knows nothing of sessions.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

__all__ = ["tune_gc"]

# New objects, less those that are gone, before the youngest generation is looked at; how many times that before the
# middle one is; and how many times that before all are. Python's own are 700, 10, 10 (or 2000, 10, 0).
THRESHOLDS = (50_000, 20, 100)


class Tuning:
    """What was before, while anybody wants it otherwise."""

    def __init__(self) -> None:
        self._wanted = 0
        self._before = (0, 0, 0)

    def begin(self) -> None:
        """Somebody wants it."""
        self._wanted += 1
        if self._wanted == 1:
            self._before = gc.get_threshold()
            gc.collect()
            gc.freeze()
            gc.set_threshold(*THRESHOLDS)

    def end(self) -> None:
        """They do no longer."""
        self._wanted -= 1
        if not self._wanted:
            gc.set_threshold(*self._before)
            gc.unfreeze()


_tuning = Tuning()


def tune_gc() -> Callable[[], None]:
    """Makes garbage collections rarer in this process, and shorter; returns how to undo that.

    Each full collection looks at all objects, and nothing else runs meanwhile. What is there now (modules, the
    application, caches) is not looked at any more (`gc.freeze`), so call it when everything has been set up: last in
    `app.on_startup` or `app.cleanup_ctx`. New objects are looked at after 50,000 instead of a few hundred.

    Only for applications that keep few reference cycles, since these are freed later: memory may grow by some megabytes
    of garbage. It concerns the whole process, not only realtime. Called again it changes nothing, and the last undo
    counts. docs/speed.md has figures.
    """
    _tuning.begin()
    undone = False

    def undo() -> None:
        nonlocal undone
        if not undone:
            undone = True
            _tuning.end()

    return undo
