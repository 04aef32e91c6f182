"""One client in one namespace: what handlers of events are given, and what is in that namespace's rooms.

Until the client has been told that it is in, what is sent to it waits: no event comes before that.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from ..core.errors import LocalProtocolError, SendBufferFull, SessionClosed
from ..core.frames import Group, Outgoing, RoomItem
from ..events.calls import Calls
from ..events.listeners import Listeners
from ..groups import send_contents
from ..protocols.layers.socketio import packets
from ..protocols.layers.socketio.packets import Packet, check_event
from ..request import SessionRequest
from ..session import Session
from .namespace import Namespace
from .rooms import event_contents, event_group, everybody, message_group, room_name

__all__ = ["EventSession", "Home"]


class Home(Protocol):
    """The connection that a client's namespaces share."""

    calls: Calls

    async def send(self, packet: Packet) -> None:
        """Sends a packet."""

    async def leave(self, member: EventSession) -> None:
        """Ends what it has here."""


class EventSession:
    """One client in one namespace: what a handler of events is given. `session` is what carries it, which all
    namespaces of the client share."""

    __slots__ = (
        "__weakref__",
        "_data",
        "_early",
        "_early_size",
        "_ended",
        "_home",
        "_namespace",
        "_told",
        "auth",
        "id",
        "namespace",
        "session",
    )

    def __init__(self, home: Home, session: Session, namespace: Namespace, name: str, auth: dict[str, Any]) -> None:
        self.session: Session = session
        self.id: str = secrets.token_urlsafe(15)  # another in each namespace; its client knows it
        self.namespace: str = name  # the name of that
        self.auth: dict[str, Any] = auth  # what the client gave when it came in
        self._home = home
        self._namespace = namespace
        self._data: dict[Any, Any] | None = None
        self._early: list[tuple[Callable[[Any], object], Any]] | None = []  # what it is sent before it is in
        self._early_size = 0
        self._ended: tuple[int, str] | None = None  # it has left, or was refused
        self._told: bool = False  # its "connect" handler has let it in, so "disconnect" is told as well

    @property
    def data(self) -> dict[Any, Any]:
        """A dictionary for the application's own use, in this namespace alone."""
        if self._data is None:
            self._data = {}
        return self._data

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
        """Whether the client is in the namespace no more."""
        return self._ended is not None or self.session.closed

    @property
    def _listeners(self) -> Listeners:
        return self._namespace._listeners

    @property
    def _middlewares(self) -> Sequence[Callable[..., Awaitable[Any]]]:
        return self._namespace._middlewares

    @property
    def _lead(self) -> tuple[Any, ...]:
        return (self,)

    # -- sending -----------------------------------------------------------------------------------------------------

    async def emit(self, event: str, *args: Any, volatile: bool = False) -> None:
        """Sends an event; returns when it is buffered, as session.send() does.

        Its arguments are what JSON has, and bytes anywhere in them. A `volatile` event is sent if the client can be
        written to now, and is forgotten if not. Raises as session.send() does, and TypeError for other arguments; while
        "connect" is handled also SendBufferFull.
        """
        if self._ended is not None or self._early is not None or volatile:
            self._emit_otherwise(event_group(self.namespace, event, args, volatile=volatile))
        else:
            await send_contents(self.session, event_contents(self.namespace, event, args))

    def _emit_otherwise(self, group: Group) -> None:
        """Who is not in yet, or not any more, and who may miss it."""
        self._check_member()
        if self._early is None:
            self.session._offer_group(group)
        elif not self._wait_early(self.session._offer_group, group, group.size):
            raise SendBufferFull(len(self._early), self._early_size)

    async def call(self, event: str, *args: Any, timeout: float | None = 5.0) -> Any:
        """Sends an event and waits for its acknowledgement, for `timeout` seconds (None: for ever): None, its value, or
        a list of its values where it has several.

        Over native sessions the event arrives once, and the answer is taken once, whatever happens to connections.
        Meanwhile what the client sends is kept, and handled later. Raises TimeoutError; EventError when the client
        answers that it failed; and as emit() does. It can't be used while "connect" is handled.
        """
        self._check_member()
        check_event(event)
        if self._early is not None:
            raise LocalProtocolError('call() is for clients that are in: not while "connect" is handled')

        async def send(number: int) -> None:
            await self._home.send(Packet(packets.EVENT, self.namespace, [event, *args], number))

        return await self._home.calls.call(self.namespace, send, timeout)

    async def disconnect(self) -> None:
        """Has the client leave this namespace, which is told so; its session stays open for others. To end that, call
        `session.session.close()`."""
        await self._home.leave(self)

    # -- rooms -------------------------------------------------------------------------------------------------------

    async def join(
        self, room: str, *, info: dict[str, Any] | None = None, history: int = 0, after: str | None = None
    ) -> str:
        """Enters a room of this namespace: its events are sent to this client. See Session.join()."""
        return await self.session._enter(self, room_name(self.namespace, room), info, history, after)

    async def leave(self, room: str) -> None:
        """Leaves a room. Leaving one it is not in is harmless."""
        self.session._exit(self, room_name(self.namespace, room))

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms it is in."""
        begin, everyone = f"{self.namespace}#", everybody(self.namespace, "")
        names = self.session._hub.rooms_of(self)
        return frozenset(name.removeprefix(begin) for name in names if not name.startswith(everyone))

    async def _join_everybody(self) -> None:
        """It is one of all in the namespace. Raises BrokerError."""
        name, hub = everybody(self.namespace, self.session.path), self.session._hub
        keep = None if hub.keep is None else hub.keep(name)
        if keep is None:
            hub.join(self, name)
        else:
            await hub.rooms.join(self, name, keep, info="", last=0, after=None)

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
        if self._early is None and self._ended is None and not group.volatile and len(group.parts) == 1:
            self.session._offer(group.parts[0])  # which is the same, and as it usually is
        else:
            self._pass(self.session._offer_group, group)

    def _miss(self, count: int) -> None:
        self.session._miss(count)

    def _offer_room(self, item: RoomItem) -> None:
        self._pass(self.session._offer_room, _as_event(self.namespace, item))

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        if self._early is None:
            self.session._offer_position(room, cursor, missing)
        else:
            self._wait_early(lambda told: self.session._offer_position(*told), (room, cursor, missing), 0)

    async def _give_room(self, item: RoomItem) -> None:
        item = _as_event(self.namespace, item)
        if self._early is None:
            await self.session._give_room(item)
        else:
            self._wait_early(self.session._offer_room, item, item.size)

    def _left(self, room: str) -> None:
        self.session._left(room)

    def _check_member(self) -> None:
        """Raises SessionClosed when it is in no more."""
        if self._ended is not None:
            raise SessionClosed(*self._ended)
        self.session._check_member()

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
            self.session._hub.leave_all(self)
            self._home.calls.fail(code, reason, self.namespace)

    def __repr__(self) -> str:
        return f"<EventSession of {self.namespace} in {self.session!r}>"


def _as_event(namespace: str, item: RoomItem) -> RoomItem:
    """A message of a room with history: the event "message" where it is none."""
    if isinstance(item.plain, Group):
        return item
    return RoomItem(item.room, item.cursor, message_group(namespace, item.plain))
