"""The directory of a cluster, as its workers use it: over a store in memory that fails when it is told to, and over a
Redis that is stopped, emptied and paused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import pytest

from realtime import loops
from realtime.brokers.base import Refused, Store
from realtime.brokers.memory_directory import LONG_AGO, MemoryDirectory
from realtime.cluster.directory import Directory
from realtime.core.claims import Claim
from realtime.core.errors import Refusal
from realtime.core.leases import HERE, Ended, Gone, Known, Neighbours, Peer
from realtime.core.proof import Key
from realtime.core.shares import Limit
from realtime.owners import Mine, Taken

from ..patience import arrives, eventually, within

LEASE = 30.0  # which nothing waits for


class Stored(MemoryDirectory):
    """What is stored, and how the store is."""

    def __init__(self) -> None:
        super().__init__()
        self.run = "run"
        self.away = False
        self.since = LONG_AGO  # that the run was met
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked: list[str] = []

    async def _reached(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise Refused("the store is away")
        await self.answers.wait()

    async def enlist(self, peer: Peer, lease: float) -> bool:
        await self._reached("enlist")
        return await super().enlist(peer, lease)

    async def strike(self, peer: Peer) -> None:
        await self._reached("strike")
        await super().strike(peer)

    async def find(self, worker: str) -> Known:
        await self._reached("find")
        return await super().find(worker)

    async def met(self, part: int, known: bool) -> float:
        await self._reached("met")
        return self.since

    async def claim(self, name: str, claim: Claim, life: float, may: bool) -> Claim | None:
        await self._reached("claim")
        return await super().claim(name, claim, life, may)

    async def holder(self, name: str) -> Claim | None:
        await self._reached("holder")
        return await super().holder(name)

    async def release(self, name: str, sid: str) -> None:
        await self._reached("release")
        await super().release(name, sid)

    async def keep(self, name: str, claim: Claim, life: float) -> bool:
        await self._reached("keep")
        return await super().keep(name, claim, life)

    async def hold(self, key: str, worker: str, count: int) -> dict[str, int]:
        await self._reached("hold")
        return await super().hold(key, worker, count)

    async def bury(self, worker: str, ended: Mapping[str, tuple[Ended, float]]) -> None:
        await self._reached("bury")
        await super().bury(worker, ended)

    async def ended(self, sid: str) -> Ended | None:
        await self._reached("ended")
        return await super().ended(sid)

    def forget(self) -> None:
        """Another run, which knows nothing."""
        self._claims.clear()
        self._peers.clear()
        self._ended.clear()
        self._held.clear()
        self.run += "'"
        self.since = 0.0


class FakeStore:
    """A store with one part."""

    parts = 1

    def __init__(self, stored: Stored) -> None:
        self.directory = stored

    def run_at(self, part: int) -> str:
        return "" if self.directory.away else self.directory.run


class Workers:
    """Workers over one store."""

    def __init__(self) -> None:
        self.stored = Stored()
        self.made: list[Directory] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.ends: list[tuple[str, Ended, float]] = []

    async def start(
        self, name: str, incarnation: str = "1", rename: Callable[[], str | None] = lambda: None, lease: float = LEASE
    ) -> Directory:
        directory = Directory(
            cast("Store", FakeStore(self.stored)),
            Peer(name, incarnation, f"unix:/run/{name}"),
            rename=rename,
            ends=lambda: self.ends,
            count=lambda key: self.counts.get((name, key), 0),
            counted=lambda: [key for worker, key in self.counts if worker == name],
            lease=lease,
            life=60.0,
            most=1000,
        )
        self.made.append(directory)
        directory.start()
        directory.returned(self.stored.run)
        return directory

    async def pair(self) -> tuple[Directory, Directory]:
        one, two = await self.start("onex"), await self.start("twox")
        await eventually(lambda: self.registered(one) and self.registered(two))
        return one, two

    @staticmethod
    def registered(directory: Directory) -> bool:
        try:
            directory.check()
        except Refused:
            return False
        return True


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers()
    yield workers
    workers.stored.away = False
    workers.stored.answers.set()
    for directory in workers.made:
        await directory.leave()
    assert not any(task.get_name() == "realtime directory" for task in asyncio.all_tasks())


async def opened(directory: Directory, name: str, digest: str = "d", handed: bool = False) -> str:
    """Claims a name, and opens by it."""
    mine = await arrives(directory.claim(name, digest, handed))
    assert isinstance(mine, Mine)
    directory.settled(name, digest, mine.sid)
    return mine.sid


async def refusal_of(call: Awaitable[object]) -> str:
    with pytest.raises(Refused) as caught:
        await arrives(call)
    return str(caught.value)


# -- names -------------------------------------------------------------------------------------------------------------


async def test_a_name_is_one_workers(workers: Workers) -> None:
    one, two = await workers.pair()
    sid = await opened(one, "nonce")
    assert sid.startswith("onex.")
    assert len(sid) == 29
    assert await two.claim("nonce", "d") == Taken(one.peer, sid)
    assert await two.find("nonce") == Taken(one.peer, sid)
    assert await one.find("nonce") is None
    assert await one.find("another") is None


async def test_whose_a_name_is_holds_for_a_lease_and_while_the_store_is_away(workers: Workers) -> None:
    one, two = await workers.pair()
    sid = await opened(one, "nonce")
    workers.stored.asked.clear()
    for _ in range(3):
        assert await two.find("nonce") == Taken(one.peer, sid)
    assert workers.stored.asked.count("holder") == 1
    workers.stored.away = True
    two.failed()
    assert await two.find("nonce") == Taken(one.peer, sid)
    two._finding.holders.doubt("nonce")  # a lease later
    two._finding.neighbours.doubt("onex")
    assert await two.find("nonce") == Taken(one.peer, sid)
    assert await two.owner(sid) == one.peer
    await refusal_of(two.find("another"))
    await refusal_of(two.owner("none.x"))


async def test_a_name_of_a_dead_worker_is_asked_for_again(workers: Workers) -> None:
    one, two = await workers.pair()
    await opened(one, "nonce")
    assert await two.find("nonce")
    await arrives(one.leave())
    two._standing._since = -LONG_AGO
    two._finding.neighbours = Neighbours(LEASE, 10)  # it was never connected to
    assert await two.find("nonce") == Gone(None)
    workers.stored.asked.clear()
    assert await two.find("nonce") == Gone(None)
    assert "holder" in workers.stored.asked


async def test_a_worker_registers_although_its_store_has_failed_as_none_should(
    workers: Workers, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "AGAIN", 0.0)
    enlist, failures = workers.stored.enlist, [RuntimeError("of a store")]

    async def fails_once(peer: Peer, lease: float) -> bool:
        if failures:
            raise failures.pop()
        return await enlist(peer, lease)

    monkeypatch.setattr(workers.stored, "enlist", fails_once)
    one = await workers.start("onex")
    await eventually(lambda: workers.registered(one))
    assert [record.getMessage() for record in caplog.records] == ["a task of the directory failed, and begins again"]


async def test_opens_of_a_name_that_is_being_claimed_wait_for_one_answer(workers: Workers) -> None:
    one, _ = await workers.pair()
    workers.stored.answers.clear()
    asked = [asyncio.ensure_future(one.claim("nonce", "d")) for _ in range(3)]
    await eventually(lambda: "claim" in workers.stored.asked)
    workers.stored.answers.set()
    answers = await arrives(asyncio.gather(*asked))
    assert len(set(answers)) == 1
    assert isinstance(answers[0], Mine)
    assert workers.stored.asked.count("claim") == 1
    one.settled("nonce", "d", answers[0].sid)
    one.settled("nonce", "d", "")
    one.settled("nonce", "d", "")
    assert await workers.stored.holder("nonce") == Claim(answers[0].sid, "d")


async def test_a_name_by_which_nothing_was_opened_is_free_again(workers: Workers) -> None:
    one, two = await workers.pair()
    assert isinstance(await one.claim("nonce", "d"), Mine)
    one.settled("nonce", "d", "")
    await eventually(lambda: "release" in workers.stored.asked)
    assert (await opened(two, "nonce")).startswith("twox.")


@pytest.mark.parametrize("answered", [False, True])
async def test_whoever_leaves_while_a_name_is_claimed_has_opened_nothing(workers: Workers, answered: bool) -> None:
    one, two = await workers.pair()
    workers.stored.answers.clear()
    asked = asyncio.ensure_future(one.claim("nonce", "d"))
    await eventually(lambda: "claim" in workers.stored.asked)
    if answered:
        workers.stored.answers.set()
        await eventually(lambda: workers.stored._claims)
    asked.cancel()
    await asyncio.wait([asked])
    workers.stored.answers.set()
    await eventually(lambda: "release" in workers.stored.asked)
    assert len(one.claims) == 0
    assert (await opened(two, "nonce")).startswith("twox.")


async def test_a_name_that_is_bound_to_something_else(workers: Workers) -> None:
    one, two = await workers.pair()
    await opened(one, "nonce")
    with pytest.raises(Refusal) as caught:
        await two.claim("nonce", "other")
    assert caught.value.code == 4409
    workers.stored.answers.clear()
    first, second = asyncio.ensure_future(one.claim("n", "d")), asyncio.ensure_future(one.claim("n", "other"))
    await asyncio.sleep(0)
    workers.stored.answers.set()
    assert isinstance(await arrives(first), Mine)
    with pytest.raises(Refusal):
        await arrives(second)


async def test_an_open_that_is_handed_on_is_opened(workers: Workers) -> None:
    """Also where the worker never heard the answer to its own claim."""
    one, two = await workers.pair()
    await workers.stored.keep("nonce", Claim("onex.lost", "d"), 30)
    assert await two.claim("nonce", "d") == Taken(one.peer, "onex.lost")
    sid = await opened(one, "nonce", handed=True)
    assert sid.startswith("onex.")
    assert sid != "onex.lost"  # no sid is given twice
    assert await two.claim("nonce", "d") == Taken(one.peer, sid)


async def test_one_that_is_handed_on_is_not_handed_on_again(workers: Workers) -> None:
    one, _two = await workers.pair()
    await workers.stored.keep("nonce", Claim("twox.b", "d"), 30)
    workers.stored.answers.clear()
    asked = asyncio.ensure_future(one.claim("nonce", "d"))
    handed = asyncio.ensure_future(one.claim("nonce", "d", True))
    await asyncio.sleep(0)
    workers.stored.answers.set()
    assert isinstance(await arrives(asked), Taken)
    assert "come back later" in await refusal_of(handed)


async def test_a_name_of_a_worker_that_is_gone(workers: Workers) -> None:
    one, two = await workers.pair()
    sid = await opened(one, "nonce")
    one.ended("nonce", sid, Ended(1012, "", 3, Key("k")), 30.0)
    await one.leave()
    assert await two.refused(one.peer, sid) == Gone(Ended(1012, "", 3, Key("k")))
    workers.made.remove(one)


async def test_names_that_last_are_claimed_again(workers: Workers) -> None:
    one, _ = await workers.pair()
    one.claims.life = 0.05
    one._tasks.begin(one._renew_claims())
    sid = await opened(one, "name", "")
    await eventually(lambda: workers.stored.asked.count("keep") > 3)
    assert await workers.stored.holder("name") == Claim(sid, "")
    one.ended("name", sid, Ended(1000, "", 0), 0.0)
    assert one.claims.lasting() == []


# -- workers -----------------------------------------------------------------------------------------------------------


async def test_who_has_a_session(workers: Workers) -> None:
    one, two = await workers.pair()
    assert await two.owner("onex.abc") == one.peer
    assert await two.owner("twox.abc") is HERE
    workers.stored.asked.clear()
    assert await two.owner("onex.def") == one.peer  # which is known now
    assert workers.stored.asked == []


async def test_a_refused_connection_is_a_proof(workers: Workers) -> None:
    one, two = await workers.pair()
    assert await two.owner("onex.abc") == one.peer
    assert await two.refused(one.peer) == Gone()
    await workers.stored.bury("onex", {"onex.abc": (Ended(3000, "bye", 1), 30.0)})
    assert await two.refused(one.peer, "onex.abc") == Gone(Ended(3000, "bye", 1))


async def test_one_that_cannot_be_reached_and_has_a_lease_is_not_dead(workers: Workers) -> None:
    one, two = await workers.pair()
    assert "come back later" in await refusal_of(two.unreachable(one.peer, "onex.abc"))


async def test_nobody_is_dead_for_want_of_a_lease_before_leases_may_be_judged(workers: Workers) -> None:
    """A worker's start is a return of the store, and so is another run of it."""
    one, two = await workers.pair()
    workers.stored._peers["onex"] = one.peer, 0.0
    assert "come back later" in await refusal_of(two.unreachable(one.peer, "onex.abc"))
    assert "come back later" in await refusal_of(two.owner("thrx.abc"))
    two._standing._since -= LEASE
    assert await two.unreachable(one.peer, "onex.abc") == Gone()
    assert await two.owner("thrx.abc") == Gone()
    two.returned("another")
    assert "come back later" in await refusal_of(two.owner("thrx.abc"))
    two._standing._since -= LEASE
    two.failed()
    assert "come back later" in await refusal_of(two.owner("thrx.abc"))


