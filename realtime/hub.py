"""Rooms: who is in them, and one send to all of them.

Knows receivers by their id and what they are offered, not sessions or carriers. A room of this process alone is sent to
directly; what goes over a broker, or is kept, does brokers/rooms: its members here are in the hub, too.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from .broadcasts import Broadcasts, Receiver, ids_of
from .brokers.base import Keep
from .brokers.rooms import Rooms
from .core.errors import BrokerError, LocalProtocolError
from .core.frames import Outgoing
from .core.rooms import Position
from .core.settings import check, whole
from .loops import gives_way

__all__ = ["Change", "History", "Hub", "Receiver", "Room"]


_LIMIT = whole(1)
_NOBODY: frozenset[str] = frozenset()


class Change(NamedTuple):
    """What `Room.watch_members` tells of a `member`, by its id, with its `info`: `what` is "here" for whoever is there
    when it begins, and then "joined", "left", or "changed" for who joined again with other info."""

    what: str
    member: str
    info: dict[str, Any]


class History(NamedTuple):
    """What `Room.history` gives."""

    messages: list[tuple[str, str | bytes]]
    """The messages, oldest first, each behind its cursor."""
    gap: bool
    """Whether messages behind `after` are missing: it is too old, or of before the store lost something."""
    cursor: str
    """The cursor behind all of these: for the next call, and for `session.join(room, after=…)`."""


class Room:
    """A named set of sessions. It exists while a session is in it, or the application holds it.

    `send`, `count` and `members` mean the whole room, at all workers. `len(room)`, `session in room` and iteration,
    which cannot wait, mean the members in this process.
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
    ) -> str:
        """Sends a message to everyone in the room but `skip` (a session or its id, or several).

        Never waits for a member: one that is full drops or is closed by its endpoint's `on_full`. In one turn of the
        event loop messages are offered to 4,096 members, of all rooms together, and send() waits for the next turns
        where there are more. Whoever gets two messages gets them in the order in which send() was called, for whatever
        rooms. Who joins after that call gets nothing of the message, nor does who leaves before it was offered to them.
        Cancelled before it was offered to the first, it goes to nobody, and later to all nevertheless. The message is
        encoded once for all.

        Over a broker it returns when the broker has it, within `broker_timeout`: with the room's cursor behind it (an
        opaque string that JSON takes), and all members get all messages of a room in one order. In a room of this
        process alone, which keeps nothing, it returns "".

        Raises TypeError or LocalProtocolError for what is not a message, TypeError for a `skip` that names nobody,
        LocalProtocolError in another thread or event loop than the server's, and BrokerError, whose `maybe_sent` says
        whether it may be heard all the same.
        """
        return await self._send(Outgoing.message(message), skip)

    async def _send(self, item: Outgoing, skip: Receiver | str | Iterable[Receiver | str]) -> str:
        """The same for a message, or a group, that is made already."""
        self._hub.check()
        skipped = ids_of(skip) if skip != () else _NOBODY
        if self._hub.keep is not None and (keep := self._hub.keep(self.name)) is not None:
            return await self._hub.rooms.send(self.name, keep, item, skipped)
        await self._hub.broadcasts.send(self.name, self._hub.members(self.name), item, skipped)
        return ""

    @gives_way
    async def count(self) -> int:
        """How many are in the room. Over a broker the room needs presence (`rt.configure_rooms`): raises
        LocalProtocolError where it has none, and BrokerError."""
        self._hub.check()
        return await self._hub.rooms.reader.count(self.name) if self._presence() else len(self)

    @gives_way
    async def members(self) -> dict[str, dict[str, Any]]:
        """Who is in the room: ids, as `session.id` has them, with the info that each has joined with. Over a broker the
        room needs presence (`rt.configure_rooms`): raises LocalProtocolError where it has none, and BrokerError."""
        self._hub.check()
        if not self._presence():
            return {member.id: {} for member in self}
        return {one.member: _info(one.info) for one in await self._hub.rooms.reader.members(self.name)}

    async def watch_members(self) -> AsyncIterator[Change]:
        """Tells who is in the room, at all workers, and then what changes: for `async for`, which never ends.

        What changes while the broker is away is told when it is back. Raises LocalProtocolError for a room without
        presence (`rt.configure_rooms`)."""
        self._hub.check()
        keep = self._kept()
        if keep is None or not keep.presence:
            raise self._without("presence=True")
        known: dict[str, str] = {}
        first = True
        async for present in self._hub.rooms.watch(self.name, keep):
            for member, info in known.items():
                if member not in present:
                    yield Change("left", member, _info(info))
            for member, info in present.items():
                if member not in known:
                    yield Change("here" if first else "joined", member, _info(info))
                elif known[member] != info:
                    yield Change("changed", member, _info(info))
            known, first = present, False

    @gives_way
    async def history(self, limit: int = 100, *, after: str | None = None) -> History:
        """At most `limit` messages that the room keeps: the first behind the cursor `after`, or the last ones.

        Raises LocalProtocolError for a room without history (`rt.configure_rooms`) and for what is no cursor, TypeError
        for a limit or a cursor of the wrong type, and BrokerError."""
        self._hub.check()
        check("limit", limit, _LIMIT)
        position = None if after is None else Position.parse(after)
        keep = self._kept()
        if keep is None or not keep.history:
            raise self._without("history=…")
        return History(*await self._hub.rooms.reader.history(self.name, keep, limit, position))

    @gives_way
    async def clear(self) -> None:
        """Forgets the messages that the room keeps. Its members stay, and its cursors stay good at its end. Raises
        LocalProtocolError for a room without history, and BrokerError."""
        self._hub.check()
        keep = self._kept()
        if keep is None or not keep.history:
            raise self._without("history=…")
        await self._hub.rooms.reader.clear(self.name)

    @gives_way
    async def close(self) -> None:
        """Takes everybody out of the room, at all workers: who is in it, or is joining it, leaves it, as by
        `session.leave`.

        Their sessions stay open, and nobody is told: say what there is to say with `send` before. The closing has its
        place among the messages of the room: what was sent before reaches everyone who leaves, and of what is sent
        later they get nothing. The room can be joined again at once; but over a broker, who joins at another worker
        before the closing has come there leaves as well. What the room keeps stays (`clear` forgets it), and so do its
        cursors.

        Returns when the broker has it, and those in this process have left. Raises BrokerError, whose `maybe_sent` says
        whether the room may be closed all the same.
        """
        self._hub.check()
        keep = self._kept()
        if keep is not None:
            await self._hub.rooms.close_room(self.name, keep)
            return
        leave = partial(self._hub.put_out, name=self.name)
        await self._hub.broadcasts.send(self.name, self._hub.members(self.name), leave, frozenset())

    def _kept(self) -> Keep | None:
        """What is kept of it; None for a room of this process alone."""
        return None if self._hub.keep is None else self._hub.keep(self.name)

    def _presence(self) -> bool:
        """Whether the broker knows who is in it. Raises LocalProtocolError where nobody does."""
        keep = self._kept()
        if keep is not None and not keep.presence:
            raise self._without("presence=True")
        return keep is not None

    def _without(self, setting: str) -> LocalProtocolError:
        return LocalProtocolError(
            f"the room {self.name!r} is kept without that: rt.configure_rooms({self.name!r}, {setting}), before the"
            " server starts"
        )

    def __len__(self) -> int:
        """How many of the members are in this process."""
        return len(self._hub.members(self.name))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        """The members in this process, by time of joining: what has joined, each a Session, an EventSession or a
        StompClient."""
        return iter(tuple(self._hub.members(self.name)))

    def __contains__(self, member: object) -> bool:
        """Whether a session of this process is in the room."""
        return member in self._hub.members(self.name)

    def __repr__(self) -> str:
        return f"<Room {self.name!r} with {len(self)}>"


