"""One carrier over WebTransport: the Link under it, and the reading of what its stream brings.

Frames go to the Connection as they come. While it waits for something, what comes is kept as it is; it counts in the
QUIC connection's window, so that its client stops sending when there is too much of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from ..clock import Timer, call_later
from ..core.carrier import Part
from ..core.errors import RemoteProtocolError
from ..gates.base import Connection, Gone, Ignoring
from ..loops import begin
from ..pace import TURN
from ..transports import WEBTRANSPORT, Frame
from ..transports.webtransport import LengthDecoder

__all__ = ["Carried", "Link", "keep"]

T = TypeVar("T")

# So many bytes of a stream are parsed at once: what they bring is kept if something has to be waited for.
PIECE = 4096
# So many bytes may be on their way, or wait to be sent: what one round trip takes on a good line.
HIGH_WATER = 262_144
# How long a client has to end its side, in seconds.
CLOSE_PATIENCE = 2.0
NOBODY = Ignoring()
framed = WEBTRANSPORT.frame


def keep(unread: deque[bytes], data: bytes) -> None:
    """Keeps what has come behind what is unread. Two bytes alone would take as much as fifty."""
    if unread and len(unread[-1]) < PIECE:
        unread[-1] += data
    else:
        unread.append(data)


class Carried(Protocol):
    """The QUIC connection that a Link is on, or what stands for one."""

    transport: asyncio.Transport | None  # by which another worker brings it

    def write(self, stream_id: int, data: bytes, end: bool = False) -> None: ...

    def waiting(self, stream_id: int) -> int: ...

    def took(self, size: int) -> None: ...

    def end(self) -> None: ...


class Link:
    """See core.carrier.Link. It has a stream when the client has opened one: what is written before waits for that."""

    def __init__(self, carried: Carried, max_size: int) -> None:
        self._carried = carried
        self._decoder = LengthDecoder(max_size)
        self._connection: Connection = NOBODY
        self._stream: int | None = None
        self._early: list[Part] = []
        self._shut = False  # nothing more is written
        self._said_end = False
        self._over = False  # nothing more is taken
        self._ended = False  # the client says no more
        self.gone = False  # nor is it there
        self._unread: deque[bytes] = deque()
        self._frames: deque[Frame] = deque()
        self._awaited: Frame | None = None  # what has to be waited for is about this
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self._patience: Timer | None = None
        self.writable: bool = True

    def start(self, connection: Connection) -> None:
        """This is who is told what comes."""
        self._connection = connection
        waiting = connection.connected()
        if waiting is not None:
            self._wait_for(waiting)

    # -- a carrier's Link --------------------------------------------------------------------------------------------

    def write(self, buffers: Sequence[Part]) -> None:
        """Writes frames. A connection that is gone swallows them."""
        if self._shut or self.gone:
            return
        if self._stream is None:
            self._early += buffers
            return
        data = b"".join(buffers)  # type: ignore[arg-type] # frames are bytes
        self._carried.write(self._stream, data)
        self.writable = self._carried.waiting(self._stream) <= HIGH_WATER

    def close(self, code: int, reason: str) -> None:
        """Ends the stream behind what was written. A client that does not end its session then is cut off."""
        if self._shut:
            return
        self._shut, self.writable = True, False
        if not self.gone:
            self._say_end()
            self._patience = call_later(CLOSE_PATIENCE, self.abort)

    def _say_end(self) -> None:
        if self._stream is not None and not self._said_end:
            self._said_end = True
            self._carried.write(self._stream, b"", end=True)

    def abort(self) -> None:
        """Ends the session, and with it the connection."""
        self._carried.end()

    # -- what the connection tells -----------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection to another worker that it is on, to which its client has come."""
        return self._carried.transport

    @property
    def stream(self) -> int | None:
        """The stream that carries the frames, once the client has opened it."""
        return self._stream

    @property
    def ended(self) -> bool:
        """Whether the client says no more."""
        return self._ended

    def opened(self, stream_id: int) -> None:
        """The client has opened the stream."""
        self._stream = stream_id
        early, self._early = self._early, []
        if early:
            self._carried.write(stream_id, b"".join(early))  # type: ignore[arg-type] # frames are bytes
        if self._shut:
            self._say_end()

    def data(self, data: bytes, ended: bool) -> None:
        """Bytes have come on it, which count as unread until they are taken."""
        self._ended = self._ended or ended
        if self._over:
            self._carried.took(len(data))
        elif data:
            keep(self._unread, data)
        self._go_on()

    def turned(self) -> None:
        """What was written may have got through."""
        if not self.writable and not self._shut and self._stream is not None:
            self.writable = self._carried.waiting(self._stream) <= HIGH_WATER
            if self.writable:
                self._connection.writable_again()

    def lost(self) -> None:
        """The session is gone. What has come before is still taken."""
        if self.gone:
            return
        self.gone = self._ended = self._shut = True
        self.writable = False
        if self._patience is not None:
            self._patience.cancel()
        self._go_on()

    # -- taking ------------------------------------------------------------------------------------------------------

    async def wait(self, asking: Coroutine[Any, Any, T]) -> T:
        """Waits for what the application says of the client. Raises Gone when that has left by then."""
        result = await asking
        if self._ended:
            raise Gone
        return result

    def _go_on(self) -> None:
        if self._task is None and (waiting := self._take()) is not None:
            self._wait_for(waiting)

    def _take(self) -> Awaitable[None] | None:
        """Gives the Connection what has come; returns what has to be awaited before the rest."""
        while not self._over:
            while self._frames:
                frame = self._frames.popleft()
                waiting = self._connection.message(frame)
                self._count += 1
                if waiting is not None:
                    self._awaited = frame
                elif self._count % TURN == 0:
                    waiting = asyncio.sleep(0)  # others have their turn
                if waiting is not None:
                    return waiting
            if not self._unread:
                break
            data = self._unread.popleft()
            if len(data) > PIECE:
                self._unread.appendleft(data[PIECE:])
                data = data[:PIECE]
            self._carried.took(len(data))
            try:
                self._frames += self._decoder.feed(data)
            except RemoteProtocolError as wrong:
                self._connection.failed(wrong.close_code)
                self._leave()
                self.close(wrong.close_code, wrong.reason)
        if self._ended and not self._over:
            self._connection.closed(1000, "")
            self._leave()
            self.close(1000, "")
        return None

    def hand_over(self) -> bytes:
        """Takes nothing more, and writes nothing: another has the stream. What its client has said, from the frame on
        that is being waited for. Raises Gone where it has left."""
        if self.gone or self._over:
            raise Gone
        self._shut = True
        frames = self._frames if self._awaited is None else [self._awaited, *self._frames]
        said = b"".join([*map(framed, frames), self._decoder.rest(), *self._unread])
        self._leave()
        return said

    def _leave(self) -> None:
        """Nothing more is taken."""
        self._over = True
        self._carried.took(sum(map(len, self._unread)))
        self._unread.clear()
        self._frames.clear()
        connection, self._connection = self._connection, NOBODY
        connection.lost()

    def _wait_for(self, waiting: Awaitable[None]) -> None:
        self._task = begin(self._wait(waiting), "realtime WebTransport")

    async def _wait(self, waiting: Awaitable[None] | None) -> None:
        """Waits, and takes what has come meanwhile, until there is nothing to wait for."""
        try:
            while waiting is not None:
                await waiting
                self._awaited = None
                waiting = self._take()
        except Exception as error:
            told = {"message": "a WebTransport connection raised", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)
            self._broken()
        except asyncio.CancelledError:
            self._broken()
            raise
        finally:
            self._task = None

    def _broken(self) -> None:
        if not self._over:
            self._leave()
        self.abort()

    def leave(self) -> None:
        """Nobody waits for this any longer."""
        self.abort()
        if self._task is not None:
            self._task.cancel()
