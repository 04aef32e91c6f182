"""A session at the server, as its handler is given it: what both ends have, and rooms, identity and negotiation.

The client's is client/session. Knows no aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from .base_session import BaseSession, Message
from .broadcasts import offer
from .brokers.base import Keep
from .brokers.presence import info_text
from .core.carrier import POLL
from .core.config import OnFull
from .core.cursors import MAX_ROOM_NAME, is_room_name
from .core.errors import LocalProtocolError
from .core.frames import Group, RoomItem, parts_of
from .core.identities import check_room
from .core.negotiation import Choice
from .core.positions import Positions
from .core.rooms import START, Position
from .core.server_machine import ServerMachine
from .core.settings import check, whole
from .hub import Hub, Receiver
from .listener import SessionListener
from .loops import gives_way
from .request import SessionRequest
from .transports import ALL_TRANSPORTS

__all__ = ["ServerListener", "Session", "kept_of", "position_of"]


_HISTORY = whole(0)
# So many seconds late a poll may be, over a slow network, whose client is still expected.
LATE = 1.0


class ServerListener(SessionListener[ServerMachine]):
    """A session's listener at the server."""

    __slots__ = ()

    def may_be_drained(self) -> None:
        """Drained: everything is here, and the handler has come back for more. Now the close can go out."""
        if self.machine.drained and self.first is not None:
            self.machine.close(1012, "the server restarts", self.runtime.clock.now())


