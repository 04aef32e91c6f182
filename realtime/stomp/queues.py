"""Queues: each message goes to one of the subscribers, in order; it is kept while there is none, and given again where
nobody has taken it.

`Queues` is what a session asks of them. Those here are of this process, and in its memory: bounded, and lost when it
ends.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

from ..core.errors import LocalProtocolError
from ..protocols.layers.stomp.frames import size_of

__all__ = ["Consumer", "MemoryQueues", "Parcel", "Queues"]

log: logging.Logger = logging.getLogger("realtime.server")

# So many messages are given in one turn of the event loop.
SLICE = 256
# What a message takes in memory besides its body and headers, in bytes.
EACH = 256
ORIGIN = "original-destination"


class Parcel:
    """A message of a queue, which has a place in it until somebody has taken it."""

    __slots__ = ("attempts", "body", "destination", "headers", "number", "place", "size")

    def __init__(self, number: int, destination: str, headers: Mapping[str, str], body: bytes) -> None:
        self.number: int = number
        self.destination: str = destination
        self.headers: Mapping[str, str] = headers
        self.body: bytes = body
        self.attempts: int = 0  # how often it was given to somebody
        self.place: int = 0  # among what the session that it was given to last was ever given of queues
        self.size: int = EACH + len(body) + size_of(headers)

    def __lt__(self, other: Parcel) -> bool:
        return self.number < other.number


class Consumer(Protocol):
    """A subscription to a queue."""

    @property
    def client(self) -> object:
        """Whose it is: all subscriptions of one client share its room."""

    @property
    def room(self) -> int:
        """About how many more it would take now."""

    def take(self, parcel: Parcel) -> bool:
        """Gives a message to the client, who is to settle it; False where there is no room for it now: ready() is told
        when there is. Never waits."""


class Queues(Protocol):
    """What holds the messages of all queues."""

    async def close(self) -> None:
        """The server shuts down: the sessions have ended."""

    async def put(self, destination: str, headers: Mapping[str, str], body: bytes) -> None:
        """Puts a message at a queue's end. Raises LocalProtocolError when it is full, and BrokerError."""

    async def subscribe(self, destination: str, consumer: Consumer) -> None:
        """Gives messages of a queue to this one as well, in turn. Raises LocalProtocolError and BrokerError."""

    def unsubscribe(self, destination: str, consumer: Consumer) -> None:
        """Gives it no more. What it was given is settled by itself. Harmless when it has none."""

    def settle(self, parcel: Parcel, *, accepted: bool) -> None:
        """A message was taken by its consumer, or is to be given again."""

    def refuse(self, parcel: Parcel) -> None:
        """No consumer of this kind can take a message: it is given to nobody any more."""

    def ready(self, destination: str, consumer: Consumer | None = None) -> None:
        """A consumer of this queue has room again: this one, or any."""


class _Queue:
    """One queue."""

    __slots__ = ("again", "consumers", "destination", "full", "giving", "held", "waiting")

    def __init__(self, destination: str) -> None:
        self.destination: str = destination
        self.waiting: list[Parcel] = []  # a heap: what comes back has its old place
        self.consumers: OrderedDict[Consumer, None] = OrderedDict()  # that may have room, the next one first
        self.full: dict[Consumer, None] = {}  # that had none when they were asked last, and are not asked again
        self.held: int = 0  # messages: those that wait, and those that are given and not settled
        self.giving: bool = False
        self.again: bool = False  # somebody asked meanwhile


