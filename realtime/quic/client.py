"""A client's WebTransport session: one QUIC connection, one CONNECT, one stream that carries bytes both ways.

Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import AlertDescription
from cryptography.hazmat.primitives.serialization import Encoding

from .congestion import ALGORITHM
from .connection import Connection
from .failures import NoSession, Progress, Why
from .peer import Address, Peer

__all__ = ["Channel", "open_channel"]

# What the server may send beyond what was taken, in bytes: on the stream, and on all of the connection together.
STREAM_WINDOW = 1_048_576
WINDOW = 1_572_864
# So many bytes may be on their way, or wait to be sent.
HIGH_WATER = 262_144
# A chunk is given in pieces of so many bytes at most.
PIECE = 4096
IDLE_TIMEOUT = 60.0
# So many seconds after one address of a host the next is tried as well: UDP may get through to one of them alone
# (RFC 8305 §5).
NEXT_ADDRESS = 0.25
# What says something of a connection of HTTP/1.1, and must not be said here (RFC 9114 §4.2); the host is in the URL.
OF_A_CONNECTION = frozenset(
    ("connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade")
)
# SETTINGS_WEBTRANSPORT_ENABLED, or how many sessions there may be, by the drafts (see http3).
ENABLES = (0x2B603742, 0xC671706A, 0x14E9CD29)
# What a handshake may end with that is about the certificate: the alerts of TLS (RFC 8446 §6.2, RFC 9001 §4.8).
CERTIFICATE = frozenset(
    QuicErrorCode.CRYPTO_ERROR + alert
    for alert in (
        AlertDescription.bad_certificate,
        AlertDescription.unsupported_certificate,
        AlertDescription.certificate_revoked,
        AlertDescription.certificate_expired,
        AlertDescription.certificate_unknown,
        AlertDescription.unknown_ca,
    )
)


class Channel(Peer):
    """The session and its stream. Made by open_channel()."""

    def __init__(
        self,
        quic: Connection,
        send: Callable[[bytes, Address], None],
        headers: list[tuple[bytes, bytes]],
        digest: bytes,
        progress: Progress,
    ) -> None:
        super().__init__(quic, send)
        self._headers = headers
        self._digest = digest
        self._progress = progress
        self._session: int | None = None
        self._stream: int | None = None
        self._early = bytearray()
        self._chunks: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self._failure: Exception | None = None
        self.answered: asyncio.Future[None] = self._loop.create_future()
        self.writable_again: Callable[[], None] | None = None

    # -- what is written ---------------------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether little waits to be sent, and the server takes it."""
        return not self.is_over and self._stream is not None and self.quic.waiting(self._stream) <= HIGH_WATER

    def write(self, data: bytes) -> None:
        """Writes bytes; before there is a stream they wait for it. A channel that is gone swallows them."""
        if self._stream is None:
            self._early += data
        elif not self.is_over and self.quic.may_write(self._stream):
            self.quic.send_stream_data(self._stream, data)
            self.transmit_soon()

    def end(self) -> None:
        """Ends the stream behind what was written."""
        if not self.is_over and self._stream is not None and self.quic.may_write(self._stream):
            self.quic.send_stream_data(self._stream, b"", end_stream=True)
            self.transmit_soon()

    async def finish(self, seconds: float) -> None:
        """Ends the stream, and waits until the server has ended its side, but no longer than that; then all is over."""
        self.end()
        if not self._at_end:
            try:
                async with asyncio.timeout(seconds):
                    while not self._at_end:
                        self._news.clear()
                        await self._news.wait()
            except TimeoutError:
                pass
        self.close()

    @property
    def _at_end(self) -> bool:
        return self.is_over or self._ended

    # -- what is read ------------------------------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        """The next bytes, a few thousand at most; None when the server says no more, or is gone."""
        while not self._chunks:
            if self._at_end:
                return None
            self._news.clear()
            await self._news.wait()
        await asyncio.sleep(0)  # others have their turn, however much has come already
        if not self._chunks:
            return None
        data = self._chunks.popleft()
        if len(data) > PIECE:
            self._chunks.appendleft(data[PIECE:])
            data = data[:PIECE]
        self.quic.unread -= len(data)
        self.transmit_soon()
        return data

    # -- what the connection tells -----------------------------------------------------------------------------------

    def received(self, data: bytes, address: Address) -> None:
        """A datagram has come."""
        self._progress.heard = True
        if not self.is_over and self.quic.is_reset(data):
            self._fail(NoSession("ended", "the server has forgotten the connection"))
        else:
            super().received(data, address)

    def _event(self, event: Any) -> None:
        """aioquic takes what comes on a stream of a client's own for HTTP/3, so it is not asked about ours."""
        if isinstance(event, StreamDataReceived) and event.stream_id == self._stream:
            self._take(event.data, event.end_stream)
            return
        super()._event(event)

    def connected(self) -> None:
        """The handshake is done: is it the server that was meant?"""
        self._progress.secure = True
        if self._digest:
            certificate = self.quic.tls._peer_certificate
            assert certificate is not None
            if hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest() != self._digest:
                self._fail(NoSession("certificate", "the certificate is not the one whose hash was announced"))

    def turned(self) -> None:
        """Something has come."""
        settings = None if self.http is None else self.http.received_settings
        if settings is not None and self._session is None and not self.is_over:
            self._connect(settings)
        if self.writable_again is not None and self.writable:
            self.writable_again()
        self._news.set()

    def _connect(self, settings: dict[int, int]) -> None:
        """Asks for the session, and opens its stream at once: the server keeps what overtakes the CONNECT."""
        assert self.http is not None
        if not any(settings.get(name) for name in ENABLES):
            self._fail(NoSession("protocol", "the server speaks HTTP/3 and no WebTransport"))
            return
        self._session = self.quic.get_next_available_stream_id()
        self.http.send_headers(self._session, self._headers)
        self._stream = self.http.create_webtransport_stream(self._session)
        early, self._early = bytes(self._early), bytearray()
        self.write(early)

    def headers(self, stream_id: int, headers: list[tuple[bytes, bytes]], ended: bool) -> None:
        """The answer to the CONNECT."""
        if stream_id != self._session or self.answered.done():
            return
        status = dict(headers).get(b":status", b"").decode("latin-1")
        if status[:1] == "2":
            self.answered.set_result(None)
        else:
            said = f"the WebTransport session was answered with HTTP {status[:3]}"
            self._fail(NoSession("status", said, int(status[:3]) if status[:3].isdecimal() else None))

    def _take(self, data: bytes, ended: bool) -> None:
        """Bytes of the stream."""
        if data and not self.is_over:
            self.quic.unread += len(data)
            self._chunks.append(data)
        self._ended = self._ended or ended

    def ended(self, stream_id: int) -> None:
        """The server has ended the session, or broken off the stream."""
        if stream_id in (self._session, self._stream):
            self._ended = True

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self.close(reason=str(error))

    def broken(self, error: Exception) -> None:
        """What the server has said made this raise."""
        self._failure = self._failure or NoSession("protocol", f"what the server says cannot be read: {error!r}")
        super().broken(error)

    def failed(self, error: Exception) -> None:
        """The socket says that nobody is there (any more)."""
        self._fail(error)

    def lost(self, reason: str) -> None:
        """The connection has ended."""
        self._news.set()
        if not self.answered.done():
            error = self._failure or NoSession(self._why(), f"no QUIC connection: {reason or 'cut off'}")
            self.answered.set_exception(error)
            self.answered.exception()  # somebody may have given up waiting

    def _why(self) -> Why:
        """What has ended a connection before there was a session."""
        ends = self.quic.close_event
        if ends is not None and ends.error_code in CERTIFICATE:
            return "certificate"
        # No version in common, or nothing that is spoken over it, is told before the handshake is done.
        return "ended" if self._progress.secure or not self._progress.heard else "protocol"


