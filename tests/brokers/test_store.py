"""What a broker must do (brokers/base): the same tests for memory and for real Redis, however it is reached."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest

from realtime.brokers.base import Expired, Keep, Present, Store
from realtime.brokers.counts import Counts
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.presence import Attending
from realtime.brokers.redis import RedisBroker, nodes
from realtime.brokers.redis import link as link_module
from realtime.brokers.redis.connection import Living
from realtime.brokers.redis.ear import Ear
from realtime.brokers.redis.link import Link
from realtime.core.rooms import Entry, Position, Reading

from ..patience import arrives, eventually, within

KEEP = Keep(history=5, ttl=60)
NOTHING = Keep()


class Listener:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.heard: list[tuple[str, Entry]] = []
        self.events: list[tuple[str, str]] = []

    def received(self, room: str, entry: Entry) -> None:
        self.heard.append((room, entry))

    def subscribed(self, room: str) -> None:
        self.events.append(("subscribed", room))

    def unsubscribed(self, rooms: Iterable[str]) -> None:
        self.events += [("unsubscribed", room) for room in rooms]

    def missed(self, room: str) -> None:
        self.events.append(("missed", room))

    def attended(self, room: str) -> None:
        self.events.append(("attended", room))

    def returned(self, run: str) -> None:
        self.events.append(("returned", run))

    def failed(self) -> None:
        self.events.append(("failed", ""))

    async def give_way(self) -> None:
        await asyncio.sleep(0)

    def payloads(self, room: str) -> list[bytes]:
        return [entry.payload for where, entry in self.heard if where == room]


Worker = tuple[Store, Listener]
Workers = Callable[[str], Awaitable[Worker]]


@pytest.fixture
async def workers(broker: MemoryBroker | RedisBroker) -> AsyncIterator[Workers]:
    """Makes workers of one broker, by name."""
    made: list[Store] = []

    async def make(name: str) -> Worker:
        store: Store = broker.store()
        listener = Listener()
        await store.start(name, listener)
        made.append(store)
        async with within("the store is reached"):
            for number in range(100):  # at every node of a cluster is one of these
                await store.reached(f"room {number}")
        return store, listener

    yield make
    for store in made:
        await store.close()


async def subscribed(worker: Worker, *rooms: str) -> None:
    store, listener = worker
    for room in rooms:
        store.subscribe(room)
    await eventually(lambda: all(("subscribed", room) in listener.events for room in rooms))


async def test_all_workers_hear_a_room_in_one_order(workers: Workers) -> None:
    one, two = await workers("one"), await workers("two")
    rooms = [f"room {number}" for number in range(5)]  # in several partitions, and nodes
    for worker in (one, two):
        await subscribed(worker, *rooms)
    for room in rooms:
        await asyncio.gather(
            *(worker[0].publish(room, KEEP, f"{name}-{number}", f"{name} {number}".encode(), False)
              for number in range(20) for name, worker in (("one", one), ("two", two)))
        )  # fmt: skip
    for room in rooms:
        await eventually(lambda room=room: len(one[1].payloads(room)) == len(two[1].payloads(room)) == 40)  # type: ignore[misc]
        assert one[1].payloads(room) == two[1].payloads(room)
        entries = [entry for where, entry in one[1].heard if where == room]
        assert [entry.offset for entry in entries] == list(range(1, 41))
        assert [entry.previous for entry in entries] == ["", *(entry.id for entry in entries[:-1])]
        assert len({entry.epoch for entry in entries}) == 1
        for name in ("one", "two"):  # each publisher's own order
            mine = [entry.id for entry in entries if entry.id.startswith(name)]
            assert mine == [f"{name}-{number}" for number in range(20)]


async def test_a_room_that_was_left_is_not_heard(workers: Workers) -> None:
    one = await workers("one")
    await subscribed(one, "a", "b")
    one[0].unsubscribe("a")
    await one[0].publish("a", NOTHING, "x-1", b"nobody hears", False)
    await one[0].publish("b", NOTHING, "x-2", b"heard", False)
    await eventually(lambda: one[1].payloads("b") == [b"heard"])
    assert one[1].payloads("a") == []


async def test_a_repeated_publish_is_answered_with_its_offset(workers: Workers) -> None:
    one = await workers("one")
    await subscribed(one, "a")
    first = await one[0].publish("a", KEEP, "x-1", b"1", False)
    assert first is not None
    assert (first.offset, first.id) == (1, "x-1")
    await one[0].publish("a", KEEP, "x-3", b"3", False)
    assert await one[0].publish("a", KEEP, "x-1", b"1", False) == first
    assert await one[0].publish("a", KEEP, "x-1", b"1", True) == first
    # Each is remembered, not the highest: 2 was never published.
    assert await one[0].publish("a", KEEP, "x-2", b"2", True) is None
    await one[0].publish("a", KEEP, "x-2", b"2", False)
    await eventually(lambda: one[1].payloads("a") == [b"1", b"3", b"2"])


async def test_what_is_read(workers: Workers) -> None:
    one, _ = await workers("one")
    empty = await one.read("a", KEEP, None, None, 50)
    assert (empty.top, empty.id, empty.entries, empty.more) == (0, "", (), False)
    positions = [await one.publish("a", KEEP, f"x-{number}", b"%d" % number, False) for number in range(1, 9)]
    third, fifth = positions[2], positions[4]
    assert third is not None
    assert fifth is not None

    def payloads(reading: Reading) -> list[bytes]:
        return [entry.payload for entry in reading.entries]

    assert payloads(await one.read("a", KEEP, None, None)) == []
    assert payloads(await one.read("a", KEEP, None, None, 2)) == [b"7", b"8"]
    assert payloads(await one.read("a", KEEP, None, None, 50)) == [b"4", b"5", b"6", b"7", b"8"]
    reading = await one.read("a", KEEP, fifth, third)
    assert payloads(reading) == [b"6", b"7", b"8"]
    assert reading.end == positions[7]
    assert reading.id_at(5) == "x-5"
    assert reading.id_at(3) == "x-3"  # not kept any more, but named by the one behind it
    assert reading.id_at(2) is None
    assert reading.epoch == fifth.epoch == empty.epoch
    assert reading.at >= empty.at > 0
    late = await one.read("a", KEEP, third._replace(offset=1), None)
    assert payloads(late) == [b"4", b"5", b"6", b"7", b"8"]
    assert late.before == third


async def test_a_room_without_history_has_a_position(workers: Workers) -> None:
    one, _ = await workers("one")
    position = await one.publish("a", NOTHING, "x-1", b"1", False)
    assert position is not None
    await one.publish("a", NOTHING, "x-2", b"2", False)
    reading = await one.read("a", NOTHING, position, position, 0)
    assert (reading.top, reading.id, reading.entries, reading.id_at(1)) == (2, "x-2", (), None)


async def test_long_readings_come_in_parts(workers: Workers) -> None:
    one, _ = await workers("one")
    keep = Keep(history=1000, ttl=60)
    await asyncio.gather(*(one.publish("a", keep, f"x-{number}", b"", False) for number in range(600)))
    offsets: list[int] = []
    reading = await one.read("a", keep, None, None, 1000)
    while True:
        offsets += [entry.offset for entry in reading.entries]
        if not reading.more:
            break
        reading = await one.read("a", keep, reading.entries[-1].position, None)
    assert offsets == list(range(1, 601))


async def test_raising_the_epoch(workers: Workers) -> None:
    one, two = await workers("one"), await workers("two")
    await subscribed(two, "a")
    before = await one[0].publish("a", KEEP, "x-1", b"1", False)
    assert before is not None
    assert not await one[0].raise_epoch("a", KEEP, before.epoch - 1, before.epoch)
    assert await one[0].raise_epoch("a", KEEP, before.epoch, before.epoch + 10**12)
    assert not await two[0].raise_epoch("a", KEEP, before.epoch, before.epoch)
    await eventually(lambda: ("missed", "a") in two[1].events)
    after = await one[0].publish("a", KEEP, "x-2", b"2", False)
    assert after is not None
    assert after.epoch > before.epoch + 10**12
    assert after.offset == 2
    reading = await one[0].read("a", KEEP, before, None)
    assert reading.beginning == Position(after.epoch, 1, "x-1")
    assert [entry.payload for entry in reading.entries] == [b"2"]
    assert reading.entries[0].epoch == after.epoch


async def test_clearing_forgets_the_messages_and_not_the_position(workers: Workers) -> None:
    one, _ = await workers("one")
    position = await one.publish("a", KEEP, "x-1", b"1", False)
    await one.clear("a")
    reading = await one.read("a", KEEP, None, None, 50)
    assert reading.end == position
    assert reading.entries == ()


@pytest.mark.parametrize("keep", [KEEP, NOTHING], ids=["history", "no history"])
async def test_large_payloads_keep_their_place(workers: Workers, keep: Keep) -> None:
    one, two = await workers("one"), await workers("two")
    for worker in (one, two):
        await subscribed(worker, "a")
    payloads = [b"first", b"L" * 1_000_000, b"third", b"M" * 70_000, bytes(range(256)) * 300]
    for number, payload in enumerate(payloads):
        await one[0].publish("a", keep, f"x-{number}", payload, False)
    for worker in (one, two):
        await eventually(lambda worker=worker: len(worker[1].payloads("a")) == 5)  # type: ignore[misc]
        assert worker[1].payloads("a") == payloads
    read: list[bytes] = []
    reading = await two[0].read("a", keep, None, None, 5)
    while True:
        read += [entry.payload for entry in reading.entries]
        if not reading.more:
            break
        reading = await two[0].read("a", keep, reading.entries[-1].position, None)
    assert read == (payloads if keep.history else [])


async def test_what_is_kept_for_less_than_a_millisecond_is_sent_all_the_same(workers: Workers) -> None:
    """Large or not: Redis keeps nothing for no time at all, and stops in the middle of a script that asks it to."""
    one = await workers("one")
    await subscribed(one, "a")
    payloads = [b"L" * 70_000, b"small"]
    for number, payload in enumerate(payloads):
        position = await one[0].publish("a", Keep(5, 0.0001), f"x-{number}", payload, False, 0.0001)
        assert position is not None
        assert position.offset == number + 1
    await eventually(lambda: one[1].payloads("a")[-1:] == payloads[1:])


async def test_names_and_payloads_may_be_anything(workers: Workers) -> None:
    one = await workers("one")
    rooms = ["", " ", "a b", "a:b", "{x}", "}:room:y", "ä€\n", "*", "x" * 300]
    await subscribed(one, *rooms)
    for number, room in enumerate(rooms):
        await one[0].publish(room, KEEP, f"x-{number}", b"\x00 \n\r " + room.encode(), False)
    for room in rooms:
        await eventually(lambda room=room: one[1].payloads(room))  # type: ignore[misc]
        assert one[1].payloads(room) == [b"\x00 \n\r " + room.encode()]
        assert [entry.payload for entry in (await one[0].read(room, KEEP, None, None, 5)).entries] == [
            b"\x00 \n\r " + room.encode()
        ]


# -- presence ----------------------------------------------------------------------------------------------------------


async def test_presence_is_kept_for_registered_workers(workers: Workers) -> None:
    one, two = await workers("one"), await workers("two")
    await subscribed(two, "a b")
    (part,) = one[0].parts_of(["a b"])
    assert not await one[0].attend("a b", {"ada": "{}"}, ())
    assert await one[0].register(part, 30)
    assert not await one[0].register(part, 30)
    assert await two[0].register(part, 30)
    assert await one[0].attend("a b", {"ada": '{"name": "Ada L"}', "bob": "{}"}, ())
    assert await two[0].attend("a b", {"eve": "{}"}, ())
    await eventually(lambda: ("attended", "a b") in two[1].events)
    assert sorted(await two[0].members("a b")) == [
        Present("ada", "one", '{"name": "Ada L"}'),
        Present("bob", "one", "{}"),
        Present("eve", "two", "{}"),
    ]
    assert await two[0].count("a b") == 3
    assert {room: sorted(members) for room, members in (await one[0].attending(part)).items()} == {
        "a b": ["ada", "bob"]
    }
    assert await one[0].attend("a b", {}, ["ada", "eve", "nobody"])  # eve is another worker's
    assert sorted(one.member for one in await two[0].members("a b")) == ["bob", "eve"]
    await one[0].resign(part)
    assert [one.member for one in await two[0].members("a b")] == ["eve"]
    assert await one[0].attending(part) == {}
    assert not await one[0].attend("a b", {"ada": "{}"}, ())


async def test_who_has_resigned_is_brought_back_by_nothing_that_is_under_way(workers: Workers) -> None:
    one, two = await workers("one"), await workers("two")
    attending, (part,) = Attending(one[0], 30), one[0].parts_of(["a"])
    await attending.add("a", "ada", "{}")
    assert await two[0].workers(part) == ["one"]
    await asyncio.gather(attending.resign(), attending.add("a", "eve", "{}"), attending.renew())
    await attending.sweep()
    assert (await two[0].workers(part), await two[0].members("a")) == ([], [])


async def expired(store: Store, part: int) -> list[Expired]:
    """Those whose leases have run out, as soon as there are any."""
    async with within("a lease runs out"):
        while True:
            found = await store.expired(part)
            if found:
                return found
            await asyncio.sleep(0.01)


async def test_a_dead_worker_is_removed_by_its_lease(workers: Workers) -> None:
    one, two = await workers("one"), await workers("two")
    await subscribed(two, "a")
    (part,) = one[0].parts_of(["a"])
    await one[0].register(part, 0.05)
    await two[0].register(part, 30)
    await one[0].attend("a", {"ada": "{}"}, ())
    await two[0].attend("a", {"eve": "{}"}, ())
    found = await expired(two[0], part)
    assert [(one.part, one.worker) for one in found] == [(part, "one")]
    await one[0].register(part, 30)  # it was not dead, after all
    assert not await two[0].reap(found[0])
    assert await two[0].count("a") == 2
    await one[0].register(part, 0.05)
    found = await expired(two[0], part)
    two[1].events.clear()
    assert await two[0].reap(found[0])
    assert [one.member for one in await two[0].members("a")] == ["eve"]
    await eventually(lambda: ("attended", "a") in two[1].events)


async def test_who_has_a_lease_and_what_they_answer(workers: Workers) -> None:
    one, two = await workers("one"), await workers("two")
    part = one[0].parts - 1
    assert await one[0].workers(part) == []
    await one[0].register(part, 30)
    await two[0].register(part, 0.05)
    await expired(one[0], part)
    assert await two[0].workers(part) == ["one"]
    await two[0].register(part, 30)
    assert sorted(await two[0].workers(part)) == ["one", "two"]
    await one[0].resign(part)
    assert await one[0].workers(part) == ["two"]
    assert await one[0].answers(part, "x-1") == {}
    await one[0].answer(part, "x-1", "3")
    await two[0].answer(part, "x-1", "[]")
    await two[0].answer(part, "x-1", "[1]")
    await two[0].answer(part, "x-2", "")
    assert await two[0].answers(part, "x-1") == {"one": "3", "two": "[1]"}
    assert await one[0].answers(part, "x-2") == {"two": ""}


async def test_it_is_well(workers: Workers) -> None:
    store, listener = await workers("one")
    await eventually(lambda: store.health().ready)
    assert store.health().problems == ()
    assert [event for event, _ in listener.events] == ["returned"] * len(listener.events)
    assert store.run_of("a")


def test_a_broker_shows_no_credentials(broker: Any) -> None:
    assert "not-for-any-log" not in repr(broker)


def test_a_loop_that_was_closed_first_is_no_affair_of_others() -> None:
    """As in tests whose server was never shut down, and that share a broker."""
    broker, here = MemoryBroker(), Listener()

    async def use(listener: Listener, publishes: bool) -> None:
        store = broker.store()
        await store.start("w", listener)
        store.subscribe("a")
        if publishes:
            assert await store.publish("a", NOTHING, "1", b"x", False) is not None
            await eventually(lambda: here.payloads("a") == [b"x"])

    asyncio.run(use(Listener(), False))
    asyncio.run(use(here, True))


async def test_a_cluster_that_is_away_from_the_start_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What redis-py raises then is no error of Redis to it."""
    monkeypatch.setattr(nodes, "PAUSE", 0.01)
    store = RedisBroker("redis+cluster://127.0.0.1:1").store()
    asked, found = 0, store._nodes._topology.nodes

    async def counted(keys: Sequence[str]) -> list[str]:
        nonlocal asked
        asked += 1
        return await found(keys)

    monkeypatch.setattr(store._nodes._topology, "nodes", counted)
    await store.start("w", Listener())
    await eventually(lambda: asked > 1)
    await store.close()


