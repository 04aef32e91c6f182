"""Sessions of WebTransport between two workers. No request of HTTP brings them, but the head of their CONNECT, sealed
as requests are, and behind it the bytes of their one stream, both ways.

    worker that a client came to                     worker that has its session
    0, how long, seal, facts                →
                                            ←        1 (it is taken), or 0 and the end
    what the client says                    ↔        what is said to it

It is the first that is said on a connection that is known (seals), and the connection is for nothing else.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Protocol, cast

from ..clock import Timer, call_later
from ..core.errors import Refusal
from ..webtransport.carried import Head, Taking
from ..webtransport.link import Link
from .facts import Facts, said_by
from .hops import HANDSHAKE_PATIENCE, Hop
from .seals import SEAL_SIZE, Seal

__all__ = ["MARK", "TAKEN", "Stream", "brought", "opening"]

# No request of HTTP begins so.
MARK = b"\0"
TAKEN, NOT_TAKEN = b"\1", b"\0"
LENGTH = struct.Struct("!I")
# So long the seal and the facts may be: of the 16 KiB of a head over HTTP/3 JSON makes six times as much at the most.
MAX_FACTS = 131_072
LINE = "stream"
# So much is on its way from another worker, and is not taken.
UNREAD = 262_144


def opening(seal: Seal, facts: Facts) -> bytes:
    """What begins one."""
    packed = facts.pack()
    said = seal.request(said_by(LINE, packed, ())).encode() + packed
    return MARK + LENGTH.pack(len(said)) + said


async def brought(hop: Hop, facts: Facts) -> None:
    """Begins one on a connection that was made for it. Raises Broken, and Refusal where it is not taken."""
    hop.transport.write(opening(hop.seal, facts))
    if await hop.take(len(TAKEN)) != TAKEN:
        raise Refusal(4503, "the worker that has the session takes no WebTransport")


class Port(Protocol):
    """The inner port, as its streams have it: see port."""

    turned_away: int
    streams: set[Stream]

    @property
    def taking(self) -> object | None: ...

    def note(self, transport: asyncio.Transport | None, worker: str) -> None: ...


class Stream(asyncio.Protocol):
    """The end at the worker that has the session: see webtransport.link.Carried, where it stands for a connection with
    one stream."""

    def __init__(self, port: Port, transport: asyncio.Transport, seal: Seal) -> None:
        self._port = port
        self._transport = transport
        self.transport: asyncio.Transport | None = transport
        self._seal = seal
        self._coming = bytearray()  # before it is taken
        self._link: Link | None = None
        self._unread = 0
        self._patience: Timer | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, said: bytes) -> None:
        """From the mark on."""
        self._patience = call_later(HANDSHAKE_PATIENCE, self.end)
        self.data_received(said)

    # -- what asyncio's transport tells --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """What has come."""
        if self._link is not None:
            self._take(data)
            return
        self._coming += data
        begins = len(MARK) + LENGTH.size
        if len(self._coming) < begins or self._transport.is_closing():
            return
        (size,) = LENGTH.unpack_from(self._coming, len(MARK))
        if size > MAX_FACTS:
            self._turn_away()
        elif len(self._coming) >= begins + size:
            said, rest = bytes(self._coming[begins : begins + size]), bytes(self._coming[begins + size :])
            self._coming.clear()
            self._begin(said[:SEAL_SIZE], said[SEAL_SIZE:], rest)

    def _begin(self, seal: bytes, packed: bytes, rest: bytes) -> None:
        if not self._seal.sealed(seal, said_by(LINE, packed, ())):
            self._turn_away()
            return
        self._stop_waiting()
        facts = Facts.read(packed)
        self._port.note(self._transport, facts.worker)
        taking = cast("Taking | None", self._port.taking)
        if taking is None:
            self._transport.write(NOT_TAKEN)
            self._transport.close()
            return
        self._transport.write(TAKEN)
        self._link = taking.bring(unpacked(facts), facts.remote, facts.handed, self)
        if rest:
            self._take(rest)

    def _take(self, data: bytes) -> None:
        assert self._link is not None
        self._unread += len(data)
        if self._unread > UNREAD and self._transport.is_reading():
            self._transport.pause_reading()
        self._link.data(data, False)

    def eof_received(self) -> bool:
        """The client says no more. What is said to it goes on."""
        if self._link is None:
            return False
        self._link.data(b"", True)
        return self._transport.can_write_eof()

    def resume_writing(self) -> None:
        """The other worker takes more."""
        if self._link is not None:
            self._link.turned()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone, or the worker that it came to."""
        self._stop_waiting()
        self.ended.set_result(None)
        self._port.streams.discard(self)
        if self._link is not None:
            self._link.lost()

    def _turn_away(self) -> None:
        self._port.turned_away += 1
        self.end()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    # -- what a Link asks of it ----------------------------------------------------------------------------------------

    def write(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Says this to the client, and that it was the last."""
        transport = self._transport
        if transport.is_closing():
            return
        if data:
            transport.write(data)
        if end and transport.can_write_eof():
            transport.write_eof()  # and what has come across it is read: or it would be answered by a reset
        elif end:
            transport.close()

    def waiting(self, stream_id: int) -> int:
        """How much the other worker has not taken."""
        return self._transport.get_write_buffer_size()

    def took(self, size: int) -> None:
        """So much was taken."""
        self._unread -= size
        if self._unread <= UNREAD // 2 and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def end(self) -> None:
        """It is over."""
        self._transport.abort()

    def leave(self) -> None:
        """Nobody waits for this any longer."""
        if self._link is not None:
            self._link.leave()
        self.end()


def unpacked(facts: Facts) -> Head:
    """The head of a CONNECT, as it came."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in facts.head or ()]
