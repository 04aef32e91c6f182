"""What is due of a session whose worker is gone, and for which no client comes: done about a lease later by another
worker, once, whoever else is at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.brokers.memory_records import MemoryRecords
from realtime.durable.served import Served
from realtime.durable.sweeps import Sweeps

from ..cluster.workers import Worker
from ..patience import arrives, eventually
from .crew import Crew, crew
from .raw import Raw
from .workers import Rooms, heard, keeps, telling

pytestmark = pytest.mark.usefixtures("nobody_sweeps")

LEASE = 10.0


@contextlib.asynccontextmanager
async def tellers(count: int = 2) -> AsyncIterator[Crew]:
    """Workers whose room keeps what was published."""
    async with crew(telling, count, keeps) as them:
        yield them


async def sweep(them: Crew, worker: Worker, sid: str) -> None:
    """The worker finds that the session is due."""
    records = them.keeper(worker).records
    await records.postpone(sid, -1.0)
    assert await records.due(0, 10) == [sid]
    await them.keeper(worker).sweeps.sweep([sid])


async def left(them: Crew, worker: Worker) -> tuple[Raw, Rooms]:
    """A client of a session that has committed two messages, of which none is published, as its worker's lease ends."""
    broker = Rooms(worker.server)
    broker.before.clear()
    raw = Raw(them.http, them.url(worker))
    await raw.open()
    await raw.say("a")
    await raw.until("mtold a")
    await arrives(broker.waiting.wait())
    them.lapse(worker)
    return raw, broker


async def test_what_is_to_be_published_is_due_after_a_lease_and_all_else_when_its_client_is_given_up() -> None:
    async with tellers() as them:
        one, _ = them.workers
        broker = Rooms(one.server)
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.stored(0)
        life = them.keeper(one).holdings[raw.sid].endpoint.config.lifetime
        assert them.waits(raw.sid) == pytest.approx(life)
        broker.before.clear()
        await raw.say("a")
        await raw.until("mtold a")
        assert them.waits(raw.sid) == pytest.approx(LEASE)
        broker.before.set()
        await eventually(lambda: not them.keeper(one).holdings[raw.sid].owner.record.publishes)
        assert them.waits(raw.sid) == pytest.approx(life)


async def test_one_that_makes_it_raise_is_looked_at_later_and_keeps_no_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tellers() as them:
        one, two = them.workers
        raw, _ = await left(them, one)
        keeper = them.keeper(two)
        load, later = keeper.records.load, list[str]()

        async def raises(sid: str) -> Any:
            if sid != raw.sid:
                raise RuntimeError(sid)
            return await load(sid)

        async def postpone(sid: str, _: float) -> None:
            later.append(sid)

        monkeypatch.setattr(keeper.records, "load", raises)
        monkeypatch.setattr(keeper.records, "postpone", postpone)
        await keeper.sweeps.sweep(["d.other", raw.sid])
        assert later == ["d.other"]
        assert await heard(two.server) == ["a", "a again"]


async def test_another_worker_publishes_what_a_worker_without_a_lease_has_left() -> None:
    """Which awakes then, publishes the same again, and lets go of the session: its client comes again."""
    async with tellers() as them:
        one, two = them.workers
        raw, broker = await left(them, one)
        await sweep(them, two, raw.sid)
        assert await heard(two.server) == ["a", "a again"]
        record = await them.record(raw.sid)
        assert (record.publishes, record.owner) == ((), "-")
        assert them.waits(raw.sid) > LEASE
        broker.before.set()
        await them.renew(one)
        await them.keeper(one).sweeps.look()
        await eventually(lambda: not them.has(one, raw.sid))
        await raw.gone()
        assert not raw.ended
        await raw.again()
        await raw.say("b")
        await raw.until("mtold b")
        await eventually(lambda: not any(one.publishing._task for one in holdings(them)))
        assert await heard(two.server) == ["a", "a again", "b", "b again"]