class _Socket(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.full = False  # more waits to be sent than the socket takes

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    def datagram_received(self, data: bytes, address: Address) -> None:
        if self.channel is not None:
            self.channel.received(data, address)

    def error_received(self, error: Exception) -> None:
        if self.channel is not None:
            self.channel.failed(error)


class _Owning(Channel):
    """A Channel that has its socket to itself."""

    transport: asyncio.DatagramTransport

    def lost(self, reason: str) -> None:
        super().lost(reason)
        self._loop.call_soon(self._release)

    def _release(self) -> None:
        self.drop()
        self.transport.close()


async def open_channel(
    host: str,
    port: int,
    path: str,
    headers: Sequence[tuple[str, str]],
    digest: bytes = b"",
    progress: Progress | None = None,
) -> Channel:
    """A session at `path` of a server, with a stream that is open. `digest` is the SHA-256 of the only certificate that
    is taken; without one it has to be good for `host`. Of several addresses the one is taken that answers first. Raises
    OSError where there is none, NoSession where something has answered; until then `progress` tells how far it has
    come."""
    loop = asyncio.get_running_loop()
    failure: Exception = ConnectionError(f"{host} has no address")
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = [
        (b":method", b"CONNECT"),
        (b":protocol", b"webtransport"),
        (b":scheme", b"https"),
        (b":authority", authority.encode()),
        (b":path", path.encode()),
        (b"sec-webtransport-http3-draft02", b"1"),
        *(
            (name.lower().encode(), value.strip().encode("utf-8", "surrogateescape"))
            for name, value in headers
            if name.lower() not in OF_A_CONNECTION
        ),
    ]
    try:
        addresses = deque(await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM))
    except UnicodeError as wrong:  # a label that is too long, for instance
        raise ConnectionError(f"{host!r} is no name of a host: {wrong}") from None
    running: set[asyncio.Task[Channel]] = set()
    try:
        while addresses or running:
            if addresses:
                family, _, _, _, address = addresses.popleft()
                running.add(loop.create_task(_reach(family, address, host, head, digest, progress)))
            patience = NEXT_ADDRESS if addresses else None
            done, _ = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, OSError):
                    raise error
                failure = failure if isinstance(failure, NoSession) else error
    finally:
        for task in running:
            task.add_done_callback(_left_over)
            task.cancel()
    raise failure


