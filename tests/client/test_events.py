"""Events between our own client and our own server; under faults, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

import realtime
from realtime.protocols.layers.socketio import packets
from realtime.protocols.layers.socketio.packets import Packet
from realtime.testing import (
    BlackHole,
    Cut,
    DropRequest,
    DropResponse,
    Fault,
    FaultProxy,
    KillWebSocket,
    ProxiedRequest,
    RepeatRequest,
    TruncateResponse,
)

from ..patience import eventually, within
from ..web.place import errors
from .soak import TIMING

TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> Any:
    """The log, in which nothing above INFO may be in the end."""
    yield caplog
    assert errors(caplog.get_records("call")) == []


class Server:
    """Events for a client, and what they have seen."""

    def __init__(self) -> None:
        self.events = realtime.Events()
        self.admin = self.events.namespace("/admin")
        self.sessions: list[realtime.EventSession] = []
        self.seen: list[Any] = []
        for namespace in (self.events, self.admin):
            namespace.on("connect")(self.connect)
            namespace.on("disconnect")(self.disconnect)
            namespace.on("echo")(lambda session, *args: args)
        self.events.on("ask back", concurrent=100)(self.ask_back)  # its client asks within that
        self.events.on("number")(self.number)

    def connect(self, session: realtime.EventSession, auth: dict[str, Any]) -> None:
        if auth.get("refuse"):
            raise realtime.Unauthorized("no", data=[1])
        self.sessions.append(session)

    def disconnect(self, session: realtime.EventSession, reason: str) -> None:
        self.seen.append((session.namespace, reason))

    async def ask_back(self, session: realtime.EventSession, *args: Any) -> Any:
        return await session.call("ask", *args, timeout=60)

    async def number(self, session: realtime.EventSession, number: int, data: bytes) -> int:
        self.seen.append(number)
        await session.emit("number", number, data)
        return number


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[Server, int]]:
    """A server with these events at /realtime/chat, and its port."""
    server = Server()
    rt = realtime.Server(shutdown_timeout=0.5, **settings)
    rt.endpoint("/chat")(server.events)
    app = web.Application()
    realtime.setup(app, rt)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield server, runner.addresses[0][1]
    finally:
        await runner.cleanup()


@TRANSPORTS
async def test_events_both_ways(transport: str) -> None:
    told: list[Any] = []
    async with (
        serving() as (server, port),
        realtime.connect(f"http://127.0.0.1:{port}/realtime/chat", transports=transport, upgrade=False) as session,
        within(),
    ):
        main, admin = session.events(), session.events("/admin", auth={"token": 1})
        assert session.events("/admin") is admin
        with pytest.raises(realtime.LocalProtocolError, match="other auth data"):
            session.events("/admin", auth={"token": 2})
        main.on("connect")(lambda: told.append("connect"))
        admin.on("disconnect")(lambda reason: told.append(reason))

        @main.on("ask")
        async def ask(*args: Any) -> Any:
            again = await main.call("echo", "within")
            return [*args, again]

        @main.on("*")
        def others(event: str, *args: Any) -> str:
            told.append((event, args))
            return event

        await main.ready()
        assert await main.call("echo") is None
        assert await main.call("echo", 1) == 1
        assert await main.call("echo", b"\x00", {"a": [b"1"]}) == [b"\x00", {"a": [b"1"]}]
        assert await admin.call("echo", "é") == "é"
        assert await main.call("ask back", 1, b"2") == [1, b"2", "within"]
        with pytest.raises(realtime.EventError, match="no handler of 'nothing'"):
            await main.call("nothing")
        with pytest.raises(realtime.EventError, match="takes 2 arguments, not 1"):
            await main.call("number", 1)
        await server.events.emit("news", 1)
        assert await server.sessions[0].call("other") == "other"
        assert told == ["connect", ("news", (1,)), ("other", ())]
        assert {main.id, admin.id} == {one.id for one in server.sessions}
        main.off("ask")
        main.off("nothing")
        assert await main.call("ask back") == "ask"
        await server.sessions[1].disconnect()
        await eventually(lambda: admin.closed)
        assert told[-1] == "io server disconnect"
        with pytest.raises(realtime.SessionClosed):
            await admin.emit("late")
        again = session.events("/admin")
        assert again is not admin
        assert await again.call("echo", 1) == 1
        await again.disconnect()
        await again.disconnect()
        await eventually(lambda: server.seen[-1] == ("/admin", "client namespace disconnect"))
        calling = asyncio.create_task(main.call("ask back", timeout=None))
        main.off("*")
        await server.sessions[0].session.close(3000, "done")
        with pytest.raises(realtime.SessionClosed, match="3000"):
            await calling
        with pytest.raises(realtime.SessionClosed):
            session.events("/more")


@pytest.mark.parametrize("entered", [True, False], ids=["when it was in", "before it was in"])
@TRANSPORTS
async def test_a_namespace_that_is_left_may_be_asked_for_again(transport: str, entered: bool) -> None:
    """What the server said before it knew, of the one that was left, is none of the new one's."""
    async with within(), serving() as (server, port):

        @server.admin.on("talk")
        async def talk(session: realtime.EventSession) -> None:
            for _ in range(200):
                await session.emit("said", session.id)

        url = f"http://127.0.0.1:{port}/realtime/chat"
        async with realtime.connect(url, transports=transport, max_outbox=10_000) as session:
            heard: list[str] = []
            before = session.events("/admin")
            if entered:
                await before.ready()
                await before.emit("talk")
                before.on("said")(lambda _: None)
            await before.disconnect()
            again = session.events("/admin", auth={"again": True})
            again.on("said")(heard.append)
            await again.ready()
            assert again is not before
            assert again.id == server.sessions[-1].id
            assert again.id != before.id
            assert await again.call("echo", 1, b"2", timeout=60) == [1, b"2"]
            assert set(heard) <= {again.id}
            assert not session.closed


