"""What becomes of rooms when Redis is away, slow, forgetful, or another one: repaired or told, never silent."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis

import realtime
from realtime import BrokerError
from realtime.brokers.base import Unanswered
from realtime.brokers.redis.connection import Backoff
from realtime.brokers.redis.store import RedisStore
from realtime.brokers.redis.topology import shown, topology_of
from realtime.brokers.rooms import Rooms, Timing
from realtime.core.frames import Group, Outgoing, RoomItem
from realtime.core.rooms import Reading

from ..patience import PATIENCE, arrives, bounded, eventually, within
from .servers import BROKER_TIMEOUT, PASSWORD, Sentinels, Server, copied

KEPT = "kept/a"


class Ear:
    """A receiver that keeps what it is offered: texts, and None for each message that was lost at least."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.heard: list[str | bytes | None] = []

    def _offer(self, item: Outgoing) -> None:
        self.heard.append(item.data)

    def _offer_group(self, group: Group) -> None:
        for part in group.parts:
            self._offer(part)

    def _offer_room(self, item: RoomItem) -> None:
        self._offer(item.plain)

    async def _give_room(self, item: RoomItem) -> None:
        self._offer(item.plain)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        if missing is not None:
            self._miss(max(1, missing))

    def _miss(self, count: int) -> None:
        self.heard += [None] * count

    def _left(self, room: str) -> None:
        """It may."""

    def _check_member(self) -> None:
        """It is always there."""


class Worker:
    """The rooms of a server, without the server: as many as a test likes in one process."""

    names = itertools.count()

    def __init__(
        self,
        url: str,
        *,
        timeout: float = BROKER_TIMEOUT,
        timing: Timing = Timing(2.0, 0.5),  # noqa: B008
        quick: bool = True,
        of: realtime.RedisBroker | None = None,
        configure: Callable[[Any], object] = lambda service: None,
    ) -> None:
        broker = of or (realtime.RedisBroker(url, beat=0.1) if quick else realtime.RedisBroker(url))
        self.service = realtime.Server(broker=broker, broker_timeout=timeout)._service
        self.service.configure_rooms("kept/*", 1000, 60, True)
        configure(self.service)
        hub = self.service.sessions.hub
        self.rooms = hub.shared = Rooms(broker.store(), hub, timeout, timing, self.service.broker_counts)
        self.hub = hub

    async def member(self, room: str, **options: Any) -> Ear:
        """One who is in a room."""
        ear = Ear(f"ear{os.getpid()}-{next(self.names)}")  # as sessions of several processes have ids of their own
        keep = self.service._keep(room)
        assert keep is not None
        options = {"info": "{}", "last": 0, "after": None, **options}
        await arrives(self.rooms.join(ear, room, keep, **options), "the room is joined")
        return ear

    def waits(self, seconds: float) -> None:
        """How long it waits for the broker from now on: a moment where there is no answer to wait for, and as long as
        it takes on a busy machine where there is one."""
        self.rooms.timeout = self.rooms.reader._timeout = self.rooms._publishing._timeout = seconds

    async def send(self, room: str, text: str) -> str:
        """Sends to a room."""
        return await self.hub.room(room).send(text)

    @property
    def away(self) -> bool:
        """Whether it is known that commands go nowhere. (Beats that are not heard are another problem.)"""
        return any("cannot be reached" in problem for problem in self.rooms.health().problems)

    async def until_present(self, room: str, count: int) -> None:
        """Until so many are present."""
        async with within(f"{count} are present in {room}"):
            while True:
                if await self.hub.room(room).count() == count:
                    return
                await asyncio.sleep(0.02)

    async def sent(self, room: str, text: str) -> None:
        """Sends, again and again until it is known that it was sent. Only where it can't be sent twice."""
        while True:
            try:
                await self.send(room, text)
            except BrokerError as error:
                if error.maybe_sent:
                    return
            else:
                return


@pytest.fixture
async def start() -> AsyncIterator[Any]:
    """Starts workers."""
    async with AsyncExitStack() as stack:

        async def start(url: str, **options: Any) -> Worker:
            worker = Worker(url, **options)
            await worker.rooms.start()
            stack.push_async_callback(worker.rooms.close)
            return worker

        yield start


async def heard_again(workers: list[Worker], ears: list[Ear], room: str) -> list[str]:
    """Until a message sent at each worker is heard by all; what was sent for it.

    What is sent before every worker hears again, and has compared what it knows, may be lost to some: that is told.
    """
    texts: list[str] = []
    async with within(f"{room} is heard again"):
        for worker in workers:
            begun = len(texts)
            while len(texts) == begun or not all(texts[-1] in ear.heard for ear in ears):
                told = {ear: ear.heard.count(None) for ear in ears}
                texts.append(f"again {next(Worker.names)}")
                await worker.sent(room, texts[-1])
                await eventually(
                    lambda told=told: all(  # type: ignore[misc]
                        texts[-1] in ear.heard or ear.heard.count(None) > told[ear] for ear in ears
                    )
                )
    return texts


# -- away --------------------------------------------------------------------------------------------------------------


async def test_redis_away_is_told_and_everything_comes_back(
    own_redis: Server, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await start(own_redis.url), await start(own_redis.url)
    ears = [await one.member(KEPT), await two.member(KEPT)]
    await one.send(KEPT, "before")
    for ear in ears:
        await eventually(lambda ear=ear: ear.heard == ["before"])  # type: ignore[misc]
    own_redis.kill()
    await eventually(lambda: one.away)
    one.waits(0.5)
    with pytest.raises(BrokerError, match=r"within broker_timeout \(0\.5 s\): Redis at .* cannot be reached") as caught:
        await one.send(KEPT, "nobody hears this")
    assert not caught.value.maybe_sent
    with pytest.raises(BrokerError, match="could not be joined within broker_timeout"):
        await one.member("another")
    assert "another" not in one.rooms._local
    own_redis.start()
    one.waits(BROKER_TIMEOUT)
    await heard_again([one, two], ears, KEPT)
    for ear in ears:
        # It kept nothing: that is a new epoch, and a gap of which nobody knows how long it is.
        assert ear.heard[:2] == ["before", None]
        assert "nobody hears this" not in ear.heard
    await eventually(lambda: one.rooms.health().ready and two.rooms.health().ready)


@pytest.mark.parametrize("fault", ["restarted without persistence", "paused"])
async def test_every_worker_hears_again_within_five_seconds_of_redis_being_back(
    own_redis: Server, start: Any, fault: str
) -> None:
    """With the settings that a server has unless it is told others."""
    options: dict[str, Any] = {"quick": False, "timing": Timing(), "timeout": 30.0}
    workers = [await start(own_redis.url, **options) for _ in range(3)]
    ears = [await worker.member(room) for worker in workers for room in (KEPT, "plain")]
    await eventually(lambda: all(worker.rooms.health().ready for worker in workers))
    if fault == "paused":
        own_redis.pause()
    else:
        own_redis.kill()
    await eventually(lambda: all(worker.away for worker in workers))
    if fault == "paused":
        own_redis.resume()
    else:
        await asyncio.to_thread(own_redis.start)
    async with bounded(5.0):
        for index, room in enumerate((KEPT, "plain")):
            await heard_again(workers[:1], ears[index::2], room)
    await eventually(lambda: all(worker.rooms.health().ready for worker in workers))


async def test_a_join_whose_snapshot_gets_no_answer_is_given_up(own_redis: Server, start: Any) -> None:
    one = await start(own_redis.url)
    ear = await one.member(KEPT)
    await one.send(KEPT, "1")
    await eventually(lambda: ear.heard == ["1"])
    own_redis.pause()
    one.waits(0.5)
    with pytest.raises(BrokerError, match=r"could not be (read, and was not )?joined,? within broker_timeout"):
        await one.member(KEPT, last=5)
    assert list(one.hub.members(KEPT)) == [ear]
    assert not one.rooms._local[KEPT].joining
    own_redis.resume()
    one.waits(BROKER_TIMEOUT)
    await one.until_present(KEPT, 1)
    again = await one.member(KEPT, last=5)
    await eventually(lambda: again.heard == ["1"])


@pytest.mark.parametrize("room", [KEPT, "plain"])
async def test_a_closing_that_a_deaf_worker_has_not_heard_is_made_up_for(
    own_redis: Server, start: Any, room: str
) -> None:
    one, two = await start(own_redis.url), await start(own_redis.url)
    ears = [await one.member(room), await two.member(room)]
    await one.send(room, "first")
    for ear in ears:
        await eventually(lambda ear=ear: ear.heard == ["first"])  # type: ignore[misc]
    (node,) = two.rooms._store._nodes._nodes.values()
    real, node.ear._heard = node.ear._heard, lambda channel, data: None
    await arrives(one.hub.room(room).close())
    assert not one.hub.members(room)
    await eventually(lambda: node.deafnesses)
    node.ear._heard = real
    await eventually(lambda: not two.hub.members(room))
    await eventually(lambda: not two.rooms._local)
    again = await two.member(room)
    await one.send(room, "second")
    await eventually(lambda: again.heard == ["second"])
    assert ears[1].heard in (["first"], ["first", None])  # of what is not kept the closing is a loss like any other


async def test_a_closing_that_cannot_be_made_or_is_not_heard_is_told(
    own_redis: Server, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await start(own_redis.url)
    await one.member(KEPT)
    one.rooms.timeout = 0.5  # for what is heard: what the broker has to answer takes as long as it takes
    (node,) = one.rooms._store._nodes._nodes.values()

    async def unanswered(*question: Any) -> None:
        raise Unanswered("nobody knows")

    monkeypatch.setattr(node.ear, "_heard", lambda channel, data: None)
    monkeypatch.setattr(one.rooms._store, "read", unanswered)
    with pytest.raises(BrokerError, match="has not heard of the closing") as caught:
        await one.hub.room(KEPT).close()
    assert caught.value.maybe_sent
    own_redis.kill()
    await eventually(lambda: one.away)
    one.waits(0.5)
    with pytest.raises(BrokerError, match="no answer from the broker") as caught:
        await one.hub.room(KEPT).close()
    assert not caught.value.maybe_sent
    assert len(one.hub.members(KEPT)) == 1


async def test_a_restart_that_keeps_everything_is_no_gap(tmp_path: Any, start: Any) -> None:
    server = Server(tmp_path, "--appendonly", "yes", "--appendfsync", "always").start()
    try:
        one, two = await start(server.url), await start(server.url)
        ears = [await one.member(KEPT), await two.member(KEPT)]
        expected = []
        for round in range(3):
            for number in range(5):
                expected.append(f"{round}.{number}")
                await one.send(KEPT, expected[-1])
            server.kill()
            await eventually(lambda: one.away and two.away)
            server.start()
        await one.send(KEPT, "end")
        for ear in ears:
            await eventually(lambda ear=ear: "end" in ear.heard)  # type: ignore[misc]
            assert ear.heard == [*expected, "end"]
    finally:
        server.kill()


async def test_a_paused_redis_loses_and_repeats_nothing(own_redis: Server, start: Any) -> None:
    one, two = await start(own_redis.url), await start(own_redis.url)
    ears = [await one.member(KEPT), await two.member(KEPT)]
    await one.send(KEPT, "before")
    await eventually(lambda: one.rooms.health().ready and two.rooms.health().ready)
    own_redis.pause()
    sending = [asyncio.create_task(one.send(KEPT, str(number))) for number in range(20)]
    # Commands are given up and asked again meanwhile, and what hears no beat subscribes again.
    await eventually(lambda: one.away and two.away)
    own_redis.resume()
    await arrives(asyncio.gather(*sending))
    await two.send(KEPT, "end")
    for ear in ears:
        await eventually(lambda ear=ear: "end" in ear.heard)  # type: ignore[misc]
        assert ear.heard == ["before", *(str(number) for number in range(20)), "end"]
    await eventually(lambda: one.rooms.health().ready and two.rooms.health().ready)


async def test_deaf_subscriptions_are_noticed_and_repaired(own_redis: Server, start: Any) -> None:
    one = await start(own_redis.url)
    ear = await one.member(KEPT)
    await eventually(lambda: one.rooms.health().ready)
    (node,) = one.rooms._store._nodes._nodes.values()
    with own_redis.client() as client:
        # Its subscriptions are gone, and nothing was said: as a proxy does that forgets a connection.
        real, node.ear._heard = node.ear._heard, lambda channel, data: None
        await one.send(KEPT, "unheard")
        await eventually(lambda: node.deafnesses)
        node.ear._heard = real
        assert client.ping()
    await eventually(lambda: ear.heard == ["unheard"])
    await eventually(lambda: one.rooms.health().ready)


async def test_without_history_what_nobody_heard_is_told(own_redis: Server, start: Any) -> None:
    one = await start(own_redis.url)
    ear = await one.member("plain")
    (node,) = one.rooms._store._nodes._nodes.values()
    await one.send("plain", "first")
    await eventually(lambda: ear.heard == ["first"])
    real, node.ear._heard = node.ear._heard, lambda channel, data: None
    await one.send("plain", "lost")
    await eventually(lambda: node.deafnesses)
    node.ear._heard = real
    await eventually(lambda: ear.heard == ["first", None])
    await one.send("plain", "heard")
    await eventually(lambda: ear.heard == ["first", None, "heard"])


async def test_scripts_that_were_flushed_are_loaded_again(own_redis: Server, start: Any) -> None:
    one = await start(own_redis.url)
    ear = await one.member(KEPT)
    await one.send(KEPT, "1")
    with own_redis.client() as client:
        client.script_flush()
    await asyncio.gather(*(one.send(KEPT, str(number)) for number in range(2, 10)))
    await eventually(lambda: ear.heard == [str(number) for number in range(1, 10)])


async def test_a_database_that_was_flushed_is_a_gap(own_redis: Server, start: Any) -> None:
    one, two = await start(own_redis.url), await start(own_redis.url)
    ears = [await one.member(KEPT), await two.member(KEPT)]
    await one.send(KEPT, "1")
    for ear in ears:
        await eventually(lambda ear=ear: ear.heard == ["1"])  # type: ignore[misc]
    with own_redis.client() as client:
        client.flushall()
    await one.send(KEPT, "2")
    for ear in ears:
        await eventually(lambda ear=ear: ear.heard == ["1", None, "2"])  # type: ignore[misc]
    # Presence is mended in the next sweep, or with the next renewal.
    await two.until_present(KEPT, 2)


async def fails_over(sentinels: Sentinels, start: Any) -> tuple[list[Worker], list[Ear]]:
    """Two workers, each with an ear in a room, whose second message is lost with the master."""
    workers = [await start(sentinels.url, timeout=BROKER_TIMEOUT) for _ in range(2)]
    ears = [await worker.member(KEPT) for worker in workers]
    sentinels.let_be()
    await workers[0].send(KEPT, "shared")
    copied(sentinels.master)
    with sentinels.replica.client() as replica:
        replica.replicaof("127.0.0.1", "1")  # it hears of nothing any more
        await workers[0].send(KEPT, "lost with the master")
        for ear in ears:
            await eventually(lambda ear=ear: ear.heard == ["shared", "lost with the master"])  # type: ignore[misc]
        sentinels.master.kill()
        replica.replicaof("NO", "ONE")
        sentinels.switch()
    return workers, ears


async def test_a_replica_takes_over_and_what_it_lacks_is_told(sentinels: Sentinels, start: Any) -> None:
    workers, ears = await fails_over(sentinels, start)
    for ear in ears:
        await eventually(lambda ear=ear: ear.heard == ["shared", "lost with the master", None])  # type: ignore[misc]
    await arrives(workers[1].send(KEPT, "after"), "the new master takes a message")
    for ear in ears:
        await eventually(lambda ear=ear: "after" in ear.heard)  # type: ignore[misc]
        assert ear.heard == ["shared", "lost with the master", None, "after"]


async def test_what_is_sent_before_anybody_has_noticed_a_failover_is_in_the_gap_and_in_the_history(
    sentinels: Sentinels, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands where another message stood, and nobody can tell who has heard which."""
    noticed, read = asyncio.Event(), RedisStore.read

    async def later(*question: Any, **more: Any) -> Reading:
        await noticed.wait()
        return await read(*question, **more)

    workers, ears = await fails_over(sentinels, start)
    monkeypatch.setattr(RedisStore, "read", later)
    with sentinels.replica.client() as replica:
        run = replica.info("server")["run_id"]
    await eventually(lambda: workers[1].rooms._store.run_of(KEPT).startswith(run))
    await arrives(workers[1].send(KEPT, "unheard"))
    noticed.set()
    for ear in ears:
        await eventually(lambda ear=ear: ear.heard == ["shared", "lost with the master", None])  # type: ignore[misc]
    await arrives(workers[1].send(KEPT, "after"))
    for ear in ears:
        await eventually(lambda ear=ear: "after" in ear.heard)  # type: ignore[misc]
        assert ear.heard == ["shared", "lost with the master", None, "after"]
    kept = await arrives(workers[0].hub.room(KEPT).history(limit=10))
    assert [message for _, message in kept.messages] == ["shared", "unheard", "after"]


@pytest.mark.timeout(6 * PATIENCE)
async def test_sentinel_names_another_master(sentinels: Sentinels, start: Any) -> None:
    one, two = await start(sentinels.url), await start(sentinels.url)
    ears = [await one.member(KEPT), await two.member(KEPT)]
    await one.send(KEPT, "before")
    copied(sentinels.master)
    sentinels.master.kill()
    await eventually(lambda: one.away and two.away)
    await asyncio.to_thread(sentinels.until_switched)
    await arrives(one.send(KEPT, "after"), "the replica is found")
    for ear in ears:
        await eventually(lambda ear=ear: ear.heard == ["before", "after"])  # type: ignore[misc]
    await eventually(lambda: one.rooms.health().ready and two.rooms.health().ready)


async def test_forty_megabytes_make_nobody_deaf(own_redis: Server, start: Any) -> None:
    one, two = await start(own_redis.url), await start(own_redis.url)
    ears = [await one.member("plain"), await two.member("plain")]
    large = "x" * 40_000_000
    await one.send("plain", large)
    await two.send("plain", "small")
    for ear in ears:
        await eventually(lambda ear=ear: "small" in ear.heard)  # type: ignore[misc]
        assert ear.heard in ([large, "small"], [None, "small"])
    await eventually(lambda: one.rooms.health().ready and two.rooms.health().ready)


# -- workers -----------------------------------------------------------------------------------------------------------

WORKER = """
import asyncio, sys
import realtime
from realtime.brokers.rooms import Rooms, Timing
from tests.brokers.test_failures import KEPT, Worker

async def main():
    worker = Worker(sys.argv[1], timing=Timing(1.0, 0.3))
    await worker.rooms.start()
    ear = await worker.member(KEPT)
    print("joined", ear.id, flush=True)
    for number in range(int(sys.argv[2])):
        await worker.send(KEPT, f"{sys.argv[3]} {number}")
    while len(ear.heard) < int(sys.argv[4]):
        await asyncio.sleep(0.01)
    print("\\n".join(map(str, ear.heard)), flush=True)
    await asyncio.Event().wait()  # until it is killed

asyncio.run(main())
"""


async def process(url: str, *arguments: str) -> asyncio.subprocess.Process:
    """Another worker, in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, url, *arguments, stdout=asyncio.subprocess.PIPE
    )


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(4 * PATIENCE):  # which takes a busy machine longer than anything else here
        return (await process.stdout.readline()).decode().strip()


@pytest.mark.timeout(8 * PATIENCE)
async def test_processes_hear_each_other_in_one_order_and_the_killed_is_missed(own_redis: Server, start: Any) -> None:
    one = await start(own_redis.url, timing=Timing(1.0, 0.3))
    ear = await one.member(KEPT)
    others = [await process(own_redis.url, "100", name, "300") for name in ("two", "three")]
    try:
        names = [await line(other) for other in others]
        assert all(name.startswith("joined ear") for name in names)
        for number in range(100):
            await one.send(KEPT, f"one {number}")
        await eventually(lambda: len(ear.heard) >= 300)
        for name in ("one", "two", "three"):
            assert [text for text in ear.heard if str(text).startswith(name)] == [f"{name} {n}" for n in range(100)]
        assert len(ear.heard) == 300
        await eventually(lambda: None not in ear.heard)
        await one.until_present(KEPT, 3)
        others[0].send_signal(signal.SIGKILL)
        await one.until_present(KEPT, 2)
    finally:
        for other in others:
            if other.returncode is None:
                other.kill()
            await other.communicate()


# -- what is warned of, and what is not said ---------------------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True], ids=["alone", "named by a Sentinel"])
async def test_who_accepts_a_connection_and_never_answers_is_not_waited_for(named: bool) -> None:
    """Such as a proxy, or a machine that dies in this moment: the next connection may come to the Redis again."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: held.append(writer), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()[:2]
    place = f"127.0.0.1:{address[1]}"
    topology: Any = topology_of(f"redis+sentinel://{place}/x" if named else f"redis://{place}", 0.01)

    async def master() -> Any:
        return address

    topology._pool.get_master_address = master
    try:
        # On a machine that has much to do the time for all of it may be over first, or the library's own.
        late = r"no answer to a new connection within 0\.0[24] s|Timeout connecting to server"
        with pytest.raises((TimeoutError, redis.exceptions.TimeoutError), match=late):
            await arrives(topology.connect(""))
    finally:
        await topology.close()
        await eventually(lambda: held)
        for writer in held:
            writer.close()
        server.close()
        await server.wait_closed()


async def test_an_eviction_policy_that_may_drop_our_keys_is_warned_of(
    own_redis: Server, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    with caplog.at_level(logging.WARNING, "realtime.broker"):
        one = await start(own_redis.url)
        await one.member("plain")
    assert [record.getMessage() for record in caplog.records if "maxmemory-policy allkeys-lru" in record.getMessage()]


async def test_a_redis_whose_memory_is_full_is_told_of_once(
    own_redis: Server, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "realtime.broker"):
        one = await start(own_redis.url)
        await one.send(KEPT, "first")
        with own_redis.client() as client:
            client.config_set("maxmemory", "1")
        for _ in range(2):
            with pytest.raises(BrokerError, match=r"refuses: .*maxmemory"):
                await one.send(KEPT, "hello")
    (said,) = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert "maxmemory" in said


async def test_why_a_redis_refuses_for_now_is_told(
    own_redis: Server, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """As where its disk is full, or its replicas are gone: in the log, by health(), and to who has waited in vain."""
    with caplog.at_level(logging.WARNING, "realtime.broker"):
        one = await start(own_redis.url)
        await one.send(KEPT, "first")
        with own_redis.client() as client:
            client.config_set("min-replicas-to-write", "1")
            one.waits(0.05)
            for attempt in (one.send(KEPT, "hello"), one.member("another")):
                with pytest.raises(BrokerError, match="NOREPLICAS"):
                    await attempt
            await eventually(lambda: one.rooms.health().ready)
            assert "NOREPLICAS" in " ".join(one.rooms.health().problems)
    (said,) = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert "NOREPLICAS" in said


async def test_a_redis_that_refuses_each_time_is_told_of_once(
    own_redis: Server, start: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is tried. And whoever waits is told why."""
    tries = 0
    pause = Backoff.next

    def counted(self: Backoff) -> float:
        nonlocal tries
        tries += 1
        return pause(self)

    monkeypatch.setattr(Backoff, "next", counted)
    with own_redis.client() as client:
        client.config_set("requirepass", PASSWORD)
    with caplog.at_level(logging.WARNING, "realtime.broker"):
        one = await start(own_redis.url)
        await eventually(lambda: tries >= 8)  # by both connections
        await eventually(lambda: "Authentication" in " ".join(one.rooms.health().problems))
        one.waits(0.1)
        with pytest.raises(BrokerError, match=r"no answer .*: Redis at .* cannot be reached: Authentication required"):
            await one.send("plain", "hello")
    told = [text for record in caplog.records if "Authentication" in (text := record.getMessage())]
    assert len(told) == len(set(told)) > 0


async def test_no_credentials_are_logged(start: Any, caplog: pytest.LogCaptureFixture, redis_urls: Any) -> None:
    with caplog.at_level(logging.DEBUG):
        right = await start(redis_urls["tcp"])
        wrong = await start(redis_urls["tcp"].replace(PASSWORD, "wrong-" + PASSWORD), timeout=0.3)
        await right.member("plain")
        with pytest.raises(BrokerError) as caught:
            await wrong.send("plain", "hello")
        problems = wrong.rooms.health().problems
    said = caplog.text + str(caught.value) + "".join(problems) + repr(realtime.RedisBroker(redis_urls["tcp"]))
    assert PASSWORD not in said
    assert "WRONGPASS" in said or "invalid" in said  # what is wrong is told


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://localhost", "is no URL of a Redis"),
        ("redis+sentinel://localhost", "names no service"),
        ("redis://localhost:nonsense", "is no URL of a Redis: ports and databases are numbers"),
        ("redis://localhost/nonsense", "is no URL of a Redis: ports and databases are numbers"),
        ("redis://localhost?socket_timeout=soon", "behind \\? are options"),
        ("redis://[::1", "an IPv6 address has brackets"),
        ("redis+sentinel://localhost:nonsense/rooms", "ports and databases are numbers"),
        ("redis+sentinel://localhost/rooms/nonsense", "ports and databases are numbers"),
        ("redis+sentinel://localhost/rooms?ssl=true", "no \\? with options"),
        ("rediss+sentinel://localhost/rooms", "is no URL of a Redis: redis://"),
        ("redis+cluster://", "is no URL of a Redis: .* and a host"),
        ("redis+cluster:///0", "is no URL of a Redis: .* and a host"),
        ("localhost", "is no URL of a Redis: redis://"),
    ],
)
def test_a_url_that_means_nothing(url: str, error: str) -> None:
    scheme, _, rest = url.partition("://")
    secret = f"{scheme}://ada:{PASSWORD}@{rest}" if rest else url
    for each in (url, secret):
        with pytest.raises(realtime.LocalProtocolError, match=error) as caught:
            realtime.Server(broker=each)
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (f"redis://ada:{PASSWORD}@localhost:6379/2?ssl_ca_certs=x", "redis://localhost:6379/2"),
        (f"unix://:{PASSWORD}@/run/redis", "unix:///run/redis"),
        (f"redis://localhost?password={PASSWORD}@x", "redis://…"),
        (f"redis://:a?{PASSWORD}@localhost", "redis://…"),
        (f"ada:{PASSWORD}@localhost", "localhost"),
    ],
)
def test_what_is_shown_of_a_url(url: str, seen: str) -> None:
    assert shown(url) == seen


def test_without_redis_py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("realtime.brokers.redis.topology")
    monkeypatch.delitem(sys.modules, "realtime.brokers.redis.topology")
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(BrokerError, match=r"pip install 'aiohttp-realtime\[redis\]'"):
        realtime.RedisBroker("redis://localhost")
