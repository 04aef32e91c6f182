"""STOMP over TCP: a port that is open while the application runs, and its connections, each of which is a session.

What a client's CONNECT says is what the authorize hook is shown, so it is read before there is a session; what was read
is then the session's first message. From there on bytes are messages, in whatever pieces they come. Knows no aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from ..clock import Patience
from ..core.carrier import Capabilities, Part, Shape
from ..core.errors import LocalProtocolError, RemoteProtocolError
from ..core.frames import BINARY, TEXT, Outgoing
from ..core.plain_machine import PlainMachine
from ..endpoint import Endpoint
from ..loops import begin
from ..protocols.layers.stomp.conversation import Connect, Conversation, Limits
from ..protocols.layers.stomp.decoder import Decoder
from ..protocols.layers.stomp.frames import V12, VERSIONS
from ..protocols.layers.stomp.messages import error
from ..request import SessionRequest
from ..service import Service
from ..stomp.port import Port
from .plain import PlainGate
from .plain_connection import OneSession, Wire

__all__ = ["Ports"]

log: logging.Logger = logging.getLogger("realtime.server")

# How long a peer has to take the last words, and to close its end as well: seconds.
CLOSE_PATIENCE = 2.0
# So many connections of one port may be without a session. When there are as many, the one that has been silent for
# longest makes room for a new one, if it was for so many seconds: else whoever opens them all keeps everybody out.
MAX_UNOPENED = 1024
GRACE = 1.0
# Bytes are taken in pieces of so many at most.
PIECE = 65_536
BACKLOG = 1024


class TcpCodec:
    """See core.carrier.Codec: bytes as they are. What has no words is an empty part."""

    name = "tcp"
    shape = Shape.DUPLEX
    # Its heart-beats are STOMP's own.
    capabilities: Capabilities = Capabilities(protocol="STOMP over TCP", heartbeat="tell")

    def item(self, item: Outgoing) -> Part:
        """The bytes of a message, made once for all receivers. A close is the link's; a note of drops is not told."""
        if item.kind not in (TEXT, BINARY):
            return b""
        if isinstance(item.data, bytes):
            return item.data
        part = item.encoded.get("tcp")
        if part is None:
            part = item.encoded["tcp"] = item.data.encode()
        return part

    def ping(self) -> Part:
        """Nothing."""
        return b""

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """An ERROR, which is written before the version is known, too."""
        return error(V12, reason, {"version": ",".join(VERSIONS)})

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """As they are."""
        return parts


CODEC = TcpCodec()
KIND: Callable[..., PlainMachine] = partial(PlainMachine, capabilities=CODEC.capabilities)


def _as_it_is(data: str | bytes) -> tuple[str | bytes]:
    return (data,)


