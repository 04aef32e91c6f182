"""One session at the server: which namespaces its client is in, who may come in, and what is told of who has left."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from ..clock import Timer
from ..core.errors import BrokerError, EventError, RemoteProtocolError, SessionClosed, Unauthorized
from ..events.connection import Connection, Limits, around
from ..protocols.layers.socketio import packets
from ..protocols.layers.socketio.membership import Act, Membership
from ..protocols.layers.socketio.packets import Packet
from ..session import Session
from .namespace import Bound, Namespace
from .session import EventSession

__all__ = ["ServerConnection"]

log: logging.Logger = logging.getLogger("realtime.session")

# Why a client has gone, as its namespaces' handlers are told. The words are Socket.IO's.
LEFT = "client namespace disconnect"
PUT_OUT = "server namespace disconnect"
CUT = "transport close"
SILENT = "ping timeout"
BROKEN = "parse error"
STOPPED = "server shutting down"
ENDED = "forced server close"
_REASONS = {
    **dict.fromkeys((1001, 1012), STOPPED),
    **dict.fromkeys((1002, 1003, 1007, 1009), BROKEN),
    **dict.fromkeys((1008, 1011, 4401, 4403), ENDED),
    4410: SILENT,
}

# What is told to who has left before it was let in, and may have forgotten that it asked.
GONE = "The client has left"

NO_CONNECT = "no CONNECT came within connect_timeout"


class ServerConnection(Connection[Session]):
    """The events of one session at the server. `find` says which namespace is meant by a name."""

    def __init__(
        self,
        find: Callable[[str, dict[str, Any]], Awaitable[Namespace | None]],
        session: Session,
        limits: Limits,
        most: int,
        bound: Bound,
    ) -> None:
        theirs = session._machine.capabilities.socketio
        super().__init__(session, theirs or 5, limits)
        self.answers_unknown = not theirs
        self._find = find
        self._members: dict[str, EventSession] = {}
        self._membership = Membership(most, begun=self.version < 5)
        self._patience = bound.connect_timeout
        self._late: Timer | None = None

    async def run(self) -> None:
        """Until the session ends."""
        session = self.session
        undo = session.on_change(self._changed)
        clock = session._listener.runtime.clock
        self._late = clock.call_at(clock.now() + self._patience, self._nobody_came)
        try:
            if self.version < 5:  # its clients are in "/" from the beginning
                self._membership.ask("/")
                with suppress(SessionClosed):
                    await self._leaving.run(self._ask("/", {}), "/")
            await self.serve()
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            undo()
            await self._end()

    def _nobody_came(self) -> None:
        self._late = None
        self.session._machine.end(4408, NO_CONNECT, self.session._now())

    def _changed(self, _: str) -> None:
        """Something has changed: the session may be over, which nobody waits for longer than it is."""
        outcome = self.session._machine.outcome
        if outcome is not None:
            for member in self._members.values():
                self.session._hub.leave_all(member)
            self.over(outcome.code, outcome.reason)

    # -- packets -------------------------------------------------------------------------------------------------------

    def _take(self, packet: Packet, size: int) -> Awaitable[None] | None:
        try:
            act = self._membership.take(packet)
        except RemoteProtocolError as wrong:
            self.fail(wrong)
        name = packet.namespace
        if act is Act.GIVE:
            return self._event(self._members[name], packet)
        if act is Act.ANSWER:
            assert packet.id is not None
            self.calls.answer(name, packet.id, packet.data)
        elif act is Act.LEAVE:
            return self._leaves(self._members.pop(name), LEFT)
        elif act is Act.TURN_AWAY:
            return self._refuse(name, "Too many namespaces")
        elif act is Act.ASK:
            most = self.session._machine.config.max_auth_size
            if size > most:
                self._membership.refuse(name)
                return self._refuse(name, f"The auth data are above {most} bytes")
            auth = packet.data or {}
            return self._ask(name, auth if isinstance(auth, dict) else dict(parse_qsl(auth, keep_blank_values=True)))
        return None

    # -- coming in -----------------------------------------------------------------------------------------------------

    async def _ask(self, name: str, auth: dict[str, Any]) -> None:
        """The client wants to be in a namespace: the application is asked."""
        member: EventSession | None = None
        try:
            namespace = await self._find(name, auth)
            if namespace is None:
                message, data = "Invalid namespace", None
            else:
                member = self._members[name] = EventSession(self, self.session, namespace, name, auth)
                await self._tell_connect(member, [auth])
                member._told = True
                await member._join_everybody()
                member._check_member()
                await self._accept(member)
                return
        except Unauthorized as refusal:
            message, data = refusal.reason, refusal.data
        except EventError as error:
            message, data = error.message, error.data
        except BrokerError as error:
            log.warning("a client of %s was refused: %s", name, error)
            message, data = "Come back later", None
        except asyncio.CancelledError:
            if not self._leaving.cut():
                raise
            message, data = GONE, None
        except Exception as error:
            if not (isinstance(error, SessionClosed) and (self.session.closed or (member and member.closed))):
                log.exception("the handler of 'connect' of session %s raised", self.session.label)
            message, data = "The connect handler failed", None
        self._membership.refuse(name)
        if member is not None and self._members.pop(name, None) is member:
            await self._leaves(member, LEFT if name in self._leaving else ENDED)
        await self._refuse(name, message, data)

    async def _tell_connect(self, member: EventSession, args: list[Any]) -> None:
        """Through the middlewares, to the handler."""

        async def last() -> None:
            listener = member._listeners.told("connect")
            if listener is not None:
                result = listener.function(member, *listener.fit("connect", args if listener.most else []))
                if inspect.isawaitable(result):
                    await result

        await around(member, "connect", args, last)

    async def _accept(self, member: EventSession) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self._membership.accept(member.namespace)
        said = {"sid": member.id} if self.version >= 5 else None
        await self.send(Packet(packets.CONNECT, member.namespace, said))
        member._accepted()

    async def _refuse(self, name: str, message: str, data: Any = None) -> None:
        """Tells the client that it may not be in."""
        said: Any = {"message": message} if data is None else {"message": message, "data": data}
        if self.version < 5:
            said = message if data is None else data
        with suppress(SessionClosed):
            await self.send(Packet(packets.CONNECT_ERROR, name, said))

    # -- leaving -------------------------------------------------------------------------------------------------------

    def _left(self, name: str) -> bool:
        member = self._members.get(name)
        if member is None or not member._in:
            return False  # whoever comes in is let in before it leaves
        member._end(1000, LEFT)
        return True

    async def leave(self, member: EventSession) -> None:
        """The application has a client leave a namespace. Harmless when it has."""
        if self._members.get(member.namespace) is member and not member.closed:
            del self._members[member.namespace]
            joined = member.namespace in self._membership
            self._membership.refuse(member.namespace)
            if joined:
                with suppress(SessionClosed):
                    await self.send(Packet(packets.DISCONNECT, member.namespace))
            await self._leaves(member, PUT_OUT)

    async def _leaves(self, member: EventSession, reason: str) -> None:
        """A client has left a namespace, in whatever way: its handler is told why."""
        outcome = self.session._machine.outcome
        member._end(*((1000, reason) if outcome is None else outcome[:2]))
        if member._told:
            member._told = False
            await self.tell(member, "disconnect", reason)

    async def _end(self) -> None:
        """The session has ended, or its handler was cancelled."""
        if self._late is not None:
            self._late.cancel()
        outcome, closing = self.session._machine.outcome, self.session._machine.closing
        code, reason = outcome[:2] if outcome is not None else closing or (1011, "the handler was cancelled")
        self.over(code, reason)
        why = CUT if outcome is not None and code not in _REASONS else _REASONS.get(code, ENDED)
        members, self._members = list(self._members.values()), {}
        try:
            await self.finish()
        finally:
            for member in members:
                member._end(code, reason)
            for member in members:
                await self._leaves(member, why)
