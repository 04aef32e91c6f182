"""One client in one namespace: what handlers of events are given, and what is in that namespace's rooms.

Until the client has been told that it is in, what is sent to it waits: no event comes before that.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

from ..core.errors import LocalProtocolError, SendBufferFull, SessionClosed
from ..core.frames import Group, Outgoing, RoomItem
from ..events.calls import Calls
from ..events.listeners import Listeners
from ..groups import send_contents, send_group
from ..loops import gives_way
from ..protocols.layers.socketio import packets
from ..protocols.layers.socketio.packets import Packet, check_event
from ..request import SessionRequest
from ..session import Session
from .catching_up import give_group
from .keeping import Keeping, numbered, unnumbered
from .namespace import Namespace
from .rooms import event_contents, event_group, everybody, message_group, room_name

__all__ = ["EventSession", "Home", "join_everybody"]

AS_JSON = ("utf-8", "surrogatepass")  # which may hold halves of characters


class Home(Protocol):
    """The connection that a client's namespaces share."""

    calls: Calls

    async def send(self, packet: Packet) -> None:
        """Sends a packet."""

    async def leave(self, member: EventSession) -> None:
        """Ends what it has here."""

    async def leaves(self, member: EventSession, reason: str) -> None:
        """It has left, and its handler is told so."""

    async def finished(self) -> None:
        """Waits until all that came on it is handled, and no more will be."""


