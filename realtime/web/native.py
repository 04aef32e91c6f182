"""The native protocol over aiohttp: from a request to a carrier, every refusal readable (docs/protocol.md §2, §9)."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from ..core.carrier import Link, NumberedCarrier, Shape
from ..core.config import INITIAL_WINDOW, Config
from ..core.errors import Refusal, RemoteProtocolError
from ..endpoint import Endpoint
from ..gates.base import Gone, Ignoring
from ..gates.native import Begun, NativeGate, is_probe, tell
from ..gates.native_connection import NativeConnection
from ..gates.requests import Unreadable
from ..protocols.native import VERSION, refusal_frame
from ..request import SessionRequest
from ..service import Service
from ..transports import TRANSPORTS, Facts, Frame, Transport
from ..transports.batch import decode_body, first_frame
from ..transports.form import begun_field, parse_fields, parse_text_field
from .bodies import turn_away
from .handshake import Reading, left_behind, misfit, upgrade
from .lingering import Lingering
from .links import PollLink, StreamLink, run_stream
from .origins import cors_headers
from .replies import (
    CODECS,
    FORMS,
    PLAIN,
    SAFE,
    BadCallback,
    Reply,
    answer,
    in_words,
    query_of,
    refused,
    reply_by_script,
    reply_to_fields,
    respond,
    turned_away,
)
from .routes import Routes, preflight
from .sockets import prepare
from .subprotocols import agree
from .watch import DisconnectWatch

__all__ = ["NativeRoutes"]

# A frame that is no message (an open with auth data) may be so many bytes larger than max_size.
HEAD_SIZE = 65_536
# What an open may bring before the client knows max_batch: a head, the initial window, and one to spare.
LEAST_BATCH = INITIAL_WINDOW.messages + 2
# How long a stream that was only probed goes on.
PROBE_SECONDS = 5.0


class NativeRoutes(Routes):
    """Serves `<endpoint>/v1/<transport>` for all endpoints of a server."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._gate = NativeGate(service)
        self._probes: set[StreamLink] = set()
        self._watch = DisconnectWatch(service.clock)
        self.lingering = Lingering()
        service.on_shutdown.append(self._stop)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request below an endpoint."""
        if request.match_info["transport"] != "websocket":
            self.lingering.note(request)
        return await self._finished(request, await self._serve(request))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["transport"]
        reply = PLAIN
        try:
            try:
                endpoint = self._admit(request, name)
            except Refusal as refusal:
                self._service.refused(refusal.code)
                if refusal.code != 4403:  # who must learn nothing is not asked how
                    reply = await self._reply(request, name, self._service.config)
                return await self._refuse(request, name, refusal, reply)
            if request.method == "OPTIONS":
                return web.Response(status=204, headers=preflight(request))
            if name == "websocket":
                return await self._websocket(request, endpoint)
            reply = await self._reply(request, name, endpoint.config)
            if name == "send":
                return await self._send(request, endpoint, reply)
            if TRANSPORTS[name].shape is Shape.STREAM:
                return await self._stream(request, endpoint, name, reply)
            return await self._poll(request, endpoint, reply)
        except Gone:
            return left_behind()
        except BadCallback as bad_callback:
            self._service.refused(4400)
            return in_words(400, str(bad_callback), SAFE)
        except Unreadable as unreadable:
            self._service.refused(unreadable.refusal.code)
            why = unreadable.refusal
            response = answer(request, why.http_status, [refusal_frame(why)])
            return await turn_away(request, response, linger=not self._service.closing)
        except Refusal as refusal:
            self._service.refused(refusal.code)
            return refused(request, refusal, reply=reply)
        except RemoteProtocolError as error:
            self._service.refused(error.close_code)
            frame = refusal_frame(Refusal(error.close_code, error.reason))
            return answer(request, error.http_status, [frame], reply=reply)

    async def _reply(self, request: web.Request, name: str, config: Config) -> Reply:
        """How this request wants to be answered. Raises BadCallback, RemoteProtocolError (4413) and Unreadable."""
        codec = reply_by_script(request, name)
        if codec is None:
            return Reply(CODECS[name]) if name in FORMS else PLAIN
        if request.method == "GET":
            return reply_to_fields(codec, query_of(request))
        # Three bytes for one is the worst that percent-encoding does.
        least, most = (3 * size + HEAD_SIZE for size in (config.max_open_body, config.max_body))
        body = await self._whole_body(request, config, least, partial(self._form_limit, least, most))
        return reply_to_fields(codec, body)

    def _limit(self, least: int, most: int, beginning: bytes) -> int:
        """The size limit of a batch with this beginning: `most` if it names a living session and has its key, else
        `least`. Raises Refusal."""
        frame = first_frame(beginning)
        if frame is None or frame[:1] not in ("r", "u"):
            return least
        try:
            self._gate.check_key(frame)
        except RemoteProtocolError:
            return least
        return most

    def _form_limit(self, least: int, most: int, beginning: bytes) -> int:
        """The same for a form. It never raises, since the callback that a refusal needs may not be known yet."""
        try:
            return self._limit(least, most, begun_field(beginning, "batch") or b"")
        except Refusal:
            return least

    def _admit(self, request: web.Request, name: str) -> Endpoint:
        """The endpoint, if this request may go there at all. Raises Refusal."""
        endpoint = self._endpoint(request, scripted=reply_by_script(request, name) is not None)
        if request.match_info["version"] != str(VERSION):
            raise Refusal(4406, f"protocol version {request.match_info['version']}: this server speaks {VERSION}")
        if name != "send" and name not in endpoint.config.transports:
            known = "not in this endpoint's transports" if name in TRANSPORTS else "no transport of this server"
            raise Refusal(4406, f"{name[:32]} is {known}; there are {', '.join(endpoint.config.transports)}")
        method = "POST" if name == "send" else TRANSPORTS[name].method
        scripted = name == "send" and request.method == "GET" and "callback" in request.query
        if request.method not in (method, "OPTIONS") and not scripted:
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

    async def _poll(self, request: web.Request, endpoint: Endpoint, reply: Reply) -> web.Response:
        frames = await self._frames(request, endpoint, reply)
        facts = self._facts_for(request, request.match_info["transport"], frames[0])
        link = PollLink(request)
        carrier = NumberedCarrier(reply.codec, link, self._service.clock.now())
        begun = await self._gate.begin(facts, endpoint, carrier, frames, self._wait(request))
        self._watch.add(link)
        try:
            body = await link.answer
        finally:
            self._watch.discard(link)
            begun.session._polled = request.transport if carrier.codec.held else None
            if not carrier.finished:  # cancelled, or its connection is gone
                self._gate.lost(begun.session, carrier)
        return respond(request, begun.status, body, reply=reply)

    async def _send(self, request: web.Request, endpoint: Endpoint, reply: Reply) -> web.Response:
        frames = await self._frames(request, endpoint, reply)
        facts = self._facts_for(request, "send", frames[0])
        carrier = NumberedCarrier(reply.codec, PollLink(request), self._service.clock.now())
        status, parts = await self._gate.send(facts, endpoint, carrier, frames)
        return respond(request, status, reply.codec.wrap(parts)[0], reply=reply)

    def _facts_for(self, request: web.Request, name: str, first: Frame) -> SessionRequest:
        """What the gate is told of a request whose first frame this is. Of one that goes on with a session nobody asks
        for more than what it is, unless there is a hook."""
        if first[:1] == "o" or self._service.admission.asks:
            return self._facts(request, name, None)
        return SessionRequest(method=request.method, transport=name)

    async def _frames(self, request: web.Request, endpoint: Endpoint, reply: Reply) -> list[Frame]:
        """The frames that a request brings, wherever it has them: one at least.

        Raises RemoteProtocolError (4400, 4413) and Unreadable.
        """
        config = endpoint.config
        if request.method == "GET" and request.match_info["transport"] != "send":
            return [parse_text_field(query_of(request), "frame") or ""]
        if reply.callback:
            (batch,) = parse_fields(reply.fields, "batch")
            if batch is None:
                raise RemoteProtocolError(4400, "the field batch is missing")
            if len(batch) > config.max_body:
                raise RemoteProtocolError(4413, f"the batch is above {config.max_body} bytes; split it")
        else:
            least, most = config.max_open_body, config.max_body
            batch = await self._whole_body(request, config, least, partial(self._limit, least, most))
        frames = decode_body(batch, max(config.max_batch, LEAST_BATCH), config.max_body)
        if not frames:
            raise RemoteProtocolError(4400, "an empty batch; one starts with o, r or u")
        return frames

    # -- streams -----------------------------------------------------------------------------------------------------

    async def _stream(self, request: web.Request, endpoint: Endpoint, name: str, reply: Reply) -> web.StreamResponse:
        begun: Begun | None = None

        def writable_again() -> None:
            if begun is not None:
                self._gate.writable_again(begun.session)

        link = StreamLink(request, writable_again)
        carrier = NumberedCarrier(CODECS[name], link, self._service.clock.now())
        try:
            frames = await self._frames(request, endpoint, reply)
            if is_probe(frames[0]):
                return await self._probed(request, carrier, link, frames[0], reply)
            facts = self._facts_for(request, name, frames[0])
            begun = await self._gate.begin(facts, endpoint, carrier, frames, self._wait(request))
        except (Refusal, RemoteProtocolError) as error:
            if not _reads_only_success(request, TRANSPORTS[name]):
                raise
            refusal = error if isinstance(error, Refusal) else Refusal(error.close_code, error.reason)
            self._service.refused(refusal.code)
            return await self._refuse_stream(request, name, refusal, reply)
        if begun.superseded and not carrier.finished:
            return web.Response(status=204, headers=SAFE | cors_headers(request.headers))  # stops EventSource
        try:
            return await self._run_stream(request, carrier, link, reply)
        finally:
            self._gate.lost(begun.session, carrier)

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
        self._gate.probed(carrier, ping)
        clock = self._service.clock
        timer = clock.call_at(clock.now() + PROBE_SECONDS, lambda: link.close(1000, ""))
        self._probes.add(link)
        try:
            return await self._run_stream(request, carrier, link, reply)  # whoever has seen the `q` leaves at once
        finally:
            timer.cancel()
            self._probes.discard(link)

    async def _run_stream(
        self, request: web.Request, carrier: NumberedCarrier, link: StreamLink, reply: Reply
    ) -> web.StreamResponse:
        """Sends the response until it ends."""
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
            )
        finally:
            self._watch.discard(link)
            link.finished()

    # -- WebSocket -------------------------------------------------------------------------------------------------

    async def _websocket(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        config = endpoint.config
        request, _ = agree(request)
        ws = prepare(request, config.max_size + HEAD_SIZE)
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
            text = parse_text_field(query_of(request), "open")
        except RemoteProtocolError as error:
            self._service.refused(error.close_code)
            return await self._refused_websocket(request, ws, Refusal(error.close_code, error.reason))
        facts = self._facts(request, "websocket", None)

        def connect(link: Link, reading: Reading) -> NativeConnection:
            wait = self._wait(request, reading)
            return NativeConnection(self._gate, facts, endpoint, CODECS["websocket"], link, wait, text)

        await self._sockets.serve(request, ws, connect)
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


def _reads_only_success(request: web.Request, transport: Transport) -> bool:
    """Whether what reads this stream can only read a successful answer, so that it gets one, with the refusal in it
    (docs/protocol.md §9)."""
    return transport.shape is Shape.STREAM and transport.method == request.method == "GET"
