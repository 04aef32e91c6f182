"""One QUIC connection with HTTP/3 on it, and the clock and the socket that it needs: datagrams in, events out.

What comes is told to the methods that a subclass has. Client and server differ in what they do with that, and in whose
the socket is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import DataReceived, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    HandshakeCompleted,
    ProtocolNegotiated,
    StopSendingReceived,
    StreamReset,
)

from .connection import Connection
from .http3 import Http3

__all__ = ["Address", "Peer"]

# As asyncio gives it: host and port, and two more of IPv6.
Address: TypeAlias = Any


# A timer that is so many seconds late belongs to a process that stood still, and is served so many seconds later: see
# realtime.clock, of which nothing is known here.
STOOD_STILL = 2.0
CATCHING_UP = 1.0


class Peer:
    """A connection and whoever is at its other end. `send` takes datagrams for an address."""

    def __init__(self, quic: Connection, send: Callable[[bytes, Address], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.quic: Connection = quic
        self.http: Http3 | None = None  # when the handshake has come so far
        self._send = send
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._due: float | None = None
        self._set_for = 0.0  # the same, and not before it was set
        self._not_before = 0.0  # no timer is served earlier
        self.is_over: bool = False  # nothing more is taken from it, or written
        self.terminated: bool = False  # and nothing more is said

    # -- the socket and the clock ------------------------------------------------------------------------------------

    def received(self, data: bytes, address: Address) -> None:
        """A datagram has come."""
        if not self.terminated:
            try:
                self.quic.receive_datagram(data, address, now=self._loop.time())
                self._turn()
            except Exception as error:
                self.broken(error)

    def transmit_soon(self) -> None:
        """Something was written: it goes in the next turn of the event loop, with all that is written until then."""
        if self._soon is None and not self.is_over:
            self._soon = self._loop.call_soon(self._transmit)

    def _transmit(self) -> None:
        try:
            self.transmit()
        except Exception as error:
            self.broken(error)

    def transmit(self) -> None:
        """Sends what may be sent now, and sets the timer for what has to be done next."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        for data, address in self.quic.datagrams_to_send(now=self._loop.time()):
            self._send(data, address)
        due = self.quic.get_timer()
        if due is not None and due < self._not_before:
            due = self._not_before
        if due != self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None if due is None else self._loop.call_at(due, self._timed)
            self._due = due
            self._set_for = max(due or 0.0, self._loop.time())

    def _timed(self) -> None:
        assert self._due is not None
        now = max(self._due, self._loop.time())
        late = now - self._set_for
        self._timer = self._due = None
        try:
            if late > STOOD_STILL:  # datagrams that say that the peer is there lie unread
                self._not_before = now + CATCHING_UP
                self.transmit()
                return
            self.quic.handle_timer(now=now)
            self._turn()
        except Exception as error:
            self.broken(error)

    def _turn(self) -> None:
        while (event := self.quic.next_event()) is not None:
            self._event(event)
        ends = self.quic.close_event
        if ends is not None:
            self._lose(ends.reason_phrase)
        if not self.terminated:
            self.turned()
            self.transmit()

    def _event(self, event: Any) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = Http3(self.quic)
        elif isinstance(event, HandshakeCompleted):
            self.connected()
        elif isinstance(event, ConnectionTerminated):
            self.drop()
            self._lose(event.reason_phrase)
            self.forgotten()
        elif isinstance(event, ConnectionIdIssued):
            self.id_issued(event.connection_id)
        elif isinstance(event, ConnectionIdRetired):
            self.id_retired(event.connection_id)
        elif self.http is not None and not self.is_over:
            for told in self.http.handle_event(event):
                if isinstance(told, HeadersReceived):
                    self.headers(told.stream_id, told.headers, told.stream_ended)
                elif isinstance(told, WebTransportStreamDataReceived):
                    self.stream_data(told.session_id, told.stream_id, told.data, told.stream_ended)
                elif isinstance(told, DataReceived) and told.stream_ended:
                    self.ended(told.stream_id)
            if isinstance(event, StreamReset | StopSendingReceived):
                self.ended(event.stream_id)

    def _lose(self, reason: str) -> None:
        if not self.is_over:
            self.is_over = True
            self.lost(reason)

    def close(self, code: int = ErrorCode.H3_NO_ERROR, reason: str = "") -> None:
        """Ends the connection. The peer is told, and told again for a moment if it goes on sending."""
        if not self.is_over:
            self.quic.close(error_code=code, reason_phrase=reason)
            self.transmit()
            self._lose(reason)

    def drop(self) -> None:
        """Says nothing more: the socket is about to close."""
        self.terminated = True
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        self._timer = self._soon = None

    # -- what a subclass is told -------------------------------------------------------------------------------------

    def connected(self) -> None:
        """The handshake is done; there is HTTP/3."""

    def headers(self, stream_id: int, headers: list[tuple[bytes, bytes]], ended: bool) -> None:
        """The head of a request, or of its answer."""

    def stream_data(self, session_id: int, stream_id: int, data: bytes, ended: bool) -> None:
        """Bytes of a stream of a WebTransport session."""

    def ended(self, stream_id: int) -> None:
        """The peer has ended a request's stream, or broken off one of any kind."""

    def turned(self) -> None:
        """All that was there is told; what was written may have got through."""

    def id_issued(self, connection_id: bytes) -> None:
        """The peer may send to another connection id from now on."""

    def id_retired(self, connection_id: bytes) -> None:
        """The peer does not send to that any more."""

    def broken(self, error: Exception) -> None:
        """What the peer has said made this raise: it ends, whatever state it is in."""
        try:
            self.close(ErrorCode.H3_INTERNAL_ERROR)
        except Exception:  # not even its end can be said
            self.drop()
            self._lose(str(error))
            self.forgotten()

    def lost(self, reason: str) -> None:
        """The connection has ended, from here or from there, or by silence. Nothing more comes of it."""

    def forgotten(self) -> None:
        """No datagram of it is to be answered any more."""
