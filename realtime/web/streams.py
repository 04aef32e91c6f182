"""One long response: its Link, how it begins and how it ends.

Usually its connection is taken over from aiohttp as soon as it has begun (as a WebSocket's is, see takeover): request,
response and handler are let go, and with them most of what an idle stream takes. When it has ended a new handler of
aiohttp's gets the connection, with what the client has said meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from aiohttp import HttpVersion11, web

from ..clock import Patience, Timer, call_later
from ..core.carrier import Part, SharedBuffers
from ..loops import begin
from . import sockets
from .links import HIGH_WATER, is_gone
from .takeover import MIDDLEWARES, InFront, between_requests, detach, unfit

__all__ = ["ALONE", "Course", "Keeper", "StreamLink", "run_stream"]

# So many bytes are kept of what a client says behind its request; then nothing more is read.
MOST_SAID = 65_536
LAST_CHUNK = b"0\r\n\r\n"


class Keeper(Protocol):
    """Whoever keeps the connections that were taken over: see sockets."""

    def keep(self, taken: StreamLink, /) -> None:
        """A connection was taken over."""

    def let_go(self, taken: StreamLink, /) -> None:
        """It is gone."""

    def patience(self) -> float:
        """How long the peer of a stream that has ended may take to read the rest, in seconds."""


def nothing() -> None:
    """To be done where there is nothing to do."""


class Course(NamedTuple):
    """What happens to a stream."""

    over: Callable[[], object] = nothing  # is called when it has ended, once
    writable_again: Callable[[], object] = nothing  # is called when its link, which was taken over, takes more
    keeper: Keeper | None = None  # without one its connection is not taken over


ALONE = Course()


class StreamLink(InFront):
    """The body of one long response. What is written before it has started waits for its start.

    Chunks are framed here and written straight to the connection, one for each flush, so that nothing is held back or
    coalesced by a writer in between. Once it is taken over it is the protocol of asyncio's transport, too.
    """

    __slots__ = (
        "_chunked",
        "_draining",
        "_early",
        "_end",
        "_ended",
        "_gone",
        "_keeper",
        "_manager",
        "_over",
        "_request",
        "_said",
        "_tail",
        "_taken",
        "_timer",
        "_writable_again",
        "writable",
    )

    handler = None  # which it is in front of only when this is over

    def __init__(self, request: web.Request, writable_again: Callable[[], object]) -> None:
        self._request: web.Request | None = request
        self._writable_again = writable_again
        self._early: list[Part] | None = []
        self._chunked = False
        # False before the start, while the connection has more than 64 KiB to send, and after the end.
        self.writable: bool = False
        self._draining: asyncio.Task[None] | None = None
        self._over = False  # it ends, or has
        self._ended: asyncio.Future[None] | None = None  # somebody waits for that
        # What is known once it is taken over.
        self._taken: asyncio.Transport | None = None
        self._keeper: Keeper | None = None
        self._tail = b""
        self._end: Callable[[], object] = nothing
        self._manager: web.Server | None = None  # that has the connection when this is over; None: it ends
        self._said = b""
        self._gone: asyncio.Future[None] | None = None  # somebody waits for the end of the connection
        self._timer: Timer | None = None

    # -- a carrier's Link --------------------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport | None:
        """asyncio's end of the connection, while there is one."""
        return self._taken if self._request is None else self._request.transport

    @property
    def gone(self) -> bool:
        """Whether the connection has closed."""
        transport = self.transport
        return transport is None or transport.is_closing()

    def start(self, *, chunked: bool) -> None:
        """The response's head and prelude are written: what waited goes."""
        early, self._early = self._early, None
        self._chunked = chunked
        self.writable = not self._over
        if early:
            self.write(early)
        self._writable_again()

    def write(self, buffers: Sequence[Part]) -> None:
        """Writes pieces of the body. A dead connection swallows them."""
        taken = self._taken
        if taken is not None and self.writable and type(buffers) is SharedBuffers:  # as it usually is
            chunked = buffers.chunked
            if chunked is None:
                chunked = buffers.chunked = _chunks(buffers)
            taken.write(chunked)
        else:
            self._write(buffers)

    def _write(self, buffers: Sequence[Part]) -> None:
        if self._early is not None:
            self._early += buffers
            return
        transport = self._taken or self.transport
        if transport is None or transport.is_closing():
            self.abort()
            return
        if not self._chunked:
            transport.write(b"".join(buffers))  # type: ignore[arg-type] # of streams they are bytes
        elif isinstance(buffers, SharedBuffers):
            if buffers.chunked is None:
                buffers.chunked = _chunks(buffers)
            transport.write(buffers.chunked)
        else:
            transport.write(_chunks(buffers))
        if self._taken is None and transport.get_write_buffer_size() > HIGH_WATER and self.writable:
            self.writable = False
            self._draining = begin(self._drain(), "realtime drains")

    async def _drain(self) -> None:
        request = self._request
        assert request is not None  # or whoever has taken it over would be told
        try:
            await request.writer.drain()
        except ConnectionError:
            self.abort()
            return
        self.writable = not self._over
        self._writable_again()

    def close(self, code: int, reason: str) -> None:
        """Ends the response behind what was written."""
        if self._over:
            return
        self._over, self.writable = True, False
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        transport = self._taken
        if transport is not None and not transport.is_closing():
            assert self._keeper is not None
            transport.write((_chunks([self._tail]) if self._tail else b"") + LAST_CHUNK)
            transport.set_write_buffer_limits(high=0)
            if transport.get_write_buffer_size():  # what waits is read in time, or never
                self._timer = call_later(self._keeper.patience(), transport.abort)
            else:  # in the next turn: whoever ends it may have more to do before that is told
                asyncio.get_running_loop().call_soon(self._hand_back)

    def abort(self) -> None:
        """Cuts the connection."""
        transport = self.transport
        if self._taken is not None:
            self._over, self.writable = True, False  # without an end
        else:
            self.close(1006, "")
        if transport is not None:
            transport.abort()

    # -- the response, as long as it is aiohttp's --------------------------------------------------------------------

    async def ended(self) -> None:
        """Waits for the end."""
        if not self._over:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended

    def finished(self) -> None:
        """aiohttp has done with the response."""
        if self._draining is not None:
            self._draining.cancel()

    # -- the connection, once it is taken over -----------------------------------------------------------------------

    def take(self, response: web.StreamResponse, tail: bytes, course: Course) -> bool:
        """Takes the connection of a response that has begun from aiohttp, unless that has closed meanwhile, or its
        client has said more already."""
        request = self._request
        assert request is not None
        if is_gone(request) or self._over or not between_requests(request.protocol):
            return False
        self.writable = not request.protocol.writing_paused
        self._manager = request.protocol._manager if response.keep_alive else None
        detached = detach(request, response)
        transport = self._taken = detached.transport
        if self._draining is not None:
            self._draining.cancel()
        self._request, self._draining = None, None
        self._end, self._writable_again, self._keeper = course
        self._tail = tail
        transport.set_write_buffer_limits(high=HIGH_WATER)
        transport.set_protocol(self)  # type: ignore[arg-type] # which is all that its transport asks for
        if detached.paused and not transport.is_reading():
            transport.resume_reading()
        assert self._keeper is not None
        self._keeper.keep(self)
        return True

    def data_received(self, data: bytes) -> None:
        """asyncio's transport: something has come behind the request, for later."""
        self._said += data
        if len(self._said) > MOST_SAID and self._taken is not None:
            self._taken.pause_reading()

    def eof_received(self) -> None:
        """asyncio's transport: the client sends nothing more. The transport closes when it has sent what waits."""
        self.writable = False

    def pause_writing(self) -> None:
        """asyncio's transport: the client does not read what is sent."""
        self.writable = False

    def resume_writing(self) -> None:
        """asyncio's transport: it does."""
        if not self._over:
            self.writable = not self.gone
            self._writable_again()
        else:
            self._hand_back()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio's transport: the connection is gone."""
        self._over, self.writable = True, False
        self._let_go()

    def _hand_back(self) -> None:
        """All is written: the connection is for further requests."""
        transport = self._taken
        if transport is None or transport.is_closing():
            return  # whose end is told
        protocol = None if self._manager is None else self._manager()
        if protocol is None or (protocol.keepalive_timeout <= 0 and not self._said):  # aiohttp keeps none open
            transport.close()
            return
        said, self._said = self._said, b""
        self._let_go()
        transport.set_write_buffer_limits()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if said:
            protocol.data_received(said)
            # aiohttp stops reading by itself where it has enough; who has stopped here goes on only if it has not.
            if len(said) > MOST_SAID and not (protocol._reading_paused or protocol._buffer_paused):
                transport.resume_reading()

    def _let_go(self) -> None:
        """The connection is not this stream's any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._taken = None
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.let_go(self)
            end, self._end = self._end, nothing
            end()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def ending(self) -> asyncio.Future[None]:
        """Done when the connection is gone, or handed back."""
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        return self._gone

    def leave(self) -> None:
        """Nobody waits for this connection any longer."""
        self.abort()


def _chunks(buffers: Sequence[Part]) -> bytes:
    """Pieces of a body as chunks (RFC 9112 §7.1)."""
    pieces: list[Part] = []
    for buffer in buffers:
        pieces += (b"%x\r\n" % len(buffer), buffer, b"\r\n")
    return b"".join(pieces)  # type: ignore[arg-type] # of streams they are bytes


def _may_be_taken(request: web.Request) -> bool:
    """Whether the connection of this request can be taken over, and nobody of the application's waits for its end."""
    return (
        sockets.TAKING_OVER
        and request.version == HttpVersion11
        and request.content.is_eof()
        and not any(map(MIDDLEWARES, request.match_info.apps))
        and unfit(request) is None
    )