class Session(BaseSession[ServerMachine]):
    """A session at the server: what a handler is given."""

    durable: bool = False
    """Whether another worker goes on with the session when this one dies: its endpoint is durable, and its client a
    native one (docs/durable.md)."""
    restored: bool = False
    """Of a durable session: whether another handler has begun it, and what that did before its first receive() is
    done."""
    redelivered: bool = False
    """Of a durable session: whether another handler was given this message, and has committed something of it."""

    __slots__ = (
        "_authorized",
        "_choices",
        "_handled_since",
        "_hub",
        "_path",
        "_polled",
        "_positions",
        "gap",
        "request",
    )

    def __init__(self, listener: ServerListener, path: str, on_full: OnFull, hub: Hub, request: SessionRequest) -> None:
        super().__init__(listener, on_full)
        self._hub = hub
        self._path = path
        self._polled: asyncio.BaseTransport | None = None  # the connection that the last poll was answered on
        self._handled_since = 0.0
        self._choices: tuple[Choice, ...] = ()
        self.gap: bool = False  # whether the newest join behind a cursor could not go on there
        self._authorized: tuple[bytes, float] | None = None  # for which credentials, and when
        self._positions: Positions | None = None  # of a client that takes messages of rooms with their positions
        self.request: SessionRequest = request  # what opened it

    @property
    def negotiation(self) -> tuple[Choice, ...]:
        """Every transport with its verdict and reason, in the order of `transports`: why this one carries."""
        current = self.transport
        return tuple(
            choice._replace(verdict="taken", code="taken")
            if choice.name == current
            else choice._replace(verdict="offered", code="offered")
            if choice.verdict == "taken"
            else choice
            for choice in self._choices
        )

    def _returns(self, now: float, within: float) -> bool:
        """Whether its client is between two polls, on a connection that is open, and has to be told something: it will
        be back in a moment. One that pauses between its polls will be if that takes `within` seconds at most."""
        machine, polled, transport = self._machine, self._polled, ALL_TRANSPORTS.get(self.transport)
        between = machine.carrier is None and polled is not None and not polled.is_closing()
        if not between or not machine.outbox.unnumbered or transport is None or transport.shape is not POLL:
            return False
        if transport.held:
            return True
        answered = machine.absent_at - machine.config.timer_grace
        return now - LATE <= answered + machine.config.poll_interval[1] <= now + within

    @property
    def path(self) -> str:
        """The path of its endpoint."""
        return self._path

    @property
    def subprotocol(self) -> str | None:
        """The sub-protocol that was agreed on with a bare WebSocket client (RFC 6455 §1.9), such as "mqtt".

        None where the client offered none of the endpoint's `subprotocols`, and for clients of any other protocol.
        """
        return self.request.subprotocol

    @property
    def identity(self) -> str | None:
        """Who the client is, as the application's authorisation said; None where it said nobody."""
        return self._machine.identity

    @gives_way
    async def join(
        self, room: str, *, info: dict[str, Any] | None = None, history: int = 0, after: str | None = None
    ) -> str:
        """Enters a room: its messages are sent to this session. Joining twice is harmless.

        In a room that is kept (`rt.configure_rooms`) it may first be sent the last `history` messages, or all behind
        the cursor `after`, in one stream with what follows: no gap, and nothing twice. A client that has brought a
        cursor for a room with history (its session before was lost, or `connect(cursors=…)`) goes on there when it
        joins the room for the first time, whatever `history` says, unless `after` is given. Where a cursor is too old,
        or of before the store lost something, the client is told of a gap, and `session.gap` is True.
        `info` is what the room's presence tells of this member, 4,096 bytes of JSON at most.

        In a durable session it is part of the turn, and holds when that is committed; from another task than the
        handler's it is a commit of its own, for which it waits; of at most 64 rooms (docs/durable.md).

        Returns the room's cursor where it starts, "" for a room of this process alone. Raises SessionClosed when the
        session has ended, LocalProtocolError for what the room does not keep, for an `after` that is no cursor, for a
        room with history whose name has more than 256 characters, for a name that begins with a NUL or, where rooms go
        over a broker or are kept, has a lone surrogate, and above `max_rooms`, TypeError for other types, and
        BrokerError when the broker let it wait for more than `broker_timeout`: then it is not in the room, and may join
        again. Of a history that it was given in part, a client that takes positions then gets the rest.
        """
        return await self._enter(self, room, info, history, after)

    async def _enter(
        self, member: Receiver, room: str, info: dict[str, Any] | None, history: int, after: str | None
    ) -> str:
        """join(), for a member of the room that is this session, or a part of it."""
        self._check_loop()
        hub, keep = self._hub, kept_of(self, member, room, info, history, after)
        if keep is None:
            hub.join(member, room)
            return ""
        position, text = None if after is None else Position.parse(after), info_text(info)
        cursor = self._cursor_of(room) if keep.history else None
        if position is None and cursor is not None:
            position, history = position_of(cursor), 0
        positions = self._positions if keep.history else None
        first = positions is not None and (cursor is not None or positions.joining(room))
        done = False
        try:
            with hub.entering(member, room):
                joined = await hub.rooms.join(member, room, keep, info=text, last=history, after=position)
            done = True
        finally:
            if first and positions is not None:
                positions.joined(room, done)
        self.gap = joined.gap
        return joined.cursor

    @gives_way
    async def leave(self, room: str) -> None:
        """Leaves a room; in a durable session with the turn, from another task than the handler's with a commit of its
        own. Leaving one it is not in is harmless. A session that ends leaves all its rooms. Raises TypeError for what
        names no room."""
        check_room(room)
        self._exit(self, room)

    def _exit(self, member: Receiver, room: str) -> None:
        """leave(), for the same."""
        self._check_loop()
        self._hub.put_out(member, room)

    def _left(self, room: str) -> None:
        """It is in this room no more: it has left, or the room was closed."""
        if self._positions is not None:
            self._positions.left(room)

    def _miss(self, count: int) -> None:
        """A room has lost so many messages, at least: the client is told, as of those that were dropped."""
        machine = self._machine
        if machine.outcome is None and machine.closing is None:
            machine.outbox.drop_new(count)
            self._listener.dirty()

    def _check_member(self) -> None:
        """Raises SessionClosed when it can be in no room any more."""
        self._machine.check_open()

    # -- what durable sessions add -------------------------------------------------------------------------------------

    async def commit(self) -> None:
        """In a durable session: stores what the handler has done since its last commit, and only then is that sent. The
        message that it is at is not taken: after a crash it comes again, with `redelivered`, and the data of this
        commit. It waits for the store, and while the client has not acknowledged `max_outbox` messages.

        Does nothing in other sessions. Raises SessionClosed, and LocalProtocolError where `data` can't be stored, and
        in other tasks than the handler's: what these send is committed at once.
        """

    async def publish(self, room: str, message: Message) -> None:
        """Sends a message to a room. In a durable session it is part of the turn: stored with the commit, and then
        published once, by this worker or, when that dies, by another; from other tasks than the handler's each is a
        commit of its own.

        Raises as Room.send() does, and in a durable session SendBufferFull above `max_turn`, SessionClosed, and no
        BrokerError: what is committed is published as soon as the broker answers.
        """
        check_room(room)
        await self._hub.room(room).send(message)

    # -- what a room says, with its position (docs/protocol.md §3.5) ---------------------------------------------------

    def _takes_positions(self, cursors: Mapping[str, str]) -> None:
        """The client's open had `rooms`. Of several opens the first counts."""
        if self._positions is None:
            self._positions = Positions(cursors)

    def _cursor_of(self, room: str) -> str | None:
        """The cursor with which the client goes on in this room, which it joins now; given out once. None if it brought
        none. What is in it nobody has looked at: it may be anything of 1 to 128 letters, digits, "-", "_" and "."."""
        return None if self._positions is None else self._positions.cursor_of(room)

    def _offer_room(self, item: RoomItem) -> None:
        """Queues a message of a room with history, as _offer() does. Clients that take positions get the one behind it
        in the same frame."""
        positions = self._positions
        plain = item.plain
        grouped = type(plain) is Group
        if positions is None:
            if grouped:
                offer(self, plain)
            else:
                self._offer(plain)
            return
        if item.size > self._machine.config.max_outbox_size:
            self._offer_position(item.room, item.cursor, 1)
            return
        note = positions.passed(item.room)
        if note is not None:
            machine, outbox = self._machine, self._machine.outbox
            if machine.outcome is not None or machine.closing is not None:  # nothing goes behind a close
                return
            count = len(item.parts) if grouped else 1
            if self._on_full == "close" or outbox.has_room(plain.size, count + 1):
                outbox.append(note)
            elif outbox.make_room(plain.size, count + 1):
                self._put((note, *parts_of(item)))
                return
            else:
                positions.keep(note)
                outbox.drop_new(count)
                return
        if grouped:
            self._offer_group(Group.of(item.parts))
        else:
            self._offer(item)

    async def _give_room(self, item: RoomItem) -> None:
        """The same for what a join has read of the history: waits for room, whatever `on_full` says, or who has missed
        more than the outbox holds could never go on. What the client's protocol can't carry is skipped, and counted as
        dropped; one message that is larger than the whole outbox is a gap. Raises SessionClosed."""
        machine, positions = self._machine, self._positions
        machine.check_open()
        said = parts_of(item if positions is not None else item.plain)
        if machine.selective and any(machine.unfit(part) for part in said):
            offer(self, item.plain)
            return
        if item.size > machine.config.max_outbox_size:
            self._offer_position(item.room, item.cursor, 1)
            return
        note = None if positions is None else positions.passed(item.room)
        if note is not None:
            machine.outbox.append(note)
        if self._senders or not machine.outbox.has_room(item.plain.size, len(said)):
            await self._wait_and_put(item.plain.size, said)
        else:
            self._put(said)
        if positions is not None:
            positions.given(item.room, item.cursor)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        """Tells where the room stands, without a message: with None where nothing is missing in front of it (a join, a
        message that is skipped), else after a gap of so many messages (0: nobody knows).

        Clients that take no positions are told of gaps only, by a note of drops.
        """
        machine, positions = self._machine, self._positions
        if machine.outcome is not None or machine.closing is not None:
            return
        if positions is None:
            if missing is not None:
                machine.outbox.drop_new(max(1, missing))
                machine.listener.dirty()
            return
        if positions.note(machine.outbox, room, cursor, missing):
            machine.listener.dirty()
        elif len(positions):
            self._settle_later()

    def _settle_later(self) -> None:
        self._ask_for_room()
        positions = self._positions
        if positions is not None and not positions.settling:
            positions.settling = True
            self._listener.when_progressed(self._settle)

    def _settle(self, _: object) -> None:
        """The client has acknowledged something: what waits for room may go."""
        machine, positions = self._machine, self._positions
        if positions is None:
            return
        positions.settling = False
        if machine.outcome is not None or machine.closing is not None:
            return
        if positions.settle(machine.outbox):
            machine.listener.dirty()
        if len(positions):
            self._settle_later()


