"""Queues of all workers, over a broker: see queues.Queues.

What a worker's subscribers have room for is taken from the store, is that worker's until it is settled, and is given to
them in turn. A worker that dies keeps nothing: what it had is another's when it has said nothing for as long as its
lease. Who puts something into a queue tells the workers that have subscribers, by a room of the server's own; should
that get lost, they look now and then.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial

from ..brokers.base import Keep, Refused, Taken, Unanswered, overdue
from ..clock import Patience
from ..core.errors import BrokerError, LocalProtocolError
from ..core.frames import Outgoing
from ..core.identities import RESERVED
from ..hub import Hub
from ..loops import AGAIN, Tasks
from .queues import ORIGIN, Consumer, Parcel
from .shared_queue import Promises, SharedParcel, SharedQueue

__all__ = ["SharedQueues"]

log: logging.Logger = logging.getLogger("realtime.server")

NOTHING = Keep()
MOST = 64  # messages that are taken at once
PAUSE = 0.1  # seconds until what the store did not take is tried again
SWEEPS = 4  # in a lease: each says what this worker has, and looks for what others have left


class SharedQueues:
    """See queues.Queues. `max_messages` are in one queue."""

    def __init__(self, hub: Hub, *, max_messages: int, max_attempts: int | None, dead_letters: str | None) -> None:
        self.name: str = secrets.token_urlsafe(9)  # by which the store knows whose a message is
        self.dropped: int = 0
        self._hub = hub
        self._max_messages = max_messages
        self._max_attempts = max_attempts
        self._dead_letters = dead_letters
        self._queues: dict[str, SharedQueue] = {}
        self._promises = Promises(self.look)
        self._number = 0
        self._tasks = Tasks("queues", log)
        self._sweeper = Tasks("queues", log)

    def __len__(self) -> int:
        """How many queues have consumers here, or messages that are this worker's."""
        return len(self._queues)

    # -- see queues.Queues ---------------------------------------------------------------------------------------------

    async def put(self, destination: str, headers: Mapping[str, str], body: bytes) -> None:
        """Puts a message at a queue's end. Raises LocalProtocolError when it is full, and BrokerError."""
        await self._put(self._new_id(), destination, headers, body)

    def _new_id(self) -> str:
        """Of a message: by it the store takes that once, however often it is put there."""
        self._number += 1
        return f"{self.name}-{self._number:x}"

    async def _put(self, id: str, destination: str, headers: Mapping[str, str], body: bytes) -> None:
        rooms, unknown = self._hub.rooms, False
        payload = json.dumps(dict(headers)).encode() + b"\n" + body
        try:
            async with Patience(rooms.timeout):
                while True:
                    try:
                        done = await rooms.queues.put(destination, id, payload, self._max_messages)
                        break
                    except Unanswered:
                        unknown = True
                    except Refused:
                        pass
                    except BrokerError as error:  # for good, whatever became of it when it was tried before
                        raise BrokerError(error.reason, maybe_sent=unknown) from None
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise BrokerError(overdue(rooms, rooms.timeout), maybe_sent=unknown) from None
        if not done:
            most = self._max_messages
            raise LocalProtocolError(f"the queue holds {most} messages, and takes no more (max_queue_messages)")
        self._tell(destination)

    async def subscribe(self, destination: str, consumer: Consumer) -> None:
        """Gives messages of a queue to this one as well. Raises BrokerError."""
        queue = self._queues.get(destination)
        if queue is None:
            queue = self._queues[destination] = SharedQueue(self.name, destination, self.look)
        queue.consumers[consumer] = None
        try:
            await self._hub.rooms.join(queue, queue.room, NOTHING, info="", last=0, after=None)
        except BaseException:
            self.unsubscribe(destination, consumer)
            raise
        if not queue.wanted:  # it has left meanwhile
            self._hub.put_out(queue, queue.room)
            return
        if not self._sweeper:
            self._sweeper.keep_up(self._sweep)
        queue.claims = True
        self.look(queue)

    def unsubscribe(self, destination: str, consumer: Consumer) -> None:
        """Gives it no more."""
        queue = self._queues.get(destination)
        if queue is not None and consumer in queue:
            queue.consumers.pop(consumer, None)
            queue.full.pop(consumer, None)
            if not queue.wanted:
                self._hub.put_out(queue, queue.room)
            self._give_back_waiting(queue)
            self._tidy(queue)

    def settle(self, parcel: Parcel, *, accepted: bool) -> None:
        """A message was taken by its consumer, or is to be given again, to somebody here or elsewhere."""
        assert isinstance(parcel, SharedParcel)
        queue = self._queues.get(parcel.destination)
        if queue is None:
            return
        if accepted:
            self._done(queue, parcel)
        elif self._max_attempts is not None and parcel.attempts >= self._max_attempts:
            self.refuse(parcel)
        else:
            heapq.heappush(queue.waiting, parcel)
            self._give(queue)

    def refuse(self, parcel: Parcel) -> None:
        """Nobody is to be given a message any more: it goes where `dead_letters` says, or is dropped."""
        assert isinstance(parcel, SharedParcel)
        queue = self._queues.get(parcel.destination)
        if queue is not None:
            self._tasks.begin(self._bury(queue, parcel))

    def ready(self, destination: str, consumer: Consumer | None = None) -> None:
        """A consumer of this queue has room again: this one, or any."""
        queue = self._queues.get(destination)
        if queue is not None:
            queue.freed(consumer)
            if queue.again:  # else whoever had room has been given all there is
                self.look(queue)

    def look(self, queue: SharedQueue) -> None:
        """There may be something to be taken from the store."""
        queue.again = True
        # What is given back comes before all that is behind it: it has to be there first.
        if queue.taking is None and queue.consumers and not queue.back:
            queue.taking = self._tasks.begin(self._take(queue))

    async def close(self) -> None:
        """The server shuts down: what this worker has is for others."""
        await self._sweeper.end()
        for queue in tuple(self._queues.values()):
            self._give_back_waiting(queue)
        while self._tasks:
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE * 10):
                    await self._tasks.ended()
                    continue
            await self._tasks.end()

    # -- giving and taking ---------------------------------------------------------------------------------------------

    def _give(self, queue: SharedQueue) -> None:
        """Gives what is here to whoever has room; what nobody here has room for is for other workers."""
        while queue.waiting:
            parcel = heapq.heappop(queue.waiting)
            parcel.attempts += 1
            if not self._give_one(queue, parcel):
                parcel.attempts -= 1
                heapq.heappush(queue.waiting, parcel)
                break
        self._give_back_waiting(queue)

    @staticmethod
    def _give_one(queue: SharedQueue, parcel: SharedParcel) -> bool:
        while queue.consumers:
            consumer = next(iter(queue.consumers))
            queue.consumers.move_to_end(consumer)
            if consumer.room > 0 and consumer.take(parcel):
                return True
            queue.fill(consumer)
        return False

    def _give_back_waiting(self, queue: SharedQueue) -> None:
        if queue.waiting:
            waiting, queue.waiting = queue.waiting, []
            for parcel in waiting:
                queue.held.pop(parcel.id, None)
            queue.back += [(parcel.id, parcel.attempts) for parcel in sorted(waiting)]
            self._write(queue)

    async def _take(self, queue: SharedQueue) -> None:
        try:
            # Where something is given back, there was less room than it seemed: whoever has some says so.
            while queue.again and queue.consumers and not queue.back:
                made = self._promises.make(queue, MOST)
                if not made:
                    break
                try:
                    await self._ask(queue, sum(room for _, room in made))
                finally:
                    self._promises.keep(made)
        except BaseException as error:
            queue.again = True  # the next sweep looks, or whoever says before that he has room
            if not isinstance(error, BrokerError):
                raise
        finally:
            queue.taking = None

    async def _ask(self, queue: SharedQueue, most: int) -> None:
        queue.again = False
        rooms = self._hub.rooms
        idle, queue.claims = rooms.timing.lease if queue.claims else None, False
        found = await rooms.queues.take(queue.destination, self.name, most, idle)
        for taken in found:
            self._taken(queue, taken)
        queue.again = queue.again or bool(found)
        self._give(queue)

    def _taken(self, queue: SharedQueue, taken: Taken) -> None:
        try:
            parcel = SharedParcel(queue.destination, taken)
        except (ValueError, RecursionError):
            log.warning("something in the queue %r is no message of ours, and is taken out", queue.destination)
            queue.done.append(taken.id)
            self._write(queue)
            return
        queue.held[taken.id] = parcel
        heapq.heappush(queue.waiting, parcel)

    # -- what the store is told ----------------------------------------------------------------------------------------

    def _tell(self, destination: str) -> None:
        """Tells all workers that there is something in a queue."""
        queue = self._queues.get(destination)
        if queue is not None:
            self.look(queue)
        self._tasks.begin(self._tell_others(destination))

    async def _tell_others(self, destination: str) -> None:
        with suppress(BrokerError):
            await self._hub.rooms.send(f"{RESERVED}queue {destination}", NOTHING, Outgoing.message(""), frozenset())

    def _done(self, queue: SharedQueue, parcel: SharedParcel) -> None:
        queue.held.pop(parcel.id, None)
        queue.done.append(parcel.id)
        self._write(queue)

    def _write(self, queue: SharedQueue) -> None:
        """Tells the store what is done, and what is given back: all of one turn of the event loop at once."""
        if not queue.writing:
            queue.writing = True
            self._tasks.begin(self._flush(queue))

    async def _flush(self, queue: SharedQueue) -> None:
        """One for each queue, however long the store is away."""
        store = self._hub.rooms.queues
        try:
            await asyncio.sleep(0)
            while queue.done or queue.back:
                if queue.done:
                    done, queue.done = queue.done[:MOST], queue.done[MOST:]
                    await self._persist(partial(store.settle, queue.destination, done))
                if queue.back:
                    back = queue.back[:MOST]
                    await self._persist(partial(store.give_back, queue.destination, self.name, back))
                    del queue.back[: len(back)]
                    if not queue.back:
                        self._tasks.begin(self._tell_others(queue.destination))
                        self.look(queue)
        finally:
            queue.writing = False
        self._tidy(queue)

    async def _persist(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Tells the store, whatever that raises, for as long as what it is about is this worker's; in vain, that is
        given to somebody again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._hub.rooms.timing.lease):
                while True:
                    try:
                        await tell()
                        return
                    except BrokerError:
                        await asyncio.sleep(PAUSE)
                    except Exception:
                        log.exception("what becomes of messages of queues could not be written, and is tried again")
                        await asyncio.sleep(AGAIN)

    async def _bury(self, queue: SharedQueue, parcel: SharedParcel) -> None:
        dead, id = self._dead_letters, self._new_id()
        kept = False
        while dead is not None and dead != parcel.destination and not kept:
            try:
                await self._put(id, dead, {**parcel.headers, ORIGIN: parcel.destination}, parcel.body)
                kept = True
            except LocalProtocolError as error:
                log.warning("a message that nobody has taken could not be kept: %s", error)
                break
            except BrokerError:  # it is this worker's until the store is there; then another's
                await asyncio.sleep(PAUSE)
            except Exception:
                log.exception("a message that nobody has taken could not be kept, and is put there again")
                await asyncio.sleep(AGAIN)
        if not kept:
            self.dropped += 1
            log.warning(
                "a message of a queue was given %d times, and nobody has taken it: it is dropped", parcel.attempts
            )
        self._done(queue, parcel)

    def _tidy(self, queue: SharedQueue) -> None:
        empty = not (queue.wanted or queue.held or queue.done or queue.back)
        if empty and self._queues.get(queue.destination) is queue:
            del self._queues[queue.destination]

    async def _sweep(self) -> None:
        """Says now and then that this worker is there, and looks for what was not told of, or left by others."""
        while True:
            await asyncio.sleep(self._hub.rooms.timing.lease / SWEEPS)
            for queue in tuple(self._queues.values()):
                ids = list(queue.held)
                with suppress(BrokerError):
                    for at in range(0, len(ids), MOST):
                        await self._hub.rooms.queues.keep(queue.destination, self.name, ids[at : at + MOST])
                queue.claims = True
                queue.freed(None)
                self.look(queue)
