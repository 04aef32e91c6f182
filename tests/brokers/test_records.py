"""What a store of durable sessions must do (brokers/base): the same tests for memory, for a Redis, and for a cluster of
them. And what is left of it when Redis is stopped.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from realtime.brokers.base import Records, Refused, Store, Unanswered, Unreadable
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker
from realtime.brokers.redis.records import RedisRecords
from realtime.brokers.redis.scripts import Keys
from realtime.core.durable.changes import Ended, Published, Sends
from realtime.core.durable.owner import Outcome, Owner, Write
from realtime.core.durable.record import Close, Publish, Record, Stage, created
from realtime.core.durable.takeover import Notice, taken_over

from ..patience import eventually, within
from .servers import Server
from .test_directory import every, started, until

NEW = created("i1", "w1", "t1", '{"nonce":"n"}', 1)
SID = "w1.session"


@pytest.fixture
async def store(broker: MemoryBroker | RedisBroker) -> AsyncIterator[Store]:
    store = await started(broker)
    yield store
    await store.close()


@pytest.fixture
def records(store: Store) -> Records:
    return store.records


async def record_of(records: Records, sid: str = SID) -> Record | None:
    sight = await records.load(sid)
    return None if sight is None else sight.record


@every
async def test_a_session_is_written_where_nothing_is_and_read(records: Records) -> None:
    assert await records.load(SID) is None
    assert await records.id(SID) == ""
    assert await records.put(SID, Write("", NEW), 30) == "i1"
    assert await record_of(records) == NEW
    assert await records.id(SID) == "i1"
    sight = await records.load(SID)
    assert sight is not None
    assert 0 <= sight.idle < 30


@every
async def test_a_write_replaces_the_one_that_it_names_or_does_nothing(records: Records) -> None:
    await records.put(SID, Write("", NEW), 30)
    assert await records.put(SID, Write("", NEW._replace(id="i2")), 30) == "i1"
    assert await records.put(SID, Write("other", NEW._replace(id="i2")), 30) == "i1"
    assert await record_of(records) == NEW
    second = NEW._replace(id="i2", sent=1, outbox=("text ü \ud7ff",), data='{"a":"\\u0000"}')
    assert await records.put(SID, Write("i1", second), 30) == "i2"
    assert await record_of(records) == second
    assert await records.put(SID, Write("i1", second), 30) == "i2"  # asked again: it has happened
    assert await records.put("w1.absent", Write("i1", second), 30) == ""
    assert await record_of(records, "w1.absent") is None


@every
async def test_of_many_writers_one_wins(records: Records) -> None:
    await records.put(SID, Write("", NEW), 30)
    made = [taken_over(NEW, f"w{number}", f"i{number}", f"t{number}") for number in range(2, 12)]
    found = await asyncio.gather(*(records.put(SID, Write("i1", record), 30) for record in made))
    assert len(set(found)) == 1
    record = await record_of(records)
    assert record in made
    assert record is not None
    assert found[0] == record.id


@every
async def test_a_takeover_fences_and_leaves_word(records: Records) -> None:
    owner = Owner(NEW)
    await records.put(SID, Write("", NEW), 30)
    owner.change(Sends(("a",)))
    write = owner.write("i2")
    assert owner.answered(await records.put(SID, write, 30)) is Outcome.STORED
    new = taken_over(owner.record, "w2", "i3", "t2")
    part = records.home(SID)
    assert await records.put(SID, Write("i2", new), 30, Notice(SID, "t1"), "w1") == "i3"
    assert await records.put(SID, Write("i2", new._replace(id="i4")), 30, Notice(SID, "t1"), "w1") == "i3"
    owner.change(Sends(("b",)))
    assert owner.answered(await records.put(SID, owner.write("i5"), 30)) is Outcome.FENCED
    assert await record_of(records) == new
    assert await records.notices(part, "w1") == [Notice(SID, "t1")]  # once, and until it is done with
    assert await records.notices(part, "w1") == [Notice(SID, "t1")]
    assert await records.notices(part, "w2") == []
    for _ in range(2):
        await records.noticed(part, "w1", [Notice(SID, "t1"), Notice("w1.another", "t1")])
    await records.noticed(part, "w2", [])
    assert await records.notices(part, "w1") == []


@every
async def test_what_came_while_notices_were_read_stays(records: Records) -> None:
    await records.put(SID, Write("", NEW), 30, Notice(SID, "t1"), "w1")
    await records.put(SID, Write("i1", NEW._replace(id="i2")), 30, Notice(SID, "t2"), "w1")
    for _ in range(2):  # asked again: the first answer was lost
        await records.noticed(records.home(SID), "w1", [Notice(SID, "t1")])
    assert await records.notices(records.home(SID), "w1") == [Notice(SID, "t2")]


@every
async def test_what_nobody_writes_becomes_due(records: Records) -> None:
    part = records.home(SID)
    await records.put(SID, Write("", NEW), 30)
    assert await records.due(part, 10) == []
    await records.put(SID, Write("i1", NEW._replace(id="i2")), 0.001)
    await until(lambda: records.due(part, 10), [SID])
    assert await records.due(part, 0) == []
    await records.postpone(SID, 30)
    assert await records.due(part, 10) == []
    await records.postpone("w1.absent", 0.001)
    assert await record_of(records) == NEW._replace(id="i2")  # it is not forgotten
    await records.postpone(SID, 0.001)
    await until(lambda: records.due(part, 10), [SID])


@every
async def test_what_has_ended_is_kept_for_a_while_and_then_forgotten(records: Records) -> None:
    part = records.home(SID)
    owner = Owner(NEW._replace(publishes=(Publish("i1-0", "room", "p"),)))
    await records.put(SID, Write("", owner.record), 0.001)
    owner.change(Ended(Close(1000)))
    owner.answered(await records.put(SID, owner.write("i2"), 0.001))
    assert owner.record.stage is Stage.ENDED
    await until(lambda: records.due(part, 10), [SID])  # it has yet to publish
    owner.change(Published(frozenset({"i1-0"})))
    assert owner.answered(await records.put(SID, owner.write("i3"), 30)) is Outcome.STORED
    assert await records.due(part, 10) == []
    await records.postpone(SID, 0.001)
    assert await record_of(records) == owner.record
    last = owner.record._replace(id="i4")
    await records.put(SID, Write("i3", last), 0.001)
    await until(lambda: records.id(SID), "")
    assert await records.load(SID) is None
    assert await records.due(part, 10) == []


@every
async def test_writers_that_take_a_session_from_each_other_leave_one_history(records: Records) -> None:
    """Each takes over, writes what it can, and is fenced by the next: every write that is said to have happened is in
    the one history, and no other."""
    await records.put(SID, Write("", NEW), 30)
    parents = {"i1": ""}
    ids = (f"i{number}" for number in itertools.count(2))
    draw = random.Random(20)
    fenced = 0

    async def work(worker: str) -> None:
        nonlocal fenced
        while fenced < 5:
            await others(draw.randrange(8))
            seen = await record_of(records)
            assert seen is not None
            new = taken_over(seen, worker, next(ids), f"t{next(ids)}")
            if await records.put(SID, Write(seen.id, new), 30, Notice(SID, seen.tenure.id), seen.owner) != new.id:
                continue
            parents[new.id] = seen.id
            owner = Owner(new)
            for _ in range(3):
                await others(draw.randrange(3))
                owner.change(Sends((f"{worker}'s",)))
                write = owner.write(next(ids))
                if owner.answered(await records.put(SID, write, 30)) is Outcome.FENCED:
                    fenced += 1
                    break
                parents[write.record.id] = write.expected

    async def others(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async with within("until some were fenced"):
        await asyncio.gather(*(work(f"w{number}") for number in range(4)))
    last = await record_of(records)
    assert last is not None
    history, id = [], last.id
    while id:
        history.append(id)
        id = parents.pop(id)
    assert parents == {}  # nothing else was said to have happened
    assert tuple(reversed(history))[-len(last.before) - 1 : -1] == last.before
    assert len(last.outbox) == last.sent > 0


async def test_memory_forgets_what_has_ended_and_workers_that_nobody_is() -> None:
    records: Records = MemoryBroker().store().records
    ended = NEW._replace(stage=Stage.ENDED, end=Close(1000))
    for number in range(20):
        await records.put(f"w1.{number}", Write("", ended), 0.0)
    assert len(records._kept) <= 2  # type: ignore[attr-defined]
    for number in range(1100):
        write = Write("" if not number else f"i{number}", NEW._replace(id=f"i{number + 1}"))
        await records.put(SID, write, 30, Notice(SID, "t1"), f"w{number}")
    assert await records.notices(0, "w0") == []
    assert await records.notices(0, "w1099") == [Notice(SID, "t1")]


async def test_a_store_that_went_back_is_written_over_and_one_that_forgot_fences(own_redis: Server) -> None:
    store = await started(RedisBroker(own_redis.url, prefix="back:"))
    records, owner = store.records, Owner(NEW)
    await records.put(SID, Write("", NEW), 30)
    with own_redis.client() as client:
        (key,) = client.keys("back:*record*")
        before = client.hgetall(key)
        for number in range(2, 5):
            owner.change(Sends((f"d{number}",)))
            assert owner.answered(await records.put(SID, owner.write(f"i{number}"), 30)) is Outcome.STORED
        client.hset(key, mapping=before)  # as by a failover that lost three writes
        owner.change(Sends(("d5",)))
        assert owner.answered(await records.put(SID, owner.write("i5"), 30)) is Outcome.BEHIND
        assert owner.answered(await records.put(SID, owner.again(), 30)) is Outcome.STORED
        assert await record_of(records) == owner.record
        assert owner.record.outbox == ("d2", "d3", "d4", "d5")
        client.delete(key)
    owner.change(Sends(("d6",)))
    assert owner.answered(await records.put(SID, owner.write("i6"), 30)) is Outcome.FENCED
    await store.close()


@pytest.mark.parametrize("text", ["", "[]", '{"id":"i1","another":"version"}', b"\xff"])
async def test_what_another_version_has_written_is_said_to_be_unreadable(own_redis: Server, text: str | bytes) -> None:
    store = await started(RedisBroker(own_redis.url, prefix="new:"))
    await store.records.put(SID, Write("", NEW), 30)
    with own_redis.client() as client:
        (key,) = client.keys("new:*record*")
        client.hset(key, "r", text)
    with pytest.raises(Unreadable, match=f"session {SID}: "):
        await store.records.load(SID)
    await store.close()


async def test_what_comes_of_a_write_while_the_store_is_away_is_said(own_redis: Server) -> None:
    store = await started(RedisBroker(own_redis.url))
    await store.records.put(SID, Write("", NEW), 30)
    own_redis.kill()
    second = Write("i1", NEW._replace(id="i2"))
    with pytest.raises((Refused, Unanswered)):
        await store.records.put(SID, second, 30)
    await eventually(lambda: store.run_at(store.records.home(SID)) == "")
    with pytest.raises(Refused):
        await store.records.load(SID)
    await store.close()


async def test_a_takeover_is_at_a_replica_when_it_is_told(own_redis: Server, tmp_path: Path) -> None:
    with own_redis.client() as there:
        there.config_set("repl-diskless-sync-delay", 0)
    replica = Server(tmp_path / "replica", "--save", "", "--replicaof", "127.0.0.1", str(own_redis.port)).start()
    try:
        with own_redis.client() as there, replica.client() as copy:
            await eventually(lambda: there.info("replication").get("slave0", {}).get("state") == "online")
            store = await started(RedisBroker(own_redis.url, prefix="p:"))
            try:
                await store.records.put(SID, Write("", NEW), 30)
                new = taken_over(NEW, "w2", "i2", "t2")
                assert await store.records.put(SID, Write("i1", new), 30, Notice(SID, "t1"), "w1") == "i2"
                kept = [copy.hget(key, "i") for key in copy.keys("*") if copy.type(key) == "hash"]
                assert "i2" in kept
            finally:
                await store.close()
    finally:
        replica.kill()


async def test_a_session_that_redis_has_dropped_is_due_no_more(own_redis: Server) -> None:
    """Sixty-four of them would be in front of all others of their part for ever."""
    store = await started(RedisBroker(own_redis.url))
    try:
        records, part = store.records, store.records.home(SID)
        await records.put(SID, Write("", NEW), 0.001)
        with own_redis.client() as client:
            (key,) = client.keys("*:record:*")
            client.delete(key)
        await until(lambda: records.due(part, 10), [SID])
        await records.postpone(SID, 0.001)
        with own_redis.client() as client:
            assert client.keys("*:due:*") == []
    finally:
        await store.close()


@pytest.mark.parametrize("broker", ["tcp"], indirect=True)
async def test_of_a_clock_that_was_set_back_nothing_waits_for_as_long(
    records: Records, prefix: str, redis_urls: dict[str, str]
) -> None:
    """As somebody else's doing: what was written before is an hour ahead."""
    part, keys = records.home(SID), Keys(prefix)
    due, record = keys.due(part), keys.record(SID)
    await records.put(SID, Write("", NEW), 30)
    with Redis.from_url(redis_urls["tcp"]) as client:
        now = client.time()[0]
        ahead = (now + 3600) * 1000
        client.zadd(due, {SID: ahead})
        client.hset(record, "t", ahead)
        sight = await records.load(SID)
        assert sight is not None
        assert sight.idle == 0
        assert now * 1000 <= int(client.hget(record, "t")) < ahead - 3_000_000
        await records.due(part, 10)
        assert client.zscore(due, SID) == ahead  # who knows of no endpoint can't tell for how long
        assert await records.due(part, 10, 40.0) == []
        assert 30_000 < client.zscore(due, SID) - now * 1000 < 600_000
        assert await records.due(part, 10, 0.0) == []
        await until(lambda: records.due(part, 10), [SID])


class Replicated:
    """A node with a replica, which writes everything and says what a test lets it."""

    def __init__(self) -> None:
        self.waits = 0
        self.copied: asyncio.Queue[int] = asyncio.Queue()  # what each WAIT is told

    def name_at(self, part: int) -> str:
        return "node"

    async def call(self, part: int, *command: Any, patience: float = 0.0) -> Any:
        if command[0] == "INFO":
            return b"role:master\r\nconnected_slaves:1\r\n"
        if command[0] == "WAIT":
            self.waits += 1
            assert patience >= command[2] / 1000, "what is not answered so soon is no connection that is gone"
            return await self.copied.get()
        return NEW.id.encode()  # of the write


async def test_takeovers_wait_for_a_replica_together_and_no_more_for_one_that_is_late() -> None:
    """A Redis that waits answers nothing else on that connection: all rooms of a worker would stand still meanwhile."""
    node = Replicated()
    records = RedisRecords(node, Keys("test:"))  # type: ignore[arg-type]

    def take_over(count: int) -> list[asyncio.Task[str]]:
        writes = (records.put(f"w.{number}", Write("", NEW), 30, Notice("s", "t"), "w2") for number in range(count))
        return [asyncio.ensure_future(write) for write in writes]

    first = take_over(1)
    await eventually(lambda: node.waits == 1)
    others = take_over(20)
    node.copied.put_nowait(1)
    await asyncio.gather(*first)
    await eventually(lambda: node.waits == 2)  # they were written behind the first one
    assert not any(write.done() for write in others)
    node.copied.put_nowait(0)
    await asyncio.gather(*others)
    await asyncio.gather(*take_over(20))
    assert node.waits == 2
