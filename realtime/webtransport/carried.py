"""WebTransport sessions of sessions that another worker has: at the worker to which they came, and at that other one.

The bytes of the one stream go from end to end as they are. Here they are taken from the stream and written on it like
on any connection (Passing, which stands for asyncio's transport of one); there a Link reads them, as if the stream were
its own. What goes between the two is cluster's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, TypeAlias

from ..clock import Timer, call_later
from ..core.carrier import NumberedCarrier
from ..core.errors import Refusal
from ..endpoint import Endpoint
from ..gates.base import Connection as Told
from ..gates.base import Gone, Ignoring
from ..gates.native import NativeGate, tell
from ..gates.native_connection import NativeConnection
from ..owners import Elsewhere
from ..protocols.native import NativeCodec, Open, RequestHead
from ..request import SessionRequest
from ..transports.webtransport import WebTransport
from ..web.batches import HEAD_SIZE
from .door import Door
from .link import CLOSE_PATIENCE, HIGH_WATER, PIECE, Carried, Link, keep

__all__ = ["Carry", "Head", "Passing", "Taking", "begin_session", "turned_away"]

CODEC = NativeCodec(WebTransport())


# The head of a CONNECT.
Head: TypeAlias = list[tuple[bytes, bytes]]


class Carry(Protocol):
    """Brings a WebTransport session to the worker that has its session. Raises Refusal, and Gone for a client that has
    left."""

    async def __call__(self, elsewhere: Elsewhere, /) -> None: ...


class Carrying(NativeConnection):
    """A client whose session may be another worker's. It is carried there, once that is known."""

    __slots__ = ("_carry",)

    def __init__(
        self, gate: NativeGate, facts: SessionRequest, endpoint: Endpoint, link: Link, carry: Carry | None
    ) -> None:
        super().__init__(gate, facts, endpoint, CODEC, link, link.wait)
        self._carry = carry

    async def _take_up(self, head: Open | RequestHead) -> None:
        carry, self._carry = self._carry, None
        try:
            await super()._take_up(head)
        except Elsewhere as elsewhere:
            try:
                if carry is None:
                    raise
                await carry(elsewhere)
            except Gone:
                self.finished = True
            except Refusal as refusal:
                self.refuse(refusal)


class Taking(Protocol):
    """Takes the sessions that other workers bring: a Listener."""

    def bring(self, head: Head, remote: str, handed: str, carried: Carried) -> Link:
        """One begins, of a client at this address, for the claim with this sid, or none."""


def begin_session(
    gate: NativeGate, door: Door, facts: SessionRequest, carried: Carried, carry: Carry | None
) -> tuple[Link, Told, Endpoint | None]:
    """A session of WebTransport's that has come in: its Link, who is told what comes, and where it is. Who is turned
    away is told why, where the frames go."""
    try:
        endpoint = door.endpoint(facts)
    except Refusal as refusal:
        return turned_away(gate, carried, refusal), Ignoring(), None
    heads = 2 if endpoint.durable else 1  # as on a WebSocket
    link = Link(carried, endpoint.config.max_size + heads * HEAD_SIZE)
    return link, Carrying(gate, facts, endpoint, link, carry), endpoint


def turned_away(gate: NativeGate, carried: Carried, refusal: Refusal) -> Link:
    """The Link of somebody who is told why, and nothing else."""
    service = gate.service
    service.refused(refusal.code)
    link = Link(carried, service.config.max_size + HEAD_SIZE)
    tell(NumberedCarrier(CODEC, link, service.clock.now()), refusal)
    return link


class Passing:
    """The stream of a Link in the place of asyncio's transport of a connection (web.threshold.Wire): what its client
    says is given to a protocol, and what that writes goes on the stream."""

    def __init__(self, carried: Carried, link: Link) -> None:
        self._carried = carried
        stream = link.stream
        assert stream is not None  # by which a session was named
        self.stream: int = stream
        self._protocol: asyncio.Protocol | None = None
        self._unread: deque[bytes] = deque()
        self._reading = True
        self._full = False
        self._ended = link.ended  # the client says no more
        self._closing = False
        self._lost = False  # the protocol was told so
        self._patience: Timer | None = None

    # -- what a Tunnel asks of it --------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.Protocol, /) -> None:
        """This is told what comes, from the next turn of the event loop on."""
        self._protocol = protocol
        asyncio.get_running_loop().call_soon(self._give)

    def set_write_buffer_limits(self, high: int) -> None:
        """As a Link's."""

    def write(self, data: bytes, /) -> None:
        """Goes on the stream."""
        if data and not self._closing:
            self._carried.write(self.stream, data)
            if not self._full and self._carried.waiting(self.stream) > HIGH_WATER:
                self._full = True
                if self._protocol is not None:
                    self._protocol.pause_writing()

    def pause_reading(self) -> None:
        """What comes is kept, and no more than the windows let come."""
        self._reading = False

    def resume_reading(self) -> None:
        """It is given on."""
        self._reading = True
        self._give()

    def is_reading(self) -> bool:
        """Whether it is."""
        return self._reading

    def is_closing(self) -> bool:
        """Whether nothing more is written."""
        return self._closing

    def close(self) -> None:
        """Ends the stream behind what was written. A client that does not end its session then is cut off."""
        if not self._closing:
            self._closing = True
            self._carried.write(self.stream, b"", end=True)
            self._patience = call_later(CLOSE_PATIENCE, self.abort)

    def abort(self) -> None:
        """Ends the session, and with it the connection."""
        self._closing = True
        self._carried.end()

    # -- what the connection tells: as a Link --------------------------------------------------------------------------

    def data(self, data: bytes, ended: bool) -> None:
        """Bytes have come."""
        self._ended = self._ended or ended
        if self._lost:
            self._carried.took(len(data))
            return
        if data:
            keep(self._unread, data)
        self._give()

    def _give(self) -> None:
        protocol = self._protocol
        if protocol is None:
            return
        while self._unread and self._reading:
            data = self._unread.popleft()
            if len(data) > PIECE:
                self._unread.appendleft(data[PIECE:])
                data = data[:PIECE]
            self._carried.took(len(data))
            protocol.data_received(data)
        if self._ended and not self._unread and not self._lost:
            self._lose()
            self.close()

    def _lose(self) -> None:
        self._lost = True
        if self._protocol is not None:
            self._protocol.connection_lost(None)

    def turned(self) -> None:
        """What was written may have got through."""
        if self._full and self._carried.waiting(self.stream) <= HIGH_WATER:
            self._full = False
            if self._protocol is not None and not self._closing:
                self._protocol.resume_writing()

    def lost(self) -> None:
        """The session is gone. What has come before is still given on."""
        self._closing = self._reading = self._ended = True
        if self._patience is not None:
            self._patience.cancel()
        if not self._lost:
            self._give()

    def leave(self) -> None:
        """Nobody waits for this any longer."""
        self.abort()
