"""The WebSockets of one protocol's routes: in which of two ways each is read, and how all end at shutdown.

Usually the connection is taken over (lean). aiohttp goes on reading it (websocket) where what is known of aiohttp does
not hold, and where somebody looks for mistakes. Both serve the same Connections in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, Protocol

from aiohttp import web

from ..clock import Timer, call_later
from ..core.carrier import Link
from ..gates.base import Connection
from . import websocket
from .handshake import Incoming, Reading
from .lean import LeanLink
from .links import CLOSE_PATIENCE, WebSocketLink
from .parsing import Shared
from .takeover import LeanResponse, take_over, unfit
from .threshold import Carry

__all__ = ["Connect", "Sockets", "prepare"]

log: logging.Logger = logging.getLogger("realtime.server")

# What a protocol makes of a connection: that takes what comes, and may ask the other whether its client is there.
Connect = Callable[[Link, Reading], Connection]

# Whether connections are taken over. Not a setting: tests and measurements compare the two ways.
TAKING_OVER = True


def prepare(request: web.Request, max_size: int, subprotocols: Sequence[str] = ()) -> web.WebSocketResponse:
    """A response to a handshake, for messages of at most `max_size` bytes each."""
    why = unfit(request) if TAKING_OVER else "switched off"
    if why is None:
        return LeanResponse(request, max_size, subprotocols)
    log.debug("aiohttp reads this WebSocket: %s", why)
    return websocket.prepare(max_size, subprotocols)


class Taken(Protocol):
    """A connection that was taken over, at the end of a shutdown."""

    def close(self, code: int, reason: str) -> None:
        """Ends it behind what was written. Idempotent."""

    def ending(self) -> asyncio.Future[None]:
        """Done when it is gone."""

    def leave(self) -> None:
        """Nobody waits for it any longer."""


class Sockets:
    """Serves WebSockets, each by the Connection that is made for it, and keeps all that was taken over from aiohttp,
    streams as well. Shut down by listen(), and then ended()."""

    def __init__(self, patience: Callable[[], float]) -> None:
        """`patience` says how long the peer of a stream that has ended may take to read the rest, in seconds."""
        self.patience: Callable[[], float] = patience
        self.served: dict[LeanLink | WebSocketLink, Connection] = {}
        self._parsers: dict[int, Shared] = {}
        self._taken: set[Taken] = set()  # those of which aiohttp knows nothing
        self._closing: dict[LeanLink, float] = {}  # when each of those is cut off, in this order
        self._timer: Timer | None = None  # for the first of these

    def serve(
        self, request: web.Request, ws: web.WebSocketResponse, connect: Connect, carry: Carry | None = None
    ) -> Coroutine[Any, Any, None]:
        """Serves a connection whose handshake is answered: until it ends, or by itself from now on. Raises Gone.

        With `carry` its first frames may name a session of another worker.
        """
        if isinstance(ws, LeanResponse):
            log.debug("this WebSocket is taken over from aiohttp")
            return take_over(request, ws, connect, self, carry)
        return self._serve(request, ws, connect, carry)

    async def _serve(
        self, request: web.Request, ws: web.WebSocketResponse, connect: Connect, carry: Carry | None
    ) -> None:
        incoming = Incoming(request, ws)
        link = WebSocketLink(request, ws, lambda: connection.writable_again())
        connection = self.served[link] = connect(link, incoming)
        try:
            await websocket.read(request, incoming, link, connection, carry)
        finally:
            del self.served[link]

    def parser(self, max_size: int) -> Shared:
        """The Parser that all share which take messages of that size."""
        parser = self._parsers.get(max_size)
        if parser is None:
            parser = self._parsers[max_size] = Shared(max_size)
        return parser

    def taken(self, link: LeanLink, connection: Connection) -> None:
        """A connection was taken over."""
        self._taken.add(link)
        self.served[link] = connection

    def closing(self, link: LeanLink, loop: asyncio.AbstractEventLoop) -> None:
        """A closing handshake has begun: a connection that is not over in time is cut off."""
        self._closing[link] = loop.time() + CLOSE_PATIENCE
        if self._timer is None:
            self._timer = call_later(CLOSE_PATIENCE, partial(self._cut_off, loop))

    def _cut_off(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for link in [link for link, _ in takewhile(lambda one: one[1] <= now, self._closing.items())]:
            del self._closing[link]
            link.abort()
        first = next(iter(self._closing.values()), None)
        self._timer = None if first is None else call_later(first - now, partial(self._cut_off, loop))

    def over(self, link: LeanLink) -> None:
        """A connection that was taken over is gone, and everything that it brought was taken."""
        self._taken.discard(link)
        self.served.pop(link, None)
        self._closing.pop(link, None)

    def keep(self, taken: Taken) -> None:
        """The connection of a stream was taken over."""
        self._taken.add(taken)

    def let_go(self, taken: Taken) -> None:
        """It is gone."""
        self._taken.discard(taken)

    def listen(self) -> None:
        """The application shuts down: closing handshakes are still read."""
        for link in self.served:
            if isinstance(link, WebSocketLink):
                link.listen()

    async def ended(self) -> None:
        """Waits for those that were taken over, as aiohttp does for its own: until they have ended, and not for long.
        Sessions have closed theirs by now."""
        for link in tuple(self._taken):
            link.close(1001, "the server is going away")
        # Each is cut off by itself after that time; then only what somebody else takes long for is left.
        if self._taken:
            await asyncio.wait([link.ending() for link in self._taken], timeout=CLOSE_PATIENCE + 0.5)
        for link in tuple(self._taken):
            link.leave()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
