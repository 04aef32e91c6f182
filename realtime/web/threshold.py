"""The first frames of a WebSocket, while it is not known whose session they name: kept as they came, so that they can
be handed to another worker with all that follows.

Stands twice between a connection and its session: in front of the link, which gets one frame after the other, and
behind it, where the session's worker becomes known. Then it steps aside, whichever worker that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeAlias, cast, runtime_checkable

from aiohttp import WebSocketError, WSCloseCode

from ..core.errors import Refusal
from ..gates.base import Connection, Gone
from ..owners import Elsewhere
from .handshake import AHEAD_SIZE
from .lean import LeanLink, hand_over, tell
from .parsing import MASKED

__all__ = ["Carry", "HandOver", "HandedOver", "Opening", "Threshold", "Wire", "frame_size"]

# Bits of a frame's first byte.
FINAL = 0x80
CONTROL = 0x08
# What a header may take, in bytes (RFC 6455 §5.2).
MAX_HEADER = 14


class Wire(Protocol):
    """What is needed of asyncio's transport of a connection that is handed over."""

    def set_protocol(self, protocol: asyncio.Protocol, /) -> None: ...
    def set_write_buffer_limits(self, high: int) -> None: ...
    def write(self, data: bytes, /) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_reading(self) -> bool: ...
    def is_closing(self) -> bool: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class HandedOver(NamedTuple):
    """A connection that was handed over."""

    transport: Wire
    said: bytes  # by its client, from the frame on that names the session
    over: Callable[[], object]  # to be called when it has ended


HandOver: TypeAlias = Callable[[], HandedOver]
# Brings a connection to the worker that has its session: which takes it by the function when that worker is ready.
# Raises Refusal.
Carry: TypeAlias = Callable[[Elsewhere, HandOver], Awaitable[None]]


@runtime_checkable
class Opening(Connection, Protocol):
    """A Connection that does not know its session before the first frames have come."""

    @property
    def settled(self) -> bool:
        """Whether it is known what becomes of it."""

    def refuse(self, refusal: Refusal) -> None:
        """Says why the connection carries nothing, and ends it."""


def frame_size(data: bytes | bytearray) -> int:
    """How long the frame is that `data` begins with (RFC 6455 §5.2); 0 where its header is not complete."""
    if len(data) < 2:
        return 0
    size = data[1] & ~MASKED
    start = 6 if data[1] & MASKED else 2
    if size == 126:
        start += 2
        size = int.from_bytes(data[2:4], "big")
    elif size == 127:
        start += 8
        size = int.from_bytes(data[2:10], "big")
    return start + size if len(data) >= start else 0


class Threshold:
    """One connection, from its first byte until its session is known.

    At most AHEAD_SIZE bytes are kept, and one message of the size that the link takes, with the heads of its fragments:
    these may be as many as one likes, since they may be empty.
    """

    def __init__(self, link: LeanLink, connection: Opening, carry: Carry, max_size: int) -> None:
        self._link = link
        self._max_size = max_size
        self._connection = connection
        self._carry = carry
        self._coming = bytearray()  # not given to the link
        self._kept = bytearray()  # given to the link, and not taken by anybody
        self._waiting = False  # for what becomes of it
        self._aside = False

    # -- in front of the link: what asyncio's transport tells ----------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """What has come: the link gets one frame after the other, for as long as its session is not known."""
        self._coming += data
        while not self._aside and not self._link.waits:
            size = frame_size(self._coming)
            if size > self._max_size + MAX_HEADER and not self._waiting:
                self._step_aside()  # the link says what is wrong with it
            if not size or size > len(self._coming) or self._aside:
                break
            self._give(bytes(self._coming[:size]))
        if self._aside:
            self._pass_on()
        elif self._waiting and len(self._coming) + len(self._kept) > AHEAD_SIZE:
            self._link.transport.pause_reading()

    def _give(self, frame: bytes) -> None:
        del self._coming[: len(frame)]
        self._kept += frame
        self._link.data_received(frame)
        if self._aside:
            return
        if not self._waiting and frame[0] & CONTROL:
            del self._kept[-len(frame) :]  # it was answered
        elif not self._waiting and frame[0] & FINAL:
            self._kept.clear()  # a message that says nothing here
        elif not self._waiting and len(self._kept) > self._max_size + AHEAD_SIZE:
            self._step_aside()
            self._link.unreadable(WebSocketError(WSCloseCode.MESSAGE_TOO_BIG, "a message in too many fragments"))

    def eof_received(self) -> None:
        """The client sends nothing more."""
        self._link.eof_received()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._link.pause_writing()

    def resume_writing(self) -> None:
        """It does."""
        self._link.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._aside = True
        self._link.connection_lost(error)

    # -- behind the link: see gates.base.Connection --------------------------------------------------------------------

    def connected(self) -> Awaitable[None] | None:
        """The connection stands."""
        return self._watched(self._connection.connected())

    def message(self, data: str | bytes) -> Awaitable[None] | None:
        """A frame."""
        return self._watched(self._connection.message(data))

    def control(self) -> bool:
        """A ping or a pong."""
        return self._connection.control()

    def closed(self, code: int, reason: str) -> None:
        """The peer closes."""
        self._connection.closed(code, reason)

    def failed(self, code: int) -> None:
        """What came was no message."""
        self._connection.failed(code)

    def writable_again(self) -> None:
        """The link takes more."""
        self._connection.writable_again()

    def lost(self) -> None:
        """The connection is gone, or is another worker's."""
        self._connection.lost()

    def _watched(self, waiting: Awaitable[None] | None) -> Awaitable[None] | None:
        if waiting is not None:
            self._waiting = True
            return self._watch(waiting)
        if self._connection.settled:
            self._step_aside()
        return None

    async def _watch(self, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except Elsewhere as elsewhere:
            try:
                await self._carry(elsewhere, self._hand_over)
            except Gone:
                self._link.abort()
            except Refusal as refusal:
                self._connection.refuse(refusal)
        self._waiting = False
        self._step_aside()
        self._pass_on()

    # -- whose it is ---------------------------------------------------------------------------------------------------

    def _step_aside(self) -> None:
        """The session is this worker's, or there is none: the link has the connection to itself. What has come behind
        the frame that said so is to be passed on when the link has done with that."""
        if self._aside:
            return
        self._aside = True
        link, transport = self._link, self._link.transport
        tell(link, self._connection)
        transport.set_protocol(link)  # type: ignore[arg-type] # which is all that its transport asks for
        if not transport.is_closing() and not transport.is_reading() and not link.waits:
            transport.resume_reading()
        self._kept = bytearray()

    def _pass_on(self) -> None:
        coming, self._coming = bytes(self._coming), bytearray()
        if coming:
            self._link.data_received(coming)

    def _hand_over(self) -> HandedOver:
        """The session is another worker's. Raises Gone when the client has left."""
        transport = self._link.transport
        if self._aside or transport.is_closing():
            raise Gone
        self._aside = True
        hand_over(self._link)
        said = bytes(self._kept + self._coming)
        return HandedOver(cast("Wire", transport), said, lambda: self._link.connection_lost(None))
