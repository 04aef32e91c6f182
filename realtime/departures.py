"""The drain of a server: its sessions are told to go, one after the other, until all were told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from .clock import Clock, Timer
from .core.pacing import moments
from .session import Session

__all__ = ["Departures"]


class Departures:
    """Tells these sessions to go: `rate` a second, or as many more as it takes to tell all `within` so many seconds;
    all at once without a rate. Their clients come back after a random part of `delay` seconds."""

    def __init__(
        self,
        sessions: Iterable[Session],
        clock: Clock,
        *,
        rate: float | None,
        within: float,
        delay: float,
        draw: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._delay = delay
        self._timer: Timer | None = None
        several = list(sessions)
        now = clock.now()
        times = [0.0] * len(several) if rate is None else moments(len(several), rate, within, draw)
        self._waiting = deque((now + time, session) for time, session in zip(times, several, strict=True))
        self._go_on()

    def __len__(self) -> int:
        """How many were not told yet."""
        return len(self._waiting)

    def _go_on(self) -> None:
        now = self._clock.now()
        while self._waiting and self._waiting[0][0] <= now:
            _, session = self._waiting.popleft()
            session._machine.drain(self._delay)
            session._listener.may_be_drained()
        while self._waiting and self._waiting[0][1].closed:
            self._waiting.popleft()
        self._timer = self._clock.call_at(self._waiting[0][0], self._go_on) if self._waiting else None

    def stop(self) -> None:
        """Nobody else is told."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
