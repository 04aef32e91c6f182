"""A worker's inner port: where the other workers bring the requests of this one's sessions.

What is brought is an HTTP request, as its client has made it, and beside it who that client is, sealed (seals). It goes
to the application like any other: the same routes, the same middlewares, the same authorize hook, which is shown the
client's address and not the worker's. The response goes back as it stands. So no protocol is served in two ways.

Nobody is read here who does not know the cluster's secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from ..clock import Timer, call_later
from ..core.carrier import Shape
from ..departures import Departures
from ..service import MOMENT, Service
from ..session import Session
from ..web.carried import Carried, carried, mark
from ..web.lingering import serving
from .facts import Facts, Headers, said_by
from .hops import HANDSHAKE_PATIENCE
from .places import Place, address_of, place_of
from .seals import HELLO_SIZE, NONCE_SIZE, SEAL_SIZE, Hello, Seal, greeting
from .settings import Cluster
from .streams import MARK, Stream

__all__ = ["HEADER", "InnerPort"]

log: logging.Logger = logging.getLogger("realtime.cluster")

# Where a request says who its client is, and that this is so.
HEADER = b"Realtime-Hop"
# So many may be connected who have not shown yet that they know the secret. When there are as many, the first of them
# makes room for another, if it has been one for so many seconds: else whoever connects as often keeps all workers out.
MOST_STRANGERS = 256
GRACE = 1.0
# A connection that nobody uses is kept for so many seconds: longer than who has made it keeps it.
IDLE = 60.0
# How large a request line may be, or a header, and how many of these: what the worker let in that it came to is let in.
MAX_LINE = 1_048_576
MAX_HEADERS = 4096
# How long requests may take that are under way when the port is closed, in seconds.
PATIENCE = 1.0
# So many connections are noted at least before the closed ones are looked for.
LEAST = 64


def private_socket(path: str) -> socket.socket:
    """A Unix socket at this path that only its user may open, from the first moment on. What an earlier worker has left
    there is in nobody's way."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    listening = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listening.bind(path)
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


