"""Ends that meet a client's coming back: which of them count, and what its handlers are told, in which order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession
from realtime.testing import VirtualClock

from ..patience import arrives, within
from ..web.place import Place, eventually
from .going import Chat, Going
from .place import chatting
from .test_recovery import RECOVERY, cut

CONNECTED: Any = ("connect", False, {})
GONE = ("disconnect", "transport close")


def writable(session: EventSession, yes: bool) -> None:
    """Whether the client of a session takes what it is sent."""
    carrier = session.session._machine.carrier
    assert carrier is not None
    carrier.link.writable = yes  # type: ignore[misc]
    if yes:
        session.session._listener.dirty()


@pytest.mark.parametrize("lost", [False, True], ids=["comes back", "is lost"])
async def test_who_is_being_closed_can_not_go_on(lost: bool) -> None:
    """Also where the close does not get through to it."""
    chat, clock = Chat(), VirtualClock()
    async with chatting(chat.events, RECOVERY, clock=clock) as place:
        ada = Going(place)
        await ada.connect()
        session = chat.sessions[0]
        machine = session.session._machine
        writable(session, False)
        closing = asyncio.create_task(session.session.close(4000, "enough"))
        await eventually(lambda: machine.closing is not None)
        if lost:
            machine.end(1006, "cut", session.session._now())
        await ada.connect()
        assert not ada.recovered
        assert lost or not closing.done()
        clock.advance(60.0)  # more than close_timeout
        await arrives(asyncio.wait({closing}))
        assert [kind for kind, *_ in chat.seen] == ["connect", "disconnect", "connect"]


async def _window(place: Place, other: Going, clock: VirtualClock) -> None:
    clock.advance(60.0)


async def _too_many(place: Place, other: Going, clock: VirtualClock) -> None:
    await other.wire.drop()


async def _too_much(place: Place, other: Going, clock: VirtualClock) -> None:
    events = place.rt._service.endpoints["/chat"].handler
    assert isinstance(events, Events)
    for number in range(3):
        await events.emit("number", number)


GIVEN_UP = {"window": _window, "max_away": _too_many, "recovery_events": _too_much}


@pytest.mark.parametrize("how", GIVEN_UP)
async def test_who_is_given_up_is_told_of_behind_what_came(how: str) -> None:
    chat, clock, running, go = Chat(), VirtualClock(), asyncio.Event(), asyncio.Event()

    @chat.events.on("slow")
    async def slow(session: EventSession) -> None:
        running.set()
        await go.wait()
        chat.seen.append(session.rooms)

    options = RECOVERY | {"max_away": 1, "recovery_events": 2}
    async with chatting(chat.events, options, clock=clock, close_timeout=600.0) as place:
        ada, other = Going(place), Going(place)
        await ada.connect()
        await other.connect()
        await ada.wire.say('2["slow"]', '2["said",1]')
        async with within():
            await running.wait()
        await cut_one(place, ada)
        session = chat.sessions[0]
        await GIVEN_UP[how](place, other, clock)
        await eventually(lambda: session._ended is not None)
        assert chat.seen == [CONNECTED] * 2
        go.set()
        await eventually(lambda: GONE in chat.seen)
        assert chat.seen[2:] == [frozenset(), (1,), GONE]


async def cut_one(place: Place, one: Going) -> None:
    """cut() for one of two."""
    await one.wire.drop()
    await eventually(lambda: len(place.rt) == 1)


async def test_the_reason_is_why_it_was_given_up(quiet_log: pytest.LogCaptureFixture) -> None:
    """Not why it was away, where its last session goes on for a while."""
    chat, running, go = Chat(), asyncio.Event(), asyncio.Event()

    @chat.events.on("slow")
    async def slow(session: EventSession) -> None:
        running.set()
        await go.wait()

    async with chatting(chat.events, RECOVERY) as place:

        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str:
            return "ada"

        ada = Going(place)
        await ada.connect()
        await ada.wire.say('2["slow"]')
        async with within():
            await running.wait()
        await cut(place, ada)
        await place.rt.close_identity("ada")
        await eventually(lambda: chat.sessions[0]._ended is not None)
        go.set()
        await eventually(lambda: len(chat.seen) > 1)
        assert chat.seen == [CONNECTED, ("disconnect", "forced server close")]


@pytest.mark.parametrize("how", ["window", "put out"])
async def test_a_handler_of_who_is_gone_ends_in_time(how: str) -> None:
    """As one does whose client has not been away."""
    events, clock = Events(), VirtualClock()
    sessions: list[EventSession] = []
    told: list[str] = []
    events.on("connect")(sessions.append)

    @events.on("disconnect")
    async def disconnect(session: EventSession) -> None:
        told.append("in")
        try:
            await asyncio.Event().wait()
        finally:
            told.append("out")

    async with chatting(events, RECOVERY, clock=clock) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        handlers = place.rt._service.sessions.handlers
        await eventually(lambda: not handlers.tasks)
        putting = None
        if how == "window":
            clock.advance(60.0)
        else:
            putting = asyncio.create_task(sessions[0].disconnect())
        await eventually(lambda: told == ["in"])
        clock.advance(sessions[0].session._machine.config.close_timeout)
        await eventually(lambda: told == ["in", "out"])
        await eventually(lambda: not handlers._beside)
        if putting is not None:
            await putting


async def test_a_shutdown_tells_of_who_is_away_whose_handler_hangs() -> None:
    chat, running = Chat(), asyncio.Event()

    @chat.events.on("hangs")
    async def hangs(session: EventSession) -> None:
        running.set()
        await asyncio.Event().wait()

    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await ada.wire.say('2["hangs"]')
        async with within():
            await running.wait()
        await cut(place, ada)
        async with within():
            await place.stop()
        assert chat.seen == [CONNECTED, ("disconnect", "server shutting down")]


async def test_who_is_put_out_before_its_answer_had_room_is_told_so_behind_that() -> None:
    events = Events()
    main: list[EventSession] = []
    others: list[EventSession] = []
    events.on("connect")(main.append)
    other = events.namespace("/other")
    other.on("connect")(others.append)
    async with chatting(events, RECOVERY, max_outbox=4) as place:
        ada = Going(place, "/other")
        await ada.connect()
        (session,) = others
        machine = session.session._machine
        writable(session, False)
        while machine.outbox.has_room(1):
            await session.emit("x")
        await ada.wire.say("0")
        await eventually(lambda: session.session._senders)
        await main[0].disconnect()
        writable(session, True)
        for _ in range(4):
            assert await ada.take() == ["x"]
        assert str(await ada.wire.news()).startswith("0{")
        assert await ada.wire.news() == "1"
        assert events._away is not None
        assert list(events._away._by_pid.values()) == others
        await ada.wire.say("0")  # nobody is in it: it may come again
        assert str(await ada.wire.news()).startswith("0{")
        assert len(main) == 2


async def test_who_is_put_out_while_it_catches_up_is_sent_no_more() -> None:
    chat: Chat = Chat()
    async with chatting(chat.events, RECOVERY | {"recovery_events": 2000}, max_outbox=2000) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        session = chat.sessions[0]
        for number in range(1000):
            await session.emit("number", number)
        coming = asyncio.create_task(ada.connect())
        await eventually(lambda: session._keeping is not None and session.session._machine.outbox.appended > 256)
        await session.disconnect()
        await coming
        heard: list[Any] = []
        async with within():
            while "1" not in heard:
                heard.append(await ada.wire.news())
        await ada.wire.say("0")
        assert str(await ada.wire.news()).startswith("0{")
