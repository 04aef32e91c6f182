"""What rooms ask of those who are in them, and of who keeps them by room."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ..core.frames import Outgoing

__all__ = ["Members", "Receiver"]


class Receiver(Protocol):
    """What can be in a room."""

    @property
    def id(self) -> str:
        """Its name, which no other has."""

    def _offer(self, item: Outgoing) -> None:
        """Takes a message for sending, or drops or closes by its own policy. Never waits, never raises."""

    async def _give(self, item: Outgoing) -> None:
        """Takes a message for sending, as its handler's own. May wait, and raise SessionClosed."""

    def _miss(self, count: int) -> None:
        """So many messages at least are lost to it here. Never waits, never raises."""

    def _check_member(self) -> None:
        """Raises SessionClosed if it can be in no room any more."""


class Members(Protocol):
    """Who is in the rooms of this process."""

    def members(self, name: str) -> Collection[Receiver]:
        """Who is in a room; not to be kept or changed."""

    def join(self, receiver: Receiver, name: str) -> bool:
        """Puts a receiver into a room; False if it was there."""
