"""What is agreed on when a client connects: the version, and heart-beats in both directions.

Times are in seconds here, and in milliseconds on the wire. A moment is passed in, like everywhere.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ....core.errors import RemoteProtocolError
from ....core.machine import FOREVER
from .frames import V10, VERSIONS

__all__ = ["Beats", "HeartBeat", "choose_version"]

_PAIR = re.compile(r"\s*([0-9]{1,10})\s*,\s*([0-9]{1,10})\s*")
# A peer is given so much more than it has promised.
TOLERANCE = 2.0
# Something is sent so much earlier than is due.
EARLY = 0.75
LONGEST = 128  # of what a header says that is repeated to the client


def choose_version(accepted: str | None, ours: tuple[str, ...] = VERSIONS) -> str | None:
    """The highest version that both have, by the header `accept-version`: who has none speaks 1.0. None for none."""
    theirs = {V10} if accepted is None else {one.strip() for one in accepted.split(",")}
    return next((version for version in reversed(ours) if version in theirs), None)


class HeartBeat(NamedTuple):
    """A `heart-beat` header: how often its sender can send something, and how often it wants to hear something, in
    milliseconds; 0 for never."""

    can: int = 0
    wants: int = 0

    @classmethod
    def parse(cls, header: str | None) -> HeartBeat:
        """Raises RemoteProtocolError (1002) for anything but two numbers."""
        if header is None:
            return cls()
        found = _PAIR.fullmatch(header)
        if found is None:
            raise RemoteProtocolError(1002, f"heart-beat is two numbers of milliseconds, not {header[:LONGEST]!r}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.can},{self.wants}"


class Beats:
    """The heart-beats between a server and one client. `send_every` and `hear_every` are in seconds, 0 for never."""

    __slots__ = ("_heard", "_sent", "hear_every", "send_every")

    def __init__(self, ours: HeartBeat, theirs: HeartBeat, now: float) -> None:
        self.send_every: float = _every(ours.can, theirs.wants)
        self.hear_every: float = _every(theirs.can, ours.wants)
        self._sent = self._heard = now

    def __bool__(self) -> bool:
        return bool(self.send_every or self.hear_every)

    def sent(self, now: float) -> None:
        """Something was sent."""
        self._sent = now

    def heard(self, now: float) -> None:
        """Something came."""
        self._heard = now

    @property
    def send_at(self) -> float:
        """When something has to be sent."""
        return self._sent + EARLY * self.send_every if self.send_every else FOREVER

    @property
    def silent_at(self) -> float:
        """When the client has been silent for too long."""
        return self._heard + TOLERANCE * self.hear_every if self.hear_every else FOREVER

    def deadline(self) -> float:
        """When the next of these is due."""
        return min(self.send_at, self.silent_at)


def _every(can: int, wants: int) -> float:
    return max(can, wants) / 1000 if can and wants else 0.0
