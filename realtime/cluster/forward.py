"""Carries requests to the worker that has their session, and its answers back (docs/scaling.md).

What was read of a request until it named its session goes along, and all that follows as it comes: nothing of it is
parsed here. Of an answer the head is; a short body is answered whole, so that its client's connection can go on, and a
stream passed on as it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from aiohttp import HttpVersion11, web

from ..core.carrier import SharedBuffers
from ..core.durable.opening import PREFIX, is_durable
from ..core.errors import BrokerError, Refusal
from ..core.leases import Found, Gone, Peer, Reached
from ..gates.base import Gone as Left
from ..loops import begin
from ..owners import UNSURE, Elsewhere
from ..service import Service
from ..web.bodies import BROKEN_BODY, Bodies, still_there
from ..web.carried import Counts, carried
from ..web.handshake import Incoming, upgrade, wants_websocket
from ..web.links import CLOSE_PATIENCE, is_gone
from ..web.reframed import Reframed
from ..web.routes import END_PATIENCE
from ..web.sockets import prepare
from ..web.streams import StreamLink, run_stream
from ..web.subprotocols import agree
from ..web.takeover import LeanResponse, detach, shake_hands
from ..web.threshold import HandOver, Wire
from ..web.watch import DisconnectWatch
from .answers import Answer, Chunks
from .facts import Facts, Headers, said_by
from .farewell import Farewell
from .hops import Broken, Hop, Hops, Refused, TooMany
from .lapses import Lapses
from .port import HEADER, InnerPort
from .streams import brought
from .tunnel import Tunnel

__all__ = ["Forwarder", "written"]

# Of one connection and not of the request (RFC 9110 §7.6.1), or written anew; and what nobody but us may say. Only the
# worker that the client has come to is asked to compress, or both would.
OWN = frozenset(
    b"accept-encoding connection content-length expect keep-alive proxy-connection te trailer transfer-encoding"
    b" upgrade".split()
) | {HEADER.lower()}
# Of a handshake all goes along.
OURS = frozenset((HEADER.lower(),))
# An answer has at most so many times what a request may have, since it is escaped once more for some transports, and
# the heads of its frames: so many bytes.
ESCAPED = 4
HEADS = 1_048_576
# So often another worker is tried, where a session's is not where it was.
TRIES = 3
NOT_REACHED = "the worker that has the session cannot be reached now; come back later"
BROKE_OFF = "the worker that has the session broke off; come back later"
NOT_TWICE = "a request is carried once, and this worker has not its session; come back later"


def written(line: str, headers: Headers) -> bytes:
    """A request's head."""
    said = b"".join([b"%b: %b\r\n" % header for header in headers])
    return line.encode("utf-8", "surrogateescape") + b"\r\n" + said + b"\r\n"


def worded(header: tuple[bytes, bytes]) -> tuple[str, str]:
    """A header for JSON."""
    return header[0].decode("latin-1"), header[1].decode("latin-1")


class Held:
    """A request that waits for its answer, as DisconnectWatch looks after it."""

    def __init__(self, request: web.Request, hop: Hop) -> None:
        self._request = request
        self._hop = hop

    @property
    def gone(self) -> bool:
        """Whether its client has left."""
        return is_gone(self._request)

    def abort(self) -> None:
        """The other end is told so by the end of the connection."""
        self._hop.transport.close()


