"""Long-polling without aiohttp's machinery: which requests are answered straight, and the end of those connections.

See polled for how. What a middleware, a signal, an access log or a hook of the application's would be shown goes
aiohttp's way, and so does everything in a cluster, of durable endpoints, and where anything of aiohttp is not as it was
known to be.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ..core.carrier import NumberedCarrier
from ..core.errors import RemoteProtocolError
from ..endpoint import Endpoint
from ..gates.native import NativeGate
from ..request import SessionRequest
from ..session import Session
from ..transports import Frame
from ..transports.batch import decode_body
from .answers import Answer, Left
from .batches import LEAST_BATCH
from .lingering import LEAST, Lingering
from .polled import HeldAnswer, Known, PolledConnection, head_of
from .replies import Reply, respond
from .takeover import unfit

__all__ = ["Straight"]

log: logging.Logger = logging.getLogger("realtime.server")

# Whether any are. Not a setting: tests and measurements compare the two ways.
ANSWERING = True


class Straight:
    """The connections of one server's clients whose polls and sends are answered straight."""

    def __init__(self, gate: NativeGate, lingering: Lingering) -> None:
        self.gate: NativeGate = gate
        self.now: Callable[[], float] = gate.service.clock.now
        self.connections: set[PolledConnection] = set()
        self.left: set[RequestHandler] = set()  # those of connections that are left to aiohttp for good
        self._most = LEAST
        self._lingering = lingering
        self.closing: bool = False  # the application is shutting down

    def answered(
        self, request: web.Request, endpoint: Endpoint, reply: Reply, facts: SessionRequest, lines: bytes
    ) -> tuple[PolledConnection, Known] | None:
        """A poll or a send is answered in the usual way: with 200 and these lines of headers, on a connection that goes
        on, where nothing of the application sees what is answered. Returns its connection if aiohttp has nothing of it
        from now on."""
        handler, transport = request.protocol, request.transport
        if transport is None or transport.is_closing():
            return None
        between: object = transport.get_protocol()
        stands = isinstance(between, PolledConnection)
        if (why := self._asked(endpoint) or (None if stands else self._unfit(request))) is not None:
            log.debug("aiohttp serves the polls and sends of this connection: %s", why)
            self._leave(handler)
            return None
        connection = between if isinstance(between, PolledConnection) else PolledConnection(self, transport, handler)
        if connection.handler is not handler or connection.straight is not self or not connection.may_serve:
            return None
        head = head_of(request)
        if head is None:
            return None
        before, digits, behind = head
        known = Known(before, behind, endpoint, facts.transport == "send", facts, reply, lines)
        connection.knows(known)
        if connection is not between:
            transport.set_protocol(connection)  # type: ignore[arg-type] # which is all that its transport asks for
            self.connections.add(connection)
        elif connection.between(before + digits + behind, int(digits)):
            connection.take_over(request)
            self._lingering.forget(transport)
            return connection, known
        return None

    def _leave(self, handler: RequestHandler) -> None:
        self.left.add(handler)
        if len(self.left) > self._most:
            self.left = {one for one in self.left if one.transport is not None}
            self._most = max(LEAST, 2 * len(self.left))

    def holds(
        self,
        request: web.Request,
        endpoint: Endpoint,
        reply: Reply,
        facts: SessionRequest,
        carrier: NumberedCarrier,
        session: Session,
    ) -> Left | None:
        """The response to a poll which its connection will answer, when it is due; None if aiohttp's way is to."""
        if request.protocol in self.left:
            return None
        usual = respond(request, 200, b"", reply=reply)
        if not isinstance(usual, Answer):
            return None
        found = self.answered(request, endpoint, reply, facts, usual.lines)
        if found is None:
            return None
        found[0].hold(found[1], carrier, session)
        left: Left = Left()
        return left

    def _asked(self, endpoint: Endpoint) -> str | None:
        """Who is to be asked about each request of an endpoint's clients; None if nobody is."""
        if not ANSWERING:
            return "switched off"
        if self.closing:
            return "the application shuts down"
        if self.gate.service.admission.hook is not None:
            return "the authorize hook is asked about each"
        if self.gate.service.carrying is not None:
            return "other workers have sessions too"
        return "the endpoint is durable" if endpoint.durable else None

    def _unfit(self, request: web.Request) -> str | None:
        """Why nothing on the connection of this request is answered straight; None if it may be."""
        if (why := unfit(request)) is not None:
            return why
        if request.protocol._logging_enabled:
            return "there is an access log"
        if request.protocol.keepalive_timeout <= 0:
            return "aiohttp keeps no connection open"
        return None

    def frames(self, known: Known, body: bytes) -> list[Frame] | None:
        """What a body says, if it is the usual: a batch for a session that is here. Nothing has changed by then."""
        service, config = self.gate.service, known.endpoint.config
        if service.admission.hook is not None or len(body) > config.max_open_body:
            return None
        if service.endpoints.get(known.endpoint.path) is not known.endpoint:
            return None
        try:
            frames = decode_body(body, max(config.max_batch, LEAST_BATCH), config.max_body)
        except RemoteProtocolError:
            return None
        head = frames[0] if frames else ""
        if not isinstance(head, str) or head[:1] != ("u" if known.sends else "r"):
            return None
        session = service.sessions.by_sid.get(head[1 : head.find(",")])
        if session is None or not session._machine.secret:
            return None
        for frame in frames:
            if frame[:1] == "t":  # fresh auth data, about which the application is asked
                return None
        return frames

    def lost(self, held: HeldAnswer) -> None:
        """A poll that was held is not answered, or its session has not let it go."""
        assert held.session is not None
        self.gate.lost(held.session, held.carrier)

    def handler(self, server: web.Server, *, for_good: bool) -> RequestHandler:
        """A handler of aiohttp's for a connection that has none; perhaps for all that will come on it."""
        handler = ((self._lingering.server() if self.closing else None) or server)()
        if for_good:
            self._leave(handler)
        return handler

    def over(self, connection: PolledConnection) -> None:
        """A connection is gone, or aiohttp's alone."""
        self.connections.discard(connection)

    def pause(self) -> None:
        """aiohttp is shutting down: whom it serves is its own again. Nobody was waited for by now, or see Lingering."""
        self.closing = True
        for connection in tuple(self.connections):
            if connection.handler is not None:  # which may have been made for a request that is not ours
                self._lingering.connections.add(connection.transport)
            connection.step_aside()
        self._lingering.pause()

    async def go_on(self) -> None:
        """Whom aiohttp has left is served on."""
        await self._lingering.go_on()

    async def stopped(self) -> None:
        """All were told, and all is over: ends the connections. The application may start again."""
        await self._lingering.stop()
        for connection in tuple(self.connections):
            connection.end()
        self.left.clear()
        self.closing = False
