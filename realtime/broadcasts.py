"""Messages to rooms, in slices: so many members are offered one in a turn of the event loop, then others have theirs.

Knows receivers by their id and one method, and of rooms their names; who may be in one, and who is, `hub` says.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Protocol, TypeAlias

from .core.frames import Group, Outgoing, RoomItem, RoomPosition
from .core.settings import shown

__all__ = ["SLICE", "Broadcasts", "Receiver", "offer"]

log: logging.Logger = logging.getLogger("realtime.server")

# So many members are offered a message in one turn of the event loop: some milliseconds' work. What each is sent is
# written by the runtime, fewer in a turn, so that what is offered meanwhile goes along.
SLICE = 4096


def ids_of(skip: object) -> frozenset[str]:
    """Who is left out of a send: one that can be in a room, or its id, or several of these. Raises TypeError for
    anything else."""
    some = (skip,) if isinstance(skip, str) or not isinstance(skip, Iterable) else tuple(skip)
    ids = [one if isinstance(one, str) else getattr(one, "id", None) for one in some]
    names = [one for one in ids if isinstance(one, str)]
    if len(names) < len(ids):
        raise TypeError(f"skip={shown(skip)}: takes a session or its id, or several of them")
    return frozenset(names)


class Receiver(Protocol):
    """What can be in a room."""

    @property
    def id(self) -> str:
        """Its name, which no other has."""

    def _offer(self, item: Outgoing) -> None:
        """Takes a message for sending, or drops or closes by its own policy. Never waits, never raises."""

    def _offer_group(self, group: Group) -> None:
        """Takes messages that are nothing without each other, as _offer() does: all or none."""

    def _miss(self, count: int) -> None:
        """So many messages at least are lost to it here. Never waits, never raises."""

    def _offer_room(self, item: RoomItem) -> None:
        """Takes a message of a room with history, as _offer() does."""

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        """Such a room stands here: nothing is missing in front of it (None), or so many messages are (0: nobody
        knows). Never waits, never raises."""

    async def _give_room(self, item: RoomItem) -> None:
        """Takes a message of a room's snapshot for sending. Waits for room, and raises SessionClosed."""

    def _left(self, room: str) -> None:
        """It is in this room no more. Never waits, never raises."""

    def _check_member(self) -> None:
        """Raises SessionClosed if it can be in no room any more."""


def offer(receiver: Receiver, item: Outgoing) -> None:
    """Offers a receiver a message, or a group of them."""
    if isinstance(item, Group):
        receiver._offer_group(item)
    else:
        receiver._offer(item)


# A message, how many were lost, where a room with history stands, or what is done with each member in its turn.
Item: TypeAlias = Outgoing | RoomPosition | int | Callable[[Receiver], object]


class Broadcast:
    """One message to one room, as far as it has come; or that so many were lost to it, or where it stands."""

    __slots__ = ("at", "changes", "count", "done", "item", "members", "room", "skipped")

    def __init__(
        self, room: str, members: tuple[Receiver, ...], changes: int, item: Item, skipped: frozenset[str]
    ) -> None:
        self.room: str = room
        self.members: tuple[Receiver, ...] = members  # when it was sent
        self.changes: int = changes  # how often anybody had joined or left anything by then
        self.item: Item = item
        self.skipped: frozenset[str] = skipped
        self.at: int = 0  # so many of the members were looked at
        self.count: int = 0  # and so many offered the message
        self.done: asyncio.Future[None] | None = None  # somebody waits for it


