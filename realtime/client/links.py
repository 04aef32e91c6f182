"""The client's carriers over aiohttp: a WebSocket's writing half, and the nothing that a poll writes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from aiohttp import ClientError, ClientWebSocketResponse

from ..core.carrier import Part
from ..core.errors import clip

__all__ = ["PollLink", "StreamLink", "WebSocketLink"]


class WebSocketLink:
    """Queues frames and writes them from a task of its own, since aiohttp's client writes by awaiting."""

    def __init__(self, writable_again: Callable[[], None]) -> None:
        self._writable_again = writable_again
        self._queue: deque[Part] = deque()
        self._news = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self.aborted: Callable[[], None] | None = None  # how the reading side is told to stop

    @property
    def writable(self) -> bool:
        """False while something waits to be written, or after close()."""
        return not self._queue and self._closing is None

    def write(self, buffers: Sequence[Part]) -> None:
        """Queues messages; they go when the connection is there and takes them."""
        if self._closing is None:
            self._queue += buffers
            self._news.set()

    def close(self, code: int, reason: str) -> None:
        """Closes behind what is queued."""
        if self._closing is None:
            self._closing = (code, reason)
            self._news.set()

    def abort(self) -> None:
        """Stops reading and writing; the connection is closed in the background."""
        self._closing = (1006, "")
        if self.aborted is not None:
            self.aborted()

    async def run(self, ws: ClientWebSocketResponse) -> None:
        """Writes until closed. The reading side reports a connection that is gone."""
        try:
            while True:
                while self._queue:
                    # What is being written stays at the head of the queue until it is: writable says so.
                    part = self._queue[0]
                    await (ws.send_str(part) if isinstance(part, str) else ws.send_bytes(part))
                    self._queue.popleft()
                if self._closing is not None:
                    code, reason = self._closing
                    await ws.close(code=code, message=clip(reason).encode())
                    return
                self._news.clear()
                self._writable_again()
                await self._news.wait()
        except (ClientError, ConnectionError):
            return


class StreamLink:
    """A stream only brings; what goes up goes by POSTs."""

    writable = False

    def __init__(self) -> None:
        self.aborted: Callable[[], None] | None = None  # how the reading side is told to stop

    def write(self, buffers: Sequence[Part]) -> None:
        """Nothing to write on."""

    def close(self, code: int, reason: str) -> None:
        """Stops reading."""
        self.abort()

    def abort(self) -> None:
        """Stops reading."""
        if self.aborted is not None:
            self.aborted()


class PollLink:
    """A poll is written whole when it starts; nothing can be added."""

    writable = False

    def __init__(self) -> None:
        self.aborted: Callable[[], None] | None = None  # how a poll is told that it is not wanted any more

    def write(self, buffers: Sequence[Part]) -> None:
        """Nothing to write on."""

    def close(self, code: int, reason: str) -> None:
        """The answer ends it."""

    def abort(self) -> None:
        """Does not wait for the answer. A send has its own time-out."""
        if self.aborted is not None:
            self.aborted()
