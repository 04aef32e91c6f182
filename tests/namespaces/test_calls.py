"""Calls of the server, and the order of a client's events: what waits for what, and how much may."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from realtime.core.errors import EventError, LocalProtocolError, SendBufferFull, SessionClosed
from realtime.events import calls
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession

from ..patience import within
from ..web.place import eventually
from .place import Client, chatting, client

pytestmark = pytest.mark.usefixtures("quiet_log")

KINDS = pytest.mark.parametrize("kind", ["native", "long_polling", "engine"])


@pytest.fixture
def events() -> Events:
    return Events()


async def joined(place: Any, kind: str, sessions: list[EventSession]) -> tuple[Client, EventSession]:
    """A client that is in, and its session."""
    one = await client(place, kind)
    sid = await one.connect()
    return one, next(session for session in sessions if session.id == sid)


@pytest.fixture
def sessions(events: Events) -> list[EventSession]:
    """Those that have come in."""
    seen: list[EventSession] = []
    events.on("connect")(lambda session: seen.append(session))
    return seen


@KINDS
async def test_answers(kind: str, events: Events, sessions: list[EventSession]) -> None:
    async with chatting(events) as place:
        one, session = await joined(place, kind, sessions)
        answers = [("[]", None), ("[null]", None), ('["a"]', "a"), ("[[1]]", [1]), ("[1,2]", [1, 2])]
        for number, (said, value) in enumerate(answers):
            calling = asyncio.create_task(session.call("ask", number, b"x"))
            assert await one.take(2) == [f'51-{number}["ask",{number},{{"_placeholder":true,"num":0}}]', b"x"]
            await one.say(f"3{number}{said}", f'3{number}["again"]')
            async with within():
                assert await calling == value
        calling = asyncio.create_task(session.call("ask", timeout=None))
        await one.news()
        await one.say('35[{"_error":"full","message":"no","data":1}]')
        async with within():
            with pytest.raises(EventError) as caught:
                await calling
        assert (caught.value.code, caught.value.message, caught.value.data) == ("full", "no", 1)
        with pytest.raises(TimeoutError):
            await session.call("ask", timeout=0.01)
        assert await one.news() == '26["ask"]'
        await one.say('36["late"]', '399["never asked"]')
        with pytest.raises(TypeError, match="not object"):
            await session.call("ask", object())
        assert len(session._home.calls) == 0


@KINDS
async def test_calls_end_with_the_session_and_with_the_namespace(
    kind: str, events: Events, sessions: list[EventSession]
) -> None:
    async with chatting(events) as place:
        one, session = await joined(place, kind, sessions)
        calling = asyncio.create_task(session.call("ask", timeout=None))
        await one.news()
        await one.say("1")
        async with within():
            with pytest.raises(SessionClosed, match="client namespace disconnect"):
                await calling
        await one.connect()
        calling = asyncio.create_task(sessions[-1].call("ask", timeout=None))
        await one.news()
        sessions[-1].session._machine.end(3000, "over", 0.0)
        async with within():
            with pytest.raises(SessionClosed, match="3000"):
                await calling


@KINDS
async def test_events_behind_a_handler_that_calls(kind: str, events: Events, sessions: list[EventSession]) -> None:
    """Three windows of them: the answer comes behind, and must not wait for the handler which waits for it."""
    order: list[Any] = []

    @events.on("begin")
    async def begin(session: EventSession) -> str:
        order.append("begin")
        answer = await session.call("ask", timeout=60)
        again = await session.call("ask again", timeout=60)
        order.append((answer, again))
        return "done"

    @events.on("next")
    async def following(session: EventSession, number: int) -> int:
        order.append(number)
        return number

    async with chatting(events) as place:
        one, session = await joined(place, kind, sessions)
        await one.say('20["begin"]')
        assert await one.news() == '20["ask"]'
        for start in range(0, 768, 64):
            await one.say(*(f'2{start + at}["next",{start + at}]' for at in range(64)))
            await eventually(lambda start=start: len(session._home._ahead) == start + 64)  # type: ignore[misc, attr-defined]
        assert order == ["begin"]
        await one.say('30["first"]')
        assert await one.news() == '21["ask again"]'
        await one.say('31["second"]')
        assert await one.news() == '30["done"]'
        acks = [json.loads(str(await one.news()).partition("[")[2].rstrip("]")) for _ in range(768)]
        assert acks == list(range(768))
        assert order == ["begin", ("first", "second"), *range(768)]


@pytest.mark.parametrize("kind", ["native", "engine"])
@pytest.mark.parametrize("limit", [{"max_waiting": 20}, {"max_waiting_size": 65_536}])
async def test_too_many_behind_a_handler_that_calls(kind: str, limit: dict[str, Any]) -> None:
    events = Events(**limit)
    ended: list[Any] = []

    @events.on("begin")
    async def begin(session: EventSession) -> None:
        try:
            await session.call("ask", timeout=60)
        except SessionClosed as closed:
            ended.append(closed.code)
            raise

    @events.on("disconnect")
    def disconnect(session: EventSession, reason: str) -> None:
        ended.append(reason)

    async with chatting(events) as place:
        one = await client(place, kind)
        await one.connect()
        await one.say('2["begin"]')
        await one.news()
        size = 1 if "max_waiting" in limit else 4000
        await one.say(*(f'2["next","{"x" * size}"]' for _ in range(21)))
        assert await one.closed() in (1000, 1008)
        await eventually(lambda: len(ended) == 2)
        assert ended == [1008, "forced server close"]


async def test_without_a_call_the_window_waits_for_the_handler(events: Events, sessions: list[EventSession]) -> None:
    go = asyncio.Event()

    @events.on("slow")
    async def slow(session: EventSession) -> None:
        await go.wait()

    async with chatting(events, max_queue=16) as place:
        one, session = await joined(place, "native", sessions)
        await one.say('2["slow"]')
        await eventually(lambda: session.session._machine.inbox.taken == 2)
        await one.say(*['2["slow"]'] * 16)
        await eventually(lambda: session.session._machine.inbox.received == 18)
        assert session.session._machine.inbox.taken == 2
        assert not session._home._ahead  # type: ignore[attr-defined]
        # One from outside the handlers is answered all the same, and then the window waits again.
        calling = asyncio.create_task(session.call("ask", timeout=60))
        await one.news()
        await eventually(lambda: session.session._machine.inbox.taken == 18)
        await one.say('30["answer"]', *['2["slow"]'] * 15)
        async with within():
            assert await calling == "answer"
        taken = session.session._machine.inbox.taken
        await asyncio.sleep(0)
        assert session.session._machine.inbox.taken == taken < 34
        go.set()
        await eventually(lambda: session.session._machine.inbox.taken == 34)


async def test_a_call_that_was_given_up_reads_no_further(events: Events, sessions: list[EventSession]) -> None:
    go = asyncio.Event()

    @events.on("slow")
    async def slow(session: EventSession) -> str:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await session.call("ask", timeout=0.001)
        await go.wait()
        return str(await session.call("once more", timeout=60))

    async with chatting(events) as place:
        one, session = await joined(place, "native", sessions)
        await one.say('20["slow"]')
        assert await one.take(3) == [f'2{number}["ask"]' for number in range(3)]
        await eventually(lambda: session._home._reader is None and not session._home.calls)  # type: ignore[attr-defined]
        taken = session.session._machine.inbox.taken
        await one.say('21["slow"]')
        await eventually(lambda: session.session._machine.inbox.received == 3)
        assert session.session._machine.inbox.taken == taken
        go.set()
        assert await one.news() == '23["once more"]'
        await one.say('33["yes"]')
        assert await one.news() == '30["yes"]'


@KINDS
async def test_concurrent_handlers(kind: str, events: Events, sessions: list[EventSession]) -> None:
    running: list[int] = []
    most: list[int] = []
    gates = [asyncio.Event() for _ in range(6)]

    @events.on("search", concurrent=2)
    async def search(session: EventSession, number: int) -> int:
        running.append(number)
        most.append(len(running))
        await gates[number].wait()
        running.remove(number)
        return number

    @events.on("other")
    def other(session: EventSession) -> str:
        return "at once"

    async with chatting(events) as place:
        one, session = await joined(place, kind, sessions)
        await one.say('20["search",0]', '21["search",1]', '22["other"]', '23["search",2]', '24["other"]')
        assert await one.news() == '32["at once"]'
        await eventually(lambda: running == [0, 1])
        gates[1].set()
        assert await one.take(2) == ["31[1]", '34["at once"]']  # in that order: the third search had to wait
        await eventually(lambda: running == [0, 2])
        gates[2].set()
        gates[0].set()
        assert sorted(map(str, await one.take(2))) == ["30[0]", "33[2]"]
        assert max(most) == 2
        await one.say('25["search",3]', '26["search",4]', '27["search",5]')
        await eventually(lambda: running == [3, 4])
        session.session._machine.end(3000, "over", 0.0)
        for gate in gates:
            gate.set()


async def test_handlers_that_are_registered_anew_are_forgotten(events: Events, sessions: list[EventSession]) -> None:
    """One for each event, of a session that lives for weeks."""

    async def again(session: EventSession) -> str:
        events._listeners.remove("again")
        events.on("again", concurrent=2)(again)
        return "yes"

    events.on("again", concurrent=2)(again)
    async with chatting(events) as place:
        one, session = await joined(place, "native", sessions)
        for number in range(5):
            await one.say(f'2{number}["again"]')
            assert await one.news() == f'3{number}["yes"]'
        assert len(session._home._beside) <= 2  # type: ignore[attr-defined]


async def test_what_runs_beside_ends_with_the_handler(events: Events) -> None:
    cancelled: list[str] = []

    @events.on("hangs", concurrent=5)
    async def hangs(session: EventSession) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("yes")
            raise

    async with chatting(events, close_timeout=0.05) as place:
        one = await client(place)
        await one.connect()
        await one.say('2["hangs"]', '2["hangs"]', '21["nobody"]')
        await one.news()
        await one.peer.send("c1000,")  # type: ignore[attr-defined]
        await eventually(lambda: cancelled == ["yes", "yes"])
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)


async def test_too_many_calls(events: Events, sessions: list[EventSession], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_CALLS", 2)
    async with chatting(events) as place:
        _, session = await joined(place, "native", sessions)
        waiting = [asyncio.create_task(session.call("ask", timeout=60)) for _ in range(2)]
        await eventually(lambda: len(session._home.calls) == 2)
        with pytest.raises(LocalProtocolError, match="2 calls"):
            await session.call("ask")
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert not session._home.calls


async def test_while_a_client_comes_in(events: Events) -> None:
    raised: list[type[Exception]] = []

    @events.on("connect")
    async def connect(session: EventSession) -> None:
        with pytest.raises(LocalProtocolError, match="not while"):
            await session.call("ask")
        await session.join("room")
        await session.emit("first")
        await events.room("room").emit("second")
        await session.emit("third", b"bytes")
        try:
            for _ in range(5):
                await session.emit("more")
        except SendBufferFull as full:
            raised.append(type(full))

    async with chatting(events, max_outbox=6) as place:
        one = await client(place)
        await one.connect()
        # There was no room for all of it; the reply comes first, whatever is dropped.
        said = [await one.news()]
        while said[-1] != '2["more"]':
            said.append(await one.news())
        assert raised == [SendBufferFull]


@KINDS
async def test_an_event_of_which_a_part_was_read_ahead(kind: str, events: Events, sessions: list[EventSession]) -> None:
    """Its text comes while a handler calls, its bytes during the next call, or when that has ended."""
    seen: list[Any] = []
    again = asyncio.Event()

    @events.on("begin")
    async def begin(session: EventSession) -> None:
        await session.call("ask", timeout=60)
        asyncio.get_running_loop().call_soon(again.set)
        await again.wait()
        await session.call("ask again", timeout=60)

    @events.on("bytes")
    async def take(session: EventSession, *args: Any) -> None:
        seen.append(args)

    place_of = '{"_placeholder":true,"num":'
    async with chatting(events) as place:
        one, session = await joined(place, kind, sessions)
        await one.say('2["begin"]')
        assert await one.news() == '20["ask"]'
        await one.say(f'52-["bytes",{place_of}1}},{{"a":{place_of}0}}}}]', b"1", b"2")
        await eventually(lambda: len(session._home._ahead) == 1)  # type: ignore[attr-defined]
        await one.say(f'52-["bytes",{place_of}0}},{place_of}1}}]', b"3")
        await eventually(lambda: len(session._home._begun) == 2)  # type: ignore[attr-defined]
        session._home.calls.answer("/", 0, [])  # as an ack would, which can't come between
        assert await one.news() == '21["ask again"]'
        await one.say(b"4", f'51-["bytes",{place_of}0}}]')
        await eventually(lambda: len(session._home._begun) == 1)  # type: ignore[attr-defined]
        session._home.calls.answer("/", 1, [])
        await eventually(lambda: len(seen) == 2)
        await one.say(b"5", '2["bytes"]')
        await eventually(lambda: len(seen) == 4)
        assert seen == [(b"2", {"a": b"1"}), (b"3", b"4"), (b"5",), ()]
        assert session._home._begun == []  # type: ignore[attr-defined]


async def test_who_takes_nothing_is_put_out_at_once(events: Events, sessions: list[EventSession]) -> None:
    """The application does not wait until there is room to tell the client so. What was sent before comes before."""
    left: list[str] = []
    events.on("disconnect")(lambda session, reason: left.append(reason))
    async with chatting(events, max_outbox=6) as place:
        one, session = await joined(place, "native", sessions)  # who acknowledges nothing unless it reads
        outbox, count = session.session._machine.outbox, 0
        await eventually(lambda: not len(outbox))
        while outbox.has_room(1, 1):
            await session.emit("more")
            count += 1
        async with within("until it is out"):
            await session.disconnect()
        assert left == ["server namespace disconnect"]
        assert not outbox.has_room(1, 1)
        assert await one.take(count + 1) == [*['2["more"]'] * count, "1"]
