"""Taking the connection of a WebSocket over from aiohttp, once its handshake is answered: what that asks of aiohttp,
and whether aiohttp is as it was known to be. What then serves the connection is lean.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha1
from operator import attrgetter
from typing import Any, NamedTuple

from aiohttp import HttpVersion11, WSMsgType, web
from aiohttp.http import WebSocketReader
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict

from ..core.carrier import Link
from ..gates.base import Connection, Gone
from .answers import closing_lines, headers_of
from .handshake import Reading
from .lean import Keeper, LeanLink
from .links import HIGH_WATER
from .parsing import WebSocketDataQueue
from .threshold import Carry, Opening, Threshold

__all__ = [
    "Detached",
    "InFront",
    "LeanResponse",
    "between_requests",
    "detach",
    "parser_of",
    "shake_hands",
    "take_over",
    "unfit",
]

MIDDLEWARES = attrgetter("middlewares")
ON_PREPARE = attrgetter("on_response_prepare")
# RFC 6455 §1.3.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FINE = web.WebSocketReady(True, None)
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "
LIMITS = (HIGH_WATER // 4, HIGH_WATER)
# What is asked of aiohttp's protocol object, beside what is public.
HANDED_OVER = (
    "_message_tail",
    "_force_close",
    "_manager",
    "_parser",
    "_reading_paused",
    "_buffer_paused",
    "_task_handler",
    "_messages",
    "_logging_enabled",
)


class LeanResponse(web.WebSocketResponse):
    """The answer to a handshake behind which aiohttp reads nothing: what comes waits for whoever takes over. It is
    written together with what the Connection says at once.

    The usual answer, to which the application adds nothing, is laid out here; any other by aiohttp, whose own part is
    made for it alone, and where a middleware sees the response.
    """

    _send_headers_immediately = False
    # What is asked by aiohttp, and by access logs, of the usual answer.
    _status, _reason, _keep_alive = 101, "Switching Protocols", False
    __http_exception__ = False
    _whole = False  # aiohttp's part was made

    def __init__(self, request: web.Request, max_size: int, subprotocols: Sequence[str]) -> None:
        self.max_size = max_size
        # Middlewares see it, and the request lasts as long as the connection.
        self._apps = apps = request.match_info.apps
        self.kept = kept = any(map(MIDDLEWARES, apps))
        self._subprotocols = subprotocols
        self._accept = b""  # the answer to the key of a usual handshake
        self._answered: tuple[Any, ...] | None = None
        self.head = b""  # the answer, where it was laid out here
        if kept:
            self._make_whole()

    def _make_whole(self) -> None:
        """Makes aiohttp's part, unless it was."""
        if not self._whole:
            self._whole = True
            super().__init__(compress=False, protocols=self._subprotocols)

    def can_prepare(self, request: web.BaseRequest) -> web.WebSocketReady:
        """Whether this request is a handshake (RFC 6455 §4.2.1). A usual one, of a client that wants version 13 and no
        sub-protocol, is told by itself. Raises ValueError for a key that is not ASCII."""
        if self._accept:  # it was asked before
            return FINE
        headers = request.headers
        key = headers.get("Sec-WebSocket-Key")
        if (
            key is None
            or not request._message.upgrade
            or headers.get("Upgrade", "").lower() != "websocket"
            or headers.get("Sec-WebSocket-Version") != "13"
            or "Sec-WebSocket-Protocol" in headers
            or request.version != HttpVersion11
            or len(key) != 24  # of base64: 16 bytes
            or len(a2b_base64(key)) != 16
        ):
            self._make_whole()
            return super().can_prepare(request)
        self._accept = b2a_base64(sha1(key.encode() + GUID, usedforsecurity=False).digest(), newline=False)
        return FINE

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Lays out the answer, for shake_hands()."""
        if self._payload_writer is not None:  # it is prepared
            return self._payload_writer
        adds = self._whole and bool(self._headers)
        if not self._accept or adds or any(map(ON_PREPARE, self._apps)):
            self._make_whole()
            return await super().prepare(request)
        if request.transport is None:
            raise ConnectionResetError("the client has left")
        self._req, self._payload_writer = request, request.writer
        self.head = b"%b%b\r\n%b" % (ANSWER, self._accept, closing_lines(int(time.time())))
        return self._payload_writer

    @property
    def headers(self) -> CIMultiDict[str]:
        """Of the answer. What was laid out here is parsed when it is asked for, as by an access log that has it."""
        self._make_whole()
        if not self._headers and self.head:
            self._headers = headers_of(self.head)
        return self._headers

    def _handshake(self, request: web.BaseRequest) -> Any:
        """What the handshake is answered. aiohttp asks twice: whether it can be, and to do so."""
        if self._answered is None:
            self._answered = super()._handshake(request)
        return self._answered

    def _post_start(self, request: web.BaseRequest, protocol: str | None, writer: Any) -> None:
        self._ws_protocol = protocol
        self._writer = writer
        request.protocol.keep_alive(False)


class Late:
    """An attribute of aiohttp's part of a LeanResponse, which is made when somebody asks for it, such as an access
    logger of the application's own. (__getattr__() would slow down all other attributes.)"""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, response: LeanResponse | None, owner: type[LeanResponse]) -> Any:
        if response is None:
            return self
        response._make_whole()
        return vars(response)[self._name]


