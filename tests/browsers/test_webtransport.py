"""WebTransport in the browsers that have it, with a certificate of no authority that the page takes by its hash: all
scenarios, and exactly once in order through networks that lose, delay, overtake and cut what goes by UDP.

The certificate's hash is told by the server (docs/protocol.md §3.6). `python -m tests.browsers.udp` is the long form.
"""

from __future__ import annotations

from typing import Any

import pytest

import realtime

from ..cluster.test_webtransport import two
from ..cluster.workers import Worker
from ..patience import arrives, eventually
from .engines import Engine
from .harness import serving
from .steering import steered
from .test_transports import SCENARIOS
from .udp import ENGINES, run_cell, surroundings

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What every engine does over it. At the other origin of these pages there is no such port.
HERE = tuple(name for name in SCENARIOS if name != "cross_origin")
# A connection that has gone dark is found out soon; if too soon, it is made anew.
SOON: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 0.7, "resume_window": 60.0}
# The short form of the matrix.
SAMPLE = ("every tenth lost", "far away and uneven", "cut twice, without a word", "all at once")


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_all_scenarios(engine: Engine) -> None:
    async with surroundings() as (harness, _udp):
        report = await harness.run(engine, "webtransport", HERE, timeout=200)
    problems = [f"{outcome.scenario}: {outcome.problem}" for outcome in report.outcomes if not outcome.ok]
    assert problems == [], "\n".join(report.log[-60:])
    assert [outcome.scenario for outcome in report.outcomes] == list(HERE)
    assert {outcome.transport for outcome in report.outcomes} - {None} == {"webtransport"}
    assert report.errors == []


@pytest.mark.parametrize(
    ("engine", "fault"), [(name, fault) for name in ENGINES for fault in SAMPLE], indirect=["engine"]
)
async def test_exactly_once_in_order(engine: Engine, fault: str) -> None:
    cell = await run_cell(engine, fault)
    assert cell.ok, cell.problem
    assert cell.happened > 0, "it never happened: this cell shows nothing"


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_where_udp_is_blocked_the_session_is_opened_otherwise(engine: Engine) -> None:
    async with surroundings() as (harness, udp), steered(engine, harness) as page:
        udp.go_dark()
        await page.open("one", f"{harness.pages}/realtime/echo", transports=["webtransport", "websocket"])
        assert await page.do("steered.of('one', 'transport')") == ["websocket"]
        await page.exchange("one", 1, 20)
        await eventually(lambda: udp.counts["swallowed"] > 0)
        rows = await page.do("steered.sessions.one.negotiation")
        said = {row["name"]: (row["verdict"], row["reason"]) for row in rows}
        assert said["webtransport"][0] == "demoted", said
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_session_moves_up_to_it_and_down_again(engine: Engine) -> None:
    """Opened by a WebSocket where UDP is dark, moved up when that gets through, and down again when it does not."""
    async with surroundings() as (harness, udp), steered(engine, harness) as page:
        udp.go_dark()
        await page.open("one", f"{harness.pages}/realtime/echo", transports=["webtransport", "websocket"])
        await page.exchange("one", 1, 20)
        udp.clear()
        await page.until("steered.sessions.one.transport === 'webtransport'")
        await page.exchange("one", 21, 40)
        udp.go_dark()
        await page.exchange("one", 41, 60)
        await page.until("steered.sessions.one.transport === 'websocket'")
        await page.exchange("one", 61, 80)
        assert (await page.do("steered.of('one', 'transport')"))[0] == "websocket"


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_cut_at_one_worker_it_goes_on_at_another_which_carries_it(engine: Engine) -> None:
    async with (
        serving() as harness,
        steered(engine, harness) as page,
        two(allowed_origins=(harness.pages,), **SOON) as cluster,
    ):
        one, other = cluster.workers
        await page.open("one", f"{one.url}/realtime/echo", transports=["webtransport"])
        session = await arrives(cluster.sessions.get())
        await page.exchange("one", 1, 20)
        cluster.lead(other)
        cluster.udp.cut()
        await page.exchange("one", 21, 40)
        assert set(await page.do("steered.of('one', 'transport')")) == {"webtransport"}
        assert other.forwarder.count >= 1
        assert [session.id for session in one.server.sessions] == [session.id]
        assert list(other.server.sessions) == []
        await page.do("steered.sessions.one.close()")
        await arrives(session.wait_closed())


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_durable_session_goes_on_at_another_worker_when_its_own_is_killed(engine: Engine) -> None:
    def prepare(worker: Worker) -> None:
        @worker.server.endpoint("/orders", durable=True)
        async def orders(session: realtime.Session) -> None:
            async for message in session:
                await session.send(message)

    async with (
        serving() as harness,
        steered(engine, harness) as page,
        two(allowed_origins=(harness.pages,), prepare=prepare, **SOON) as cluster,
    ):
        one, other = cluster.workers
        # Where it is told where WebTransport is has to live on.
        await page.open("one", f"{other.url}/realtime/orders", transports=["webtransport"])
        await page.exchange("one", 1, 20)
        assert len(one.server) == 1
        one.kill()
        cluster.lead(other)
        cluster.udp.cut()
        await page.exchange("one", 21, 40)
        assert set(await page.do("steered.of('one', 'transport')")) == {"webtransport"}
        (session,) = other.server.sessions
        assert session.restored
        await page.do("steered.sessions.one.close()")
        await arrives(session.wait_closed())


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_page_that_is_left_says_so(engine: Engine) -> None:
    async with surroundings() as (harness, _udp), steered(engine, harness) as page:
        await page.open("one", f"{harness.pages}/realtime/echo", transports=["webtransport"])
        (session,) = harness.server.sessions
        await page.page.visit("/blank.html")
        await arrives(session.wait_closed(), "that the session ends")
        assert session.close_code == 1001


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_another_certificate_than_the_announced_is_not_spoken_to(engine: Engine) -> None:
    """Nor than the one that the page gives."""
    async with surroundings() as (harness, _udp), steered(engine, harness) as page:
        await page.do("void (window.wrong = [{algorithm: 'sha-256', value: new Uint8Array(32)}])")
        await page.do(
            "void steered.open('one', %s, {transports:"
            " [RealtimeWebTransport({serverCertificateHashes: wrong}), 'websocket']})",
            f"{harness.pages}/realtime/echo",
        )
        await page.until("steered.of('one', 'open').length")
        assert await page.do("steered.of('one', 'transport')") == ["websocket"]
