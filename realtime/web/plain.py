"""What the routes of protocols without numbers and acks share: WebSockets, and clients that may leave meanwhile.

From a request to a gate, which knows what is to be done with it, and back.
"""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web

from ..core.dialects import Dialect
from ..endpoint import Endpoint
from ..gates.base import Connection
from ..gates.plain import PlainGate
from ..gates.plain_connection import OneSession, Wire
from ..request import SessionRequest
from ..server import Server
from .handshake import Incoming, Misfit, misfit, upgrade
from .links import WebSocketLink
from .routes import DialectRoutes
from .subprotocols import agree
from .websocket import prepare, read

__all__ = ["PlainRoutes"]

D = TypeVar("D", bound=Dialect)


class PlainRoutes(DialectRoutes[D]):
    """The routes of one such protocol."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._links: set[WebSocketLink] = set()
        server.on_shutdown.append(self._stop)

    async def _websocket(
        self, request: web.Request, endpoint: Endpoint, gate: PlainGate, wire: Wire, facts: SessionRequest
    ) -> web.StreamResponse | Misfit:
        """A WebSocket that is a session of its own, or why there is none. Raises Gone."""
        request, facts.subprotocol = agree(request, wire.subprotocols)
        ws = prepare(wire.max_size, () if facts.subprotocol is None else (facts.subprotocol,))
        wrong = misfit(request, ws)
        if wrong is not None:
            if wrong.stripped:
                self._server.note_failure(facts.remote, "websocket", "a proxy took the Upgrade header out")
            return wrong
        await upgrade(request, ws)
        incoming = Incoming(request, ws)
        link = WebSocketLink(request, ws, lambda: connection.writable_again())
        connection = OneSession(gate, facts, endpoint, wire, link, self._wait(request, incoming))
        await self._read(incoming, link, connection)
        return ws

    async def _read(self, incoming: Incoming, link: WebSocketLink, connection: Connection) -> None:
        """Reads until the connection ends. While the application shuts down, too."""
        self._links.add(link)
        try:
            await read(incoming, link, connection)
        finally:
            self._links.discard(link)

    def _stop(self) -> None:
        """Shutting down: closing handshakes are still read, bodies are not."""
        self._bodies.stop()
        for link in self._links:
            link.listen()
