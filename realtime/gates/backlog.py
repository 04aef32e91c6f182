"""What the POSTs of one Engine.IO session have brought, on its way into the inbox: in order, as there is room.

A POST is answered when its payload is in and there is room for more. But a client that upgrades pauses its polls first,
and then waits for the answer to its POST. Would that wait for room, nothing moved any more: the room waits for the
handler, the handler for room in the outbox, and the outbox for a poll. So while a client upgrades its POST is answered
at once, and what is left of it goes in before anything that the WebSocket brings.

Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from ..core.carrier import Carrier
from ..core.errors import RemoteProtocolError
from ..core.frames import payload_size
from ..loops import begin
from ..protocols.engineio.machine import EngineMachine
from ..protocols.engineio.packets import MESSAGE, Packet
from ..session import Session
from .plain import wait_for_room

__all__ = ["TURN", "Backlog", "has_room", "wait_for_packet"]

# So many packets are fed before others have their turn.
TURN = 256
# A POST is answered when there is room for another like this.
ANY = Packet(MESSAGE, "x")


class Post:
    """What is left of one POST."""

    def __init__(self, carrier: Carrier, packets: Iterable[Packet], size: int) -> None:
        self.carrier = carrier
        self.packets: Iterator[Packet] = iter(packets)
        self.next: Packet | None = next(self.packets, None)
        self.size = size  # of its body, which is kept until all of it is in
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.early = False  # answered before it was in
        self.goodbye = False  # it has ended the session cleanly: what is behind that says nothing
        self.error: RemoteProtocolError | None = None

    def answer(self) -> None:
        """Its POST may be answered."""
        if not self.answered.done():
            self.answered.set_result(None)


class Backlog:
    """The payloads of one session that wait; it stands in `kept` as long as there are any.

    No POST is answered early while more than `max_payload` bytes are kept of those that were. So there are never more
    than twice as many, and a client that sends more while it upgrades is answered as usual.
    """

    def __init__(
        self, session: Session, machine: EngineMachine, now: Callable[[], float], kept: dict[Session, Backlog]
    ) -> None:
        self._session = session
        self._machine = machine
        self._now = now
        self._kept = kept
        self._payloads: deque[Post] = deque()
        self._early = 0  # bytes of those answered early
        self._task: asyncio.Task[None] | None = None

    async def bring(self, carrier: Carrier, packets: Iterable[Packet], size: int) -> None:
        """Takes a payload, of a body of `size` bytes; returns when its POST is to be answered, of which there is one
        at a time.

        Raises RemoteProtocolError when it makes no sense to the session, and Refusal when that ends meanwhile.
        """
        payload = Post(carrier, packets, size)
        machine = self._machine
        if self._task is not None or not self._feed(payload) or not has_room(machine, ANY):
            self._payloads.append(payload)
            if self._task is None:
                self._kept[self._session] = self
                self._task = begin(self._run(), "realtime backlog")
            self.hurry()
            await payload.answered
        if payload.error is not None:
            raise payload.error
        if machine.outcome is not None and not payload.goodbye:
            raise machine.refusal()

    def hurry(self) -> None:
        """Answers the last POST at once if its client upgrades, unless too much waits already."""
        if self._machine.hurried and self._early <= self._machine.options.max_payload and self._payloads:
            last = self._payloads[-1]
            if not last.answered.done():
                last.early = True
                self._early += last.size
                last.answer()

    async def passed(self) -> None:
        """Waits until all that waits is in. Its client is not read meanwhile."""
        assert self._task is not None
        self._machine.pause(self._now())
        try:
            await asyncio.wait({self._task})
        finally:
            self._machine.resume()

    async def _run(self) -> None:
        try:
            while self._payloads:
                payload = self._payloads[0]
                await self._put(payload)
                self._payloads.popleft()
                if payload.early:
                    self._early -= payload.size
                    self.hurry()
                payload.answer()
        finally:
            self._task = None
            del self._kept[self._session]
            if self._payloads:  # cancelled, or a fault of ours
                self._machine.end(1011, "the server failed", self._now())
                self._payloads[-1].answer()

    async def _put(self, payload: Post) -> None:
        """Feeds a payload, as fast as the application takes it."""
        try:
            while not self._feed(payload):
                assert payload.next is not None
                if not await wait_for_packet(self._session, self._machine, payload.next):
                    await asyncio.sleep(0)
            if not payload.answered.done():
                await wait_for_packet(self._session, self._machine, ANY)
        except RemoteProtocolError as error:
            payload.error = error
            self._machine.fail(error, self._now())

    def _feed(self, payload: Post) -> bool:
        """Feeds what there is room for, and no more than is one turn's; whether that was all. Raises
        RemoteProtocolError."""
        machine = self._machine
        for _ in range(TURN):
            packet = payload.next
            if packet is None or machine.outcome is not None:
                return True
            if not has_room(machine, packet):
                return False
            payload.next = next(payload.packets, None)
            machine.feed(payload.carrier, packet, self._now())
            payload.goodbye = machine.outcome is not None and machine.outcome.clean
        return payload.next is None


async def wait_for_packet(session: Session, machine: EngineMachine, packet: Packet) -> bool:
    """Waits until there is room for a packet; whether it had to."""
    if has_room(machine, packet):
        return False
    await wait_for_room(session, payload_size(packet.data))
    return True


def has_room(machine: EngineMachine, packet: Packet) -> bool:
    """Whether a packet can be fed; one that comes while the session closes is discarded."""
    return packet.type != MESSAGE or machine.closing is not None or machine.inbox.has_room(payload_size(packet.data))
