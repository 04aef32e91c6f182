"""Handlers of sessions: what they may look at when they begin, how long they have at the end, and what is left then."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import realtime
from realtime.core.errors import BrokerError
from realtime.core.frames import Window
from realtime.session import ServerListener, Session
from realtime.testing import VirtualClock

from .patience import eventually

NONCES = (f"{number:022}" for number in itertools.count())


class Http:
    """A web framework's request."""

    raw_headers = ()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def rt(clock: VirtualClock) -> AsyncIterator[realtime.Server]:
    rt = realtime.Server(clock=clock)
    yield rt
    await rt._service.shutdown()


async def opened(rt: realtime.Server, path: str, http: Any = None) -> Session:
    """A session."""
    request = realtime.SessionRequest(http=http)
    endpoint = rt._service.endpoints[path]
    sessions = rt._service.sessions
    return await sessions.open(
        endpoint, nonce=next(NONCES), binding=(), window=Window(1, 1), identity=None, request=request
    )


async def test_each_of_many_handlers_sees_its_request_until_it_first_waits(rt: realtime.Server) -> None:
    """Those that begin in one turn of the event loop, one that begins in the next while they do, and one by itself."""
    requests = [Http() for _ in range(5)]
    seen: list[object] = []
    late: list[Session] = []

    @rt.endpoint("/look")
    async def look(session: Session) -> None:
        seen.append(session.request.http)
        if session.request.http is requests[0]:
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(another()))
        await asyncio.sleep(0)
        with pytest.raises(realtime.LocalProtocolError, match="not kept"):
            session.request.http  # noqa: B018 # asking raises
        seen.append("gone")

    async def another() -> None:
        late.append(await opened(rt, "/look", requests[3]))

    for request in requests[:3]:
        await opened(rt, "/look", request)
    await eventually(lambda: seen.count("gone") == 4)
    await opened(rt, "/look", requests[4])
    await eventually(lambda: seen.count("gone") == 5)
    assert [one for one in seen if one != "gone"] == requests
    assert late


async def test_a_handler_has_its_close_timeout_to_notice_the_end(rt: realtime.Server, clock: VirtualClock) -> None:
    """Each has its own, whichever session ended first."""
    cancelled: list[str] = []

    async def never(session: Session) -> None:
        if session.path == "/notices":
            await session.wait_closed()
            return
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(session.path)

    for path, timeout in (("/long", 5.0), ("/short", 1.0), ("/later", 5.0), ("/notices", 0.5)):
        rt.endpoint(path, close_timeout=timeout)(never)
    ends = [await opened(rt, path) for path in ("/long", "/short", "/notices")]
    later = await opened(rt, "/later")
    running = rt._service.sessions.handlers.tasks
    await asyncio.sleep(0)  # all have begun
    for session in ends:
        session._machine.end(4000, "over", clock.now())
    await eventually(lambda: len(running) == 3)
    clock.advance(0.75)
    later._machine.end(4000, "over", clock.now())
    assert not any(map(asyncio.Task.cancelling, running.values()))
    for seconds, paths in ((0.25, ["/short"]), (4.0, ["/short", "/long"]), (0.75, ["/short", "/long", "/later"])):
        clock.advance(seconds - 1e-6)
        assert [task for task in running.values() if task.cancelling()] == []
        clock.advance(1e-6)
        await eventually(lambda paths=paths: cancelled == paths and len(running) == 3 - len(paths))  # type: ignore[misc]
    assert not rt._service.sessions.handlers._ending


class Failed(BaseException):
    """What a test's framework fails by."""


@pytest.mark.parametrize("error", [Failed(), BaseExceptionGroup("", [Failed()]), asyncio.CancelledError()])
async def test_a_handler_that_raises_what_is_no_exception_has_failed(
    rt: realtime.Server, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    @rt.endpoint("/fails")
    async def fails(session: Session) -> None:
        raise error

    session = await opened(rt, "/fails")
    await eventually(lambda: session._machine.closing is not None)
    assert session._machine.closing == (1011, "the handler failed")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("error", [BrokerError("Redis is away"), ExceptionGroup("", [BrokerError("Redis is away")])])
async def test_a_broker_that_is_away_is_one_line_for_a_session(
    rt: realtime.Server, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """It meets all of them at once."""

    @rt.endpoint("/sends")
    async def sends(session: Session) -> None:
        raise error

    session = await opened(rt, "/sends")
    await eventually(lambda: session._machine.closing is not None)
    assert session._machine.closing == (1013, "come back later")
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "Redis is away" in record.getMessage()


@contextmanager
def uncollected() -> Iterator[None]:
    """The garbage collector rests."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def test_a_session_that_has_ended_is_freed_without_the_garbage_collector(rt: realtime.Server) -> None:
    @rt.endpoint("/echo")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    def left() -> int:
        """Those of other tests' servers are none of ours."""
        found = [one for one in gc.get_objects() if type(one) is ServerListener]
        return sum(one.runtime is rt._service.runtime for one in found)

    with uncollected():
        for _ in range(10):
            session = await opened(rt, "/echo")
            await asyncio.sleep(0)
            session._machine.end(4000, "over", rt._service.clock.now())
        del session
        await eventually(lambda: not rt._service.sessions.handlers.tasks)
        await asyncio.sleep(0)  # what the last of them was woken by is gone
        assert left() == 0


async def test_what_is_asked_of_a_session_that_has_ended(rt: realtime.Server) -> None:
    """Its machine tells nobody any more."""
    ended = asyncio.Event()

    @rt.endpoint("/wait")
    async def wait(session: Session) -> None:
        await session.wait_closed()
        ended.set()

    session = await opened(rt, "/wait")
    machine = session._machine
    machine.end(4000, "over", 0.0)
    await ended.wait()
    listener = machine.listener
    listener.readable()
    listener.noted()
    listener.acknowledged()
    listener.dirty()
    listener.changed(machine.state, machine.state)
    listener.may_be_drained()
    listener.ended()
    listener.wake(0.0)
    assert (session.close_code, session.close_reason, session.state) == (4000, "over", realtime.State.CLOSED)
    assert session._listener.machine is machine
    with pytest.raises(realtime.SessionClosed):
        await session.receive()
    with pytest.raises(realtime.SessionClosed):
        await session.send("late")
