"""Queues of all workers: to one of the subscribers of any, kept, given again when a worker or a client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

import realtime
from realtime import BrokerError, loops
from realtime.brokers.base import QueueStore, Refused, Taken, Unanswered
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker
from realtime.brokers.redis.queues import RedisQueues
from realtime.protocols.layers.stomp.frames import Frame
from realtime.stomp import shared_queues
from realtime.stomp.queues import Parcel
from realtime.stomp.shared_queues import SWEEPS, SharedQueues

from ..patience import eventually, leap, within
from ..stomp.place import Client, client, stomp_of
from ..web.place import Place
from . import test_rooms as rooms
from .conftest import broker_of
from .servers import Server

QUEUE = "/queue/a"


class Workers(rooms.Workers):
    """Servers of one broker with STOMP."""

    async def start(self, **settings: Any) -> Place:
        """One more; the settings are STOMP's."""
        self.settings = {"max_queue_messages": 50} | settings
        return await super().start()

    def register(self, place: Place) -> None:
        """STOMP, for the server of a place."""
        place.rt.endpoint("/stomp")(realtime.STOMP(**self.settings))


@pytest.fixture(params=["memory", "tcp", "cluster"])
def broker(request: pytest.FixtureRequest, prefix: str) -> MemoryBroker | RedisBroker:
    return broker_of(request, prefix)


@pytest.fixture
async def workers(broker: MemoryBroker | RedisBroker) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        workers = Workers(broker, stack)
        yield workers
        await workers.stop()


async def started(workers: Workers, **settings: Any) -> Place:
    """One more worker."""
    place = await workers.start(**settings)
    workers.register(place)
    return place


def queues_of(place: Place) -> SharedQueues:
    """Its queues."""
    queues = stomp_of(place)._bound.queues
    assert isinstance(queues, SharedQueues)
    return queues


async def store_of(place: Place, queue: str) -> QueueStore:
    """What its broker has of queues, when this one is reached."""
    rooms = place.rt._service.sessions.hub.rooms
    await rooms._store.reached(queue)
    return rooms.queues


async def held(place: Place, queue: str = QUEUE) -> int:
    """How many messages a queue holds."""
    return await place.rt._service.sessions.hub.rooms.queues.count(queue)


async def until_held(place: Place, count: int, queue: str = QUEUE) -> None:
    """Waits until it is so many."""
    async with within(f"until {queue} holds {count}"):
        while await held(place, queue) != count:  # noqa: ASYNC110 # it is the store's
            await asyncio.sleep(0.02)


async def connected(place: Place) -> Client:
    """A client that is in."""
    one = await client(place)
    await one.connect()
    return one


async def put(one: Client, *bodies: str) -> None:
    """Sends these."""
    for body in bodies:
        await one.done("SEND", {"destination": QUEUE, "n": body}, body)


class Parcels:
    """A subscriber that has room."""

    room = 9

    def __init__(self) -> None:
        self.has: list[Parcel] = []

    def take(self, parcel: Parcel) -> bool:
        """See queues.Consumer."""
        self.has.append(parcel)
        return True


def about(message: Frame) -> dict[str, str]:
    """The header of an ACK of this message."""
    return {"id": message.headers["ack"]}


async def test_kept_and_then_in_order_at_another_worker(workers: Workers) -> None:
    here, there = await started(workers), await started(workers)
    sender = await connected(here)
    await put(sender, *"123")
    assert await held(here) == 3
    one = await connected(there)
    await one.send("SUBSCRIBE", {"id": "0", "destination": QUEUE})
    assert [(await one.expect("MESSAGE", n=n)).body for n in "123"] == [b"1", b"2", b"3"]
    await put(sender, *"45")
    assert [(await one.expect("MESSAGE", n=n)).body for n in "45"] == [b"4", b"5"]
    await until_held(here, 0)


async def test_each_to_one_of_all(workers: Workers) -> None:
    here, there = await started(workers), await started(workers)
    clients = [await connected(here), await connected(there), await connected(there)]
    for one in clients:
        await one.subscribe(QUEUE, ack="client-individual", prefetch_count="2")
    sender = await connected(here)
    await put(sender, *map(str, range(20)))
    seen: list[int] = []

    async def consume(one: Client) -> None:
        while len(seen) < 20:
            message = await one.expect("MESSAGE")
            seen.append(int(message.body))
            await one.send("ACK", about(message))

    tasks = [asyncio.create_task(consume(one)) for one in clients]
    await until_held(here, 0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(seen) == list(range(20))


@pytest.mark.parametrize("how", ["drop", "nack", "unsubscribe"])
async def test_what_was_not_taken_is_for_others_in_its_old_place(workers: Workers, how: str) -> None:
    here, there = await started(workers, ack_timeout=None), await started(workers)
    one, sender = await connected(here), await connected(there)
    await one.subscribe(QUEUE, ack="client-individual", prefetch_count="3")
    await put(sender, *"1234")
    messages = [await one.expect("MESSAGE", n=n) for n in "123"]
    await one.done("ACK", about(messages[0]))
    await one.expect("MESSAGE", n="4")
    if how == "nack":
        await one.send("NACK", about(messages[1]))
        assert (await one.expect("MESSAGE", redelivered="true")).body == b"2"
        return
    if how == "drop":
        await one.drop()
    else:
        await one.done("UNSUBSCRIBE", {"id": "0"})
    await sender.send("SUBSCRIBE", {"id": "0", "destination": QUEUE, "ack": "client"})
    found = [await sender.expect("MESSAGE") for _ in range(3)]
    assert [each.body for each in found] == [b"2", b"3", b"4"]
    assert {each.headers["redelivered"] for each in found} == {"true"}
    await sender.done("ACK", about(found[2]))
    await until_held(there, 0)


async def test_what_is_not_acknowledged_in_time_is_given_again(workers: Workers) -> None:
    one = await connected(await started(workers, ack_timeout=0.1))
    await one.subscribe(QUEUE, ack="client-individual")
    await one.send("SEND", {"destination": QUEUE}, "1")
    numbers = [(await one.expect("MESSAGE")).headers["ack"] for _ in range(3)]
    assert len(set(numbers)) == 3


async def test_a_worker_that_is_gone_without_a_word(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = await started(workers), await started(workers)
    for place in (here, there):
        shared = place.rt._service.sessions.hub.rooms
        monkeypatch.setattr(shared, "timing", shared.timing._replace(lease=1.0))
    one, other = await connected(here), await connected(there)
    await one.subscribe(QUEUE, ack="client")
    await put(other, "1")
    await one.expect("MESSAGE")
    await eventually(lambda: bool(queues_of(here)._sweeper))
    # It stops as by kill -9: what it has it says nothing of any more.
    await queues_of(here)._sweeper.end()
    await other.send("SUBSCRIBE", {"id": "0", "destination": QUEUE, "ack": "client"})
    message = await other.expect("MESSAGE", redelivered="true")
    await other.done("ACK", about(message))
    await until_held(there, 0)


@pytest.mark.parametrize("broker", ["tcp"], indirect=True)
async def test_a_worker_that_lives_keeps_what_it_has(workers: Workers, redis_urls: dict[str, str]) -> None:
    here, there = await started(workers), await started(workers)
    lease = here.rt._service.sessions.hub.rooms.timing.lease
    one, other = await connected(here), await connected(there)
    await one.subscribe(QUEUE, ack="client")
    await put(other, "1")
    message = await one.expect("MESSAGE")
    await other.subscribe(QUEUE, ack="client")
    store: Any = await store_of(here, QUEUE)
    key, worker = store._keys.queue(QUEUE), queues_of(here).name
    with Redis.from_url(redis_urls["tcp"]) as client:

        def pending() -> dict[str, Any]:
            (found,) = client.xpending_range(key, "q", "-", "+", 1)
            return found  # type: ignore[no-any-return]

        half = int(lease * 500)  # in milliseconds
        for _ in range(SWEEPS):  # together two leases, in which it says each time that it is there
            client.xclaim(key, "q", worker, 0, [pending()["message_id"]], idle=half, justid=True)
            leap(lease / SWEEPS)
            await eventually(lambda: pending()["time_since_delivered"] < half)
            assert pending()["consumer"] == worker.encode()
    await one.done("ACK", about(message))
    await until_held(here, 0)
    await other.done("SEND", {"destination": "/topic/x"})  # nothing has come to it before this


async def test_limits_and_dead_letters(workers: Workers) -> None:
    place = await started(workers, max_queue_messages=2, max_deliveries=2, dead_letters="/queue/dead")
    one = await connected(place)
    await one.subscribe(QUEUE, ack="client")
    await put(one, "1")
    for _ in range(2):
        await one.send("NACK", about(await one.expect("MESSAGE", n="1")))
    await until_held(place, 0)
    await until_held(place, 1, "/queue/dead")
    await one.send("SUBSCRIBE", {"id": "1", "destination": "/queue/dead"})
    await one.expect("MESSAGE", original_destination=QUEUE, n="1")
    other = await connected(place)
    for _ in range(3):
        await other.send("SEND", {"destination": "/queue/full"}, "x")
    await other.refused("max_queue_messages")


async def test_what_is_no_message_of_ours(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    place = await started(workers)
    store = await store_of(place, QUEUE)
    for number, payload in enumerate((b"", b'{"n":1}\nx', b"{}", b"{}\nfine")):
        assert await store.put(QUEUE, str(number), payload, 10)
        assert await store.put(QUEUE, str(number), payload, 10)  # asked again: it is there once
    assert await store.count(QUEUE) == 4
    one = await connected(place)
    await one.send("SUBSCRIBE", {"id": "0", "destination": QUEUE})
    assert (await one.expect("MESSAGE")).body == b"fine"
    await until_held(place, 0)
    assert "no message of ours" in caplog.text


async def test_a_store_by_itself(workers: Workers) -> None:
    place = await started(workers)
    store = await store_of(place, "q")
    for number in range(4):
        assert await store.put("q", str(number), b"%d" % number, 4)
    assert not await store.put("q", "4", b"4", 4)
    first = await store.take("q", "ada", 2, None)
    assert [(one.payload, one.times) for one in first] == [(b"0", 1), (b"1", 1)]
    assert [one.payload for one in await store.take("q", "bob", 9, 1000.0)] == [b"2", b"3"]
    await store.give_back("q", "bob", [(first[0].id, 1)])  # not his
    assert await store.take("q", "bob", 9, None) == []
    await store.give_back("q", "ada", [(first[0].id, 1), (first[1].id, 7)])
    assert await store.take("q", "bob", 1, None) == [Taken(first[0].id, b"0", 2)]
    await store.give_back("q", "bob", [(first[0].id, 0)])  # he had nobody to give it to
    assert await store.take("q", "bob", 2, None) == [Taken(first[0].id, b"0", 1), Taken(first[1].id, b"1", 8)]
    await store.give_back("q", "bob", [(first[1].id, 8)])
    await store.keep("q", "ada", [one.id for one in first])
    await store.settle("q", [first[0].id, "1-1"])
    assert await store.count("q") == 3
    again = await store.take("q", "cyd", 9, 0.0)
    assert [one.payload for one in again] == [b"1", b"2", b"3"]
    await store.settle("q", [one.id for one in again])
    assert await store.count("q") == 0
    assert await store.take("q", "cyd", 9, 0.0) == []
    for call in (
        store.settle("q", ["1-1"]),
        store.give_back("q", "ada", [("1-1", 1)]),
        store.keep("q", "ada", ["1-1"]),
    ):
        await call


async def test_a_store_that_goes_and_comes(own_redis: Server) -> None:
    async with AsyncExitStack() as stack:
        workers = Workers(RedisBroker(own_redis.url), stack)
        place = await started(workers)
        one = await connected(place)
        await one.subscribe(QUEUE, ack="client-individual")
        await put(one, "1")
        message = await one.expect("MESSAGE")
        own_redis.pause()
        await one.send("ACK", about(message))
        await one.send("SEND", {"destination": QUEUE, "receipt": "r"}, "2")
        own_redis.resume()
        frames = {(await one.news()).command for _ in range(2)}
        assert frames == {"RECEIPT", "MESSAGE"}
        await workers.stop()


async def test_a_slow_subscriber_is_not_tried_in_a_circle(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has no room for is neither fetched in a circle, nor counted as given."""
    place = await started(workers, max_deliveries=2, max_queue_messages=500)
    store, taken, one = await store_of(place, QUEUE), 0, await client(place, "polls")
    take = store.take

    async def counted(*arguments: Any) -> list[Taken]:
        nonlocal taken
        taken += 1
        return await take(*arguments)

    await one.connect()
    await one.subscribe(QUEUE, ack="client-individual")
    monkeypatch.setattr(store, "take", counted)
    sender = await connected(place)
    (session,) = [each for each in place.rt.sessions if each.transport != "websocket"]
    for number in range(14):
        await sender.done("SEND", {"destination": QUEUE, "n": str(number)}, "x" * 400_000)
    outbox = session._machine.outbox
    await eventually(lambda: len(outbox) > 0 and not outbox.has_room(400_000))
    before = taken
    for _ in range(20):
        await sender.done("SEND", {"destination": "/topic/none"}, "x")
    assert taken - before <= 4
    for _ in range(10):
        queues_of(place).ready(QUEUE)
        await sender.done("SEND", {"destination": "/topic/none"}, "x")
    for number in range(14):
        message = await one.expect("MESSAGE", n=str(number))
        assert "redelivered" not in message.headers
        await one.send("ACK", about(message))
    await until_held(place, 0)


async def test_a_subscriber_that_leaves_while_it_comes(workers: Workers) -> None:
    place = await started(workers)
    queues = queues_of(place)

    class Leaving:
        room = 1

        def take(self, parcel: Parcel) -> bool:
            raise AssertionError(parcel)

    for _ in range(3):
        leaving = Leaving()
        coming = asyncio.ensure_future(queues.subscribe(QUEUE, leaving))
        await asyncio.sleep(0)
        queues.unsubscribe(QUEUE, leaving)
        await coming
    hub = place.rt._service.sessions.hub
    assert not len(queues)
    await eventually(lambda: not any(QUEUE in name for name in hub.rooms._local))


async def test_how_often_it_was_given_is_known_to_all_workers(workers: Workers) -> None:
    here, there = await started(workers, max_deliveries=3), await started(workers, max_deliveries=3)
    one, other = await connected(here), await connected(there)
    await one.subscribe(QUEUE, ack="client-individual")
    await put(other, "1")
    await one.send("NACK", about(await one.expect("MESSAGE", n="1")))
    await one.expect("MESSAGE", n="1", redelivered="true")
    await one.done("UNSUBSCRIBE", {"id": "0"})
    await other.subscribe(QUEUE, ack="client-individual")
    await other.send("NACK", about(await other.expect("MESSAGE", n="1", redelivered="true")))
    await until_held(there, 0)


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
async def test_a_sweep_that_fails_is_followed_by_others(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what this worker has would be another's, as that of one that is gone."""
    place = await started(workers)
    shared = place.rt._service.sessions.hub.rooms
    monkeypatch.setattr(shared, "timing", shared.timing._replace(lease=0.04))
    monkeypatch.setattr(loops, "AGAIN", 0.01)
    store, one, again = await store_of(place, QUEUE), await connected(place), asyncio.Event()
    faults = [RuntimeError("of a store")]

    async def keep(*_: Any) -> None:
        if faults:
            raise faults.pop()
        again.set()

    monkeypatch.setattr(store, "keep", keep)
    await one.subscribe(QUEUE, ack="client")
    await put(one, "1")
    async with within():
        await again.wait()


async def test_an_acknowledgement_is_told_until_the_store_is_there(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_queues, "AGAIN", 0.01)
    place = await started(workers)
    store, one = await store_of(place, QUEUE), await connected(place)
    settle, times, there = store.settle, 0, False

    async def away(*arguments: Any) -> None:
        nonlocal times
        times += 1
        if not there:
            raise Refused("away") if times > 1 else RuntimeError("of a store")
        await settle(*arguments)

    monkeypatch.setattr(store, "settle", away)
    await one.subscribe(QUEUE, ack="client-individual")
    for _ in range(20):
        await one.send("SEND", {"destination": QUEUE}, "x")
        await one.done("ACK", about(await one.expect("MESSAGE")))
    await eventually(lambda: times > 1)
    tried, there = times, True
    await until_held(place, 0)
    assert times - tried <= 2  # all that has come meanwhile is told at once
    await one.done("SEND", {"destination": "/topic/none"}, "x")  # it was given once


async def test_a_dead_letter_waits_for_the_store(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    place = await started(workers, max_deliveries=1, dead_letters="/queue/dead")
    store, one = await store_of(place, QUEUE), await connected(place)
    await one.subscribe(QUEUE, ack="client")
    await put(one, "1")
    message = await one.expect("MESSAGE", n="1")
    keep, times = store.put, 0

    async def away(*arguments: Any) -> bool:
        nonlocal times
        times += 1
        if times < 3:
            raise BrokerError("it takes no writes") if times > 1 else RuntimeError("of a store")
        return await keep(*arguments)

    monkeypatch.setattr(store, "put", away)
    monkeypatch.setattr(shared_queues, "AGAIN", 0.01)
    await one.send("NACK", about(message))
    await until_held(place, 1, "/queue/dead")
    await until_held(place, 0)
    assert queues_of(place).dropped == 0


@pytest.mark.parametrize("broker", ["tcp"], indirect=True)
async def test_workers_that_are_gone_are_forgotten(workers: Workers) -> None:
    """Of a queue that is never empty, too."""
    store = await store_of(await started(workers), "q")
    assert isinstance(store, RedisQueues)
    await store.put("q", "0", b"kept", 9)
    (kept,) = await store.take("q", "has", 1, None)
    for number in range(1, 21):
        await store.put("q", str(number), b"x", 9)
        await store.settle("q", [one.id for one in await store.take("q", f"gone {number}", 1, None)])

    async def known() -> set[bytes]:
        key = store._keys.queue("q")
        found = await store._nodes.call(store._keys.part("q"), "XINFO", "CONSUMERS", key, "q")
        return {one[1] for one in found}

    await store.take("q", "now", 1, 1000.0)
    assert len(await known() - {b"now"}) == 21  # which newer ones know though it got nothing
    assert await store.take("q", "now", 1, 0.0) == [Taken(kept.id, b"kept", 2)]
    assert await known() == {b"now"}


@pytest.mark.parametrize("unanswered", [False, True])
async def test_what_is_refused_for_good_may_be_there_from_the_time_before(unanswered: bool) -> None:
    """As by a Redis that was cut off, and has no room for more now."""
    answers = [BrokerError("no room"), *([Unanswered("cut off")] if unanswered else [])]

    async def put(*_: object) -> bool:
        raise answers.pop()

    hub: Any = SimpleNamespace(rooms=SimpleNamespace(timeout=50.0, queues=SimpleNamespace(put=put)))
    queues = SharedQueues(hub, max_messages=9, max_attempts=None, dead_letters=None)
    with pytest.raises(BrokerError, match="no room") as raised:
        await queues.put(QUEUE, {}, b"x")
    assert raised.value.maybe_sent is unanswered


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
async def test_who_has_no_room_is_not_asked_for_each_message(workers: Workers) -> None:
    """But once, and again when it says that it may have some."""
    place, asked = await started(workers), 0

    class Asked:
        left = 0

        @property
        def room(self) -> int:
            nonlocal asked
            asked += 1
            return self.left

        def take(self, parcel: Parcel) -> bool:
            self.left -= 1
            taken.append(parcel)
            return True

    queues, taken = queues_of(place), list[Parcel]()
    many = [Asked() for _ in range(200)]
    for one in many:
        await queues.subscribe(QUEUE, one)
    free, given = many[77], 20
    await eventually(lambda: asked >= len(many))
    asked = 0
    for number in range(given):
        await queues.put(QUEUE, {}, b"x")
        free.left = 1
        queues.ready(QUEUE, free)
        await eventually(lambda: len(taken) == number + 1)  # noqa: B023 # in this turn
        queues.settle(taken[-1], accepted=True)
    assert asked <= 4 * given
    for one in many:
        queues.unsubscribe(QUEUE, one)
    await eventually(lambda: not len(queues))


@pytest.mark.parametrize("broker", ["tcp"], indirect=True)
@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_is_set(workers: Workers, redis_urls: dict[str, str], hours: int) -> None:
    """Forward, and nothing is another's before its worker could say that it is there; back, and what a dead worker had
    stays its own for no longer than usual. As somebody else's doing: what was written before is an hour away."""
    store: Any = await store_of(await started(workers), "q")
    await store.put("q", "0", b"x", 9)
    (given,) = await store.take("q", "one", 1, 30.0)
    key, looked = store._keys.queue("q"), store._keys.looked("q")
    with Redis.from_url(redis_urls["tcp"]) as client:

        def age(seconds: float, ago: float) -> None:
            """What is given has been so for so long; somebody has looked so long ago, and for an hour before."""
            client.xclaim(key, "q", "one", 0, [given.id], idle=int(seconds * 1000), justid=True)
            at = client.time()[0] - ago
            client.set(looked, f"{at * 1000:.0f} {(at - 3600) * 1000:.0f}")

        age(25 if hours < 0 else 3600, hours * 3600)
        assert await store.take("q", "two", 1, 30.0) == []
        if hours < 0:
            assert client.xpending_range(key, "q", "-", "+", 1)[0]["time_since_delivered"] < 20_000
        assert await store.take("q", "two", 1, 30.0) == []
        age(29, 1)
        assert await store.take("q", "two", 1, 30.0) == []
        age(31, 1)
        assert [one.id for one in await store.take("q", "two", 1, 30.0)] == [given.id]
        await store.settle("q", [given.id])
        assert not client.exists(key, looked)


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
async def test_the_store_is_asked_where_there_may_be_something(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says that he has room, and had some, has been given all there was: unless the store could not be asked."""
    place = await started(workers)
    queues, one, asked, fails = queues_of(place), Parcels(), 0, False
    store = await store_of(place, QUEUE)
    take = store.take

    async def asking(*args: Any) -> list[Taken]:
        nonlocal asked
        asked += 1
        if fails:
            raise Refused("not now")
        return await take(*args)

    monkeypatch.setattr(store, "take", asking)
    await queues.subscribe(QUEUE, one)
    await queues._tasks.ended()
    assert asked == 1
    queues.ready(QUEUE, one)
    assert not queues._tasks
    fails = True
    await queues.put(QUEUE, {}, b"x")
    await queues._tasks.ended()
    assert not one.has
    fails = False
    queues.ready(QUEUE, one)
    await queues._tasks.ended()
    assert [parcel.body for parcel in one.has] == [b"x"]
    queues.settle(one.has[0], accepted=True)
    queues.unsubscribe(QUEUE, one)
    await eventually(lambda: not len(queues))
