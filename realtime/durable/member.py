"""A durable session as a member of rooms: what it joins and leaves is part of its turn, and what rooms send it is taken
from them when its client takes it, instead of waiting in its outbox. DurableSession builds on it.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, Protocol

from ..brokers.presence import info_text
from ..core.durable.machine import DurableMachine
from ..core.durable.owner import Owner
from ..core.durable.turns import Turn
from ..core.errors import LocalProtocolError
from ..core.frames import RoomItem
from ..core.rooms import Position
from ..hub import Receiver
from ..session import Session, kept_of, position_of
from .rooms import SessionRooms

__all__ = ["RoomMember"]

OWN_ROOMS = "join() and leave() are for the handler's own task in a durable session: they are part of its turn"


class Holder(Protocol):
    """Who has the session at this worker."""

    owner: Owner


class RoomMember(Session):
    """See above."""

    __slots__ = ("_rooms",)

    _doing: asyncio.Task[None] | None
    _holding: Holder
    _machine: DurableMachine
    _rooms: SessionRooms
    _turn: Turn | None

    @abstractmethod
    def _at_work(self) -> Turn:
        """The turn that the handler is in."""

    async def _enter(
        self, member: Receiver, room: str, info: dict[str, Any] | None, history: int, after: str | None
    ) -> str:
        """Enters with the turn: the position is stored with it."""
        self._check_loop()
        self._check_own()
        keep = kept_of(self, member, room, info, history, after)
        turn, hub = self._at_work(), self._hub
        turn.check_join(room)
        there = room in turn and self in hub.members(room)
        position, text = None if after is None else Position.parse(after), info_text(info)
        cursor = None if there else self._cursor_of(room)
        if position is None and cursor is not None:
            position, history = position_of(cursor), 0
        if there:
            position, history = None, 0
        done = False
        try:
            with hub.entering(self, room):
                joined = await self._rooms.join(room, text, history, position)
            done = True
        finally:
            if cursor is not None and self._positions is not None:
                self._positions.joined(room, done)
        if room not in turn or not there:  # it may have been closed meanwhile
            hub.join(self, room)
            self.gap: bool = joined.missing is not None
            turn.join(room, joined.position)
            if joined.missing is not None:
                self._machine.rooms.missed(room, joined.position, joined.missing)
        if keep is not None and keep.presence:
            turn.tell(room, "" if info is None else text)
        return joined.position.cursor

    def _exit(self, member: Receiver, room: str) -> None:
        """Leaves with the turn."""
        self._check_loop()
        self._check_own()
        self._at_work().leave(room)
        self._hub.leave(self, room)
        self._rooms.left(room)

    def _check_own(self) -> None:
        if asyncio.current_task() is not self._doing:
            raise LocalProtocolError(OWN_ROOMS)

    # -- what rooms tell their members ---------------------------------------------------------------------------------

    def _may_read(self, room: str) -> None:
        """There may be something in this room."""
        self._rooms.may_read(room)

    def _offer_room(self, item: RoomItem) -> None:
        self._rooms.may_read(item.room)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        self._rooms.may_read(room)

    def _miss(self, count: int) -> None:
        """Some room has lost messages."""
        self._rooms.may_read_all()

    def _left(self, room: str) -> None:
        """The room was closed."""
        if self._turn is not None:
            self._turn.closed(room, self._rooms.closing(room), self._holding.owner.record.joined(room))
        self._rooms.left(room)
