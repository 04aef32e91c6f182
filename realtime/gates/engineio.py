"""Engine.IO's gate: requests with what their URLs say become polls, POSTs and WebSockets of an EngineMachine.

Nothing here knows HTTP but for its methods: what is refused is raised, and told by whoever serves the request.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable

from ..core.carrier import Carrier, Link
from ..core.errors import RemoteProtocolError
from ..core.plain_machine import PlainMachine
from ..endpoint import Endpoint
from ..protocols.engineio.codec import Codec, codec
from ..protocols.engineio.machine import EngineMachine
from ..protocols.engineio.options import POLLING, WEBSOCKET, EngineIO
from ..protocols.engineio.packets import Packet, decode
from ..protocols.engineio.payloads import split, unwrap_form
from ..protocols.engineio.requests import BAD_METHOD, BAD_REQUEST, UNKNOWN_SID, EngineIOError, EngineQuery
from ..request import SessionRequest
from ..service import Service
from ..session import Session
from .backlog import TURN, Backlog, has_room, wait_for_packet
from .base import Wait, wait
from .plain import PlainGate
from .plain_connection import PlainConnection
from .repeats import Hop
from .requests import Read, Unreadable

__all__ = ["EngineConnection", "EngineGate", "Visit"]

# What a form may bring beside its field, in bytes.
FORM_SIZE = 4096
# By which headers a client is known for JavaScript.
_OF_JAVASCRIPT = {b"sec-fetch-mode": "mode", b"user-agent": "agent"}
# What stands for a packet that cannot be read where an upgrade is tried.
NONSENSE = Packet("")


class EngineGate(PlainGate):
    """The order of steps for every Engine.IO request, independent of the HTTP library."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.backlogs: dict[Session, Backlog] = {}

    async def enter(
        self, request: SessionRequest, endpoint: Endpoint, options: EngineIO, query: EngineQuery, wait: Wait = wait
    ) -> Visit:
        """Admits a request, and finds the session that it names or opens the one that it asks for.

        Raises Refusal and EngineIOError, and Gone for an open whose client did not wait for it.
        """
        if not query.sid:
            if request.method != "GET":
                raise EngineIOError(BAD_METHOD)
            kind = functools.partial(
                EngineMachine,
                version=query.version,
                options=options,
                text_only=query.base64 or query.jsonp is not None,
                takes_many=query.transport == POLLING and _takes_many(request),
            )
            session = await self.open(request, endpoint, kind, wait)
            machine = session._machine
            assert isinstance(machine, EngineMachine)
            return Visit(self, query, request, session, machine)
        session = await self.service.sessions.route(query.sid)
        machine = session._machine
        if session.path != endpoint.path or not isinstance(machine, EngineMachine):
            raise EngineIOError(UNKNOWN_SID)
        if query.version != machine.version:
            raise EngineIOError(BAD_REQUEST)
        await self.service.admission.admit(session, request)
        if query.transport == POLLING:
            machine.check_polling()
            if request.method not in ("GET", "POST"):
                raise EngineIOError(BAD_REQUEST)
        return Visit(self, query, request, session, machine)

    def stop(self) -> None:
        """Ends the WebSockets that are still being tried as an upgrade: the server shuts down."""
        for session in self.service.sessions:
            machine = session._machine
            if isinstance(machine, EngineMachine) and machine.trial is not None:
                trial = machine.trial
                machine.lost(trial, self.now())
                trial.link.close(1001, "")


def _takes_many(request: SessionRequest) -> bool:
    """Whether it is JavaScript that asks, which takes any number of packets in the answer to a poll. A browser tells
    what a request is for, over HTTPS or at its own machine; engine.io-client in Node, which XMLHttpRequest it has."""
    signs = request._first(_OF_JAVASCRIPT)
    return "mode" in signs or signs.get("agent") == "node-XMLHttpRequest"


