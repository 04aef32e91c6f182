"""Engine.IO over aiohttp: from a request to a carrier of an EngineMachine, at the path its clients ask for.

What is refused gets the protocol's own error, `{"code":n,"message":"…"}`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import math

from aiohttp import web

from ..core.carrier import Carrier
from ..core.errors import LocalProtocolError, Refusal, RemoteProtocolError
from ..endpoint import Endpoint
from ..gates.base import Gone
from ..protocols.engineio.codec import Codec, codec
from ..protocols.engineio.machine import EngineMachine
from ..protocols.engineio.options import POLLING, WEBSOCKET, EngineIO
from ..protocols.engineio.packets import Packet, decode
from ..protocols.engineio.payloads import is_binary, jsonp, split, unwrap_form
from ..request import SessionRequest
from ..server import Server
from ..session import Session
from .backlog import TURN, Backlog, wait_for_packet
from .bodies import Unreadable, guard, turn_away
from .handshake import Incoming, left_behind, misfit, upgrade
from .links import HeldLink, WebSocketLink
from .origins import cors_headers
from .plain import PlainRoutes
from .replies import SAFE
from .routes import preflight
from .subprotocols import agree
from .watch import DisconnectWatch

__all__ = ["EngineRoutes"]

# The protocol's errors.
UNKNOWN_TRANSPORT = 0
UNKNOWN_SID = 1
BAD_METHOD = 2
BAD_REQUEST = 3
FORBIDDEN = 4
BAD_VERSION = 5
MESSAGES = (
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
)
# Refusals that say something of their own; all others are bad requests.
TOLD = (4401, 4403, 4408, 4413, 4429, 4503)
# What a form may bring beside its field, in bytes.
FORM_SIZE = 4096
# What stands for a packet that cannot be read where an upgrade is tried.
NONSENSE = Packet("")
OCTETS = "application/octet-stream"
# Digits of the number of a JSONP client.
MAX_INDEX = 16


class EngineIOError(Exception):
    """A request that the protocol has an error for."""

    def __init__(
        self,
        code: int,
        message: str = "",
        status: int = 400,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message = message or MESSAGES[code]
        self.status = status
        self.retry_after = retry_after
        self.headers = headers or {}

    @classmethod
    def of(cls, refusal: Refusal) -> EngineIOError:
        """A refusal, in the protocol's terms."""
        if refusal.scope == "session":
            return cls(UNKNOWN_SID)
        if refusal.code in TOLD:
            return cls(FORBIDDEN, f"Forbidden: {refusal.reason}", refusal.http_status, refusal.retry_after)
        return cls(BAD_REQUEST)


