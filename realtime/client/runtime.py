"""What runs a client's session: flushing, and the deadlines of its machine on one timer. See session.Runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..clock import Clock, Timer
from ..core.deadlines import Deadlines

__all__ = ["ClientRuntime"]


class ClientRuntime:
    """Runs one session. `flushed` is called after each flush, `ended` when the session is over."""

    def __init__(self, clock: Clock, flushed: Callable[[], None], ended: Callable[[], None]) -> None:
        self.clock = clock
        self._flushed = flushed
        self._ended = ended
        self._deadlines = Deadlines()
        self._timer: Timer | None = None

    def mark_dirty(self, session: Any) -> None:
        """Flush in this turn of the event loop."""
        asyncio.get_running_loop().call_soon(self._flush, session)

    def _flush(self, session: Any) -> None:
        session._dirty = False
        session._machine.flush(self.clock.now())
        self._flushed()

    def wake_session(self, session: Any, when: float) -> None:
        """Look at the machine at `when`."""
        if self._deadlines.schedule(session._machine, when):
            self._set_timer(when)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.clock.call_at(when, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._deadlines.run(self.clock.now())
        when = self._deadlines.next()
        if when < float("inf"):
            self._set_timer(when)

    def session_ended(self, session: Any) -> None:
        """The session is over."""
        self._ended()

    def close(self) -> None:
        """Nothing is to be looked at any more."""
        if self._timer is not None:
            self._timer.cancel()
