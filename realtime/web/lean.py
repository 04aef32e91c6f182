"""WebSockets without aiohttp's machinery: after the handshake an object of ours takes the connection over.

aiohttp's own reader (compiled) parses what comes, and the Connection is told at once: no queue, and no task. Request,
response and handler are let go, and with them most of what an idle connection takes. See takeover for how, sockets for
when, and parsing for the reader, which connections share.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any, Protocol

from aiohttp import WebSocketError, WSMessage, WSMsgType

from ..core.carrier import Part
from ..gates.base import Connection, Ignoring
from ..loops import begin
from ..pace import TURN
from .handshake import AHEAD_MESSAGES, AHEAD_SIZE
from .links import CONTROL, NO_CODE, close_frame, pong_frame
from .parsing import FRAGMENT, PIECE, Parser, Shared, beyond, piece

__all__ = ["Keeper", "LeanLink", "hand_over", "tell"]

TEXT, BINARY, PING = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING
NOBODY = Ignoring()


class Keeper(Protocol):
    """Whoever keeps the connections that were taken over: see sockets."""

    def parser(self, max_size: int, /) -> Shared:
        """The Parser that all share which take messages of that size."""

    def taken(self, link: LeanLink, connection: Connection, /) -> None:
        """A connection was taken over."""

    def closing(self, link: LeanLink, loop: asyncio.AbstractEventLoop, /) -> None:
        """A closing handshake has begun: a connection that is not over in time is cut off."""

    def over(self, link: LeanLink, /) -> None:
        """A connection is gone, and everything that it brought was taken."""


class Behind:
    """What has come while something is awaited: a little of it parsed, so that a close is seen; the rest as it is."""

    __slots__ = ("ended", "events", "paused", "rest", "size", "task")

    def __init__(self) -> None:
        self.events: deque[WSMessage | BaseException] = deque()
        self.size: int = 0  # of the messages, in bytes
        self.rest: bytes = b""
        self.paused: bool = False  # nothing more is read
        self.ended: bool = False  # a close is among them, or what is no message
        self.task: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether no more is parsed."""
        return len(self.events) >= AHEAD_MESSAGES or self.size >= AHEAD_SIZE or self.ended