def _info(text: str) -> dict[str, Any]:
    """What a member says of itself."""
    try:
        info = json.loads(text)
    except ValueError:
        return {}
    return info if isinstance(info, dict) else {}


class Hub:
    """All rooms of one server. Both mappings hold only what is in use. `check` raises when it is called where the rooms
    may not be used.

    `keep` says what is kept of a room, and None of one of this process alone; it is None itself where all rooms are.
    """

    def __init__(self, check: Callable[[], object] = lambda: None) -> None:
        self.check = check
        self.broadcasts: Broadcasts = Broadcasts()
        self._rooms: dict[str, dict[Receiver, None]] = {}  # dict for its order: members by time of joining
        self._joined: dict[Receiver, set[str]] = {}
        self._entering: dict[Receiver, list[str]] = {}
        self.keep: Callable[[str], Keep | None] | None = None
        self.shared: Rooms | None = None  # those that are not of this process alone, while the server runs

    @property
    def rooms(self) -> Rooms:
        """The rooms that go over the broker. Raises BrokerError while the server does not run."""
        if self.shared is None:
            raise BrokerError(
                "rooms that have a broker, or keep something, work while the server runs: it has not started, after"
                " realtime.setup(app, rt), or has ended"
            )
        return self.shared

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

    def is_full(self, receiver: Receiver, name: str, most: int) -> bool:
        """Whether this room would be one too many for a receiver: with those that it waits to be in."""
        rooms = self._joined.get(receiver, set()).union(self._entering.get(receiver, ()))
        return len(rooms) >= most and name not in rooms

    @contextmanager
    def entering(self, receiver: Receiver, name: str) -> Iterator[None]:
        """Meanwhile a receiver waits to be in a room."""
        rooms = self._entering.setdefault(receiver, [])
        rooms.append(name)
        try:
            yield
        finally:
            rooms.remove(name)
            if not rooms:
                self._entering.pop(receiver, None)

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
        if self.shared is not None:
            self.shared.left(receiver, name)
        return True

    def put_out(self, receiver: Receiver, name: str) -> None:
        """Takes a receiver out of a room that it is in, or is joining, and tells it."""
        if not self.leave(receiver, name) and self.shared is not None:
            self.shared.left(receiver, name)
        receiver._left(name)

    def leave_all(self, receiver: Receiver) -> None:
        """Takes a receiver out of every room."""
        for name in tuple(self._joined.get(receiver, ())):
            self.leave(receiver, name)
        if self.shared is not None:
            self.shared.left_all(receiver)

    def reset(self) -> None:
        """Forgets everybody, and what was to be sent to them: of an earlier event loop, in which nothing runs any
        more."""
        self.broadcasts = Broadcasts()
        self._rooms = {}
        self._joined = {}
        self._entering = {}
        self.shared = None  # its connections were that loop's
