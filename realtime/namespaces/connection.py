"""One session at the server: which namespaces its client is in, who may come in, and what is told of who has left."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from ..clock import Patience, Timer
from ..core.errors import BrokerError, EventError, RemoteProtocolError, SessionClosed, Unauthorized
from ..core.plain_machine import INTERRUPTED
from ..events.connection import Connection, Limits, around
from ..groups import put_kept
from ..loops import ends
from ..protocols.layers.socketio import packets
from ..protocols.layers.socketio.membership import Act, Membership
from ..protocols.layers.socketio.packets import Packet
from ..protocols.layers.socketio.recovery import Wish, wish
from ..session import Session
from .away import Away
from .bridged import carry_over
from .catching_up import catch_up, check_kept
from .namespace import Bound, Namespace
from .reasons import CUT, ENDED, LEFT, PUT_OUT, may_go_on, reason_of
from .session import EventSession, join_everybody

__all__ = ["ServerConnection"]

log: logging.Logger = logging.getLogger("realtime.session")

# So many other sessions that want to go on by the same pid are waited for.
RIVALS = 4
# What is told to who has left before it was let in, and may have forgotten that it asked.
GONE = "The client has left"
NO_CONNECT = "no CONNECT came within connect_timeout"
RETURNED_FALSE = "'connect' returned False; to refuse a client, raise realtime.Unauthorized"


class ServerConnection(Connection[Session]):
    """The events of one session at the server. `find` says which namespace is meant by a name, `away` who may go on
    where it was."""

    def __init__(
        self,
        find: Callable[[str, dict[str, Any]], Awaitable[Namespace | None]],
        session: Session,
        limits: Limits,
        most: int,
        bound: Bound,
        away: Away | None = None,
    ) -> None:
        theirs = session._machine.capabilities.socketio
        super().__init__(session, theirs or 5, limits, bound.numbers if theirs else None)
        self._away = away if theirs == 5 else None
        self._over = False  # nothing that comes will be handled any more
        self._ending: asyncio.Event | None = None  # somebody waits for that
        self._bridgeable = away is not None  # other workers have not been asked for it
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
            self._over = True
            if self._ending is not None:
                self._ending.set()
            await self._end()

    async def finished(self) -> None:
        """Waits until all that came is handled, and no more will be. Concurrent handlers may still run."""
        if not self._over:
            self._ending = self._ending or asyncio.Event()
            await self._ending.wait()

    def _nobody_came(self) -> None:
        self._late = None
        self.session._machine.end(4408, NO_CONNECT, self.session._now())

    def _changed(self, _: str) -> None:
        """Something has changed: the session may be over, which nobody waits for longer than it is."""
        machine = self.session._machine
        outcome = machine.outcome
        if outcome is not None:
            away = self._away if may_go_on(outcome, closing=machine.closing is not None) else None
            for member in self._members.values():
                if away is not None and member._keeping is not None and member._keeping.ended is not None:
                    away.leaves(member, reason_of(outcome.code, CUT))
                else:
                    self.session._hub.leave_all(member)
            self.over(outcome.code, outcome.reason)

    # -- packets -------------------------------------------------------------------------------------------------------

    def _take(self, packet: Packet, size: int) -> Awaitable[None] | None:
        if packet.type == packets.EVENT and self._membership.names.get(packet.namespace):  # Act.GIVE, without a call
            return self._event(self._members[packet.namespace], packet)
        try:
            act = self._membership.take(packet)
        except RemoteProtocolError as wrong:
            self.fail(wrong)
        name = packet.namespace
        if act is Act.ANSWER:
            assert packet.id is not None
            self.calls.answer(name, packet.id, packet.data)
        elif act is Act.LEAVE:
            return self.leaves(self._members.pop(name), LEFT)
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
        wanted = None if self._away is None else wish(auth)
        if wanted is not None and await self._goes_on_elsewhere(wanted, name, auth):
            return
        try:
            namespace = await self._find(name, auth)
            if namespace is None:
                message, data = "Invalid namespace", None
            else:
                number = None if wanted is None else await self._take_up(wanted, namespace, name, auth)
                if number is None:
                    member = self._members[name] = EventSession(self, self.session, namespace, name, auth)
                    member._keeping = None if self._away is None else self._away.keeping()
                else:
                    member = self._members[name]
                await self._tell_connect(member, [auth])
                member._told = True
                if number is None:
                    await join_everybody(member)
                member._check_member()
                await self._accept(member, number)
                return
        except Unauthorized as refusal:
            message, data = refusal.reason, refusal.data
        except EventError as error:
            message, data = error.message, error.data
        except BrokerError as error:
            log.warning("a client of %r was refused: %s", name, error)
            message, data = "Come back later", None
        except BaseException as error:
            message, data = "The connect handler failed", None
            if isinstance(error, asyncio.CancelledError) and self._leaving.cut():
                message = GONE
            elif ends(error):
                raise
            elif not (isinstance(error, SessionClosed) and (self.session.closed or (member and member.closed))):
                log.exception("the handler of 'connect' of session %s raised", self.session.label)
        self._membership.refuse(name)
        if member is not None and self._members.pop(name, None) is member and not member._is_away:
            await self.leaves(member, LEFT if name in self._leaving else ENDED)
        await self._refuse(name, message, data)

    async def _tell_connect(self, member: EventSession, args: list[Any]) -> None:
        """Through the middlewares, to the handler. Whoever returns False means to refuse, as elsewhere it would."""

        async def last() -> None:
            listener = member._listeners.told("connect")
            if listener is not None:
                result = listener.function(member, *listener.fit("connect", args if listener.most else []))
                if inspect.isawaitable(result):
                    result = await result
                if result is False:
                    raise TypeError(RETURNED_FALSE)

        if await around(member, "connect", args, last) is False:
            raise TypeError(RETURNED_FALSE)

    async def _goes_on_elsewhere(self, wanted: Wish, name: str, auth: dict[str, Any]) -> bool:
        """Whether the client has gone on at another worker, in all its namespaces, for as long as its session lasted.
        Raises SessionClosed."""
        away = self._away
        if away is None or not self._bridgeable or not away.is_elsewhere(wanted.pid):
            return False
        if self._late is None:  # it is in a namespace here
            return False
        self._bridgeable = False
        bridge = await away.bridge(wanted.pid, self.session)
        if bridge is None:
            return False
        if self._late is not None:
            self._late.cancel()
            self._late = None
        self._leaving.pass_on()
        said = packets.write(self.version, Packet(packets.CONNECT, name, auth | wanted.said))
        await carry_over(self.session, bridge, str(said[0]))
        return True

    async def _take_up(self, wanted: Wish, namespace: Namespace, name: str, auth: dict[str, Any]) -> int | None:
        """The client wants to go on where it was. The number of the first event that it has missed, and then it is in
        `_members`; None where it can't go on, as where nobody knows it."""
        away = self._away
        assert away is not None
        for _ in range(RIVALS):
            member = away.find(wanted.pid)
            if (
                member is None
                or member._home is self
                or (member.namespace, member._namespace) != (name, namespace)
                or member.identity != self.session.identity
            ):
                return None
            # Its last session may not have noticed yet that it is gone. What came on that is handled first.
            before = member.session._machine
            before.end(INTERRUPTED, "its client goes on in another session", self.session._now())
            try:
                async with Patience(2 * before.config.close_timeout):
                    await member._home.finished()
            except TimeoutError:  # a handler of its last session goes on and on
                await self._give_up(member)
                return None
            keeping = member._keeping
            self.session._machine.check_open()  # or it stays away
            if keeping is None or not member._is_away:
                continue  # it has left, or another session was faster
            number = keeping.sent.behind(wanted.offset)
            if number is None:  # what it has had is not known any more
                await self._give_up(member)
                return None
            away.returns(member)
            member._move(self, self.session, auth)
            self._members[name] = member
            return number
        return None

    async def _give_up(self, member: EventSession, why: str = "") -> bool:
        """A client that is away will not go on: its handler is told. False for one that is here."""
        told = None if self._away is None else self._away.give_up(member, why, behind=False)
        if told is not None:
            await asyncio.wait({told})
        return told is not None

    async def _accept(self, member: EventSession, number: int | None) -> None:
        """The client is in. `number`: it goes on where it was, behind the event before this."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        said = {"sid": member.id} if self.version >= 5 else None
        keeping = member._keeping
        if keeping is not None and said is not None:
            said["pid"] = keeping.pid
            check_kept(self.session, keeping, keeping.sent.first if number is None else number)
        await self.send(Packet(packets.CONNECT, member.namespace, said))
        if self._members.get(member.namespace) is not member:  # it was put out, while that waited for room
            self._say_disconnect(member.namespace)
            return
        self._membership.accept(member.namespace)
        if keeping is not None and number is not None:
            await catch_up(self.session, keeping, number)
            return
        if self._away is not None:
            self._away.knows(member)
        member._accepted()

    async def _refuse(self, name: str, message: str, data: Any = None) -> None:
        """Tells the client that it may not be in."""
        with suppress(SessionClosed):
            await self.send(_refusal(self, name, message, data))

    # -- leaving -------------------------------------------------------------------------------------------------------

    def _left(self, name: str) -> bool:
        member = self._members.get(name)
        if member is None or not member._in:
            return False  # whoever comes in is let in before it leaves
        member._end(1000, LEFT)
        return True

    async def leave(self, member: EventSession) -> None:
        """The application has a client leave a namespace. Harmless when it has."""
        if await self._give_up(member, PUT_OUT):
            return
        if self._members.get(member.namespace) is member and not member.closed:
            del self._members[member.namespace]
            if member.namespace in self._membership:
                self._say_disconnect(member.namespace)
            self._membership.refuse(member.namespace)
            await self.leaves(member, PUT_OUT)

    def _say_disconnect(self, name: str) -> None:
        """Tells a client that it is put out, who was told by an answer that it is in. That had room: so there are not
        more of these."""
        with suppress(SessionClosed):
            put_kept(self.session, packets.write(self.version, Packet(packets.DISCONNECT, name)))

    async def leaves(self, member: EventSession, reason: str) -> None:
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
        why = reason_of(code, ENDED if outcome is None else CUT)
        try:
            await self.finish()
        finally:
            members = [member for member in self._members.values() if member._home is self and not member._is_away]
            self._members = {}
            for member in members:
                member._end(code, reason)
            for member in members:
                await self.leaves(member, why)


def _refusal(connection: ServerConnection, name: str, message: str, data: Any) -> Packet:
    """What a client is told that may not be in a namespace, without data that are no JSON."""
    version = connection.version
    said: Any = {"message": message} if data is None else {"message": message, "data": data}
    if version < 5:
        said = message if data is None else data
    packet = Packet(packets.CONNECT_ERROR, name, said)
    if data is not None:
        try:
            packets.write(version, packet)
        except Exception:
            log.exception("what session %s is told beside its refusal cannot be sent", connection.session.label)
            return _refusal(connection, name, message, None)
    return packet
