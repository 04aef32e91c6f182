"""Workers of a cluster, in one process: requests find the owner of a durable session, or another goes on with it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import realtime
from realtime.brokers.base import Unanswered
from realtime.core.durable.owner import Write
from realtime.core.durable.record import Stage
from realtime.testing import serve

from ..cluster.workers import Worker, workers
from ..patience import arrives, eventually
from .crew import Crew, crew
from .raw import Polls, Raw
from .workers import counting

pytestmark = pytest.mark.usefixtures("nobody_sweeps")


@pytest.mark.parametrize("over_polls", [False, True], ids=["websocket", "polls"])
async def test_requests_are_carried_to_the_owner_while_it_lives(over_polls: bool) -> None:
    async with crew() as them:
        one, two = them.workers
        if over_polls:
            polls = Polls(them.http, them.url(one))
            await polls.open()
            polls.url = them.url(two)
            await polls.send("a")
            await polls.until(2)
            assert polls.messages == ["welcome", "a 1"]
            sid = polls.sid
        else:
            raw = Raw(them.http, them.url(one))
            await raw.open()
            raw.url = them.url(two)
            await raw.again()
            await raw.say("a")
            await raw.until("ma 1")
            sid = raw.sid
        assert them.has(one, sid)
        assert not them.has(two, sid)


@pytest.mark.parametrize("over_polls", [False, True], ids=["websocket", "polls"])
async def test_another_worker_goes_on_when_the_owner_is_gone(over_polls: bool) -> None:
    """A refused connection allows it at once."""
    async with crew(count=3) as them:
        one, two, three = them.workers
        client: Any = (Polls if over_polls else Raw)(them.http, them.url(one))
        await client.open()
        if over_polls:
            await client.send("a")
            await client.until(2)
        else:
            await client.say("a")
            await client.until("ma 1")
        one.kill()
        client.url = them.url(two)
        if over_polls:
            await client.send("b")
            await client.until(3)
        else:
            await client.again()
            await client.say("b")
            await client.until("mb 2")
        assert client.messages == ["welcome", "a 1", "b 2"]
        assert them.has(two, client.sid)
        client.url = them.url(three)  # which carries to the new owner
        if over_polls:
            await client.send("c")
            await client.until(4)
        else:
            await client.again()
            await client.say("c")
            await client.until("mc 3")
        assert not them.has(three, client.sid)


async def test_who_has_not_the_key_takes_nothing_over() -> None:
    async with crew() as them:
        one, two = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.until("mwelcome")
        await raw.stored(0)
        one.kill()
        before = await them.record(raw.sid)
        key, raw.key = raw.key, "no-key-of-anybody"
        raw.url = them.url(two)
        assert (await raw.connect(raw.attach())).startswith("x4403,carrier")
        polls = Polls(them.http, them.url(two))
        polls.sid, polls.key, polls.tenure = raw.sid, raw.key, raw.tenure
        for name in ("send", "long_polling"):
            polls.gen += 1
            status, frames = await polls.post(name, [polls.head() if name == "send" else polls.attach(), "mx"])
            assert (status, frames[0][:7]) == (403, "x4403,c")
        assert await them.record(raw.sid) == before
        unknown = raw.attach().replace(raw.sid, "d.unknown")
        assert (await raw.connect(unknown)).startswith("x4404,session")
        raw.key, raw.ended = key, ()
        await raw.again()
        await raw.say("a")
        await raw.until("ma 1")


async def test_a_large_batch_finds_its_session_at_another_worker() -> None:
    """Whose it is, is asked before its body is read."""
    async with crew() as them:
        one, two = them.workers
        polls = Polls(them.http, them.url(one))
        await polls.open()
        await polls.until(1)
        one.kill()
        polls.url = them.url(two)
        text = "x" * 900_000
        await polls.send(text)
        await polls.until(2)
        assert polls.messages == ["welcome", f"{text} 1"]


async def test_two_that_take_over_at_once_are_one() -> None:
    """The loser of the race brings its request to the winner."""
    async with crew(count=3) as them:
        one, two, three = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.until("mwelcome")
        one.kill()
        clients = []
        for number, worker in enumerate((two, three, two, three)):
            polls = Polls(them.http, them.url(worker))
            polls.sid, polls.key, polls.tenure = raw.sid, raw.key, raw.tenure
            polls.received, polls.gen = 1, raw.gen + number
            clients.append(polls)
        answers = await arrives(asyncio.gather(*(polls.post("send", [polls.head(), "ma"]) for polls in clients)))
        assert {status for status, _ in answers} <= {200, 503}
        assert 200 in {status for status, _ in answers}
        assert sum(them.has(worker, raw.sid) for worker in (two, three)) == 1
        raw.url = them.url(three)
        raw.sent = ["ma"]
        await raw.again()
        await raw.until("ma 1")
        assert raw.messages == ["welcome", "a 1"]


async def test_a_worker_that_has_been_taken_from_reads_so_and_lets_go() -> None:
    """It lives, and has nothing to write by which it would notice."""
    async with crew() as them:
        one, two = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.until("mwelcome")
        await raw.stored(0)
        keeper = them.keeper(two)
        await keeper.adopt(raw.sid, await them.record(raw.sid))  # by mistake
        assert them.has(one, raw.sid)
        await them.keeper(one).sweeps.look()
        assert not them.has(one, raw.sid)
        await raw.gone()
        assert not raw.ended
        await raw.again()  # which is carried
        await raw.say("a")
        await raw.until("ma 1")
        assert await them.keeper(one).records.notices(0, them.keeper(one).name) == []


async def test_a_worker_that_goes_hands_over() -> None:
    async with crew() as them:
        one, two = them.workers
        raw, polls = Raw(them.http, them.url(one)), Polls(them.http, them.url(one))
        await raw.open()
        await raw.until("mwelcome")
        await polls.open()
        await polls.until(1)
        polling = asyncio.ensure_future(polls.poll())
        await eventually(lambda: them.keeper(one).holdings[polls.sid].machine.carrier is not None)
        stopping = asyncio.ensure_future(one.stop())
        await raw.gone()
        assert raw.frames[-1] == "erecycled"
        await arrives(polling)
        assert not any(frame.startswith("x") for frame in polls.frames)
        raw.url = polls.url = them.url(two)
        await raw.again()
        await raw.say("a")
        await raw.until("ma 1")
        await polls.send("b")
        await polls.until(2)
        await arrives(stopping)
        assert (raw.messages, polls.messages) == (["welcome", "a 1"], ["welcome", "b 1"])
        assert (await them.record(raw.sid)).starts == 0  # what was handed over is no suspect


async def test_a_turn_is_waited_for_and_then_cut() -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.send(f"{message!s} {session.restored}")
            began.set()
            if not session.restored:
                await go.wait()

    async with crew(handler) as them:
        one, two = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.say("a")
        await arrives(began.wait())
        handing = asyncio.ensure_future(them.keeper(one).hand_over(0.2))
        await raw.gone()
        assert raw.frames[-1] == "erecycled"
        await arrives(handing)
        raw.url = them.url(two)
        await raw.again()
        await raw.until("ma")
        assert raw.messages == ["a True"]


async def test_sessions_are_handed_over_one_after_another_and_served_until_then() -> None:
    async with crew() as them:
        one, two = them.workers
        clients = [Raw(them.http, them.url(one)) for _ in range(2)]
        for raw in clients:
            await raw.open()
            await raw.until("mwelcome")
        first, last = clients
        handing = asyncio.ensure_future(them.keeper(one).hand_over(5.0, lambda count: [0.0, 1000.0]))
        await first.gone()
        assert first.frames[-1] == "erecycled"
        first.url = them.url(two)
        await first.again()
        await first.say("a")
        await first.until("ma 1")
        last.url = them.url(two)
        await last.again()  # which is carried
        await last.say("a")
        await last.until("ma 1")
        assert them.has(one, last.sid)
        assert not handing.done()
        await last.close_session()  # it ends before its time has come
        await last.until("a2,")
        await arrives(handing)
        assert not them.keeper(one).holdings


@pytest.mark.parametrize("rate", [4.0, None])
async def test_the_pace_is_that_of_a_drain_where_there_are_other_workers(rate: float | None) -> None:
    asked: list[Any] = []

    async def hand_over(turn: float, moments: Any = None) -> None:
        asked.append(None if moments is None else moments(8))

    async with workers(1, drain_timeout=20.0, drain_rate=rate, prepare=durable) as them:
        keeper: Any = them[0].service.keeper
        keeper.hand_over = hand_over
    if rate is None:
        assert asked[0] is None
    else:
        assert [int(4 * time) for time in asked[0]] == list(range(8))
    alone = realtime.Server(broker=realtime.MemoryBroker(), drain_rate=rate)
    alone.endpoint("/orders", durable=True)(counting)
    async with serve(alone):
        keeper = alone._service.keeper
        keeper.hand_over = hand_over
    assert asked[-1] is None


def durable(worker: Worker) -> None:
    worker.server.endpoint("/orders", durable=True)(counting)


async def test_a_worker_that_goes_brings_what_still_comes_to_another() -> None:
    async with crew() as them:
        one, two = them.workers
        polls = Polls(them.http, them.url(one))
        await polls.open()
        await polls.until(1)
        await them.keeper(one).hand_over(5.0)
        await polls.send("a")  # on its kept connection
        await polls.until(2)
        assert polls.messages == ["welcome", "a 1"]
        assert them.has(two, polls.sid)


async def test_nobody_takes_what_a_lone_worker_has_handed_over() -> None:
    async with crew(count=1) as them:
        (one,) = them.workers
        polls = Polls(them.http, them.url(one))
        await polls.open()
        await them.keeper(one).hand_over(5.0)
        status, frames = await polls.post("send", [polls.head(), "ma"])
        assert (status, frames[0][:14]) == (503, "x4503,carrier,")


async def test_a_turn_that_kills_its_workers_ends_the_session() -> None:
    began: asyncio.Queue[int] = asyncio.Queue()

    async def handler(session: realtime.Session) -> None:
        async for _ in session:
            began.put_nowait(1)
            await asyncio.Event().wait()

    async with crew(handler, count=5) as them:
        raw = Raw(them.http, them.url(them.workers[0]))
        await raw.open()
        await raw.say("poison")
        for number in range(4):
            await arrives(began.get())
            them.workers[number].kill()
            raw.url = them.url(them.workers[number + 1])
            await raw.again()
        await raw.gone()
        assert raw.ended[:2] == ("1011", "session")
        assert (await them.record(raw.sid)).stage is Stage.ENDED
        assert began.empty()


def silence(them: Crew, worker: Worker) -> None:
    """Nothing that it writes comes to the store any more."""

    class Away:
        async def put(self, *write: Any) -> str:
            raise Unanswered("on purpose")

        def __getattr__(self, name: str) -> Any:
            return getattr(records, name)

    records = them.keeper(worker).records
    them.keeper(worker).records = Away()


async def swept(them: Crew, worker: Worker, sid: str) -> None:
    await them.keeper(worker).sweeps.sweep([sid])


async def test_a_session_that_nobody_comes_back_for_is_ended_and_no_handler_runs() -> None:
    async with crew(resume_window=0.05, ping_interval=None) as them:
        one, two = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.until("mwelcome")
        await raw.ack()
        await raw.say("a")
        await raw.until("ma")
        silence(them, one)
        one.kill()
        await swept(them, two, raw.sid)  # its owner is found gone: now its client has its time to come back
        assert (await them.record(raw.sid)).owner == "-"
        records = them.keeper(two).records
        await eventually(lambda: records._kept[raw.sid].due <= time.monotonic())
        await swept(them, two, raw.sid)
        record = await them.record(raw.sid)
        assert (record.stage, record.end.code) == (Stage.ENDED, 4410)
        assert not them.has(two, raw.sid)
        assert await records.due(0, 10) == []


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_session_whose_client_has_closed_is_taken_for_its_handler(stopped: bool) -> None:
    """When its worker's lease is over: nobody waits for a client."""
    taken: list[str] = []
    go = asyncio.Event()

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            if not session.restored:
                await go.wait()
            taken.append(str(message))

    async with crew(handler) as them:
        one, two = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.say("a", "b")
        await raw.close_session()
        await raw.until("a3,")
        assert them.waits(raw.sid) == pytest.approx(10.0)
        if stopped:
            them.lapse(one)
        else:
            one.kill()
        await swept(them, two, raw.sid)
        await eventually(lambda: not them.has(two, raw.sid))
        assert taken == ["a", "b"]
        assert (await them.record(raw.sid)).end.code == 1000
        await them.keeper(one).sweeps.look()  # when it awakes
        assert not them.has(one, raw.sid)


