"""Its URLs."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from realtime.core.carrier import Carrier
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.endpoint import Endpoint
from realtime.gates.base import Gone
from realtime.gates.plain import PlainGate
from realtime.gates.plain_connection import Wire
from realtime.gates.requests import Unreadable
from realtime.service import Service
from realtime.web.bodies import turn_away
from realtime.web.handshake import Misfit, left_behind
from realtime.web.links import HeldLink
from realtime.web.origins import Admission
from realtime.web.plain import PlainRoutes
from realtime.web.watch import DisconnectWatch

from .protocol import KIND, LINES, WEBSOCKET, Toy, parse

__all__ = ["ToyRoutes"]


class ToyRoutes(PlainRoutes[Toy]):
    """Serves `<endpoint>/toy`, or a path of its own."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._gate = PlainGate(service)
        self._watch = DisconnectWatch(service.clock)

    def takes(self, request: web.Request, endpoint: Endpoint, options: Toy, rest: str) -> bool:
        """What is below the endpoint."""
        return rest == "/toy" or rest.startswith("/toy/")

    async def handle(self, request: web.Request, endpoint: Endpoint, options: Toy, rest: str) -> web.StreamResponse:
        """Any of them."""
        name = rest.removeprefix("/toy/") if rest.startswith("/toy/") else ""
        try:
            admission = self._check_page(request)
            if name:
                serve = self._send if request.method == "POST" else self._poll
                response = await serve(request, endpoint, options, f"toy {endpoint.path} {name}", admission)
            else:
                wire = Wire(WEBSOCKET, partial(parse, options), KIND, endpoint.config.max_body)
                facts = self._facts(request, "websocket", admission)
                answered = await self._websocket(request, endpoint, self._gate, wire, facts)
                if not isinstance(answered, Misfit):
                    return answered
                response = web.Response(status=400, text=answered.reason)
        except Gone:
            return left_behind()
        except Unreadable as unreadable:
            return await turn_away(request, _refused(unreadable.refusal))
        except (Refusal, RemoteProtocolError) as refused:
            response = _refused(refused)
        return await self._finished(request, response)

    async def _poll(
        self, request: web.Request, endpoint: Endpoint, options: Toy, name: str, admission: Admission
    ) -> web.Response:
        link = HeldLink(request)
        carrier = Carrier(LINES, link, self._service.clock.now())
        facts = self._facts(request, LINES.name, admission)
        session = await self._gate.take_up(facts, endpoint, KIND, name, carrier, self._wait(request))
        self._watch.add(link)
        try:
            return web.Response(body=await link.answer)
        finally:
            self._watch.discard(link)
            self._gate.lost(session, carrier)

    async def _send(
        self, request: web.Request, endpoint: Endpoint, options: Toy, name: str, admission: Admission
    ) -> web.Response:
        facts = self._facts(request, LINES.name, admission)
        read = partial(self._whole_body, request, endpoint.config)
        taken = await self._gate.send(facts, name, read, endpoint.config.max_body, partial(parse, options))
        return web.Response(status=204 if taken else 404)


def _refused(error: Refusal | RemoteProtocolError) -> web.Response:
    return web.Response(status=error.http_status, text=error.reason)
