"""Sessions of Socket.IO's clients that go on at another worker: this one opens a session of Engine.IO's there in the
client's name, and both say to each other what client and worker say (docs/scaling.md).

It is a request like any other that is carried, of which that worker makes what it would of its client's: it is asked
about, counted and limited there. But its client has made it here, and it is a WebSocket whatever that came by.
"""

from __future__ import annotations

import base64
import secrets
from urllib.parse import parse_qsl, quote, urlencode

from ..core.errors import BrokerError, Refusal
from ..core.leases import Peer
from ..owners import Bridge as BridgeProtocol
from ..owners import BridgeEnded, Elsewhere
from ..protocols.engineio import packets
from ..request import SessionRequest
from ..service import Service
from ..transports.websocket import FIN_BINARY, FIN_CLOSE, FIN_TEXT
from ..web.reframed import masked
from .answers import Answer
from .facts import Facts, Headers, said_by
from .forward import Forwarder, written
from .hops import Broken, Hop
from .port import HEADER, InnerPort

__all__ = ["Bridge", "Bridges"]

# What a client said of the connection that it came by, or of who it is past proxies, which is known already.
OWN = frozenset(
    b"connection content-length content-type expect forwarded host keep-alive proxy-connection te trailer"
    b" transfer-encoding upgrade x-real-ip".split()
) | {HEADER.lower()}
OWN_BEGIN = (b"sec-websocket-", b"x-forwarded-")
# The same in the query of its URL.
PARAMETERS = frozenset(("EIO", "transport", "sid", "t", "j", "b64"))


class Bridge:
    """One client's session at another worker. See realtime.owners.Bridge."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    async def send(self, message: str | bytes) -> None:
        """The client says this."""
        if isinstance(message, str):
            frame = masked(FIN_TEXT, f"{packets.MESSAGE}{message}".encode("utf-8", "surrogatepass"))
        else:
            frame = masked(FIN_BINARY, message)
        try:
            await self._hop.drain()
            self._hop.transport.write(frame)
        except Broken:
            raise BridgeEnded(clean=False) from None

    async def receive(self) -> str | bytes:
        """The worker says this to it; heartbeats are answered."""
        try:
            while True:
                kind, payload = await self._frame()
                if kind == FIN_BINARY:
                    return payload
                if kind == FIN_CLOSE:
                    raise BridgeEnded(clean=True)
                text = payload.decode() if kind == FIN_TEXT else ""
                if text[:1] == packets.MESSAGE:
                    return text[1:]
                if text[:1] == packets.CLOSE:
                    raise BridgeEnded(clean=True)
                if text[:1] == packets.PING:
                    self._hop.transport.write(masked(FIN_TEXT, packets.PONG.encode()))
        except Broken:
            raise BridgeEnded(clean=False) from None

    async def _frame(self) -> tuple[int, bytes]:
        """The next frame: the worker lays each message in one, without a mask (RFC 6455 §5.2)."""
        kind, size = await self._hop.take(2)
        if size >= 126:
            size = int.from_bytes(await self._hop.take(2 if size == 126 else 8), "big")
        return kind, await self._hop.take(size)

    def close(self) -> None:
        """The client has left."""
        self._hop.transport.close()


class Bridges:
    """See realtime.owners.Bridges."""

    def __init__(self, service: Service, forwarder: Forwarder, port: InnerPort) -> None:
        self._service = service
        self._forwarder = forwarder
        self._port = port

    async def open(self, pid: str, request: SessionRequest) -> BridgeProtocol | None:
        """A session at the worker that has this pid. Whoever was brought here is not brought on: its packets could go
        round for ever, each time through a session more."""
        owners = self._service.sessions.owners
        if owners is None or request._brought:
            return None
        try:
            found = await owners.owner(pid)
            if not isinstance(found, Peer):
                return None
            hop = await self._forwarder.reach(Elsewhere(found, pid))
        except (BrokerError, Refusal):
            return None
        try:
            hop.transport.write(self._head(pid, request, hop))
            if Answer.read(await hop.head()).status == 101:
                self._forwarder.count += 1
                return Bridge(hop)
        except Broken:
            pass
        hop.transport.close()
        return None

    def _head(self, pid: str, request: SessionRequest, hop: Hop) -> bytes:
        """The request, sealed."""
        headers = headers_of(request)
        facts = Facts(self._port.worker, request.remote or "", request.scheme, pid=pid).pack()
        line = f"GET {target_of(request)} HTTP/1.1"
        seal = hop.seal.request(said_by(line, facts, headers))
        return written(line, (*headers, (HEADER, seal.encode() + facts)))


def target_of(request: SessionRequest) -> str:
    """Where a client that has opened a session of Engine.IO's would open one by a WebSocket."""
    own = [(name, value) for name, value in parse_qsl(request.query_string, True) if name not in PARAMETERS]
    return f"{quote(request.path)}?{urlencode([*own, ('EIO', '4'), ('transport', 'websocket')])}"


def headers_of(request: SessionRequest) -> Headers:
    """What it would say then. Cookies that count here count there: a page that may connect is named, as by any browser
    that opens a WebSocket."""
    kept = [
        header
        for header in request.raw_headers
        if header[0].lower() not in OWN and not header[0].lower().startswith(OWN_BEGIN)
    ]
    if not any(name.lower() == b"origin" for name, _ in kept):
        kept.append((b"Origin", f"{request.scheme}://{request.host}".encode()))
    return (
        (b"Host", request.host.encode()),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", base64.b64encode(secrets.token_bytes(16))),
        *kept,
    )
