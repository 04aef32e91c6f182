"""The native protocol over aiohttp: from a request to a carrier, every refusal readable (docs/protocol.md §2, §9)."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ..core.carrier import Link, NumberedCarrier, Shape
from ..core.errors import Refusal, RemoteProtocolError
from ..endpoint import Endpoint, stand_in
from ..gates.base import Gone, Ignoring, wait
from ..gates.native import Begun, is_probe, probed, tell
from ..gates.native_connection import NativeConnection
from ..owners import Elsewhere
from ..protocols.native import VERSION, NativeCodec, Open, parse_open_in_url
from ..request import SessionRequest
from ..service import Service
from ..transports import ALL_TRANSPORTS, TRANSPORTS, Facts, Frame, Transport
from ..transports.batch import decode_body
from ..transports.form import parse_text_field
from .access import log_path_only
from .answers import Answer, bodiless
from .batches import EMPTY, HEAD_SIZE, LEAST_BATCH, Batches
from .bodies import at_hand, is_packed, turn_packed_away
from .carried import carried, carrying
from .handshake import Reading, misfit, upgrade
from .lingering import Lingering
from .links import NoLink, PollLink, is_gone
from .origins import Admission, cors_headers
from .paths import NativeMatch
from .refusals import REFUSALS, refuse
from .replies import (
    CODECS,
    PLAIN,
    REPLIES,
    SAFE,
    Reply,
    query_of,
    refused,
    reply_by_script,
    respond,
    turned_away,
)
from .routes import preflight
from .sockets import prepare
from .straight import Straight
from .streams import ALONE, Course, StreamLink, run_stream
from .subprotocols import PROTOCOL, agree
from .watch import DisconnectWatch

__all__ = ["NativeRoutes"]

# What the gate is told of a request that goes on with a session, where no hook would be asked about it.
GOING_ON = {
    (method, name): SessionRequest(method=method, transport=name)
    for method in ("GET", "POST")
    for name in ("send", *TRANSPORTS)
}
NO_LINK = NoLink()
STREAMS = frozenset(name for name, transport in TRANSPORTS.items() if transport.shape is Shape.STREAM)
# How long a stream that was only probed goes on.
PROBE_SECONDS = 5.0


class NativeRoutes(Batches):
    """Serves `<endpoint>/v1/<transport>` for all endpoints of a server."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._probes: set[StreamLink] = set()
        self._watch = DisconnectWatch(service.clock)
        self.lingering: Lingering = Lingering()
        self.straight: Straight = Straight(self._gate, self.lingering)
        service.on_shutdown.append(self._stop)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request below an endpoint."""
        if request.rel_url.raw_query_string:
            log_path_only(request)
        if "Content-Encoding" in request.headers and is_packed(request):  # see guard()
            return await turn_packed_away(self._service, request)
        name = (match := request.match_info)["transport"]
        if name != "websocket" and request.transport not in self.lingering.connections:
            self.lingering.note(request)
        script, reply = None, PLAIN
        if name != "websocket":
            plain = request.method == "POST" and request.headers.get("Content-Type", "").startswith("text/plain")
            script, reply = None if plain else reply_by_script(request, name), REPLIES.get(name, PLAIN)
        endpoint: Endpoint | None = None
        body: bytes | None = None
        response: web.StreamResponse
        try:
            page = self._check_page(request, scripted=script is not None)
            admitted = match.admitted if type(match) is NativeMatch else None
            endpoint = admitted or self._admit(request, name, scripted=script is not None)
            config = endpoint.config
            if endpoint.durable and (cluster := carrying(self._service)) is not None:
                cluster.seen(request)  # it may take a session over
            try:
                if request.method == "OPTIONS":
                    response = bodiless(204, preflight(request))
                elif name == "websocket":
                    response = await self._websocket(request, endpoint, page)
                else:
                    shared = self._service.carrying is not None or endpoint.durable
                    if shared and request.method == "POST" and carried(request) is None:
                        body = await self._bodies.beginning(request, config.request_timeout)
                        await self._whose(request, body)
                    if script is not None:
                        reply = await self._reply_by(script, request, config, body)
                    if name in STREAMS:
                        response = await self._stream(request, endpoint, page, name, reply, body)
                    else:
                        whole = None if script is not None or body else at_hand(request, config.max_open_body)
                        if whole is None:
                            frames, body = await self._frames(request, endpoint, reply, body)
                        else:
                            frames = decode_body(whole, max(config.max_batch, LEAST_BATCH), config.max_body)
                        if not frames:
                            raise RemoteProtocolError(4400, EMPTY)
                        serve = self._send if name == "send" else self._poll
                        response = await serve(request, endpoint, page, reply, frames)
            except Elsewhere as elsewhere:
                try:
                    response = await self._carry(request, elsewhere, config, body)
                except Refusal:
                    if script is not None and not reply.callback:
                        reply = await self._reply_by(script, request, config, body)
                    raise
        except REFUSALS as why:
            if isinstance(why, Refusal) and endpoint is None:
                response = await self._turn_away(request, name, why, script)
            else:
                response = await refuse(self._service, request, why, reply)
        polled = name != "websocket" and script is None and request.protocol not in self.straight.left
        if polled and endpoint and isinstance(response, Answer):
            self.straight.answered(request, endpoint, reply, GOING_ON["POST", name], response.lines)
        return response if request.content.is_eof() else await self._finished(request, response)

    async def _turn_away(
        self, request: web.Request, name: str, refusal: Refusal, script: NativeCodec | None
    ) -> web.StreamResponse:
        """The answer to a request that is not admitted."""
        self._service.refused(refusal.code)
        reply = REPLIES.get(name, PLAIN)
        try:
            if script is not None and refusal.code != 4403:  # who must learn nothing is not asked how
                reply = await self._reply_by(script, request, self._service.config)
            return await self._refuse(request, name, refusal, reply)
        except REFUSALS as why:
            return await refuse(self._service, request, why, reply)

    def _admit(self, request: web.Request, name: str, *, scripted: bool) -> Endpoint:
        """The endpoint, if this request of an admitted page may go there at all; `scripted` says whether its answer is
        a script. Raises Refusal."""
        try:
            endpoint = self._endpoint(request)
        except Refusal:
            if self._service.carrying is None:
                raise
            # In a rolling deploy other workers may serve it: sessions that they have are found for their clients.
            endpoint = stand_in("/" + request.match_info["endpoint"], self._service.config)
        if request.match_info["version"] != str(VERSION):
            raise Refusal(4406, f"protocol version {request.match_info['version']}: this server speaks {VERSION}")
        if name != "send" and (name not in TRANSPORTS or name not in endpoint.config.transports):
            raise _not_here(name, endpoint)
        method = "POST" if name == "send" else TRANSPORTS[name].method
        if request.method not in (method, "OPTIONS") and not (name == "send" and scripted):
            raise Refusal(4405, f"{name} takes {method}, not {request.method}")
        return endpoint

    async def _refuse(self, request: web.Request, name: str, refusal: Refusal, reply: Reply) -> web.StreamResponse:
        """The answer to a request that is not admitted."""
        # Only a forbidden origin is refused before the upgrade: the page must learn nothing more.
        if name == "websocket" and refusal.code != 4403:
            request, _ = agree(request)
            ws = prepare(request, HEAD_SIZE)
            if misfit(request, ws) is None:
                await upgrade(request, ws)
                return await self._refused_websocket(request, ws, refusal)
        transport = TRANSPORTS.get(name)
        if transport is not None and _reads_only_success(request, transport) and refusal.code != 4403:
            return await self._refuse_stream(request, name, refusal, reply)
        method = "POST" if transport is None else transport.method
        return turned_away(request, refusal, method, reply)

    # -- polls and sends -------------------------------------------------------------------------------------------

    async def _poll(
        self, request: web.Request, endpoint: Endpoint, page: Admission, reply: Reply, frames: list[Frame]
    ) -> web.Response:
        link = PollLink(request)
        carrier = NumberedCarrier(reply.codec, link, self._service.clock.now())
        hooked = self._service.admission.hook is not None
        asked = hooked or frames[0][:1] == "o"
        name = reply.codec.name
        facts = self._facts(request, name, page) if asked else GOING_ON[request.method, name]
        if asked and (request.transport is None or request.transport.is_closing()):
            raise Gone
        begun = await self._gate.begin(facts, endpoint, carrier, frames, self._wait(request) if hooked else wait)
        held = not link.answer.done()
        if held and not asked and begun.status == 200 and reply is REPLIES.get(name):
            left = self.straight.holds(request, endpoint, reply, facts, carrier, begun.session)
            if left is not None:
                return left
        if held:
            self._watch.add(link)
        try:
            body = await link.answer
        finally:
            self._watch.discard(link)
            begun.session._polled = request.transport
            if not carrier.finished:  # cancelled, or its connection is gone
                self._gate.lost(begun.session, carrier)
        return respond(request, begun.status, body, reply=reply)

    async def _send(
        self, request: web.Request, endpoint: Endpoint, page: Admission, reply: Reply, frames: list[Frame]
    ) -> web.Response:
        asked = self._service.admission.hook is not None
        facts = self._facts(request, "send", page) if asked else GOING_ON[request.method, "send"]
        carrier = NumberedCarrier(reply.codec, NO_LINK, self._service.clock.now())
        status, parts = await self._gate.send(facts, endpoint, carrier, frames)
        return respond(request, status, reply.codec.wrap(parts)[0], reply=reply)

    # -- streams -----------------------------------------------------------------------------------------------------

    async def _stream(
        self, request: web.Request, endpoint: Endpoint, page: Admission, name: str, reply: Reply, body: bytes | None
    ) -> web.StreamResponse:
        begun: Begun | None = None

        def writable_again() -> None:
            if begun is not None:
                self._gate.writable_again(begun.session)

        link = StreamLink(request, writable_again)
        carrier = NumberedCarrier(CODECS[name], link, self._service.clock.now())
        try:
            frames, body = await self._frames(request, endpoint, reply, body)
            if not frames:
                raise RemoteProtocolError(4400, EMPTY)
            if is_probe(frames[0]):
                return await self._probed(request, carrier, link, frames[0], reply)
            hooked = self._service.admission.hook is not None
            asked = hooked or frames[0][:1] == "o"
            facts = self._facts(request, name, page) if asked else GOING_ON[request.method, name]
            if asked and is_gone(request):
                raise Gone
            waiting = self._wait(request) if hooked else wait
            try:
                begun = await self._gate.begin(facts, endpoint, carrier, frames, waiting)
            except Elsewhere as elsewhere:
                return await self._carry(request, elsewhere, endpoint.config, body)
        except (Refusal, RemoteProtocolError) as error:
            if not _reads_only_success(request, TRANSPORTS[name]):
                raise
            refusal = error if isinstance(error, Refusal) else Refusal(error.close_code, error.reason)
            self._service.refused(refusal.code)
            return await self._refuse_stream(request, name, refusal, reply)
        if begun.superseded and not carrier.finished:
            return bodiless(204, SAFE | cors_headers(request.headers))  # stops EventSource
        over, keeper = partial(self._gate.lost, begun.session, carrier), self._sockets if not carried(request) else None
        course = Course(over, begun.session._listener.dirty, keeper)
        return await self._run_stream(request, carrier, link, reply, course)

    async def _refuse_stream(
        self, request: web.Request, name: str, refusal: Refusal, reply: Reply
    ) -> web.StreamResponse:
        """A stream that says why there is none."""
        link = StreamLink(request, lambda: None)
        carrier = NumberedCarrier(CODECS[name], link, self._service.clock.now())
        tell(carrier, refusal)
        return await self._run_stream(request, carrier, link, reply)

    async def _probed(
        self, request: web.Request, carrier: NumberedCarrier, link: StreamLink, ping: Frame, reply: Reply
    ) -> web.StreamResponse:
        """Answers a probe, then keeps the stream open and silent, so that a proxy that buffers streams holds the answer
        back."""
        probed(carrier, ping)
        clock = self._service.clock
        timer = clock.call_at(clock.now() + PROBE_SECONDS, lambda: link.close(1000, ""))
        self._probes.add(link)
        try:
            return await self._run_stream(request, carrier, link, reply)  # whoever has seen the `q` leaves at once
        finally:
            timer.cancel()
            self._probes.discard(link)

    async def _run_stream(
        self, request: web.Request, carrier: NumberedCarrier, link: StreamLink, reply: Reply, course: Course = ALONE
    ) -> web.StreamResponse:
        """Sends the response until it ends, or goes on by itself: see run_stream()."""
        transport = TRANSPORTS[carrier.codec.name]
        head = transport.head(Facts((request.version.major, request.version.minor), reply.callback))
        self._watch.add(link)
        try:
            return await run_stream(
                request,
                link,
                {**dict(head.headers), **cors_headers(request.headers)},
                prelude=head.prelude,
                tail=transport.tail(),
                patience=self._patience,
                course=course,
            )
        finally:
            self._watch.discard(link)
            link.finished()

    # -- WebSocket -------------------------------------------------------------------------------------------------

    async def _websocket(self, request: web.Request, endpoint: Endpoint, page: Admission) -> web.StreamResponse:
        config = endpoint.config
        if PROTOCOL in request.headers:
            request, _ = agree(request)
        # A frame is a message or a head; in a durable session it may have 64 rooms with their cursors.
        ws = prepare(request, config.max_size + (2 if endpoint.durable else 1) * HEAD_SIZE)
        wrong = misfit(request, ws)
        if wrong is not None:
            if wrong.stripped:
                remote = self._origin(request).remote
                self._service.networks.note_failure(remote, "websocket", "a proxy took the Upgrade header out")
            refusal = Refusal(4400, f"no valid WebSocket handshake: {wrong.reason}")
            self._service.refused(refusal.code)
            return refused(request, refusal, wrong.headers)
        await upgrade(request, ws)
        try:
            opening = _open_of(request, config.max_auth_size) if "?" in request.raw_path else None
        except RemoteProtocolError as error:
            self._service.refused(error.close_code)
            return await self._refused_websocket(request, ws, Refusal(error.close_code, error.reason))
        facts = self._facts(request, "websocket", page)

        def connect(link: Link, reading: Reading) -> NativeConnection:
            waiting = wait if self._service.opens_at_once else self._wait(request, reading)
            return NativeConnection(self._gate, facts, endpoint, CODECS["websocket"], link, waiting, opening)

        cluster = None if self._service.carrying is None else carrying(self._service)
        await self._sockets.serve(request, ws, connect, None if cluster is None else partial(cluster.carry_on, request))
        return ws

    async def _refused_websocket(
        self, request: web.Request, ws: web.WebSocketResponse, refusal: Refusal
    ) -> web.StreamResponse:
        """A WebSocket that says why there is none."""

        def connect(link: Link, reading: Reading) -> Ignoring:
            tell(NumberedCarrier(CODECS["websocket"], link, self._service.clock.now()), refusal)
            return Ignoring()

        await self._sockets.serve(request, ws, connect)
        return ws

    def _stop(self) -> None:
        """Ends the connections that have no session yet: the server shuts down."""
        self._bodies.stop()
        for probe in tuple(self._probes):
            probe.close(1001, "")
        self._sockets.listen()
        for connection in tuple(self._sockets.served.values()):
            if isinstance(connection, NativeConnection) and connection.silent:
                connection.refuse(Refusal(4503, "the server is shutting down; come back later"))


def _open_of(request: web.Request, max_auth: int) -> Open | None:
    """The open in a request's URL. Raises RemoteProtocolError."""
    return parse_open_in_url(request.raw_path, lambda: parse_text_field(query_of(request), "open"), max_auth)


def _not_here(name: str, endpoint: Endpoint) -> Refusal:
    """Whoever comes by this transport is told which others there are."""
    here = [name for name in endpoint.config.transports if name in TRANSPORTS]
    known = "not in this endpoint's transports" if name in TRANSPORTS else "no transport of this server"
    if name in ALL_TRANSPORTS and name not in TRANSPORTS:
        known = "no transport of this port"
    return Refusal(4406, f"{name[:32]} is {known}; there are {', '.join(here)}")


def _reads_only_success(request: web.Request, transport: Transport) -> bool:
    """Whether what reads this stream can only read a successful answer, so that it gets one, with the refusal in it
    (docs/protocol.md §9)."""
    return transport.shape is Shape.STREAM and transport.method == request.method == "GET"
