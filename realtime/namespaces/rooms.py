"""Rooms of a namespace: an event for everybody in one is encoded once, and goes over the broker where there is one.

They are the server's rooms, by the name of the namespace and "#": `rt.room("/admin#lobby")` is the room "lobby" of
"/admin". So two endpoints that have namespaces of the same name share their rooms.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from ..core.errors import LocalProtocolError
from ..core.frames import Group, Outgoing
from ..hub import Change, Receiver, Room
from ..protocols.layers.socketio import packets
from ..protocols.layers.socketio.packets import Packet, check_event

__all__ = ["EventRoom", "event_contents", "event_group", "everybody", "message_group", "room_name"]


def room_name(namespace: str, name: str) -> str:
    """What the server calls a room of a namespace. Raises LocalProtocolError and TypeError for what is no name."""
    if not isinstance(name, str):
        raise TypeError(f"a room is known by a str, not {type(name).__name__}")
    if not name or name.startswith("#"):
        raise LocalProtocolError(f'a room of a namespace has a name, which does not begin with "#", not {name!r}')
    return f"{namespace}#{name}"


def everybody(namespace: str, path: str) -> str:
    """The room of all who are in a namespace of the endpoint at `path`."""
    return f"{namespace}##{path}"


def event_contents(namespace: str, event: str, args: tuple[Any, ...]) -> list[str | bytes]:
    """The messages of an event. Raises TypeError and LocalProtocolError for one that can't be sent."""
    check_event(event)
    # No version of the packets says an event without a number in another way.
    return packets.write(5, Packet(packets.EVENT, namespace, [event, *args]))


def event_group(namespace: str, event: str, args: tuple[Any, ...], *, volatile: bool = False) -> Group:
    """The same for any number of receivers."""
    return Group(*event_contents(namespace, event, args), volatile=volatile)


def message_group(namespace: str, item: Outgoing) -> Group:
    """A message that is no event, as the event "message": made once for all members."""
    made: dict[str, Any] = item.encoded
    key = f"event {namespace}"
    if key not in made:
        made[key] = event_group(namespace, "message", (item.data,))
    group: Group = made[key]
    return group


class EventRoom:
    """A room of a namespace. It exists while a client is in it, or the application holds it.

    `emit`, `count` and `members` mean the whole room, at all workers. `len(room)`, `session in room` and iteration,
    which cannot wait, mean the members in this process.
    """

    __slots__ = ("_namespace", "_room", "name")

    def __init__(self, room: Room, namespace: str, name: str) -> None:
        self._room = room
        self._namespace = namespace
        self.name: str = name  # as it was asked for

    async def emit(
        self,
        event: str,
        *args: Any,
        skip: Receiver | str | Iterable[Receiver | str] = (),
        volatile: bool = False,
    ) -> str:
        """Sends an event to everyone in the room but `skip` (a session or its id, or several).

        What is said of Room.send() is true of it: it never waits for a member, and an event with bytes in it is one
        message that a member gets whole, or not. A `volatile` one goes to who can be written to now, and nobody else
        hears of it. Raises as Room.send() does, and TypeError for arguments other than JSON's and bytes.
        """
        try:
            return await self._room._send(event_group(self._namespace, event, args, volatile=volatile), skip)
        except Exception:
            await asyncio.sleep(0)  # gives_way(), without a coroutine of its own
            raise

    async def count(self) -> int:
        """How many are in the room: see Room.count()."""
        return await self._room.count()

    async def members(self) -> dict[str, dict[str, Any]]:
        """Who is in the room, by `session.id`, with the info that each has joined with: see Room.members()."""
        return await self._room.members()

    async def watch_members(self) -> AsyncIterator[Change]:
        """Tells who is in the room, and then what changes: see Room.watch_members()."""
        async for change in self._room.watch_members():
            yield change

    async def clear(self) -> None:
        """Forgets the events that the room keeps: see Room.clear()."""
        await self._room.clear()

    async def close(self) -> None:
        """Takes everybody out of the room, at all workers; they stay in the namespace: see Room.close()."""
        await self._room.close()

    def __len__(self) -> int:
        """How many of the members are in this process."""
        return len(self._room)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        """The members in this process, by time of joining: EventSessions."""
        return iter(self._room)

    def __contains__(self, member: object) -> bool:
        """Whether a session of this process is in the room."""
        return member in self._room

    def __repr__(self) -> str:
        return f"<EventRoom {self.name!r} of {self._namespace} with {len(self)}>"
