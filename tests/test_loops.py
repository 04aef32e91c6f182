"""Whoever loops over a session's end gives way; other threads and loops are refused; tasks may be eager."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime import LocalProtocolError, Session, SessionClosed, Unauthorized, loops
from realtime.loops import Tasks, at_once, run
from realtime.testing import VirtualClock

from .eager import eager_task_factory
from .patience import arrives, eventually
from .web.place import Place, errors, serving

Call = Callable[[Any], Awaitable[object]]

CALLS: dict[str, Call] = {
    "receive": lambda session: session.receive(),
    "iterate": lambda session: anext(session),
    "send": lambda session: session.send("x"),
    "flush": lambda session: session.flush(),
    "close": lambda session: session.close(),
    "wait_closed": lambda session: session.wait_closed(),
}
AT_THE_SERVER: dict[str, Call] = {
    **CALLS,
    "join": lambda session: session.join("room"),
    "nonsense": lambda session: session.send(42),
}
AT_THE_CLIENT: dict[str, Call] = {
    **CALLS,
    "switch": lambda session: session.switch("polling"),
    "reauthorize": lambda session: session.reauthorize("x"),
}
MOST = 10_000
"""Calls in a row after which a loop is taken for one that never gives way."""


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving() as place:
        yield place


async def again_and_again(call: Call, session: Any) -> None:
    """What a careless loop does. Fails if it is never interrupted."""
    for _ in range(MOST):
        try:
            await call(session)
        except Exception:  # careless it is
            continue
    raise AssertionError("nobody else had a turn")


async def gives_way(call: Call, session: Any) -> None:
    """A loop over this call lets others run, and ends when it is cancelled."""
    task = asyncio.create_task(again_and_again(call, session))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


# -- loops over the end ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", AT_THE_SERVER)
async def test_a_handler_that_goes_on_after_the_end_is_cancelled_after_close_timeout(what: str) -> None:
    clock = VirtualClock()
    async with serving(clock=clock, close_timeout=3) as place:

        @place.rt.endpoint("/careless")
        async def careless(session: Session) -> None:
            await session.wait_closed()
            await again_and_again(AT_THE_SERVER[what], session)

        peer = place.peer("websocket", "/careless")
        await peer.open()
        (session,) = place.rt.sessions
        (task,) = place.rt._service.sessions.handlers.tasks.values()
        session._machine.end(1001, "", clock.now())
        place.tick(4)
        await arrives(asyncio.wait({task}))
        assert task.cancelled()
        assert not place.rt._service.sessions.handlers.tasks


@pytest.mark.parametrize("what", AT_THE_CLIENT)
async def test_a_loop_over_the_end_gives_way_at_the_client(what: str, place: Place) -> None:
    session = await realtime.connect(place.url("/echo"), transports="websocket")
    await session.close()
    await gives_way(AT_THE_CLIENT[what], session)


async def test_who_catches_the_cancellation_too_is_answered_once_in_a_while() -> None:
    clock = VirtualClock()
    calls = 0
    async with serving(clock=clock, close_timeout=3) as place:
        stop = asyncio.Event()

        @place.rt.endpoint("/stubborn")
        async def stubborn(session: Session) -> None:
            nonlocal calls
            while not stop.is_set():
                try:
                    calls += 1
                    await session.receive()
                except BaseException:  # as a bare `except:` does
                    continue

        await place.peer("websocket", "/stubborn").open()
        (session,) = place.rt.sessions
        session._machine.end(1001, "", clock.now())
        await eventually(lambda: calls > 10)
        place.tick(4)
        await eventually(lambda: session._stubborn)
        await asyncio.sleep(0)
        before = calls
        for _ in range(100):
            await asyncio.sleep(0)
        assert calls <= before + 2
        stop.set()
        await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
        assert not session._stubborn


async def test_a_sender_whose_messages_are_dropped_gives_way() -> None:
    async with serving(on_full="drop_oldest", max_outbox=16) as place:
        peer, session = await place.parked("polling")
        task = asyncio.create_task(again_and_again(AT_THE_SERVER["send"], session))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})
        assert peer.sid


# -- groups ------------------------------------------------------------------------------------------------------------


async def ticks(session: Session) -> None:
    while True:
        await session.send("tick")
        await asyncio.sleep(0.001)


async def reads(session: Session) -> None:
    while True:
        await session.receive()


async def fails(session: Session) -> None:
    await session.wait_closed()
    raise ValueError("of ours")


async def refuses(session: Session) -> None:
    raise Unauthorized("not any more", status=403)


@pytest.mark.parametrize(
    ("others", "logged", "code"),
    [((ticks,), 0, 1000), ((ticks, reads), 0, 1000), ((ticks, fails), 1, 1000), ((ticks, refuses), 0, 4403)],
)
async def test_a_handlers_group_is_what_it_holds(
    others: tuple[Call, ...], logged: int, code: int, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[int | None] = []

    @place.rt.endpoint("/group")
    async def group(session: Session) -> None:
        try:
            async with asyncio.TaskGroup() as inner, asyncio.TaskGroup() as outer:
                for number, other in enumerate((reads, *others)):
                    (inner if number else outer).create_task(other(session))  # type: ignore[arg-type]
        finally:
            session.on_change(lambda event: ended.append(session.close_code))

    async with realtime.connect(place.url("/group"), transports="websocket") as session:
        if code == 1000:
            await session.receive()
            await session.close()
        else:
            await arrives(session.wait_closed())
        assert session.close_code == code
    await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
    assert len([line for line in errors(caplog.records) if "raised" in line]) == logged
    for record in caplog.records:
        if record.levelno >= logging.ERROR:
            assert record.exc_info is not None
            assert "SessionClosed" not in repr(record.exc_info[1])


@pytest.mark.parametrize("also", [False, True])
async def test_a_hooks_group_is_what_it_holds(also: bool, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    async def token() -> None:
        raise Unauthorized("log in first")

    async def quota() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            if also:
                raise OSError("the database is away")

    @place.rt.authorize
    async def who(request: realtime.SessionRequest) -> None:
        async with asyncio.TaskGroup() as tasks:
            for look_up in (token, quota):
                tasks.create_task(look_up())

    with pytest.raises(realtime.NegotiationError, match="4401: log in first"):
        await realtime.connect(place.url("/echo"), transports="polling")
    hooks = [line for line in errors(caplog.records) if "hook raised" in line]
    assert bool(hooks) is also


# -- eager tasks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["websocket", "long_polling", "polling"])
async def test_with_eager_tasks_handlers_start_behind_their_carrier_and_leave_nothing(name: str) -> None:
    seen: list[tuple[str, str]] = []
    async with serving() as place:

        @place.rt.endpoint("/greets")
        async def greets(session: Session) -> None:
            seen.append((session.transport, session.state))
            await session.send("welcome, and goodbye")

        loop = asyncio.get_running_loop()
        loop.set_task_factory(eager_task_factory)
        try:
            async with realtime.connect(place.url("/greets"), transports=name) as session:
                assert await arrives(session.receive()) == "welcome, and goodbye"
                await arrives(session.wait_closed())
            async with realtime.connect(place.url("/echo"), transports=name) as session:
                for number in range(20):
                    await session.send(str(number))
                    assert await arrives(session.receive()) == str(number)
            await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
        finally:
            loop.set_task_factory(None)
        assert seen == [(name, "open")]


@pytest.mark.parametrize("path", ["/bare", "/bare/0/one/websocket"])
async def test_with_eager_tasks_the_other_protocols_leave_nothing_either(path: str) -> None:
    async with serving() as place:

        @place.rt.endpoint("/bare", sockjs=True)
        async def greets(session: Session) -> None:
            await session.send(f"by {session.transport}")

        loop = asyncio.get_running_loop()
        loop.set_task_factory(eager_task_factory)
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(place.url(path)) as ws:
                heard = [message.data async for message in ws]
            assert "by " in "".join(map(str, heard))
            await eventually(lambda: not place.rt._service.sessions.handlers.tasks)
        finally:
            loop.set_task_factory(None)


# -- other threads and loops -------------------------------------------------------------------------------------------


def elsewhere(make: Callable[[], Any]) -> BaseException | None:
    """What is raised when this is run in another thread, in a loop of its own where it is to be awaited."""
    raised: list[BaseException | None] = []

    async def awaiting() -> None:
        await make()

    def run() -> None:
        try:
            asyncio.run(awaiting())
        except BaseException as error:
            raised.append(error)
        else:
            raised.append(None)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0]


def facts(session: Any) -> object:
    machine = session._machine
    return machine.state, machine.outbox.appended, machine.inbox.taken, session._senders, session._listener.marked


@pytest.mark.parametrize(
    ("side", "what"),
    [
        *(("server", what) for what in AT_THE_SERVER if what != "nonsense"),
        *(("client", what) for what in AT_THE_CLIENT),
    ],
)
async def test_another_threads_loop_is_refused_and_changes_nothing(side: str, what: str, place: Place) -> None:
    calls = AT_THE_SERVER if side == "server" else AT_THE_CLIENT
    async with realtime.connect(place.url("/park"), transports="websocket") as client:
        session: Any = await place.sessions.get() if side == "server" else client
        before = facts(session)
        error = elsewhere(lambda: calls[what](session))
        assert isinstance(error, LocalProtocolError)
        assert "asyncio.run_coroutine_threadsafe" in str(error)
        assert facts(session) == before
        assert not place.rt._service.sessions.hub.rooms_of(session)


async def test_send_nowait_in_a_thread_without_a_loop_is_refused(place: Place) -> None:
    _, session = await place.parked("websocket")
    before = facts(session)
    with pytest.raises(LocalProtocolError, match="run_coroutine_threadsafe"):
        await asyncio.to_thread(session.send_nowait, "x")
    assert facts(session) == before


async def test_a_room_and_a_server_are_their_own_threads(place: Place) -> None:
    peer, session = await place.parked("websocket")
    await session.join("room")
    room = place.rt.room("room")
    before = facts(session)
    for call in (
        lambda: room.send("x"),
        lambda: place.rt.room("nobody's").send("x"),
        room.count,
        room.members,
        lambda: place.rt.close_identity("ada"),
        place.rt.drain,
        place.rt._service.shutdown,
    ):
        error = elsewhere(call)
        assert isinstance(error, LocalProtocolError), error
        assert "run_coroutine_threadsafe" in str(error)
    assert facts(session) == before
    assert not place.rt._service.closing
    loop = asyncio.get_running_loop()
    # What the sentence says.
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(room.send("one"), loop).result())
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(session.send("two"), loop).result())
    loop.call_soon_threadsafe(session.send_nowait, "three")
    assert [await peer.news() for _ in range(3)] == ["mone", "mtwo", "mthree"]


@pytest.mark.parametrize("closed", [True, False])
def test_a_server_works_again_when_the_loop_before_is_gone(closed: bool) -> None:
    """Closed, with its application kept as by the traceback of a failed fixture; or stopped, and forgotten."""
    rt = realtime.Server(shutdown_timeout=0.3)
    kept: list[web.Application] = []

    async def dies() -> None:
        app = web.Application()
        realtime.setup(app, rt)
        rt._service.start()
        if closed:
            kept.append(app)

    async def lives() -> None:
        before = list(rt._service.on_shutdown)
        async with serving(rt) as place:
            if closed:
                assert not set(before) & set(rt._service.on_shutdown)
            peer = place.peer("websocket")
            await peer.open()
            await peer.echo("hello")
        assert not closed or not rt._service.on_shutdown

    loop = asyncio.new_event_loop()
    loop.run_until_complete(dies())
    if closed:
        loop.close()
    asyncio.run(lives())
    loop.close()


async def test_a_server_runs_in_one_loop_at_a_time(place: Place) -> None:
    async def start() -> None:
        place.rt._service.start()

    error = elsewhere(start)
    assert isinstance(error, LocalProtocolError)
    assert "another event loop already" in str(error)
    assert place.rt._service.runtime.loop is asyncio.get_running_loop()


async def test_a_session_of_a_loop_that_is_gone_says_so(place: Place) -> None:
    _, session = await place.parked("polling")
    loop, session._loop = session._loop, asyncio.new_event_loop()
    session._loop.close()
    with pytest.raises(LocalProtocolError, match="another event loop"):
        await session.send("x")
    with pytest.raises(SessionClosed):
        session._machine.end(1001, "", 0)
        session._loop = loop
        await session.receive()


async def test_a_client_is_told_whose_connections_it_was_given(place: Place) -> None:
    """One that has none of its own opens in any loop."""

    async def opens(http: aiohttp.ClientSession | None) -> None:
        await (await realtime.connect(place.url("/echo"), transports="polling", http=http)).close()

    async with aiohttp.ClientSession() as http:
        await opens(http)
        error = await asyncio.to_thread(elsewhere, lambda: opens(http))
        assert isinstance(error, LocalProtocolError)
        assert "http: this aiohttp.ClientSession belongs to another event loop" in str(error)
    assert await asyncio.to_thread(elsewhere, lambda: opens(None)) is None


# -- what needs no task unless it waits --------------------------------------------------------------------------------


async def test_what_does_not_wait_is_done_at_once() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("all")

    assert at_once(work()) is None
    assert done == ["all"]

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        at_once(fail())


async def test_what_waits_goes_on_where_it_is_awaited() -> None:
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    done: list[object] = []

    async def work() -> None:
        done.append(await first)
        await asyncio.sleep(0)
        try:
            await asyncio.Event().wait()
        finally:
            done.append("ended")

    rest = at_once(work())
    assert rest is not None
    task = asyncio.ensure_future(rest)
    await asyncio.sleep(0)
    assert done == []
    first.set_result("came")
    await eventually(lambda: done == ["came"])
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["came", "ended"]
    whole = at_once(asyncio.sleep(0))
    assert whole is not None
    await whole


async def test_tasks_end_with_whoever_began_them_and_tell_of_what_fails(caplog: pytest.LogCaptureFixture) -> None:
    tasks, going = Tasks("clocks", logging.getLogger("realtime.test")), asyncio.Event()

    async def runs() -> None:
        going.set()
        await asyncio.Event().wait()

    async def fails() -> None:
        raise ValueError("on purpose")

    running = tasks.begin(runs())
    assert running.get_name() == "realtime clocks"
    assert not going.is_set()  # it begins in the next turn

    async def meets() -> None:
        raise asyncio.CancelledError("of something else")

    with suppress(ValueError):
        await tasks.begin(fails())
    assert going.is_set()
    assert tasks
    await asyncio.wait([tasks.begin(meets())])
    assert [record.getMessage() for record in caplog.records] == ["a task of the clocks failed"] * 2
    await tasks.end()
    assert running.cancelled()
    assert not tasks
    assert len(caplog.records) == 2


async def test_what_is_kept_up_begins_again_where_it_fails(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "AGAIN", 0.0)
    tasks = Tasks("clocks", logging.getLogger("realtime.test"))
    begun: list[int] = []

    async def fails_twice() -> None:
        begun.append(len(begun))
        if len(begun) < 3:  # the second time something that it waits for was cancelled, and not this
            raise ValueError("on purpose") if len(begun) == 1 else asyncio.CancelledError
        await asyncio.Event().wait()

    tasks.keep_up(fails_twice)
    await eventually(lambda: len(begun) == 3)
    assert [record.getMessage() for record in caplog.records] == ["a task of the clocks failed, and begins again"] * 2
    await tasks.end()
    assert not tasks


async def test_what_has_nothing_to_wait_for_is_run() -> None:
    """And what waits all the same is ended."""
    ended = []

    async def work(waits: bool) -> str:
        try:
            if waits:
                await asyncio.sleep(0)
        finally:
            ended.append(waits)
        return "done"

    async def fail() -> None:
        raise ZeroDivisionError

    assert run(work(False)) == "done"
    with pytest.raises(ZeroDivisionError):
        run(fail())
    with pytest.raises(RuntimeError):
        run(work(True))
    assert ended == [False, True]