class Broadcasts:
    """All messages to the rooms of one server, first come, first served, whatever room they are for."""

    def __init__(self) -> None:
        self._queue: deque[Broadcast] = deque()
        self._changes = 0
        self._left: dict[tuple[str, Receiver], int] = {}  # who left what, and when, while something was in the queue
        self._budget = SLICE  # so many may still be looked at in this turn; fewer than SLICE: the next turn is awaited

    async def send(self, room: str, members: Collection[Receiver], item: Item, skipped: frozenset[str]) -> int:
        """Offers a message to these members of a room but the skipped ids; returns to how many, when it was offered to
        all.

        Who leaves the room before is passed over. If it is cancelled before the first was offered the message, nobody
        is; if later, the others still are.
        """
        queue = self._queue
        broadcast = self.begin(room, members, item, skipped)
        if queue and queue[-1] is broadcast:
            broadcast.done = asyncio.get_running_loop().create_future()
            try:
                await broadcast.done
            except asyncio.CancelledError:
                if not broadcast.at and broadcast in queue:
                    queue.remove(broadcast)
                    self._forget()
                raise
        return broadcast.count

    def begin(
        self, room: str, members: Collection[Receiver], item: Item, skipped: frozenset[str] = frozenset()
    ) -> Broadcast:
        """Offers a message to these members of a room but the skipped ids, or tells them that so many were lost, or
        where the room stands, or does with them what the item does: now, or behind what is in the queue already. To the
        skipped it tells the position of a message that has one."""
        queue = self._queue
        last = queue[-1] if queue else None
        same = last is not None and last.room == room and last.changes == self._changes
        everybody = last.members if last is not None and same else tuple(members)
        broadcast = Broadcast(room, everybody, self._changes, item, skipped)
        queue.append(broadcast)
        if last is None and self._budget:
            self._offer()
        return broadcast

    def __len__(self) -> int:
        """How many messages are not offered to all yet."""
        return len(self._queue)

    def __bool__(self) -> bool:
        return True

    def joined(self) -> None:
        """Somebody joined a room. What is sent to it already is not for them."""
        self._changes += 1

    def left(self, room: str, receiver: Receiver) -> None:
        """Somebody left a room. What they were not offered yet is not for them any more."""
        self._changes += 1
        if self._queue:
            self._left.pop((room, receiver), None)  # the order is that of leaving
            self._left[room, receiver] = self._changes

    def _offer(self) -> None:
        """Offers what is in the queue, to as many as this turn has room for."""
        if self._budget == SLICE:
            asyncio.get_running_loop().call_soon(self._turn)
        queue, left = self._queue, self._left
        while queue and self._budget:
            broadcast = queue[0]
            room, changes, item, skipped = broadcast.room, broadcast.changes, broadcast.item, broadcast.skipped
            some = broadcast.members
            if broadcast.at or len(some) > self._budget:
                some = some[broadcast.at : broadcast.at + self._budget]
            broadcast.at += len(some)
            broadcast.count += len(some)
            self._budget -= len(some) or 1  # who sends for ever, and be it to nobody, gives way
            for member in some:
                if left and left.get((room, member), 0) > changes:
                    broadcast.count -= 1
                    continue
                try:
                    if skipped and member.id in skipped:
                        broadcast.count -= 1
                        if type(item) is RoomItem:
                            member._offer_position(room, item.cursor)
                    elif type(item) is Outgoing:
                        member._offer(item)
                    elif type(item) is Group:
                        member._offer_group(item)
                    elif type(item) is RoomItem:
                        member._offer_room(item)
                    elif type(item) is RoomPosition:
                        member._offer_position(room, item.cursor, item.missing)
                    elif type(item) is int:
                        member._miss(item)
                    else:
                        item(member)  # type: ignore[operator] # what is left
                except Exception:  # the others' turn must come
                    log.exception("a message to room %r could not be offered to a member", room)
            if broadcast.at == len(broadcast.members):
                queue.popleft()
                if broadcast.done is not None and not broadcast.done.done():
                    broadcast.done.set_result(None)
                self._forget()

    def _forget(self) -> None:
        """Forgets who left before all that is in the queue now."""
        left = self._left
        while left:
            first = next(iter(left))
            if self._queue and left[first] > self._queue[0].changes:
                break
            del left[first]

    def _turn(self) -> None:
        """The next turn has come."""
        self._budget = SLICE
        if self._queue:
            self._offer()
