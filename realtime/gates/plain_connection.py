"""Protocols without numbers and acks on one connection that carries messages both ways: see gates.base.Connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from ..core.carrier import Carrier, Codec, Link
from ..core.errors import Refusal, RemoteProtocolError
from ..core.plain_machine import PlainMachine
from ..endpoint import Endpoint
from ..loops import at_once
from ..request import SessionRequest
from ..session import Session
from .base import Gone, Wait, wait
from .plain import PlainGate, machine_of

__all__ = ["OneSession", "PlainConnection", "Wire"]

_REASONS = {1007: "text that is not UTF-8", 1009: "a message above max_size"}


class Wire(NamedTuple):
    """A protocol on a WebSocket."""

    codec: Codec
    parse: Callable[[str | bytes], Iterable[str | bytes]]  # the messages of one WebSocket message
    kind: Callable[..., PlainMachine]
    max_size: int  # of one WebSocket message, in bytes
    subprotocols: Sequence[str] = ()  # RFC 6455's, which clients may choose among


class PlainConnection(ABC):
    """A connection of such a protocol, and the machine of its session, once there is one."""

    def __init__(self, gate: PlainGate, codec: Codec, link: Link, machine: PlainMachine | None = None) -> None:
        self._gate = gate
        self._now = gate.now
        self._machine = machine
        self.carrier: Carrier = Carrier(codec, link, self._now())

    def message(self, data: str | bytes) -> Awaitable[None] | None:
        """A message. Once the carrier is finished it is only read, for the closing handshake."""
        return None if self._machine is None or self.carrier.finished else self._take(self._machine, data)

    @abstractmethod
    def _take(self, machine: PlainMachine, data: str | bytes) -> Awaitable[None] | None:
        """Takes a message; what this returns waits until there is room for what it brings."""

    def control(self) -> bool:
        """A ping or a pong has come. Whether it is to be answered: not when those are too many, which ends the
        session."""
        machine = self._machine
        if machine is None:
            return True
        now = self._now()
        machine.sign_of_life(self.carrier, now)
        try:
            machine.inbox.other(now)
        except RemoteProtocolError as error:
            machine.fail(error, now)
            return False
        return True

    def closed(self, code: int, reason: str) -> None:
        """The peer closes the connection, and with it the session that it carries."""
        machine = self._machine
        if machine is not None and machine.carrier is self.carrier:
            machine.peer_left(self.carrier, code, reason, self._now())

    def failed(self, code: int) -> None:
        """The connection was closed with this code, for what the peer sent."""
        machine = self._machine
        if machine is not None and machine.carrier is self.carrier:
            self.carrier.finished = True
            machine.end(code, _REASONS.get(code, "no WebSocket frame"), self._now())

    def writable_again(self) -> None:
        """The link takes more."""
        if self._machine is not None:
            self._machine.listener.dirty()

    def lost(self) -> None:
        """The connection has ended."""
        if self._machine is not None:
            self._machine.lost(self.carrier, self._now())
        self.carrier.finished = True


class OneSession(PlainConnection):
    """A connection that is a session of its own."""

    def __init__(
        self,
        gate: PlainGate,
        request: SessionRequest,
        endpoint: Endpoint,
        wire: Wire,
        link: Link,
        wait: Wait = wait,
    ) -> None:
        super().__init__(gate, wire.codec, link)
        self._wait = wait
        self._request = request
        self._endpoint = endpoint
        self._wire = wire
        self._session: Session

    def connected(self) -> Awaitable[None] | None:
        """Opens the session, or says on the connection why there is none."""
        opening = self._open()
        return at_once(opening) if self._gate.service.opens_at_once else opening

    async def _open(self) -> None:
        carrier = self.carrier
        try:
            session = await self._gate.open(self._request, self._endpoint, self._wire.kind, self._wait)
            machine_of(session).take_up(carrier, self._now())
        except Gone:
            carrier.finished = True
        except Refusal as refusal:
            self._gate.service.refused(refusal.code)
            last = [carrier.codec.abrupt(refusal.code, "carrier", None, refusal.reason)]
            carrier.finish(last, refusal.code, refusal.reason)
        else:
            self._session, self._machine = session, machine_of(session)
        self._wait = wait  # the other may keep what it waits with

    def _take(self, machine: PlainMachine, data: str | bytes) -> Awaitable[None] | None:
        machine.sign_of_life(self.carrier, self._now())
        try:
            messages = iter(self._wire.parse(data))
        except RemoteProtocolError as error:
            self.carrier.finish([], error.close_code, error.reason)  # who speaks nonsense is not spoken to
            machine.fail(error, self._now())
            return None
        try:
            rest = self._gate.feed_at_once(self._session, messages)
        except RemoteProtocolError as error:
            machine.fail(error, self._now())
            return None
        return None if rest is None else self._feed(machine, rest)

    async def _feed(self, machine: PlainMachine, messages: Iterable[str | bytes]) -> None:
        try:
            await self._gate.feed(self._session, messages)
        except RemoteProtocolError as error:
            machine.fail(error, self._now())
