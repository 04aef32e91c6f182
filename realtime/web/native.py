"""The native protocol over aiohttp: from a request to a carrier, every refusal readable (docs/protocol.md §2, §9)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial

from aiohttp import WebSocketError, WSMsgType, web

from ..core.addresses import address_key
from ..core.carrier import Link, NumberedCarrier, Part, Shape
from ..core.config import INITIAL_WINDOW, Config
from ..core.errors import Refusal, RemoteProtocolError
from ..core.numbered_machine import NumberedMachine
from ..core.proof import ATTACH, SEND, Proof
from ..gates.base import Gone
from ..gates.requests import Unreadable
from ..protocols.native import (
    RENEWED,
    VERSION,
    NativeCodec,
    Open,
    Renewal,
    RequestHead,
    feed_server,
    is_text,
    opened_frame,
    parse_head,
    parse_open,
    parse_renewal,
    refusal_frame,
    ticket_frame,
    ticket_frames,
)
from ..server import Server
from ..session import Endpoint, Session
from ..transports import TRANSPORTS, Facts, Frame, Transport
from ..transports.batch import decode_body, first_frame
from ..transports.form import begun_field, parse_fields, parse_text_field
from .bodies import turn_away
from .handshake import Incoming, left_behind, misfit, still_there, upgrade
from .links import CONTROL, PollLink, StreamLink, WebSocketLink, run_stream
from .openings import Openings
from .origins import asker, cors_headers
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
)
from .routes import Routes, preflight
from .subprotocols import agree
from .watch import DisconnectWatch

__all__ = ["NativeRoutes"]

# A frame that is no message (an open with auth data) may be so many bytes larger than max_size.
HEAD_SIZE = 65_536
# What an open may bring before the client knows max_batch: a head, the initial window, and one to spare.
LEAST_BATCH = INITIAL_WINDOW.messages + 2
# The first characters that must not be ignored in front of the head of a WebSocket.
HEADS_AND_NUMBERED = ("o", "r", "u", "m", "b", "c", "d", "")
# Where auth data stand in a URL.
NO_AUTH_HERE = "auth data do not belong in a URL, which is logged: send them by POST, a form, or a WebSocket's frame"
NEGOTIATE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
# How long a stream that was only probed goes on.
PROBE_SECONDS = 5.0


class NativeRoutes(Routes):
    """Serves `<endpoint>/v1/<transport>` for all endpoints of a server."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._links: set[WebSocketLink] = set()
        self._probes: set[StreamLink] = set()
        self._silent: set[WebSocketLink] = set()  # of these, the ones that no session has taken up
        self._watch = DisconnectWatch(server.clock)
        self._openings = Openings(server)
        server.on_shutdown.append(self._stop)

    async def explain(self, request: web.Request) -> web.StreamResponse:
        """`GET <endpoint>/negotiate`: which transports this request would be offered, and why."""
        try:
            endpoint = self._admit(request, "negotiate")
        except Refusal as refusal:
            self._server.refused(refusal.code)
            return _turned_away(request, "negotiate", refusal)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=preflight(request))
        named = [name for name in request.query.get("transports", "").split(",") if name][:32]
        choices = self._server.negotiate(endpoint, self._facts(request, "", None), named)
        if "json" not in request.headers.get("Accept", "") and "text/html" in request.headers.get("Accept", ""):
            lines = [f"{choice.name:<14} {choice.verdict:<8}  {choice.reason}" for choice in choices]
            return web.Response(text="\n".join(lines) + "\n", headers=NEGOTIATE_HEADERS)
        told = {"endpoint": endpoint.path, "version": VERSION, "transports": [choice.as_dict() for choice in choices]}
        response = web.json_response(told, headers=NEGOTIATE_HEADERS)
        response.headers.update(cors_headers(request.headers))
        return response

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request below an endpoint."""
        return await self._finished(request, await self._serve(request))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["transport"]
        reply = PLAIN
        try:
            try:
                endpoint = self._admit(request, name)
            except Refusal as refusal:
                self._server.refused(refusal.code)
                if refusal.code != 4403:  # who must learn nothing is not asked how
                    reply = await self._reply(request, name, self._server.config)
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
            self._server.refused(4400)
            return in_words(400, str(bad_callback), SAFE)
        except Unreadable as unreadable:
            self._server.refused(unreadable.refusal.code)
            why = unreadable.refusal
            response = answer(request, why.http_status, [refusal_frame(why)])
            return await turn_away(request, response, linger=not self._server.closing)
        except Refusal as refusal:
            self._server.refused(refusal.code)
            return refused(request, refusal, reply=reply)
        except RemoteProtocolError as error:
            self._server.refused(error.close_code)
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
        """How large a batch may be that begins so: `most`, if it names a session that there is, and has its key. Raises
        Refusal."""
        frame = first_frame(beginning)
        if not isinstance(frame, str) or frame[:1] not in ("r", "u"):
            return least
        try:
            head = parse_head(frame)
        except RemoteProtocolError:
            return least
        assert isinstance(head, RequestHead)
        self._server.check_key(head.sid, Proof(head.proof))
        return most

    def _form_limit(self, least: int, most: int, beginning: bytes) -> int:
        """The same for a form, whose callback may not be known yet: nothing is refused."""
        try:
            return self._limit(least, most, begun_field(beginning, "batch") or b"")
        except Refusal:
            return least

    def _admit(self, request: web.Request, name: str) -> Endpoint:
        """The endpoint, if this request may go there at all. Raises Refusal."""
        path = "/" + request.match_info["endpoint"]
        endpoint = self._server.endpoints.get(path)
        self._check_page(request, scripted=reply_by_script(request, name) is not None)
        if endpoint is None:
            raise Refusal(4406, f"there is no endpoint {path}")
        if name == "negotiate":
            if request.method not in ("GET", "HEAD", "OPTIONS"):
                raise Refusal(4405, f"negotiate takes GET, not {request.method}")
            return endpoint
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
        request, _ = agree(request)
        ws = web.WebSocketResponse(compress=False, autoclose=False, autoping=False)
        # Only a forbidden origin is refused before the upgrade: the page must learn nothing more.
        if name == "websocket" and refusal.code != 4403 and misfit(request, ws) is None:
            await upgrade(request, ws)
            link = WebSocketLink(request, ws, lambda: None)
            _refuse_websocket(link, refusal)
            await self._pump(request, Incoming(request, ws), link, None, None)
            await link.finished()
            return ws
        transport = TRANSPORTS.get(name)
        if transport is not None and _reads_only_success(request, transport) and refusal.code != 4403:
            return await self._refuse_stream(request, name, refusal, reply)
        return _turned_away(request, name, refusal, reply)

    # -- polls and sends -------------------------------------------------------------------------------------------

    async def _poll(self, request: web.Request, endpoint: Endpoint, reply: Reply) -> web.Response:
        head, frames = await self._read(request, endpoint, reply)
        link = PollLink(request)
        carrier = NumberedCarrier(reply.codec, link, self._server.clock.now())
        if isinstance(head, RequestHead) and head.gen == 0:
            raise RemoteProtocolError(4400, "u is for send; a poll starts with o or r")
        session = await self._take_up(request, endpoint, carrier, head, frames)
        machine = machine_of(session)
        newest = machine.carrier is carrier
        try:
            status = await self._feed(request, session, carrier, frames)
        except BaseException:
            machine.lost(carrier, self._server.clock.now())
            raise
        if not newest and not carrier.finished:
            machine.retire(carrier)
        self._watch.add(link)
        try:
            body = await link.answer
        finally:
            self._watch.discard(link)
            if not carrier.finished:  # cancelled, or its connection is gone
                machine.lost(carrier, self._server.clock.now())
        return respond(request, status, body, reply=reply)

    # -- streams -----------------------------------------------------------------------------------------------------

    async def _stream(self, request: web.Request, endpoint: Endpoint, name: str, reply: Reply) -> web.StreamResponse:
        transport = TRANSPORTS[name]
        machine: NumberedMachine | None = None

        def writable_again() -> None:
            if machine is not None:
                machine.listener.dirty()

        link = StreamLink(request, writable_again)
        carrier = NumberedCarrier(CODECS[name], link, self._server.clock.now())
        try:
            first, frames = await self._frames(request, endpoint, reply)
            if first[:1] == "p":
                return await self._probed(request, carrier, link, str(first), reply)
            head = _head(request, first, endpoint.config)
            if isinstance(head, RequestHead) and head.gen == 0:
                raise RemoteProtocolError(4400, "u is for send; a stream starts with o, r or p")
            session = await self._take_up(request, endpoint, carrier, head, frames)
            machine = machine_of(session)
            newest = machine.carrier is carrier
            if await self._feed(request, session, carrier, frames) != 200:
                raise machine.refusal()
        except (Refusal, RemoteProtocolError) as error:
            if machine is not None:
                machine.lost(carrier, self._server.clock.now())
            if not _reads_only_success(request, transport):
                raise
            refusal = error if isinstance(error, Refusal) else Refusal(error.close_code, error.reason)
            self._server.refused(refusal.code)
            return await self._refuse_stream(request, name, refusal, reply)
        if not newest and not carrier.finished:
            if transport.method == "GET":
                return web.Response(status=204, headers=SAFE | cors_headers(request.headers))  # stops EventSource
            machine.retire(carrier)
        self._watch.add(link)
        try:
            return await self._run_stream(request, carrier, link, reply)
        finally:
            machine.lost(carrier, self._server.clock.now())
            self._watch.discard(link)
            link.finished()

    async def _refuse_stream(
        self, request: web.Request, name: str, refusal: Refusal, reply: Reply
    ) -> web.StreamResponse:
        """A stream that says why there is none."""
        link = StreamLink(request, lambda: None)
        carrier = NumberedCarrier(CODECS[name], link, self._server.clock.now())
        carrier.finish([CODECS[name].text(refusal_frame(refusal))])
        return await self._run_stream(request, carrier, link, reply)

    async def _probed(
        self, request: web.Request, carrier: NumberedCarrier, link: StreamLink, ping: str, reply: Reply
    ) -> web.StreamResponse:
        """Answers a probe: `q`, and then nothing for a while, so that something that holds streams back holds it."""
        payload = ping[1:65]
        carrier.write([carrier.codec.pong(payload if is_text(payload) else "")])
        clock = self._server.clock
        timer = clock.call_at(clock.now() + PROBE_SECONDS, lambda: link.close(1000, ""))
        self._probes.add(link)
        self._watch.add(link)  # whoever has seen the `q` leaves at once
        try:
            return await self._run_stream(request, carrier, link, reply)
        finally:
            timer.cancel()
            self._probes.discard(link)
            self._watch.discard(link)
            link.finished()

    async def _run_stream(
        self, request: web.Request, carrier: NumberedCarrier, link: StreamLink, reply: Reply
    ) -> web.StreamResponse:
        """Sends the response until it ends."""
        transport = TRANSPORTS[carrier.codec.name]
        head = transport.head(Facts((request.version.major, request.version.minor), reply.callback))
        return await run_stream(
            request,
            link,
            {**dict(head.headers), **cors_headers(request.headers)},
            prelude=head.prelude,
            tail=transport.tail(),
            patience=self._patience,
        )

    async def _send(self, request: web.Request, endpoint: Endpoint, reply: Reply) -> web.Response:
        head, frames = await self._read(request, endpoint, reply)
        if isinstance(head, Open) or head.gen:
            raise RemoteProtocolError(4400, "a send starts with u<sid>,<received>,<taken>,<first>,<key>")
        if request.method == "GET":
            _check_script(frames)
        proof = _proof(request, head, frames)
        session, due = await self._find(request, endpoint, head.sid, proof, _renewal(frames, endpoint.config))
        machine = machine_of(session)
        now = self._server.clock.now()
        carrier = NumberedCarrier(reply.codec, PollLink(request), now)
        status = 200
        parts: list[Part] = []
        try:
            if due and machine.uplink(carrier, head.received, head.taken, head.first, now):
                status = await self._feed(request, session, carrier, frames, parts)
        except RemoteProtocolError as absurd:
            status = absurd.http_status
            machine.fail(absurd, now)
        if machine.outcome is not None:
            parts.clear()  # whatever was said before the end, the answer is the end
        elif not proof.use:
            parts += map(reply.codec.text, ticket_frames(machine, frames))
        parts.insert(0, machine.uplink_answer(carrier))
        return respond(request, status, reply.codec.wrap(parts)[0], reply=reply)

    async def _read(
        self, request: web.Request, endpoint: Endpoint, reply: Reply
    ) -> tuple[Open | RequestHead, list[Frame]]:
        """The head and the other frames of a batch. Raises RemoteProtocolError (4400, 4413) and Unreadable."""
        first, frames = await self._frames(request, endpoint, reply)
        return _head(request, first, endpoint.config), frames

    async def _frames(self, request: web.Request, endpoint: Endpoint, reply: Reply) -> tuple[Frame, list[Frame]]:
        """The first and the other frames that a request brings, wherever it has them.

        Raises RemoteProtocolError (4400, 4413) and Unreadable.
        """
        config = endpoint.config
        if request.method == "GET" and request.match_info["transport"] != "send":
            return parse_text_field(query_of(request), "frame") or "", []
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
        return frames[0], frames[1:]

    # -- WebSocket -------------------------------------------------------------------------------------------------

    async def _websocket(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        config = endpoint.config
        request, _ = agree(request)
        ws = web.WebSocketResponse(
            compress=False, autoclose=False, autoping=False, max_msg_size=config.max_size + HEAD_SIZE
        )
        wrong = misfit(request, ws)
        if wrong is not None:
            if wrong.stripped:
                remote = self._origin(request).remote
                self._server.note_failure(remote, "websocket", "a proxy took the Upgrade header out")
            refusal = Refusal(4400, f"no valid WebSocket handshake: {wrong.reason}")
            self._server.refused(refusal.code)
            return refused(request, refusal, wrong.headers)
        await upgrade(request, ws)
        incoming = Incoming(request, ws)
        carrier: NumberedCarrier | None = None
        session: Session | None = None
        machine: NumberedMachine | None = None

        def writable_again() -> None:
            if machine is not None:
                machine.listener.dirty()

        link = WebSocketLink(request, ws, writable_again)
        self._links.add(link)
        head: Open | RequestHead | None = None
        try:
            self._silent.add(link)
            try:
                async with asyncio.timeout(config.open_timeout):
                    head = await self._first(request, incoming, link, config.max_auth_size)
            finally:
                self._silent.discard(link)
            if head is not None:
                carrier = NumberedCarrier(CODECS["websocket"], link, self._server.clock.now())
                session = await self._take_up(request, endpoint, carrier, head, incoming=incoming)
                machine = machine_of(session)
                if machine.carrier is not carrier and not carrier.finished:
                    machine.retire(carrier)
        except Gone:
            carrier = None
        except TimeoutError:
            self._server.refused(4408)
            _refuse_websocket(link, Refusal(4408, f"no open or attach within open_timeout={config.open_timeout:g}"))
        except Refusal as refusal:
            self._server.refused(refusal.code)
            _refuse_websocket(link, refusal)
        except RemoteProtocolError as error:
            self._server.refused(error.close_code)
            _refuse_websocket(link, Refusal(error.close_code, error.reason))
        try:
            await self._pump(request, incoming, link, session, carrier)
        finally:
            if machine is not None and carrier is not None:
                if machine.carrier is carrier:
                    self._server.note_end(machine.sid, "websocket", carrier.started)
                machine.lost(carrier, self._server.clock.now())
            try:
                await link.finished()
            finally:
                self._links.discard(link)
        return ws

    async def _first(
        self, request: web.Request, incoming: Incoming, link: WebSocketLink, max_auth: int
    ) -> Open | RequestHead | None:
        """The open in the URL, or else the first frame behind any probes; None when the peer leaves.

        Raises RemoteProtocolError (4400).
        """
        text = parse_text_field(query_of(request), "open")
        if text is not None:
            head: Open | RequestHead = parse_open(text, max_auth)
            _check_url(head)
            return head
        while True:
            message = await incoming.receive()
            if message.type in CONTROL:
                link.answer(message)
                continue
            if message.type is not WSMsgType.TEXT and message.type is not WSMsgType.BINARY:
                return None
            frame = message.data
            if isinstance(frame, str) and frame[:1] not in HEADS_AND_NUMBERED:
                if frame[0] == "p" and link.writable:
                    link.write([CODECS["websocket"].pong(frame[1:65])])
                continue  # unnumbered frames that say nothing here, or that nobody knows yet
            head = parse_head(frame, max_auth)
            if isinstance(head, RequestHead) and head.gen == 0:
                raise RemoteProtocolError(4400, "a WebSocket starts with o (open) or r (attach)")
            return head

    async def _pump(
        self,
        request: web.Request,
        incoming: Incoming,
        link: WebSocketLink,
        session: Session | None,
        carrier: NumberedCarrier | None,
    ) -> None:
        """Reads until the connection ends. Without a session what comes is only read, for the closing handshake."""
        now = self._server.clock.now
        machine = None if session is None else machine_of(session)
        async for message in incoming:
            if session is None or machine is None or carrier is None:
                continue
            if message.type is WSMsgType.ERROR:
                # aiohttp has closed with these itself: what the peer sent can never succeed, on no carrier.
                if isinstance(message.data, WebSocketError) and message.data.code in (1007, 1009):
                    reason = "text that is not UTF-8" if message.data.code == 1007 else "a message above max_size"
                    machine.end(message.data.code, reason, now())
                break
            try:
                if message.type in CONTROL:  # no sign of life: whatever stands in between may have sent it
                    machine.inbox.other(now())
                    link.answer(message)
                    continue
                renewal = feed_server(machine, carrier, message.data, now())
                if renewal is not None:
                    await self._renew(request, session, carrier, renewal)
            except RemoteProtocolError as error:
                machine.fail(error, now())
                if not carrier.finished:
                    _refuse_websocket(carrier.link, machine.refusal())
            except Refusal as refusal:
                if not carrier.finished:
                    machine.lost(carrier, now())
                    _refuse_websocket(carrier.link, refusal)

    # -- both ------------------------------------------------------------------------------------------------------

    async def _take_up(
        self,
        request: web.Request,
        endpoint: Endpoint,
        carrier: NumberedCarrier,
        head: Open | RequestHead,
        frames: Sequence[Frame] = (),
        incoming: Incoming | None = None,
    ) -> Session:
        """Opens or attaches a carrier; `frames` are those behind the head. Raises Refusal, RemoteProtocolError, and
        Gone for an open whose client did not wait for it."""
        server = self._server
        codec = carrier.codec
        assert isinstance(codec, NativeCodec)
        if isinstance(head, RequestHead):
            proof = _proof(request, head, frames)
            session, due = await self._find(request, endpoint, head.sid, proof, _renewal(frames, endpoint.config))
            if not due:
                return session  # what comes so late changes nothing
            machine = machine_of(session)
            now = server.clock.now()
            if codec.shape is Shape.DUPLEX:  # which may fail where a URL gets through
                carrier.tickets = [codec.text(ticket_frame(machine, head.gen + 1))]
            try:
                machine.attach(carrier, head.gen, head.received, head.taken, head.first, now)
            except RemoteProtocolError as error:
                machine.fail(error, now)
                raise machine.refusal() from None
            except Refusal:
                # A request whose acks completed a clean close has done well: _feed() answers it, with 200.
                if machine.outcome is None or carrier.codec.shape is Shape.DUPLEX:
                    raise
            return session
        facts = self._facts(request, carrier.codec.name, head.auth)
        address = address_key(facts.remote)
        asking = self._openings.identify(endpoint.path, head.nonce, facts, address)
        identity = await still_there(request, incoming if server.asks else None, asking)
        known = len(server)
        session = server.open(
            endpoint,
            nonce=head.nonce,
            binding=(endpoint.path, asker(request.headers, self._origin(request).host), identity),
            window=head.window,
            identity=identity,
            request=facts,
            address=address,
        )
        server.authorized(session, facts)
        machine = machine_of(session)
        choices = server.negotiate(endpoint, facts, head.transports, head.failed, head.tried, carrier.codec.name)
        if len(server) > known:
            server.decided(session, choices)

        def opened(received: int, taken: int) -> Part:
            transports = [choice.as_dict() for choice in choices]
            return codec.text(opened_frame(machine, codec.name, transports, received, taken))

        carrier.greeting = opened
        carrier.tickets = [codec.text(ticket_frame(machine, head.gen + 1))]
        machine.open(carrier, head.gen, server.clock.now())
        return session

    async def _find(
        self, request: web.Request, endpoint: Endpoint, sid: str, proof: Proof, renewal: Renewal | None
    ) -> tuple[Session, bool]:
        """The session that a request names, if the request may, and whether it came in time. Raises Refusal.

        Whose auth data have expired may bring fresh ones along; if these are refused nothing has changed.
        """
        session = await self._server.route(sid, proof)
        due = machine_of(session).prove(proof)
        if session.path != endpoint.path:
            raise Refusal(4404, f"no such session at {endpoint.path}", scope="session")
        facts = self._facts(request, request.match_info["transport"], session.request._raw_auth)
        try:
            await self._server.admit(session, facts)
        except Refusal as refusal:
            if renewal is None or refusal.code != 4401:
                raise
            facts = facts._renewed(renewal.auth)
            await self._server.admit(session, facts)
            session.request._raw_auth = renewal.auth
        return session, due

    async def _feed(
        self,
        request: web.Request,
        session: Session,
        carrier: NumberedCarrier,
        frames: Sequence[Frame],
        answer: list[Part] | None = None,
    ) -> int:
        """Feeds what came behind the head of a batch, and returns the HTTP status to answer with: a broken frame, and
        fresh auth data that are refused, end the session.

        `answer` takes what is to be said to it in the answer to a send, which is no carrier. Raises Refusal.
        """
        machine = machine_of(session)
        try:
            for frame in frames:
                if machine.outcome is not None:
                    break
                renewal = feed_server(machine, carrier, frame, self._server.clock.now())
                if renewal is not None:
                    await self._renew(request, session, carrier, renewal, answer)
                    if machine.outcome is not None:
                        return machine.refusal().http_status
        except RemoteProtocolError as error:
            machine.fail(error, self._server.clock.now())
            return error.http_status
        finally:
            if machine.outcome is not None and not carrier.finished:
                refusal = machine.refusal()
                carrier.finish([carrier.codec.abrupt(refusal.code, "session", refusal.received, refusal.reason)])
        return 200

    async def _renew(
        self,
        request: web.Request,
        session: Session,
        carrier: NumberedCarrier,
        renewal: Renewal,
        answer: list[Part] | None = None,
    ) -> None:
        """Asks the application about fresh auth data, and tells the client. Raises Refusal (4503).

        What comes behind them waits: it is the client's with the fresh data, or nobody's.
        """
        facts = self._facts(request, request.match_info["transport"], renewal.auth)
        await self._server.reauthorize(session, facts)
        if session.closed:
            return
        assert isinstance(carrier.codec, NativeCodec)
        renewed = carrier.codec.text(RENEWED)
        if answer is not None:
            answer.append(renewed)
        elif carrier.codec.shape is not Shape.POLL:  # the answer to a poll says so by being no refusal
            carrier.write([renewed])

    def _stop(self) -> None:
        """Shutting down: nobody is waited for who has not said which session it wants."""
        self._bodies.stop()
        for link in self._links:
            link.listen()
        for probe in tuple(self._probes):
            probe.close(1001, "")
        for link in tuple(self._silent):
            self._server.refused(4503)
            _refuse_websocket(link, Refusal(4503, "the server is shutting down; come back later"))


def machine_of(session: Session) -> NumberedMachine:
    """The machine of a session that was found or opened here."""
    machine = session._machine
    assert isinstance(machine, NumberedMachine)
    return machine


def _renewal(frames: Sequence[Frame], config: Config) -> Renewal | None:
    """The fresh auth data directly behind the head of a batch. What cannot be read is none: it ends the session when
    it is fed."""
    try:
        return parse_renewal(frames[0], config.max_auth_size) if frames else None
    except RemoteProtocolError:
        return None


def _proof(request: web.Request, head: RequestHead, frames: Sequence[Frame]) -> Proof:
    """What a request shows: URLs have no keys in them."""
    if request.method != "GET" or request.match_info["transport"] == "websocket":
        return Proof(head.proof)
    said = json.dumps([*head, *frames]).encode()
    return Proof(head.proof, ATTACH, head.gen, said) if head.gen else Proof(head.proof, SEND, head.first, said)


def _head(request: web.Request, first: Frame, config: Config) -> Open | RequestHead:
    """The head of a request, of which nothing secret stood in a URL. Raises RemoteProtocolError (4400)."""
    head = parse_head(first, config.max_auth_size)
    if request.method == "GET":
        _check_url(head)
    return head


def _check_url(head: Open | RequestHead) -> None:
    """URLs are logged. Raises RemoteProtocolError (4400) for auth data in one."""
    if isinstance(head, Open) and head.auth is not None:
        raise RemoteProtocolError(4400, NO_AUTH_HERE)


def _check_script(frames: Sequence[Frame]) -> None:
    """What a send by URL may say behind its head. Raises RemoteProtocolError (4400)."""
    kinds = {frame[:1] for frame in frames}
    if "t" in kinds:
        raise RemoteProtocolError(4400, NO_AUTH_HERE)
    if not kinds & {"m", "b", "d", "c"}:  # its ticket is good for the first of them
        raise RemoteProtocolError(4400, "a send by URL brings a message; acks go by POST, a form, or with an attach")


def _reads_only_success(request: web.Request, transport: Transport) -> bool:
    """Whether what reads this stream can only read a successful answer, so that it gets one, with the refusal in it
    (docs/protocol.md §9)."""
    return transport.shape is Shape.STREAM and transport.method == request.method == "GET"


def _turned_away(request: web.Request, name: str, refusal: Refusal, reply: Reply = PLAIN) -> web.Response:
    """The answer to a request that is not admitted. To which method it would be is named (RFC 9110 §15.5.6); a page of
    a forbidden origin learns nothing, but a cache does, that another may."""
    headers = {}
    if refusal.code == 4405:
        transport = TRANSPORTS.get(name)
        headers["Allow"] = "GET, HEAD" if name == "negotiate" else "POST" if transport is None else transport.method
    if refusal.code == 4403:
        headers["Vary"] = "Origin"
    return refused(request, refusal, headers, cors=refusal.code != 4403, reply=reply)


def _refuse_websocket(link: Link, refusal: Refusal) -> None:
    link.write([CODECS["websocket"].text(refusal_frame(refusal))])
    link.close(refusal.code, refusal.reason)