class EventSession:
    """One client in one namespace: what a handler of events is given. `session` carries all namespaces of a client."""

    __slots__ = (
        "__weakref__",
        "_data",
        "_early",
        "_early_size",
        "_ended",
        "_home",
        "_keeping",
        "_listeners",
        "_middlewares",
        "_namespace",
        "_raw_auth",
        "_told",
        "id",
        "namespace",
        "recovered",
        "session",
    )

    def __init__(self, home: Home, session: Session, namespace: Namespace, name: str, auth: dict[str, Any]) -> None:
        self.session: Session = session
        self.id: str = secrets.token_urlsafe(15)  # another in each namespace; its client knows it
        self.namespace: str = name  # the name of that
        self.recovered: bool = False  # whether it goes on where it was, after its connection was lost
        self._home = home
        self._raw_auth = _packed(auth)
        self._namespace = namespace
        # The namespace's own, to which others may yet be added: each event asks for them.
        self._listeners: Listeners = namespace._listeners
        self._middlewares: Sequence[Callable[..., Awaitable[Any]]] = namespace._middlewares
        self._data: dict[Any, Any] | None = None
        self._early: list[tuple[Callable[[Any], object], Any]] | None = []  # what it is sent before it is in
        self._early_size = 0
        self._ended: tuple[int, str] | None = None  # it has left, or was refused
        self._keeping: Keeping | None = None  # what it was sent, where it may go on in another session
        self._told: bool = False  # its "connect" handler has let it in, so "disconnect" is told as well

    @property
    def data(self) -> dict[Any, Any]:
        """A dictionary for the application's own use, in this namespace alone."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def auth(self) -> dict[str, Any]:
        """What the client gave when it came in. Parsed anew each time it is asked for, and not kept."""
        return {} if self._raw_auth is None else cast(dict[str, Any], json.loads(self._raw_auth.decode(*AS_JSON)))

    @property
    def identity(self) -> str | None:
        """Who the client is, as the application's authorize hook said; None where it said nobody."""
        return self.session.identity

    @property
    def request(self) -> SessionRequest:
        """What opened the session."""
        return self.session.request

    @property
    def closed(self) -> bool:
        """Whether the client is in the namespace no more. One that may come back, and go on, still is."""
        return self._ended is not None or (self.session.closed and not self._is_away)

    @property
    def _is_away(self) -> bool:
        """Whether its connection is gone, and it may go on by another."""
        return self._keeping is not None and self._keeping.absence is not None

    @property
    def _in(self) -> bool:
        """Whether it has been told that it is in, where it is now or was last."""
        return self._early is None and (self._keeping is None or self._keeping.live or self._is_away)

    @property
    def _lead(self) -> tuple[Any, ...]:
        return (self,)

    # -- sending -----------------------------------------------------------------------------------------------------

    async def emit(self, event: str, *args: Any, volatile: bool = False) -> None:
        """Sends an event; returns when it is buffered, as session.send() does.

        Its arguments are what JSON has, and bytes anywhere in them. A `volatile` event is sent if the client can be
        written to now, and is forgotten if not. For a client that is away, and may come back, others are kept (see
        SocketIO's `recovery`). Raises as session.send() does, and TypeError for other arguments; while "connect" is
        handled also SendBufferFull.
        """
        try:
            if self._keeping is not None and self._early is None and not volatile:
                self._check_member()
                group = event_group(self.namespace, event, args)
                await self._send_kept(self._keeping, group, send_group)
            elif self._ended is not None or self._early is not None or volatile:
                self._emit_otherwise(event_group(self.namespace, event, args, volatile=volatile))
            else:
                await send_contents(self.session, event_contents(self.namespace, event, args))
        except Exception:
            await asyncio.sleep(0)  # gives_way(), in this coroutine
            raise

    def _emit_otherwise(self, group: Group) -> None:
        """Who is not in yet, or not any more, and who may miss it."""
        self.session._check_loop()
        self._check_member()
        if self._early is None:
            self._offer_now(group)
        elif not self._wait_early(self._offer_now, group, group.size):
            raise SendBufferFull(len(self._early), self._early_size)

    @gives_way
    async def call(self, event: str, *args: Any, timeout: float | None = 5.0) -> Any:
        """Sends an event and waits for its acknowledgement, for `timeout` seconds (None: for ever): None, its value, or
        a list of its values where it has several.

        Over native sessions the event arrives once, and the answer is taken once, whatever happens to connections.
        Meanwhile what the client sends is kept, and handled later. Raises TimeoutError; EventError when the client
        answers that it failed; and as emit() does, but SessionClosed for a client that is away, which is not called.
        It can't be used while "connect" is handled.
        """
        self.session._check_loop()
        self._check_member()
        check_event(event)
        keeping = self._keeping
        if self._early is not None or (keeping is not None and not keeping.live and keeping.absence is None):
            raise LocalProtocolError('call() is for clients that are in: not while "connect" is handled')

        async def send(number: int) -> None:
            await self._home.send(Packet(packets.EVENT, self.namespace, [event, *args], number))

        return await self._home.calls.call(self.namespace, send, timeout)

    @gives_way
    async def disconnect(self) -> None:
        """Has the client leave this namespace, which is told so; its session stays open for others. To end that, call
        `session.session.close()`. One that is away can't go on any more."""
        self.session._check_loop()
        await self._home.leave(self)

    # -- rooms -------------------------------------------------------------------------------------------------------

    async def join(
        self, room: str, *, info: dict[str, Any] | None = None, history: int = 0, after: str | None = None
    ) -> str:
        """Enters a room of this namespace: its events are sent to this client. See Session.join()."""
        try:
            return await self.session._enter(self, room_name(self.namespace, room), info, history, after)
        except Exception:
            await asyncio.sleep(0)  # the same
            raise

    @gives_way
    async def leave(self, room: str) -> None:
        """Leaves a room. Leaving one it is not in is harmless."""
        self.session._exit(self, room_name(self.namespace, room))

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms it is in."""
        begin, everyone = f"{self.namespace}#", everybody(self.namespace, "")
        names = self.session._hub.rooms_of(self)
        return frozenset(name.removeprefix(begin) for name in names if not name.startswith(everyone))

    # -- what rooms offer: see broadcasts.Receiver -------------------------------------------------------------------

    def _wait_early(self, method: Callable[[Any], object], item: Any, size: int) -> bool:
        """Keeps something until the client is in; whether there was room for it."""
        early, config = self._early, self.session._machine.config
        assert early is not None
        if len(early) >= config.max_outbox or self._early_size + size > config.max_outbox_size:
            self.session._machine.outbox.dropped += 1
            return False
        early.append((method, item))
        self._early_size += size
        return True

    def _pass(self, method: Callable[[Any], object], item: Outgoing) -> None:
        if self._early is not None:
            self._wait_early(method, item, item.size)
        elif self._ended is None:
            method(item)

    def _offer(self, item: Outgoing) -> None:
        """A message that is no event: of `rt.room("/admin#lobby").send(…)`. It is the event "message"."""
        self._offer_group(message_group(self.namespace, item))

    def _offer_group(self, group: Group) -> None:
        one = not group.volatile and len(group.parts) == 1
        if one and self._early is None and self._ended is None and self._keeping is None:
            self.session._offer(group.parts[0])  # which is the same, and as it usually is
        else:
            self._pass(self._offer_now, group)

    def _offer_now(self, group: Group) -> None:
        """_offer_group() for who is in. What it is given is passed on, and kept where that has to be."""
        keeping, session = self._keeping, self.session
        if keeping is None:
            session._offer_group(group)
        elif not group.volatile:
            offset, group = numbered(group)
            if keeping.live:
                session._offer_group(group)
            keeping.add(offset, group)
        elif keeping.live:
            session._offer_group(unnumbered(group, keeping.sent.last))

    def _miss(self, count: int) -> None:
        self.session._miss(count)

    def _offer_room(self, item: RoomItem) -> None:
        item = _as_event(self.namespace, item)
        if self._keeping is not None:  # its client takes no positions
            self._offer_group(_group_of(item))
        else:
            self._pass(self.session._offer_room, item)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        if self._early is None:
            self.session._offer_position(room, cursor, missing)
        else:
            self._wait_early(lambda told: self.session._offer_position(*told), (room, cursor, missing), 0)

    async def _give_room(self, item: RoomItem) -> None:
        item = _as_event(self.namespace, item)
        if self._early is None and self._keeping is not None:
            await self._send_kept(self._keeping, _group_of(item), give_group)
        elif self._early is None:
            await self.session._give_room(item)
        elif self._keeping is not None:
            self._wait_early(self._offer_now, _group_of(item), item.size)
        else:
            self._wait_early(self.session._offer_room, item, item.size)

    def _left(self, room: str) -> None:
        self.session._left(room)

    def _check_member(self) -> None:
        """Raises SessionClosed when it is in no more."""
        if self._ended is not None:
            raise SessionClosed(*self._ended)
        if not self._is_away:
            self.session._check_member()

    # -- going on in another session -----------------------------------------------------------------------------------

    async def _send_kept(
        self, keeping: Keeping, group: Group, send: Callable[[Session, Group], Awaitable[None]]
    ) -> None:
        """Sends an event, or keeps it for who is away, or not told all before. Raises as `send`, and SessionClosed."""
        offset, group = numbered(group)
        while keeping.live:
            session = self.session
            try:
                await send(session, group)
                break
            except SessionClosed:
                self._check_member()
                if session is self.session and not session.closed:
                    raise  # it is closing
        else:
            self.session._check_loop()
        # Nothing has happened since it was sent, so these are in the order of the wire.
        keeping.add(offset, group)

    def _move(self, home: Home, session: Session, auth: dict[str, Any]) -> None:
        """Its client is back, in this session."""
        self._home, self.session, self._raw_auth, self.recovered = home, session, _packed(auth), True

    # -- coming and going --------------------------------------------------------------------------------------------

    def _accepted(self) -> None:
        """The client was told that it is in: what waited goes."""
        early, self._early = self._early, None
        for method, item in early or ():
            method(item)

    def _end(self, code: int, reason: str) -> None:
        """It is in no more."""
        if self._ended is None:
            self._ended = code, reason
            self._early = None
            keeping = self._keeping
            if keeping is not None and keeping.ended is not None:
                ended, keeping.ended = keeping.ended, None
                ended()
            self.session._hub.leave_all(self)
            self._home.calls.fail(code, reason, self.namespace)

    def __repr__(self) -> str:
        return f"<EventSession of {self.namespace} in {self.session!r}>"


async def join_everybody(member: EventSession) -> None:
    """It is one of all in the namespace. Raises BrokerError."""
    name, hub = everybody(member.namespace, member.session.path), member.session._hub
    keep = None if hub.keep is None else hub.keep(name)
    if keep is None:
        hub.join(member, name)
    else:
        await hub.rooms.join(member, name, keep, info="", last=0, after=None)


def _group_of(item: RoomItem) -> Group:
    """The event that a message of a room is."""
    assert isinstance(item.plain, Group)
    return item.plain


def _packed(auth: dict[str, Any]) -> bytes | None:
    """Auth data as they are kept: parsed they may be 25 times as large. None for none."""
    return json.dumps(auth, ensure_ascii=False, separators=(",", ":")).encode(*AS_JSON) if auth else None


def _as_event(namespace: str, item: RoomItem) -> RoomItem:
    """A message of a room with history: the event "message" where it is none."""
    if isinstance(item.plain, Group):
        return item
    return RoomItem(item.room, item.cursor, message_group(namespace, item.plain))
