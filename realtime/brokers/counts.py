"""What a worker counts of its broker and its rooms: plain numbers, which metrics show (docs/metrics.md)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counts"]


@dataclass
class Counts:
    """Of one server, from its making on."""

    published: int = 0  # messages to rooms that the broker has
    failed: int = 0  # that it has not
    unknown: int = 0  # of which nobody knows
    answered: int = 0  # commands
    refused: int = 0  # that were not written, or not carried out
    unanswered: int = 0
    seconds: float = 0.0  # from asking to the answer, together
    deafnesses: int = 0  # beats that were missing, and subscriptions made again
    repaired: int = 0  # messages that were read, since no subscription had brought them
    gaps: int = 0  # told to all members of a room here
    gaps_of_joins: int = 0  # told to one that could not go on where it was
    raised: int = 0  # epochs, since the store went back
