"""socket.io-client 4.8 goes on where it was, after its connections were lost in every way."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

import realtime
from realtime.namespaces.events import Events
from realtime.namespaces.session import EventSession

from ...cluster.workers import Worker, workers
from ...patience import within
from ...web.place import Place, eventually, serving
from ..node import Node
from .relay import Relay

HERE = Path(__file__).parent
NODE = Node(HERE)
LIMIT = 45.0  # seconds, for an answer that takes a moment

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules").is_dir(),
    reason="needs Node 18 and the packages of this folder: sh .ci/clients",
)
TRANSPORTS = pytest.mark.parametrize(
    "transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids=["polling", "websocket", "upgrade"]
)
NOTICE = pytest.mark.parametrize("notice", [True, False], ids=["noticed", "unnoticed"])


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    yield
    NODE.stop()


class Talk:
    """A client in some namespaces, which is sent numbers; what is told of it."""

    def __init__(self, names: list[str]) -> None:
        self.events = Events()
        self.names = names
        self.spaces = [self.events.namespace(name) for name in names]
        self.here: dict[str, EventSession] = {}
        self.told: list[Any] = []
        self.sent: dict[str, int] = dict.fromkeys(names, 0)
        for space in self.spaces:
            space.on("connect")(self.connect)
            space.on("disconnect")(lambda session, reason: self.told.append((session.namespace, reason)))

    async def connect(self, session: EventSession, auth: dict[str, Any]) -> None:
        assert auth == {"token": "main"}
        self.here[session.namespace] = session
        await session.join("lobby")

    async def say(self, count: int) -> None:
        """So many numbers, in every namespace, to all in a room, to this client alone, and with bytes."""
        for _ in range(count):
            for space in self.spaces:
                name, number = space.name, self.sent[space.name]
                self.sent[name] += 1
                if number % 3 == 0:
                    await space.room("lobby").emit("number", number)
                elif number % 3 == 1:
                    await self.here[name].emit("number", number, b"\x00\xff")
                else:
                    await space.emit("number", number, "text")

    async def synced(self) -> None:
        """Waits until the client is here, and has all that it was sent."""
        for name in self.names:
            async with within(f"the client is in {name}"):
                while True:
                    session = self.here.get(name)
                    try:
                        if session is not None:
                            await session.call("sync", timeout=LIMIT)
                            break
                    except (realtime.SessionClosed, realtime.LocalProtocolError):
                        pass  # it is away yet
                    await asyncio.sleep(0.005)

    def has_all(self, name: str) -> bool:
        """Whether all that was sent in a namespace has come to where its client is known."""
        keeping = self.here[name]._keeping
        return keeping is not None and keeping.sent.end == self.sent[name]

    def expected(self) -> dict[str, list[Any]]:
        """What the client has to have had."""
        more: list[list[Any]] = [[], [{"b": "AP8="}], ["text"]]
        return {
            name: [[name, "number", number, *more[number % 3]] for number in range(count)]
            for name, count in self.sent.items()
        }


@asynccontextmanager
async def talking(talk: Talk, **options: Any) -> AsyncIterator[tuple[Place, Relay]]:
    """A server with these events, and what is between it and its clients. Nobody is too slow for it."""
    rt = realtime.Server(shutdown_timeout=0.3, max_outbox=100_000)
    rt.endpoint("/chat", socketio=realtime.SocketIO(**({"recovery": 120.0} | options)))(talk.events)
    async with serving(rt) as place, Relay(int(place.base.rpartition(":")[2])) as relay:
        yield place, relay


@asynccontextmanager
async def visiting(relay: Relay, talk: Talk, transports: list[str]) -> AsyncIterator[dict[str, Any]]:
    """A client that has come in; in the end what it tells."""
    plan = {"version": 4, "url": relay.url, "transports": transports, "recovery": talk.names}
    asking = asyncio.create_task(asyncio.to_thread(NODE.ask, json.dumps(plan)))
    told: dict[str, Any] = {}
    try:
        await talk.synced()
        yield told
        for session in talk.here.values():
            await session.emit("done")
        async with within("the client has told what it had"):
            told |= json.loads(await asking)
    except BaseException:
        NODE.stop()
        raise


def waits(session: realtime.Session) -> bool:
    """Whether a connection waits for news: its loss is noticed. Between two polls only a heartbeat tells."""
    machine = session._machine
    return machine.carrier is not None and not len(machine.outbox)


@TRANSPORTS
@NOTICE
@pytest.mark.parametrize("names", [["/"], ["/", "/admin"]], ids=["one", "two"])
async def test_nothing_is_missed_and_nothing_comes_twice(names: list[str], notice: bool, transports: list[str]) -> None:
    talk = Talk(names)
    async with talking(talk) as (place, relay):
        async with visiting(relay, talk, transports) as told:
            for round_ in range(4):
                if round_:  # the first cut comes before any event
                    await talk.say(4)
                    if round_ % 2:
                        await talk.synced()
                if notice:
                    await eventually(lambda: all(map(waits, place.rt.sessions)))
                relay.lose(notice=notice)
                if notice:
                    await eventually(lambda: len(place.rt) == 0)
                await talk.say(5)
                assert not any(session.closed for session in talk.here.values())
                relay.away = False
                await talk.synced()
            await talk.say(1)
        for name, events in talk.expected().items():
            assert [event for event in told["events"] if event[0] == name] == events
            connects = [(recovered, sid) for at, recovered, sid in told["connects"] if at == name]
            assert {sid for _, sid in connects} == {talk.here[name].id}
            assert [recovered for recovered, _ in connects] == [False, True, True, True, True]
        assert set(told["offsets"]) == {"string"}
        assert talk.told == []


@TRANSPORTS
async def test_cuts_at_any_time(transports: list[str]) -> None:
    """While events are sent, in all their ways, connections are lost at any moment."""
    talk, draw = Talk(["/", "/admin"]), Random(18)
    over = False

    async def talks() -> None:
        while not over:
            await talk.say(1)
            await asyncio.sleep(draw.choice((0, 0, 0.001, 0.003)))

    # A client whose WebSocket is lost at the very end of an upgrade polls no more, and only misses heartbeats then.
    options = {"ping_interval": 1.0, "ping_timeout": 2.0, "recovery_events": 100_000, "recovery_size": 10_000_000}
    async with talking(talk, **options) as (_, relay), visiting(relay, talk, transports) as told:
        talking_on = asyncio.create_task(talks())
        try:
            for _ in range(12):
                await asyncio.sleep(draw.uniform(0, 0.1))
                relay.lose(notice=draw.random() < 0.5)
                await asyncio.sleep(draw.choice((0, 0.01, 0.05)))
                relay.away = False
                if draw.random() < 0.5:
                    await talk.synced()
            over = True
            await talking_on
            await talk.synced()
            assert talk.told == []
        finally:
            talking_on.cancel()
    for name, events in talk.expected().items():
        assert [event for event in told["events"] if event[0] == name] == events
        connects = [(recovered, sid) for at, recovered, sid in told["connects"] if at == name]
        assert {sid for _, sid in connects} == {talk.here[name].id}
        assert [recovered for recovered, _ in connects].count(False) == 1


@TRANSPORTS
async def test_it_goes_on_whichever_worker_it_comes_to(transports: list[str]) -> None:
    talk, other = Talk(["/", "/admin"]), Talk(["/", "/admin"])
    talks = iter([talk, other])

    def prepare(worker: Worker) -> None:
        options = realtime.SocketIO(recovery=120.0)
        worker.server.endpoint("/chat", socketio=options)(next(talks).events)

    async with workers(2, prepare=prepare) as them, Relay(them[0].port) as relay:
        async with visiting(relay, talk, transports) as told:
            for worker in (them[1], them[1], them[0], them[1]):
                await talk.say(4)
                relay.lose(notice=worker is them[1])
                await talk.say(5)
                relay.send_to(worker.port)
                relay.away = False
                await talk.synced()
            await talk.say(1)
            await eventually(lambda: all(talk.has_all(name) for name in talk.names))
        for name, events in talk.expected().items():
            had = [event for event in told["events"] if event[0] == name]
            assert sorted(had) == events
            for way in range(3):  # what goes over the broker, to each room, and what does not have an order each
                assert [one for one in had if one[2] % 3 == way] == events[way::3]
            connects = [(recovered, sid) for at, recovered, sid in told["connects"] if at == name]
            assert {sid for _, sid in connects} == {talk.here[name].id}
            assert [recovered for recovered, _ in connects] == [False, True, True, True, True]
        assert talk.told == []
        assert other.here == {}
        relay.lose(notice=True)


@TRANSPORTS
async def test_after_the_window_it_comes_in_anew(transports: list[str]) -> None:
    talk = Talk(["/"])
    async with talking(talk, recovery=0.05) as (_, relay):
        async with visiting(relay, talk, transports) as told:
            await talk.say(2)
            await talk.synced()
            first = talk.here.pop("/")
            relay.lose(notice=True)
            await eventually(lambda: talk.told == [("/", "transport close")])
            assert first.closed
            relay.away = False
            await talk.synced()
            second = talk.here["/"]
            assert second is not first
        assert told["connects"] == [["/", False, first.id], ["/", False, second.id]]
        assert told["events"] == talk.expected()["/"]


async def test_a_client_that_came_in_anew_goes_on_without_an_event() -> None:
    """It still has the offset of the session before."""
    talk = Talk(["/"])
    async with talking(talk) as (place, relay):
        async with visiting(relay, talk, ["websocket"]) as told:
            await talk.say(1)
            await talk.synced()
            first = talk.here.pop("/")
            relay.lose(notice=True)
            await eventually(lambda: len(place.rt) == 0)
            await first.disconnect()
            relay.away = False
            await talk.synced()
            second = talk.here["/"]
            relay.lose(notice=False)
            await talk.say(2)
            relay.away = False
            await talk.synced()
        assert told["connects"] == [["/", False, first.id], ["/", False, second.id], ["/", True, second.id]]
        assert told["events"] == talk.expected()["/"]