async def run_stream(
    request: web.Request,
    link: StreamLink,
    headers: Mapping[str, str],
    *,
    prelude: bytes,
    tail: bytes,
    patience: Callable[[], float],
    course: Course = ALONE,
) -> web.StreamResponse:
    """Sends the response of a stream until it ends; `patience` says how long its peer may then take for the rest.

    Where the connection can be taken over this returns when the stream has begun, which goes on by itself.
    """
    response = web.StreamResponse(headers=headers)
    chunked = request.version >= HttpVersion11
    taken = False
    if request.version == HttpVersion11:
        response.enable_chunked_encoding()  # for what claims to be later aiohttp does so by itself
    elif not chunked:
        response.force_close()  # the end of the connection is the end of the body
    try:
        with suppress(ConnectionError):  # whose peer is gone: the caller reports the loss
            await response.prepare(request)
            await response.write(prelude)
            link.start(chunked=chunked)
            taken = course.keeper is not None and _may_be_taken(request) and link.take(response, tail, course)
            if taken:
                return response
            await link.ended()
            try:
                async with Patience(patience()):
                    await response.write_eof(tail)
            except TimeoutError:
                link.abort()
    except BaseException:
        if response.prepared:  # a middleware that has had enough would write its own answer into this one
            link.abort()
        raise
    finally:
        if not taken:
            course.over()
    return response