class LeanLink:
    """One connection: the protocol of asyncio's transport, whose bytes a Parser reads, and a carrier's Link.

    Messages go to the Connection as they are parsed. When that has to wait for something, a task waits for it, and for
    as long as this runs there is a Behind.
    """

    __slots__ = (
        "_behind",
        "_connection",
        "_context",
        "_count",
        "_ended",
        "_gone",
        "_keeper",
        "_loop",
        "_max_size",
        "_over",
        "_parser",
        "_said",
        "_shared",
        "_shut",
        "transport",
        "writable",
    )

    def __init__(self, transport: asyncio.Transport, max_size: int, keeper: Keeper) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport = transport
        self._keeper = keeper
        self._max_size = max_size
        self._shared = keeper.parser(max_size)
        self._parser: Parser | None = None  # its own, from the middle of a frame or of fragments on
        self._connection: Connection = NOBODY
        self._context: contextvars.Context | None = None  # of what is awaited for this connection
        self._count = 0  # of what has come
        self._behind: Behind | None = None
        self._ended: asyncio.Future[None] | None = None
        self._gone = False
        self._over = False  # nothing more is taken
        self._said: list[Part] | None = []  # what goes behind the answer to the handshake; None: that is written
        self._shut = False  # nothing more is written
        self.writable: bool = True  # False while the connection has more than 64 KiB to send, is closing or gone

    # -- a carrier's Link --------------------------------------------------------------------------------------------

    def write(self, buffers: Sequence[Part]) -> None:
        """Writes WebSocket frames. A connection that is gone swallows them."""
        if self._shut:
            return
        if self._said is not None:
            self._said += buffers
        else:
            self.transport.write(b"".join(buffers))  # type: ignore[arg-type] # frames are bytes; one is not copied

    def close(self, code: int, reason: str) -> None:
        """Starts the closing handshake (RFC 6455 §7.1.2); a peer that does not take part is cut off."""
        if self._shut:
            return
        self.write((close_frame(code, reason),))
        self._shut, self.writable = True, False
        self._keeper.closing(self, self._loop)

    def abort(self) -> None:
        """Cuts the connection."""
        self.transport.abort()

    # -- what asyncio's transport tells ------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """What has come."""
        if self._behind is not None or len(data) > PIECE:
            self._parse(data)
        # _read(), without a call, of one short frame, as it usually is: it has FIN and an opcode, its length with the
        # mask's bit, the mask, and so many bytes.
        elif self._parser is None and 1 < len(data) < 132 and data[0] > FRAGMENT and data[1] == len(data) + 122:
            parser = self._shared
            parser.whose = self
            parser.reader.feed_data(data)
            parser.whose = None
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        """Reads what has come: by the reader that all share, if it begins and ends between two frames."""
        parser = self._parser
        if parser is not None:
            parser.missing = beyond(data, parser.missing)
        elif missing := beyond(data, 0):
            parser = self._parser = Parser(self._max_size)
            parser.missing = missing
        else:
            parser = self._shared
        parser.whose = self
        parser.reader.feed_data(data)
        parser.whose = None
        if not parser.missing:
            self._parser = None

    def eof_received(self) -> None:
        """The peer sends nothing more: the transport closes when it has sent what waits."""
        self._shut, self.writable = True, False

    def pause_writing(self) -> None:
        """The peer does not read what is sent."""
        self.writable = False

    def resume_writing(self) -> None:
        """It does."""
        if not self._shut:
            self.writable = True
            self._connection.writable_again()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone. What came before is still taken."""
        self._gone = self._shut = True
        self.writable = False
        if self._behind is None:
            self._finish()

    def _finish(self) -> None:
        self._leave_connection()
        self._parser = None  # which knows this object
        self._keeper.over(self)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _leave_connection(self) -> None:
        if not self._over:
            self._over = True
            connection, self._connection = self._connection, NOBODY
            connection.lost()

    # -- what the Parser tells ---------------------------------------------------------------------------------------

    def parsed(self, message: Any, size: int) -> None:
        """One message, or control frame."""
        behind = self._behind
        if behind is not None:
            behind.events.append(message)
            behind.size += size
            behind.ended = behind.ended or message.type is WSMsgType.CLOSE
            return
        kind = message[0]
        if (kind is TEXT or kind is BINARY) and not self._over:  # _take(), without a call, as it usually is
            waiting = self._connection.message(message[1])
            self._count += 1
            if waiting is None and self._count % TURN == 0:
                waiting = asyncio.sleep(0)
        else:
            waiting = self._take(message)
        if waiting is not None:
            self._wait_for(waiting)

    def unreadable(self, error: BaseException) -> None:
        """What has come is no message; or the Connection raised, which none does unless it is broken."""
        if self._behind is None:
            self._fail(error)
        else:
            self._behind.events.append(error)
            self._behind.ended = True

    def _take(self, event: WSMessage | BaseException) -> Awaitable[None] | None:
        """Tells the Connection; returns what has to be awaited before the next."""
        if self._over:
            return None
        if isinstance(event, BaseException):
            self._fail(event)
            return None
        waiting = None
        kind = event[0]
        if kind is TEXT or kind is BINARY:
            waiting = self._connection.message(event[1])
        elif kind in CONTROL:
            if self._connection.control() and kind is PING and self.writable:
                self.transport.write(pong_frame(event[1]))
        else:
            self._connection.closed(event[1] or NO_CODE, event[2] or "")
            self._end(1000)
            return None
        self._count += 1
        if waiting is None and self._count % TURN == 0:
            return asyncio.sleep(0)  # others have their turn
        return waiting

    def _fail(self, error: BaseException) -> None:
        if self._over:
            return
        if isinstance(error, WebSocketError):
            connection = self._connection
            self.close(error.code, "")
            connection.failed(error.code)
        else:
            told = {"message": "a WebSocket's connection raised", "exception": error, "transport": self.transport}
            self._loop.call_exception_handler(told)
            self.close(1011, "")
        self._end(1000)

    def _end(self, code: int) -> None:
        """Nothing more is taken; what waits is still sent, and the peer's close answered."""
        self._leave_connection()
        self.close(code, "")
        self.transport.close()

    # -- whether anybody is there ------------------------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Whether the client has closed, or its connection is cut; as far as was read."""
        return self._over or self.transport.is_closing() or (self._behind is not None and self._behind.ended)

    def reading_ahead(self) -> AbstractAsyncContextManager[None]:
        """A little is always read ahead."""
        return nullcontext()

    def ending(self) -> asyncio.Future[None]:
        """Done when the connection is gone, and everything that it brought was taken."""
        if self._ended is None:
            self._ended = self._loop.create_future()
        return self._ended

    def leave(self) -> None:
        """Nobody waits for this connection any longer."""
        self.abort()
        if self._behind is not None and self._behind.task is not None:
            self._behind.task.cancel()

    @property
    def waits(self) -> bool:
        """Whether nothing is to be read, since there is enough to take."""
        return self._behind is not None and self._behind.paused

    # -- waiting -----------------------------------------------------------------------------------------------------

    def start(self, connection: Connection, context: contextvars.Context | None) -> bytes:
        """Tells the connection that it stands. Returns what it says at once, to go behind the handshake's answer."""
        self._connection, self._context = connection, context
        if (waiting := connection.connected()) is not None:
            self._wait_for(waiting)
        said, self._said = self._said, None
        return b"".join(said or ())  # type: ignore[arg-type] # frames are bytes

    def _wait_for(self, waiting: Awaitable[None]) -> None:
        self._behind = behind = Behind()
        behind.task = begin(self._wait(waiting), "realtime WebSocket", self._context)

    async def _wait(self, waiting: Awaitable[None] | None) -> None:
        """Waits, and takes what has come meanwhile, until there is nothing to wait for."""
        try:
            while waiting is not None:
                await waiting
                waiting = self._catch_up()
        except Exception as error:
            self._behind = None
            self._fail(error)
        except asyncio.CancelledError:  # only leave() does that
            self._behind = None
            self._leave_connection()
            raise
        finally:
            if self._gone:
                self._finish()

    def _catch_up(self) -> Awaitable[None] | None:
        behind = self._behind
        assert behind is not None
        while True:
            while behind.events:
                waiting = self._take(behind.events.popleft())
                if waiting is not None:
                    return waiting
            behind.size = 0
            if not behind.rest or self._over:
                break
            data, behind.rest = behind.rest, b""
            self._parse(data)
        self._behind = None
        if behind.paused:
            with suppress(RuntimeError):  # it was closed meanwhile
                self.transport.resume_reading()
        return None

    def _parse(self, data: bytes) -> None:
        """Parses what has come, piece by piece, for as long as it is taken, or may be kept."""
        at = 0
        while at < len(data):
            behind = self._behind
            if behind is not None and (behind.rest or behind.full):
                behind.rest += data[at:]
                if not behind.paused:
                    behind.paused = True
                    self.transport.pause_reading()
                return
            if self._over:
                return
            end = at + piece(data, at, self._parser)
            self._read(data[at:end])
            at = end


def tell(link: LeanLink, connection: Connection) -> None:
    """From now on this Connection is told what comes."""
    if not link._over:
        link._connection = connection


def hand_over(link: LeanLink) -> None:
    """Something else has the connection of a link from here: it is to be told of its end, and of nothing else."""
    link._leave_connection()
    link._shut, link.writable = True, False
    if link._behind is not None:
        link._behind.paused = False  # which is not the link's to end