for _name in vars(web.WebSocketResponse(compress=False)):
    if not hasattr(LeanResponse, _name):
        setattr(LeanResponse, _name, Late(_name))


class Detached(NamedTuple):
    """A connection that aiohttp serves no more."""

    transport: asyncio.Transport
    early: bytes  # what it has brought behind the handshake
    paused: bool  # it is not read
    kept: bool  # the request lasts as long as the connection, since there are middlewares


def detach(request: web.Request, response: web.StreamResponse | None = None) -> Detached:
    """Takes the connection of a request from aiohttp: of a response that has begun, such as an answered handshake, or
    with an answer that is still to be written. Raises Gone when there is none any more."""
    protocol = request.protocol
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise Gone
    early, protocol._message_tail = protocol._message_tail, b""
    paused = protocol._reading_paused or protocol._buffer_paused
    protocol.keep_alive(False)  # whose timer would keep it
    protocol._force_close = True  # it takes no further request, and leaves the connection as it is
    protocol._parser = None
    if response is not None:
        response._eof_sent = True  # for aiohttp it has ended
    if isinstance(response, LeanResponse):
        response._closed, kept = True, response.kept
        if not kept:
            protocol._task_handler = None  # its request ends at once, and nobody waits for it
    else:
        kept = any(map(MIDDLEWARES, request.match_info.apps))
    manager = protocol._manager
    assert manager is not None  # until the connection is lost
    manager.connection_lost(protocol)  # at once, or when it has done with this request
    if not kept:
        protocol._task_handler = None  # which ends, and would be kept where the application is shown the request
    return Detached(transport, early, paused, kept)


def parser_of(handler: RequestHandler) -> Any:
    """What parses the requests of a connection; None where aiohttp has none any more, or none that is known."""
    return getattr(handler, "_parser", None) or getattr(handler, "_request_parser", None)  # which it was before 3.14


def between_requests(handler: RequestHandler) -> bool:
    """Whether nothing has come behind the requests that this handler has served: not even a part of the next, which
    only aiohttp's parser has. Where there is one the parser loses its place, and the handler takes nothing more."""
    parser = parser_of(handler)
    if handler._messages or parser is None:
        return False
    with suppress(HttpProcessingError):
        # One that is not compiled raises nothing for a part, and keeps it in the open.
        if parser.feed_eof() is None and not getattr(parser, "_lines", None):
            return True
    handler.close()
    return False


async def shake_hands(request: web.Request, ws: LeanResponse, said: bytes = b"") -> None:
    """Writes the answer to a handshake, and what the Connection has said by then behind it. A connection that is gone
    swallows it: whoever has it is told."""
    if not ws.head:
        with suppress(ConnectionError):
            await request.writer.write(said)
    elif (transport := request.transport) is not None and not transport.is_closing():
        transport.write(ws.head + said)


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
    if transport.get_write_buffer_limits() != LIMITS:  # those of asyncio are
        transport.set_write_buffer_limits(high=HIGH_WATER)
    try:
        connection = connect(link, link)
        keeper.taken(link, connection)
        first: Threshold | LeanLink = link
        if carry is not None and isinstance(connection, Opening):
            first = connection = Threshold(link, connection, carry, ws.max_size)
        transport.set_protocol(first)  # type: ignore[arg-type] # which is all that its transport asks for
        said = link.start(connection, contextvars.copy_context() if kept else None)
        if ws.head:  # shake_hands(), without a call
            if not transport.is_closing():
                transport.write(ws.head + said)
        else:
            await shake_hands(request, ws, said)
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


class InFront:
    """What stands between a connection and aiohttp's handler, which may have it back."""

    __slots__ = ()

    handler: RequestHandler | None

    def step_aside(self) -> None:
        """The handler, if there is one, has the connection to itself."""


def unfit(request: web.Request) -> str | None:
    """Why the connection of this request cannot be taken over; None if it can. What is InFront of its handler, since
    something else was asked there before, steps aside for that."""
    if STRANGE is not None:
        return f"of aiohttp, {STRANGE}"
    if not isinstance(request.protocol, RequestHandler):
        return "another protocol than aiohttp's own serves it"
    transport = request.transport
    between: object = None if transport is None else transport.get_protocol()
    if between is not None and between is not request.protocol:
        if not isinstance(between, InFront) or between.handler is not request.protocol:
            return "something stands between the connection and aiohttp"
        between.step_aside()
    if asyncio.get_running_loop().get_debug():
        return "the event loop is in debug mode"
    return None