async def test_a_session_whose_owner_lives_is_left_alone() -> None:
    async with crew() as them:
        one, two = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.until("mwelcome")
        before = await them.record(raw.sid)
        await swept(them, one, raw.sid)
        await swept(them, two, raw.sid)
        await swept(them, two, "d.unknown")
        assert (await them.record(raw.sid)).owner == before.owner == them.keeper(one).name


async def test_a_takeover_of_its_own_that_came_to_nothing_is_made_good() -> None:
    """The record names a worker that has no such session: its answer was lost."""
    async with crew() as them:
        one, two = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        await raw.until("mwelcome")
        keeper = them.keeper(one)
        holding = keeper.holdings[raw.sid]
        holding.cut()
        await raw.gone()
        await swept(them, one, raw.sid)
        assert them.has(one, raw.sid)
        raw.url = them.url(two)
        await raw.again()
        await raw.say("a")
        await raw.until("ma 1")


async def test_a_store_that_went_back_is_written_over_at_once() -> None:
    async with crew() as them:
        one, two = them.workers
        raw, ended = Raw(them.http, them.url(one)), Raw(them.http, them.url(one))
        olds = []
        for client in (raw, ended):
            await client.open()
            await client.until("mwelcome")
            olds.append(await them.record(client.sid))
            await client.say("a")
            await client.until("ma 1")
        await ended.close_session()
        await ended.until("a2,")
        await eventually(lambda: not them.has(one, ended.sid))
        records = them.keeper(one).records
        for client, old in zip((raw, ended), olds, strict=True):
            there = (await them.record(client.sid)).id
            assert await records.put(client.sid, Write(there, old), 100.0) == old.id
        sweeps = them.keeper(one).sweeps
        sweeps._runs.clear()
        sweeps.returned("memory")
        await eventually(lambda: records._kept[raw.sid].record.sent == 2)
        await eventually(lambda: records._kept[ended.sid].record.stage is Stage.ENDED)
        one.kill()
        raw.url = them.url(two)
        await raw.again()
        await raw.say("b")
        await raw.until("mb 2")
        assert raw.messages == ["welcome", "a 1", "b 2"]
