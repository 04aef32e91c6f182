"""The heartbeats of one session, which are no carrier's ("Heartbeat").

Version 4: the server pings at every interval, whatever else travels or waits, and is answered within ping_timeout.
Version 3: the client pings. While what it says waits to be read, by us, nobody can answer it: so it is sent packets
that say nothing, which it takes for a sign of life.
"""

from __future__ import annotations

from ...core.machine import FOREVER
from .packets import NOOP, PING

__all__ = ["Heartbeat"]

# Version 3: so often in each ping_timeout a client that is not read is given a sign of life.
SIGNS = 3


class Heartbeat:
    """Times in seconds."""

    __slots__ = ("beat_at", "gone_at", "interval", "timeout", "version")

    def __init__(self, version: int, interval: float, timeout: float) -> None:
        self.version: int = version
        self.interval: float = interval
        self.timeout: float = timeout
        # Version 4: when the next ping goes. Version 3, while the client is not read: when the next sign of life goes.
        self.beat_at: float = FOREVER
        self.gone_at: float = FOREVER  # when the peer counts as gone

    @property
    def next(self) -> float:
        """When there is something to do next."""
        return min(self.beat_at, self.gone_at)

    def start(self, now: float) -> None:
        """The session begins."""
        if self.version == 3:
            self.gone_at = now + self.interval + self.timeout
        else:
            self.beat_at = now + self.interval

    def received(self, now: float) -> None:
        """A packet came. A peer that was waited for is given its full time again."""
        if self.gone_at < FOREVER:
            self.gone_at = now + self.timeout + (self.interval if self.version == 3 else 0.0)

    def answered(self) -> None:
        """Version 4: the last ping was answered."""
        self.gone_at = FOREVER

    def unread(self, now: float) -> float:
        """What the client says is not read from now on. When beat() is to be called next."""
        if self.version == 3 and self.beat_at == FOREVER:
            self.beat_at = now + self.timeout / SIGNS
        return self.beat_at

    def beat(self, now: float, *, unread: bool) -> str:
        """`beat_at` has come: the type of the packet that goes, or nothing. `unread`: the client is still not read."""
        if self.version == 3:
            self.beat_at = now + self.timeout / SIGNS if unread else FOREVER
            return NOOP if unread else ""
        if self.gone_at == FOREVER:
            # A sweep is late by its grain, and by much where the whole process stood still.
            self.gone_at = (self.beat_at if now < self.beat_at + self.timeout / 2 else now) + self.timeout
        self.beat_at = now + self.interval
        return PING
