"""Events at several workers: rooms of namespaces, closed ones, identities, and a Redis that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

import realtime
from realtime import BrokerError
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker

from ..namespaces.place import Client, client
from ..namespaces.test_rooms import Chat
from ..patience import arrives, eventually, within
from ..web.place import Place, serving
from .conftest import broker_of
from .servers import BROKER_TIMEOUT, Server
from .test_identities import waits

PLACE_OF = '{"_placeholder":true,"num":0}'
KINDS = ("native", "long_polling", "engine")


class Worker(Chat):
    """A server of events, and what its handlers were told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str | None, str]] = []
        for namespace in (self.events, self.admin):
            namespace.on("disconnect")(self.disconnect)
        self.events.on("echo")(lambda session, *args: args)
        self.place: Place

    def disconnect(self, session: realtime.EventSession, reason: str) -> None:
        """A client has gone."""
        self.told.append((session.identity, reason))


class Workers:
    """Servers over one broker."""

    def __init__(self, broker: Any, stack: AsyncExitStack) -> None:
        self.broker = broker
        self._stack = stack
        self.them: list[Worker] = []

    async def start(self, **settings: Any) -> Worker:
        """One more."""
        worker = Worker()
        rt = realtime.Server(broker=self.broker, broker_timeout=BROKER_TIMEOUT, shutdown_timeout=0.3, **settings)
        rt.configure_rooms("/#kept", history=50, presence=True)
        rt.configure_rooms("/admin#kept", history=50)
        rt.endpoint("/chat", socketio="/socket.io")(worker.events)

        @rt.authorize
        async def who(request: realtime.SessionRequest) -> str | None:
            return request.headers.get("X-Name")

        worker.place = await self._stack.enter_async_context(serving(rt))
        self.them.append(worker)
        return worker

    async def stop(self) -> None:
        """All of them, before each looks whether nothing is left."""
        for worker in self.them:
            for peer in worker.place.peers:
                await peer.drop()
            worker.place.end_sessions()
            await worker.place.stop()


@pytest.fixture(params=("memory", "tcp"))  # the others differ in their connections alone
def broker(request: pytest.FixtureRequest, prefix: str) -> MemoryBroker | RedisBroker:
    return broker_of(request, prefix)


@pytest.fixture
async def workers(broker: MemoryBroker | RedisBroker) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        workers = Workers(broker, stack)
        yield workers
        await workers.stop()


async def member(worker: Worker, kind: str, room: str, namespaces: tuple[str, ...] = ("/",), **options: Any) -> Client:
    """A client in that room of these namespaces."""
    one = await client(worker.place, kind, **options)
    for namespace in namespaces:
        await one.connect(namespace)
        place = "" if namespace == "/" else f"{namespace},"
        await one.say(f'2{place}0["join","{room}"]')
        assert await one.news() == f'3{place}0[["{room}"]]'
    return one


@pytest.mark.parametrize("room", ["plain", "kept"])
async def test_rooms_of_namespaces_reach_every_worker(workers: Workers, room: str) -> None:
    one, two = await workers.start(), await workers.start()
    both = ("/", "/admin")
    clients = [await member(worker, kind, room, both) for worker in (one, two) for kind in KINDS]
    first, *_, last = clients
    (mine, *_), theirs = one.sessions, two.sessions
    await mine._namespace.room(room).emit("said", 1, {"in": [b"\x00\xff"]}, skip=mine)
    for other in clients[1:]:
        assert await other.take(2) == [f'51-["said",1,{{"in":[{PLACE_OF}]}}]', b"\x00\xff"]
    # By the id alone, of one at another worker, and of several.
    skipped = [session.id for session in theirs if session.namespace == "/"][-1]
    await one.events.room(room).emit("said", 2, skip=[skipped, mine])
    for other in clients[1:-1]:
        assert await other.news() == '2["said",2]'
    await two.admin.room(room).emit("for admins", b"x")
    await two.events.emit("all", 3)
    for other in clients:
        said = await other.take(3)
        assert sorted(map(str, said)) == sorted(
            map(str, [f'51-/admin,["for admins",{PLACE_OF}]', b"x", '2["all",3]'])
        ), said
        assert said.index(b"x") == said.index(f'51-/admin,["for admins",{PLACE_OF}]') + 1
    await one.events.room(room).emit("tick", b"volatile", volatile=True)
    for other in (*clients[::3], *clients[2::3]):  # who polls is between two polls
        assert await other.take(2) == [f'51-["tick",{PLACE_OF}]', b"volatile"]
    # What both say is heard in one order by all.
    await asyncio.gather(
        *(
            worker.events.room(room).emit("n", f"{index} {number}", b"%d" % number)
            for number in range(20)
            for index, worker in enumerate((one, two))
        )
    )
    heard = [await other.take(80) for other in clients]
    assert heard[1:] == heard[:-1]
    assert heard[0][1::2] == [b"%d" % int(str(text).split('"')[3].split()[1]) for text in heard[0][::2]]
    await first.say('2["leave","' + room + '"]', "1/admin,", '29["echo"]')
    assert await first.news() == "39[]"
    await two.events.room(room).emit("said", 5)
    assert await last.news() == '2["said",5]'
    await two.events.emit("all", 6)
    assert await first.news() == '2["all",6]'


@pytest.mark.parametrize("room", ["plain", "kept"])
async def test_a_room_that_is_closed_is_closed_to_clients_in_namespaces(workers: Workers, room: str) -> None:
    one, two = await workers.start(), await workers.start()
    clients = [
        await member(worker, kind, room, ("/", "/admin")) for worker in (one, two) for kind in ("native", "engine")
    ]
    await two.events.room(room).emit("before", b"bytes")
    await one.place.rt.room(f"/#{room}").close()
    await two.events.room(room).emit("after")
    members = [session for worker in (one, two) for session in worker.sessions]
    await eventually(lambda: all(not session.rooms for session in members if session.namespace == "/"))
    await one.admin.room(room).emit("still here")
    for other in clients:
        assert await other.take(3) == [f'51-["before",{PLACE_OF}]', b"bytes", '2/admin,["still here"]']
        await other.say(f'21["join","{room}"]')
        assert await other.news() == f'31[["{room}"]]'
    await one.events.room(room).emit("again")
    for other in clients:
        assert await other.news() == '2["again"]'
    assert all(not session.closed for session in members)


async def test_an_identity_that_is_closed_leaves_its_namespaces_everywhere(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    ada: dict[str, Any] = {"headers": {"X-Name": "ada"}}
    bob: dict[str, Any] = {"headers": {"X-Name": "bob"}}
    theirs = [
        await member(worker, kind, "plain", ("/", "/admin"), **ada) for worker in (one, two) for kind in KINDS[:2]
    ]
    other = await member(two, "native", "plain", **bob)
    assert [session.identity for session in one.sessions] == ["ada"] * 4
    await one.place.rt.identity("ada").close(4401, "out with you")
    for gone in theirs:
        assert await gone.closed() == 4401
    await eventually(lambda: len(one.told) == len(two.told) == 4)
    assert set(one.told + two.told) == {("ada", "forced server close")}
    await eventually(lambda: len(two.events.room("plain")) == 1)
    await one.events.room("plain").emit("who is left")
    assert await other.news() == '2["who is left"]'


REASONS = [
    (1001, "server shutting down"),
    (1012, "server shutting down"),
    (1002, "parse error"),
    (1009, "parse error"),
    (1008, "forced server close"),
    (1011, "forced server close"),
    (4403, "forced server close"),
    (4410, "ping timeout"),
    (1006, "transport close"),
    (1000, "transport close"),
    (3000, "transport close"),
]


@pytest.mark.parametrize(("code", "reason"), REASONS)
async def test_why_they_have_gone(code: int, reason: str) -> None:
    async with AsyncExitStack() as stack:
        workers = Workers(MemoryBroker(), stack)
        one = await workers.start()
        for kind in KINDS:
            await member(one, kind, "kept", ("/", "/admin"))
        for session in one.sessions[::2]:
            session.session._machine.end(code, "over", 0.0)
        await eventually(lambda: len(one.told) == 6)
        assert one.told == [(None, reason)] * 6
        assert len(one.events.room("kept")) == 0
        await workers.stop()


@pytest.mark.parametrize("how", ["killed", "paused"])
async def test_a_redis_that_is_away(own_redis: Server, prefix: str, how: str) -> None:
    """Who is in goes on, apart from rooms, and a stop tells everybody why."""
    async with AsyncExitStack() as stack:
        workers = Workers(RedisBroker(own_redis.url, prefix=prefix), stack)
        one = await workers.start()
        clients = [await member(one, kind, room) for kind, room in zip(KINDS, ("plain", "kept", "kept"), strict=True)]
        await one.events.room("kept").emit("said", b"1")
        for there in clients[1:]:
            assert await there.take(2) == [f'51-["said",{PLACE_OF}]', b"1"]
        if how == "killed":
            own_redis.kill()
        else:
            own_redis.pause()
        waits(one.place, 0.5)
        with pytest.raises(BrokerError):
            await arrives(one.events.room("kept").emit("lost", b"2"), "a broker that is away")
        for number, there in enumerate(clients):
            await there.say(f'51-{number}["echo",{PLACE_OF}]', b"3")
            assert await there.take(2) == [f"61-{number}[{PLACE_OF}]", b"3"]
        await clients[0].say('2["leave","plain"]', "1")
        await eventually(lambda: one.told == [(None, "client namespace disconnect")])
        async with within("the server stops"):
            await one.place.stop()
        assert one.told[1:] == [(None, "server shutting down")] * 2
        if how == "paused":
            own_redis.resume()
        await workers.stop()
