"""Events at the client: the namespaces of one session, each with handlers of its own. See ClientSession.events()."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ..base_session import BaseSession
from ..core.client_machine import ClientMachine
from ..core.errors import EventError, LocalProtocolError, RemoteProtocolError, SessionClosed
from ..core.settings import shown
from ..events.connection import Connection, Limits
from ..events.listeners import Listeners, check_named
from ..loops import begin, gives_way
from ..protocols.layers.socketio import packets
from ..protocols.layers.socketio.packets import Packet, check_event, check_namespace

__all__ = ["ClientEvents", "ClientNamespace"]

H = TypeVar("H", bound=Callable[..., Any])

# Why a namespace was left, as its handler is told. The words are those of Socket.IO's clients.
LEFT = "io client disconnect"
PUT_OUT = "io server disconnect"
CUT = "transport close"
REFUSED = "refused"


class ClientNamespace:
    """One namespace of a client's session: what `session.events("/admin")` gives."""

    def __init__(self, home: ClientEvents, name: str, auth: dict[str, Any] | None) -> None:
        self.namespace: str = name  # its name
        self.id: str = ""  # what the server calls this client here; empty before it is in
        self._home = home
        self._auth = auth
        self._listeners = Listeners(0, {"connect": 0, "connect_error": 1, "disconnect": 1})
        self._middlewares: Sequence[Callable[..., Awaitable[Any]]] = ()
        self._lead: tuple[Any, ...] = ()
        self._in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody has to ask
        self._left: tuple[int, str] | None = None
        self._asked = False  # its CONNECT is on its way

    @property
    def closed(self) -> bool:
        """Whether it was left, or refused this client, or its session has ended."""
        return self._left is not None

    @gives_way
    async def ready(self) -> None:
        """Waits until the server has let this client in. Raises EventError when it refuses, with the data that it gave,
        and SessionClosed when the session ends before that. emit() and call() wait, too."""
        self._home.session._check_loop()
        await asyncio.shield(self._in)

    def on(self, event: str, *, concurrent: int = 1) -> Callable[[H], H]:
        """Registers the handler of an event: a function, which is called at once, or a coroutine function.

        It is given the event's arguments, and what it returns is the acknowledgement, as at the server: see
        Namespace.on(). "connect" is told when this client is in, "connect_error" with the EventError when it is
        refused, "disconnect" with the reason when it has left. "*" takes what has no handler of its own, with the
        event's name in front of its arguments.
        """

        check_named(event, "on")

        def register(handler: H) -> H:
            self._listeners.add(event, handler, concurrent)
            return handler

        return register

    def off(self, event: str) -> None:
        """Nobody handles this event any more. Harmless where nobody did."""
        self._listeners.remove(event)

    @gives_way
    async def emit(self, event: str, *args: Any) -> None:
        """Sends an event, with what JSON has and bytes anywhere in it; returns when it is buffered, as session.send()
        does. Raises as that does, and TypeError for other arguments."""
        check_event(event)
        await self._check()
        await self._home.send(Packet(packets.EVENT, self.namespace, [event, *args]))

    @gives_way
    async def call(self, event: str, *args: Any, timeout: float | None = 5.0) -> Any:
        """Sends an event and waits for its acknowledgement, for `timeout` seconds (None: for ever): None, its value, or
        a list of its values where it has several.

        The event arrives once, and the answer is taken once, whatever happens to connections. Raises TimeoutError;
        EventError when the answer is an error; and as emit() does.
        """
        check_event(event)
        self._home.session._check_loop()

        async def send(number: int) -> None:
            await self._check()
            await self._home.send(Packet(packets.EVENT, self.namespace, [event, *args], number))

        return await self._home.calls.call(self.namespace, send, timeout)

    @gives_way
    async def disconnect(self) -> None:
        """Leaves the namespace; the session stays open for others. Harmless when it was left."""
        self._home.session._check_loop()
        await self._home.leave(self)

    async def _check(self) -> None:
        if self._left is not None and self._in.done():
            await self._in  # which raises what refused it
            raise SessionClosed(*self._left)
        await self.ready()

    def _end(self, code: int, reason: str, error: EventError | None = None) -> None:
        self._left = code, reason
        if not self._in.done():
            self._in.set_exception(error or SessionClosed(code, reason))
        self._home.calls.fail(code, reason, self.namespace)

    def __repr__(self) -> str:
        return f"<ClientNamespace {self.namespace} of {self._home.session!r}>"


