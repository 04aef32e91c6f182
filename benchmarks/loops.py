"""The event loops a server can run on: asyncio's own, and uvloop where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec

__all__ = ["LOOPS", "new_event_loop"]

# The loops that can be had here, fastest last.
LOOPS: tuple[str, ...] = ("asyncio", "uvloop") if find_spec("uvloop") else ("asyncio",)


def new_event_loop(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The factory of a loop. Raises ImportError when it is not installed."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop
