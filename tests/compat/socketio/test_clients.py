"""The Socket.IO clients that people have: socket.io-client 4, 3, 2 and 1 in Node, and python-socketio's.

`make test` installs the former (`.ci/clients`). Where there is no Node, or no installed packages, theirs are skipped.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio

import realtime
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession

from ...patience import within
from ...web.place import Place, eventually, serving
from ..node import Node

HERE = Path(__file__).parent
NODE = Node(HERE)
LIMIT = 60.0  # seconds, for what takes one
COUNT = 50

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules").is_dir(),
    reason="needs Node 18 and the packages of this folder: sh .ci/clients",
)
needs_the_first = pytest.mark.skipif(
    not (HERE / "node_modules" / "socket.io-client-v1").is_dir(), reason="needs the newest packages: sh .ci/clients"
)
TRANSPORTS = pytest.mark.parametrize(
    "transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids=["polling", "websocket", "upgrade"]
)


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    NODE.stop()


class Visits:
    """The events of a server for clients of all kinds, and what it has seen."""

    def __init__(self) -> None:
        self.events = Events()
        self.seen: list[tuple[str, Any]] = []
        self.numbers: list[int] = []
        self.admin = self.events.namespace("/admin")
        for namespace in (self.events, self.admin):
            namespace.on("connect")(self.connect)
            namespace.on("disconnect")(self.disconnect)
            namespace.on("echo")(lambda session, *args: args)
        self.events.on("none")(lambda session: None)
        self.events.on("null")(lambda session: (None,))
        self.events.on("raise")(self.fail)
        self.events.on("no ack")(lambda session, text: self.seen.append(("no ack", text)))
        self.events.on("call me")(self.call)
        self.events.on("join")(self.join)
        self.events.on("count")(self.count)
        self.events.on("number")(lambda session, number: self.numbers.append(number))
        self.events.on("counted")(lambda session: len(self.numbers))
        self.admin.on("say to main")(self.say)
        self.admin.on("put me out")(self.put_out)
        self.events.namespace("/secret").on("connect")(self.refuse)

    async def connect(self, session: EventSession, auth: Any) -> None:
        self.seen.append((session.namespace, auth))
        await session.emit("hello", session.namespace, b"\x00\xff")

    def disconnect(self, session: EventSession, reason: str) -> None:
        self.seen.append((session.namespace, reason))

    def refuse(self, session: EventSession) -> None:
        raise realtime.Unauthorized("no", data={"why": "secret"})

    async def fail(self, session: EventSession) -> None:
        raise ValueError("a fault")

    async def call(self, session: EventSession) -> None:
        answers = [
            await session.call("ask", 1, "two", timeout=LIMIT),
            await session.call("ask bytes", b"\x01\x02", timeout=LIMIT),
            await session.call("ask nothing", timeout=LIMIT),
        ]
        self.seen.append(("answers", answers))
        await session.emit("called", answers)

    async def join(self, session: EventSession, room: str) -> None:
        await session.join(room)

    async def say(self, session: EventSession, room: str, data: bytes) -> None:
        while not len(self.events.room(room)):  # noqa: ASYNC110 # who joins is another namespace's
            await asyncio.sleep(0.01)
        await self.events.room(room).emit("said", data, {"of": session.namespace})

    async def count(self, session: EventSession, most: int) -> None:
        for number in range(most):
            await session.emit("number", number)

    async def put_out(self, session: EventSession) -> None:
        await session.disconnect()


@asynccontextmanager
async def visited() -> AsyncIterator[tuple[Place, Visits]]:
    """A place with these events at /socket.io/, and what they see."""
    visits = Visits()
    rt = realtime.Server(shutdown_timeout=0.3)
    rt.endpoint("/chat", socketio="/socket.io")(visits.events)
    async with serving(rt) as place:
        yield place, visits


@needs_node
@TRANSPORTS
@pytest.mark.parametrize("version", [4, 3, 2, pytest.param(1, marks=needs_the_first)])
async def test_all_that_a_client_can_do(version: int, transports: list[str]) -> None:
    async with visited() as (place, visits):
        # By polling version 1 encodes text twice, and expects that: what is answered by another transport is garbled.
        text = "plain" if version == 1 and transports[0] == "polling" else "é€\U0001f600\u2028"
        plan = {"version": version, "url": place.base, "transports": transports, "count": COUNT, "text": text}
        try:
            async with within():
                out = await asyncio.to_thread(NODE.ask, json.dumps(plan))
        except BaseException:
            NODE.stop()
            raise
        told = json.loads(out)
        old = version <= 2
        binary = {"b": "AQID"}
        assert told == {
            "errors": [],
            "hello": ["/", {"b": "AP8="}],
            "own": not old,  # versions 1 and 2 know no other than Engine.IO's
            "echo": [1, text, None, {"a": [True]}],
            "bytes": [binary, {"deep": [{"b": ""}, "x"]}],
            "none": [],
            "null": [None],
            "failed": [{"_error": "failed", "message": "the handler failed"}],
            "admin": ["/admin", {"b": "AP8="}],
            "adminEcho": [{"b": "CQ=="}],
            "secret": {"why": "secret"} if old else {"message": "no", "data": {"why": "secret"}},
            "unknown": "Invalid namespace" if old else {"message": "Invalid namespace"},
            "called": [[["two", 1], {"back": {"b": "AQI="}}, None]],
            "said": [{"b": "Bw=="}, {"of": "/admin"}],
            "numbers": list(range(COUNT)),
            "counted": [COUNT],
            "gone": "io server disconnect",
            "still": ["still"],
            "transport": transports[-1],
        }
        await eventually(lambda: len(place.rt) == 0)
        assert visits.numbers == list(range(COUNT))
        assert visits.seen[0] == ("/", {} if old else {"token": "main"})
        assert ("/admin", {"token": "1", "b": ","} if old else {"token": "1"}) in visits.seen
        assert ("answers", [["two", 1], {"back": b"\x01\x02"}, None]) in visits.seen
        assert ("/admin", "server namespace disconnect") in visits.seen
        # The handlers are told of it behind the end.
        ends = ("client namespace disconnect", "transport close")
        await eventually(lambda: any(name == "/" and said in ends for name, said in visits.seen))


@TRANSPORTS
async def test_python_socketio(transports: list[str]) -> None:
    async with visited() as (place, visits):
        client = socketio.AsyncClient(reconnection=False)
        numbers: list[int] = []
        came: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("called", "said", "gone")}
        told: dict[str, Any] = {}
        client.on("ask", lambda a, b: (b, a))
        client.on("ask bytes", lambda data: {"back": data})
        client.on("ask nothing", lambda: None)
        client.on("number", numbers.append)

        def keep(name: str, namespace: str = "/") -> None:
            def handler(*args: Any) -> None:
                told[name] = args
                came[name].set()

            client.on("disconnect" if name == "gone" else name, handler, namespace=namespace)

        keep("called")
        keep("said")
        keep("gone", "/admin")
        async with within():
            await client.connect(
                place.base, transports=transports, auth={"token": 1}, namespaces=["/", "/admin"], wait_timeout=30
            )
            assert client.get_sid("/") != client.get_sid("/admin")
            assert await client.call("echo", ("é", 1)) == ("é", 1)
            assert await client.call("echo", b"\x00\xff", namespace="/admin") == b"\x00\xff"
            assert await client.call("echo", {"a": [b"1", "x"]}) == {"a": [b"1", "x"]}
            assert await client.call("none") is None
            await client.emit("call me")
            await came["called"].wait()
            assert told["called"] == ([["two", 1], {"back": b"\x01\x02"}, None],)
            await client.emit("join", "lobby")
            await client.emit("say to main", ("lobby", b"\x07"), namespace="/admin")
            await came["said"].wait()
            assert told["said"] == (b"\x07", {"of": "/admin"})
            await client.emit("count", COUNT)
            await eventually(lambda: len(numbers) == COUNT)
            for number in range(COUNT):
                await client.emit("number", number)
            assert await client.call("counted") == COUNT
            await client.emit("put me out", namespace="/admin")
            await came["gone"].wait()
            assert await client.call("echo", "still") == "still"
            assert client.transport() == transports[-1]
            await client.disconnect()
        await eventually(lambda: len(place.rt) == 0)
        assert numbers == visits.numbers == list(range(COUNT))
        assert visits.seen[:2] == [("/", {"token": 1}), ("/admin", {"token": 1})]


async def test_python_socketio_is_refused() -> None:
    async with visited() as (place, _):
        client = socketio.AsyncClient(reconnection=False)
        refusals: list[Any] = []
        client.on("connect_error", refusals.append, namespace="/secret")
        async with within():
            with pytest.raises(socketio.exceptions.ConnectionError):
                await client.connect(place.base, namespaces=["/secret"], wait_timeout=30)
        assert refusals == [{"message": "no", "data": {"why": "secret"}}]
        await client.shutdown()
        await eventually(lambda: len(place.rt) == 0)