def holdings(them: Crew) -> list[Any]:
    return [holding for worker in them.workers for holding in them.keeper(worker).holdings.values()]


async def test_an_owner_whose_lease_runs_is_left_to_do_it() -> None:
    async with tellers() as them:
        one, two = them.workers
        raw, broker = await left(them, one)
        await them.renew(one)
        await sweep(them, two, raw.sid)
        assert await heard(two.server) == []
        assert (await them.record(raw.sid)).owner == them.keeper(one).name
        assert await them.keeper(two).records.due(0, 10) == []
        broker.before.set()
        await eventually(lambda: not them.keeper(one).holdings[raw.sid].owner.record.publishes)
        assert await heard(two.server) == ["a", "a again"]


@pytest.mark.parametrize("point", ["before", "behind"])
async def test_a_client_may_come_back_at_the_same_time(point: str) -> None:
    """One worker publishes what was left, and another takes the session over, and publishes that and more."""
    async with tellers(3) as them:
        one, two, three = them.workers
        raw, broker = await left(them, one)
        sweeping = Rooms(two.server)
        getattr(sweeping, point).clear()
        task = asyncio.ensure_future(sweep(them, two, raw.sid))
        await arrives(sweeping.waiting.wait())
        raw.url = them.url(three)
        await raw.again()
        await raw.say("b")
        await raw.until("mtold b")
        holding = them.keeper(three).holdings[raw.sid]
        await eventually(lambda: not holding.owner.record.publishes)
        getattr(sweeping, point).set()
        await arrives(task)
        assert them.has(three, raw.sid)
        assert (await them.record(raw.sid)).owner == them.keeper(three).name
        broker.before.set()
        await them.keeper(one).sweeps.look()
        await eventually(lambda: not them.has(one, raw.sid))
        assert await heard(two.server) == ["a", "a again", "b", "b again"]


@pytest.mark.parametrize("point", ["before", "behind"])
async def test_whoever_publishes_what_was_left_may_die_in_the_middle(point: str) -> None:
    async with tellers(3) as them:
        one, two, three = them.workers
        raw, _ = await left(them, one)
        sweeping = Rooms(two.server)
        getattr(sweeping, point).clear()
        task = asyncio.ensure_future(sweep(them, two, raw.sid))
        await arrives(sweeping.waiting.wait())
        task.cancel()
        await asyncio.wait([task])
        assert await heard(three.server) == (["a"] if point == "behind" else [])
        assert await them.keeper(three).records.due(0, 10) == [raw.sid]  # it is due as ever
        await sweep(them, three, raw.sid)
        assert (await them.record(raw.sid)).publishes == ()
        assert await heard(three.server) == ["a", "a again"]


async def test_a_store_is_told_what_can_be_due_at_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds by that what is from before its clock was set back."""
    asked: asyncio.Queue[float] = asyncio.Queue()

    async def due(self: MemoryRecords, part: int, most: int, longest: float = math.inf) -> list[str]:
        asked.put_nowait(longest)
        return []

    monkeypatch.setattr(MemoryRecords, "due", due)
    monkeypatch.setattr(Sweeps, "pause", 0.001)
    async with tellers(1) as them:
        lives = [
            endpoint.config.lifetime for endpoint in them.workers[0].service.endpoints.values() if endpoint.durable
        ]
        assert max(lives) < await arrives(asked.get()) <= max(lives) + 10
        them.keeper(them.workers[0]).served = Served(them.workers[0].service.sessions, {})
        while await arrives(asked.get()) < math.inf:
            pass


async def test_a_session_that_is_due_and_not_there_any_more_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its store has dropped it; what is due behind it has to have its turn."""
    async with tellers(1) as them:
        keeper = them.keeper(them.workers[0])
        put_off: list[str] = []

        async def postpone(sid: str, seconds: float) -> None:
            put_off.append(sid)

        monkeypatch.setattr(keeper.records, "postpone", postpone)
        await keeper.sweeps.sweep(["gone.session"])
        assert put_off == ["gone.session"]
