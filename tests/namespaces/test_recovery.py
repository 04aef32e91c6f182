"""Clients of Socket.IO that go on where they were, in another session of Engine.IO's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

import realtime
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession
from realtime.protocols.engineio.machine import EngineMachine
from realtime.protocols.engineio.socketio import SocketIO
from realtime.testing import VirtualClock

from ..patience import within
from ..web.place import Place, eventually, serving
from .going import Chat, Going
from .place import chatting, client

RECOVERY: dict[str, Any] = {"recovery": 60.0}


async def cut(place: Place, one: Going) -> None:
    """The connection of a client is lost, and the server has noticed that."""
    await one.wire.drop()
    await eventually(lambda: len(place.rt) == 0)


async def test_who_comes_back_has_what_it_missed() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect(token=1)
        assert not ada.recovered
        sid = ada.sid
        await chat.events.emit("number", 0)
        assert await ada.take() == ["number", 0]
        await cut(place, ada)
        session = chat.sessions[0]
        assert not session.closed
        await session.emit("number", 1)
        await chat.events.room("lobby").emit("number", 2)
        await chat.events.emit("number", 3, b"\x00\xff")
        await session.emit("forgotten", volatile=True)
        await ada.connect(token=2)
        assert ada.recovered
        assert ada.sid == sid == session.id
        assert [await ada.take() for _ in range(3)] == [
            ["number", 1],
            ["number", 2],
            ["number", 3, {"_placeholder": True, "num": 0}, b"\x00\xff"],
        ]
        await session.emit("number", 4)
        assert await ada.take() == ["number", 4]
        assert chat.sessions == [session, session]
        assert session.rooms == {"lobby"}
        assert session.data == {"name": "ada"}
        assert session.auth == {"token": 2}
        assert chat.seen == [("connect", False, {"token": 1}), ("connect", True, {"token": 2})]
        await ada.wire.say("1")
        await eventually(lambda: chat.seen[-1] == ("disconnect", "client namespace disconnect"))
        assert session.closed


async def test_the_server_never_noticed() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        session = chat.sessions[0]
        for number in range(3):
            await session.emit("number", number)
        assert await ada.take() == ["number", 0]
        before = ada.wire
        await ada.connect()
        assert ada.recovered
        assert [await ada.take() for _ in range(2)] == [["number", 1], ["number", 2]]
        await before.closed()
        await eventually(lambda: len(place.rt) == 1)
        assert [kind for kind, *_ in chat.seen] == ["connect", "connect"]


async def test_without_an_event() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        await chat.events.emit("number", 1)
        for number in (2, 3):
            await ada.connect()
            assert ada.recovered
            await chat.events.emit("number", number)
            assert [await ada.take() for _ in range(number)] == [["number", one + 1] for one in range(number)]
            ada.offset = None  # as if it had had none of these
            await cut(place, ada)


async def test_again_and_again() -> None:
    chat, sent = Chat(), iter(range(10_000))
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        for round_ in range(8):
            for _ in range(3):
                await chat.events.emit("number", next(sent))
            for _ in range(2):
                await ada.take()
            if round_ % 2:
                await cut(place, ada)
            await chat.events.emit("number", next(sent))
            await ada.connect()
            assert ada.recovered
        last = next(sent)
        await chat.events.emit("number", last)
        while ada.had[-1] != ["number", last] if ada.had else True:
            await ada.take()
        assert ada.had == [["number", number] for number in range(last + 1)]


async def test_after_the_window() -> None:
    chat, clock = Chat(), VirtualClock()
    async with chatting(chat.events, RECOVERY, clock=clock) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        clock.advance(59.0)
        assert chat.seen == [("connect", False, {})]
        clock.advance(1.0)
        await eventually(lambda: chat.seen[-1] == ("disconnect", "transport close"))
        assert chat.sessions[0].closed
        assert chat.sessions[0].rooms == frozenset()
        with pytest.raises(realtime.SessionClosed):
            await chat.sessions[0].emit("number", 1)
        await ada.connect()
        assert not ada.recovered
        assert len(chat.sessions) == 2
        assert chat.sessions[1] is not chat.sessions[0]
        assert len(chat.seen) == 3
        assert not place.rt._service.sessions.handlers._beside


async def test_the_window_of_who_could_not_come_while_the_process_stood_still_begins_anew() -> None:
    chat, clock = Chat(), VirtualClock()
    async with chatting(chat.events, RECOVERY, clock=clock) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        clock._now += 300.0
        clock.advance(0.0)  # what is due comes late
        clock.advance(59.0)
        await ada.connect()
        assert ada.recovered
        await cut(place, ada)
        clock.advance(60.0)
        await eventually(lambda: chat.seen[-1] == ("disconnect", "transport close"))


@pytest.mark.parametrize("wrong", ["offset", "pid", "types", "long"])
async def test_what_nobody_knows_is_an_ordinary_connect(wrong: str) -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY | {"recovery_events": 1}) as place:
        ada = Going(place)
        await ada.connect()
        for number in range(2):
            await chat.events.emit("number", number)
            await ada.take()
        pid, sid = ada.pid, ada.sid
        await cut(place, ada)
        if wrong == "offset":
            ada.offset = "unknown"
        elif wrong == "pid":
            ada.pid = "unknown"
        elif wrong == "long":
            ada.offset = "x" * 129
        else:
            ada.offset = 5  # type: ignore[assignment]
        await ada.connect()
        assert not ada.recovered
        assert (ada.pid, ada.sid) != (pid, sid)
        # Where it was known, and can't go on, nobody waits for it any more.
        gone = [("disconnect", "transport close")] if wrong == "offset" else []
        assert chat.seen == [("connect", False, {}), *gone, ("connect", False, {})]


async def test_an_offset_of_a_session_before() -> None:
    """A client that came in anew keeps the offset that it had, until there is an event."""
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await chat.events.emit("number", 1)
        await ada.take()
        await chat.sessions[0].disconnect()
        assert await ada.wire.news() == "1"
        await ada.connect()
        assert not ada.recovered
        await chat.events.emit("number", 2)
        await ada.connect()
        assert ada.recovered
        assert await ada.take() == ["number", 2]


@pytest.mark.parametrize("options", [{"recovery_events": 3}, {"recovery_size": 100}], ids=["events", "size"])
async def test_what_is_kept_is_bounded(options: dict[str, Any]) -> None:
    chat = Chat()
    text = "x" * 10
    async with chatting(chat.events, RECOVERY | options) as place:
        ada = Going(place)
        await ada.connect()
        for _ in range(5):
            await chat.events.emit("text", text)
            await ada.take()
        await cut(place, ada)
        for _ in range(2):
            await chat.events.emit("text", text)
        await ada.connect()
        assert ada.recovered
        assert [await ada.take() for _ in range(2)] == [["text", text]] * 2
        await cut(place, ada)
        assert not chat.sessions[0].closed
        for _ in range(4):
            await chat.events.emit("text", text)
        await eventually(lambda: chat.seen[-1] == ("disconnect", "transport close"))
        await ada.connect()
        assert not ada.recovered


async def test_who_is_away_is_bounded() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY | {"max_away": 2}) as place:
        everybody = [Going(place) for _ in range(3)]
        for one in everybody:
            await one.connect()
            await cut(place, one)
        await eventually(lambda: chat.seen[-1] == ("disconnect", "transport close"))
        for one, recovered in zip(everybody, (False, True, True), strict=True):
            await one.connect()
            assert one.recovered == recovered


async def test_of_one_identity() -> None:
    chat = Chat()
    options = RECOVERY | {"max_away_per_identity": 1}
    async with chatting(chat.events, options) as place:
        names = iter(["ada", "ada", "grace", "grace", "ada"])

        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str:
            return next(names)

        first, second, other = Going(place), Going(place), Going(place)
        for one in (first, second, other):
            await one.connect()
            await cut(place, one)
        await eventually(lambda: [kind for kind, *_ in chat.seen].count("disconnect") == 1)
        second.wire, pid = other.wire, second.pid
        await second.connect()  # as grace: that is not hers
        assert not second.recovered
        second.pid = pid
        await second.connect()
        assert second.recovered


async def test_an_identity_that_is_closed_can_not_go_on() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:

        @place.rt.authorize
        async def who(request: realtime.SessionRequest) -> str:
            return "ada"

        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        assert await place.rt.close_identity("grace") == 0
        assert not chat.sessions[0].closed
        await place.rt.close_identity("ada")
        await eventually(lambda: chat.seen[-1] == ("disconnect", "forced server close"))
        await ada.connect()
        assert not ada.recovered


async def _closes(place: Place, session: EventSession, one: Going) -> None:
    await session.session.close()


async def _puts_out(place: Place, session: EventSession, one: Going) -> None:
    await session.disconnect()


async def _leaves(place: Place, session: EventSession, one: Going) -> None:
    await one.wire.say("1")


async def _breaks(place: Place, session: EventSession, one: Going) -> None:
    await one.wire.say("9")


async def _withdraws(place: Place, session: EventSession, one: Going) -> None:
    session.session._machine.end(4401, "", session.session._now())


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (_closes, "transport close"),
        (_puts_out, "server namespace disconnect"),
        (_leaves, "client namespace disconnect"),
        (_breaks, "parse error"),
        (_withdraws, "forced server close"),
    ],
)
async def test_an_end_that_is_meant_is_one(
    end: Callable[[Place, EventSession, Going], Awaitable[None]], reason: str
) -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await end(place, chat.sessions[0], ada)
        await eventually(lambda: chat.seen[-1] == ("disconnect", reason))
        await ada.connect()
        assert not ada.recovered


async def test_who_is_away_can_be_put_out() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        await chat.sessions[0].disconnect()
        assert chat.seen[-1] == ("disconnect", "server namespace disconnect")
        await chat.sessions[0].disconnect()
        await ada.connect()
        assert not ada.recovered


async def test_a_shutdown_tells_of_who_is_away() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        async with within():
            await place.stop()
        assert chat.seen[-1] == ("disconnect", "server shutting down")


async def test_namespaces_go_on_each_by_itself() -> None:
    chat = Chat()
    told: list[Any] = []
    admin = chat.events.namespace("/admin")
    admin.on("connect")(lambda session: told.append(session.recovered))
    admin.on("disconnect")(lambda session, reason: told.append(reason))
    async with chatting(chat.events, RECOVERY) as place:
        main, other = Going(place), Going(place, "/admin")
        await main.connect()
        await other.connect(main.wire)
        await admin.emit("number", 1)
        assert await other.take() == ["number", 1]
        await chat.events.emit("number", 2)
        await admin.emit("number", 3)
        before = main.wire
        await main.connect()
        assert main.recovered
        assert await main.take() == ["number", 2]
        await admin.emit("number", 4)
        await other.connect(main.wire)
        assert other.recovered
        assert [await other.take() for _ in range(2)] == [["number", 3], ["number", 4]]
        await before.closed()
        assert told == [False, True]
        await cut(place, main)
        stolen = Going(place)
        stolen.pid = other.pid  # of another namespace
        await stolen.connect()
        assert not stolen.recovered


async def test_what_came_before_the_cut_is_handled_first() -> None:
    chat, running, go = Chat(), asyncio.Event(), asyncio.Event()

    @chat.events.on("slow")
    async def slow(session: EventSession, number: int) -> str:
        running.set()
        await go.wait()
        chat.seen.append(number)
        await session.emit("number", number)
        return "nobody hears this"

    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await ada.wire.say('20["slow",1]', '21["slow",2]')
        async with within():
            await running.wait()
        await eventually(lambda: len(chat.sessions[0].session._machine.inbox.items) == 1)
        coming = asyncio.create_task(ada.connect())
        await eventually(lambda: chat.sessions[0].session.closed)
        go.set()
        await coming
        await ada.wire.say('22["said",3]')
        assert ada.recovered
        assert [await ada.take() for _ in range(2)] == [["number", 1], ["number", 2]]
        await eventually(lambda: chat.seen[-1] == (3,))
        assert chat.seen == [("connect", False, {}), 1, 2, ("connect", True, {}), (3,)]


async def test_who_comes_back_does_not_wait_for_concurrent_handlers() -> None:
    chat, running, go = Chat(), asyncio.Event(), asyncio.Event()

    @chat.events.on("slow", concurrent=2)
    async def slow(session: EventSession) -> None:
        running.set()
        await go.wait()
        await session.emit("number", 1)

    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await ada.wire.say('2["slow"]')
        async with within():
            await running.wait()
        await ada.connect()
        assert ada.recovered
        go.set()
        assert await ada.take() == ["number", 1]


async def test_a_late_answer_is_nobody_elses() -> None:
    """A client may answer in another session than it was asked in: calls of both have different numbers."""
    chat = Chat()
    assert next(chat.events._bound.numbers) != next(Events()._bound.numbers)  # nor does another worker count like this
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        calling = asyncio.create_task(chat.sessions[0].call("ask", timeout=None))
        assert await ada.wire.news() == '20["ask"]'
        await cut(place, ada)
        with pytest.raises(realtime.SessionClosed):
            await calling
        with pytest.raises(realtime.SessionClosed):
            await chat.sessions[0].call("ask")
        await ada.connect()
        again = asyncio.create_task(chat.sessions[0].call("ask", timeout=None))
        asked = str(await ada.wire.news())
        assert asked.endswith('["ask"]')
        number = asked[1:].removesuffix('["ask"]')
        assert number != "0"
        await ada.wire.say('30["late"]', f'3{number}["right"]')
        assert await again == "right"


async def test_what_connect_sends_comes_behind_what_was_missed() -> None:
    events = Events()
    called: list[object] = []

    @events.on("connect")
    async def connect(session: EventSession) -> None:
        await session.emit("hello", session.recovered)
        with pytest.raises(realtime.LocalProtocolError):
            await session.call("ask")
        called.append(session)

    async with chatting(events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        assert await ada.take() == ["hello", False]
        await cut(place, ada)
        await events.emit("number", 1)
        await ada.connect()
        assert [await ada.take() for _ in range(2)] == [["number", 1], ["hello", True]]
        assert len(called) == 2


async def test_connect_may_refuse_who_comes_back(quiet_log: pytest.LogCaptureFixture) -> None:
    chat = Chat()

    @chat.events.use
    async def only_once(session: EventSession, event: str, args: list[Any], proceed: Callable[[], Any]) -> Any:
        if event == "connect" and session.recovered:
            raise realtime.Unauthorized("not again")
        return await proceed()

    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        one = await client(place, "engine")
        await one.say(f'0{{"pid":"{ada.pid}"}}')
        assert await one.news() == '4{"message":"not again"}'
        assert chat.seen == [("connect", False, {}), ("disconnect", "forced server close")]
        assert chat.sessions[0].closed


async def test_a_cut_while_it_comes_back_is_another_cut() -> None:
    events, running, go = Events(), asyncio.Event(), asyncio.Event()
    seen: list[Any] = []

    @events.on("connect")
    async def connect(session: EventSession) -> None:
        if session.recovered and not running.is_set():
            running.set()
            await go.wait()

    events.on("disconnect")(lambda session, reason: seen.append(reason))
    async with chatting(events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        await events.emit("number", 1)
        coming = asyncio.create_task(ada.connect())
        async with within():
            await running.wait()
        coming.cancel()
        await asyncio.wait({coming})
        await cut(place, ada)
        again = Going(place)
        again.pid = ada.pid
        back = asyncio.create_task(again.connect())
        await eventually(lambda: len(place.rt) == 1)
        go.set()
        await back
        assert again.recovered
        assert await again.take() == ["number", 1]
        assert seen == []


async def test_a_cut_while_it_waits_for_a_handler_leaves_it_away() -> None:
    chat, running, go = Chat(), asyncio.Event(), asyncio.Event()

    @chat.events.on("slow")
    async def slow(session: EventSession) -> None:
        running.set()
        await go.wait()

    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await ada.wire.say('2["slow"]')
        async with within():
            await running.wait()
        coming = asyncio.create_task(ada.connect())
        await eventually(lambda: chat.sessions[0].session.closed)
        coming.cancel()
        await asyncio.wait({coming})
        await cut(place, ada)
        go.set()
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
        await chat.sessions[0].emit("number", 1)
        await ada.connect()
        assert ada.recovered
        assert await ada.take() == ["number", 1]


async def test_two_that_wait_for_a_handler_the_last_has_it() -> None:
    chat, running, go = Chat(), asyncio.Event(), asyncio.Event()

    @chat.events.on("slow")
    async def slow(session: EventSession) -> None:
        running.set()
        await go.wait()

    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await ada.wire.say('2["slow"]')
        async with within():
            await running.wait()
        both = [Going(place), Going(place)]
        coming = []
        for number, one in enumerate(both):
            one.pid = ada.pid
            coming.append(asyncio.create_task(one.connect(number=number)))
        await eventually(lambda: len(place.rt) == 2)
        home = chat.sessions[0]._home
        await eventually(lambda: home._ending is not None and len(home._ending._waiters) == 2)  # type: ignore[attr-defined]
        go.set()
        await asyncio.wait(coming)
        await eventually(lambda: len(place.rt) == 1)
        last = both[chat.sessions[0].auth["number"]]
        await chat.events.emit("number", 1)
        assert await last.take() == ["number", 1]
        assert chat.sessions == [chat.sessions[0]] * 3


async def test_each_absence_has_its_own_window() -> None:
    chat, clock = Chat(), VirtualClock()
    async with chatting(chat.events, RECOVERY, clock=clock) as place:
        ada = Going(place)
        await ada.connect()
        for _ in range(3):
            await cut(place, ada)
            clock.advance(40.0)
            await ada.connect()
            assert ada.recovered
        assert [kind for kind, *_ in chat.seen].count("disconnect") == 0


async def test_two_at_once_the_last_has_it() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        await chat.events.emit("number", 1)
        both = [Going(place), Going(place)]
        for one in both:
            one.pid = ada.pid
        results = await asyncio.gather(*(one.connect() for one in both), return_exceptions=True)
        await eventually(lambda: len(place.rt) == 1)
        await chat.events.emit("number", 2)
        for one, result in zip(both, results, strict=True):
            with suppress(AssertionError):  # one was cut off
                while result is None and ["number", 2] not in one.had:
                    await one.take()
        (last,) = [one for one in both if ["number", 2] in one.had]
        assert last.recovered
        assert last.had == [["number", 1], ["number", 2]]
        assert [kind for kind, *_ in chat.seen].count("disconnect") == 0


async def test_volatile_events_do_not_take_the_place_of_offsets() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        session = chat.sessions[0]
        await session.emit("typing", "grace", volatile=True)
        assert await ada.take() == ["typing", "grace"]
        assert ada.offset is not None
        await cut(place, ada)
        await session.emit("number", 1)
        await ada.connect()
        assert ada.recovered
        assert await ada.take() == ["number", 1]
        await chat.events.emit("typing", 1, volatile=True)
        assert await ada.wire.news() == '2["typing",1]'
        await chat.events.emit("typing", "x", volatile=True)
        assert await ada.take() == ["typing", "x"]
        await cut(place, ada)
        await ada.connect()
        assert ada.recovered


async def test_others_get_no_offset() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        old, native, new = await client(place, "engine", 3), await client(place), Going(place)
        assert str(await old.news()).startswith("0")
        await native.connect()
        await new.connect()
        await chat.events.emit("number", 1)
        assert await old.news() == '2["number",1]'
        assert await native.news() == '2["number",1]'
        assert await new.take() == ["number", 1]
        assert new.offset is not None


async def test_without_recovery_nothing_is_added() -> None:
    chat = Chat()
    async with chatting(chat.events) as place:
        one = await client(place, "engine")
        await one.say('0{"pid":"x","offset":"y"}')
        assert "pid" not in str(await one.news())
        await chat.events.emit("text", "x")
        assert await one.news() == '2["text","x"]'
        assert chat.seen == [("connect", False, {"pid": "x", "offset": "y"})]


async def test_rooms_with_history(quiet_log: pytest.LogCaptureFixture) -> None:
    """What a join reads is sent, and kept, like all that comes."""
    chat = Chat()
    rt = realtime.Server(shutdown_timeout=0.3)
    rt.configure_rooms("/#kept", history=10)
    rt.endpoint("/chat", socketio=SocketIO(**RECOVERY))(chat.events)

    @chat.events.on("join")
    async def join(session: EventSession) -> None:
        await session.join("kept", history=10)

    async with serving(rt) as place:
        kept = chat.events.room("kept")
        for number in range(2):
            await kept.emit("number", number)
        ada = Going(place)
        await ada.connect()
        await ada.wire.say('2["join"]')
        assert await ada.take() == ["number", 0]
        await kept.emit("number", 2)
        await cut(place, ada)
        await kept.emit("number", 3)
        await rt.room("/#kept").send(b"\x01")
        await ada.connect()
        assert ada.recovered
        assert [await ada.take() for _ in range(3)] == [["number", number] for number in (1, 2, 3)]
        assert await ada.take() == ["message", {"_placeholder": True, "num": 0}, b"\x01"]
        await kept.emit("number", 4)
        assert await ada.take() == ["number", 4]


async def test_an_emit_that_waits_for_room_is_kept() -> None:
    """Its client is cut off meanwhile: what waits is sent to it when it is back, in its place."""
    chat = Chat()
    async with chatting(chat.events, RECOVERY, max_outbox=2) as place:
        ada = Going(place)
        await ada.connect()
        session = chat.sessions[0]
        machine = session.session._machine
        carrier = machine.carrier
        assert carrier is not None
        carrier.link.writable = False  # type: ignore[misc] # the client reads no more
        sending = [asyncio.create_task(session.emit("number", number)) for number in range(4)]
        await eventually(lambda: session.session._senders == 2)
        machine.end(1006, "cut", session.session._now())
        for one in sending:
            await one
        await ada.connect()
        assert ada.recovered
        assert [await ada.take() for _ in range(4)] == [["number", number] for number in range(4)]


async def test_an_emit_to_who_is_being_closed_raises() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY, close_timeout=0.2) as place:
        ada = Going(place)
        await ada.connect()
        session = chat.sessions[0]
        machine = session.session._machine
        assert machine.carrier is not None
        machine.carrier.link.writable = False  # type: ignore[misc] # so that the close does not go out
        machine.close(1000, "", session.session._now())
        with pytest.raises(realtime.SessionClosed):
            await session.emit("number", 1)


async def test_what_is_not_kept_any_more_when_it_is_sent_ends_the_session() -> None:
    events = Events()
    told: list[Any] = []

    @events.on("connect")
    async def connect(session: EventSession) -> None:
        for number in range(5 if session.recovered else 0):
            await session.emit("number", number)

    events.on("disconnect")(lambda session, reason: told.append(reason))
    async with chatting(events, RECOVERY | {"recovery_events": 2}) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        await events.emit("number", -1)
        with pytest.raises(AssertionError):
            await ada.connect()
        await eventually(lambda: told == ["forced server close"])
        await ada.connect()
        assert not ada.recovered


async def test_what_a_client_can_not_be_sent_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as U+001E, where it comes back by polling."""
    chat = Chat()
    unfit = EngineMachine.unfit
    monkeypatch.setattr(
        EngineMachine, "unfit", lambda self, item: "no" if "bad" in str(item.data) else unfit(self, item)
    )
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        for number, text in enumerate(("good", "bad", "good")):
            await chat.events.emit("text", number, text)
        await ada.connect()
        assert [await ada.take() for _ in range(2)] == [["text", 0, "good"], ["text", 2, "good"]]


