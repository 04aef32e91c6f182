"""Sessions of servers that are workers of a cluster: opened by names that are claimed, found, and told of when their
worker is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

import realtime
from realtime.core.claims import Claim
from realtime.core.leases import Ended, Gone, Peer
from realtime.core.lifecycle import State
from realtime.core.plain_machine import PlainMachine
from realtime.core.proof import Key, Proof
from realtime.owners import Elsewhere, digest_of
from realtime.protocols.sockjs.codec import CAPABILITIES
from realtime.session import Session

from ..patience import PATIENCE, arrives, eventually, leap
from .members import Worker, Workers, proof_of, refused


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Worker, Worker]]:
    broker, workers = realtime.MemoryBroker(), Workers()
    one, two = await Worker(broker, workers).start(), await Worker(broker, workers).start()
    yield one, two
    for worker in (one, two):
        if worker.sessions.owners is not None:
            await worker.service.shutdown()
    assert all(port.closed for port in workers.ports)


def names(worker: Worker) -> set[str]:
    """All that are claimed."""
    stored: Any = worker.directory._directory
    return set(stored._claims)


async def test_an_open_is_one_workers(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    session = await one.open("nonce")
    assert session.id.startswith(one.sessions.worker + ".")
    assert await one.open("nonce") is session
    elsewhere = await refused(two.open("nonce"))
    assert isinstance(elsewhere, Elsewhere)
    assert (elsewhere.peer, elsewhere.sid) == (one.directory.peer, session.id)
    assert (elsewhere.code, elsewhere.scope) == (4503, "carrier")  # where nobody carries it
    assert await one.open("nonce", handed=session.id) is session
    await eventually(lambda: one.handled == 1)
    assert two.handled == 0


async def test_one_that_is_bound_to_something_else_is_told_so_by_any_worker(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    await one.open("nonce")
    for worker in pair:
        assert (await refused(worker.open("nonce", "other"))).code == 4409
    assert len(two.directory.claims) == 0


async def test_opens_at_once_begin_one_handler(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    opens = [worker.open("nonce") for worker in (one, two, one, two, one)]
    results = await asyncio.gather(*opens, return_exceptions=True)
    sessions = {result for result in results if isinstance(result, Session)}
    assert len(sessions) == 1
    assert len(results) == 5
    assert all(isinstance(result, Session | Elsewhere) for result in results)
    await eventually(lambda: one.handled + two.handled == 1)


async def test_a_session_of_another_worker_is_elsewhere(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    session = await one.open("nonce")
    proof = proof_of(session)
    elsewhere = await refused(two.sessions.route(session.id, proof))
    assert isinstance(elsewhere, Elsewhere)
    assert (elsewhere.peer, elsewhere.sid, elsewhere.proof) == (one.directory.peer, session.id, proof)
    assert await one.sessions.route(session.id, proof) is session
    assert (await refused(one.sessions.route(f"{one.sessions.worker}.{'0' * 24}", proof))).code == 4404


async def test_a_name_that_a_client_chose(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    assert await two.sessions.claimed("name") is None
    session = await one.open("name", None, kind=partial(PlainMachine, capabilities=CAPABILITIES))
    assert await one.sessions.claimed("name") is session
    elsewhere = await refused(two.sessions.claimed("name"))
    assert isinstance(elsewhere, Elsewhere)
    assert elsewhere.sid == session.id
    assert one.directory.claims.lasting() != []


async def test_an_open_that_comes_to_nothing_gives_its_name_back(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    for number in range(3):
        await one.open(f"nonce{number}")
    assert (await refused(one.open("nonce"))).code == 4429
    await eventually(lambda: "nonce" not in names(one))
    assert (await two.open("nonce")).id.startswith(two.sessions.worker)


async def test_what_is_claimed_and_counted_holds_where_no_ended_session_is_remembered() -> None:
    broker, workers = realtime.MemoryBroker(), Workers()
    one, two = [await Worker(broker, workers, max_tombstones=0).start() for _ in range(2)]
    first = await one.open("nonce1", identity="ada")
    await one.open("nonce2", identity="ada")
    assert isinstance(await refused(two.open("nonce1", identity="ada")), Elsewhere)
    first._machine.end(1000, "", 0.0)
    await eventually(lambda: two.directory._directory._held["iada"] == {one.sessions.worker: 1})  # type: ignore[attr-defined]
    await two.open("nonce3", identity="ada")
    await one.open("name", None, kind=partial(PlainMachine, capabilities=CAPABILITIES))
    stored: Any = one.directory._directory
    stored._claims.clear()
    for name, claim in one.directory.claims.lasting():
        one.directory._keeping.claim(name, claim)
    await eventually(lambda: names(one) == {"name"})
    for worker in (one, two):
        await worker.service.shutdown()


async def test_a_limit_of_an_identity_holds_at_all_workers(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    first = await one.open("nonce1", identity="ada")
    await two.open("nonce2", identity="ada")
    for worker in pair:
        assert (await refused(worker.open("nonce3", identity="ada"))).code == 4429
    assert (await refused(two.open("nonce3", identity="ada"))).code == 4429
    await two.open("nonce4", identity="bob")
    first._machine.end(1000, "", 0.0)
    await eventually(lambda: two.directory._directory._held["iada"] == {two.sessions.worker: 1})  # type: ignore[attr-defined]
    await two.open("nonce3", identity="ada")


async def test_who_is_told_how_a_session_has_ended_whose_worker_is_gone(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    session = await one.open("nonce")
    key, sid, peer = Key(session._machine.secret), session.id, one.directory.peer
    await one.service.shutdown()
    two.directory._standing._since -= 100
    ended = await refused(two.sessions.route(sid, Proof(key)))
    assert (ended.code, ended.scope, ended.received) == (1001, "session", 0)
    assert (await refused(two.sessions.route(sid, Proof(Key("wrong"))))).code == 4403
    gone = await two.directory.refused(peer, sid)
    assert isinstance(gone, Gone)
    assert gone.refusal(Proof(key)).code == 1001
    # Who opens by that nonce is told so, too, and opens anew by another.
    again = await refused(two.open("nonce"))
    assert (again.code, again.scope) == (1001, "session")
    await two.open("nonce2")


async def test_one_of_a_worker_that_nobody_knows(pair: tuple[Worker, Worker]) -> None:
    _, two = pair
    sid = "zzzz." + "0" * 24
    assert (await refused(two.sessions.route(sid, Proof(Key("some"))))).code == 4503  # it has just started
    two.directory._standing._since -= 100
    unknown = await refused(two.sessions.route(sid, Proof(Key("some"))))
    assert (unknown.code, unknown.scope) == (4404, "session")


async def test_without_a_lease_nothing_is_opened_and_what_is_open_goes_on(pair: tuple[Worker, Worker]) -> None:
    one, _ = pair
    session = await one.open("nonce")
    one.directory.registration.lost()
    for nonce in ("another", ""):
        later = await refused(one.open(nonce))
        assert (later.code, later.scope) == (4503, "carrier")
    assert await one.open("nonce") is session
    assert await one.sessions.route(session.id, proof_of(session)) is session


async def test_a_worker_that_drains_opens_nothing_and_gives_back_what_it_is_handed(pair: tuple[Worker, Worker]) -> None:
    one, two = pair
    one.sessions.refusing = True
    assert (await refused(one.open("nonce"))).code == 4503
    assert await two.directory.find("nonce") is None
    claim = Claim(f"{one.sessions.worker}.lost", digest_of("bound"))
    await two.directory._directory.keep("nonce", claim, 30)
    assert isinstance(await refused(two.open("nonce")), Elsewhere)
    assert (await refused(one.open("nonce", handed=claim.sid))).code == 4503
    await eventually(lambda: "nonce" not in names(one))
    assert (await two.open("nonce")).id.startswith(two.sessions.worker)


async def test_a_worker_that_shuts_down_lets_its_sessions_go_first_and_leaves_last() -> None:
    """No opens; what is open goes on; unready; 1012; word of it in the directory, and then its place."""
    broker, workers = realtime.MemoryBroker(), Workers(drain_timeout=PATIENCE)
    one, two = await Worker(broker, workers).start(), await Worker(broker, workers).start()
    session = await one.open("nonce")
    assert one.rt.health().ready
    stored: Any = one.directory._directory
    strike, left = stored.strike, list[object]()

    async def struck(peer: Peer) -> None:
        left.append(await stored.ended(session.id))
        await strike(peer)

    stored.strike = struck
    peer = one.directory.peer
    ending = asyncio.ensure_future(one.service.shutdown())
    await eventually(lambda: session._machine.state is State.DRAINING)
    assert (await refused(one.open("another"))).code == 4503
    assert await one.open("nonce") is session
    assert await one.sessions.route(session.id, proof_of(session)) is session
    assert not one.rt.health().ready
    other = await two.open("another")
    assert other.id.startswith(two.sessions.worker)
    other._machine.end(1000, "", 0.0)
    assert await two.directory.owner(session.id) == peer
    leap(PATIENCE)  # nobody comes for its client
    await arrives(ending)
    assert len(left) == 1
    assert isinstance(left[0], Ended)
    assert left[0].code == 1012
    assert await two.directory.refused(peer, session.id) == Gone(left[0])
    await two.service.shutdown()


async def test_a_worker_that_is_not_registered_is_not_ready() -> None:
    worker = await Worker(realtime.MemoryBroker(), Workers()).start()
    assert worker.rt.health().ready
    worker.directory.registration.lost()
    assert not worker.rt.health().ready
    assert "not registered" in worker.rt.health().problems[0]
    await worker.service.shutdown()
    assert not worker.rt.health().ready


async def test_a_store_that_may_have_forgotten_is_a_problem_with_which_it_is_ready() -> None:
    worker = await Worker(realtime.MemoryBroker(), Workers()).start()
    assert worker.rt.health() == (True, ())
    worker.directory._runs.met("another", 0.0, asyncio.get_running_loop().time())
    health = worker.rt.health()
    assert (health.ready, len(health.problems)) == (True, 1)
    assert "not every session is opened for " in health.problems[0]
    await worker.service.shutdown()
    assert not worker.rt.health().ready
