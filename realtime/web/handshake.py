"""WebSocket handshakes: what is wrong with one, upgrading, and clients that leave before they are answered.

Knows no protocol and no session.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any, NamedTuple, Protocol, TypeVar

from aiohttp import HttpVersion11, WSMessage, WSMsgType, web

from ..gates.base import Gone
from ..loops import begin
from ..pace import Pace
from .links import is_gone

__all__ = [
    "AHEAD_MESSAGES",
    "AHEAD_SIZE",
    "Incoming",
    "Misfit",
    "Reading",
    "left_behind",
    "misfit",
    "still_there",
    "upgrade",
    "wants_websocket",
]

# What is named to whoever speaks another version (RFC 6455 §4.4). aiohttp takes 7 and 8 as well, which frame alike.
VERSIONS = ("13", "8", "7")
OFFERED = {"Sec-WebSocket-Version": "13"}
# So much is read ahead, while something else is waited for: what a client may send behind its open.
AHEAD_MESSAGES = 32
AHEAD_SIZE = 65_536
ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
# What the log says of a request whose client did not wait for the answer.
CLIENT_LEFT = 499

T = TypeVar("T")


class Misfit(NamedTuple):
    """Why a request cannot become a WebSocket."""

    reason: str
    headers: dict[str, str]  # of the answer that says so
    stripped: bool = False  # on its way something took out what makes it a handshake


def wants_websocket(request: web.Request) -> bool:
    """Whether this is a handshake, or was one before a proxy changed it."""
    return request.headers.get("Upgrade", "").lower() == "websocket" or "Sec-WebSocket-Key" in request.headers


def misfit(request: web.Request, ws: web.WebSocketResponse) -> Misfit | None:
    """What is wrong with a handshake (RFC 6455 §4.2.1); None if it can be upgraded."""
    if request.method != "GET":
        return Misfit("it is a GET", {})
    if request.version >= HttpVersion11:
        try:
            if ws.can_prepare(request).ok:
                return None
        except ValueError:
            pass  # aiohttp stumbles over a Sec-WebSocket-Key that is not ASCII
    return _misfit(request)


def _misfit(request: web.Request) -> Misfit:
    """What is wrong with a handshake that aiohttp does not take."""
    headers = request.headers
    keyed = "Sec-WebSocket-Key" in headers
    if request.version < HttpVersion11:  # which has no Upgrade (RFC 9110 §7.8)
        older = f"HTTP/{request.version.major}.{request.version.minor}"
        needs = "a WebSocket needs HTTP/1.1 (nginx: proxy_http_version 1.1)"
        return Misfit(f"{older} has no Upgrade; {needs}", {}, keyed)
    if headers.get("Upgrade", "").strip().lower() != "websocket":
        return Misfit("the Upgrade header is missing or wrong", {}, keyed)
    if "upgrade" not in headers.get("Connection", "").lower():
        return Misfit("the Connection header does not say Upgrade", {}, keyed)
    version = headers.get("Sec-WebSocket-Version")
    if version is None:
        return Misfit("Sec-WebSocket-Version is missing; 13 is spoken here", dict(OFFERED))
    if version not in VERSIONS:
        shown = version[:16].encode("ascii", "replace").decode()
        return Misfit(f"Sec-WebSocket-Version {shown!r} is not spoken here; 13 is", dict(OFFERED))
    if not _is_key(headers.get("Sec-WebSocket-Key", "")):
        return Misfit("Sec-WebSocket-Key is missing, or is not 16 bytes in base64", {})
    return Misfit("it cannot be read", {})


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text)) == 16
    except (binascii.Error, ValueError):
        return False


async def upgrade(request: web.Request, ws: web.WebSocketResponse) -> None:
    """Answers the handshake. Raises Gone when its client has left: `ws` is then of no use, to aiohttp neither."""
    try:
        await ws.prepare(request)
    except ConnectionError:
        raise Gone from None


def left_behind() -> web.Response:
    """The response for a request whose client is gone. aiohttp notices that the connection is closed."""
    return web.Response(status=CLIENT_LEFT, reason="Client Left")


class Reading(Protocol):
    """Whoever reads a WebSocket: only reading tells whether its client is still there."""

    @property
    def gone(self) -> bool:
        """Whether the client has closed, or its connection is cut; as far as was read."""

    def reading_ahead(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Reads while something else is awaited, and keeps a little of what comes."""


class Incoming:
    """The messages of a WebSocket, some of them read ahead while its client is made to wait for something else: whether
    it is still there only reading tells."""

    def __init__(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        self._request = request
        self._ws = ws
        self._pace = Pace(request.transport)
        self._ahead: deque[WSMessage] = deque()
        self._ended = False

    @property
    def gone(self) -> bool:
        """Whether the client has closed, or its connection is cut; as far as was read."""
        return self._ended or is_gone(self._request)

    async def receive(self) -> WSMessage:
        """The next message."""
        await self._pace.step()
        return self._ahead.popleft() if self._ahead else await self._ws.receive()

    @contextlib.asynccontextmanager
    async def reading_ahead(self) -> AsyncIterator[None]:
        """Reads while something else is awaited, and keeps a little of what comes."""
        task = begin(self._read_ahead(), "realtime reads ahead")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _read_ahead(self) -> None:
        size = 0
        while len(self._ahead) < AHEAD_MESSAGES and size < AHEAD_SIZE and not self._ended:
            message = await self._ws.receive()
            self._ahead.append(message)
            self._ended = message.type in ENDS
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                size += len(message.data)

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> WSMessage:
        message = await self.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            raise StopAsyncIteration
        return message


async def still_there(request: web.Request, reading: Reading | None, asking: Coroutine[Any, Any, T]) -> T:
    """What the application says, if the client has waited for it. Raises Gone, and what `asking` raises.

    What the hook of an application takes long for must not become a session of nobody's, with a handler and a place in
    the limits. `reading` is who reads the connection, where it is a WebSocket already.
    """
    if reading is None:
        result = await asking
        gone = is_gone(request)
    else:
        async with reading.reading_ahead():
            result = await asking
        gone = reading.gone
    if gone:
        raise Gone
    return result
