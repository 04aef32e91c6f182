"""Workers in processes of their own, over a real Redis: killed within turns, behind a commit, and told to go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import realtime
from realtime.brokers.redis import RedisBroker
from realtime.testing import serve

from ..brokers.servers import Server, available
from ..patience import arrives, eventually, within
from .process import Process
from .raw import Polls, Raw
from .test_rooms import Member, joining, member, stands_still, with_rooms
from .workers import counting, worker


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    if not available():
        pytest.skip("redis-server is not installed")
    server = Server(tmp_path, "--save", "").start()
    yield server
    server.kill()


@contextlib.asynccontextmanager
async def process(url: str, *words: str) -> AsyncIterator[Process]:
    """A worker. With "first" its handler stays in some turns."""
    one = await Process.start(url, *words)
    try:
        yield one
    finally:
        await one.kill()


async def again(raw: Raw, url: str) -> None:
    """Comes again there, as often as it is told to come later, or what carried it ends."""
    raw.url = url
    while True:
        answer = ""
        with contextlib.suppress(aiohttp.WSServerHandshakeError):
            answer = await raw.again()
        if answer.startswith("r"):
            return
        assert answer.startswith(("x4503,carrier", "erecycled")) or not answer, answer
        await asyncio.sleep(0.05)


async def test_killed_within_a_turn_and_behind_a_commit_and_told_to_go(redis: Server) -> None:
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        one = await stack.enter_async_context(process(redis.url, "first"))
        raw = Raw(http, one.url)
        await raw.open()
        await raw.say("commit")
        await raw.until("mcommit 1")
        assert await one.says() == "commit"
        two = await stack.enter_async_context(process(redis.url, "first"))
        await one.kill()  # behind a commit: that is there when its message comes again
        await again(raw, two.url)
        await raw.until("mcommit again")
        await raw.say("stay")
        assert await two.says() == "stay"
        three = await stack.enter_async_context(process(redis.url))
        await two.kill()  # within a turn: nothing of it is left
        await again(raw, three.url)
        await raw.until("mstay 2")
        four = await stack.enter_async_context(process(redis.url))
        leaving = asyncio.ensure_future(three.go())
        await raw.gone()
        assert raw.frames[-1] == "erecycled"
        assert not raw.ended
        await again(raw, four.url)
        await arrives(leaving)
        await raw.say("c")
        await raw.until("mc 3")
        assert raw.messages == ["welcome", "commit 1", "commit again", "stay 2", "c 3"]
        assert three.process.returncode == 0


async def test_stopped_for_longer_than_its_lease(redis: Server) -> None:
    """Its session goes on elsewhere; when it awakes it says nothing more."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        one = await stack.enter_async_context(process(redis.url, "short"))
        two = await stack.enter_async_context(process(redis.url, "short"))
        raw = Raw(http, one.url)
        await raw.open()
        await raw.say("a")
        await raw.until("ma 1")
        old = raw.socket
        one.stop()
        await old.send_str("mb")  # which it reads when it awakes
        raw.sent.append("mb")
        await again(raw, two.url)
        await raw.until("mb 2")
        one.go_on()
        while (last := await arrives(old.receive())).type is aiohttp.WSMsgType.TEXT:
            assert last.data[:1] in "npqea", last.data
        await raw.say("c")
        await raw.until("mc 3")
        assert raw.messages == ["welcome", "a 1", "b 2", "c 3"]


@pytest.mark.parametrize("point", ["before", "behind"])
async def test_killed_between_the_commit_and_what_it_publishes(redis: Server, point: str) -> None:
    """Or behind that, when only the record has to say so: another worker publishes it, and it is in the room once."""
    async with contextlib.AsyncExitStack() as stack:
        place = await stack.enter_async_context(worker(RedisBroker(redis.url)))
        here = await place.worker(counting, prepare=told)
        await eventually(lambda: here.rt.health().ready)
        one = await stack.enter_async_context(process(redis.url, point))
        raw = Raw(place.http, one.url)
        await raw.open()
        await raw.say("tell a")
        await raw.until("mtell a 1")
        assert await one.says() == "held"
        assert len((await here.rt.room("told").history()).messages) == (point == "behind")
        two = await stack.enter_async_context(process(redis.url))
        await one.kill()
        await again(raw, two.url)
        await raw.say("tell b")
        await raw.until("mtell b 2")
        heard: list[Any] = []
        async with asyncio.timeout(90):
            while "tell b" not in heard:
                heard = [message for _, message in (await here.rt.room("told").history()).messages]
        assert heard == ["tell a", "tell b"]


