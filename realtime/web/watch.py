"""Finds the connections that closed under an answer that is still held, or still streaming.

aiohttp neither cancels the handler of a connection that is gone (unless told to), nor tells it: a look at the
connection does. One look a second serves them all. Knows no sessions: what it finds is cut, and its handler goes on.
"""

from __future__ import annotations

from ..clock import Clock
from ..gates.requests import Held

__all__ = ["DisconnectWatch"]

# Seconds between two looks.
INTERVAL = 1.0


class DisconnectWatch:
    """The links to look after, from add() to discard()."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: set[Held] = set()
        self._looking = False

    def __len__(self) -> int:
        return len(self._held)

    def add(self, link: Held) -> None:
        """Looks after `link` from now on."""
        self._held.add(link)
        if not self._looking:
            self._look_later()

    def discard(self, link: Held) -> None:
        """Stops looking after `link`, which has ended."""
        self._held.discard(link)

    def _look_later(self) -> None:
        self._looking = True
        self._clock.call_at(self._clock.now() + INTERVAL, self._look)

    def _look(self) -> None:
        self._looking = False
        for link in [link for link in self._held if link.gone]:
            link.abort()
        if self._held:
            self._look_later()