async def test_refusals() -> None:
    told: list[Any] = []
    async with (
        serving() as (server, port),
        realtime.connect(f"http://127.0.0.1:{port}/realtime/chat") as session,
        within(),
    ):
        main = session.events(auth={"refuse": True})
        main.on("connect_error")(told.append)
        for action in (main.ready, lambda: main.emit("a"), lambda: main.call("a")):
            with pytest.raises(realtime.EventError) as caught:
                await action()
            assert (caught.value.message, caught.value.code, caught.value.data) == ("no", "refused", [1])
        assert [error.message for error in told] == ["no"]
        assert main.closed
        with pytest.raises(realtime.EventError, match="Invalid namespace"):
            await session.events("/nowhere").ready()
        assert await session.events().call("echo", "now") == "now"
        wrong = session.events("/admin", auth={"a": object()})
        wrong.on("connect_error")(told.append)
        with pytest.raises(realtime.EventError, match="not object"):
            await wrong.ready()
        assert [error.code for error in told] == ["refused", "invalid"]
        with pytest.raises(realtime.LocalProtocolError, match="a namespace is"):
            session.events("admin")
        with pytest.raises(realtime.LocalProtocolError, match="no event"):
            await session.events().emit("connect")
        assert server.sessions[-1].auth == {}


@pytest.mark.parametrize("said", ["40", "0", '0{"sid":5}', '2["early"]', "nonsense", '3["x"]', b"x"])
async def test_a_server_that_speaks_nonsense(said: str | bytes) -> None:
    rt = realtime.Server(shutdown_timeout=0.3)

    @rt.endpoint("/chat")
    async def chat(session: realtime.Session) -> None:
        assert await session.receive() == "0"
        await session.send(said)
        await session.wait_closed()

    async with realtime.testing.Clients() as client:
        session = await client(rt, "/realtime/chat")
        async with within():
            with pytest.raises(realtime.SessionClosed):
                await session.events().ready()
            await session.wait_closed()
        assert session.close_code == 1002