def told(rt: realtime.Server) -> None:
    rt.configure_rooms("told", history=100, presence=True)


async def test_rooms_go_on_when_their_workers_are_killed_and_told_to_go(redis: Server) -> None:
    """What is sent while nobody has the session comes behind what has arrived, and who was present is so again."""
    async with contextlib.AsyncExitStack() as stack:
        place = await stack.enter_async_context(worker(RedisBroker(redis.url)))
        here = await place.worker(counting, prepare=told)
        room = here.rt.room("told")
        await eventually(lambda: here.rt.health().ready)
        one = await stack.enter_async_context(process(redis.url))
        raw = Member(place.http, one.url)
        await raw.open()
        await raw.shows()
        await raw.say("hear")
        await raw.until("mhear 1")
        expected = []
        for way in ("kill", "go"):
            expected += [f"told m{way} {when}" for when in ("before", "while", "behind")]
            await room.send(f"{way} before")
            await raw.hears(len(expected) - 2)
            another = await stack.enter_async_context(process(redis.url))
            await getattr(one, way)()
            one = another
            await room.send(f"{way} while")
            await again(raw, one.url)
            await raw.shows()
            await raw.hears(len(expected) - 1)
            await room.send(f"{way} behind")
            await raw.hears(len(expected))
            assert raw.heard == expected
            async with within("until it is present"):
                async for change in room.watch_members():
                    if (change.member, change.info) == (raw.sid, {"name": "a reader"}):
                        break


async def test_what_a_killed_worker_was_to_publish_does_not_wait_for_its_client(redis: Server) -> None:
    """Nobody comes back for its session: another worker finds it when the lease is over."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        one = await stack.enter_async_context(process(redis.url, "short", "before"))
        raw = Raw(http, one.url)
        await raw.open()
        await raw.say("tell a")
        await raw.until("mtell a 1")
        assert await one.says() == "held"
        await one.kill()
        await stack.enter_async_context(process(redis.url, "short"))
        here = realtime.Server(broker=RedisBroker(redis.url))  # which only reads
        here.configure_rooms("told", history=100)
        await stack.enter_async_context(serve(here))
        await eventually(lambda: here.health().ready)
        async with within("until it is in the room"):
            while not (found := (await here.room("told").history()).messages):  # noqa: ASYNC110 another process
                await asyncio.sleep(0.1)
        assert [message for _, message in found] == ["tell a"]


async def test_a_room_in_which_nothing_was_said_has_no_gap(redis: Server) -> None:
    async with worker(RedisBroker(redis.url)) as place:
        one, two = await with_rooms(place, joining), await with_rooms(place, joining)
        await eventually(lambda: one.rt.health().ready and two.rt.health().ready)
        raw = await member(place, one, "kept", "plain")
        stands_still(one)
        await raw.goes_on(two)
        for room in ("kept", "plain"):
            await two.rt.room(room).send("a")
        await raw.hears(2)
        assert sorted(raw.heard) == ["kept ma", "plain ma"]


async def test_a_store_that_is_away_delays_and_loses_nothing(redis: Server) -> None:
    """Nothing is said before it is stored; what was on its way is stored once."""
    broker = RedisBroker(redis.url, timeout=1.0)
    async with worker(broker) as place:
        one = await place.worker(counting)
        polls = Polls(place.http, one.url)
        await eventually(lambda: one.rt.health().ready)
        await polls.open()
        await polls.until(1)
        redis.pause()
        sending = asyncio.ensure_future(polls.send("a"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sending), 0.05)
        redis.resume()
        assert (await arrives(sending))[0].startswith("a1,")
        await polls.until(2)
        assert polls.messages == ["welcome", "a 1"]


async def test_over_redis_a_session_goes_on_at_another_server(redis: Server) -> None:
    async with worker(RedisBroker(redis.url)) as place:
        one, two = await place.worker(counting), await place.worker(counting)
        client: Any = Raw(place.http, one.url)
        await eventually(lambda: one.rt.health().ready and two.rt.health().ready)
        await client.open()
        await client.say("ü\u2028", "b")
        await client.until("mb")
        client.url = two.url
        await client.again()
        await client.say("c")
        await client.until("mc")
        assert client.messages == ["welcome", "ü\u2028 1", "b 2", "c 3"]
        await one.keeper.sweeps.look()
        assert one.sessions == []
