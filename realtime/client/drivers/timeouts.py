"""Ending what waits, as if its time were up."""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["expire"]


def expire(timeout: asyncio.Timeout) -> None:
    """Ends what stands below `timeout` as if its time were up, unless that is ending already."""
    with suppress(RuntimeError):
        timeout.reschedule(asyncio.get_running_loop().time())
