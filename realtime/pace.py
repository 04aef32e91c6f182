"""Giving others their turn, in a loop over what a peer has sent already.

A single read may bring a quarter of a mebibyte, and that tens of thousands of tiny messages: who takes them one after
the other never waits, and nothing else runs meanwhile. Knows no aiohttp.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["Pace"]

# So many messages are taken before others have their turn.
TURN = 256


class Pace:
    """Counts what one connection has brought, and gives way every now and then."""

    __slots__ = ("_count", "_transport")

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self._count = 0

    async def step(self) -> None:
        """Counts one more message, and lets other connections have their turn when enough have been taken."""
        self._count += 1
        if self._count % TURN:
            return
        transport = self._transport
        if transport is None or transport.is_closing() or not transport.is_reading():
            await asyncio.sleep(0)
            return
        transport.pause_reading()
        try:
            await asyncio.sleep(0)
        finally:
            with suppress(RuntimeError):  # it was closed meanwhile
                transport.resume_reading()
