"""Workers of a cluster over a Redis that is ended, emptied and paused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import pytest

import realtime
from realtime.cluster.directory import NOT_FOUND
from realtime.core.errors import Refusal
from realtime.core.leases import Gone
from realtime.owners import UNSURE, Elsewhere

from ..brokers.conftest import own_redis
from ..brokers.servers import Server
from ..patience import eventually, within
from .members import Worker, Workers, proof_of, refused

__all__ = ["own_redis"]

PAUSE = 0.01  # between two attempts
Three: TypeAlias = tuple[Server, Worker, Worker]


@pytest.fixture
async def three(own_redis: Server) -> AsyncIterator[Three]:
    """A Redis and two workers, whose leases are short."""
    workers = Workers(lease=4.0)
    one, two = [await Worker(realtime.RedisBroker(own_redis.url), workers).start() for _ in range(2)]
    yield own_redis, one, two
    for worker in (one, two):
        await worker.service.shutdown()


async def opened(worker: Worker, nonce: str) -> realtime.Session:
    """Opens as a client would: again, while it is told to come back later."""
    async with within("the open is taken"):
        while True:
            with suppress(Refusal):
                return await worker.open(nonce)
            await asyncio.sleep(PAUSE)


async def found(worker: Worker, other: Worker, call: Callable[[], Awaitable[object]]) -> None:
    """Until a worker knows that another one has what is asked for. Nobody says meanwhile that it is gone."""
    async with within("it is found"):
        while True:
            refusal = await refused(call())
            assert (refusal.code, refusal.scope) == (4503, "carrier")
            if isinstance(refusal, Elsewhere):
                assert refusal.peer == other.directory.peer
                return
            await asyncio.sleep(PAUSE)


async def elsewhere(worker: Worker, other: Worker, session: realtime.Session, nonce: str) -> None:
    """Until another worker's session is found, by its sid and by its nonce, which opens no other."""
    await found(worker, other, lambda: worker.sessions.route(session.id, proof_of(session)))
    await found(worker, other, lambda: worker.open(nonce))


async def test_a_redis_that_comes_back_with_nothing(three: Three) -> None:
    redis, one, two = three
    session = await opened(one, "nonce")
    await elsewhere(two, one, session, "nonce")
    redis.kill()
    await eventually(lambda: not two.rt.health().ready)
    refusal = await refused(two.open("another"))
    assert (refusal.code, refusal.scope) == (4503, "carrier")
    assert refusal.reason in (UNSURE, NOT_FOUND)  # and not where the store is
    assert await one.open("nonce") is session
    redis.start()
    await elsewhere(two, one, session, "nonce")
    assert (await opened(two, "another")).id.startswith(two.sessions.worker)
    await eventually(lambda: (one.handled, two.handled) == (1, 1))


async def test_a_redis_that_stands_still(three: Three) -> None:
    redis, one, two = three
    session = await opened(one, "nonce")
    redis.pause()
    try:
        assert (await refused(two.open("nonce"))).code == 4503
        assert (await refused(two.open("another"))).code == 4503
        assert await one.open("nonce") is session
        await eventually(lambda: not one.registered())  # and its lease is over
    finally:
        redis.resume()
    await elsewhere(two, one, session, "nonce")
    await opened(one, "another")
    await eventually(lambda: (one.handled, two.handled) == (2, 0))


async def test_a_worker_that_leaves_is_told_of_by_its_tombstones(three: Three) -> None:
    _, one, two = three
    session = await opened(one, "nonce")
    peer, proof = one.directory.peer, proof_of(session)
    await one.service.shutdown()
    async with within("leases may be judged"):
        while True:
            refusal = await refused(two.sessions.route(session.id, proof))
            if refusal.scope == "session":
                break
            await asyncio.sleep(PAUSE)
    assert (refusal.code, refusal.received) == (1001, 0)
    assert (await refused(two.open("nonce"))).code == 1001
    gone = await two.directory.refused(peer, session.id)
    assert isinstance(gone, Gone)
    assert gone.ended is not None
