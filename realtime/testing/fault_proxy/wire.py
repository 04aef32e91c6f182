"""One connection of the proxy, to a client or to the server, and bodies read from it piece by piece.

Knows sockets and where messages end; knows nothing of faults, except that a wire can be mute.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass

from . import http

READ_SIZE = 65536
# struct linger: on, for zero seconds. Its fields are ints, but shorts on Windows.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
LINGER = 0.5
"""Seconds that a connection we have ended waits for the peer's end, so that what the peer still has in
flight does not turn our FIN into an RST that takes back what it has not read yet."""


class Wire:
    """A connection with what has arrived on it. A read error counts as its end, with `was_reset`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # drain() then waits until the system has taken everything: we hold no more than one piece.
        writer.transport.set_write_buffer_limits(high=0)
        self.buffer: bytearray = bytearray()
        self.eof: bool = False
        self.was_reset: bool = False
        self.muted = False
        """What is written vanishes; ends are not passed on either."""

    async def more(self) -> bool:
        """Add what arrives next to `buffer`. False at the end of the stream."""
        if self.eof:
            return False
        try:
            data = await self._reader.read(READ_SIZE)
        except OSError:
            self.was_reset = True
            data = b""
        self.eof = not data
        self.buffer += data
        return not self.eof

    async def head(self) -> bytes | None:
        """Take the head of a message, blank line included. None at the end of the stream.

        Raises BadMessageError if it does not end.
        """
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > http.MAX_LINE:
                raise http.BadMessageError("the head of a message does not end")
            if not await self.more():
                return None
        return self.take(end + 4)

    def take(self, size: int) -> bytes:
        """Take up to `size` bytes from the buffer."""
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def write(self, data: bytes) -> bool:
        """Write, and wait until it has gone out. False if the peer is gone."""
        if self.muted:
            return True
        if self._writer.is_closing():
            return False
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            return False
        return True

    def send_fin(self) -> None:
        """End our direction in good order."""
        if not self.muted and not self._writer.is_closing():
            # The transport may know of the connection's loss before we do.
            with suppress(OSError, RuntimeError):
                self._writer.write_eof()

    def reset(self) -> None:
        """End the connection with an RST."""
        if not self._writer.is_closing():
            sock = self._writer.get_extra_info("socket")
            # Closing with a linger time of zero sends an RST instead of a FIN (socket(7)).
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()

    def abort(self) -> None:
        """Give the socket back at once."""
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Wait until the socket has been given back."""
        with suppress(OSError):
            await self._writer.wait_closed()

    async def part(self, *, rst: bool) -> None:
        """End the connection; a mute one only when its peer ends it."""
        if self.muted:
            await self.discard()
        elif rst:
            self.reset()
        else:
            self.send_fin()
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self.discard()
        self.abort()

    async def discard(self) -> None:
        """Throw away what arrives, until the stream ends."""
        while await self.more():
            self.buffer.clear()


@dataclass(frozen=True)
class Piece:
    """Some bytes of a body. `ends_write`: a chunk, a data frame, or elsewhere a read, is complete."""

    data: bytes
    ends_write: bool


class Pieces:
    """The pieces of a body. This one is without an end of its own: it lasts until the stream ends."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._left = 0
        self._ends_write = True
        self.complete: bool = False
        """Whether the body has ended as it should."""

    async def next(self) -> Piece | None:
        """The next piece as soon as any of it is there; None at the end. Raises BadMessageError."""
        if not self._left and not await self._measure():
            return None
        if not self.wire.buffer and not await self.wire.more():
            return None
        data = self.wire.take(min(self._left, READ_SIZE))
        self._left -= len(data)
        return Piece(data, self._ends_write and not self._left)

    async def _measure(self) -> bool:
        """Set `_left` to the size of what begins here. False if nothing does."""
        if not self.wire.buffer and not await self.wire.more():
            self.complete = not self.wire.was_reset
            return False
        self._left = len(self.wire.buffer)
        return True


class SizedPieces(Pieces):
    """A body of known length."""

    def __init__(self, wire: Wire, size: int) -> None:
        super().__init__(wire)
        self._rest = size
        self.complete: bool = size == 0

    async def _measure(self) -> bool:
        if self.complete or (not self.wire.buffer and not await self.wire.more()):
            return False
        self._left = min(self._rest, len(self.wire.buffer))
        self._rest -= self._left
        self.complete = self._rest == 0
        return True


class ChunkedPieces(Pieces):
    """A chunked body, framing included."""

    complete: bool
    _in_trailer = False

    async def _measure(self) -> bool:
        if self.complete:
            return False
        if not self._in_trailer:
            while (sizes := http.chunk_size(self.wire.buffer)) is None:
                if not await self.wire.more():
                    return False
            line, size = sizes
            # The chunk of size 0 is not a write; the trailer's lines up to a blank one follow it.
            self._in_trailer = not size
            self._ends_write = size > 0
            self._left = line + size + 2 if size else line
            return True
        while (end := self.wire.buffer.find(b"\r\n")) < 0:
            if len(self.wire.buffer) > http.MAX_LINE:
                raise http.BadMessageError("a line of a trailer does not end")
            if not await self.wire.more():
                return False
        self.complete = end == 0
        self._left = end + 2
        return True


class FramePieces(Pieces):
    """What one side of a WebSocket sends."""

    async def _measure(self) -> bool:
        while (size := http.frame_size(self.wire.buffer)) is None:
            if not await self.wire.more():
                return False
        self._left, self._ends_write = size
        return True


class GivenPieces(Pieces):
    """A body that has been read whole: one piece."""

    def __init__(self, wire: Wire, data: bytes) -> None:
        super().__init__(wire)
        self._data = data

    async def next(self) -> Piece | None:
        """All of it, once."""
        if self.complete:
            return None
        self.complete = True
        return Piece(self._data, True)


def body_pieces(wire: Wire, body: http.Body) -> Pieces:
    """The pieces of a body that begins here."""
    match body:
        case "none":
            return SizedPieces(wire, 0)
        case "chunked":
            return ChunkedPieces(wire)
        case "until_eof":
            return Pieces(wire)
        case _:
            return SizedPieces(wire, body)