class Visit:
    """A request that came in, and its session."""

    def __init__(
        self, gate: EngineGate, query: EngineQuery, request: SessionRequest, session: Session, machine: EngineMachine
    ) -> None:
        self.gate = gate
        self.query = query
        self.request = request
        self.session = session
        self.machine = machine
        self.opening: bool = not query.sid

    def codec(self, transport: str) -> Codec:
        """Whether a client takes bytes it says when it opens, and again for each WebSocket."""
        machine, query = self.machine, self.query
        polled = machine.text_only or query.jsonp is not None
        return codec(machine.version, transport, base64=polled if transport == POLLING else query.base64)

    # -- long-polling ------------------------------------------------------------------------------------------------

    def poll(self, link: Link) -> Carrier:
        """Parks a poll until there is something to answer; then cut() is harmless. Raises Refusal when it may not."""
        now = self.gate.now()
        carrier = Carrier(self.codec(POLLING), link, now)
        if self.opening:
            self.machine.begin(carrier, now)
        elif not self.gate.answered_again(self.session, self.request, carrier):
            self.machine.poll(carrier, now)
        return carrier

    def answered(self, body: bytes, hop: Hop | None) -> None:
        """A poll was answered so; it had come by this hop, if it had."""
        if hop is not None:
            self.gate.repeats.note(self.session, self.request, hop, body)

    def cut(self, carrier: Carrier) -> None:
        """A poll has ended, or its connection is gone."""
        if not carrier.finished:
            self.machine.lost(carrier, self.gate.now(), reason="the poll was cut")

    async def post(self, link: Link, read: Read, *, binary: bool) -> None:
        """Takes what a POST brings; it is to be answered when this returns: the application has room for more (see
        backlog). `binary`: the body is said to be bytes. Raises RemoteProtocolError, Refusal and Unreadable."""
        machine = self.machine
        if machine.posting:
            machine.end(1002, "two POSTs at once", self.gate.now())
            raise machine.refusal()
        machine.posting = True
        try:
            body = await self._body(read)
            await self._take_in(Carrier(self.codec(POLLING), link, self.gate.now()), body, binary)
        except RemoteProtocolError as error:
            if error.close_code < 4000:
                machine.fail(error, self.gate.now())
            raise
        finally:
            machine.posting = False

    async def _body(self, read: Read) -> bytes:
        machine, form = self.machine, self.query.jsonp is not None
        limit = machine.options.max_payload
        try:
            # Three bytes for one is the worst that percent-encoding does.
            body = await read(3 * limit + FORM_SIZE if form else limit)
        except Unreadable:
            machine.end(1006, "a POST was cut", self.gate.now())
            raise
        machine.check_polling()
        if form:
            body = unwrap_form(body)
            if len(body) > limit:
                raise RemoteProtocolError(4413, f"the payload is above {limit} bytes")
        return body

    async def _take_in(self, carrier: Carrier, body: bytes, binary: bool) -> None:
        machine, gate = self.machine, self.gate
        packets = split(machine.version, body, binary=binary)
        for count, _ in enumerate(packets, 1):  # a payload is taken whole or not at all
            if count % TURN == 0:
                await asyncio.sleep(0)
                machine.check_polling()
        backlog = gate.backlogs.get(self.session) or Backlog(self.session, machine, gate.now, gate.backlogs)
        await backlog.bring(carrier, packets, len(body))

    # -- WebSocket ---------------------------------------------------------------------------------------------------

    def connection(self, link: Link) -> EngineConnection:
        """A WebSocket that opens the session, or that names it and is tried."""
        return EngineConnection(self, link)

    def left(self) -> None:
        """The request has ended. A session that it has opened, and not begun, ends with it."""
        if self.opening and not self.machine.gen:
            self.machine.end(1006, "the connection was lost", self.gate.now())


class EngineConnection(PlainConnection):
    """See gates.base.Connection."""

    def __init__(self, visit: Visit, link: Link) -> None:
        super().__init__(visit.gate, visit.codec(WEBSOCKET), link, visit.machine)
        self._visit = visit

    def connected(self) -> None:
        """The connection stands: it opens the session, or is tried."""
        machine, carrier, now = self._visit.machine, self.carrier, self._now()
        if self._visit.opening:
            machine.begin(carrier, now)
        elif not machine.connect(carrier, now):
            carrier.finish([], 1000, "another connection carries this session")

    def _take(self, _: PlainMachine, data: str | bytes) -> Awaitable[None] | None:
        machine = self._visit.machine
        try:
            packet = self._read(data)
            if machine.trial is not self.carrier and (
                self._visit.session in self._visit.gate.backlogs or not has_room(machine, packet)
            ):
                return self._wait_and_feed(packet)
            self._feed(packet)
        except RemoteProtocolError as error:
            machine.fail(error, self._now())
        return None

    async def _wait_and_feed(self, packet: Packet) -> None:
        machine, session, backlogs = self._visit.machine, self._visit.session, self._visit.gate.backlogs
        try:
            if session in backlogs:
                await backlogs[session].passed()
            await wait_for_packet(session, machine, packet)
            self._feed(packet)
        except RemoteProtocolError as error:
            machine.fail(error, self._now())

    def _feed(self, packet: Packet) -> None:
        session, backlogs = self._visit.session, self._visit.gate.backlogs
        self._visit.machine.feed(self.carrier, packet, self._now())
        if session in backlogs:
            backlogs[session].hurry()

    def _read(self, data: str | bytes) -> Packet:
        machine = self._visit.machine
        try:
            return decode(machine.version, data)
        except RemoteProtocolError:
            if machine.trial is not self.carrier:
                raise
            return NONSENSE
