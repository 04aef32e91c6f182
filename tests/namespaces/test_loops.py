"""Events in other threads and loops, and in loops over an end: as tests/test_loops.py has it of sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

import realtime
from realtime import ClientNamespace, EventSession, LocalProtocolError
from realtime.namespaces.events import Events

from ..patience import eventually
from ..test_loops import elsewhere, gives_way
from .going import Chat, Going
from .place import chatting


class Both(NamedTuple):
    """A client in "/", and who it is at the server."""

    events: Events
    here: EventSession
    there: ClientNamespace
    session: realtime.ClientSession


Call = Callable[[Both], Awaitable[object]]

OF_A_MEMBER: dict[str, Call] = {
    "emit": lambda both: both.here.emit("x"),
    "emit, volatile": lambda both: both.here.emit("x", volatile=True),
    "emit, with bytes": lambda both: both.here.emit("x", b"y"),
    "call": lambda both: both.here.call("x"),
}

CALLS: dict[str, Call] = {
    **OF_A_MEMBER,
    "join": lambda both: both.here.join("another"),
    "leave": lambda both: both.here.leave("room"),
    "disconnect": lambda both: both.here.disconnect(),
    "emit to a room": lambda both: both.events.room("room").emit("x"),
    "emit to all": lambda both: both.events.emit("x"),
    "close a room": lambda both: both.events.room("room").close(),
    "the client's ready": lambda both: both.there.ready(),
    "the client's emit": lambda both: both.there.emit("x"),
    "the client's call": lambda both: both.there.call("x"),
    "the client's disconnect": lambda both: both.there.disconnect(),
}

FAILING: dict[str, Call] = {
    **OF_A_MEMBER,
    "join": lambda both: both.here.join("#nonsense"),
    "leave": lambda both: both.here.leave("#nonsense"),
    "nonsense": lambda both: both.here.emit("x", object()),
    "nonsense to a room": lambda both: both.events.room("room").emit("x", object()),
    "nonsense to all": lambda both: both.events.emit("connect"),
    "the client's emit": lambda both: both.there.emit("x"),
    "the client's call": lambda both: both.there.call("x"),
    "the client's nonsense": lambda both: both.there.emit("x", object()),
}


@asynccontextmanager
async def both() -> AsyncIterator[Both]:
    events = Events()
    members: list[EventSession] = []

    @events.on("connect")
    async def connect(session: EventSession) -> None:
        await session.join("room")
        members.append(session)

    @events.on("hello")
    def hello(session: EventSession) -> str:
        return "hello"

    async with chatting(events) as place, realtime.connect(place.url("/chat"), transports="websocket") as session:
        there = session.events()
        await there.ready()
        yield Both(events, members[0], there, session)


def facts(both: Both) -> object:
    here, there = both.here, both.there
    ends = [(one._machine.state, one._machine.outbox.appended, one._senders) for one in (here.session, both.session)]
    return ends, here.closed, here.rooms, there.closed, len(here._home.calls), len(there._home.calls)


@pytest.mark.parametrize("what", CALLS)
async def test_another_threads_loop_is_refused_and_changes_nothing(what: str) -> None:
    async with both() as one:
        assert await one.there.call("hello") == "hello"
        await one.session.flush()
        await one.here.session.flush()
        before = facts(one)
        error = elsewhere(lambda: CALLS[what](one))
        assert isinstance(error, LocalProtocolError), error
        assert "asyncio.run_coroutine_threadsafe" in str(error)
        assert facts(one) == before
        assert await one.there.call("hello") == "hello"


async def test_who_is_not_in_yet_is_no_other_loops_either() -> None:
    """At the client "ready" waits for an answer; at the server what is emitted waits for that."""
    events = Events()
    coming: asyncio.Queue[EventSession] = asyncio.Queue()
    let_in = asyncio.Event()

    @events.on("connect")
    async def connect(session: EventSession) -> None:
        coming.put_nowait(session)
        await let_in.wait()

    async with chatting(events) as place, realtime.connect(place.url("/chat"), transports="websocket") as session:
        there = session.events()
        here = await coming.get()
        calls: list[Callable[[], Awaitable[object]]] = [there.ready, lambda: there.emit("x"), lambda: here.emit("x")]
        for call in calls:
            error = await asyncio.to_thread(elsewhere, call)
            assert isinstance(error, LocalProtocolError), error
        assert here._early == []
        let_in.set()
        await there.ready()


async def test_who_is_away_is_no_other_loops_either() -> None:
    chat = Chat()
    async with chatting(chat.events, {"recovery": 60.0}) as place:
        going = Going(place)
        await going.connect()
        await chat.sessions[0].emit("before")
        await going.take()  # without which it has no offset to go on behind
        (session,) = chat.sessions
        await going.wire.drop()
        await eventually(lambda: session._is_away)
        error = elsewhere(lambda: session.emit("x"))
        assert isinstance(error, LocalProtocolError), error
        await session.emit("y")
        await going.connect()
        assert going.recovered
        assert await going.take() == ["y"]


@pytest.mark.parametrize("left", ["the session", "the namespace"])
@pytest.mark.parametrize("what", FAILING)
async def test_a_loop_over_what_fails_gives_way(what: str, left: str) -> None:
    """Whoever catches everything, and tries again, neither stops all others nor escapes being cancelled."""
    async with both() as one:
        if left == "the session":
            await one.session.close()
        else:
            await one.there.disconnect()
        await eventually(lambda: one.here.closed and one.there.closed)
        await gives_way(FAILING[what], one)