class MemoryQueues:
    """See Queues. `max_messages` are in one queue, those that are not settled included; `max_size` bytes in all."""

    def __init__(
        self,
        *,
        max_queues: int,
        max_messages: int,
        max_size: int,
        max_attempts: int | None,
        dead_letters: str | None,
    ) -> None:
        self.dropped: int = 0  # messages that nobody took in `max_attempts`, and that had nowhere else to go
        self._queues: dict[str, _Queue] = {}
        self._max_queues = max_queues
        self._max_messages = max_messages
        self._max_size = max_size
        self._max_attempts = max_attempts
        self._dead_letters = dead_letters
        self._number = 0
        self._size = 0

    def __len__(self) -> int:
        """How many queues have messages, or consumers."""
        return len(self._queues)

    def count(self, destination: str) -> int:
        """How many messages a queue holds, those that are given and not settled included."""
        queue = self._queues.get(destination)
        return 0 if queue is None else queue.held

    @property
    def size(self) -> int:
        """How many bytes all queues hold."""
        return self._size

    # -- see Queues ----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """The process ends, and what there is with it: that is told."""
        lost = sum(queue.held for queue in self._queues.values())
        if lost:
            log.warning("%d messages of queues were in memory, and are lost with this process", lost)

    async def put(self, destination: str, headers: Mapping[str, str], body: bytes) -> None:
        """Puts a message at a queue's end. Raises LocalProtocolError when it is full."""
        self._put(destination, headers, body)

    async def subscribe(self, destination: str, consumer: Consumer) -> None:
        """Gives messages of a queue to this one as well. Raises LocalProtocolError when there are too many queues."""
        self._queue(destination).consumers[consumer] = None
        self._give(destination)

    def unsubscribe(self, destination: str, consumer: Consumer) -> None:
        """Gives it no more."""
        queue = self._queues.get(destination)
        if queue is not None:
            queue.consumers.pop(consumer, None)
            queue.full.pop(consumer, None)
            self._tidy(destination, queue)

    def settle(self, parcel: Parcel, *, accepted: bool) -> None:
        """A message was taken, or is to be given again: in its old place, unless nobody has taken it too often."""
        queue = self._queues.get(parcel.destination)
        if queue is None:  # everything was forgotten meanwhile
            return
        if accepted:
            self._remove(parcel, queue)
        elif self._max_attempts is not None and parcel.attempts >= self._max_attempts:
            self.refuse(parcel)
        else:
            heapq.heappush(queue.waiting, parcel)
            self._give(parcel.destination)

    def refuse(self, parcel: Parcel) -> None:
        """Nobody is to be given a message any more: it goes where `dead_letters` says, or is dropped."""
        queue = self._queues.get(parcel.destination)
        if queue is not None:
            self._remove(parcel, queue)
            self._bury(parcel)

    def ready(self, destination: str, consumer: Consumer | None = None) -> None:
        """A consumer of this queue has room again: this one, or any."""
        queue = self._queues.get(destination)
        if queue is not None:
            for one in tuple(queue.full) if consumer is None else (consumer,):
                if one in queue.full:
                    del queue.full[one]
                    queue.consumers[one] = None
            self._give(destination)

    def _give(self, destination: str) -> None:
        """Gives what waits to whoever has room, in turn; a slice of it in this turn of the event loop."""
        queue = self._queues.get(destination)
        if queue is None:
            return
        if queue.giving:
            queue.again = True
            return
        queue.giving = True
        try:
            given = 0
            while given < SLICE:
                queue.again = False
                if self._give_first(queue):
                    given += 1
                elif not queue.again:
                    break
            else:
                asyncio.get_running_loop().call_soon(self._give, destination)
        finally:
            queue.giving = False

    # -- inside --------------------------------------------------------------------------------------------------------

    def _queue(self, destination: str) -> _Queue:
        queue = self._queues.get(destination)
        if queue is None:
            if len(self._queues) >= self._max_queues:
                raise LocalProtocolError(f"there are {self._max_queues} queues (max_queues)")
            queue = self._queues[destination] = _Queue(destination)
        return queue

    def _put(self, destination: str, headers: Mapping[str, str], body: bytes) -> None:
        parcel = Parcel(self._number + 1, destination, headers, body)
        if self._size + parcel.size > self._max_size:
            raise LocalProtocolError(f"the queues hold {self._size} bytes, and take no more (max_queue_size)")
        queue = self._queue(destination)
        if queue.held >= self._max_messages:
            raise LocalProtocolError(f"the queue holds {queue.held} messages, and takes no more (max_queue_messages)")
        parcel.destination = queue.destination  # one text for all, which may be as long as all headers
        self._number += 1
        queue.held += 1
        self._size += parcel.size
        heapq.heappush(queue.waiting, parcel)
        self._give(destination)

    def _give_first(self, queue: _Queue) -> bool:
        """Gives the first that waits to the next consumer that has room; False where there is none of either."""
        if not queue.waiting:
            return False
        parcel = heapq.heappop(queue.waiting)
        parcel.attempts += 1
        while queue.consumers:
            consumer = next(iter(queue.consumers))
            queue.consumers.move_to_end(consumer)
            if consumer.take(parcel):
                return True
            if consumer in queue.consumers:  # and has not left meanwhile
                del queue.consumers[consumer]
                queue.full[consumer] = None
        parcel.attempts -= 1
        heapq.heappush(queue.waiting, parcel)
        return False

    def _bury(self, parcel: Parcel) -> None:
        """Nobody takes it."""
        dead = self._dead_letters
        if dead is not None and dead != parcel.destination:
            try:
                self._put(dead, {**parcel.headers, ORIGIN: parcel.destination}, parcel.body)
            except LocalProtocolError as full:
                log.warning("a message that nobody has taken could not be kept: %s", full)
            else:
                return
        self.dropped += 1
        log.warning("a message of a queue was given %d times, and nobody has taken it: it is dropped", parcel.attempts)

    def _remove(self, parcel: Parcel, queue: _Queue) -> None:
        queue.held -= 1
        self._size -= parcel.size
        self._tidy(parcel.destination, queue)

    def _tidy(self, destination: str, queue: _Queue) -> None:
        if not queue.held and not queue.consumers and not queue.full:
            del self._queues[destination]
