"""Sessions with the bare aiohttp contender: a WebSocket of plain messages, plain long polls, or a stream. Nothing is
numbered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from .load import Failed, Peer, Tally
from .messages import Messages
from .wire import (
    CLOSE,
    TEXT,
    HttpConnection,
    Incoming,
    StreamConnection,
    WebSocketConnection,
    chunk,
    client_frame,
    handshake,
    http_request,
    server_frame,
)

__all__ = ["BareLongPolling", "BareStreaming", "BareWebSocket", "BasePeer"]

_ids = count()


def _line(text: bytes) -> bytes:
    return chunk(text + b"\n")


class BasePeer:
    """What all sessions share: where they are in the cycle of messages, and that a failure is heard."""

    def __init__(self, tally: Tally, messages: Messages, first: int) -> None:
        self.sent = 0
        self.received = 0
        self.delivered: Callable[[Peer, int], None] = self._unasked  # a load puts its own here
        self._tally = tally
        self._messages = messages
        # Sessions begin at different places of the cycle, so that nobody's message passes for another's.
        self._first = first % messages.count
        self._leaving = False
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _unasked(self, peer: Peer, count: int) -> None:
        self._failed(Failed(f"{count} messages came unasked"))

    def _failed(self, error: Exception) -> None:
        if self._leaving:
            return
        self._tally.fail(error)
        if not self._opened.done():
            self._opened.set_exception(error)

    async def open(self, *, speaks: bool = True) -> None:
        """See load.Peer."""
        raise NotImplementedError

    def post(self, count: int) -> None:
        """See load.Peer."""
        raise NotImplementedError

    async def leave(self) -> None:
        """See load.Peer."""
        raise NotImplementedError

    async def abort(self) -> None:
        """See load.Peer."""
        raise NotImplementedError

    def _welcome(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _take(self, count: int) -> None:
        self.received += count
        self.delivered(self, count)

    def _next(self, laid: list[bytes], count: int) -> list[bytes]:
        """The next `count` to send, which count as sent from here."""
        start = (self._first + self.sent) % len(laid)
        self.sent += count
        items = laid[start : start + count]
        return items if len(items) == count else items + laid[: count - len(items)]


class OneConnection(BasePeer):
    """A session that is one connection."""

    _port: int
    _connection: Incoming

    async def open(self, *, speaks: bool = True) -> None:
        """See load.Peer."""
        await self._connection.connect(self._port)
        await self._opened

    async def abort(self) -> None:
        """See load.Peer."""
        self._leaving = True
        await self._connection.abort()


class BareWebSocket(OneConnection):
    """Text messages on a WebSocket."""

    def __init__(self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0) -> None:
        super().__init__(tally, messages, first)
        self._port = port
        self._frames = messages.laid(client_frame)
        self._connection = WebSocketConnection(
            handshake(f"/{name}", port),
            messages.laid(server_frame),
            self._first,
            opened=self._welcome,
            delivered=self._take,
            other=self._other,
            failed=self._failed,
        )

    def post(self, count: int) -> None:
        """See load.Peer."""
        self._connection.write(b"".join(self._next(self._frames, count)))

    def _other(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            raise Failed(f"message {self.received + 1} of a session is not the one expected: {payload[:80]!r}")
        if opcode != CLOSE or not self._leaving:
            raise Failed(f"a frame of opcode {opcode} came: {payload[:80]!r}")

    async def leave(self) -> None:
        """See load.Peer."""
        self._leaving = True
        self._connection.write(client_frame(b"\x03\xe8", CLOSE))
        await self._connection.closed


class BareLongPolling(BasePeer):
    """A poll that is always parked, and a POST for each message; one connection for each of the two."""

    def __init__(self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0) -> None:
        super().__init__(tally, messages, first)
        ident = f"{name}{next(_ids)}"
        self._port = port
        self._enter = http_request("POST", f"/enter/{ident}", port)
        self._poll = http_request("GET", f"/poll/{ident}", port)(b"")
        self._sends = messages.laid(bytes)
        self._send = http_request("POST", f"/send/{ident}", port)
        self._polls = HttpConnection(answered=self._polled, failed=self._failed)
        self._uplink: HttpConnection | None = None
        self._sending = False
        self._waiting = 0  # messages to send, while another send is under way

    async def open(self, *, speaks: bool = True) -> None:
        """See load.Peer."""
        await self._polls.connect(self._port)
        self._polls.write(self._enter(b""))
        await self._opened
        if speaks:
            self._uplink = HttpConnection(answered=self._answered, failed=self._failed)
            await self._uplink.connect(self._port)

    def _polled(self, status: int, body: bytes) -> None:
        self._check(status, body)
        self._polls.write(self._poll)
        if not self._opened.done():
            self._welcome()
            return
        texts = self._messages.texts
        if body != texts[(self._first + self.received) % len(texts)]:
            raise Failed(f"message {self.received + 1} of a session is not the one expected: {body[:80]!r}")
        self._take(1)

    def post(self, count: int) -> None:
        """See load.Peer."""
        self._waiting += count
        self._go_on()

    def _answered(self, status: int, body: bytes) -> None:
        self._check(status, body)
        self._sending = False
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and not self._sending:
            assert self._uplink is not None
            self._waiting -= 1
            self._sending = True
            self._uplink.write(self._send(self._next(self._sends, 1)[0]))

    @staticmethod
    def _check(status: int, body: bytes) -> None:
        if status != 200:
            raise Failed(f"a request was answered {status}: {body[:200]!r}")

    async def leave(self) -> None:
        """See load.Peer. There is nothing to say: the connections end."""
        await self.abort()

    async def abort(self) -> None:
        """See load.Peer."""
        self._leaving = True
        await self._polls.abort()
        if self._uplink is not None:
            await self._uplink.abort()


class BareStreaming(OneConnection):
    """An answer without an end, with a line a message, each in a chunk of its own."""

    def __init__(self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0) -> None:
        super().__init__(tally, messages, first)
        self._port = port
        self._connection = StreamConnection(
            http_request("GET", "/stream", port)(b""),
            messages.laid(_line),
            self._first,
            opened=self._welcome,
            delivered=self._take,
            other=self._other,
            failed=self._failed,
        )

    def _other(self, opcode: int, payload: bytes) -> None:
        raise Failed(f"message {self.received + 1} of a stream is not the one expected: {payload[:80]!r}")

    async def leave(self) -> None:
        """See load.Peer. There is nothing to say: the connection ends."""
        await self.abort()
