"""What is limited for all workers of a cluster together: each keeps its own count where all can see it, and whoever is
about to raise its own adds them up (docs/scaling.md §7).

Pure: what the store answers is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

__all__ = ["Limit", "Shares", "total"]


class Limit(NamedTuple):
    """Of what there may be so many."""

    key: str
    most: int
    reason: str  # that one more is refused


class Shares:
    """The opens of this worker that are on their way: they count, until it is known what came of them. Opens of one
    session (they come by the same nonce) count once."""

    def __init__(self) -> None:
        self._openings: dict[str, dict[object, int]] = {}

    def begin(self, key: str, opening: object) -> None:
        """An open begins."""
        openings = self._openings.setdefault(key, {})
        openings[opening] = openings.get(opening, 0) + 1

    def end(self, key: str, opening: object) -> None:
        """Its session is there, and counted; or there is none."""
        openings = self._openings[key]
        openings[opening] -= 1
        if not openings[opening]:
            del openings[opening]
        if not openings:
            del self._openings[key]

    def count(self, key: str) -> int:
        """How many are on their way."""
        return len(self._openings.get(key, ()))


def total(counts: Mapping[str, int], worker: str, living: Collection[str] | None) -> int:
    """How many all workers have together; of those whose leases run, where it is known which these are. `worker` is
    who asks."""
    return sum(count for one, count in counts.items() if living is None or one in living or one == worker)
