"""A rolling deploy that adds or removes a durable endpoint: for a time some workers have it, and others have not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import realtime
from realtime.core.durable.record import Stage
from realtime.durable.sweeps import Sweeps
from realtime.testing import serve

from ..cluster.workers import Balancer, Worker
from ..patience import arrives, eventually
from .crew import Crew, crew
from .raw import Polls, Raw, let_go
from .workers import counting, worker

pytestmark = pytest.mark.usefixtures("nobody_sweeps")

LACKING = ("absent", "ordinary")


async def again(raw: Raw) -> None:
    """Comes again as often as it is told to come later."""
    while (answer := await raw.again()).startswith("x4503,carrier"):
        pass
    assert answer.startswith("r"), answer


@pytest.mark.parametrize("kind", LACKING)
async def test_who_has_not_the_endpoint_brings_its_sessions_to_their_worker(kind: str) -> None:
    async with crew(kinds=("durable", kind)) as them:
        one, two = them.workers
        raw, polls = Raw(them.http, them.url(one)), Polls(them.http, them.url(one))
        await raw.open()
        await polls.open()
        raw.url = polls.url = them.url(two)
        await raw.again()
        await raw.say("a")
        await raw.until("ma 1")
        await polls.send("a")
        await polls.until(2)
        assert raw.messages == polls.messages == ["welcome", "a 1"]
        assert them.has(one, raw.sid)
        assert them.has(one, polls.sid)


@pytest.mark.parametrize("kind", LACKING)
@pytest.mark.parametrize("over_polls", [False, True], ids=["websocket", "polls"])
async def test_where_their_worker_is_gone_another_one_that_has_it_goes_on(kind: str, over_polls: bool) -> None:
    async with crew(kinds=("durable", kind, "durable")) as them:
        one, two, three = them.workers
        client: Any = (Polls if over_polls else Raw)(them.http, them.url(one))
        await client.open()
        if over_polls:
            await client.until(1)
        else:
            await client.until("mwelcome")
            await client.stored(0)
        one.kill()
        client.url = them.url(two)
        if over_polls:
            await client.send("a")
            await client.until(2)
        else:
            await again(client)
            await client.say("a")
            await client.until("ma 1")
        assert client.messages == ["welcome", "a 1"]
        assert them.has(three, client.sid)


@pytest.mark.parametrize("kind", LACKING)
async def test_where_no_worker_has_it_clients_are_told_to_come_later(kind: str) -> None:
    """For as long as one may come that has it."""
    async with crew(kinds=("durable", kind, "absent")) as them:
        one, two, _ = them.workers
        raw, polls = Raw(them.http, them.url(one)), Polls(them.http, them.url(one))
        await raw.open()
        await raw.until("mwelcome")
        await polls.open()
        await polls.until(1)
        one.kill()
        raw.url = them.url(two)
        assert (await raw.again()).startswith("x4503,carrier")
        polls.url = them.url(two)
        status, frames = await polls.post("send", [polls.head(), "ma"])
        assert (status, frames[0][:14]) == (503, "x4503,carrier,")
        assert (await them.record(raw.sid)).owner == them.keeper(one).name


async def ends(them: Crew, by: Worker, sid: str) -> None:
    """Another worker finds the session twice: its owner gone, and nobody back for it."""
    records, sweeps = them.keeper(by).records, them.keeper(by).sweeps
    await sweeps.sweep([sid])
    assert (await them.record(sid)).owner == "-"
    await eventually(lambda: records._kept[sid].due <= time.monotonic())
    await sweeps.sweep([sid])
    assert await records.due(0, 10) == []


async def takes_for_ever(session: realtime.Session) -> None:
    """A handler that never has done with the first message."""
    async for _ in session:
        await asyncio.get_running_loop().create_future()


async def left_behind(them: Crew, closed: bool) -> Raw:
    """A session with a message in the store, and perhaps its client's close, whose worker has lost its lease."""
    one, _ = them.workers
    raw = Raw(them.http, them.url(one))
    await raw.open()
    await raw.say("a")
    if closed:
        await raw.close_session()
    await raw.stored(1 + closed)
    them.lapse(one)
    return raw


@pytest.mark.parametrize("closed", [False, True])
async def test_sessions_of_an_endpoint_that_is_no_more_end_when_their_clients_are_given_up(closed: bool) -> None:
    """Also those that some handler should go on with: there is none."""
    async with crew(takes_for_ever, kinds=("durable", "absent"), resume_window=0.05, ping_interval=None) as them:
        one, two = them.workers
        raw = await left_behind(them, closed)
        await ends(them, two, raw.sid)
        record = await them.record(raw.sid)
        assert (record.stage, record.end.code) == (Stage.ENDED, 4410)
        await them.keeper(one).sweeps.look()  # when it awakes
        await eventually(lambda: not them.has(one, raw.sid))


