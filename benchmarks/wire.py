"""The generator's wires: a WebSocket client (RFC 6455), a keep-alive HTTP/1.1 client, and one whose answer
streams, no more than a load needs.

They call back synchronously from data_received. Knows nothing of sessions.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from struct import Struct
from typing import cast

__all__ = [
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "HttpConnection",
    "Incoming",
    "StreamConnection",
    "WebSocketConnection",
    "chunk",
    "client_frame",
    "handshake",
    "heard",
    "http_request",
    "server_frame",
]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

_two = Struct("!H")
_eight = Struct("!Q")

# A mask of zeros leaves the payload as it is and costs a server the same work as any other.
MASK = bytes(4)


def _frame(payload: bytes, opcode: int, masked: int, mask: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, masked | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, masked | 126)) + _two.pack(size)
    else:
        head = bytes((0x80 | opcode, masked | 127)) + _eight.pack(size)
    return head + mask + payload


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A whole masked frame, as a client sends it (RFC 6455 §5.2)."""
    return _frame(payload, opcode, 0x80, MASK)


def server_frame(payload: bytes) -> bytes:
    """A whole unmasked text frame, as a server sends it."""
    return _frame(payload, TEXT, 0, b"")


def chunk(data: bytes) -> bytes:
    """A chunk of a body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def handshake(path: str, port: int) -> bytes:
    """The request that opens a WebSocket (RFC 6455 §4.1), with a key that is nobody's secret."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


async def heard(connection: socket.socket, what: bytes) -> None:
    """Reads until this has come. Raises ConnectionError at the end."""
    got = b""
    while what not in got:
        more = await asyncio.get_running_loop().sock_recv(connection, 4096)
        if not more:
            raise ConnectionError(f"the server ended the connection: {got!r}")
        got += more


def http_request(method: str, path: str, port: int) -> Callable[[bytes], bytes]:
    """Makes the requests of one kind from their bodies, with no more headers than they need."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode()
    if method == "GET":
        return lambda body: head + b"\r\n"
    head += b"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: "
    return lambda body: b"%b%d\r\n\r\n%b" % (head, len(body), body)


class Connection(asyncio.Protocol):
    """What both have in common: one TCP connection, whose end is always reported as a failure."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self.write: Callable[[bytes], None] = self._too_early  # the transport's own, once there is one
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _too_early(self, data: bytes) -> None:
        raise ConnectionError("not connected yet")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol: connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self.write = self._transport.write

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio.Protocol: the connection has ended."""
        if not self.closed.done():
            self.closed.set_result(None)
        self._failed(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol: bytes have come."""
        try:
            self._receive(data)
        except Exception as error:
            self._failed(error)

    def _receive(self, data: bytes) -> None:
        raise NotImplementedError

    async def connect(self, port: int) -> None:
        """Connects to a server on this machine. Raises OSError."""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)

    async def abort(self) -> None:
        """Cuts the connection and waits until it is gone."""
        if self._transport is not None:
            self._transport.abort()
            await self.closed


class Incoming(Connection, ABC):
    """A connection with one request, behind whose answer's head comes what is mostly known beforehand.

    `expected` is the cycle of whole frames to come and `index` the place of the next; those are compared as they lie in
    the buffer and counted by `delivered(n)`. Every other frame is parsed and goes to `other(opcode, payload)`.
    """

    STATUS: bytes  # of the answer

    def __init__(
        self,
        request: bytes,
        expected: list[bytes],
        index: int,
        *,
        opened: Callable[[], None],
        delivered: Callable[[int], None],
        other: Callable[[int, bytes], None],
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__(failed)
        self._request = request
        self._expected = expected
        self.index = index
        self._answered = False
        self._opened = opened
        self._delivered = delivered
        self._other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.Protocol: connected. Sends the request."""
        super().connection_made(transport)
        self.write(self._request)

    def _receive(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        position = 0
        if not self._answered:
            position = data.find(b"\r\n\r\n") + 4
            if position < 4:
                self._rest = data
                return
            if not data.startswith(b"HTTP/1.1 %b " % self.STATUS):
                raise ConnectionError(f"the request was refused: {data[:200]!r}")
            self._answered = True
            self._opened()
        expected, index, count, end = self._expected, self.index, 0, len(data)
        while position < end:
            frame = expected[index]
            if data.startswith(frame, position):
                position += len(frame)
                index += 1
                if index == len(expected):
                    index = 0
                count += 1
                continue
            start, stop, next_one = self._payload(data, position)
            if next_one > end:
                break
            self.index = index
            self._other(data[position] & 15, data[start:stop])
            index = self.index
            position = next_one
        self._rest = data[position:]
        self.index = index
        if count:
            self._delivered(count)

    def passed(self) -> None:
        """The next message has come, in a frame that `other` was given."""
        self.index = (self.index + 1) % len(self._expected)

    @staticmethod
    @abstractmethod
    def _payload(data: bytes, position: int) -> tuple[int, int, int]:
        """Where the payload of the frame at `position` starts and stops, and where the next frame does; past the end
        while that is unknown."""


class WebSocketConnection(Incoming):
    """A WebSocket whose incoming text is mostly known beforehand."""

    STATUS = b"101"

    @staticmethod
    def _payload(data: bytes, position: int) -> tuple[int, int, int]:
        if len(data) < position + 2:
            return len(data), len(data), len(data) + 1
        size = data[position + 1]
        if size < 126:
            start = position + 2
        elif size == 126:
            start = position + 4
            size = int.from_bytes(data[position + 2 : start])
        else:
            start = position + 10
            size = int.from_bytes(data[position + 2 : start])
        stop = start + size if start <= len(data) else len(data) + 1
        return start, stop, stop


class StreamConnection(Incoming):
    """An answer without an end, chunk after chunk: chunks take the place of frames. They have no opcodes."""

    STATUS = b"200"

    @staticmethod
    def _payload(data: bytes, position: int) -> tuple[int, int, int]:
        start = data.find(b"\r\n", position) + 2
        if start < 2:
            return len(data), len(data), len(data) + 1
        stop = start + int(data[position : start - 2], 16)
        return start, stop, stop + 2


class HttpConnection(Connection):
    """Requests one after the other on one connection; `answered(status, body)` for each."""

    def __init__(self, *, answered: Callable[[int, bytes], None], failed: Callable[[Exception], None]) -> None:
        super().__init__(failed)
        self._answered = answered

    def _receive(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._rest = data
            return
        head = data[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        size = int(head[at + 17 : head.index(b"\r\n", at + 2)]) if at >= 0 else 0
        if len(data) < end + size:
            self._rest = data
            return
        if len(data) > end + size:
            raise ConnectionError(f"more than one answer has come: {data[end + size :][:200]!r}")
        self._answered(int(head[9:12]), data[end:])
