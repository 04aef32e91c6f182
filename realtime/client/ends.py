"""How a driver's carrying ended: for the supervisor to act on, and in words for people."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import Refusal

__all__ = ["SESSION_ENDED", "CarrierEnd"]

SESSION_ENDED = "ended with the session"


@dataclass(frozen=True)
class CarrierEnd:
    """How a carrier ended, or an attempt to start one. Times in seconds, by the session's clock."""

    transport: str
    what: str  # in words, for people
    since: float | None = None  # when it began to carry; None if it never did
    superseded: bool = False
    recycled: bool = False  # ended on purpose, to start again
    held: bool = False  # a stream that something in between keeps back
    refusal: Refusal | None = None
    waited: float = 0.0  # how long an attempt was waited for in vain; 0 if it failed in another way
