"""What the routes of protocols without numbers and acks share: WebSockets, and clients that may leave meanwhile.

From a request to a gate, which knows what is to be done with it, and back.
"""

from __future__ import annotations

from typing import TypeVar

from aiohttp import web

from ..core.dialects import Dialect
from ..endpoint import Endpoint
from ..gates.plain import PlainGate
from ..gates.plain_connection import OneSession, Wire
from ..request import SessionRequest
from ..service import Service
from .handshake import Misfit, misfit, upgrade
from .routes import DialectRoutes
from .sockets import prepare
from .subprotocols import agree

__all__ = ["PlainRoutes"]

D = TypeVar("D", bound=Dialect)


class PlainRoutes(DialectRoutes[D]):
    """The routes of one such protocol."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        service.on_shutdown.append(self._stop)

    async def _websocket(
        self, request: web.Request, endpoint: Endpoint, gate: PlainGate, wire: Wire, facts: SessionRequest
    ) -> web.StreamResponse | Misfit:
        """A WebSocket that is a session of its own, or why there is none. Raises Gone."""
        request, facts.subprotocol = agree(request, wire.subprotocols)
        ws = prepare(request, wire.max_size, () if facts.subprotocol is None else (facts.subprotocol,))
        wrong = misfit(request, ws)
        if wrong is not None:
            if wrong.stripped:
                self._service.networks.note_failure(facts.remote, "websocket", "a proxy took the Upgrade header out")
            return wrong
        await upgrade(request, ws)
        await self._sockets.serve(
            request,
            ws,
            lambda link, reading: OneSession(gate, facts, endpoint, wire, link, self._wait(request, reading)),
        )
        return ws

    def _stop(self) -> None:
        """Shutting down: closing handshakes are still read, bodies are not."""
        self._bodies.stop()
        self._sockets.listen()
