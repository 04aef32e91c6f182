"""What a handler is given, over real sockets and every transport: receiving, sending, flushing, closing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

import realtime
from realtime import LocalProtocolError, SendBufferFull, Session, SessionClosed
from realtime.testing import VirtualClock

from .patience import arrives
from .web.peer import HttpPeer, Peer, WebSocketPeer
from .web.place import Place, errors, eventually, serving


@pytest.fixture(params=["websocket", "long_polling", "polling"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving() as place:
        yield place


def pump(peer: Peer) -> asyncio.Task[list[str | bytes]]:
    """Reads (and acknowledges) beside the test, to the end of the session."""

    async def read() -> list[str | bytes]:
        frames: list[str | bytes] = []
        while True:
            frame = await peer.news()
            frames.append(frame)
            if isinstance(frame, str) and frame[0] in "xc":
                if isinstance(peer, HttpPeer):
                    await peer.confirm()
                return frames

    return asyncio.create_task(read())


async def turns(count: int = 5) -> None:
    """Lets everything that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


# -- receiving ---------------------------------------------------------------------------------------------------------


async def test_text_and_binary_arrive_as_they_are(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    await peer.send("mhello", b"\x00\xff", "m", b"", 'm["quotes \\ \u2028 \U0001f600"]')
    assert [await session.receive() for _ in range(5)] == [
        "hello",
        b"\x00\xff",
        "",
        b"",
        '["quotes \\ \u2028 \U0001f600"]',
    ]
    for message in ("hello", b"\x00\xff", "", b"", bytearray(b"a"), memoryview(b"b"), "\u2028\n\x00"):
        await session.send(message)
    assert await peer.take(7) == ["mhello", b"\x00\xff", "m", b"", b"a", b"b", "m\u2028\n\x00"]


async def test_iteration_yields_what_came_before_the_end(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    await peer.send("mone", "mtwo", "c3000,bye")
    await session.wait_closed()
    assert [message async for message in session] == ["one", "two"]
    assert (session.close_code, session.close_reason) == (3000, "bye")
    with pytest.raises(SessionClosed) as caught:
        await session.receive()
    assert (caught.value.code, caught.value.reason) == (3000, "bye")
    assert str(caught.value) == "the session was closed with 3000 (bye)"


async def test_a_receiver_that_waits_when_the_session_ends(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    waiting = [asyncio.create_task(session.receive()) for _ in range(2)]
    await turns()
    await peer.send("mlast", "c1000,")
    assert await waiting[0] == "last"
    with pytest.raises(SessionClosed):
        await waiting[1]


async def test_receivers_are_served_in_the_order_they_came(place: Place) -> None:
    peer, session = await place.parked("websocket")
    got: list[tuple[str, str | bytes]] = []

    async def receiver(name: str) -> None:
        while True:
            got.append((name, await session.receive()))

    tasks = [asyncio.create_task(receiver(name)) for name in "abc"]
    await turns()
    for number in range(6):
        await peer.send(f"m{number}")
        await eventually(lambda number=number: len(got) == number + 1)  # type: ignore[misc]
    assert got == [("a", "0"), ("b", "1"), ("c", "2"), ("a", "3"), ("b", "4"), ("c", "5")]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_burst_goes_to_all_receivers_and_to_one_that_came_late(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, session = await place.parked("polling")
    early = asyncio.create_task(session.receive())
    await turns()
    original = session._listener.readable
    late: list[asyncio.Task[str | bytes]] = []

    def readable() -> None:
        original()
        late.append(asyncio.create_task(session.receive()))

    # Receivers that come while one is woken.
    monkeypatch.setattr(type(session._listener), "readable", lambda listener: readable())
    await peer.send("m1", "m2", "m3", "m4")
    assert await early == "1"
    assert [await task for task in late[:3]] == ["2", "3", "4"]
    late[3].cancel()
    await asyncio.wait(late)
    assert session._listener.first is None


@pytest.mark.parametrize("turns_before", [0, 1, 2, 3])
async def test_cancelling_a_receiver_loses_nothing(
    place: Place, turns_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer, session = await place.parked("polling")
    first = asyncio.create_task(session.receive())
    second = asyncio.create_task(session.receive())
    await turns()
    original = session._listener.readable

    def readable() -> None:  # the cancellation and the message cross
        original()
        first.cancel()

    monkeypatch.setattr(type(session._listener), "readable", lambda listener: readable())
    await peer.send("mprecious")
    assert await second == "precious"
    assert first.cancelled()
    assert session._listener.first is None
    third = asyncio.create_task(session.receive())
    await turns(turns_before)
    third.cancel()
    await asyncio.wait([third])
    assert session._listener.first is None
    monkeypatch.undo()
    await peer.send("mmore")
    assert await session.receive() == "more"


async def test_drop_notes_of_the_peer_are_counted(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    events: list[str] = []
    session.on_change(events.append)
    await peer.send("mone", "d3", "d2", "mtwo")
    assert [await session.receive(), await session.receive()] == ["one", "two"]
    assert session.dropped == 5
    assert events.count("dropped") == 2


# -- sending -----------------------------------------------------------------------------------------------------------


async def test_what_cannot_be_sent_raises_and_harms_nothing(place: Place) -> None:
    peer, session = await place.parked("websocket")
    wrong: Any = {"json": 1}
    with pytest.raises(TypeError, match="a message is str or bytes, not dict"):
        await session.send(wrong)
    with pytest.raises(LocalProtocolError, match="lone surrogate at index 1"):
        session.send_nowait("a\ud800")
    await session.send("fine")
    assert await peer.news() == "mfine"


async def test_send_nowait_raises_when_there_is_no_room(transport: str) -> None:
    async with serving(max_outbox=3) as place:
        peer, session = await place.parked(transport)
        peer.acking = False
        for number in range(3):
            session.send_nowait(str(number))
        with pytest.raises(SendBufferFull) as caught:
            session.send_nowait("3")
        assert (caught.value.messages, caught.value.size) == (3, 3)
        assert "raise max_outbox" in str(caught.value)
        assert await peer.take(3) == ["m0", "m1", "m2"]
        peer.acking = True
        await peer.send(*([] if isinstance(peer, HttpPeer) else ["a3,3"]))
        await eventually(lambda: not len(session._machine.outbox))
        session.send_nowait("4")
        assert await peer.news() == "m4"


async def test_a_full_outbox_counts_bytes_but_takes_one_of_any_size() -> None:
    async with serving(max_outbox_size=10) as place:
        peer, session = await place.parked("websocket")
        peer.acking = False
        session.send_nowait("x" * 50)
        with pytest.raises(SendBufferFull):
            session.send_nowait("")
        assert await peer.news() == "m" + "x" * 50


async def test_send_waits_for_room_and_senders_keep_their_order(transport: str) -> None:
    async with serving(max_outbox=1) as place:
        peer, session = await place.parked(transport)
        peer.acking = False
        await session.send("0")
        waiting = [asyncio.create_task(session.send(str(number))) for number in range(1, 6)]
        await turns()
        with pytest.raises(SendBufferFull):
            session.send_nowait("first come, first served")
        assert not any(task.done() for task in waiting)
        peer.acking = True
        if isinstance(peer, WebSocketPeer):
            peer.received = 1
            await peer.send("a1,1")
            peer.received = 0
        assert await peer.take(6) == [f"m{number}" for number in range(6)]
        await asyncio.gather(*waiting)


async def test_a_sender_cannot_overtake_those_that_wait() -> None:
    async with serving(max_outbox=2) as place:
        peer, session = await place.parked("websocket")
        peer.acking = False
        await session.send("0")
        await session.send("1")
        order: list[str] = []

        async def send(text: str) -> None:
            await session.send(text)
            order.append(text)

        assert await peer.take(2) == ["m0", "m1"]
        tasks = [asyncio.create_task(send("2")), asyncio.create_task(send("3"))]
        await turns()
        # Room for two appears; the third sender calls when the first of those that wait has just got its own.
        session._machine.acknowledged(2, 2, place.rt._service.clock.now())
        tasks.append(asyncio.create_task(send("4")))
        await turns()
        assert order == ["2", "3"]
        assert await peer.take(2) == ["m2", "m3"]
        await peer.send("a4,4")
        assert await peer.news() == "m4"
        await asyncio.gather(*tasks)


async def test_cancelling_a_sender_sends_nothing_and_leaves_nothing() -> None:
    async with serving(max_outbox=1) as place:
        peer, session = await place.parked("websocket")
        peer.acking = False
        await session.send("0")
        tasks = [asyncio.create_task(session.send(str(number))) for number in (1, 2, 3)]
        await turns()
        tasks[0].cancel()  # it waits for room
        tasks[1].cancel()  # it waits for its turn
        await asyncio.wait(tasks[:2])
        await peer.send("a0,0")
        assert await peer.news() == "m0"
        peer.acking = True
        await peer.send("a1,1")
        assert await peer.news() == "m3"
        await tasks[2]
        await session.flush()
        assert session._senders == 0
        assert len(session._listener.progress or ()) == 1  # the handler's
        session.send_nowait("4")
        assert await peer.news() == "m4"


async def test_sending_after_the_end_raises(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    reading = pump(peer)
    await session.close(3001, "enough")
    for send in (session.send, session.send_nowait):
        with pytest.raises(SessionClosed) as caught:
            result = send("late")
            if result is not None:
                await result
        assert (caught.value.code, caught.value.reason) == (3001, "enough")
    with pytest.raises(SessionClosed):
        await session.join("room")
    assert await reading == ["c3001,enough"]


# -- flush -------------------------------------------------------------------------------------------------------------


async def test_flush_returns_when_all_is_acknowledged(transport: str) -> None:
    async with serving(clock=VirtualClock()) as place:  # it stands still: no ack's delay of a second is ever over
        peer, session = await place.parked(transport)
        await session.flush()  # nothing to wait for
        await session.send("one")
        session.send_nowait("two")
        flushes = [asyncio.create_task(session.flush()) for _ in range(3)]
        await turns()
        assert not any(flush.done() for flush in flushes)
        reading = pump(peer)
        await arrives(asyncio.gather(*flushes), "the acknowledgements that flush() waits for")
        assert session.unacknowledged == []
        await session.close()
        assert await reading == ["mone", "mtwo", "c1000,"]


async def test_flush_asks_for_the_acknowledgement_behind_each_part(place: Place) -> None:
    peer, session = await place.parked("websocket", window=(2, 1000))
    peer.acking = False
    for number in range(3):
        await session.send(str(number))
    flush = asyncio.create_task(session.flush())
    assert str(await peer.read())[:1] == "k"
    assert [await peer.read() for _ in range(3)] == ["m0", "m1", "p"]
    await peer.send("a2,2", "q")
    assert [await peer.read() for _ in range(2)] == ["m2", "p"]
    await peer.send("a3,3", "q")
    await flush


async def test_flush_waits_only_for_what_was_sent_before_it(place: Place) -> None:
    peer, session = await place.parked("websocket", window=(1, 1000))
    peer.acking = False
    await session.send("one")
    first = asyncio.create_task(session.flush())
    await turns()
    await session.send("two")
    second = asyncio.create_task(session.flush())
    assert await peer.news() == "mone"
    await peer.send("a1,1")
    await first
    assert not second.done()
    assert await peer.news() == "mtwo"
    await peer.send("a2,1")
    await second


async def test_flush_through_a_small_window(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport, window=(1, 10))
    for number in range(8):
        await session.send(f"message {number}")
    reading = pump(peer)
    await session.flush()
    await session.close()
    assert len(await reading) == 9


async def test_flush_raises_when_the_session_ends_first(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    peer.acking = False
    await session.send("never read")
    flush = asyncio.create_task(session.flush())
    await turns()
    await peer.send("x3005,session,,enough")
    with pytest.raises(SessionClosed) as caught:
        await flush
    assert caught.value.code == 3005
    assert session.unacknowledged == ["never read"]
    with pytest.raises(SessionClosed):
        await session.flush()


async def test_cancelling_flush_leaves_nothing(place: Place) -> None:
    peer, session = await place.parked("websocket")
    peer.acking = False
    await session.send("one")
    flush = asyncio.create_task(session.flush())
    await turns()
    flush.cancel()
    await asyncio.wait([flush])
    assert len(session._listener.progress or ()) == 1  # the handler's
    peer.acking = True
    assert await peer.news() == "mone"
    await session.flush()


async def test_flush_counts_what_was_dropped_as_done() -> None:
    async with serving(max_outbox=4, on_full="drop_oldest") as place:
        peer, session = await place.parked("long_polling")
        for number in range(10):
            await session.send(str(number))
        flush = asyncio.create_task(session.flush())
        reading = pump(peer)
        await flush
        await session.close()
        assert await reading == ["d7", "m7", "m8", "m9", "c1000,"]


# -- closing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 999, 1002, 1005, 1006, 1015, 2999, 5000, -1])
async def test_close_checks_its_code(place: Place, code: int) -> None:
    _, session = await place.parked("polling")
    with pytest.raises(LocalProtocolError, match=f"close code {code}: use 1000"):
        await session.close(code)
    assert session.state is realtime.State.OPEN


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4999])
async def test_close_sends_all_that_was_sent_and_then_its_code(transport: str, place: Place, code: int) -> None:
    peer, session = await place.parked(transport)
    await session.send("last words")
    reading = pump(peer)
    await session.close(code, "a reason, with a comma")
    assert await reading == ["mlast words", f"c{code},a reason, with a comma"]
    assert (session.close_code, session.close_reason) == (code, "a reason, with a comma")
    assert session.closed
    if isinstance(peer, WebSocketPeer):
        assert await peer.closed() == code


@pytest.mark.parametrize("reason", ["ü" * 200, "a\ud800b", "line\nfeed\x00"])
async def test_any_reason_makes_a_valid_close(transport: str, place: Place, reason: str) -> None:
    peer, session = await place.parked(transport)
    reading = pump(peer)
    await session.close(3000, reason)
    (frame,) = await reading
    assert isinstance(frame, str)
    assert len(frame.encode()) <= 123 + len("c3000,")
    assert "\n" not in frame
    if isinstance(peer, WebSocketPeer):
        assert await peer.closed() == 3000


async def test_close_is_idempotent_and_the_first_code_counts(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    reading = pump(peer)
    await asyncio.gather(session.close(3000, "a"), session.close(3001, "b"), session.close())
    await session.close(3002)
    assert session.close_code == 3000
    assert await reading == ["c3000,a"]


async def test_what_arrives_after_close_is_discarded_and_acknowledged(place: Place) -> None:
    peer, session = await place.parked("websocket")
    peer.acking = False
    await peer.send("mbefore")
    await eventually(lambda: session._machine.inbox.received == 1)
    closing = asyncio.create_task(session.close())
    assert await peer.news() == "c1000,"
    await peer.send(*(f"m{number}" for number in range(400)), "p")  # more than a window
    while await peer.read() != "q":
        pass
    assert peer.acked == 401
    with pytest.raises(SessionClosed):
        await session.receive()
    await peer.send("a1,1")
    await closing
    assert session.close_code == 1000


async def test_close_from_outside_ends_a_handler_that_iterates(transport: str, place: Place) -> None:
    ended: asyncio.Queue[list[str | bytes]] = asyncio.Queue()

    @place.rt.endpoint("/iterate")
    async def iterate(session: Session) -> None:
        ended.put_nowait([message async for message in session])

    peer = place.peer(transport, "/iterate")
    await peer.open()
    await peer.send("mone")
    (session,) = place.rt.sessions
    await eventually(lambda: session._machine.inbox.taken == 1)
    await peer.drop()
    closing = asyncio.create_task(session.close(3000))  # nobody is there to acknowledge it
    assert await arrives(ended.get()) == ["one"]
    assert not session.closed
    closing.cancel()
    await asyncio.wait([closing])


async def test_close_releases_a_sender_that_waits_for_room() -> None:
    async with serving(max_outbox=1) as place:
        _, session = await place.parked("long_polling")
        await session.send("fills it")
        sending = asyncio.create_task(session.send("waits"))
        await turns()
        closing = asyncio.create_task(session.close(3000))
        with pytest.raises(SessionClosed):
            await arrives(sending)
        closing.cancel()
        await asyncio.wait([closing])


async def test_close_returns_after_close_timeout_without_an_answer() -> None:
    async with serving(close_timeout=0.05) as place:
        _, session = await place.parked("long_polling")
        await session.close()
        assert session.state is realtime.State.CLOSING
        assert not session.closed
        (session_left,) = place.rt.sessions
        assert session_left is session


async def test_a_close_never_acknowledged_becomes_4412() -> None:
    clock = VirtualClock()
    async with serving(clock=clock, resume_window=200, ping_interval=None, close_timeout=0.01) as place:
        peer, session = await place.parked("websocket")
        peer.acking = False
        await session.close()
        place.tick(199)
        assert not session.closed
        place.tick(2)
        assert (session.close_code, session._machine.outcome and session._machine.outcome.clean) == (4412, False)
        assert await peer.end() == (1000, "c")
        assert await peer.end() == (4412, "x")


async def test_when_both_close_each_keeps_a_code(place: Place) -> None:
    peer, session = await place.parked("websocket")
    peer.acking = False
    closing = asyncio.create_task(session.close(3000))
    assert await peer.end() == (3000, "c")
    await peer.send("c3001,")
    await closing
    assert session.close_code == 3001
    assert await peer.end() == (3001, "x")


# -- handlers ----------------------------------------------------------------------------------------------------------


async def test_a_handler_that_returns_closes_with_1000_behind_what_it_sent(transport: str, place: Place) -> None:
    @place.rt.endpoint("/brief")
    async def brief(session: Session) -> None:
        for number in range(50):
            await session.send(str(number))

    peer = place.peer(transport, "/brief")
    await peer.open()
    assert await pump(peer) == [*(f"m{number}" for number in range(50)), "c1000,"]


async def test_a_handler_that_raises_closes_with_1011_and_is_logged_once(
    transport: str, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    @place.rt.endpoint("/broken")
    async def broken(session: Session) -> None:
        await session.send("so far")
        raise RuntimeError("a secret of the application")

    peer = place.peer(transport, "/broken")
    await peer.open()
    assert await pump(peer) == ["mso far", "c1011,the handler failed"]
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(records) == 1
    assert (records[0].name, records[0].exc_info is not None) == ("realtime.session", True)
    assert "a secret of the application" in caplog.text


async def test_a_type_error_of_a_handler_does_not_call_it_again(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    @place.rt.endpoint("/broken")
    async def broken(session: Session) -> None:
        nonlocal calls
        calls += 1
        raise TypeError

    peer = place.peer("polling", "/broken")
    await peer.open()
    assert await pump(peer) == ["c1011,the handler failed"]
    assert (calls, len(errors(caplog.records))) == (1, 1)


async def test_the_end_of_its_session_may_leave_a_handler(
    transport: str, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    @place.rt.endpoint("/talk")
    async def talk(session: Session) -> None:
        while True:
            await session.receive()

    peer = place.peer(transport, "/talk")
    await peer.open()
    await peer.send("c1000,")
    await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
    assert errors(caplog.records) == []


async def test_the_end_of_another_session_is_an_error_of_the_handler(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    other_peer, other = await place.parked("polling")
    await other_peer.send("x1000,session,,")
    assert other.closed

    @place.rt.endpoint("/confused")
    async def confused(session: Session) -> None:
        await other.send("hello?")

    peer = place.peer("polling", "/confused")
    await peer.open()
    assert await pump(peer) == ["c1011,the handler failed"]
    assert len(errors(caplog.records)) == 1


async def test_a_handler_that_ignores_the_end_is_cancelled_after_close_timeout(transport: str) -> None:
    clock = VirtualClock()
    async with serving(clock=clock, close_timeout=7) as place:
        cancelled = asyncio.Event()

        @place.rt.endpoint("/stubborn")
        async def stubborn(session: Session) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        peer = place.peer(transport, "/stubborn")
        await peer.open()
        await peer.send("c1000,")
        await eventually(lambda: len(place.rt) == 0)
        (task,) = place.rt._service.sessions.handlers.tasks.values()
        place.tick(6.9)
        await turns()
        assert not task.done()
        place.tick(0.2)
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
        assert cancelled.is_set()


async def test_a_handler_that_ends_in_time_leaves_no_timer() -> None:
    """Of its own: one for all goes off once more, when there is nobody left, and keeps none of them till then."""
    clock = VirtualClock()
    async with serving(clock=clock, open_timeout=3, close_timeout=4) as place:
        handlers = place.rt._service.sessions.handlers
        for _ in range(3):
            peer = place.peer("polling")
            await peer.open()
            await peer.send("c1000,")
        await eventually(lambda: not handlers.tasks)
        assert not any(handlers._ending.values())
        place.tick(4)  # and the sweep's entry for open_timeout
        await eventually(lambda: clock.next_deadline() is None)
        assert not handlers._ending


async def test_a_handler_that_is_cancelled_ends_its_session(place: Place) -> None:
    peer, session = await place.parked("long_polling")
    place.rt._service.sessions.handlers.tasks[session].cancel()
    assert await pump(peer) == ["c1011,the handler was cancelled"]


async def test_a_handler_may_close_and_go_on(transport: str, place: Place) -> None:
    done = asyncio.Event()

    @place.rt.endpoint("/goes_on")
    async def goes_on(session: Session) -> None:
        await session.receive()
        await session.close(3333)
        assert session.closed
        done.set()

    peer = place.peer(transport, "/goes_on")
    await peer.open()
    reading = pump(peer)
    await peer.send("mnow")
    assert await reading == ["c3333,"]
    await arrives(done.wait())


# -- facts -------------------------------------------------------------------------------------------------------------


async def test_the_request_tells_its_facts(transport: str, place: Place) -> None:
    headers = {"X-Thing": "größe", "Cookie": "a=1; b=two", "User-Agent": "peer", "Origin": place.base}
    _, session = await place.parked(transport, headers=headers, auth={"token": [1]})
    request = session.request
    assert request.headers["x-thing"] == "größe"
    assert dict(request.cookies) == {"a": "1", "b": "two"}
    assert request.remote == "127.0.0.1"
    assert f"http://{request.host}" == place.base
    assert request.path == f"/realtime/park/v1/{transport}"
    assert request.transport == session.transport == transport
    assert request.auth == {"token": [1]}
    assert (request.scheme, request.http_version) == ("http", (1, 1))
    assert request.method == ("GET" if transport == "websocket" else "POST")
    assert session.path == "/park"
    assert session.identity is None
    assert repr(request) == f"<SessionRequest {request.method} {request.path} over {transport}>"


async def test_the_query_and_cookies_that_cannot_be_parsed(place: Place) -> None:
    peer = place.websocket("/park", headers={"Cookie": 'bad[]=x"; =; a="', "Origin": place.base})
    await peer.open()
    session = await place.sessions.get()
    assert "open" in session.request.query
    assert isinstance(dict(session.request.cookies), dict)


async def test_data_is_the_applications_own(place: Place) -> None:
    _, one = await place.parked("polling")
    _, two = await place.parked("polling")
    one.data["name"] = "one"
    assert (one.data, two.data) == ({"name": "one"}, {})


async def test_the_identity_is_what_authorize_said(transport: str, place: Place) -> None:
    place.rt.authorize(lambda request: named(request.headers.get("X-Name")))

    async def named(name: str | None) -> str | None:
        return name

    _, anna = await place.parked(transport, headers={"X-Name": "anna"})
    _, nobody = await place.parked(transport)
    assert (anna.identity, nobody.identity) == ("anna", None)


async def test_on_change_tells_and_its_undo_stops_it(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    peer, session = await place.parked("websocket")
    seen: list[tuple[str, str]] = []
    undo = session.on_change(lambda event: seen.append((event, str(session.state))))

    def faulty(event: str) -> None:
        raise RuntimeError("in a callback")

    def cancelled(event: str) -> None:
        raise asyncio.CancelledError  # of a future that it has looked at

    session.on_change(faulty)
    session.on_change(cancelled)
    other: list[str] = []
    undo_other = session.on_change(other.append)
    await peer.drop()
    await eventually(lambda: session.state is realtime.State.DETACHED)
    assert seen == [("state", "detached")]
    assert other == ["state"]
    undo_other()
    undo_other()  # harmless
    polling = HttpPeer(place.http, peer.url)
    polling.transport = "polling"
    polling.join(session, peer.gen)
    await polling.poll()
    assert session.transport == "polling"
    assert [event for event, _ in seen[1:]] == ["state", "transport"] or [event for event, _ in seen[1:]] == [
        "transport",
        "state",
    ]
    undo()
    await polling.send("c1000,")
    assert len(seen) == 3
    assert other == ["state"]
    assert session.closed
    assert set(errors(caplog.records)) == {f"an on_change callback of session {session.label} raised"}


async def test_each_undo_of_on_change_is_of_one_call_of_it(place: Place) -> None:
    """Also where one callback was given twice, where one of them undoes the next, and of callbacks that are equal."""
    _, session = await place.parked("websocket")
    seen: list[str] = []
    undo, _ = session.on_change(seen.append), session.on_change(seen.append)
    undo()
    undo()
    session._listener.tell("state")
    assert seen == ["state"]
    session.on_change(lambda event: undo_next())
    undo_next = session.on_change(seen.append)
    session._listener.tell("transport")
    assert seen == ["state", "transport"]


async def test_join_and_leave(transport: str, place: Place) -> None:
    peer, session = await place.parked(transport)
    room = place.rt.room("lobby")
    await session.leave("lobby")  # it is not there: harmless
    await session.join("lobby")
    await session.join("lobby")
    assert (len(room), list(room), session in room) == (1, [session], True)
    await room.send("hello")
    assert await peer.news() == "mhello"
    await session.leave("lobby")
    await room.send("nobody hears")
    await session.join("lobby")
    await session.join("other")
    await peer.send("c1000,")
    await eventually(lambda: session.closed)
    assert not place.rt._service.sessions.hub._rooms
    assert not place.rt._service.sessions.hub._joined


async def test_representations(place: Place) -> None:
    _, session = await place.parked("polling")
    assert repr(session) == f"<Session {session.label} open over polling>"
    assert repr(place.rt) == "<Server with 2 endpoints, 1 sessions>"
    assert repr(place.rt.room("x")) == "<Room 'x' with 0>"
