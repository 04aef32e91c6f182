"""A worker that stands still: its sessions go on elsewhere when its lease is over, whenever it awakes, and whoever else
takes them at the same time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.core.leases import Peer, Reached
from realtime.core.proof import Key, Proof
from realtime.owners import Elsewhere

from ..cluster.workers import Worker
from ..patience import arrives, eventually
from .crew import Crew, crew
from .raw import Polls, Raw
from .workers import Records


class Reaching:
    """In the place of a worker's connections to others: those that it is told of do not answer."""

    def __init__(self, worker: Worker) -> None:
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.answer = Reached.UNREACHABLE
        worker.service.reach = self

    async def __call__(self, peer: Peer) -> Reached:
        self.asked.set()
        await self.answers.wait()
        return self.answer


def held(them: Crew, worker: Worker) -> Records:
    """What a worker writes can be held back."""
    keeper = them.keeper(worker)
    keeper.records = records = Records(keeper.records)
    return records


def routing(them: Crew, worker: Worker, raw: Raw) -> asyncio.Task[Any]:
    """A request of the client has come to this worker."""
    return asyncio.create_task(them.keeper(worker).route(raw.sid, Proof(Key(raw.key))))


async def opened(them: Crew, worker: Worker) -> Raw:
    """A client whose session has counted one message there."""
    raw = Raw(them.http, them.url(worker))
    await raw.open()
    await raw.say("a")
    await raw.until("ma 1")
    await raw.stored(1)
    return raw


async def test_at_the_end_of_a_lease_nobody_waits_for_an_answer() -> None:
    async with crew() as them:
        one, two = them.workers
        raw = await opened(them, one)
        reaching = Reaching(two)
        them.lapse(one)
        raw.url = them.url(two)
        await raw.again()
        await raw.say("b")
        await raw.until("mb 2")
        assert them.has(two, raw.sid)
        assert not reaching.asked.is_set()
        await them.renew(one)  # it awakes behind that
        await them.keeper(one).sweeps.look()
        assert not them.has(one, raw.sid)
        await raw.say("c")
        await raw.until("mc 3")
        assert raw.messages == ["welcome", "a 1", "b 2", "c 3"]


async def test_a_lease_may_end_while_its_worker_is_tried() -> None:
    async with crew() as them:
        one, two = them.workers
        raw = await opened(them, one)
        reaching = Reaching(two)
        raw.url = them.url(two)
        coming = asyncio.ensure_future(raw.again())
        await arrives(reaching.asked.wait())
        assert not coming.done()
        them.lapse(one)
        await arrives(coming)
        await raw.say("b")
        await raw.until("mb 2")
        assert them.has(two, raw.sid)


async def test_an_owner_that_awakes_first_goes_on() -> None:
    async with crew() as them:
        one, two = them.workers
        raw = await opened(them, one)
        before = await them.record(raw.sid)
        them.lapse(one)
        await them.renew(one)
        raw.url = them.url(two)
        await raw.again()
        await raw.say("b")
        await raw.until("mb 2")
        assert them.has(one, raw.sid)
        assert (await them.record(raw.sid)).tenure == before.tenure


async def test_nothing_is_taken_over_while_leases_can_not_be_judged() -> None:
    """The store may have stood still, and kept all from renewing theirs."""
    async with crew() as them:
        one, two = them.workers
        raw = await opened(them, one)
        reaching = Reaching(two)
        reaching.answers.set()
        them.lapse(one)
        owners: Any = two.service.sessions.owners
        owners._standing.steady = lambda now: False
        raw.url = them.url(two)
        assert (await raw.again()).startswith("x4503,carrier")
        assert reaching.asked.is_set()
        assert (await them.record(raw.sid)).owner == them.keeper(one).name


