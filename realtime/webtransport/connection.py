"""One client's HTTP/3 connection: its requests, the WebTransport session that one of them may open, and its streams.

A connection carries one session at a time, and a session one stream of the client's, which goes both ways. All other
streams are refused, and so is every request that is no WebTransport's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from aioquic.h3.connection import ErrorCode

from ..clock import Timer, call_later
from ..core.errors import Refusal
from ..gates.base import Connection as Told
from ..gates.native import NativeGate
from ..gates.native_connection import NativeConnection
from ..owners import Elsewhere
from ..quic.connection import Connection
from ..quic.peer import Address, Peer
from ..web.carried import Carrying as Cluster
from ..web.carried import carrying
from ..web.threshold import HandedOver
from .carried import Head, Passing, begin_session
from .door import Door
from .link import Link

__all__ = ["ClientConnection", "Keeper"]

log: logging.Logger = logging.getLogger("realtime.server")

# How the protocol is called in an extended CONNECT, by the drafts.
PROTOCOLS = (b"webtransport", b"webtransport-h3")
# draft-ietf-webtrans-http3: the error of a stream that is not wanted.
STREAM_REJECTED = 0x3994BD84


class Keeper(Protocol):
    """Whoever keeps the connections: see listener."""

    @property
    def gate(self) -> NativeGate: ...

    @property
    def door(self) -> Door: ...

    def opened(self, connection: ClientConnection) -> None:
        """It has a session."""

    def registered(self, connection_id: bytes, connection: ClientConnection) -> None:
        """Datagrams for this id are for this connection."""

    def retired(self, connection_id: bytes) -> None:
        """No more of them come."""

    def left(self, connection: ClientConnection) -> None:
        """It carries nothing any more."""

    def forgotten(self, connection: ClientConnection) -> None:
        """It has ended."""


class ClientConnection(Peer):
    """See quic.peer. `patience` is how many seconds it has until there is a session."""

    transport: asyncio.Transport | None = None  # nobody else brings it: see link.Carried

    def __init__(
        self,
        keeper: Keeper,
        quic: Connection,
        send: Callable[[bytes, Address], None],
        remote: str,
        patience: float,
    ) -> None:
        super().__init__(quic, send)
        self._keeper = keeper
        self.remote: str = remote
        self._session: int | None = None  # the stream of its CONNECT
        self.link: Link | Passing | None = None
        self.told: Told | None = None
        self._before: dict[int, tuple[int, bytearray, bool]] = {}  # streams that overtook their CONNECT
        self._refused: set[int] = set()
        self._pinging: asyncio.TimerHandle | None = None
        self._waiting: Timer = call_later(patience, self._nothing_came)

    def _keep_alive(self, seconds: float) -> None:
        """QUIC's own pings, where the session's are too seldom for the connection."""
        self.quic.send_ping(0)
        self.transmit_soon()
        self._pinging = self._loop.call_later(seconds, self._keep_alive, seconds)

    def _nothing_came(self) -> None:
        self.close(reason="no WebTransport session was opened in time")

    # -- requests ----------------------------------------------------------------------------------------------------

    def headers(self, stream_id: int, headers: list[tuple[bytes, bytes]], ended: bool) -> None:
        """A request."""
        fields = dict(headers)
        if fields.get(b":method") != b"CONNECT" or fields.get(b":protocol") not in PROTOCOLS:
            self._answer(stream_id, 404, "this port is for WebTransport alone; everything else is where the page is")
        elif self._session is not None or ended:
            self._answer(stream_id, 429, "one WebTransport session to a connection")
        else:
            self._connect(stream_id, headers)

    def _answer(self, stream_id: int, status: int, sentence: str) -> None:
        assert self.http is not None
        body = sentence.encode()
        head = [
            (b":status", b"%d" % status),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
        ]
        self.http.send_headers(stream_id, head)
        self.http.send_data(stream_id, body, end_stream=True)
        if not self.quic.has_ended(stream_id):
            self.quic.stop_stream(stream_id, ErrorCode.H3_NO_ERROR)

    def _connect(self, stream_id: int, headers: Head) -> None:
        """A CONNECT: the door says what becomes of it. Whose page may not come learns nothing; everybody else is told
        why on the stream that carries the frames, as on a WebSocket."""
        assert self.http is not None
        keeper = self._keeper
        try:
            facts = keeper.door.facts(headers, self.remote)
        except Refusal as refused:
            keeper.gate.service.refused(refused.code)
            self._answer(stream_id, refused.http_status, refused.reason)
            return
        self.http.send_headers(stream_id, [(b":status", b"200"), (b"sec-webtransport-http3-draft", b"draft02")])
        self._session = stream_id
        cluster = carrying(keeper.gate.service)
        carry = None if cluster is None else partial(self._carry, cluster, headers)
        link, self.told, endpoint = begin_session(keeper.gate, keeper.door, facts, self, carry)
        self.link = link
        if endpoint is not None:
            self._waiting.cancel()
            keeper.opened(self)
            link.start(self.told)
            pings, patience = endpoint.config.ping_interval, self.quic.patience
            if pings is None or pings > patience / 2:
                self._keep_alive(patience / 3)
        before, self._before = self._before, {}
        for early, (session_id, data, ended) in before.items():
            self.quic.unread -= len(data)
            self.stream_data(session_id, early, bytes(data), ended)

    async def _carry(self, cluster: Cluster, headers: Head, elsewhere: Elsewhere, /) -> None:
        """See carried.Carry."""
        await cluster.carry_stream(headers, self.remote, elsewhere, self._hand_over)

    def _hand_over(self) -> HandedOver:
        """Another worker has the session: the stream is its client's way to that. Raises Gone."""
        link = self.link
        assert isinstance(link, Link)
        passing = Passing(self, link)
        said = link.hand_over()
        self.link = passing
        return HandedOver(passing, said, lambda: None)

    def refuse(self, refusal: Refusal) -> None:
        """Nothing more can come of it, if there is no session of the protocol yet."""
        if isinstance(self.told, NativeConnection):
            if self.told.silent:
                self.told.refuse(refusal)
        else:
            self.close(reason=refusal.reason)

    # -- streams -----------------------------------------------------------------------------------------------------

    def stream_data(self, session_id: int, stream_id: int, data: bytes, ended: bool) -> None:
        """Bytes of a stream that the client has opened."""
        if stream_id in self._refused:
            if ended:
                self._refused.discard(stream_id)
            return
        self.quic.unread += len(data)
        if self._session is None and stream_id % 4 == 0:  # it has overtaken its CONNECT
            _, kept, _ = self._before.setdefault(stream_id, (session_id, bytearray(), False))
            kept += data
            self._before[stream_id] = session_id, kept, ended
            return
        link = self.link
        if isinstance(link, Link) and session_id == self._session and stream_id % 4 == 0 and link.stream is None:
            link.opened(stream_id)
        if link is None or link.stream != stream_id:
            self.quic.unread -= len(data)
            self._refuse_stream(stream_id)
            return
        link.data(data, ended)

    def _refuse_stream(self, stream_id: int) -> None:
        """One stream carries everything: others are refused, and nothing of them is kept."""
        if not self.quic.has_ended(stream_id):
            self._refused.add(stream_id)
            self.quic.stop_stream(stream_id, STREAM_REJECTED)
        if stream_id % 4 == 0:
            assert self.http is not None
            self.quic.reset_stream(stream_id, STREAM_REJECTED)
            self.http.said_all(stream_id)

    def ended(self, stream_id: int) -> None:
        """The client has ended its session's CONNECT, or broken off a stream."""
        self._refused.discard(stream_id)
        if (before := self._before.pop(stream_id, None)) is not None:
            self.took(len(before[1]))
        if self.link is not None and stream_id in (self._session, self.link.stream):
            self.end()

    # -- what a Link asks of it --------------------------------------------------------------------------------------

    def write(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Writes on a stream. One that the client takes nothing of any more swallows it."""
        if not self.is_over and self.quic.may_write(stream_id):
            self.quic.send_stream_data(stream_id, data, end)
            self.transmit_soon()

    def waiting(self, stream_id: int) -> int:
        """How many bytes are on their way, or wait to be sent."""
        return self.quic.waiting(stream_id)

    def took(self, size: int) -> None:
        """So many bytes were taken: as many may come."""
        if size:
            self.quic.unread -= size
            self.transmit_soon()

    def end(self) -> None:
        """The session is over, and the connection with it, which is for nothing else."""
        if not self.is_over:
            self.close(reason="the session has ended")

    # -- what the connection tells -----------------------------------------------------------------------------------

    def turned(self) -> None:
        """What was written may have got through."""
        if self.link is not None:
            self.link.turned()

    def id_issued(self, connection_id: bytes) -> None:
        """The client may send to another connection id from now on."""
        self._keeper.registered(connection_id, self)

    def id_retired(self, connection_id: bytes) -> None:
        """It does not send to that any more."""
        self._keeper.retired(connection_id)

    def broken(self, error: Exception) -> None:
        """Whatever a client sends, it is its own connection alone that suffers."""
        self._keeper.gate.service.notices.warn(
            ("webtransport", type(error).__name__),
            "a WebTransport connection is closed, since what its client sent made it fail: %r",
            error,
        )
        super().broken(error)

    def lost(self, reason: str) -> None:
        """The connection has ended."""
        self._waiting.cancel()
        if self._pinging is not None:
            self._pinging.cancel()
        self._before.clear()
        if self.link is not None:
            self.link.lost()
        self._keeper.left(self)
        log.debug("a WebTransport connection from %s has ended: %s", self.remote, reason or "closed")

    def forgotten(self) -> None:
        """No datagram of it is to be answered any more."""
        self._keeper.forgotten(self)
