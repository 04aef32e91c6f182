"""A WebSocket that aiohttp goes on reading, as what has its connection where that can be taken over: its messages as
frames again, for a session of another worker. See threshold, and websocket.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WebSocketError, WSMessage, WSMsgType, web

from ..loops import begin
from ..transports.websocket import FIN_BINARY, FIN_CLOSE, FIN_PING, FIN_TEXT, frame_header
from .handshake import Incoming
from .links import HIGH_WATER, NO_CODE, close_frame, pong_frame

__all__ = ["Reframed", "framed", "masked"]

# What fails at its other end as what came has failed here (RFC 6455 §7.4.1): not UTF-8; too large; no frame.
BROKEN = {
    1007: b"\x81\x81\0\0\0\0\xff",
    1009: b"\x81\xff" + (2**62).to_bytes(8, "big") + b"\0\0\0\0",
}
NO_FRAME = b"\xff\x80\0\0\0\0"


def framed(message: WSMessage) -> bytes:
    """A message as a client's frame, or what ends its connection in the same way."""
    data: Any = message.data
    if message.type is WSMsgType.TEXT:
        return masked(FIN_TEXT, data.encode("utf-8", "surrogatepass"))
    if message.type is WSMsgType.BINARY:
        return masked(FIN_BINARY, data)
    if message.type is WSMsgType.PING:
        return masked(FIN_PING, data)
    if message.type is WSMsgType.PONG:
        return _mask(pong_frame(data))
    if message.type is WSMsgType.CLOSE:
        if data in (None, 0, NO_CODE):
            return masked(FIN_CLOSE, b"")
        return _mask(close_frame(data, message.extra or ""))
    return BROKEN.get(data.code, NO_FRAME) if isinstance(data, WebSocketError) else b""


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame. `first` is the FIN bit and the opcode."""
    return _mask(frame_header(first, len(payload)) + payload)


def _mask(frame: bytes) -> bytes:
    """A frame with a mask of zeros, since clients have to have one."""
    size = frame[1]
    end = 2 + (2 if size == 126 else 8 if size == 127 else 0)
    return bytes((frame[0], size | 0x80)) + frame[2:end] + b"\0\0\0\0" + frame[end:]


class Reframed:
    """The transport of a Tunnel (cluster.tunnel) over a WebSocket that aiohttp reads, for as long as run() lasts."""

    def __init__(self, request: web.Request, incoming: Incoming) -> None:
        self._request = request
        self._incoming = incoming
        self._protocol: asyncio.Protocol
        self._reading = asyncio.Event()
        self._reading.set()
        self._over = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Passes on what comes, until the connection ends."""
        try:
            while not self._over.is_set():
                await self._reading.wait()
                message = await self._incoming.receive()
                if message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED):
                    break
                self._protocol.data_received(framed(message))
                if message.type in (WSMsgType.CLOSE, WSMsgType.ERROR):
                    await self._over.wait()
        finally:
            if self._draining is not None:
                self._draining.cancel()
            self._protocol.connection_lost(None)

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        """Who is told what comes."""
        self._protocol = protocol

    def set_write_buffer_limits(self, high: int) -> None:
        """They are as they are."""

    def write(self, data: bytes) -> None:
        """Frames of the other worker's."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > HIGH_WATER and self._draining is None:
            self._protocol.pause_writing()
            self._draining = begin(self._drain(), "realtime drains")

    async def _drain(self) -> None:
        try:
            await self._request.writer.drain()
        except ConnectionError:
            return
        self._draining = None
        self._protocol.resume_writing()

    def pause_reading(self) -> None:
        """Nothing more is taken."""
        self._reading.clear()

    def resume_reading(self) -> None:
        """It is."""
        self._reading.set()

    def is_reading(self) -> bool:
        """Whether it is."""
        return self._reading.is_set()

    def is_closing(self) -> bool:
        """Whether the connection has ended, or is about to."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def close(self) -> None:
        """Ends it behind what was written."""
        self._end()
        if self._request.transport is not None:
            self._request.transport.close()

    def abort(self) -> None:
        """Cuts it."""
        self._end()
        if self._request.transport is not None:
            self._request.transport.abort()

    def _end(self) -> None:
        self._over.set()
        self._reading.set()
