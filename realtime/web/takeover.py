"""Taking the connection of a WebSocket over from aiohttp, once its handshake is answered: what that asks of aiohttp,
and whether aiohttp is as it was known to be. What then serves the connection is lean.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, NamedTuple

from aiohttp import WSMsgType, web
from aiohttp.http import WebSocketReader
from aiohttp.web_protocol import RequestHandler

from ..core.carrier import Link
from ..gates.base import Connection, Gone
from .handshake import Reading
from .lean import Keeper, LeanLink
from .links import HIGH_WATER
from .parsing import WebSocketDataQueue
from .threshold import Carry, Opening, Threshold

__all__ = ["Detached", "LeanResponse", "detach", "shake_hands", "take_over", "unfit"]

MIDDLEWARES = attrgetter("middlewares")
# What is asked of aiohttp's protocol object, beside what is public.
HANDED_OVER = (
    "_message_tail",
    "_force_close",
    "_manager",
    "_parser",
    "_reading_paused",
    "_buffer_paused",
    "_task_handler",
)


class LeanResponse(web.WebSocketResponse):
    """The answer to a handshake behind which aiohttp reads nothing: what comes waits for whoever takes over. It is
    written together with what the Connection says at once."""

    _send_headers_immediately = False

    def __init__(self, max_size: int, subprotocols: Sequence[str]) -> None:
        super().__init__(compress=False, protocols=subprotocols)
        self.max_size = max_size
        self._answered: tuple[Any, ...] | None = None

    def _handshake(self, request: web.BaseRequest) -> Any:
        """What the handshake is answered. aiohttp asks twice: whether it can be, and to do so."""
        if self._answered is None:
            self._answered = super()._handshake(request)
        return self._answered

    def _post_start(self, request: web.BaseRequest, protocol: str | None, writer: Any) -> None:
        self._ws_protocol = protocol
        self._writer = writer
        request.protocol.keep_alive(False)

    def release(self) -> None:
        """For aiohttp the response has ended."""
        self._closed = self._eof_sent = True


class Detached(NamedTuple):
    """A connection that aiohttp serves no more."""

    transport: asyncio.Transport
    early: bytes  # what it has brought behind the handshake
    paused: bool  # it is not read
    kept: bool  # the request lasts as long as the connection, since there are middlewares


def detach(request: web.Request, ws: LeanResponse) -> Detached:
    """Takes the connection of an answered handshake from aiohttp. Raises Gone when there is none any more."""
    protocol = request.protocol
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise Gone
    early, protocol._message_tail = protocol._message_tail, b""
    paused = protocol._reading_paused or protocol._buffer_paused
    protocol._force_close = True  # it takes no further request, and leaves the connection as it is
    protocol._parser = None
    manager = protocol._manager
    assert manager is not None  # until the connection is lost
    manager.connection_lost(protocol)  # not at once: when it has done with this request
    ws.release()
    kept = any(map(MIDDLEWARES, request.match_info.apps))
    if not kept:
        protocol._task_handler = None  # which ends, and would be kept where the application is shown the request
    return Detached(transport, early, paused, kept)


async def shake_hands(request: web.Request, said: bytes = b"") -> None:
    """Writes the answer to a handshake, and what the Connection has said by then behind it."""
    with suppress(ConnectionError):  # of which whoever has the connection is told
        await request.writer.write(said)


async def take_over(
    request: web.Request,
    ws: LeanResponse,
    connect: Callable[[Link, Reading], Connection],
    keeper: Keeper,
    carry: Carry | None = None,
) -> None:
    """Takes the connection of an answered handshake from aiohttp. Raises Gone when there is none any more.

    Middlewares, and what they have set up around the request, see it last as long as the connection does; where there
    are none it ends now, and with it what aiohttp keeps for it. With `carry` the session may be another worker's.
    """
    writable = not request.protocol.writing_paused
    transport, early, paused, kept = detach(request, ws)
    link = LeanLink(transport, ws.max_size, keeper)
    link.writable = writable
    transport.set_write_buffer_limits(high=HIGH_WATER)
    try:
        connection = connect(link, link)
        keeper.taken(link, connection)
        first: Threshold | LeanLink = link
        if carry is not None and isinstance(connection, Opening):
            first = connection = Threshold(link, connection, carry, ws.max_size)
        transport.set_protocol(first)  # type: ignore[arg-type] # which is all that its transport asks for
        await shake_hands(request, link.start(connection, contextvars.copy_context() if kept else None))
        if early:
            first.data_received(early)
        if paused and not transport.is_reading() and not link.waits:
            transport.resume_reading()
        if kept:
            await link.ending()
    except BaseException:
        link.leave()
        raise


class Probe(WebSocketDataQueue):
    """A queue as a Parser is one, to see whether aiohttp's reader fills it as it should."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def feed_data(self, message: Any, size: int) -> None:
        """What came."""
        self.seen.append((*message, size))

    def set_exception(self, error: BaseException, cause: BaseException | None = None) -> None:
        """Why it is no message."""
        self.seen.append(getattr(error, "code", None))


def _known() -> str | None:
    """What is not as it was known to be, in aiohttp."""
    for name in HANDED_OVER:
        if not hasattr(RequestHandler, name):
            return f"its RequestHandler has no {name}"
    if not WebSocketReader.__module__.endswith("_c"):
        return "its WebSocketReader is not compiled"
    probe = Probe()
    try:
        reader = WebSocketReader(probe, 9, compress=False, decode_text=True)
        reader.feed_data(b"\x81\x82\0\0\0\0hi\x01\x81\0\0\0\0a\x89\x80\0\0\0\0\x80\x81\0\0\0\0b\x82")
        reader.feed_data(b"\x80\0\0\0\0\x88\x82\0\0\0\0\x0b\xb8\x81\x89")
    except Exception as error:
        return f"its WebSocketReader raises {type(error).__name__}"
    expected = [
        (WSMsgType.TEXT, "hi", "", 2),
        (WSMsgType.PING, b"", "", 0),
        (WSMsgType.TEXT, "ab", "", 2),
        (WSMsgType.BINARY, b"", "", 0),
        (WSMsgType.CLOSE, 3000, "", 0),
        1009,
    ]
    return None if probe.seen == expected else "its WebSocketReader says something else"


STRANGE = _known()


def unfit(request: web.Request) -> str | None:
    """Why the connection of this request cannot be taken over; None if it can."""
    if STRANGE is not None:
        return f"of aiohttp, {STRANGE}"
    if not isinstance(request.protocol, RequestHandler):
        return "another protocol than aiohttp's own serves it"
    transport = request.transport
    if transport is not None and transport.get_protocol() is not request.protocol:
        return "something stands between the connection and aiohttp"
    if asyncio.get_running_loop().get_debug():
        return "the event loop is in debug mode"
    return None
