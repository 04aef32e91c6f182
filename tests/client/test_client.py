"""What a user of realtime.connect() meets: opening, refusals, ends, what was never acknowledged, opening again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import realtime
from realtime.client import exchange
from realtime.core.attempts import NONCE_LIFE
from realtime.protocols import native
from realtime.testing import FaultProxy, VirtualClock, serve

from ..patience import eventually, within

TRANSPORTS = ["websocket", "xhr_streaming", "sse", "long_polling", "polling"]  # what is tried by default
ALL = [*TRANSPORTS, "multipart"]
each_transport = pytest.mark.parametrize("transport", ALL)


@contextlib.asynccontextmanager
async def serving(server: realtime.Server) -> AsyncIterator[str]:
    """The URL below which the server's endpoints are."""
    app = web.Application()
    realtime.setup(app, server)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/realtime"
    finally:
        await runner.cleanup()


def echo_server(**settings: Any) -> realtime.Server:
    """A server with /echo, and /close/<code> that closes with it."""
    server = realtime.Server(**settings)

    @server.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    return server


async def state_becomes(session: realtime.ClientSession, wanted: Callable[[], bool]) -> None:
    """Waits until a condition on the session's state or transport holds."""
    news = asyncio.Event()
    undo = session.on_change(lambda _: news.set())
    try:
        while not wanted():
            news.clear()
            await news.wait()
    finally:
        undo()


async def passes(clock: VirtualClock, until: Callable[[], object]) -> None:
    """Lets time pass on a clock, with some turns of the event loop for every half second, until a condition holds."""

    def holds() -> bool:
        clock.advance(0.5)
        return bool(until())

    await eventually(holds)


@each_transport
async def test_echo(transport: str) -> None:
    async with serving(echo_server()) as url, realtime.connect(f"{url}/echo", transports=[transport]) as session:
        for message in ("hello", "", b"\x00\xff", b"", '\u2028 \U0001f600 \x00 \\ "', "x" * 100_000):
            await session.send(message)
            assert await session.receive() == message
        await session.flush()
        assert session.transport == transport
        assert session.state == "open"
        assert session.unacknowledged == []
        verdicts = {choice["name"]: choice["verdict"] for choice in session.negotiation}
        assert verdicts == {name: "taken" if name == transport else "refused" for name in realtime.Config().transports}
    assert session.closed
    assert (session.close_code, session.close_reason) == (1000, "")
    with pytest.raises(realtime.SessionClosed):
        await session.send("too late")


async def test_opening_by_await_and_closing_by_hand() -> None:
    async with serving(echo_server()) as url:
        session = await realtime.connect(f"{url}/echo")
        await session.close(4001, "done")
        await session.close()
        assert (session.close_code, session.close_reason) == (4001, "done")


@each_transport
async def test_the_server_closes(transport: str) -> None:
    server = realtime.Server()

    @server.endpoint("/bye")
    async def bye(session: realtime.Session) -> None:
        await session.send("one")
        await session.send("two")
        await session.close(4321, "that, is all")

    async with serving(server) as url, realtime.connect(f"{url}/bye", transports=[transport]) as session:
        assert [message async for message in session] == ["one", "two"]
        assert (session.close_code, session.close_reason) == (4321, "that, is all")
        with pytest.raises(realtime.SessionClosed) as caught:
            await session.receive()
        assert caught.value.code == 4321


