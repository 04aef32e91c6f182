"""What rooms over a broker ask of who keeps their members by room."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ..broadcasts import Broadcasts, Receiver

__all__ = ["Members", "Receiver"]


class Members(Protocol):
    """Who is in the rooms of this process."""

    @property
    def broadcasts(self) -> Broadcasts:
        """How they are sent to."""

    def members(self, name: str) -> Collection[Receiver]:
        """Who is in a room; not to be kept or changed."""

    def join(self, receiver: Receiver, name: str) -> bool:
        """Puts a receiver into a room; False if it was there."""

    def leave(self, receiver: Receiver, name: str) -> bool:
        """Takes a receiver out of a room; False if it was not there."""

    def put_out(self, receiver: Receiver, name: str) -> None:
        """Takes a receiver out of a room that it is in, or is joining, and tells it."""
