"""A durable session as a member of rooms: what it joins and leaves is part of its turn, and what rooms send it is taken
from them when its client takes it, instead of waiting in its outbox. DurableSession builds on it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ..brokers.presence import info_text
from ..core.durable.changes import Change, Joins, move
from ..core.durable.machine import DurableMachine
from ..core.durable.owner import Owner
from ..core.durable.turns import Turn
from ..core.frames import RoomItem
from ..core.identities import check_room
from ..core.rooms import Position
from ..loops import gives_way, running_loop
from ..session import Session, kept_of, position_of
from .rooms import SessionRooms

__all__ = ["RoomMember", "in_turn"]

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound="RoomMember")


class Holder(Protocol):
    """Who has the session at this worker."""

    owner: Owner

    def change(self, change: Change) -> asyncio.Future[bool]:
        """What the next write does, too. True when it is stored, False if it never will be."""


def in_turn(
    method: Callable[Concatenate[M, Turn | None, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[M, P], Coroutine[Any, Any, T]]:
    """A method that is told in which turn it was called: the handler's, where the handler has called it; else None.

    Who calls counts, and not which task runs it: asyncio.gather() makes one for each coroutine, and so does
    asyncio.wait_for() until Python 3.12.
    """

    @functools.wraps(method)
    def called(self: M, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        return method(self, self._at_work() if self._is_handlers() else None, *args, **kwargs)

    # What callers see, as help() shows it, has no turn in it.
    whole = inspect.signature(method)
    owner, _, *others = whole.parameters.values()
    called.__signature__ = whole.replace(parameters=[owner, *others])  # type: ignore[attr-defined]
    return called


class RoomMember(Session):
    """See above."""

    __slots__ = ("_moving", "_rooms")

    _doing: asyncio.Task[None] | None
    _holding: Holder
    _machine: DurableMachine
    _moving: asyncio.Lock  # held by who joins a room, or leaves one
    _rooms: SessionRooms
    _turn: Turn | None

    @abstractmethod
    def _at_work(self) -> Turn:
        """The turn that the handler is in."""

    @abstractmethod
    def _new_turn(self, number: int | None) -> Turn:
        """One that has done nothing yet."""

    @abstractmethod
    async def _stored(self, future: asyncio.Future[bool]) -> None:
        """Waits for a write. Raises SessionClosed where it will never be."""

    def _is_handlers(self) -> bool:
        """Whether the handler's task asks."""
        loop = running_loop()
        task = None if loop is None else asyncio.current_task(loop)
        return task is not None and task is self._doing

    @in_turn
    @gives_way
    async def join(
        self,
        called_in: Turn | None,
        room: str,
        *,
        info: dict[str, Any] | None = None,
        history: int = 0,
        after: str | None = None,
    ) -> str:
        """Enters with the turn: the position is stored with it. From another task, with a commit of its own, for which
        it waits. See Session.join()."""
        self._check_loop()
        position, text = None if after is None else Position.parse(after), info_text(info)
        async with self._moving:
            keep = kept_of(self, self, room, info, history, after)
            turn, hub = self._turn_now(), self._hub
            turn.check_join(room)
            there = room in turn and self in hub.members(room)
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
            turn = self._turn_now()  # there may be another one
            enters = room not in turn or not there  # it may have been closed meanwhile
            if enters:
                self._machine.check_open()
                hub.join(self, room)
                self.gap: bool = joined.missing is not None
                if joined.missing is not None:
                    self._machine.rooms.missed(room, joined.position, joined.missing)
            infos = ((room, "" if info is None else text),) if keep is not None and keep.presence else ()
            if turn is called_in:
                if enters:
                    turn.join(room, joined.position)
                for one in infos:
                    turn.tell(*one)
                return joined.position.cursor
            before = turn.overtaken(room)
            at = joined.position if enters else before
            stored = self._move(() if at is None else ((room, at),), infos)
        await self._stored(stored)
        return joined.position.cursor

    @in_turn
    @gives_way
    async def leave(self, called_in: Turn | None, room: str) -> None:
        """Leaves with the turn; from another task, with a commit of its own, for which it waits. See
        Session.leave()."""
        check_room(room)
        self._check_loop()
        async with self._moving:  # behind a join that is under way
            own = called_in is not None and called_in is self._turn
            if own:
                self._turn_now().leave(room)
            else:
                self._turn_now().overtaken(room)
            there = room in self._rooms.joined
            self._hub.leave(self, room)
            self._rooms.left(room)
            if own or not there:
                return
            stored = self._move(((room, None),), ())
        await self._stored(stored)

    def _turn_now(self) -> Turn:
        """The turn that the handler is in, for others; where it is in none, one that is nobody's."""
        return self._new_turn(None) if self._turn is None else self._turn

    def _move(
        self, joins: tuple[tuple[str, Position | None], ...], infos: tuple[tuple[str, str], ...]
    ) -> asyncio.Future[bool]:
        """Another task than the handler's has joined, or left."""
        move(self._rooms.joined, joins)
        return self._holding.change(Joins(joins, infos))

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
            self._turn.closed(room, self._rooms.closing(room))
        self._rooms.left(room)
