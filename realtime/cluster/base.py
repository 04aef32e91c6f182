"""What the parts of a cluster are to each other: the directory, which says who has a session, and the port, which
carries requests there.
"""

from __future__ import annotations

from typing import Protocol

from ..core.leases import HERE, Ended, Found, Gone, Here, Peer
from ..owners import Claimed, Elsewhere, Mine, Owners, Taken, digest_of

__all__ = [
    "HERE",
    "Claimed",
    "Elsewhere",
    "Ended",
    "Found",
    "Gone",
    "Here",
    "Mine",
    "Owners",
    "Peer",
    "Port",
    "Taken",
    "digest_of",
]


class Port(Protocol):
    """Where other workers reach this one."""

    async def start(self, worker: str, incarnation: str) -> str:
        """Listens, and returns the address that others reach it by. What names another incarnation it refuses as if
        nobody were there. Called before the worker registers, and before it takes any request."""

    async def close(self) -> None:
        """Listens no more. Called when the worker has left the directory."""