async def test_how_a_session_has_ended_is_told_before_leases_may_be_judged(workers: Workers) -> None:
    """By who has just started, in a rolling deploy: it has never met the worker that has left."""
    one, two = await workers.pair()
    sid = await opened(one, "nonce")
    one.ended("nonce", sid, Ended(1012, "", 3, Key("k")), 30.0)
    await one.leave()
    workers.made.remove(one)
    assert "come back later" in await refusal_of(two.owner("onex.abc"))  # which may be anywhere
    assert await two.owner(sid) == Gone(Ended(1012, "", 3, Key("k")))
    assert await two.find("nonce") == Gone(Ended(1012, "", 3, Key("k")))


async def test_a_worker_without_a_lease_is_asked_all_the_same(workers: Workers) -> None:
    one, two = await workers.pair()
    two._standing._since -= LEASE
    workers.stored._peers["onex"] = one.peer, 0.0
    assert await two.owner("onex.abc") == one.peer


async def test_a_worker_that_the_store_has_forgotten_is_asked_by_who_has_met_it(workers: Workers) -> None:
    one, two = await workers.pair()
    assert await two.owner("onex.abc") == one.peer
    two._standing._since -= LEASE
    two._finding.neighbours.doubt("onex")
    del workers.stored._peers["onex"]
    assert await two.owner("onex.abc") == one.peer
    assert await two.refused(one.peer, "onex.abc") == Gone()


