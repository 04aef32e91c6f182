"""When each of many is told to go, so that those who take them in are not flooded (docs/scaling.md §7)."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["moments"]


def moments(count: int, rate: float, within: float, draw: Callable[[], float]) -> list[float]:
    """When each of `count` is told, in seconds from now, in order: `rate` a second, or as many more as it takes to tell
    all `within` so many seconds. One has each part of that time, and `draw` (from 0 to 1) says when in it."""
    pace = max(rate, count / within)
    return [(number + draw()) / pace for number in range(count)]