async def test_connections_that_fail_as_none_should_are_made_again() -> None:
    tried: list[str] = []

    async def connect(who: str) -> Any:
        tried.append(who)
        raise KeyError(who)

    def nobody(*_: Any) -> Any: ...

    link = Link("l", partial(connect, "l"), timeout=1, counts=Counts(), on_run=nobody, on_lost=nobody, on_moved=nobody)
    told: dict[str, Any] = dict.fromkeys(("heard", "confirmed", "lost", "moved", "give_way"), nobody)
    ear = Ear("e", partial(connect, "e"), sharded=False, **told)
    living: tuple[Living, ...] = (link, ear)
    for one in living:
        one.start()
    await eventually(lambda: min(map(tried.count, "le")) > 1)
    for one in living:
        await one.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_databases_of_one_redis_hear_nothing_of_each_other(
    redis_urls: dict[str, str], prefix: str, kind: str
) -> None:
    """A Redis has its channels for all of them together."""
    url = redis_urls[kind].removesuffix("0")
    stores = [RedisBroker(f"{url}{number}", prefix=prefix).store() for number in (0, 1)]
    listeners = [Listener() for _ in stores]
    for store, listener in zip(stores, listeners, strict=True):
        await store.start("worker", listener)
        await arrives(store.reached("a"))
        store.subscribe("a")
    for listener in listeners:
        await eventually(lambda listener=listener: ("subscribed", "a") in listener.events)  # type: ignore[misc]
    for store, payload in zip(stores, (b"of 0", b"of 1"), strict=True):
        await store.publish("a", NOTHING, "x-1", payload, False)
    for listener, payload in zip(listeners, (b"of 0", b"of 1"), strict=True):
        await eventually(lambda listener=listener: listener.heard)  # type: ignore[misc]
        assert listener.payloads("a") == [payload]
    for store in stores:
        await store.close()


async def test_an_answer_that_came_while_the_process_stood_still_is_read_before_a_connection_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_module, "STOOD_STILL", -1.0)  # it always has
    monkeypatch.setattr(link_module, "CATCHING_UP", 0.02)
    nobody, looked = Mock(), asyncio.Event()

    class Waiting(deque[tuple[asyncio.Future[Any], float, float]]):
        def __bool__(self) -> bool:
            looked.set()
            return len(self) > 0

    link = Link("l", nobody, timeout=0, counts=Counts(), on_run=nobody, on_lost=nobody, on_moved=nobody)
    asked = asyncio.get_running_loop().create_future(), 0.0, 2.00001  # long ago
    link._waiting = Waiting([asked])
    watching = asyncio.create_task(link._watch())
    for _ in range(3):
        await asyncio.sleep(0)
    link._waiting.clear()  # it is answered
    async with within():
        await looked.wait()
    assert not watching.done()
    link._waiting.append(asked)
    with pytest.raises(TimeoutError, match="no answer within 2 s"):
        await arrives(watching)
