"""Who leaves while a handler runs that does not return: it is out at once, and the handler has so much time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.core.errors import SessionClosed
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession
from realtime.testing import VirtualClock

from ..patience import within
from ..web.place import Place, eventually
from .place import Client, chatting, client

pytestmark = pytest.mark.usefixtures("quiet_log")

KINDS = pytest.mark.parametrize("kind", ["native", "long_polling", "engine"])
PATIENCE = 10.0  # close_timeout


class Stuck:
    """Events whose handlers never return, and what became of them."""

    def __init__(self) -> None:
        self.events = Events()
        self.told: list[Any] = []
        self.sessions: list[EventSession] = []
        self.running = asyncio.Event()
        self.go = asyncio.Event()
        for namespace in (self.events, self.events.namespace("/admin")):
            self._register(namespace)

    def _register(self, namespace: realtime.Namespace) -> None:
        @namespace.on("connect")
        async def connect(session: EventSession, auth: dict[str, Any]) -> None:
            self.sessions.append(session)
            await session.join("room")
            if auth.get("stuck"):
                await self.hang("connect")

        @namespace.on("hang")
        async def hang(session: EventSession, what: Any = "hang") -> str:
            await self.hang(what)
            return "done"

        @namespace.on("call")
        async def call(session: EventSession) -> None:
            self.running.set()
            try:
                await session.call("ask", timeout=None)
            except SessionClosed as closed:
                self.told.append(closed.reason)

        @namespace.on("catch")
        async def catch(session: EventSession) -> str:
            try:
                await self.hang("catch")
            except asyncio.CancelledError:
                return "caught"
            return "not cancelled"

        @namespace.on("quick")
        def quick(session: EventSession) -> str:
            self.told.append(("quick", session.closed))
            return "quick"

        @namespace.on("disconnect")
        async def disconnect(session: EventSession, reason: str) -> None:
            self.told.append((session.namespace, reason))
            if session.data.get("stuck"):
                await self.hang("disconnect")

    async def hang(self, what: Any) -> None:
        """Waits for `go`, which may never come."""
        self.running.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.told.append(f"{what} was cancelled")
            raise

    async def begun(self) -> None:
        """Waits until a handler runs."""
        async with within("a handler runs"):
            await self.running.wait()
        self.running.clear()


async def stuck(place: Place, one: Client, chat: Stuck, *packets: str) -> EventSession:
    """A client that is in, whose handler hangs, and that has said these packets behind; its session, which has left."""
    await one.connect()
    await one.say('20["hang"]')
    await chat.begun()
    (session,) = chat.sessions
    await one.say(*packets)
    await eventually(lambda: session.closed)
    return session


@KINDS
async def test_who_has_left_is_out_at_once_and_its_handler_is_cancelled_in_time(kind: str) -> None:
    chat = Stuck()
    async with chatting(chat.events, clock=VirtualClock()) as place:
        one = await client(place, kind)
        session = await stuck(place, one, chat, '21["quick"]', "1", "0")
        assert (session.rooms, len(chat.events.room("room")), chat.told) == (frozenset(), 0, [])
        with pytest.raises(SessionClosed, match="client namespace disconnect"):
            await session.emit("late")
        place.tick(PATIENCE - 0.5)
        assert chat.told == []
        place.tick(0.5)
        # The ack of what it has said is for nobody; and it is back.
        assert await one.news() == '31["quick"]'
        assert str(await one.news()).startswith('0{"sid"')
        assert chat.told == ["hang was cancelled", ("quick", True), ("/", "client namespace disconnect")]
        await one.say('22["quick"]')
        assert await one.news() == '32["quick"]'
        assert chat.sessions[-1].rooms == {"room"}


@KINDS
async def test_a_handler_that_returns_in_time_is_left_alone(kind: str) -> None:
    chat = Stuck()
    async with chatting(chat.events, clock=VirtualClock()) as place:
        one = await client(place, kind)
        await stuck(place, one, chat, "1", "0")
        chat.go.set()
        assert await one.news() == '30["done"]'
        assert str(await one.news()).startswith('0{"sid"')
        assert chat.told == [("/", "client namespace disconnect")]
        chat.go.clear()
        await one.say('20["hang"]')
        await chat.begun()
        place.tick(PATIENCE)
        await asyncio.sleep(0)
        assert chat.told == [("/", "client namespace disconnect")]  # of this one nobody has left
        chat.go.set()
        assert await one.news() == '30["done"]'


@KINDS
async def test_all_that_one_has_left_behind_has_no_more_time_than_that(kind: str) -> None:
    chat = Stuck()
    async with chatting(chat.events, clock=VirtualClock()) as place:
        one = await client(place, kind)
        session = await stuck(place, one, chat, '2["hang","second"]', '2["hang","third"]', "1", "1")
        session.data["stuck"] = True
        place.tick(PATIENCE)

        def told(count: int) -> bool:
            place.tick(0.0)  # what is due already is due at the next look
            return len(chat.told) == count

        await eventually(lambda: told(4))
        assert chat.told[:3] == ["hang was cancelled", "second was cancelled", "third was cancelled"]
        assert chat.told[3] == ("/", "client namespace disconnect")
        place.tick(PATIENCE)  # that handler has as much again
        await eventually(lambda: told(5))
        assert chat.told[4] == "disconnect was cancelled"
        await one.connect()


@KINDS
async def test_a_handler_that_calls_whoever_has_left(kind: str) -> None:
    chat = Stuck()
    async with chatting(chat.events) as place:
        one = await client(place, kind)
        await one.connect()
        await one.say('2["call"]')
        await chat.begun()
        assert await one.news() == '20["ask"]'
        await one.say('2["quick"]', "1", "0", '2["quick"]', "1")
        await eventually(lambda: len(chat.told) == 5)
        why = "client namespace disconnect"
        assert chat.told == [why, ("quick", True), ("/", why), ("quick", False), ("/", why)]


@KINDS
async def test_who_leaves_before_it_was_let_in(kind: str) -> None:
    chat = Stuck()
    async with chatting(chat.events, clock=VirtualClock()) as place:
        one = await client(place, kind)
        await one.say('0{"stuck":true}', '2["quick"]', "1", "0/admin,")
        await chat.begun()
        (session,) = chat.sessions
        machine = session.session._machine
        await eventually(lambda: machine.inbox.received >= 4)
        assert not session.closed
        place.tick(PATIENCE)
        assert await one.news() == '4{"message":"The client has left"}'
        assert str(await one.news()).startswith('0/admin,{"sid"')
        assert (chat.told, session.closed) == (["connect was cancelled"], True)
        await one.connect()


@KINDS
async def test_another_namespace_is_no_affair_of_a_handler(kind: str) -> None:
    chat = Stuck()
    async with chatting(chat.events, clock=VirtualClock()) as place:
        one = await client(place, kind)
        await one.connect()
        await one.connect("/admin")
        await one.say('20["hang"]')
        await chat.begun()
        await one.say("1/admin,")
        await eventually(lambda: chat.sessions[1].closed)
        assert not chat.sessions[0].closed
        place.tick(2 * PATIENCE)
        await asyncio.sleep(0)
        assert chat.told == []
        chat.go.set()
        assert await one.news() == '30["done"]'
        await eventually(lambda: chat.told == [("/admin", "client namespace disconnect")])


@KINDS
async def test_who_catches_that_goes_on(kind: str) -> None:
    chat = Stuck()
    async with chatting(chat.events, clock=VirtualClock()) as place:
        one = await client(place, kind)
        await one.connect()
        await one.say('20["catch"]')
        await chat.begun()
        await one.say("1", "0")
        await eventually(lambda: chat.sessions[0].closed)
        place.tick(PATIENCE)
        assert await one.news() == '30["caught"]'
        assert str(await one.news()).startswith('0{"sid"')
        chat.sessions[1].session._machine.end(3000, "over", place.rt._service.clock.now())
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)


@KINDS
async def test_the_end_of_the_session(kind: str) -> None:
    """Its handler is cancelled as any session's is, and all are told."""
    chat = Stuck()
    async with chatting(chat.events, clock=VirtualClock()) as place:
        one = await client(place, kind)
        await one.connect()
        await one.connect("/admin")
        await one.say('2["hang"]', "1")
        await eventually(lambda: chat.sessions[0].closed)
        place.tick(1.0)
        chat.sessions[0].session._machine.end(1006, "cut", place.rt._service.clock.now())
        assert (len(chat.events.room("room")), chat.told) == (0, [])
        place.tick(PATIENCE - 1.0)
        await eventually(lambda: len(chat.told) == 3)
        assert chat.told[0] == "hang was cancelled"
        assert {("/", "client namespace disconnect"), ("/admin", "transport close")} == set(chat.told[1:])
        place.tick(PATIENCE)
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)


async def test_a_stop_of_the_server_cancels_all_of_it() -> None:
    chat = Stuck()
    async with chatting(chat.events) as place:
        one = await client(place)
        await stuck(place, one, chat, "1")
        async with within():
            await place.stop()
        assert chat.told == ["hang was cancelled", ("/", "server shutting down")]


async def test_old_clients_of_socketio_are_in_from_the_beginning() -> None:
    """So is the handler of "connect", which may not return."""
    chat = Stuck()
    gate = asyncio.Event()

    async def middleware(session: EventSession, event: str, args: list[Any], proceed: Any) -> Any:
        if event == "connect":
            chat.sessions.append(session)
            chat.running.set()
            await gate.wait()
        return await proceed()

    chat.events.use(middleware)
    async with chatting(chat.events, clock=VirtualClock()) as place:
        one = await client(place, "engine", version=3)
        await chat.begun()
        await one.say("1")
        await eventually(lambda: chat.sessions[0].session._machine.inbox.received)
        place.tick(PATIENCE)
        assert await one.news() == '4"The client has left"'
