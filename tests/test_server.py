"""The server: its hook, its counts, and that one session's misfortune is nobody else's."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from unittest.mock import AsyncMock

import pytest

import realtime
from realtime.core.frames import Window
from realtime.request import SessionRequest
from realtime.session import ServerListener
from realtime.testing import VirtualClock

from .web.peer import HttpPeer, WebSocketPeer
from .web.place import Place, errors, eventually, serving


@pytest.fixture(params=["websocket", "long_polling", "polling"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving() as place:
        yield place


async def failed(request: realtime.SessionRequest) -> str:
    raise RuntimeError("the database of users is away")


async def nonsense(request: realtime.SessionRequest) -> Any:
    return 42


async def cancelled(request: realtime.SessionRequest) -> str:
    raise asyncio.CancelledError  # of something that it has waited for: nobody has cancelled the hook


@pytest.mark.parametrize("hook", [failed, nonsense, cancelled])
async def test_an_authorize_hook_that_fails_is_logged_and_answered(
    transport: str, place: Place, hook: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place.rt.authorize(hook)
    peer = place.peer(transport)
    if isinstance(peer, HttpPeer):
        answer = await peer.post(transport, ["o" + json.dumps(peer.open_object())])
        assert answer.refusal == (503, 4503, "carrier")
        assert "database" not in answer.frames[0]
    else:
        assert isinstance(peer, WebSocketPeer)
        with pytest.raises(AssertionError, match="x4503,carrier,,the server cannot authorise"):
            await peer.open()
        assert await peer.closed() == 4503
    assert len(place.rt) == 0
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (record.name, record.exc_info is not None) == ("realtime.server", True)


def test_what_is_no_coroutine_function_is_refused_when_it_is_registered() -> None:
    rt = realtime.Server()

    def plain(argument: Any) -> None: ...

    async def generates(argument: Any) -> Any:
        yield

    async def proper(argument: Any, more: int = 0) -> None: ...

    @functools.wraps(proper)
    def wraps(argument: Any) -> Any:
        return proper(argument)

    class Methods:
        def plain(self, argument: Any) -> None: ...

        async def proper(self, argument: Any) -> None: ...

        async def __call__(self, argument: Any) -> None: ...

    class Plain:
        def __call__(self, argument: Any) -> None: ...

    class Generates:
        async def __call__(self, argument: Any) -> Any:
            yield

    wrongs = (plain, generates, Methods().plain, functools.partial(plain), Plain(), Generates(), Methods, 3)
    for wrong in wrongs:
        function: Any = wrong
        with pytest.raises(TypeError, match=r"authorize hook has to be a coroutine function, `async def \w+"):
            rt.authorize(function)
        with pytest.raises(TypeError, match="handler of '/x' has to be a coroutine function"):
            rt.endpoint("/x")(function)
    assert not rt._service.endpoints
    assert rt._service.admission.hook is None
    fine = (proper, wraps, Methods().proper, Methods(), functools.partial(proper, more=1), lambda a: proper(a))
    for number, right in enumerate((*fine, AsyncMock(), functools.partial(Methods()))):
        function = right
        assert rt.authorize(function) is function
        assert rt.endpoint(f"/{number}")(function) is function


def test_what_takes_other_arguments_is_refused_when_it_is_registered() -> None:
    rt = realtime.Server()

    async def nothing() -> None: ...

    async def two(argument: Any, database: Any) -> None: ...

    async def named(*, argument: Any) -> None: ...

    class Methods:
        async def nothing(self) -> None: ...

        async def two(self, argument: Any, database: Any) -> None: ...

    for wrong in (nothing, two, named, Methods().nothing, Methods().two, functools.partial(nothing)):
        function: Any = wrong
        with pytest.raises(
            TypeError, match=r"^the handler of '/x' is given the session, and nothing else: \w+\(.*\) does"
        ):
            rt.endpoint("/x")(function)
        with pytest.raises(TypeError, match=r"^the authorize hook is given the request, and nothing else: "):
            rt.authorize(function)
    assert not rt._service.endpoints

    @functools.wraps(two)
    async def with_a_database(argument: Any) -> None:
        await two(argument, "database")

    async def any_of_them(*arguments: Any, **more: Any) -> None: ...

    async def says_otherwise(*arguments: Any) -> None: ...

    says_otherwise.__signature__ = inspect.signature(two)  # type: ignore[attr-defined] # as some libraries' wrappers do
    fine = (with_a_database, any_of_them, says_otherwise, functools.partial(two, database=1))
    for number, right in enumerate(fine):
        function = right
        assert rt.authorize(function) is function
        assert rt.endpoint(f"/{number}")(function) is function


def test_a_loop_that_was_closed_without_a_shutdown_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    rt = realtime.Server(open_timeout=0.05, resume_window=0.05)
    ended: list[int | None] = []

    @rt.endpoint("/x")
    async def handler(session: realtime.Session) -> None:
        await session.join("room")
        await session.wait_closed()
        ended.append(session.close_code)

    async def opened(nonce: str) -> realtime.Session:
        return await rt._service.sessions.open(
            rt._service.endpoints["/x"],
            nonce=nonce,
            binding=None,
            window=Window(16, 65_536),
            identity=None,
            request=SessionRequest(),
        )

    async def first() -> None:
        rt._service.start()
        (await opened("a")).send_nowait("x")
        await asyncio.sleep(0)
        assert (len(rt), len(rt.room("room"))) == (1, 1)

    async def second() -> None:
        rt._service.start()
        assert (len(rt), len(rt.room("room")), rt._service.sessions.handlers.tasks) == (0, 0, {})
        await opened("a")
        await eventually(lambda: ended)  # deadlines run
        await rt._service.shutdown()

    loop = asyncio.new_event_loop()
    task = loop.create_task(first())
    loop.run_until_complete(task)
    left = list(rt._service.sessions.handlers.tasks.values())
    loop.close()
    asyncio.run(second())
    assert ended == [4408]
    assert "1 sessions of an event loop that was closed" in caplog.text
    for lost in left:
        lost._log_destroy_pending = False  # type: ignore[attr-defined] # as we know
        coroutine = lost.get_coro()
        assert coroutine is not None
        coroutine.close()  # as when it is collected: nothing comes of it


def test_authorize_and_endpoint_return_what_they_decorate() -> None:
    rt = realtime.Server()

    async def handler(session: realtime.Session) -> None: ...

    assert rt.authorize(nonsense) is nonsense
    assert rt.endpoint("/x")(handler) is handler


async def test_sessions_are_counted_and_listed(transport: str, place: Place) -> None:
    assert (len(place.rt), bool(place.rt), list(place.rt.sessions)) == (0, True, [])
    _, one = await place.parked(transport)
    peer, two = await place.parked(transport)
    assert list(place.rt.sessions) == [one, two]
    for _session in place.rt.sessions:
        await peer.send("x1000,session,,")  # they may end while they are listed
    await eventually(lambda: list(place.rt.sessions) == [one])


async def test_a_session_that_cannot_be_flushed_ends_alone(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    peers = [await place.parked("websocket") for _ in range(3)]
    broken = peers[1][1]

    def peek(*args: object) -> None:
        raise RuntimeError("a fault of ours")

    class Faulty:
        def __init__(self, outbox: Any) -> None:
            self.outbox = outbox

        def __getattr__(self, name: str) -> Any:
            return peek if name in ("peek", "number") else getattr(self.outbox, name)

    broken._machine.outbox = Faulty(broken._machine.outbox)  # type: ignore[assignment]
    for _, session in peers:
        session.send_nowait("hello")
    assert await peers[0][0].news() == "mhello"
    assert await peers[2][0].news() == "mhello"
    assert await peers[1][0].end() == (1011, "x")
    assert errors(caplog.records) == [f"session {broken.label} could not be flushed"]


async def test_a_fault_in_the_sweep_does_not_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    async with serving(clock=clock) as place:
        _, broken = await place.parked("polling")
        _, fine = await place.parked("polling")
        await eventually(lambda: fine._machine.used)
        original = type(broken._listener).changed

        def changed(listener: ServerListener, before: realtime.State, after: realtime.State) -> None:
            if listener is broken._listener:
                raise RuntimeError("a fault of ours")
            original(listener, before, after)

        monkeypatch.setattr(type(broken._listener), "changed", changed)
        for _ in range(4):
            with suppress(RuntimeError):  # the clock's owner hears of it
                place.tick(60)
        place.tick(1)
        assert fine.close_code == 4410
        monkeypatch.undo()


async def test_tombstones_are_bounded() -> None:
    async with serving(max_tombstones=2) as place:
        ended = []
        for _ in range(4):
            peer, _ = await place.parked("polling")
            await peer.send("c1000,")
            ended.append((peer.sid, peer.key))
        late = place.polls("/park")
        answers = []
        for late.sid, late.key in ended:
            answers.append((await late.post("send", [late.uplink_frame()])).status)
        assert answers == [404, 404, 410, 410]
        assert len(place.rt._service.sessions.registry.nonces) == 2


async def test_sids_name_their_worker_and_cannot_be_guessed(place: Place) -> None:
    sids = [(await place.parked("polling"))[1].id for _ in range(20)]
    assert len({sid.split(".")[1] for sid in sids}) == 20
    assert {sid.split(".")[0] for sid in sids} == {place.rt._service.sessions._worker}
    assert all(len(sid.split(".")[1]) == 24 for sid in sids)  # 144 random bits
