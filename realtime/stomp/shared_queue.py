"""One queue of all workers as far as it is at this one, its messages here, and what its consumers have room for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, OrderedDict
from collections.abc import Callable

from ..brokers.base import Taken
from ..core.frames import Group, Outgoing, RoomItem
from ..core.identities import RESERVED
from .queues import Consumer, Parcel

__all__ = ["Promises", "SharedParcel", "SharedQueue"]


class SharedParcel(Parcel):
    """A message that this worker has."""

    __slots__ = ("id",)

    def __init__(self, destination: str, taken: Taken) -> None:
        """Raises ValueError for what is no message of ours."""
        head, newline, body = taken.payload.partition(b"\n")
        headers = json.loads(head)
        if not newline or not isinstance(headers, dict) or not all(isinstance(said, str) for said in headers.values()):
            raise ValueError(head)
        time, _, number = taken.id.partition("-")
        super().__init__((int(time) << 64) + int(number), destination, headers, body)
        self.id: str = taken.id
        self.attempts = taken.times - 1


class SharedQueue:
    """One queue, as far as it is here."""

    def __init__(self, worker: str, destination: str, look: Callable[[SharedQueue], object]) -> None:
        """`look` is called when there may be something to be taken from the store."""
        self.id: str = f"queue of {worker}"
        self.destination: str = destination
        self.room: str = f"{RESERVED}queue {destination}"
        self.consumers: OrderedDict[Consumer, None] = OrderedDict()  # that may have room, the next one first
        self.full: dict[Consumer, None] = {}  # that had none when they were asked last, and are not asked again
        self.waiting: list[SharedParcel] = []  # taken, and not given: only while somebody may have room
        self.held: dict[str, SharedParcel] = {}  # this worker's
        self.done: list[str] = []  # to be settled
        self.back: list[tuple[str, int]] = []  # to be given back, and how often each was given to somebody
        self.writing = False  # the store is told, from the next turn on
        self.taking: asyncio.Task[None] | None = None
        self.again = False  # there may be something that was not taken
        self.claims = True  # the next look is for what others have left, too
        self._look = look

    def __contains__(self, consumer: Consumer) -> bool:
        return consumer in self.consumers or consumer in self.full

    @property
    def wanted(self) -> bool:
        """Whether there are consumers, with room or without."""
        return bool(self.consumers or self.full)

    def fill(self, consumer: Consumer) -> None:
        """This one has no room, unless it has left meanwhile."""
        if consumer in self.consumers:
            del self.consumers[consumer]
            self.full[consumer] = None

    def freed(self, consumer: Consumer | None) -> bool:
        """This one may have room again, or any: whether there are such, which had none."""
        freed = [one for one in (tuple(self.full) if consumer is None else (consumer,)) if one in self.full]
        for one in freed:
            del self.full[one]
            self.consumers[one] = None
        return bool(freed)

    # What the room says, as broadcasts.Receiver: there is something in the queue.

    def _offer(self, item: Outgoing) -> None:
        self._look(self)

    def _offer_group(self, group: Group) -> None:
        self._look(self)

    def _miss(self, count: int) -> None:
        self._look(self)

    def _offer_room(self, item: RoomItem) -> None:
        self._look(self)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        self._look(self)

    async def _give_room(self, item: RoomItem) -> None:
        self._look(self)

    def _left(self, room: str) -> None:
        """It is in its room for as long as it has consumers."""

    def _check_member(self) -> None:
        """It may be in its room."""


class Promises:
    """What clients were promised by queues of which the store is being asked: several queues would each take what one
    client has room for. `look` is called of a queue when others have kept theirs."""

    def __init__(self, look: Callable[[SharedQueue], object]) -> None:
        self._look = look
        self._made: Counter[object] = Counter()
        self._waiting: dict[object, dict[SharedQueue, None]] = {}

    def make(self, queue: SharedQueue, most: int) -> list[tuple[object, int]]:
        """Whose consumers take how many messages of a queue now, `most` in all. No more are asked than it needs, and
        who has no room is not asked again. Where that of all others is promised already, the queue waits."""
        made: list[tuple[object, int]] = []
        full: list[Consumer] = []
        for consumer in queue.consumers:
            room = consumer.room
            if room <= 0:
                full.append(consumer)
                continue
            client = consumer.client
            room = min(room - self._made[client], most)
            if room > 0:
                made.append((client, room))
                self._made[client] += room
                most -= room
            if not most:
                break
        for consumer in full:
            queue.fill(consumer)
        for consumer in () if made else queue.consumers:
            self._waiting.setdefault(consumer.client, {})[queue] = None
        return made

    def keep(self, made: list[tuple[object, int]]) -> None:
        """These have been given what they were promised, or will not be."""
        for client, room in made:
            self._made[client] -= room
            if not self._made[client]:
                del self._made[client]
            for queue in self._waiting.pop(client, ()):
                self._look(queue)
