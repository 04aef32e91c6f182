"""A WebSocket whose session is another worker's: the bytes of its client, and of that worker, as they come.

Nothing is parsed, and nothing kept but what the kernel and two bounded buffers hold: who does not read stops the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..clock import Timer, call_later
from ..web.links import HIGH_WATER
from ..web.threshold import Wire
from .hops import Hop

__all__ = ["Tunnel"]

# How long the last bytes may take, when one end has gone, in seconds.
PATIENCE = 10.0


class Tunnel(asyncio.Protocol):
    """The client's end of it, in the place of what has served its connection."""

    def __init__(self, transport: Wire, hop: Hop) -> None:
        self._transport = transport
        self._hop = hop
        self._patience: Timer | None = None
        self._over: Callable[[], object] = hop.over
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # What the client says, without a call of ours.
        self.data_received = hop.transport.write  # type: ignore[method-assign]

    def join(self, said: bytes) -> None:
        """Begins, with what the client has said so far."""
        transport, hop = self._transport, self._hop
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=HIGH_WATER)
        hop.full = self._full
        hop.over = self._left
        if said:
            hop.transport.write(said)
        hop.pass_on(transport.write)
        if hop.gone:
            self._left()
        if not transport.is_closing() and not hop.blocked and not transport.is_reading():
            transport.resume_reading()

    async def lasts(self) -> None:
        """Waits until it has ended. Cancelled, as by a middleware that gives its request up, it ends it."""
        try:
            await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            self._transport.abort()
            raise

    # -- the client's connection ---------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client does not read: neither is the worker read."""
        self._hop.wait()

    def resume_writing(self) -> None:
        """It does."""
        self._hop.read_on()

    def connection_lost(self, error: Exception | None) -> None:
        """The client has left: the worker gets what it has said, unless the client was cut off, and is told by the
        end."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if error is not None:
            self._hop.transport.abort()
        elif not self._hop.gone:
            self._hop.transport.close()
            self._patience = call_later(PATIENCE, self._hop.transport.abort)
        self.ended.set_result(None)

    # -- the worker's --------------------------------------------------------------------------------------------------

    def _full(self, full: bool) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        if full:
            transport.pause_reading()
        elif not transport.is_reading():
            transport.resume_reading()

    def _left(self) -> None:
        """The worker has ended it, or is gone: the client gets what it has said."""
        self._over()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self.ended.done():
            return
        self._transport.close()
        self._patience = call_later(PATIENCE, self._transport.abort)