class TcpLink(asyncio.Protocol):
    """One connection: asyncio's protocol, and a carrier's Link."""

    def __init__(self, ports: Listening) -> None:
        self._ports = ports
        self._transport: asyncio.Transport
        self._connection: OneSession | None = None
        self._early = bytearray()  # what has come before there was a session
        sizes = ports.port.sizes
        # A CONNECT has no body. The little that a client may have put there counts for nothing, as over other carriers.
        little = min(sizes.max_body_size, sizes.max_header_size)
        self._decoder = Decoder(
            max_headers=sizes.max_headers, max_header_size=sizes.max_header_size, max_body_size=little
        )
        self._task: asyncio.Task[None] | None = None  # which takes what has come
        self._patience: asyncio.TimerHandle | None = None
        self._shut = False  # nothing more is written
        self._lost = False
        self.writable: bool = True

    # -- what asyncio tells --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class
        connection = transport.get_extra_info("socket")
        with suppress(OSError, AttributeError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not self._ports.came(self):
            self._transport.abort()
            return
        patience = self._ports.port.sizes.connect_timeout
        self._patience = asyncio.get_running_loop().call_later(patience, self._nobody_came)

    def _nobody_came(self) -> None:
        self._refuse("no CONNECT came within connect_timeout")

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._shut or self._lost:
            return  # only read until the peer has closed its end
        if self._connection is not None:
            self._take(self._connection, data)
            return
        self._early += data
        self._decoder.feed(data)
        try:
            frame = self._decoder.next()
            if frame is None and not self._decoder.begun:
                self._early.clear()  # it was line ends, in front of a frame
            elif frame is not None:
                self._begin(self._open(Conversation[None](Limits()).connect(frame)))
        except RemoteProtocolError as wrong:
            self._refuse(wrong.reason)

    def eof_received(self) -> bool:
        """The client says no more: the connection ends. Where reading was paused, it is told only when what came before
        was taken."""
        if self._connection is not None:
            self._connection.closed(1000, "")
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is gone."""
        self._lost, self.writable = True, False
        if self._patience is not None:
            self._patience.cancel()
        self._ports.left(self)
        if self._connection is not None:
            self._connection.lost()

    def pause_writing(self) -> None:
        """Too much waits to be written."""
        self.writable = False

    def resume_writing(self) -> None:
        """It is less again."""
        self.writable = not self._shut
        if self._connection is not None:
            self._connection.writable_again()

    # -- taking --------------------------------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Does what has to wait; meanwhile nothing is read."""
        self._transport.pause_reading()
        self._task = begin(self._finish(work), "realtime STOMP over TCP")

    async def _finish(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # nothing may be left out of what the client says
            told = {"message": "a STOMP client's connection raised", "exception": error, "transport": self._transport}
            asyncio.get_running_loop().call_exception_handler(told)
            self.abort()
        finally:
            self._task = None
            if not self._lost:
                self._transport.resume_reading()

    async def _open(self, asked: Connect) -> None:
        """There is a CONNECT: is its client let in?"""
        ports = self._ports
        ports.said_connect(self)
        host, secure = self._transport.get_extra_info("peername"), self._transport.get_extra_info("ssl_object")
        request = SessionRequest(
            method="CONNECT",
            path=ports.endpoint.path,
            scheme="stomp" if secure is None else "stomps",
            host=asked.host or "",
            remote=host[0] if isinstance(host, tuple) else None,
            transport=CODEC.name,
            auth={"login": asked.login, "passcode": asked.passcode},
        )
        wire = Wire(CODEC, _as_it_is, KIND, PIECE)
        connection = OneSession(ports.gate, request, ports.endpoint, wire, self)
        opening = connection.connected()
        if opening is not None:
            await opening
        ports.opened(self)
        if self._patience is not None and not self._shut:
            self._patience.cancel()
            self._patience = None
        if self._lost or connection.carrier.finished:
            connection.lost()
            return
        self._connection = connection
        early, self._early = bytes(self._early), bytearray()
        for waits in self._pieces(connection, early):
            await waits

    def _take(self, connection: OneSession, data: bytes) -> None:
        """Gives the session what has come, as there is room."""
        pieces = self._pieces(connection, data)
        first = next(pieces, None)
        if first is not None:
            self._begin(_all(first, pieces))

    def _pieces(self, connection: OneSession, data: bytes) -> Iterator[Awaitable[None]]:
        """Gives it in pieces; where one has to wait for room, that is to be awaited before the next."""
        size = min(PIECE, self._ports.endpoint.config.max_size)
        for at in range(0, len(data), size):
            waits = connection.message(data[at : at + size])
            if waits is not None:
                yield waits

    # -- a carrier's Link ----------------------------------------------------------------------------------------------

    def write(self, buffers: Sequence[Part]) -> None:
        """Writes bytes. A connection that is gone swallows them."""
        if not self._shut and not self._lost:
            data = b"".join(part.encode() if isinstance(part, str) else part for part in buffers)
            if data:
                self._transport.write(data)

    def close(self, code: int, reason: str) -> None:
        """Ends the connection behind what was written. What comes meanwhile is read, or the peer might never see the
        last frame; one that does not close its end as well is cut off."""
        if self._shut:
            return
        self._shut, self.writable = True, False
        if self._lost:
            return
        if self._patience is not None:
            self._patience.cancel()
        self._patience = asyncio.get_running_loop().call_later(CLOSE_PATIENCE, self.abort)
        if self._transport.can_write_eof():
            with suppress(OSError, RuntimeError):  # it is gone
                self._transport.write_eof()
                self._transport.resume_reading()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Cuts the connection."""
        self._transport.abort()

    def _refuse(self, reason: str) -> None:
        """There will be no session."""
        self.write((CODEC.abrupt(0, "carrier", None, reason),))
        self.close(0, reason)

    def stop(self) -> None:
        """The port closes, and there is no session yet."""
        self._refuse("the server is going away")


async def _all(first: Awaitable[None], others: Iterator[Awaitable[None]]) -> None:
    await first
    for other in others:
        await other


class Listening:
    """One port, and who has come to it."""

    def __init__(self, gate: PlainGate, endpoint: Endpoint, port: Port) -> None:
        self.gate: PlainGate = gate
        self.endpoint: Endpoint = endpoint
        self.port: Port = port
        self._server: asyncio.Server | None = None
        self._links: set[TcpLink] = set()
        self._silent: dict[TcpLink, float] = {}  # since when; the first has been so for longest
        self._asking: set[TcpLink] = set()  # whose CONNECT has come, and the application is asked about it
        self._empty = asyncio.Event()

    async def start(self) -> None:
        """Listens. Raises OSError where that is not possible."""
        port = self.port
        self._server = await asyncio.get_running_loop().create_server(
            lambda: TcpLink(self),
            port.host,
            port.port,
            ssl=port.tls,
            backlog=BACKLOG,
            reuse_port=self._shared or None,
            ssl_handshake_timeout=None if port.tls is None else port.sizes.connect_timeout,
        )
        port.addresses[:] = [one.getsockname()[:2] for one in self._server.sockets]

    @property
    def _shared(self) -> bool:
        """Whether others may listen at the same port: the other workers of a cluster."""
        return self.gate.service.cluster is not None and hasattr(socket, "SO_REUSEPORT")

    def stop(self) -> None:
        """Takes nobody any more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.port.addresses.clear()
        for link in (*self._silent, *self._asking):
            link.stop()

    async def ended(self) -> None:
        """Waits a little until all connections are gone, and cuts off the others."""
        if self._links:
            with suppress(TimeoutError):
                async with Patience(CLOSE_PATIENCE):
                    await self._empty.wait()
        for link in tuple(self._links):
            link.abort()

    def came(self, link: TcpLink) -> bool:
        """A connection stands; whether it may stay."""
        now = asyncio.get_running_loop().time()
        if self._server is None or not self._has_room(now):
            return False
        self._links.add(link)
        self._empty.clear()
        self._silent[link] = now
        return True

    def _has_room(self, now: float) -> bool:
        """Whether one more may be without a session, or may be in place of another."""
        if len(self._silent) + len(self._asking) < MAX_UNOPENED:
            return True
        first, since = next(iter(self._silent.items()), (None, now))
        if first is None or now - since < GRACE:
            return False
        del self._silent[first]
        first.abort()
        return True

    def said_connect(self, link: TcpLink) -> None:
        """Its CONNECT has come."""
        self._silent.pop(link, None)
        self._asking.add(link)

    def opened(self, link: TcpLink) -> None:
        """It has a session, or was refused."""
        self._asking.discard(link)

    def left(self, link: TcpLink) -> None:
        """It is gone."""
        self._links.discard(link)
        if not self._links:
            self._empty.set()
        self._silent.pop(link, None)
        self._asking.discard(link)


class Ports:
    """The TCP ports of one server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._listening: list[Listening] = []
        service.on_shutdown.append(self._stop)

    async def start(self) -> None:
        """Opens them. Raises LocalProtocolError, which names the one that cannot be opened."""
        gate = PlainGate(self._service)
        for endpoint, port in self._service.ports:
            listening = Listening(gate, endpoint, port)
            try:
                await listening.start()
            except OSError as failed:
                self._stop()
                raise LocalProtocolError(
                    f"the TCP port {port.host}:{port.port} of the endpoint {endpoint.path!r} cannot be opened: {failed}"
                ) from failed
            self._listening.append(listening)

    def _stop(self) -> None:
        for listening in self._listening:
            listening.stop()

    async def ended(self) -> None:
        """Waits a little until all connections are gone."""
        listening, self._listening = self._listening, []
        await asyncio.gather(*(one.ended() for one in listening))