def position_of(cursor: str) -> Position:
    """Where a client's cursor says that it was. What is no cursor of ours is of an epoch that never was, so that the
    room has a gap there."""
    try:
        return Position.parse(cursor)
    except LocalProtocolError:
        return START


def kept_of(
    session: Session, member: Receiver, room: str, info: dict[str, Any] | None, history: int, after: str | None
) -> Keep | None:
    """What is kept of a room that may be entered so; None for one of this process alone. Raises as join() does."""
    member._check_member()
    check_room(room)
    check("history", history, _HISTORY)
    hub = session._hub
    most = session._machine.config.max_rooms
    if most is not None and hub.is_full(member, room, most):
        raise LocalProtocolError(f"a session is in {most} rooms at most: leave some, or raise max_rooms")
    if hub.keep is None or (keep := hub.keep(room)) is None:
        if info is not None or history or after is not None:
            raise LocalProtocolError(
                f"the room {room!r} keeps nothing: rt.configure_rooms({room!r}, history=…, presence=True), before"
                " the server starts"
            )
        return None
    if info is not None and not keep.presence:
        raise LocalProtocolError(f"info: the room {room!r} has no presence; see rt.configure_rooms()")
    if history and not keep.history:
        raise LocalProtocolError(f"history={history!r}: the room {room!r} keeps {keep.history} messages")
    if (keep.history or session.durable) and not is_room_name(room):
        raise LocalProtocolError(
            f"a room {'of a durable session' if session.durable else 'with history'} has a name of at most"
            f" {MAX_ROOM_NAME} characters, without lone surrogates, not {room[:64]!r}…"
        )
    return keep
