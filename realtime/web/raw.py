"""Plain WebSocket clients over aiohttp, at an endpoint's own URL: messages as they are (protocols/raw)."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ..core.errors import Refusal
from ..core.plain_machine import PlainMachine
from ..endpoint import Endpoint
from ..gates.base import Gone
from ..gates.plain import PlainGate
from ..gates.plain_connection import Wire
from ..protocols.raw import CODEC, Raw
from ..service import Service
from .handshake import Misfit, left_behind, wants_websocket
from .plain import PlainRoutes
from .replies import SAFE, in_words

__all__ = ["RawRoutes"]

KIND = partial(PlainMachine, capabilities=CODEC.capabilities)


def _as_it_is(data: str | bytes) -> tuple[str | bytes]:
    return (data,)


class RawRoutes(PlainRoutes[Raw]):
    """Serves `<endpoint>` to WebSocket clients of any kind."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._gate = PlainGate(service)

    def takes(self, request: web.Request, endpoint: Endpoint, options: Raw, rest: str) -> bool:
        """A handshake at the endpoint's own URL, or what was one before a proxy changed it."""
        return not rest and wants_websocket(request) and "websocket" in endpoint.config.transports

    async def handle(self, request: web.Request, endpoint: Endpoint, options: Raw, rest: str) -> web.StreamResponse:
        """A handshake, or what should have been one."""
        try:
            admission = self._check_page(request)
        except Refusal as refusal:
            self._service.refused(refusal.code)
            return in_words(refusal.http_status, refusal.reason, SAFE | {"Vary": "Origin"})
        # aiohttp counts a message of just the limit as too large.
        wire = Wire(CODEC, _as_it_is, KIND, endpoint.config.max_size + 1, options.subprotocols)
        facts = self._facts(request, "websocket", admission)
        try:
            response = await self._websocket(request, endpoint, self._gate, wire, facts)
        except Gone:
            return left_behind()
        if isinstance(response, Misfit):
            self._service.refused(4400)
            return in_words(400, f"Not a valid websocket request: {response.reason}", SAFE | response.headers)
        return response
