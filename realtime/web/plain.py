"""What the routes of protocols without numbers and acks share: opening, WebSockets, and messages that wait for room.

Such a protocol has no windows: back-pressure is the connection's own. A WebSocket is not read on, and a POST not
answered, until the inbox has taken what came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple
from weakref import WeakKeyDictionary

from aiohttp import WebSocketError, WSMsgType, web

from ..core.addresses import address_key
from ..core.carrier import Carrier, Codec
from ..core.errors import Refusal, RemoteProtocolError
from ..core.frames import payload_size
from ..core.plain_machine import NO_WINDOW, PlainMachine
from ..endpoint import Endpoint
from ..gates.base import Gone
from ..request import SessionRequest
from ..server import Server
from ..session import Session
from .handshake import Incoming, Misfit, misfit, still_there, upgrade
from .links import CONTROL, WebSocketLink
from .routes import Routes
from .subprotocols import agree

__all__ = ["PlainRoutes", "Wire", "machine_of", "wait_for_room"]

# So many requests of one session may wait for room; a well-behaved client has one.
MAX_WAITING = 16
# The peer closed without naming a code (RFC 6455 §7.1.5).
NO_CODE = 1005


class Wire(NamedTuple):
    """A protocol on a WebSocket."""

    codec: Codec
    parse: Callable[[str | bytes], Iterable[str | bytes]]  # the messages of one WebSocket message
    kind: Callable[..., PlainMachine]
    max_size: int  # of one WebSocket message, in bytes
    subprotocols: tuple[str, ...] = ()  # RFC 6455's, which clients may choose among


class Turns:
    """Whose messages go into an inbox next: first come, first served."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
        self.size = 0  # of the bodies that wait, in bytes


def machine_of(session: Session) -> PlainMachine:
    """The machine of a session that was opened here."""
    machine = session._machine
    assert isinstance(machine, PlainMachine)
    return machine


async def wait_for_room(session: Session, size: int) -> bool:
    """Waits until the inbox takes a message of `size` bytes. False when none will be taken any more."""
    machine = machine_of(session)
    machine.pause(session._now())
    try:
        return await session._wait_for_room(size)
    finally:
        machine.resume()


