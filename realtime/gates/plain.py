"""The gate of protocols without numbers and acks: a session is opened, and messages are fed to it as there is room.

Such a protocol has no windows: back-pressure is the connection's own. A WebSocket is not read on, and a POST not
answered, until the inbox has taken what came.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from weakref import WeakKeyDictionary

from ..core.addresses import address_key
from ..core.carrier import POLL, Carrier
from ..core.errors import Refusal, RemoteProtocolError
from ..core.frames import payload_size
from ..core.plain_machine import INTERRUPTED, NO_WINDOW, PlainMachine
from ..endpoint import Endpoint
from ..request import SessionRequest
from ..service import Service
from ..session import Session
from .base import Wait, wait
from .repeats import Repeats
from .requests import Held, Read

__all__ = ["PlainGate", "machine_of", "wait_for_room"]

# So many requests of one session may wait for room; a well-behaved client has one.
MAX_WAITING = 16


class Turns:
    """The order in which waiting requests put messages into an inbox: first come, first served."""

    def __init__(self) -> None:
        self.lock: asyncio.Lock = asyncio.Lock()
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
        while machine.outcome is None and machine.closing is None:
            if machine.inbox.has_room(size):
                return True
            await session._listener.progressed()
        return False
    finally:
        machine.resume()


class PlainGate:
    """The order of steps for every carrier of such a protocol, independent of the HTTP library."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.now: Callable[[], float] = service.clock.now
        self.repeats: Repeats = Repeats()
        self._turns: WeakKeyDictionary[Session, Turns] = WeakKeyDictionary()

    async def open(
        self,
        request: SessionRequest,
        endpoint: Endpoint,
        kind: Callable[..., PlainMachine],
        wait: Wait = wait,
        name: str = "",
    ) -> Session:
        """Opens a session, claiming the name that its client chose for it, if it did. Raises Refusal, and Gone when
        the client has left meanwhile.

        Whoever had the same name authorised for the same identity at the same time, and was first, has opened it.
        """
        service = self.service
        address = address_key(request.remote)
        service.admission.check_rate(address)
        service.admission.arrived(request)
        identity = await wait(service.admission.identify(request))
        session = await service.sessions.open(
            endpoint,
            nonce=name,
            binding=None,
            window=NO_WINDOW,
            identity=identity,
            request=request,
            address=address,
            kind=kind,
        )
        if session.identity != identity:
            raise Refusal(4403, "the session belongs to another identity")
        service.admission.authorized(session, request)
        if name and service.sessions.owners is not None:
            machine_of(session).reachable_for = self.reachable_for
        return session

    def reachable_for(self) -> float:
        """For how many seconds requests by a name that their client chose find its session, at whichever worker."""
        owners = self.service.sessions.owners
        return math.inf if owners is None else owners.answering()

    async def take_up(
        self,
        request: SessionRequest,
        endpoint: Endpoint,
        kind: Callable[..., PlainMachine],
        name: str,
        carrier: Carrier,
        wait: Wait = wait,
    ) -> Session:
        """A poll or a stream takes up the session of this name, the one there is or a new one. Whoever serves the
        request calls lost() when it has ended. Raises Refusal: 4409 where another connection carries it; and Gone."""
        session = await self.service.sessions.claimed(name)
        if session is None:
            session = await self.open(request, endpoint, kind, wait, name)
        else:
            await self.service.admission.admit(session, request)
            if self.answered_again(session, request, carrier):
                return session
        machine = machine_of(session)
        before = machine.carrier
        if before is not None and isinstance(before.link, Held) and before.link.gone:
            machine.lost(before, self.now())  # nobody has looked yet
            before.link.abort()
        machine.take_up(carrier, self.now())
        return session

    def answered_again(self, session: Session, request: SessionRequest, carrier: Carrier) -> bool:
        """Whether this poll was made before, and is answered as then: see repeats."""
        body = self.repeats.answer(session, request) if carrier.codec.shape is POLL else None
        if body is None:
            return False
        carrier.finished = True
        carrier.link.write([body])
        carrier.link.close(1000, "")
        return True

    def lost(self, session: Session, carrier: Carrier) -> None:
        """The connection under a carrier is gone, or its answer has ended. Harmless when that was known."""
        machine_of(session).lost(carrier, self.now())

    async def send(
        self,
        request: SessionRequest,
        name: str,
        read: Read,
        limit: int,
        parse: Callable[[bytes], Iterable[str | bytes]],
    ) -> bool:
        """Messages in a body of at most `limit` bytes, for the session of this name; it is to be answered when this
        returns. False where that session is gone, or never was.

        Nothing is read before its client may send. Raises RemoteProtocolError, Refusal and Unreadable.
        """
        try:
            session = await self.service.sessions.claimed(name)
            if session is None:
                return False
            await self.service.admission.admit(session, request)
            body = await read(limit)
            size = len(body)
            messages = parse(body)
            del body  # what is kept while it waits for room is what the messages are made of
            machine = machine_of(session)
            try:
                await self.feed(session, messages, size)
            except RemoteProtocolError as error:
                machine.fail(error, self.now())
                raise
            return machine.outcome is None or machine.outcome.clean
        except Refusal as refusal:
            if refusal.scope != "session":
                raise
            return refusal.code != INTERRUPTED  # we have closed it; what comes across that is discarded

    def feed_at_once(self, session: Session, messages: Iterator[str | bytes]) -> Iterator[str | bytes] | None:
        """Gives messages to a session for as long as nobody has to wait. The rest, if there is any, is for feed(). None
        at all are counted as well. Raises RemoteProtocolError for one that is too large or too fast."""
        machine = machine_of(session)
        turns = self._turns.get(session)
        if turns is not None and turns.waiting:
            return messages
        now, size = self.now(), -1
        for message in messages:
            size = payload_size(message)
            if machine.outcome is not None or machine.closing is not None or not machine.inbox.has_room(size):
                return chain((message,), messages)
            machine.receive(message, size, now)
        if size < 0:
            machine.inbox.other(now)
        return None

    async def feed(self, session: Session, messages: Iterable[str | bytes], kept: int = 0) -> bool:
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
                    machine.receive(message, size, self.now())
                if size < 0:
                    machine.inbox.other(self.now())
        finally:
            turns.waiting -= 1
            turns.size -= kept
        return True