async def test_another_incarnation_is_told_of(workers: Workers) -> None:
    one, two = await workers.pair()
    await one.leave()
    workers.made.remove(one)
    again = await workers.start("onex", "2")
    await eventually(lambda: workers.registered(again))
    assert await two.refused(one.peer, "onex.abc") == again.peer


async def test_a_name_that_another_has_is_not_taken(workers: Workers) -> None:
    one, _ = await workers.pair()
    names = iter(["twox", "thrx"])
    other = await workers.start("onex", "2", lambda: next(names))
    await eventually(lambda: workers.registered(other))
    assert other.peer == Peer("thrx", "2", "unix:/run/onex")
    assert (await opened(other, "nonce")).startswith("thrx.")
    assert (await workers.stored.find("onex")).peer == one.peer


async def test_one_that_can_take_no_other_name_says_so(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    await workers.pair()
    other = await workers.start("onex", "2", lease=0.02)
    await eventually(lambda: workers.stored.asked.count("enlist") > 6)
    assert not workers.registered(other)
    assert [record.name for record in caplog.records] == ["realtime.cluster"]
    assert "has the name of this one" in caplog.text
    await other.leave()  # which takes nothing from the other
    workers.made.remove(other)
    assert (await workers.stored.find("onex")).leased


# -- the store is away, and comes back ---------------------------------------------------------------------------------


async def test_without_the_store_nothing_is_claimed(workers: Workers) -> None:
    one, _ = await workers.pair()
    workers.stored.away = True
    assert "come back later" in await refusal_of(one.claim("nonce", "d"))
    assert "away" in await refusal_of(one.owner("thrx.abc"))
    assert len(one.claims) == 0
    workers.stored.away = False
    await opened(one, "nonce")


async def test_who_is_not_registered_opens_nothing(workers: Workers) -> None:
    workers.stored.away = True
    one = await workers.start("onex", lease=0.05)
    with pytest.raises(Refused, match="not registered"):
        one.check()
    workers.stored.away = False
    one.returned("run")
    await eventually(lambda: workers.registered(one))
    workers.stored.away = True
    await eventually(lambda: not workers.registered(one))


async def test_another_run_gives_no_names_for_a_lease_and_is_told_again(workers: Workers) -> None:
    one, two = await workers.pair()
    sid = await opened(one, "nonce")
    workers.ends = [("onex.old", Ended(1000, "", 0), 30.0)]
    workers.stored.forget()
    for directory in (one, two):
        directory.returned(workers.stored.run)
    await eventually(lambda: one.peer.worker in workers.stored._peers and "bury" in workers.stored.asked)
    async with within("the claim is there again"):
        while await workers.stored.holder("nonce") is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert await workers.stored.ended("onex.old") == Ended(1000, "", 0)
    assert await two.claim("nonce", "d") == Taken(one.peer, sid)
    assert "has just come back" in await refusal_of(two.claim("other", "d"))
    assert "has just come back" in await refusal_of(two.find("other"))  # nor is it free
    workers.stored.run += "'"  # one that was met long ago
    workers.stored.since = LONG_AGO
    await opened(two, "other")


async def test_opens_that_have_not_begun_are_not_claimed_again(workers: Workers) -> None:
    one, _ = await workers.pair()
    assert isinstance(await one.claim("nonce", "d"), Mine)
    workers.stored.forget()
    one.returned(workers.stored.run)
    await eventually(lambda: workers.stored.asked.count("met") > 2)
    assert await workers.stored.holder("nonce") is None


async def test_what_could_not_be_written_is_written_later(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cluster.keeping.PAUSE", 0.01)
    one, _ = await workers.pair()
    workers.stored.away = True
    one.ended("", "onex.abc", Ended(1000, "", 0), 30.0)
    await eventually(lambda: workers.stored.asked.count("bury") > 1)
    workers.stored.away = False
    async with within("it is written"):
        while await workers.stored.ended("onex.abc") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_count_that_could_not_be_written_is_due_still(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the store raises; then its task begins again."""
    one, _ = await workers.pair()
    counts, faults = one._keeping, [RuntimeError("of a store")]
    hold = workers.stored.hold

    async def fails_first(key: str, worker: str, count: int) -> Any:
        if faults:
            raise faults.pop()
        return await hold(key, worker, count)

    monkeypatch.setattr(workers.stored, "hold", fails_first)
    monkeypatch.setattr("realtime.loops.AGAIN", 0.01)
    counts.count("address 1")
    await arrives(counts.written())
    assert workers.stored.asked.count("hold") == 1


async def test_what_is_due_is_bounded(workers: Workers) -> None:
    one, _ = await workers.pair()
    workers.stored.away = True
    for number in range(1500):
        one.ended("", f"onex.{number}", Ended(1000, "", 0), 30.0)
    assert len(one._keeping._ends) == 1000
    workers.stored.away = False
    await arrives(one._keeping.written())
    assert await workers.stored.ended("onex.0") is None
    assert await workers.stored.ended("onex.1499") is not None


async def test_a_name_that_another_has_taken_meanwhile_is_told_in_the_log(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await workers.pair()
    await opened(one, "name", "")
    workers.stored.forget()
    workers.stored.since = LONG_AGO
    await opened(two, "name", "")
    one.returned(workers.stored.run)
    await eventually(lambda: "another worker has opened a session" in caplog.text)


# -- limits ------------------------------------------------------------------------------------------------------------

ADA = [Limit("ada", 3, "ada has three")]


async def counted(workers: Workers, **counts: int) -> None:
    """Until each worker's count of ada is there."""
    await eventually(lambda: workers.stored._held.get("ada", {}) == counts)


async def begun(workers: Workers, directory: Directory, nonce: str) -> None:
    """A session of ada's begins."""
    await arrives(directory.share(nonce, ADA))
    one = directory.peer.worker, "ada"
    workers.counts[one] = workers.counts.get(one, 0) + 1
    directory.shared(nonce, ADA)


async def too_many(directory: Directory, nonce: str) -> None:
    with pytest.raises(Refusal) as caught:
        await arrives(directory.share(nonce, ADA))
    directory.shared(nonce, ADA)
    assert (caught.value.code, caught.value.reason) == (4429, "ada has three")
    assert caught.value.retry_after is not None


async def test_a_limit_holds_for_all_workers_together(workers: Workers) -> None:
    one, two = await workers.pair()
    await begun(workers, one, "a")
    await begun(workers, two, "b")
    await begun(workers, one, "c")
    await too_many(one, "d")
    await too_many(two, "e")
    await counted(workers, onex=2, twox=1)
    workers.counts["onex", "ada"] = 1  # one has ended
    one.recount(ADA)
    await counted(workers, onex=1, twox=1)
    await begun(workers, two, "f")


async def test_it_holds_for_opens_at_once(workers: Workers) -> None:
    one, two = await workers.pair()
    opens = [(directory, f"{number}") for number in range(4) for directory in (one, two)]
    results = await arrives(
        asyncio.gather(*(directory.share(nonce, ADA) for directory, nonce in opens), return_exceptions=True)
    )
    assert results.count(None) <= 3
    for directory, nonce in opens:
        directory.shared(nonce, ADA)
    await counted(workers)


async def test_opens_of_one_nonce_count_once(workers: Workers) -> None:
    one, two = await workers.pair()
    await begun(workers, two, "a")
    await begun(workers, two, "b")
    await arrives(asyncio.gather(*(one.share("nonce", ADA) for _ in range(3))))
    for _ in range(3):
        one.shared("nonce", ADA)
    await counted(workers, twox=2)


async def test_sessions_of_a_dead_worker_do_not_count(workers: Workers) -> None:
    one, two = await workers.pair()
    for nonce in "abc":
        await begun(workers, one, nonce)
    workers.stored._peers["onex"] = one.peer, 0.0  # its lease is over
    await too_many(two, "d")  # but leases may not be judged yet
    two._standing._since -= LEASE
    await begun(workers, two, "d")
    await counted(workers, twox=1)


async def test_counts_are_told_another_run(workers: Workers) -> None:
    one, two = await workers.pair()
    for nonce in "abc":
        await begun(workers, one, nonce)
    await counted(workers, onex=3)
    workers.stored.forget()
    for directory in (one, two):
        directory.returned(workers.stored.run)
    await counted(workers, onex=3)
    await too_many(two, "d")


async def test_a_count_that_could_not_be_written_is_written_later(workers: Workers, monkeypatch: Any) -> None:
    monkeypatch.setattr("realtime.cluster.keeping.PAUSE", 0.01)
    one, _ = await workers.pair()
    workers.stored.away = True
    assert "away" in await refusal_of(one.share("a", ADA))
    one.shared("a", ADA)
    workers.counts["onex", "ada"] = 2
    one.recount(ADA)
    await eventually(lambda: workers.stored.asked.count("hold") > 2)
    workers.stored.away = False
    await counted(workers, onex=2)


# -- leaving -----------------------------------------------------------------------------------------------------------


async def test_who_leaves_leaves_word_first_and_its_place_last(workers: Workers) -> None:
    one, two = await workers.pair()
    workers.stored.answers.clear()
    one.ended("", "onex.abc", Ended(1012, "", 0), 30.0)
    leaving = asyncio.ensure_future(one.leave())
    await eventually(lambda: "bury" in workers.stored.asked)
    workers.stored.answers.set()
    await arrives(leaving)
    workers.made.remove(one)
    told = [what for what in workers.stored.asked if what in ("bury", "strike")]
    assert told == ["bury", "strike"]
    assert await workers.stored.find("onex") == Known()
    assert await two.refused(one.peer, "onex.abc") == Gone(Ended(1012, "", 0))
    assert not workers.registered(one)


async def test_who_leaves_without_a_store_does_not_wait_for_it(workers: Workers, monkeypatch: Any) -> None:
    monkeypatch.setattr("realtime.cluster.directory.FAREWELL", 0.01)
    one, _ = await workers.pair()
    workers.stored.away = True
    one.ended("", "onex.abc", Ended(1012, "", 0), 30.0)
    await arrives(one.leave())
    workers.made.remove(one)
    assert (await MemoryDirectory.find(workers.stored, "onex")).peer == one.peer
