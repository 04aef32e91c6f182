"""How a carrier ended: for the supervisor to tell the policy, and in words for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.errors import Refusal

__all__ = ["SESSION_ENDED", "CarrierEnd"]

SESSION_ENDED = "ended with the session"


@dataclass(frozen=True)
class CarrierEnd:
    """How a carrier ended, or an attempt to start one."""

    transport: str
    what: str  # in words, for people
    # "lost": it failed, or was cut. "superseded": the server has another one. "recycled": ended on purpose, to start
    # again. "answered": a poll was answered whole. "proven": a probe was answered as it should be.
    how: Literal["lost", "superseded", "recycled", "answered", "proven"] = "lost"
    refusal: Refusal | None = None
    news: bool = False  # of a poll: it brought a message, or took one along
    wait: float = 0.0  # so many seconds said a Retry-After