class Stranger(asyncio.Protocol):
    """Somebody who has connected, and has not shown yet that he knows the secret."""

    def __init__(self, port: InnerPort) -> None:
        self._port = port
        self._said = b""
        self._nonce = secrets.token_bytes(NONCE_SIZE)
        self._transport: asyncio.Transport
        self._patience: Timer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """He is greeted, unless there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._port.admits(self):
            self._transport.abort()
            return
        self._patience = call_later(HANDSHAKE_PATIENCE, self.turn_away)
        self._transport.write(greeting(self._nonce))

    def data_received(self, data: bytes) -> None:
        """What he says, which is as long as a hello, and then nothing before he is answered."""
        self._said += data[: HELLO_SIZE + 1]
        if len(self._said) > HELLO_SIZE:
            self.turn_away()
        elif len(self._said) == HELLO_SIZE:
            self._port.hears(self, self._transport, self._nonce, Hello.read(self._said))

    def connection_lost(self, error: Exception | None) -> None:
        """He has left."""
        self.leaves()

    def turn_away(self) -> None:
        """He is cut off."""
        self._port.turned_away += 1
        self._transport.abort()
        self.leaves()

    def leaves(self) -> None:
        """He is no stranger any more, or is gone."""
        self._port.strangers.pop(self, None)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class Known(asyncio.Protocol):
    """Who has shown that he knows the secret. What he says first tells what the connection is for."""

    def __init__(self, port: InnerPort, transport: asyncio.Transport, seal: Seal) -> None:
        self._port = port
        self._transport = transport
        self._seal = seal
        self._patience = call_later(IDLE, transport.abort)
        port.known.add(self)

    def data_received(self, data: bytes) -> None:
        """It is for requests, or for a stream."""
        self.leaves()
        if data.startswith(MARK):
            stream = Stream(self._port, self._transport, self._seal)
            self._port.streams.add(stream)
            self._transport.set_protocol(stream)
            stream.start(data)
        else:
            self._port.serves(self._transport, self._seal, data)

    def connection_lost(self, error: Exception | None) -> None:
        """He has said nothing."""
        self.leaves()

    def turn_away(self) -> None:
        """He is cut off."""
        self._transport.abort()
        self.leaves()

    def leaves(self) -> None:
        """It is known what he wants, or he is gone."""
        self._port.known.discard(self)
        self._patience.cancel()


class Brought(web.RequestHandler):
    """Serves the requests that another worker brings on one connection: to what is asked of this, each comes from its
    client."""

    __slots__ = ("client", "seal")

    client: Facts | None
    seal: Seal

    @property
    def peername(self) -> str | None:  # an address alone is taken, too
        """Where the request that is being made comes from."""
        return None if self.client is None else self.client.remote

    @property
    def ssl_context(self) -> Any:
        """Whether it came over TLS."""
        return self.client is not None and self.client.scheme == "https"


class InnerPort:
    """See cluster.base.Port."""

    def __init__(self, cluster: Cluster, service: Service) -> None:
        self._cluster = cluster
        self._service = service
        self._from: dict[asyncio.Transport, str] = {}  # which worker has made a connection
        self._most = LEAST  # of these, before the closed ones are looked for
        self._departures: list[Departures] = []  # of sessions whose clients come by workers that are going away
        self._secrets = cluster.secrets
        self._mark = b""  # of this worker's incarnation
        self.worker: str = ""  # whose port this is
        self._listener: asyncio.Server | None = None
        self._folder: str | None = None  # made here
        self._path = ""  # of the Unix socket
        self._server: web.Server | None = None
        self._by: web.Server | None = None
        self.strangers: dict[Stranger, float] = {}  # since when; the first has been one for longest
        self.known: set[Known] = set()
        self.streams: set[Stream] = set()  # sessions of WebTransport that others bring
        self.turned_away: int = 0  # so many strangers, and requests that were not sealed
        self.application: web.Application | None = None  # the outermost one, as soon as it is known

    # -- listening -----------------------------------------------------------------------------------------------------

    async def start(self, worker: str, incarnation: str) -> str:
        """Listens, and returns the address that others reach it by."""
        self.worker, self._mark = worker, Seal.mark(incarnation)
        place = self._place(worker)
        loop = asyncio.get_running_loop()
        if place.path:
            self._path = place.path
            self._listener = await loop.create_unix_server(self._stranger, sock=private_socket(place.path))
        else:
            tls = None if self._cluster.tls is None else self._cluster.tls[0]
            patience = None if tls is None else HANDSHAKE_PATIENCE
            self._listener = await loop.create_server(
                self._stranger, place.host, place.port, ssl=tls, ssl_handshake_timeout=patience
            )
            place.port = self._listener.sockets[0].getsockname()[1]
        told = self._cluster.advertise
        return address_of(place if told is None else place_of(told, "advertise"))

    def _place(self, worker: str) -> Place:
        if self._cluster.listen is None:
            self._folder = tempfile.mkdtemp(prefix="realtime-")  # which only its user may enter
            return Place(f"{self._folder}/{worker}")
        place = place_of(self._cluster.listen, "listen")
        if place.path.endswith("/"):
            os.makedirs(place.path, mode=0o700, exist_ok=True)
            place.path += worker
        return place

    async def close(self) -> None:
        """Listens no more; what is under way may take a moment yet."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._path:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._path = ""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        for stranger in tuple(self.strangers):
            stranger.turn_away()
        for known in tuple(self.known):
            known.turn_away()
        if self.streams:
            await asyncio.wait([stream.ended for stream in self.streams], timeout=PATIENCE)
        for stream in tuple(self.streams):
            stream.leave()
        if self._server is not None:
            server, self._server = self._server, None
            server.pre_shutdown()
            await server.shutdown(PATIENCE)
        for departures in self._departures:
            departures.stop()
        self.application = self._by = None
        self._from = {}

    # -- who comes -----------------------------------------------------------------------------------------------------

    def _stranger(self) -> Stranger:
        return Stranger(self)

    def admits(self, stranger: Stranger) -> bool:
        """Somebody has connected; whether he may stay."""
        now = asyncio.get_running_loop().time()
        if len(self.strangers) >= MOST_STRANGERS:
            first, since = next(iter(self.strangers.items()))
            if now - since < GRACE:
                return False
            first.turn_away()
        self.strangers[stranger] = now
        return True

    def hears(self, stranger: Stranger, transport: asyncio.Transport, nonce: bytes, hello: Hello) -> None:
        """Somebody has said his hello."""
        seal: Seal | None = None
        for secret in self._secrets:
            one = Seal(secret, nonce, hello.nonce, hello.mark)
            if one.knows(hello) and seal is None:
                seal = one
        if seal is None or (self.application is None and self.taking is None):
            stranger.turn_away()
            return
        stranger.leaves()
        stale = hello.mark != self._mark
        transport.write(seal.answer(stale=stale))
        if stale:
            transport.close()
            return
        transport.set_protocol(Known(self, transport, seal))

    def serves(self, transport: asyncio.Transport, seal: Seal, said: bytes) -> None:
        """Somebody who is known makes requests, of which this is what has come."""
        server = self._serving()
        protocol = Brought(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE,
            tcp_keepalive=False,
            access_log=cast("logging.Logger", None),  # the worker that a request came to has logged it
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )
        protocol.seal, protocol.client = seal, None
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(said)

    @property
    def taking(self) -> object | None:
        """What takes sessions of WebTransport, while that is served here: see webtransport.carried.Taking."""
        return self._service.taking

    def _serving(self) -> web.Server:
        """What serves requests by the application."""
        if self._server is None:
            self._server = web.Server(self._serve, request_factory=self._make)  # type: ignore[arg-type]
        return self._server

    def _inner(self) -> web.Server | None:
        """How the application serves its own; None while it is not known, since no request has come by it."""
        if self._by is None and self.application is not None:
            self._by = serving(self.application)
        return self._by

    # -- what is brought -----------------------------------------------------------------------------------------------

    def _make(self, message: Any, payload: Any, protocol: Brought, writer: Any, task: Any) -> web.Request:
        """The request as its client has made it; as it is, where nobody vouches for it."""
        protocol.client = None
        raw: Headers = message.raw_headers
        name, own = raw[-1] if raw else (b"", b"")
        if name != HEADER:
            return self._plain(message, payload, protocol, writer, task)
        seal, packed, raw = own[:SEAL_SIZE], own[SEAL_SIZE:], raw[:-1]
        version = message.version
        line = f"{message.method} {message.path} HTTP/{version.major}.{version.minor}"
        if not protocol.seal.sealed(seal, said_by(line, packed, raw)):
            return self._plain(message, payload, protocol, writer, task)
        protocol.client = facts = Facts.read(packed)
        self.note(protocol.transport, facts.worker)
        headers = CIMultiDict(message.headers)
        del headers[HEADER.decode()]
        message = message._replace(headers=CIMultiDictProxy(headers), raw_headers=raw)
        request = self._plain(message, payload, protocol, writer, task)
        mark(request, Carried(facts.worker, facts.handed, facts.leaving, facts.pid))
        return request

    def _plain(self, message: Any, payload: Any, protocol: Brought, writer: Any, task: Any) -> web.Request:
        inner = self._inner()
        makes: Any = (
            partial(web.BaseRequest, loop=asyncio.get_running_loop()) if inner is None else inner.request_factory
        )
        request: web.Request = makes(message, payload, protocol, writer, task)
        return request

    def note(self, transport: asyncio.Transport | None, worker: str) -> None:
        """This worker brings something on this connection."""
        if transport is None or transport in self._from:
            return
        self._from[transport] = worker
        if len(self._from) > self._most:
            self._from = {one: other for one, other in self._from.items() if not one.is_closing()}
            self._most = max(LEAST, 2 * len(self._from))

    def _leaves(self, worker: str, seconds: float) -> None:
        """A worker is going away: those whose connections it carries come again by others, at once; those of whom it is
        the last word, and who can't, are told to go, as in a drain."""
        theirs = {transport for transport, other in self._from.items() if other == worker}
        now = self._service.clock.now()
        last: list[Session] = []
        for session in self._service.sessions:
            machine = session._machine
            carrier = machine.carrier
            link: Any = None if carrier is None else carrier.link
            if carrier is None or getattr(link, "transport", None) not in theirs:
                continue
            machine.recycle(now)
            if machine.carrier is carrier and carrier.codec.shape is Shape.DUPLEX:
                last.append(session)
        if seconds >= 0.0 and last:
            self._departures.append(
                Departures(
                    last,
                    self._service.clock,
                    rate=self._service.drain_rate,
                    within=max(seconds / 2, MOMENT),
                    delay=0.0,
                    draw=self._service.draw,
                )
            )

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        brought = carried(request)
        if brought is None:
            self.turned_away += 1
            response = web.Response(status=403)
            response.force_close()
            return response
        if brought.leaving is not None:
            self._departures = [departures for departures in self._departures if len(departures)]
            self._leaves(brought.worker, brought.leaving)
            return web.Response(status=204)
        if brought.pid and not self._service.sessions.handlers.has(brought.pid):
            return web.Response(status=404)
        inner = self._inner()
        if inner is None:
            assert request.transport is not None
            request.transport.abort()  # as if nobody was here
            return web.Response(status=503)
        serves: Callable[[web.Request], Awaitable[web.StreamResponse]] = cast("Any", inner.request_handler)
        return await serves(request)