class PlainRoutes(Routes):
    """See RawRoutes, SockJSRoutes and EngineRoutes."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._links: set[WebSocketLink] = set()
        self._turns: WeakKeyDictionary[Session, Turns] = WeakKeyDictionary()
        server.on_shutdown.append(self._stop)

    async def _open(
        self,
        request: web.Request,
        endpoint: Endpoint,
        facts: SessionRequest,
        kind: Callable[..., PlainMachine],
        name: str = "",
        incoming: Incoming | None = None,
    ) -> Session:
        """Opens a session, claiming the name that its client chose for it, if it did. Raises Refusal, and Gone when
        the client has left meanwhile.

        Whoever had the same name authorised for the same identity at the same time, and was first, has opened it.
        """
        server = self._server
        address = address_key(facts.remote)
        server.check_rate(address)
        server.arrived(facts)
        identity = await still_there(request, incoming if server.asks else None, server.identify(facts))
        session = await server.open(
            endpoint,
            nonce=name,
            binding=None,
            window=NO_WINDOW,
            identity=identity,
            request=facts,
            address=address,
            kind=kind,
        )
        if session.identity != identity:
            raise Refusal(4403, "the session belongs to another identity")
        server.authorized(session, facts)
        return session

    async def _feed(self, session: Session, messages: Iterable[str | bytes], kept: int = 0) -> bool:
        """Gives messages to a session, waiting for room; False when it takes no more. None at all are counted as well.

        So long `kept` bytes are kept for them. Raises RemoteProtocolError for one that is too large or too fast, and
        Refusal when too many wait, or too much.
        """
        turns = self._turns.get(session)
        if turns is None:
            turns = self._turns[session] = Turns()
        machine = machine_of(session)
        if turns.waiting >= MAX_WAITING or (turns.waiting and turns.size + kept > machine.config.max_body):
            raise Refusal(4429, "too many requests wait for room in this session; send one after another")
        turns.waiting += 1
        turns.size += kept
        try:
            async with turns.lock:
                size = -1
                for message in messages:
                    size = payload_size(message)
                    if not await wait_for_room(session, size):
                        return False
                    machine.receive(message, size, self._server.clock.now())
                if size < 0:
                    machine.inbox.other(self._server.clock.now())
        finally:
            turns.waiting -= 1
            turns.size -= kept
        return True

    async def _websocket(
        self, request: web.Request, endpoint: Endpoint, wire: Wire, facts: SessionRequest
    ) -> web.StreamResponse | Misfit:
        """A WebSocket that is a session of its own, or why there is none. Raises Gone."""
        request, facts.subprotocol = agree(request, wire.subprotocols)
        ws = web.WebSocketResponse(
            compress=False,
            autoclose=False,
            autoping=False,
            max_msg_size=wire.max_size,
            protocols=() if facts.subprotocol is None else (facts.subprotocol,),
        )
        wrong = misfit(request, ws)
        if wrong is not None:
            if wrong.stripped:
                self._server.note_failure(facts.remote, "websocket", "a proxy took the Upgrade header out")
            return wrong
        await upgrade(request, ws)
        incoming = Incoming(request, ws)
        session: Session | None = None

        def writable_again() -> None:
            if session is not None:
                session._listener.dirty()

        async def take(data: str | bytes) -> None:
            assert session is not None
            machine = machine_of(session)
            machine.sign_of_life(carrier, now())
            try:
                messages = wire.parse(data)
            except RemoteProtocolError as error:
                carrier.finish([], error.close_code, error.reason)  # who speaks nonsense is not spoken to
                machine.fail(error, now())
                return
            try:
                await self._feed(session, messages)
            except RemoteProtocolError as error:
                machine.fail(error, now())

        now = self._server.clock.now
        link = WebSocketLink(request, ws, writable_again)
        carrier = Carrier(wire.codec, link, now())
        self._links.add(link)  # who comes in may take a while to say
        try:
            session = await self._open(request, endpoint, facts, wire.kind, incoming=incoming)
            machine_of(session).take_up(carrier, now())
        except Gone:
            carrier.finished = True
        except Refusal as refusal:
            self._server.refused(refusal.code)
            carrier.finish(
                [wire.codec.abrupt(refusal.code, "carrier", None, refusal.reason)], refusal.code, refusal.reason
            )
        await self._read(incoming, link, None if session is None else machine_of(session), carrier, take)
        return ws

    async def _read(
        self,
        incoming: Incoming,
        link: WebSocketLink,
        machine: PlainMachine | None,
        carrier: Carrier,
        take: Callable[[str | bytes], Awaitable[None]],
    ) -> None:
        """Reads until the connection ends, as fast as `take` takes it, and tells the machine how it did.

        What comes once the carrier is over is only read, for the closing handshake.
        """
        now = self._server.clock.now
        self._links.add(link)
        try:
            while True:
                message = await incoming.receive()
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    if not carrier.finished:
                        await take(message.data)
                elif message.type in CONTROL:
                    if machine is None or self._heard(machine, carrier):
                        link.answer(message)
                else:
                    if machine is None or machine.carrier is not carrier:
                        return
                    if message.type is WSMsgType.CLOSE:
                        machine.peer_left(carrier, message.data or NO_CODE, message.extra or "", now())
                    elif isinstance(message.data, WebSocketError):
                        carrier.finished = True  # aiohttp has closed with this code itself
                        machine.end(message.data.code, _REASONS.get(message.data.code, "no WebSocket frame"), now())
                    return
        finally:
            if machine is not None:
                machine.lost(carrier, now())
            try:
                await link.finished()
            finally:
                self._links.discard(link)

    def _heard(self, machine: PlainMachine, carrier: Carrier) -> bool:
        """A ping or a pong has come. False when those are too many, which ends the session."""
        now = self._server.clock.now()
        machine.sign_of_life(carrier, now)
        try:
            machine.inbox.other(now)
        except RemoteProtocolError as error:
            machine.fail(error, now)
            return False
        return True

    def _stop(self) -> None:
        """Shutting down: closing handshakes are still read, bodies are not."""
        self._bodies.stop()
        for link in self._links:
            link.listen()


_REASONS = {1007: "text that is not UTF-8", 1009: "a message above max_size"}
