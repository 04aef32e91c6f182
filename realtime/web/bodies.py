"""Request bodies: which are accepted, their size limits, and how an unwanted one is discarded.

Knows aiohttp and no protocol. Nothing is unpacked: aiohttp unpacks a body that is compressed before anybody has asked
for it, so a request that says so is answered by guard(), in front of every route, and its connection ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from aiohttp import ClientPayloadError, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ..clock import Patience
from ..core.errors import Refusal, RemoteProtocolError
from ..gates.requests import Unreadable
from ..service import Service
from .replies import SAFE

__all__ = [
    "BROKEN_BODY",
    "Bodies",
    "Handle",
    "at_hand",
    "guard",
    "is_packed",
    "still_there",
    "turn_away",
    "turn_packed_away",
]

# What reading a body may raise.
BROKEN_BODY = (ClientPayloadError, web.RequestPayloadError, HttpProcessingError, ConnectionError)
# How long a body that nobody asked for is read on, so that its connection can be used again (as aiohttp would).
PATIENCE = 10.0
# Who was turned away has so many looks of so many seconds to read the answer and leave.
LOOKS = 10
LOOK = 0.1
# How much of a body's beginning a judge looks at, in bytes.
HEAD = 4096

PACKED = "a request body is taken as it is: send it without Content-Encoding"

TAKEN = "a middleware has taken the body from request.content, which keeps nothing: have it await request.read()"

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
# The limit of a body that begins so, in bytes. May raise Refusal.
Judge = Callable[[bytes], int]


def is_packed(request: web.Request) -> bool:
    """Whether the request says that its body is compressed (RFC 9110 §8.4), in a way known to anybody or not."""
    if "Content-Encoding" not in request.headers:
        return False
    codings = ",".join(request.headers.getall("Content-Encoding")).split(",")
    return any(coding.strip().lower() not in ("", "identity") for coding in codings)


def guard(service: Service, handle: Handle) -> Handle:
    """A route's handler, which sees no request with a compressed body."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        return await (turn_packed_away(service, request) if is_packed(request) else handle(request))

    return guarded


async def turn_packed_away(service: Service, request: web.Request) -> web.StreamResponse:
    """Answers a request with a compressed body, and ends its connection."""
    service.refused(4400)
    # RFC 9110 §12.5.3: what would be taken.
    response = web.Response(status=415, text=f"{PACKED}\n", headers={"Accept-Encoding": "identity"} | SAFE)
    return await turn_away(request, response, linger=not service.closing)


async def turn_away(request: web.Request, response: web.StreamResponse, *, linger: bool = True) -> web.StreamResponse:
    """Answers here and now, and ends the connection. aiohttp itself would read on for ten seconds, unpack what comes,
    and log what it meets there."""
    response.force_close()
    protocol = request.protocol
    protocol.close()  # from here on what comes is thrown away as bytes, neither parsed nor unpacked
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
        if linger and not request.content.is_eof():
            await _leaves(request)
    protocol.force_close()
    return response


async def _leaves(request: web.Request) -> None:
    """Waits a second at most for the peer to leave: closing upon what was not read resets the connection, and its peer
    might never see the answer."""
    for _ in range(LOOKS):
        transport = request.transport
        if transport is None or transport.is_closing():
            return
        transport.resume_reading()
        await asyncio.sleep(LOOK)


def at_hand(request: web.Request, limit: int) -> bytes | None:
    """The body that came with the request's head, of at most `limit` bytes: what Bodies.whole() would give, without
    waiting. None where that has to look closer."""
    content = request.content
    if not content.is_eof() or content.at_eof() or content.total_bytes > limit or content.exception() is not None:
        return None
    return content.read_nowait()


def still_there(request: web.Request) -> None:
    """To be asked before more of a body is waited for. Raises ConnectionResetError for a peer that was gone before its
    request was begun: of that aiohttp tells no reader, who would meet a RuntimeError."""
    if request.transport is None:
        raise ConnectionResetError("the connection is gone")