class EngineRoutes(PlainRoutes):
    """Serves the Engine.IO clients of all endpoints of a server that have a path for them."""

    def __init__(self, server: Server, router: web.UrlDispatcher) -> None:
        super().__init__(server)
        self._router = router
        self._watch = DisconnectWatch(server.clock)
        self._backlogs: dict[Session, Backlog] = {}
        server.on_endpoint.append(self.add)
        for endpoint in server.endpoints.values():
            self.add(endpoint)

    def add(self, endpoint: Endpoint) -> None:
        """Routes for an endpoint, if it has a path for such clients. Raises LocalProtocolError when it is too late."""
        options = endpoint.engineio
        if options is None:
            return
        if self._router.frozen:
            raise LocalProtocolError(
                f"the endpoint {endpoint.path!r} has engineio=…, and aiohttp takes no new path once the application has"
                " started: register it before"
            )

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(request, endpoint, options)

        for path in (options.route, f"{options.route}/"):
            self._router.add_route("*", path, guard(self._server, handle))

    async def _handle(self, request: web.Request, endpoint: Endpoint, options: EngineIO) -> web.StreamResponse:
        try:
            response = await self._serve(request, endpoint, options)
        except Gone:
            return left_behind()
        except EngineIOError as error:
            response = _answer(request, error)
        except Unreadable as unreadable:
            self._server.refused(unreadable.refusal.code)
            response = _answer(request, EngineIOError.of(unreadable.refusal))
            return await turn_away(request, response, linger=not self._server.closing)
        except RemoteProtocolError as error:
            self._server.refused(error.close_code)
            status = 413 if error.close_code in (1009, 4413) else 400
            response = _answer(request, EngineIOError(BAD_REQUEST, status=status))
            if status == 413:  # of which the protocol's own server says nothing more
                response = web.Response(status=413, headers=SAFE | cors_headers(request.headers))
        return await self._finished(request, response)

    async def _serve(self, request: web.Request, endpoint: Endpoint, options: EngineIO) -> web.StreamResponse:
        try:
            self._check_page(request, scripted="j" in request.query)
        except Refusal as refusal:
            self._server.refused(refusal.code)
            response = _answer(request, EngineIOError(FORBIDDEN, status=403))
            for name in cors_headers(request.headers):  # the page must learn nothing more
                response.headers.popall(name, None)
            response.headers["Vary"] = "Origin"
            return response
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=preflight(request))
        try:
            transport = request.query.get("transport", "")
            if transport not in options.transports:
                raise EngineIOError(UNKNOWN_TRANSPORT)
            if request.query.get("EIO") not in [str(version) for version in options.versions]:
                raise EngineIOError(BAD_VERSION)
            if "j" in request.query and not _is_index(request.query["j"]):
                raise EngineIOError(BAD_REQUEST)
            wrong = misfit(agree(request)[0], web.WebSocketResponse()) if transport == WEBSOCKET else None
            if wrong is not None:
                raise EngineIOError(BAD_REQUEST, f"Bad request: {wrong.reason}", headers=wrong.headers)
            sid = request.query.get("sid", "")
            if not sid:
                return await self._handshake(request, endpoint, options, transport)
            session, machine = await self._find(request, endpoint, sid)
            if transport == WEBSOCKET:
                return await self._upgrade(request, session, machine, {}, opening=False)
            machine.check_polling(self._server.clock.now())
            if request.method == "GET":
                return await self._poll(request, machine, {}, opening=False)
            if request.method == "POST":
                return await self._post(request, session, machine)
            raise EngineIOError(BAD_REQUEST)
        except Refusal as refusal:
            self._server.refused(refusal.code)
            raise EngineIOError.of(refusal) from None

    # -- sessions ----------------------------------------------------------------------------------------------------

    async def _handshake(
        self, request: web.Request, endpoint: Endpoint, options: EngineIO, transport: str
    ) -> web.StreamResponse:
        """A handshake. Raises EngineIOError, Refusal and Gone."""
        if request.method != "GET":
            raise EngineIOError(BAD_METHOD)
        version = int(request.query["EIO"])
        base64 = bool(request.query.get("b64")) or "j" in request.query
        kind = functools.partial(EngineMachine, version=version, options=options, text_only=base64)
        session = await self._open(request, endpoint, self._facts(request, transport, None), kind)
        machine = session._machine
        assert isinstance(machine, EngineMachine)
        headers = {}
        if options.cookie is not None:
            headers["Set-Cookie"] = f"{options.cookie}={session.id}; {options.cookie_attributes}"
        if transport == POLLING:
            return await self._poll(request, machine, headers, opening=True)
        return await self._upgrade(request, session, machine, headers, opening=True)

    async def _find(self, request: web.Request, endpoint: Endpoint, sid: str) -> tuple[Session, EngineMachine]:
        """The session that a request names, if the request may. Raises Refusal and EngineIOError."""
        session = await self._server.route(sid)
        machine = session._machine
        if session.path != endpoint.path or not isinstance(machine, EngineMachine):
            raise EngineIOError(UNKNOWN_SID)
        if request.query["EIO"] != str(machine.version):
            raise EngineIOError(BAD_REQUEST)
        facts: SessionRequest = self._facts(request, request.query["transport"], None)
        await self._server.admit(session, facts)
        return session, machine

    # -- long-polling ------------------------------------------------------------------------------------------------

    async def _poll(
        self, request: web.Request, machine: EngineMachine, headers: dict[str, str], *, opening: bool
    ) -> web.Response:
        """Parks a poll until there is something to answer. Raises Refusal when it may not."""
        now = self._server.clock.now
        link = HeldLink(request)
        carrier = Carrier(_codec(machine, POLLING, "j" in request.query), link, now())
        if opening:
            machine.begin(carrier, now())
        else:
            machine.poll(carrier, now())
        self._watch.add(link)
        try:
            body = await link.answer
        finally:
            self._watch.discard(link)
            if not carrier.finished:  # cancelled, or its connection is gone
                machine.lost(carrier, now(), reason="the poll was cut")
        index = request.query.get("j")
        if index is not None:
            return _whole(request, jsonp(index, body), "text/javascript; charset=utf-8", headers)
        kind = OCTETS if is_binary(body) else "text/plain; charset=UTF-8"
        return _whole(request, body, kind, headers)

    async def _post(self, request: web.Request, session: Session, machine: EngineMachine) -> web.Response:
        """Takes what a POST brings; it is answered when the application has room for more (see backlog)."""
        now = self._server.clock.now
        if machine.posting:
            machine.end(1002, "two POSTs at once", now())
            raise machine.refusal()
        machine.posting = True
        try:
            await self._take_in(request, session, machine)
        finally:
            machine.posting = False
        # Not text/plain: an iframe, which is what posts for JSONP, would offer that as a download.
        return _whole(request, b"ok", "text/html; charset=utf-8", {})

    async def _take_in(self, request: web.Request, session: Session, machine: EngineMachine) -> None:
        now = self._server.clock.now
        limit = machine.options.max_payload
        form = "j" in request.query
        try:
            body = await self._whole_body(request, machine.config, 3 * limit + FORM_SIZE if form else limit)
        except Unreadable:
            machine.end(1006, "a POST was cut", now())
            raise
        machine.check_polling(now())
        try:
            if form:
                body = unwrap_form(body)
                if len(body) > limit:
                    raise RemoteProtocolError(4413, f"the payload is above {limit} bytes")
            # aiohttp takes what says nothing of itself for bytes; it is text.
            binary = request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == OCTETS
            packets = split(machine.version, body, binary=binary)
            for count, _ in enumerate(packets, 1):  # a payload is taken whole or not at all
                if count % TURN == 0:
                    await asyncio.sleep(0)
                    machine.check_polling(now())
            carrier = Carrier(_codec(machine, POLLING, False), HeldLink(request), now())
            backlog = self._backlogs.get(session) or Backlog(session, machine, now, self._backlogs)
            await backlog.bring(carrier, packets, len(body))
        except RemoteProtocolError as error:
            if error.close_code < 4000:
                machine.fail(error, now())
            raise

    # -- WebSocket ---------------------------------------------------------------------------------------------------

    async def _upgrade(
        self,
        request: web.Request,
        session: Session,
        machine: EngineMachine,
        headers: dict[str, str],
        *,
        opening: bool,
    ) -> web.StreamResponse:
        """A WebSocket that opens a session, or that names one and is tried. Raises Gone."""
        now = self._server.clock.now
        request, _ = agree(request)
        ws = web.WebSocketResponse(
            compress=False, autoclose=False, autoping=False, max_msg_size=machine.options.max_payload + 1
        )
        ws.headers.update(headers)
        link = WebSocketLink(request, ws, session._listener.dirty)
        carrier = Carrier(_codec(machine, WEBSOCKET, bool(request.query.get("b64"))), link, now())

        def read(data: str | bytes) -> Packet:
            try:
                return decode(machine.version, data)
            except RemoteProtocolError:
                if machine.trial is not carrier:
                    raise
                return NONSENSE

        async def take(data: str | bytes) -> None:
            try:
                packet = read(data)
                if machine.trial is not carrier:
                    if session in self._backlogs:
                        await self._backlogs[session].passed()
                    await wait_for_packet(session, machine, packet)
                machine.feed(carrier, packet, now())
                if session in self._backlogs:
                    self._backlogs[session].hurry()
            except RemoteProtocolError as error:
                machine.fail(error, now())

        try:
            await upgrade(request, ws)
            if opening:
                machine.begin(carrier, now())
            elif not machine.connect(carrier, now()):
                carrier.finish([], 1000, "another connection carries this session")
            await self._read(Incoming(request, ws), link, machine, carrier, take)
        finally:
            if opening and not machine.gen:
                machine.end(1006, "the connection was lost", now())
        return ws

    def _stop(self) -> None:
        """Shutting down: no body is waited for, nor a WebSocket that is only tried."""
        super()._stop()
        for session in self._server.sessions:
            machine = session._machine
            if isinstance(machine, EngineMachine) and machine.trial is not None:
                trial = machine.trial
                machine.lost(trial, self._server.clock.now())
                trial.link.close(1001, "")


def _codec(machine: EngineMachine, transport: str, base64: bool) -> Codec:
    """Whether a client takes bytes it says when it opens, and again for each WebSocket."""
    return codec(machine.version, transport, base64=base64 or (transport == POLLING and machine.text_only))


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_INDEX


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