async def test_another_session_goes_on_in_a_room_with_history() -> None:
    """Where the first has heard half of it, an event with bytes among them."""
    events = realtime.Events()
    rt = realtime.Server(shutdown_timeout=0.3)
    rt.configure_rooms("/#kept", history=100)
    rt.endpoint("/chat")(events)

    @events.on("connect")
    async def connect(session: realtime.EventSession) -> None:
        await session.join("kept")

    async def listen(session: realtime.ClientSession) -> list[Any]:
        heard: list[Any] = []
        main = session.events()
        main.on("number")(lambda *args: heard.append(args))
        await main.ready()
        return heard

    async with realtime.testing.Clients() as client, within():
        first = await client(rt, "/realtime/chat")
        heard = await listen(first)
        for number in range(3):
            await events.room("kept").emit("number", number, b"x" * number, {"of": [b""]})
        await eventually(lambda: len(heard) == 3)
        stored = first.cursors
        assert list(stored) == ["/#kept"]
        await first.close()
        for number in range(3, 6):
            await events.room("kept").emit("number", number, *([b"y"] if number % 2 else []))
        await rt.room("/#kept").send("plain")
        second = await client(rt, "/realtime/chat", cursors=stored)
        again = await listen(second)
        await events.room("kept").emit("number", 6, b"z")
        await eventually(lambda: len(again) == 4)
        assert heard == [(0, b"", {"of": [b""]}), (1, b"x", {"of": [b""]}), (2, b"xx", {"of": [b""]})]
        assert again == [(3, b"y"), (4,), (5, b"y"), (6, b"z")]
        assert second.gap is None


def posts(request: ProxiedRequest) -> bool:
    """Polls and sends."""
    return request.method == "POST"


def websockets(request: ProxiedRequest) -> bool:
    """Handshakes."""
    return request.is_websocket


FAULTS: dict[str, tuple[str, list[Fault]]] = {
    "websocket killed after 40 frames": ("websocket", [KillWebSocket(after_frames=40, end="rst")]),
    "websocket killed after 90 frames of the client": (
        "websocket",
        [KillWebSocket(after_frames=90, sent_by="client", end="rst")],
    ),
    "websocket cut within an event": ("websocket", [Cut(match=websockets, after_bytes=3000, end="rst")]),
    "websocket into a black hole": ("websocket", [BlackHole(match=websockets, after_bytes=8000, times=3)]),
    "polls repeated, dropped and truncated": (
        "long_polling",
        [
            RepeatRequest(every=3),
            DropRequest(match=posts, every=11),
            DropResponse(match=posts, every=7),
            TruncateResponse(match=posts, every=9),
        ],
    ),
    "streams cut, sends repeated": (
        "sse",
        [Cut(match=lambda request: request.path.endswith("/sse"), after_bytes=6000, end="rst"), RepeatRequest(every=3)],
    ),
}


@pytest.mark.parametrize(("transport", "faults"), FAULTS.values(), ids=FAULTS)
async def test_each_call_is_answered_once(transport: str, faults: list[Fault]) -> None:
    """Events with bytes, and calls both ways, over connections that die again and again."""
    count = 150
    async with serving(**TIMING) as (server, port), FaultProxy("127.0.0.1", port) as proxy:
        rules = [proxy.add(fault) for fault in faults]
        options: dict[str, Any] = {"attach_timeout": 1.0, "post_timeout": 1.0, "backoff": (0.01, 0.1)}
        url = f"{proxy.url}/realtime/chat"
        async with realtime.connect(url, transports=transport, **options) as session, within():
            main = session.events()
            heard: list[tuple[int, bytes]] = []
            asked: list[int] = []
            main.on("number")(lambda number, data: heard.append((number, data)))

            @main.on("ask")
            async def ask(number: int, data: bytes) -> list[Any]:
                asked.append(number)
                return [number, data]

            data = [bytes([number]) * (number % 40) for number in range(count)]
            answers = await asyncio.gather(
                *(main.call("number", number, data[number], timeout=None) for number in range(count)),
                *(main.call("ask back", number, data[number], timeout=None) for number in range(0, count, 5)),
            )
            expected: list[Any] = [*range(count), *([number, data[number]] for number in range(0, count, 5))]
            assert answers == expected
            await eventually(lambda: len(heard) >= count)
            assert heard == list(enumerate(data))
            assert asked == list(range(0, count, 5))
            assert server.seen == list(range(count))
            assert not main._home.calls
        for rule in rules:
            assert rule.fired > 0, f"{rule.fault} never happened: this shows nothing"


async def test_of_namespaces_that_nobody_has_asked_for_nothing_is_kept() -> None:
    """However many a server says that this client is in."""
    async with (
        serving() as (_, port),
        realtime.connect(f"http://127.0.0.1:{port}/realtime/chat", transports="websocket") as session,
        within(),
    ):
        main = session.events()
        await main.ready()
        home = main._home
        for number in range(10):
            assert home._take(Packet(packets.CONNECT, f"/{number}", {"sid": "x"}), 10) is None
        assert not home._due
        assert await main.call("echo", 1) == 1