class ClientEvents(Connection[BaseSession[ClientMachine]]):
    """The events of a client's session, whose messages it takes from now on."""

    def __init__(self, session: BaseSession[ClientMachine]) -> None:
        super().__init__(session, 5, Limits())
        self._members: dict[str, ClientNamespace] = {}
        self._due: Counter[str] = Counter()  # answers to a CONNECT, by namespace: each gets one, in order
        self._departing: dict[str, ClientNamespace] = {}  # which the server has put out, behind events not handled yet
        self._been: set[str] = set()  # namespaces that were left: what the server said before it knew may still come
        self._undo = session.on_change(self._changed)
        self._tasks = {begin(self._live(), "realtime client events")}

    def namespace(self, name: str, auth: dict[str, Any] | None) -> ClientNamespace:
        """The namespace of this name: the one that this client is in, or asks for, or one that it asks for now."""
        check_namespace(name)
        if auth is not None and not isinstance(auth, dict):
            raise TypeError(f"auth={shown(auth)}: takes a dict, or None for none, not {type(auth).__name__}")
        self.session._machine.check_open()
        member = self._members.get(name)
        if member is not None and name in self._leaving and member.closed:
            self._departing.setdefault(name, member)
            member = None
        if member is not None:
            if auth is not None and auth != member._auth:
                raise LocalProtocolError(f"{name!r} has been asked for with other auth data: disconnect() first")
            return member
        member = self._members[name] = ClientNamespace(self, name, auth)
        task = begin(self._ask(member), "realtime client connects")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return member

    async def _ask(self, member: ClientNamespace) -> None:
        try:
            if member._left is None:
                self._due[member.namespace] += 1
                member._asked = True
                await self.send(Packet(packets.CONNECT, member.namespace, member._auth))
        except SessionClosed:
            pass  # whoever receives finds out
        except Exception as error:
            self._due[member.namespace] -= 1
            if self._members.get(member.namespace) is member:
                await self._refuse(member, EventError(str(error), code="invalid"))

    async def _live(self) -> None:
        try:
            await self.serve()
        finally:
            self._undo()
            machine = self.session._machine
            outcome = machine.outcome
            code, reason = outcome[:2] if outcome is not None else machine.closing or (1000, "")
            self.over(code, reason)
            late = self.session._listener.runtime.clock.call_at(self._leaving.over(), self.cancel)
            await self.finish()
            late.cancel()
            why = LEFT if machine.closing is not None else CUT
            members = [*self._departing.values(), *self._members.values()]
            self._members, self._departing = {}, {}
            for member in members:
                entered = bool(member.id)
                member._end(code, reason)
                if entered:
                    await self.tell(member, "disconnect", why)

    def _changed(self, _: str) -> None:
        outcome = self.session._machine.outcome
        if outcome is not None:
            self.over(outcome.code, outcome.reason)
            self._leaving.over()

    def _left(self, name: str) -> bool:
        member = self._members.get(name)
        if member is None or not member.id:
            return False
        member._end(1000, PUT_OUT)
        return True

    def _take(self, packet: Packet, size: int) -> Awaitable[None] | None:
        kind, name = packet.type, packet.namespace
        member = self._members.get(name)
        if kind in (packets.CONNECT, packets.CONNECT_ERROR):
            due = self._due.pop(name, 0) - 1
            if due > 0:
                self._due[name] = due
                return None  # to one that this client has left since
        else:
            member = self._departing.get(name, member)
        if member is None:
            return None  # it was under way when this client left
        if kind == packets.CONNECT:
            return self._joined(member, packet.data)
        if kind == packets.CONNECT_ERROR:
            return self._refused(member, packet.data)
        if not member.id:
            if name in self._been:
                return None  # the same
            self.fail(RemoteProtocolError(1002, "an event came before its namespace"))
        if kind == packets.EVENT:
            return self._event(member, packet)
        if kind == packets.ACK:
            assert packet.id is not None
            self.calls.answer(name, packet.id, packet.data)
            return None
        if self._departing.pop(name, None) is None:
            del self._members[name]
        self._been.add(name)
        member._end(1000, PUT_OUT)
        return self.tell(member, "disconnect", PUT_OUT)

    def _joined(self, member: ClientNamespace, data: Any) -> Awaitable[None] | None:
        sid = data.get("sid") if isinstance(data, dict) else None
        if not isinstance(sid, str) or not sid:
            self.fail(RemoteProtocolError(1002, "the answer to a CONNECT has a sid"))
        if member.id:
            return None
        member.id = str(sid)
        member._in.set_result(None)
        return self.tell(member, "connect")

    def _refused(self, member: ClientNamespace, data: Any) -> Awaitable[None]:
        said = data if isinstance(data, dict) else {"message": data}
        error = EventError(str(said.get("message", "")), code=REFUSED, data=said.get("data"))
        return self._refuse(member, error)

    def _refuse(self, member: ClientNamespace, error: EventError) -> Awaitable[None]:
        del self._members[member.namespace]
        member._end(1000, REFUSED, error)
        return self.tell(member, "connect_error", error)

    async def leave(self, member: ClientNamespace) -> None:
        """This client leaves a namespace."""
        if self._members.get(member.namespace) is not member:
            return
        del self._members[member.namespace]
        self._been.add(member.namespace)
        entered = bool(member.id)
        member._end(1000, LEFT)
        if member._asked:
            await self.send(Packet(packets.DISCONNECT, member.namespace))
        if entered:
            await self.tell(member, "disconnect", LEFT)
