"""Engine.IO over aiohttp: from a request to a carrier of an EngineMachine, at the path its clients ask for.

What is refused gets the protocol's own error, `{"code":n,"message":"…"}`.
"""

from __future__ import annotations

import json
import math
from functools import partial

from aiohttp import web

from ..core.errors import Refusal, RemoteProtocolError
from ..endpoint import Endpoint
from ..gates.base import Gone
from ..gates.engineio import EngineGate, Visit
from ..gates.requests import Unreadable
from ..owners import Elsewhere
from ..protocols.engineio.options import WEBSOCKET, EngineIO
from ..protocols.engineio.payloads import is_binary, jsonp
from ..protocols.engineio.requests import BAD_REQUEST, FORBIDDEN, EngineIOError, EngineQuery
from ..service import Service
from .answers import bodiless
from .bodies import turn_away
from .carried import hop_of
from .handshake import left_behind, misfit, upgrade
from .links import HeldLink
from .origins import cors_headers
from .plain import PlainRoutes
from .replies import SAFE
from .routes import preflight
from .sockets import prepare
from .subprotocols import agree
from .watch import DisconnectWatch

__all__ = ["EngineRoutes"]

OCTETS = "application/octet-stream"


class EngineRoutes(PlainRoutes[EngineIO]):
    """Serves Engine.IO clients, at the path of their own that each endpoint has for them."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._gate = EngineGate(service)
        self._watch = DisconnectWatch(service.clock)

    def takes(self, request: web.Request, endpoint: Endpoint, options: EngineIO, rest: str) -> bool:
        """Nothing at an endpoint's own path."""
        return False

    async def handle(
        self, request: web.Request, endpoint: Endpoint, options: EngineIO, rest: str
    ) -> web.StreamResponse:
        """Any request at its path."""
        try:
            response = await self._serve(request, endpoint, options)
        except Gone:
            return left_behind()
        except EngineIOError as error:
            response = _answer(request, error)
        except Unreadable as unreadable:
            self._service.refused(unreadable.refusal.code)
            response = _answer(request, EngineIOError.of(unreadable.refusal))
            return await turn_away(request, response, linger=not self._service.closing)
        except RemoteProtocolError as error:
            self._service.refused(error.close_code)
            status = 413 if error.close_code in (1009, 4413) else 400
            response = _answer(request, EngineIOError(BAD_REQUEST, status=status))
            if status == 413:  # of which the protocol's own server says nothing more
                response = web.Response(status=413, headers=SAFE | cors_headers(request.headers))
        return await self._finished(request, response)

    async def _serve(self, request: web.Request, endpoint: Endpoint, options: EngineIO) -> web.StreamResponse:
        try:
            admission = self._check_page(request, scripted="j" in request.query)
        except Refusal as refusal:
            self._service.refused(refusal.code)
            response = _answer(request, EngineIOError(FORBIDDEN, status=403))
            for name in cors_headers(request.headers):  # the page must learn nothing more
                response.headers.popall(name, None)
            response.headers["Vary"] = "Origin"
            return response
        if request.method == "OPTIONS":
            return bodiless(204, preflight(request))
        try:
            query = EngineQuery.of(request.query, options)
            wrong = misfit(agree(request)[0], web.WebSocketResponse()) if query.transport == WEBSOCKET else None
            if wrong is not None:
                raise EngineIOError(BAD_REQUEST, f"Bad request: {wrong.reason}", headers=wrong.headers)
            facts = self._facts(request, query.transport, admission)
            try:
                visit = await self._gate.enter(facts, endpoint, options, query, self._wait(request))
            except Elsewhere as elsewhere:
                return await self._carry(request, elsewhere, endpoint.config)
            headers = {}
            if visit.opening and options.cookie is not None:
                headers["Set-Cookie"] = f"{options.cookie}={visit.session.id}; {options.cookie_attributes}"
            if query.transport == WEBSOCKET:
                return await self._connection(request, visit, headers)
            return await (self._poll if request.method == "GET" else self._post)(request, visit, headers)
        except Refusal as refusal:
            self._service.refused(refusal.code)
            raise EngineIOError.of(refusal) from None

    async def _poll(self, request: web.Request, visit: Visit, headers: dict[str, str]) -> web.Response:
        """Parks a poll until there is something to answer. Raises Refusal when it may not."""
        link = HeldLink(request)
        carrier = visit.poll(link)
        self._watch.add(link)
        try:
            body = await link.answer
        finally:
            self._watch.discard(link)
            visit.cut(carrier)
        visit.answered(body, hop_of(request))
        index = visit.query.jsonp
        if index is not None:
            return _whole(request, jsonp(index, body), "text/javascript; charset=utf-8", headers)
        kind = OCTETS if is_binary(body) else "text/plain; charset=UTF-8"
        return _whole(request, body, kind, headers)

    async def _post(self, request: web.Request, visit: Visit, headers: dict[str, str]) -> web.Response:
        """Takes what a POST brings. Raises RemoteProtocolError, Refusal and Unreadable."""
        # aiohttp takes what says nothing of itself for bytes; it is text.
        binary = request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == OCTETS
        read = partial(self._whole_body, request, visit.machine.config)
        await visit.post(HeldLink(request), read, binary=binary)
        # Not text/plain: an iframe, which is what posts for JSONP, would offer that as a download.
        return _whole(request, b"ok", "text/html; charset=utf-8", headers)

    async def _connection(self, request: web.Request, visit: Visit, headers: dict[str, str]) -> web.StreamResponse:
        """A WebSocket that opens a session, or that names one and is tried. Raises Gone."""
        request, _ = agree(request)
        ws = prepare(request, visit.machine.options.max_payload + 1)
        ws.headers.update(headers)
        try:
            await upgrade(request, ws)
            await self._sockets.serve(request, ws, lambda link, _: visit.connection(link))
        finally:
            visit.left()
        return ws

    def _stop(self) -> None:
        """Shutting down: no body is waited for, nor a WebSocket that is only tried."""
        super()._stop()
        self._gate.stop()


def _whole(request: web.Request, body: bytes, kind: str, headers: dict[str, str]) -> web.Response:
    """An answer that says 200."""
    answered = {"Content-Type": kind} | SAFE | cors_headers(request.headers) | headers
    return web.Response(body=body, headers=answered)


def _answer(request: web.Request, error: EngineIOError) -> web.Response:
    """An error of the protocol."""
    headers = {"Content-Type": "application/json"} | SAFE | cors_headers(request.headers) | error.headers
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    told = json.dumps({"code": error.code, "message": error.message}, separators=(",", ":"))
    return web.Response(status=error.status, text=told, headers=headers)