@each_transport
async def test_the_handler_raises(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    server = realtime.Server()

    @server.endpoint("/broken")
    async def broken(session: realtime.Session) -> None:
        await session.send("so far")
        raise LookupError("a secret of the server")

    async with serving(server) as url, realtime.connect(f"{url}/broken", transports=[transport]) as session:
        assert [message async for message in session] == ["so far"]
        assert session.close_code == 1011
        assert "secret" not in str(session.close_reason)
    assert caplog.text.count("Traceback") == 1
    assert "LookupError: a secret of the server" in caplog.text


@pytest.mark.parametrize("name", ["htmlfile", "jsonp"])
def test_what_only_browsers_run(name: str) -> None:
    with pytest.raises(realtime.LocalProtocolError, match=f"only browsers run .?{name}"):
        realtime.connect("http://127.0.0.1:9/", transports=["websocket", name])


async def test_nobody_there() -> None:
    async with serving(echo_server()) as url:
        pass
    with pytest.raises(realtime.NegotiationError) as caught:
        await realtime.connect(f"{url}/echo")
    assert set(caught.value.attempts) == set(TRANSPORTS) - {"multipart"}
    assert url in str(caught.value)


async def test_no_realtime_server_there() -> None:
    app = web.Application()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with pytest.raises(realtime.NegotiationError) as caught:
            await realtime.connect(f"http://127.0.0.1:{runner.addresses[0][1]}/nothing")
        assert "404" in caught.value.attempts["websocket"]
        assert "is setup() called with this prefix?" in caught.value.attempts["polling"]
    finally:
        await runner.cleanup()


async def test_a_mute_server_is_given_up_in_bounded_time() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(realtime.NegotiationError) as caught:
            await realtime.connect(f"http://127.0.0.1:{port}/x", attach_timeout=0.05, open_timeout=3.0)
        assert set(caught.value.attempts) == {*TRANSPORTS, "open_timeout"}
        assert set(caught.value.attempts.values()) == {
            "no answer in time",
            "no data in time: held back, or mute",
            "3 s passed",
        }
        with pytest.raises(realtime.NegotiationError) as caught:
            await realtime.connect(f"http://127.0.0.1:{port}/x", attach_timeout=60, open_timeout=0.05)
        assert "0.05 s passed" in str(caught.value)


@each_transport
async def test_who_may_come_in(transport: str) -> None:
    server = echo_server()
    seen: list[Any] = []

    @server.authorize
    async def authorize(request: realtime.SessionRequest) -> str | None:
        if request.headers.get("Authorization") != "Bearer good":
            raise realtime.Unauthorized("no such token")
        seen.append(request.auth)
        return "ada"

    async with serving(server) as url:
        for headers in ({}, {"Authorization": "Bearer bad"}):
            with pytest.raises(realtime.NegotiationError) as caught:
                await realtime.connect(f"{url}/echo", transports=[transport], headers=headers)
            assert caught.value.attempts == {transport: "refused with 4401: no such token"}
        good = {"Authorization": "Bearer good"}
        if transport in ("sse", "multipart"):  # auth data must not stand in a URL
            with pytest.raises(realtime.NegotiationError, match="must not stand in a URL"):
                await realtime.connect(f"{url}/echo", transports=[transport], headers=good, auth={"room": 7})
            allowed = [transport, "long_polling"]
        else:
            allowed = [transport]
        async with realtime.connect(f"{url}/echo", transports=allowed, headers=good, auth={"room": 7}) as session:
            await session.send("hi")
            assert await session.receive() == "hi"
            assert session.transport == transport
            assert [s.identity for s in server.sessions] == ["ada"]
        assert seen[0] == {"room": 7}


async def test_auth_data_stay_out_of_the_url() -> None:
    server = echo_server()
    async with serving(server) as url:
        port = int(url.split(":")[2].split("/")[0])
        async with FaultProxy("127.0.0.1", port) as proxy:
            async with realtime.connect(f"{proxy.url}/realtime/echo", auth="a secret", race_delay=60.0) as session:
                assert session.transport == "websocket"
            async with realtime.connect(f"{proxy.url}/realtime/echo", race_delay=60.0):
                pass
            targets = [event.request.target for event in proxy.log if event.kind == "request" and event.request]
        assert "open=" not in targets[0]
        assert "open=" in targets[1]


async def test_a_transport_the_endpoint_does_not_allow() -> None:
    server = realtime.Server()

    @server.endpoint("/polled", transports=("long_polling", "polling"))
    async def polled(session: realtime.Session) -> None:
        await session.receive()

    async with serving(server) as url:
        async with realtime.connect(f"{url}/polled") as session:
            assert session.transport == "long_polling"
            assert "4406" in session.attempts["websocket"]
            verdicts = {choice["name"]: choice["verdict"] for choice in session.negotiation}
            assert verdicts.pop("long_polling") == "taken"
            assert verdicts.pop("polling") == "offered"
            assert set(verdicts.values()) == {"refused"}
        with pytest.raises(realtime.NegotiationError, match="4406"):
            await realtime.connect(f"{url}/polled", transports=["websocket"])


@each_transport
async def test_a_session_that_expires_lists_what_was_never_acknowledged(transport: str) -> None:
    """The cable is cut for longer than the resume window: both sides are told, with a code, and the client can list
    what it sent that the server never said it had."""
    clock = VirtualClock()
    server = realtime.Server(clock=clock)
    ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    @server.endpoint("/sink")
    async def sink(session: realtime.Session) -> None:
        async for _ in session:
            pass
        ended.set_result(session.close_code)

    async with serving(server) as url:
        port = int(url.split(":")[2].split("/")[0])
        async with FaultProxy("127.0.0.1", port) as proxy:
            session = await realtime.connect(
                f"{proxy.url}/realtime/sink", transports=[transport], clock=clock, backoff=(0.01, 0.05)
            )
            await session.send("arrives")
            await session.flush()
            proxy.unplug()
            await session.send("never")
            await session.send(b"ever")
            await passes(clock, lambda: session.closed)
            assert session.close_code in (4410, 4411)
            assert session.unacknowledged == ["never", b"ever"]
            with pytest.raises(realtime.SessionClosed):
                await session.flush()
            await passes(clock, ended.done)
            assert await ended == 4410
            await session.close()


@pytest.mark.parametrize("transport", ["websocket", "long_polling", "sse"])
async def test_no_open_begins_by_a_nonce_that_is_old(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers for a while: the client opens by one nonce for seven seconds, and by another then."""
    clock = VirtualClock()
    opens: list[tuple[float, str]] = []
    answers = asyncio.Event()
    original = native.open_frame

    def open_frame(nonce: str, *args: Any, **more: Any) -> str:
        opens.append((clock.now(), nonce))
        return original(nonce, *args, **more)

    @web.middleware
    async def late(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        await answers.wait()
        return await handler(request)

    monkeypatch.setattr(exchange, "open_frame", open_frame)
    app = web.Application(middlewares=[late])
    realtime.setup(app, echo_server())
    async with serve(app) as served:
        url = served.make_url("/realtime/echo")
        opening = realtime.connect(url, transports=[transport], clock=clock, open_timeout=600.0)
        task = asyncio.create_task(opening._open())
        await passes(clock, lambda: len({nonce for _, nonce in opens}) > 3)
        answers.set()
        session = await task  # time stands still
        await session.send("once")
        assert await session.receive() == "once"
        await session.close()
    first: dict[str, float] = {}
    for when, nonce in opens:
        assert when - first.setdefault(nonce, when) <= NONCE_LIFE + 1.0  # a step of the clock's, twice
    assert len(opens) > len(first)  # each is for more than one attempt


async def test_a_server_process_that_dies_is_told_promptly() -> None:
    """Another process in its place knows no such session."""
    first, second = echo_server(), echo_server()
    async with serving(second) as url:
        new_port = int(url.split(":")[2].split("/")[0])
        async with serving(first) as old_url:
            old_port = int(old_url.split(":")[2].split("/")[0])
            async with FaultProxy("127.0.0.1", old_port) as proxy:
                session = await realtime.connect(f"{proxy.url}/realtime/echo", transports=["websocket"])
                proxy.backend = ("127.0.0.1", new_port)
                proxy.cut(rst=True)
                await session.wait_closed()
                assert session.close_code == 4404
                await session.close()


async def test_a_new_session_whenever_one_is_lost() -> None:
    server = realtime.Server()
    greetings = iter(("one", "two", "three"))

    @server.endpoint("/short")
    async def short(session: realtime.Session) -> None:
        await session.send(next(greetings))
        await session.close(1011 if session.id else 1000)

    got: list[str | bytes] = []
    async with serving(server) as url:
        async for session in realtime.connect(f"{url}/short", backoff=(0.01, 0.02)):
            got += [message async for message in session]
            if len(got) == 3:
                break
    assert got == ["one", "two", "three"]


async def test_sizes_and_kinds_are_checked_where_the_mistake_is() -> None:
    async with serving(echo_server(max_size=1000)) as url, realtime.connect(f"{url}/echo") as session:
        with pytest.raises(realtime.LocalProtocolError, match="max_size=1000"):
            await session.send("é" * 501)
        with pytest.raises(realtime.LocalProtocolError, match="surrogate at index 2"):
            await session.send("ab\ud800")
        with pytest.raises(TypeError, match="not int"):
            session.send_nowait(1)  # type: ignore[arg-type]
        await session.send("é" * 500)
        assert await session.receive() == "é" * 500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transports": ["carrier_pigeon"]}, "no transport 'carrier_pigeon'"),
        ({"transports": []}, r"transports=\[\]: takes different names"),
        ({"transports": "websockets"}, "no transport 'websockets'; did you mean 'websocket'"),
        ({"transports": ["polling", "polling"]}, "different names"),
        ({"max_queue": 3}, "max_queue=3"),
    ],
)
async def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(realtime.LocalProtocolError, match=message):
        realtime.connect("http://localhost/x", **arguments)


async def test_misspelt_arguments_and_urls() -> None:
    with pytest.raises(TypeError, match="transport"):
        realtime.connect("http://localhost/x", transport=["websocket"])  # type: ignore[call-arg]
    for url in ("localhost/x", "ftp://localhost/x", "http://"):
        with pytest.raises((realtime.LocalProtocolError, ValueError)):
            realtime.connect(url)


async def test_a_users_own_http_client_and_ws_urls() -> None:
    async with serving(echo_server()) as url, aiohttp.ClientSession(headers={"X-App": "mine"}) as http:
        ws_url = url.replace("http://", "ws://") + "/echo/?tenant=a%20b"
        async with realtime.connect(ws_url, http=http, transports=["long_polling"]) as session:
            await session.send("hi")
            assert await session.receive() == "hi"
        assert not http.closed


async def test_cancelled_while_opening_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    async with serving(echo_server()) as url:
        port = int(url.split(":")[2].split("/")[0])
        async with FaultProxy("127.0.0.1", port) as proxy:
            proxy.unplug()
            connecting = realtime.connect(f"{proxy.url}/realtime/echo", attach_timeout=0.01)
            opening = asyncio.ensure_future(connecting._open())
            await proxy.wait_logged("opened")
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
    assert {task for task in asyncio.all_tasks() if not task.done()} == before


class Asked:
    """A server that opens when it is told to, and how its session ended."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.asked, self.may = asyncio.Event(), asyncio.Event()
        self.ended: asyncio.Future[int | None] = loop.create_future()
        self.server = realtime.Server()
        self.server.authorize(self.authorize)
        self.server.endpoint("/wait")(self.wait)

    async def authorize(self, request: realtime.SessionRequest) -> str:
        self.asked.set()
        await self.may.wait()
        return "somebody"

    async def wait(self, session: realtime.Session) -> None:
        async for _ in session:
            raise AssertionError("nothing was sent")
        self.ended.set_result(session.close_code)


@each_transport
async def test_what_opens_behind_a_cancelled_connect_is_closed(transport: str) -> None:
    one, before = Asked(), asyncio.all_tasks()
    async with serving(one.server) as url, within():
        opening = asyncio.ensure_future(realtime.connect(f"{url}/wait", transports=transport)._open())
        await one.asked.wait()
        opening.cancel()
        one.may.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert await one.ended == 4411
    assert {task for task in asyncio.all_tasks() if not task.done()} == before


async def test_what_opens_behind_open_timeout_is_closed() -> None:
    one, clock = Asked(), VirtualClock()
    async with serving(one.server) as url, within():
        opening = asyncio.ensure_future(
            realtime.connect(f"{url}/wait", transports="websocket", clock=clock, attach_timeout=60.0)._open()
        )
        await one.asked.wait()
        clock.advance(30.0)
        one.may.set()
        with pytest.raises(realtime.NegotiationError, match="no session at"):
            await opening
        assert await one.ended == 4411


def test_an_event_loop_that_ends_waits_for_no_answer() -> None:
    """A second Ctrl-C, for one: who holds back the answer holds nobody up."""

    async def given_up() -> None:
        one = Asked()
        async with serving(one.server) as url, within():
            opening = asyncio.ensure_future(realtime.connect(f"{url}/wait", attach_timeout=60.0)._open())
            await one.asked.wait()
            opening.cancel()
            await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert "realtime client end" in names
            one.may.set()

    asyncio.run(given_up())


async def test_a_silent_server_is_noticed_by_the_clock() -> None:
    """No contact for resume_window + ping_interval + ping_timeout: the application is told 4411."""
    clock = VirtualClock()
    async with serving(echo_server()) as url:
        port = int(url.split(":")[2].split("/")[0])
        async with FaultProxy("127.0.0.1", port) as proxy:
            session = await realtime.connect(f"{proxy.url}/realtime/echo", transports=["websocket"], clock=clock)
            proxy.unplug()
            await session.send("into the void")
            clock.advance(29.9)
            assert session.state == "open"
            clock.advance(0.2)  # ping_interval + half of ping_timeout: this side asks
            clock.advance(10.0)
            await state_becomes(session, lambda: session.state == "detached")
            clock.advance(119.8)
            assert session.state == "detached"
            clock.advance(0.2)
            assert (session.close_code, session.unacknowledged) == (4411, ["into the void"])
            closing = asyncio.ensure_future(session.close())
            await closing


@pytest.mark.parametrize("transport", ["xhr_streaming", "sse"])
async def test_a_stream_that_is_recycled_is_no_loss_to_who_looks_at_the_state(transport: str) -> None:
    async with (
        serving(echo_server(max_stream_size=4096)) as url,
        realtime.connect(f"{url}/echo", transports=[transport]) as session,
    ):
        states = set()
        session.on_change(lambda _: states.add(str(session.state)))
        for _ in range(5):  # two streams hold one
            await session.send("x" * 3000)
            await session.receive()
        assert session._machine.gen > 2
        assert states <= {"open"}


async def test_plain_polls_keep_their_pauses() -> None:
    """Between two polls that bring nothing the pause doubles, up to the server's longest; what is sent goes at once."""
    polls = 0

    @web.middleware
    async def count(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        nonlocal polls
        polls += request.path.endswith("/polling")
        return await handler(request)

    clock = VirtualClock()
    app = web.Application(middlewares=[count])
    realtime.setup(app, echo_server(poll_interval=(1.0, 4.0)))
    async with serve(app) as served:
        url = served.make_url("/realtime/echo")
        # The other session is there for the time that its messages take: so long nothing happens to the first.
        async with (
            realtime.connect(url, transports=["websocket"]) as other,
            realtime.connect(url, transports=["polling"], clock=clock) as session,
        ):

            async def rest() -> int:
                for _ in range(50):
                    await other.send("")
                    await other.receive()
                return polls

            quiet = await rest()
            assert quiet == 2  # the open, and a first poll; after it the pause is twice the least
            for pause in (2.0, 4.0, 4.0):
                clock.advance(pause / 2)
                assert await rest() == quiet
                clock.advance(pause / 2)
                quiet += 1
                await eventually(lambda: polls == quiet)  # noqa: B023 # it is called here
                assert await rest() == quiet
            await session.send("at once")
            assert await session.receive() == "at once"


async def test_drops_are_told() -> None:
    """A slow client of a drop_oldest endpoint learns where, and how many, messages are missing."""
    server = realtime.Server(max_outbox=32)
    full = asyncio.Event()

    @server.endpoint("/news", on_full="drop_oldest")
    async def news(session: realtime.Session) -> None:
        for number in range(100):
            await session.send(str(number))
        full.set()
        await session.receive()

    async with serving(server) as url, realtime.connect(f"{url}/news", max_queue=16) as session:
        notes: list[int] = []
        session.on_change(lambda event: notes.append(session.dropped) if event == "dropped" else None)
        await full.wait()
        got = [int(await session.receive()) for _ in range(15)]
        while got[-1] != 99:
            got.append(int(await session.receive()))
        assert got == sorted(got)
        assert len(got) + session.dropped == 100
        assert notes
        assert notes[-1] == session.dropped > 0


@pytest.mark.parametrize("by", ["send", "room"])
@pytest.mark.parametrize("most", [1, 16])
@each_transport
async def test_the_newest_is_not_dropped(transport: str, most: int, by: str) -> None:
    """However far a client is away, and however little is kept for it: the last of a burst arrives, or a ticker's
    reader would have an old figure until the next."""
    server = realtime.Server(poll_interval=(0.05, 0.1))
    figures = server.room("figures")

    @server.endpoint("/ticker", on_full="drop_oldest", max_outbox=most)
    async def ticker(session: realtime.Session) -> None:
        await session.join("figures")
        async for _ in session:
            for number in range(100):
                await (figures if by == "room" else session).send(str(number))

    async with (
        serve(server) as running,
        FaultProxy("127.0.0.1", running.port or 0, latency=0.15) as proxy,
        realtime.connect(f"{proxy.url}/realtime/ticker", transports=[transport], max_queue=256) as session,
        within(),
    ):
        await session.send("go")
        got = [int(await session.receive())]
        while got[-1] != 99:
            got.append(int(await session.receive()))
        assert got == sorted(set(got))
        assert len(got) + session.dropped == 100
        assert session.dropped


@pytest.mark.parametrize("how", ["break", "cancelled"])
async def test_a_loop_that_is_left_early_closes_its_session_where_it_is_told_to(how: str) -> None:
    """`async for` alone leaves that to when Python finalizes the generator."""
    server = echo_server()
    loops = asyncio.Event()

    async def loop(url: str) -> None:
        async with contextlib.aclosing(aiter(realtime.connect(f"{url}/echo"))) as sessions:
            async for session in sessions:
                await session.send("hello")
                assert await session.receive() == "hello"
                loops.set()
                if how == "break":
                    break
                await session.receive()
        assert session.close_code == 1000

    async with serving(server) as url, within():
        looping = asyncio.create_task(loop(url))
        await loops.wait()
        if how == "break":
            await looping
        else:
            looping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await looping
        await eventually(lambda: not len(server))