async def test_a_commit_of_the_owner_in_front_of_the_takeover_is_kept() -> None:
    """It awakes while the takeover is on its way to the store."""
    async with crew() as them:
        one, two = them.workers
        raw = await opened(them, one)
        records = held(them, two)
        records.puts.before.clear()
        them.lapse(one)
        taking = routing(them, two, raw)
        await arrives(records.puts.waiting.wait())
        await raw.say("b")
        await raw.until("mb 2")
        await raw.stored(2)
        records.puts.before.set()
        await arrives(taking)
        assert them.has(two, raw.sid)
        record = await them.record(raw.sid)
        assert (record.received, record.taken) == (2, 2)
        raw.url = them.url(two)
        await raw.again()
        await raw.say("c")
        await raw.until("mc 3")
        assert raw.messages == ["welcome", "a 1", "b 2", "c 3"]


async def test_a_commit_of_the_owner_behind_the_takeover_is_none() -> None:
    """It awakes when the takeover is stored, and the answer has not come."""
    async with crew() as them:
        one, two = them.workers
        raw = await opened(them, one)
        records = held(them, two)
        records.puts.behind.clear()
        them.lapse(one)
        taking = routing(them, two, raw)
        await arrives(records.puts.waiting.wait())
        await raw.say("b")
        await raw.gone()
        assert not raw.ended
        assert not them.has(one, raw.sid)
        records.puts.behind.set()
        await arrives(taking)
        assert raw.messages == ["welcome", "a 1"]
        raw.url = them.url(two)
        await raw.again()
        await raw.until("mb 2")
        assert raw.messages == ["welcome", "a 1", "b 2"]


async def test_of_two_that_take_over_the_second_brings_its_request_to_the_first() -> None:
    async with crew(count=3) as them:
        one, two, three = them.workers
        raw = await opened(them, one)
        takers = [held(them, two), held(them, three)]
        for records in takers:
            records.puts.before.clear()
        them.lapse(one)
        takings = [routing(them, worker, raw) for worker in (two, three)]
        for records in takers:
            await arrives(records.puts.waiting.wait())  # both have seen the same
        takers[1].puts.before.set()
        await arrives(takings[1])
        takers[0].puts.before.set()
        with pytest.raises(Elsewhere) as elsewhere:
            await arrives(takings[0])
        assert elsewhere.value.peer == three.peer
        assert [them.has(worker, raw.sid) for worker in (two, three)] == [False, True]
        raw.url = them.url(two)
        await raw.again()
        await raw.say("b")
        await raw.until("mb 2")
        assert raw.messages == ["welcome", "a 1", "b 2"]


@pytest.mark.parametrize("over_polls", [False, True], ids=["websocket", "polls"])
async def test_what_is_carried_to_a_worker_ends_with_its_lease(over_polls: bool) -> None:
    """It says nothing, and its clients wait for it through another worker."""
    async with crew() as them:
        one, two = them.workers
        client: Any = (Polls if over_polls else Raw)(them.http, them.url(one))
        await client.open()
        client.url = them.url(two)
        if over_polls:
            await client.until(1)
            waiting = asyncio.ensure_future(client.post("long_polling", [client.attach()]))
            await eventually(lambda: them.keeper(one).holdings[client.sid].machine.carrier is not None)
            await eventually(lambda: any(hop.durable for hop in two.hops.open))
            them.lapse(one)
            status, frames = await arrives(waiting)
            assert status == 503
            assert frames[0].startswith("x4503,carrier")
            await client.send("a")
            await client.until(2)
        else:
            await client.again()
            await client.until("mwelcome")
            them.lapse(one)
            await client.gone()
            assert not client.ended
            await client.again()
            await client.say("a")
            await client.until("ma 1")
        assert them.has(two, client.sid)
        assert client.messages == ["welcome", "a 1"]


async def test_what_is_carried_goes_on_while_the_lease_runs() -> None:
    """And what is no durable session's is left alone. Nothing is looked at any more when nothing is carried."""
    async with crew() as them:
        one, two = them.workers
        raw = await opened(them, one)
        raw.url = them.url(two)
        await raw.again()
        lapses: Any = two.forwarder._lapses
        await lapses.look(one.peer)
        await raw.say("b")
        await raw.until("mb 2")
        for hop in two.hops.open:
            hop.durable = False
        them.lapse(one)
        await lapses.look(one.peer)
        await raw.say("c")
        await raw.until("mc 3")
        await raw.drop()
        await eventually(lambda: lapses._task is None)