class Bodies:
    """Reads the bodies of one server's requests, and stops when it shuts down."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._reading: set[Patience] = set()

    async def whole(
        self,
        request: web.Request,
        patience: float,
        limit: int,
        judge: Judge | None = None,
        begun: bytes | None = None,
    ) -> bytes:
        """The body, of at most `limit` bytes, within `patience` seconds; `begun` is what beginning() has read of it.
        What a middleware has read is taken from where aiohttp keeps it.

        What is larger is taken all the same if `judge` gives it a higher limit for how it begins. Raises
        RemoteProtocolError (4413), Unreadable, and what `judge` raises.
        """
        content = request.content
        with self._telling(patience):
            if content.at_eof():
                body = await _kept(request) if begun is None else begun
            elif content.is_eof():
                body = (begun or b"") + content.read_nowait()  # it came with its head, and needs no time limit
            else:
                return await self._coming(request, patience, limit, judge, begun or b"")
        if len(body) > limit and judge is not None:
            limit = judge(body[:HEAD])
        if len(body) > limit:
            raise _too_large(limit)
        return body

    async def beginning(self, request: web.Request, patience: float) -> bytes:
        """As much of the body as a judge looks at, or as is here. Raises Unreadable."""
        content = request.content
        with self._telling(patience):
            if content.at_eof():
                return await _kept(request)
            if content.is_eof():
                return content.read_nowait()
            still_there(request)
            body = bytearray()
            async with self._within(patience):
                while len(body) < HEAD and not content.at_eof():
                    body += await content.readany()
            return bytes(body)

    @contextlib.contextmanager
    def _telling(self, patience: float) -> Iterator[None]:
        """What reading a body raises is told as Unreadable."""
        try:
            yield
        except TimeoutError:
            if self._service.closing:
                raise Unreadable(Refusal(4503, "the server is shutting down; come back later")) from None
            raise Unreadable(Refusal(4408, f"the body took longer than request_timeout={patience:g}")) from None
        except BROKEN_BODY as error:
            raise Unreadable(Refusal(4400, f"the body cannot be read: {error}")) from None

    async def _coming(
        self, request: web.Request, patience: float, limit: int, judge: Judge | None, begun: bytes
    ) -> bytes:
        """A body as it comes. Raises TimeoutError, BROKEN_BODY, and see whole()."""
        length = request.content_length or 0
        if judge is None and length > limit:
            raise _too_large(limit)
        still_there(request)
        body = bytearray(begun)
        async with self._within(patience):
            async for chunk in request.content.iter_any():
                body += chunk
                if max(length, len(body)) > limit and len(body) >= HEAD:
                    if judge is not None:
                        limit, judge = judge(bytes(body[:HEAD])), None
                    if max(length, len(body)) > limit:
                        raise _too_large(limit)
                await asyncio.sleep(0)
        return bytes(body)

    async def read_on(self, request: web.Request, response: web.StreamResponse) -> None:
        """Sends the answer, and discards the rest of the body. aiohttp would discard it too, but without giving
        others a turn, and would log what cannot be decoded as an error."""
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
        try:
            async with self._within(0 if self._service.closing else PATIENCE):
                if not request.content.is_eof():
                    still_there(request)
                await _throw_away(request.content)
        except (TimeoutError, *BROKEN_BODY):
            request.protocol.force_close()

    @contextlib.asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        """A time limit, which stop() ends."""
        async with Patience(seconds) as patience:
            self._reading.add(patience)
            try:
                yield
            finally:
                self._reading.discard(patience)

    def stop(self) -> None:
        """Shutting down: no body is waited for."""
        for patience in self._reading:
            patience.end()


async def _kept(request: web.Request) -> bytes:
    """A body of which nothing more comes: what a middleware has read, or nothing. Raises Unreadable."""
    body = await request.read()
    if not body and (request.content_length or request.content.total_bytes):
        raise Unreadable(Refusal(4400, TAKEN))
    return body


async def _throw_away(content: StreamReader) -> None:
    async for _ in content.iter_any():
        await asyncio.sleep(0)  # others, and the time limit, have their turn however much is there


def _too_large(limit: int) -> RemoteProtocolError:
    return RemoteProtocolError(4413, f"the body is above {limit} bytes; split the batch")