@pytest.mark.parametrize("closed", [False, True])
async def test_sessions_of_the_last_durable_endpoint_of_all_end_as_well(
    closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker that has none, and looks rarely as long as nothing is due."""
    async with crew(takes_for_ever, kinds=("durable", "ordinary"), resume_window=0.05, ping_interval=None) as them:
        _, two = them.workers
        raw = await left_behind(them, closed)
        monkeypatch.setattr(Sweeps, "pause", 0.05)
        monkeypatch.setattr(Sweeps, "rare", 0.1)
        keeper = them.keeper(two)
        assert not keeper.served
        await keeper.sweeps.stop()
        keeper.sweeps.start()
        records = keeper.records
        await records.postpone(raw.sid, -1.0)
        await eventually(lambda: records._kept[raw.sid].record.stage is Stage.ENDED)
        assert records._kept[raw.sid].record.end.code == 4410
        assert await records.due(0, 10) == []


async def test_nothing_opens_at_an_endpoint_that_is_not_there() -> None:
    async with crew(kinds=("durable", "absent")) as them:
        _, two = them.workers
        raw, polls = Raw(them.http, them.url(two)), Polls(them.http, them.url(two))
        assert (await raw.connect(raw.opening())).startswith("x4406,carrier,,there is no endpoint /orders")
        status, frames = await polls.post("long_polling", [polls.opening()])
        assert (status, frames[0][:14]) == (404, "x4406,carrier,")
        raw.sid, raw.key, raw.tenure = "d.unknown", "key", "tenure"
        assert (await raw.connect(raw.attach())).startswith("x4404,session")
        assert len(two.server) == 0


async def test_what_is_said_to_an_endpoint_that_is_not_there_is_bounded() -> None:
    """As what is said to any by who has not named a session."""
    large = "m" + "x" * 1_000_000
    async with crew(kinds=("durable", "absent")) as them:
        for worker in them.workers:
            polls = Polls(them.http, them.url(worker))
            for name, head in (("long_polling", polls.opening()), ("send", "x")):
                status, frames = await polls.post(name, [head, large])
                assert (status, frames[0][:14]) == (413, "x4413,carrier,")


async def test_an_ordinary_session_is_brought_to_its_worker_as_well() -> None:
    async with crew(kinds=("ordinary", "absent")) as them:
        one, two = them.workers
        raw = Raw(them.http, them.url(one))
        await raw.open()
        assert not raw.tenure
        raw.tenure = ""
        raw.url = them.url(two)
        answer = await raw.connect(raw.attach().rstrip(","))
        assert answer.startswith("r")
        assert len(one.server) == 1


@pytest.mark.parametrize("others", [False, True])
async def test_a_worker_alone_says_that_the_endpoint_is_no_more(others: bool) -> None:
    """Nobody else can have it."""
    async with worker(realtime.MemoryBroker()) as place:
        raw = Raw(place.http, (await place.worker(counting)).url)
        await raw.open()
        await raw.until("mwelcome")
        rt = realtime.Server(broker=place.broker)
        rt.endpoint("/orders")(counting)
        if others:
            rt.endpoint("/others", durable=True)(counting)
        async with serve(rt) as server:
            raw.url = str(server.make_url("/realtime/orders"))
            assert (await raw.again()).startswith("x4404,session")
            let_go(place.http)  # or the server waits for it


@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
async def test_a_client_stays_in_its_session_while_workers_without_its_endpoint_come(transport: str) -> None:
    async with crew(kinds=("durable", "absent", "ordinary", "durable"), poll_interval=(0.01, 0.05)) as them:
        balancer = Balancer([them.workers[0]])
        await balancer.start()
        try:
            url = f"http://127.0.0.1:{balancer.port}/realtime/orders"
            async with realtime.connect(url, transports=transport, backoff=(0.01, 0.05)) as session:
                assert await arrives(session.receive()) == "welcome"
                balancer.workers[:] = them.workers[1:]
                for number, one in enumerate((them.workers[0], None, None)):
                    if one is not None:
                        one.kill()
                    await session.send(str(number))
                    assert await arrives(session.receive()) == f"{number} {number + 1}"
                await session.close()
                assert session.close_code == 1000
        finally:
            await balancer.stop()