async def test_a_handler_that_never_ends_is_not_waited_for() -> None:
    """Its client comes in anew: what it sends now could overtake what it sent before."""
    chat, running, go = Chat(), asyncio.Event(), asyncio.Event()

    @chat.events.on("hangs")
    async def hangs(session: EventSession) -> None:
        running.set()
        while not go.is_set():
            with suppress(asyncio.CancelledError):
                await go.wait()

    async with chatting(chat.events, RECOVERY, close_timeout=0.05) as place:
        ada = Going(place)
        await ada.connect()
        await ada.wire.say('2["hangs"]')
        async with within():
            await running.wait()
        await ada.connect()
        assert not ada.recovered
        assert [kind for kind, *_ in chat.seen] == ["connect", "disconnect", "connect"]
        go.set()


async def test_what_an_event_loop_has_left_behind_is_forgotten() -> None:
    chat = Chat()
    async with chatting(chat.events, RECOVERY) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        handlers = place.rt._service.sessions.handlers
        assert ada.pid is not None
        assert handlers.has(ada.pid)
        place.rt._service.sessions.reset()
        assert not handlers.has(ada.pid)
        await ada.connect()
        assert not ada.recovered


async def test_other_workers_are_asked_once_for_a_session() -> None:
    chat, asked = Chat(), []

    class Nowhere:
        async def open(self, pid: str, request: Any) -> None:
            asked.append(pid)

    async with chatting(chat.events, RECOVERY) as place:
        place.rt._service.bridges = Nowhere()
        ada = Going(place)
        await ada.connect()
        own, theirs = ada.pid, f"xxxx.{'x' * 24}"
        one = await client(place, "engine")
        for pid in (own, "xxxx", theirs, theirs):
            await one.say(f'0/nowhere,{{"pid":"{pid}"}}')
            assert await one.news() == '4/nowhere,{"message":"Invalid namespace"}'
        assert asked == [theirs]


async def test_many_that_were_missed_are_sent_in_turns() -> None:
    """And what is sent meanwhile comes behind them."""
    chat, count = Chat(), 1000
    options = RECOVERY | {"recovery_events": 5000}
    async with chatting(chat.events, options, max_outbox=5000) as place:
        ada = Going(place)
        await ada.connect()
        await cut(place, ada)
        session = chat.sessions[0]
        keeping = session._keeping
        assert keeping is not None
        for number in range(count):
            await session.emit("number", number)
        coming = asyncio.create_task(ada.connect())
        meanwhile = 0
        async with within():
            while not keeping.live:
                if session.recovered:
                    await session.emit("number", count + meanwhile)
                    meanwhile += 1
                await asyncio.sleep(0)
        await coming
        await session.emit("number", count + meanwhile)
        assert meanwhile > 1
        assert [await ada.take() for _ in range(count + meanwhile + 1)] == [
            ["number", number] for number in range(count + meanwhile + 1)
        ]