class Forwarder:
    """See web.carried.Carrying."""

    def __init__(self, service: Service, hops: Hops, port: InnerPort) -> None:
        self._service = service
        self._hops = hops
        self._port = port
        self._bodies = Bodies(service)
        self._watch = DisconnectWatch(service.clock)
        self.farewell: Farewell = Farewell(hops, self._say)
        self._lapses = Lapses(hops, lambda: service.sessions.owners)
        self.count: int = 0  # of what was carried
        service.on_drain.append(self.farewell.begin)
        service.on_drained.append(self.farewell.end_sessions)
        service.on_shutdown.append(self._stop)

    def counts(self) -> Counts:
        """What was carried."""
        return Counts(self.count, len(self._hops.open), self._port.turned_away)

    def _stop(self) -> None:
        """The server shuts down: no body is waited for."""
        self._bodies.stop()
        self.farewell.last()

    async def close(self) -> None:
        """Nothing is carried any more; what ends by itself in a moment may."""
        await self.farewell.close()
        self._lapses.close()
        with suppress(ValueError):  # it was closed already
            self._service.on_drain.remove(self.farewell.begin)
            self._service.on_drained.remove(self.farewell.end_sessions)
            self._service.on_shutdown.remove(self._stop)
        self._hops.close()

    def seen(self, request: web.Request) -> None:
        """A request may open a session here: others are brought to the same application."""
        if self._port.application is None:
            self._port.application = request.match_info.apps[0]
            self._service.sessions.reachable = True

    # -- reaching ------------------------------------------------------------------------------------------------------

    async def reach(self, elsewhere: Elsewhere, *, new: bool = False) -> Hop:
        """A connection (`new`: of its own) to a session's worker. Raises Refusal: how it ended, if that is gone."""
        peer = elsewhere.peer
        for _ in range(TRIES):
            try:
                return await self._hops.reach(peer, new=new)
            except TooMany:
                break
            except Broken as broken:
                found = await self._ask_again(peer, elsewhere.sid, dead=isinstance(broken, Refused))
            if isinstance(found, Gone):
                if is_durable(elsewhere.sid):
                    break  # any worker takes it over, when its client comes again
                raise found.refusal(elsewhere.proof)
            if not isinstance(found, Peer):
                break
            peer = found
        raise Refusal(4503, NOT_REACHED)

    async def tries(self, peer: Peer) -> Reached:
        """Whether this worker can be reached. The connection is kept, for what is brought there."""
        try:
            hop = await self._hops.reach(peer)
        except TooMany:
            return Reached.UNTRIED  # nobody can say
        except Broken as broken:
            return Reached.REFUSED if isinstance(broken, Refused) else Reached.UNREACHABLE
        self._hops.keep(hop)
        return Reached.UNTRIED

    async def _ask_again(self, peer: Peer, sid: str, *, dead: bool) -> Found:
        """Who has the session now. Raises Refusal."""
        owners = self._service.sessions.owners
        assert owners is not None  # which have said where it is
        try:
            return await (owners.refused if dead else owners.unreachable)(peer, sid)
        except BrokerError:
            raise Refusal(4503, UNSURE) from None

    # -- requests ------------------------------------------------------------------------------------------------------

    async def carry(
        self, request: web.Request, elsewhere: Elsewhere, limit: int, body: bytes | None = None
    ) -> web.StreamResponse:
        """Answers a request by the worker that has its session: see Carrying."""
        response = await self._carry(request, elsewhere, limit, body)
        if self.farewell.begun and response.status != 101:
            response.force_close()  # the next one comes by another worker
        return response

    async def _carry(
        self, request: web.Request, elsewhere: Elsewhere, limit: int, body: bytes | None
    ) -> web.StreamResponse:
        hop = await self._begin(request, elsewhere)
        held = Held(request, hop)
        self._watch.add(held)
        bringing: asyncio.Task[None] | None = None
        kept = False
        try:
            begun, length = await self._body(request, limit, body)
            hop.transport.write(self._head(request, elsewhere, hop, length) + begun)
            if len(begun) < length:
                bringing = begin(self._bring(request, hop), "realtime carries a body")
            answer = Answer.read(await hop.head())
            if answer.status == 101:
                return await self._upgrade(request, hop, answer, limit)
            if (size := answer.length) is None:
                response, kept = await self._stream(request, hop, answer)
                return response
            taken = await hop.take(size if request.method != "HEAD" else 0)
            headers, content = answer.unpacked(taken, ESCAPED * limit + HEADS)
            kept = answer.keeps and (bringing is None or bringing.done())
            return web.Response(status=answer.status, reason=answer.reason, headers=headers, body=content)
        except Broken:
            if is_gone(request):
                raise Left from None
            if elsewhere.proof is None:
                # What came behind an open may have been taken: a refusal would say that nothing was.
                return web.Response(status=502, text=BROKE_OFF)
            raise Refusal(4503, BROKE_OFF) from None
        finally:
            self._watch.discard(held)
            if bringing is not None:
                bringing.cancel()
            if kept:
                self._hops.keep(hop)
            elif hop.full is None:  # no tunnel has it
                hop.transport.close()

    async def _begin(self, request: web.Request, elsewhere: Elsewhere) -> Hop:
        """Something begins to be carried. Raises Refusal."""
        if carried(request) is not None:
            raise Refusal(4503, NOT_TWICE)
        hop = await self.reach(elsewhere)
        self.count += 1
        if elsewhere.sid[:2] == PREFIX:  # is_durable(), without a call
            self._lapses.add(hop)
        return hop

    async def _body(self, request: web.Request, limit: int, begun: bytes | None) -> tuple[bytes, int]:
        """What there is of a body, and how long all of it is. Raises RemoteProtocolError (4413) and Unreadable."""
        if request.content.at_eof():
            if begun is None:
                begun = await request.read() if request.content_length else b""
            return begun, len(begun)
        if request.content_length is None:  # in chunks
            rest = await self._bodies.whole(request, self._service.config.request_timeout, limit)
            begun = (begun or b"") + rest
            return begun, len(begun)
        return begun or b"", request.content_length

    async def _bring(self, request: web.Request, hop: Hop) -> None:
        """The rest of a body, as it comes. What is wrong with it ends the connection, as its client's own would end."""
        try:
            if not request.content.is_eof():
                still_there(request)
            async for chunk in request.content.iter_any():
                hop.transport.write(chunk)
                await hop.drain()
        except (*BROKEN_BODY, Broken):
            hop.transport.close()

    def _head(self, request: web.Request, elsewhere: Elsewhere, hop: Hop, length: int = 0) -> bytes:
        """A request as its client has made it, sealed."""
        upgrading = wants_websocket(request)
        own = OURS if upgrading else OWN
        headers: Headers = tuple([header for header in request.raw_headers if header[0].lower() not in own])
        old = request.version < HttpVersion11
        if old and not upgrading:
            headers += ((b"Connection", b"keep-alive"),)
        if length or request.method == "POST":
            headers += ((b"Content-Length", b"%d" % length),)
        facts = Facts(self._port.worker, request.remote or "", request.scheme, elsewhere.sid).pack()
        line = f"{request.method} {request.raw_path} HTTP/1.{0 if old else 1}"
        seal = hop.seal.request(said_by(line, facts, headers))
        return written(line, (*headers, (HEADER, seal.encode() + facts)))

    async def _stream(self, request: web.Request, hop: Hop, answer: Answer) -> tuple[web.StreamResponse, bool]:
        """Passes a stream on as it stands, for as long as it goes on. Whether its connection can be used again."""
        if answer.status != 200:
            raise Broken("an answer without a length is a stream")
        chunks = Chunks() if answer.chunked else None
        begun = False

        def take(data: bytes) -> None:
            passed = SharedBuffers(())
            passed.chunked = data if chunks is None else chunks.feed(data)
            link.write(passed if chunks is not None else [data])
            if chunks is not None and chunks.ended:
                link.close(1000, "")
            elif not link.writable:
                hop.wait()

        def flows() -> None:
            nonlocal begun
            if begun:
                hop.read_on()
            else:
                begun = True
                hop.pass_on(take)

        def end() -> None:
            over()
            if chunks is None:
                link.close(1000, "")
            else:
                link.abort()  # it was cut

        link = StreamLink(request, flows)
        over, hop.over = hop.over, end
        if hop.gone:
            end()
        self._watch.add(link)
        try:
            response = await run_stream(request, link, answer.own, prelude=b"", tail=b"", patience=self._patience)
            return response, chunks is not None and chunks.ended and answer.keeps
        finally:
            hop.over = over
            hop.pass_on(None)
            self._watch.discard(link)
            link.finished()

    def _patience(self) -> float:
        return CLOSE_PATIENCE if self._service.closing else END_PATIENCE

    async def _say(self, peer: Peer, seconds: float) -> None:
        """Tells another worker that this one goes away: see Farewell."""
        hop = await self._hops.reach(peer)
        line, headers = "POST / HTTP/1.1", ((b"Host", b"-"), (b"Content-Length", b"0"))
        facts = Facts(self._port.worker, "", "", leaving=seconds).pack()
        seal = hop.seal.request(said_by(line, facts, headers))
        hop.transport.write(written(line, (*headers, (HEADER, seal.encode() + facts))))
        await hop.head()
        self._hops.keep(hop)

    # -- WebSockets ----------------------------------------------------------------------------------------------------

    async def _upgrade(self, request: web.Request, hop: Hop, answer: Answer, limit: int) -> web.StreamResponse:
        """The worker has taken a handshake, and so is its client's answered; then both talk to each other. Raises
        Gone."""
        request, _ = agree(request)
        ws = prepare(request, limit)
        for cookie in answer.headers.getall("Set-Cookie", ()):
            ws.headers.add("Set-Cookie", cookie)
        await upgrade(request, ws)
        if not isinstance(ws, LeanResponse):
            wire = Reframed(request, Incoming(request, ws))
            self._join(Tunnel(wire, hop), b"")
            await wire.run()
            return ws
        await shake_hands(request, ws)
        transport, early, _, kept = detach(request, ws)
        tunnel = Tunnel(cast("Wire", transport), hop)
        self._join(tunnel, early)
        if kept:
            await tunnel.lasts()
        return ws

    def _join(self, tunnel: Tunnel, said: bytes) -> None:
        self.farewell.add(tunnel)
        tunnel.join(said)

    def _hand(self, hop: Hop, hand_over: HandOver) -> None:
        transport, said, over = hand_over()
        self._join(tunnel := Tunnel(transport, hop), said)
        tunnel.ended.add_done_callback(lambda _: over())

    async def carry_on(self, request: web.Request, elsewhere: Elsewhere, hand_over: HandOver) -> None:
        """Brings a WebSocket that is answered already to the worker that has its session: see Carrying."""
        hop = await self._begin(request, elsewhere)
        try:
            hop.transport.write(self._head(request, elsewhere, hop))
            answer = Answer.read(await hop.head())
            if answer.status != 101:
                raise Refusal(4503, f"the worker that has the session answers {answer.status}")
            self._hand(hop, hand_over)
        except Broken:
            raise Refusal(4503, BROKE_OFF) from None
        finally:
            if hop.full is None:
                hop.transport.close()

    async def carry_stream(
        self, head: Sequence[tuple[bytes, bytes]], remote: str, elsewhere: Elsewhere, hand_over: HandOver
    ) -> None:
        """Brings a session of WebTransport to the worker that has its session: see Carrying, and streams."""
        facts = Facts(self._port.worker, remote, "https", elsewhere.sid, head=[*map(worded, head)])
        hop = await self.reach(elsewhere, new=True)
        self.count += 1
        try:
            await brought(hop, facts)
            self._hand(hop, hand_over)
        except Broken:
            raise Refusal(4503, BROKE_OFF) from None
        finally:
            if hop.full is None:
                hop.transport.close()
