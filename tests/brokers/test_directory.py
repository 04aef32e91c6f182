"""What a directory must do (brokers/base): the same tests for memory, for a Redis, and for a cluster of them. And what
happens to it when Redis is stopped, emptied, or paused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress

import pytest
from redis import Redis

from realtime.brokers.base import Directory, Refused, Store, Unanswered
from realtime.brokers.counts import Counts
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker
from realtime.cluster.directory import Directory as Worker
from realtime.core.claims import Claim
from realtime.core.errors import BrokerError
from realtime.core.leases import Ended, Known, Peer
from realtime.core.proof import Key
from realtime.core.rooms import Entry
from realtime.owners import Claimed, Mine, Taken

from ..patience import eventually, within
from .servers import Server

ONE = Peer("onex", "first", "unix:/run/one.sock")
TWO = Peer("twox", "first", "tcp://[::1]:7000")
A, B = Claim("onex.a", "digest"), Claim("twox.b", "digest")

every = pytest.mark.parametrize("broker", ["memory", "tcp", "cluster"], indirect=True)


class Listener:
    """Hears nothing but of runs."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.runs: list[str] = []

    def received(self, room: str, entry: Entry) -> None: ...

    def subscribed(self, room: str) -> None: ...

    def unsubscribed(self, rooms: Iterable[str]) -> None: ...

    def missed(self, room: str) -> None: ...

    def attended(self, room: str) -> None: ...

    def returned(self, run: str) -> None:
        self.runs.append(run)

    def failed(self) -> None: ...

    async def give_way(self) -> None:
        await asyncio.sleep(0)


async def started(broker: MemoryBroker | RedisBroker) -> Store:
    """What a worker uses of it, connected to every node."""
    store: Store = broker.store()
    await store.start("worker", Listener())
    async with within("the store is reached"):
        for number in range(50):  # at every node of a cluster is one of these
            await store.reached(f"room {number}")
    return store


async def until(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Asks until that is the answer."""
    async with within(f"until the answer is {wanted}"):
        while True:
            if await ask() == wanted:
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def store(broker: MemoryBroker | RedisBroker) -> AsyncIterator[Store]:
    store = await started(broker)
    yield store
    await store.close()


@pytest.fixture
def directory(store: Store) -> Directory:
    return store.directory


# -- workers -----------------------------------------------------------------------------------------------------------


@every
async def test_a_worker_is_found_by_its_name(directory: Directory) -> None:
    assert await directory.find("onex") == Known()
    assert await directory.enlist(ONE, 30)
    assert await directory.enlist(TWO, 30)
    found = await directory.find("onex")
    assert found.peer == ONE
    assert 0 < found.lease <= 30  # what is left of it
    assert sorted(await directory.living()) == [ONE, TWO]
    await directory.strike(ONE)
    assert await directory.find("onex") == Known()
    assert await directory.living() == [TWO]


@every
async def test_a_worker_is_known_behind_its_lease(directory: Directory) -> None:
    await directory.enlist(ONE, 0.03)
    await until(lambda: directory.find("onex"), Known(ONE))
    assert await directory.find("onex") == Known(ONE)
    assert await directory.living() == []
    assert await directory.enlist(ONE, 30)  # it was only late
    found = await directory.find("onex")
    assert found.peer == ONE
    assert found.leased


@every
async def test_a_name_has_one_worker(directory: Directory) -> None:
    again = ONE._replace(incarnation="second", address="unix:/elsewhere")
    await directory.enlist(ONE, 0.01)
    assert not await directory.enlist(again, 30)
    await directory.strike(again)  # not its place
    assert (await directory.find("onex")).peer == ONE
    assert await directory.enlist(ONE._replace(address="unix:/moved"), 30)
    assert (await directory.find("onex")).peer == ONE._replace(address="unix:/moved")
    await directory.strike(ONE)
    assert await directory.enlist(again, 30)
    assert (await directory.find("onex")).peer == again


# -- names -------------------------------------------------------------------------------------------------------------


@every
async def test_a_name_is_claimed_once(directory: Directory) -> None:
    assert await directory.holder("name") is None
    assert await directory.claim("name", A, 30, True) == A
    assert await directory.claim("name", B, 30, True) == A
    assert await directory.claim("name", B, 30, False) == A
    assert await directory.holder("name") == A
    assert await directory.claim("other", B, 30, True) == B


@every
async def test_a_claim_may_be_as_short_as_one_likes(directory: Directory) -> None:
    """`resume_window` may be anything above 0."""
    assert await directory.claim("name", A, 1e-9, True) == A
    assert await directory.keep("other", A, 1e-9)
    await until(lambda: directory.holder("name"), None)
    assert await directory.claim("name", B, 60, True) == B


@every
async def test_of_many_claims_at_once_one_is_first(directory: Directory) -> None:
    claims = [Claim(f"wrk{number}.x", "") for number in range(8)]
    answers = await asyncio.gather(*(directory.claim("name", claim, 30, True) for claim in claims))
    assert len(set(answers)) == 1
    assert answers[0] in claims


@every
async def test_a_name_that_may_not_be_given_is_not(directory: Directory) -> None:
    assert await directory.claim("name", A, 30, False) is None
    assert await directory.holder("name") is None
    assert await directory.claim("name", A, 30, True) == A


@every
async def test_a_worker_may_claim_a_name_again_for_another_session(directory: Directory) -> None:
    """An answer was lost, and the open comes again; what was asked before counts no more, however late it comes."""
    await directory.claim("name", A, 30, True)
    later = Claim("onex.later", "digest")
    assert await directory.claim("name", later, 30, False) == later
    await directory.release("name", A.sid)
    assert await directory.holder("name") == later
    await directory.release("name", later.sid)
    assert await directory.holder("name") is None


@every
async def test_a_claim_is_kept_and_ends(directory: Directory) -> None:
    assert await directory.keep("name", A, 0.02)
    await until(lambda: directory.holder("name"), None)
    assert await directory.keep("name", A, 30)
    assert not await directory.keep("name", B, 30)
    assert await directory.holder("name") == A


@every
@pytest.mark.parametrize("name", ["", "sockjs /chat a b", "ä€\n", "x" * 3000, "{1}", "\ud800"])
async def test_a_name_may_be_anything(directory: Directory, name: str) -> None:
    free = Claim("onex.free", "")
    assert await directory.claim(name, free, 30, True) == free
    assert await directory.holder(name) == free
    assert await directory.holder(name + ".") is None
    await directory.release(name, free.sid)
    assert await directory.holder(name) is None


# -- counts ------------------------------------------------------------------------------------------------------------


@every
async def test_how_many_each_worker_has(directory: Directory) -> None:
    assert await directory.hold("key ä", "onex", 2) == {"onex": 2}
    assert await directory.hold("key ä", "twox", 1) == {"onex": 2, "twox": 1}
    assert await directory.hold("key ä", "onex", 0) == {"twox": 1}
    assert await directory.hold("other", "onex", 0) == {}
    assert await directory.hold("key ä", "twox", 3) == {"twox": 3}


# -- tombstones --------------------------------------------------------------------------------------------------------


@every
async def test_how_sessions_have_ended(directory: Directory) -> None:
    ended = {
        "onex.1": Ended(1012, "the server restarts", 7, Key("secret")),
        "onex.2": Ended(3000, "", 0),
        "onex.3": Ended(4001, " ä\n“x” \ud800 ", 2**53),
    }
    await directory.bury("onex", {sid: (one, 30.0) for sid, one in ended.items()})
    for sid, one in ended.items():
        assert await directory.ended(sid) == one
    assert await directory.ended("onex.4") is None
    assert await directory.ended("twox.1") is None


@every
async def test_they_are_forgotten_in_time(directory: Directory) -> None:
    await directory.bury("onex", {"onex.1": (Ended(1000, "", 0), 0.02), "onex.2": (Ended(1000, "", 0), 30)})
    await until(lambda: directory.ended("onex.1"), None)
    assert await directory.ended("onex.2") is not None


@every
async def test_many_of_them(directory: Directory) -> None:
    await directory.bury("onex", {})
    await directory.bury("onex", {f"onex.{number}": (Ended(1000, str(number), 0), 30) for number in range(300)})
    assert await directory.ended("onex.299") == Ended(1000, "299", 0)
    assert await directory.ended("onex.0") == Ended(1000, "0", 0)


# -- runs of the store -------------------------------------------------------------------------------------------------


@every
async def test_when_a_run_was_met(directory: Directory) -> None:
    ago = await directory.met(directory.home("name"), False)
    assert await directory.met(directory.home("name"), False) >= ago
    assert await directory.met(directory.home("name"), True) >= ago


@pytest.fixture
async def restarted(own_redis: Server) -> AsyncIterator[tuple[Server, Store]]:
    store = await started(RedisBroker(own_redis.url))
    yield own_redis, store
    await store.close()


async def test_the_first_to_meet_another_run_writes_the_time(restarted: tuple[Server, Store]) -> None:
    server, store = restarted
    directory = store.directory
    run = store.run_at(0)
    await directory.claim("name", A, 30, True)
    await directory.enlist(ONE, 30)
    assert await directory.met(0, False) < 60
    server.kill()
    with pytest.raises((Refused, Unanswered)):
        await directory.claim("name", A, 30, True)
    await eventually(lambda: store.run_at(0) == "")
    with pytest.raises(Refused):
        await directory.find("onex")
    server.start()
    await eventually(lambda: store.run_at(0) not in ("", run))
    assert await directory.met(0, False) < 60
    assert await directory.find("onex") == Known()
    assert await directory.holder("name") is None


async def test_a_store_that_is_emptied_counts_as_met_now(restarted: tuple[Server, Store]) -> None:
    """A run that nobody has met counts from its start; one that was met here, and has forgotten that, from now."""
    server, store = restarted
    with server.client() as client:
        assert await store.directory.met(0, False) <= 60
        client.hset("realtime:1:{0}:met:", store.run_at(0), "1000")
        assert await store.directory.met(0, True) > 1e6
        client.flushall()
        assert await store.directory.met(0, True) < 10
        assert await store.directory.met(0, False) < 10


async def test_of_a_clock_that_was_set_back_nothing_stays_for_as_long(restarted: tuple[Server, Store]) -> None:
    """What was written before it was is an hour ahead: a run that was met then is met now, and of a worker that is gone
    the lease ends."""
    server, store = restarted
    directory = store.directory
    await directory.enlist(ONE, 30)
    with server.client() as client:
        ahead = (client.time()[0] + 3600) * 1000
        client.hset("realtime:1:{0}:met:", store.run_at(0), ahead)
        assert await directory.met(0, True) < 60
        assert int(client.hget("realtime:1:{0}:met:", store.run_at(0))) < ahead - 3_000_000
        client.zadd("realtime:1:{0}:leases:", {ONE.worker: ahead})
        client.zadd("realtime:1:{0}:workers:", {"gone": ahead})
        await directory.enlist(TWO, 30)
        assert 30 < (await directory.find(ONE.worker)).lease <= 300
        await store.register(0, 30)
        assert client.zscore("realtime:1:{0}:workers:", "gone") < ahead - 3_000_000


async def test_whose_own_lease_has_run_out_judges_nobody(restarted: tuple[Server, Store]) -> None:
    """The clock may have been set forward, which others' leases end by as well."""
    server, store = restarted
    directory = store.directory
    await directory.enlist(ONE, 30)
    await directory.enlist(TWO, 30)
    await store.register(0, 30)
    with server.client() as client:
        for worker in (ONE.worker, TWO.worker):
            client.zadd("realtime:1:{0}:leases:", {worker: 1000})
        (own,) = client.zrange("realtime:1:{0}:workers:", 0, -1)
        client.zadd("realtime:1:{0}:workers:", {own: 1000, "another": 1000})
        assert await store.expired(0) == []
        await directory.enlist(TWO, 30)
        assert await directory.find(ONE.worker) == Known(ONE, 0.0)
        await directory.enlist(TWO, 30)
        assert await directory.find(ONE.worker) == Known()
        await store.register(0, 30)
        assert await store.expired(0) == []  # who had no time to renew its own
        client.zadd("realtime:1:{0}:workers:", {"another": 1000})
        await store.register(0, 30)
        assert [expired.worker for expired in await store.expired(0)] == ["another"]


async def test_a_paused_store_answers_none_and_is_asked_again(restarted: tuple[Server, Store]) -> None:
    server, store = restarted
    await store.directory.claim("name", A, 30, True)
    server.pause()
    try:
        with pytest.raises((Refused, Unanswered)):
            await store.directory.holder("name")
    finally:
        server.resume()
    async with within("it is reached again"):
        await store.reached("")
        while True:
            try:
                assert await store.directory.holder("name") == A
                return
            except (Refused, Unanswered):
                await asyncio.sleep(0.01)


# -- workers over a store of any kind ----------------------------------------------------------------------------------


@every
async def test_workers_share_names_at_every_node(broker: MemoryBroker | RedisBroker) -> None:
    """A store that has just started gives none for a lease: opens come again."""
    stores = [await started(broker) for _ in range(2)]
    workers = [
        Worker(
            store,
            Peer(name, "1", f"unix:/{name}"),
            rename=lambda: None,
            ends=lambda: (),
            count=lambda key: 0,
            counted=lambda: (),
            lease=1.0,
            life=60.0,
            most=100,
        )
        for store, name in zip(stores, ("onex", "twox"), strict=True)
    ]
    for worker in workers:
        worker.start()
    async with within("each name is claimed"):
        for number in range(30):  # in several partitions, and nodes
            one, other = workers if number % 2 else reversed(workers)
            mine = await claimed(one, f"name {number}")
            assert isinstance(mine, Mine)
            one.settled(f"name {number}", "d", mine.sid)
            assert await claimed(other, f"name {number}") == Taken(one.peer, mine.sid)
            assert await other.find(f"name {number}") == Taken(one.peer, mine.sid)
    for worker, store in zip(workers, stores, strict=True):
        await worker.leave()
        await store.close()


async def claimed(worker: Worker, name: str) -> Claimed:
    """Claims a name, again while it is told to come back later."""
    while True:
        with suppress(BrokerError):
            return await worker.claim(name, "d")
        await asyncio.sleep(0.01)


async def test_no_name_stands_in_the_store(redis_urls: dict[str, str], prefix: str) -> None:
    """Clients choose some, and some are secrets: they are hashed."""
    store = await started(RedisBroker(redis_urls["tcp"], prefix=prefix))
    directory = store.directory
    await directory.claim("a-secret-nonce", A, 30, True)
    await directory.hold("iada@example.org", "onex", 1)
    with Redis.from_url(redis_urls["tcp"]) as client:
        keys = [key.decode() for key in client.scan_iter(f"{prefix}*")]
    assert any(":claim:" in key for key in keys)
    assert any(":held:" in key for key in keys)
    assert not any("secret" in key or "ada" in key for key in keys)
    await store.close()