def _left_over(task: asyncio.Task[Channel]) -> None:
    """Another address was sooner, or nobody waits any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _reach(
    family: int, address: Any, host: str, head: list[tuple[bytes, bytes]], digest: bytes, progress: Progress | None
) -> Channel:
    """A session at one address."""
    channel = await _begin(family, address, host, head, digest, progress)
    try:
        await channel.answered
    except BaseException:
        channel.close()
        raise
    return channel


async def _begin(
    family: int,
    address: Any,
    host: str,
    head: list[tuple[bytes, bytes]],
    digest: bytes,
    progress: Progress | None = None,
) -> Channel:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Socket, remote_addr=address[:2], family=family)
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=["h3"],
        congestion_control_algorithm=ALGORITHM,
        idle_timeout=IDLE_TIMEOUT,
        max_data=WINDOW,
        max_stream_data=STREAM_WINDOW,
        max_datagram_frame_size=65_536,
        server_name=host,
        verify_mode=ssl.CERT_NONE if digest else ssl.CERT_REQUIRED,
    )

    def send(data: bytes, _: Address) -> None:
        if not protocol.full:
            transport.sendto(data)

    try:
        channel = _Owning(Connection(configuration=configuration), send, head, digest, progress or Progress())
        channel.transport = transport
        protocol.channel = channel
        channel.quic.connect(address, now=loop.time())
        channel.transmit()
    except BaseException:
        transport.close()
        raise
    return channel
