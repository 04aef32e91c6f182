"""Carriers over aiohttp: the Links of a WebSocket and of a poll's answer. Those of one long response are in streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from aiohttp import WSMessage, WSMsgType, web

from ..clock import Patience, Timer, call_later
from ..core.carrier import Part
from ..core.errors import clip
from ..loops import begin
from ..transports.websocket import FIN_CLOSE, FIN_PONG, frame_header

__all__ = [
    "CONTROL",
    "NO_CODE",
    "HeldLink",
    "NoLink",
    "PollLink",
    "WebSocketLink",
    "close_frame",
    "is_gone",
    "keep_reading",
    "pong_frame",
]

# Above this many bytes in the transport's buffer nothing more is written until it has drained.
HIGH_WATER = 65_536
# RFC 6455 §5.5: what a WebSocket says besides messages and its end.
CONTROL = (WSMsgType.PING, WSMsgType.PONG)
# The peer closed without naming a code (RFC 6455 §7.1.5).
NO_CODE = 1005
# How long a peer may take for its half of the closing handshake, in seconds.
CLOSE_PATIENCE = 2.0


class WebSocketLink:
    """Writes finished WebSocket frames straight to the connection of a prepared WebSocketResponse.

    aiohttp's own writer frames each message anew for each receiver; these are framed once for all. Compression must be
    off. The closing handshake is done here, because what a carrier brings still counts while it is being closed, and
    aiohttp's own discards it: make the response with autoclose=False. Pings are for whoever reads to count, before he
    has them answered: make it with autoping=False.
    """

    def __init__(self, request: web.Request, ws: web.WebSocketResponse, writable_again: Callable[[], None]) -> None:
        self._request = request
        self._ws = ws
        self._writable_again = writable_again
        self.writable: bool = True  # unless the connection has more than 64 KiB to send, or is closing
        self._closing = False
        self._patience: Timer | None = None
        self._draining: asyncio.Task[None] | None = None

    @property
    def transport(self) -> asyncio.Transport | None:
        """asyncio's end of the connection, while there is one."""
        return self._request.transport

    def write(self, buffers: Sequence[Part]) -> None:
        """Writes WebSocket frames. A dead connection swallows them; the reading side reports it."""
        transport = self._request.transport
        if transport is None or self._closing or transport.is_closing():
            return
        for buffer in buffers:
            assert isinstance(buffer, bytes)
            transport.write(buffer)
        if transport.get_write_buffer_size() > HIGH_WATER and self.writable:
            self.writable = False
            self._draining = begin(self._drain(), "realtime drains")

    async def _drain(self) -> None:
        try:
            await self._request.writer.drain()
        except ConnectionError:
            return  # the reading side reports the loss
        self.writable = not self._closing
        self._writable_again()

    def answer(self, message: WSMessage) -> None:
        """Answers a ping (RFC 6455 §5.5.3), but not to a peer that does not read; nothing to any other message."""
        if message.type is WSMsgType.PING and self.writable:
            self.write([pong_frame(message.data)])

    def listen(self) -> None:
        """Goes on reading while the application shuts down: acknowledgements, and the closing handshake."""
        keep_reading(self._request.protocol)

    def close(self, code: int, reason: str) -> None:
        """Starts the closing handshake (RFC 6455 §7.1.2); a peer that does not take part is cut off."""
        if self._closing:
            return
        self.write([close_frame(code, reason)])
        self._closing = True
        self.writable = False
        self._patience = call_later(CLOSE_PATIENCE, self.abort)

    def abort(self) -> None:
        """Cuts the connection."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    async def finished(self) -> None:
        """Reading has ended: ends what is left over. A peer that closed first is answered."""
        if self._draining is not None:
            self._draining.cancel()
        if self._patience is not None:
            self._patience.cancel()
        transport = self._request.transport
        if self._closing:
            if transport is not None:
                transport.close()
            return
        try:
            async with Patience(CLOSE_PATIENCE):
                await self._ws.close()
        except (TimeoutError, ConnectionError):
            self.abort()


def close_frame(code: int, reason: str) -> bytes:
    """A close frame. Some codes may not be in one (RFC 6455 §7.4), and a peer may name any: these become 1000."""
    sendable = code if code < 1004 or 1006 < code < 1015 or code >= 3000 else 1000
    payload = sendable.to_bytes(2, "big") + clip(reason).encode()
    return frame_header(FIN_CLOSE, len(payload)) + payload


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping (RFC 6455 §5.5.3)."""
    return frame_header(FIN_PONG, len(payload)) + payload


def keep_reading(protocol: object) -> None:
    """Has a connection on which a request is under way go on while the application shuts down: from just before
    on_shutdown aiohttp discards what comes on any, and ends each with the answer that is under way."""
    with suppress(AttributeError):
        protocol._close = False  # type: ignore[attr-defined] # of a RequestHandler


def is_gone(request: web.Request) -> bool:
    """Whether the connection under a request has closed."""
    transport = request.transport
    return transport is None or transport.is_closing()


class PollLink:
    """The answer to one poll: one write, then the end."""

    writable = True

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._body = b""

    @property
    def transport(self) -> asyncio.Transport | None:
        """asyncio's end of the connection, while there is one."""
        return self._request.transport

    @property
    def gone(self) -> bool:
        """Whether the connection has closed."""
        return is_gone(self._request)

    def write(self, buffers: Sequence[Part]) -> None:
        """Takes the body."""
        self._body = b"".join(buffers)  # type: ignore[arg-type] # batches are bytes

    def close(self, code: int, reason: str) -> None:
        """Lets the answer go."""
        if not self.answer.done():
            self.answer.set_result(self._body)

    def abort(self) -> None:
        """Ends the poll with an empty answer; the client notices silence by itself."""
        self.close(4408, "")


class NoLink:
    """The link of what is only read, such as a send: its answer is another's to write."""

    writable = True

    def write(self, buffers: Sequence[Part]) -> None:
        """Nothing is written on it."""

    def close(self, code: int, reason: str) -> None:
        """There is nothing to end."""

    def abort(self) -> None:
        """There is nothing to cut."""


class HeldLink(PollLink):
    """The answer to a poll where a write counts as an arrival: it is not writable once the client has gone."""

    @property
    def writable(self) -> bool:  # type: ignore[override] # which PollLink always is
        """False once the connection has closed."""
        return not self.gone
