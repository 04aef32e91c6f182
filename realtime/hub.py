"""Rooms: who is in them, and one send to all of them.

Knows receivers by their id and one method, not sessions or carriers. In memory, for one process; what a room may
one day have to ask elsewhere is awaited, and goes by ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from .broadcasts import Broadcasts, Receiver
from .core.frames import Outgoing
from .loops import gives_way

__all__ = ["Hub", "Receiver", "Room"]


class Room:
    """A named set of sessions. It exists while a session is in it, or the application holds it.

    `send`, `count` and `members` mean the whole room. `len(room)`, `session in room` and iteration, which cannot wait,
    mean the members in this process.
    """

    __slots__ = ("_hub", "name")

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self.name: str = name  # as it was asked for

    @gives_way
    async def send(
        self,
        message: str | bytes | bytearray | memoryview,
        *,
        skip: Receiver | str | Iterable[Receiver | str] = (),
    ) -> int:
        """Sends a message to everyone in the room but `skip` (a session or its id, or several); returns to how many,
        when it was offered to all of them.

        Never waits for a member: one that is full drops or is closed by its endpoint's `on_full`. In one turn of the
        event loop messages are offered to 4,096 members, of all rooms together, and send() waits for the next turns
        where there are more. Whoever gets two messages gets them in the order in which send() was called, for whatever
        rooms. Who joins after that call gets nothing of the message, nor does who leaves before it was offered to them.
        Cancelled before it was offered to the first, it goes to nobody, and later to all nevertheless. The message is
        encoded once for all.

        Raises TypeError or LocalProtocolError for what is not a message, and LocalProtocolError in another thread or
        event loop than the server's.
        """
        self._hub.check()
        item = Outgoing.message(message)
        some = (skip,) if isinstance(skip, str) or not isinstance(skip, Iterable) else skip
        skipped = frozenset(one if isinstance(one, str) else one.id for one in some)
        return await self._hub.broadcasts.send(self.name, self._hub.members(self.name), item, skipped)

    async def count(self) -> int:
        """How many are in the room."""
        self._hub.check()
        return len(self)

    async def members(self) -> frozenset[str]:
        """The ids of the sessions in the room, as `session.id` has them."""
        self._hub.check()
        return frozenset(member.id for member in self)

    def __len__(self) -> int:
        """How many of the members are in this process."""
        return len(self._hub.members(self.name))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Receiver]:
        """The members in this process, by time of joining."""
        return iter(tuple(self._hub.members(self.name)))

    def __contains__(self, member: object) -> bool:
        """Whether a session of this process is in the room."""
        return member in self._hub.members(self.name)

    def __repr__(self) -> str:
        return f"<Room {self.name!r} with {len(self)}>"


class Hub:
    """All rooms of one server. Both mappings hold only what is in use. `check` raises when it is called where the rooms
    may not be used."""

    def __init__(self, check: Callable[[], object] = lambda: None) -> None:
        self.check = check
        self.broadcasts: Broadcasts = Broadcasts()
        self._rooms: dict[str, dict[Receiver, None]] = {}  # dict for its order: members by time of joining
        self._joined: dict[Receiver, set[str]] = {}

    def room(self, name: str) -> Room:
        """The room of this name."""
        return Room(self, name)

    def members(self, name: str) -> dict[Receiver, None]:
        """Who is in a room; not to be kept or changed."""
        return self._rooms.get(name, {})

    def counts(self) -> tuple[int, int]:
        """How many rooms there are, and how many places in them are taken."""
        sizes = [len(members) for members in tuple(self._rooms.values())]
        return len(sizes), sum(sizes)

    def rooms_of(self, receiver: Receiver) -> frozenset[str]:
        """The names of the rooms a receiver is in."""
        return frozenset(self._joined.get(receiver, ()))

    def join(self, receiver: Receiver, name: str) -> bool:
        """Puts a receiver into a room; False if it was there."""
        members = self._rooms.setdefault(name, {})
        if receiver in members:
            return False
        members[receiver] = None
        self.broadcasts.joined()
        self._joined.setdefault(receiver, set()).add(name)
        return True

    def leave(self, receiver: Receiver, name: str) -> bool:
        """Takes a receiver out of a room; False if it was not there."""
        members = self._rooms.get(name)
        if members is None or receiver not in members:
            return False
        del members[receiver]
        if not members:
            del self._rooms[name]
        joined = self._joined[receiver]
        joined.discard(name)
        if not joined:
            del self._joined[receiver]
        self.broadcasts.left(name, receiver)
        return True

    def leave_all(self, receiver: Receiver) -> None:
        """Takes a receiver out of every room."""
        for name in tuple(self._joined.get(receiver, ())):
            self.leave(receiver, name)

    def reset(self) -> None:
        """Forgets everybody, and what was to be sent to them: of an earlier event loop, in which nothing runs any
        more."""
        self.broadcasts = Broadcasts()
        self._rooms = {}
        self._joined = {}
