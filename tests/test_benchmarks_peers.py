"""Every peer that is installed here serves what it is compared by, and charts are drawn. Nothing is timed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from benchmarks.comparison import BESIDE, charts, tables
from benchmarks.contenders import ALL, ROOMS
from benchmarks.load import Limit
from benchmarks.peers import FLOOR
from benchmarks.plot import bars, lines
from benchmarks.scenarios import PEERS, SCENARIOS, BroadcastScenario, Figure, Plan

from .contenders import Start, starting

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness reads /proc or asks ps")

TINY = Plan(measured=Limit(float("inf"), 100), warm_up=Limit(float("inf"), 10), sessions=4, settle=0.01)
of_servers = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def start() -> AsyncIterator[Start]:
    """Servers, for all that is measured here."""
    async with starting() as start:
        yield start


@of_servers
@pytest.mark.parametrize("contender", ALL)
async def test_each_contender_serves_what_it_is_compared_by(contender: str, start: Start) -> None:
    server = await start(contender)
    for name in BESIDE:
        if (contender, SCENARIOS[name].transport) in PEERS:
            figure = await SCENARIOS[name].measure(server, contender, TINY)
            assert figure.operations >= (4 if SCENARIOS[name].unit == "KiB" else 100)
            if name in ("websocket-echo", "websocket-broadcast"):
                assert len(figure.latencies) >= 100
                assert 0 < figure.percentile(0.5) <= figure.percentile(0.99) <= figure.percentile(1.0)


@of_servers
async def test_the_floor_takes_messages_of_any_length(start: Start) -> None:
    server = await start(FLOOR)
    for size in (8, 125, 126, 70_000):
        once, sixty = Limit(float("inf"), 1), Limit(float("inf"), 60)
        plan = Plan(measured=sixty, warm_up=once, size=size, sessions=2, settle=0.01)
        assert (await SCENARIOS["websocket-echo-32"].measure(server, FLOOR, plan)).operations >= 60, size


@of_servers
async def test_sessions_in_many_rooms(start: Start) -> None:
    server = await start("realtime")
    for rooms in ROOMS[:3]:
        scenario = BroadcastScenario(
            name="rooms", operation="delivery", transport="websocket", sessions=4, listen=f"listen-{rooms}"
        )
        assert (await scenario.measure(server, "realtime", TINY)).operations >= 100


def figure(cpu: float, latencies: tuple[float, ...] = ()) -> Figure:
    return Figure(operations=1000, sessions=100, cpu_seconds=cpu, wall_seconds=1.0, memory=1024, latencies=latencies)


def test_tables_have_ratios_and_percentiles() -> None:
    found = {
        "websocket-echo": {"realtime": [figure(0.02, (0.001,) * 99 + (0.5,))], "bare aiohttp": [figure(0.01)]},
        "opening": {},
    }
    growth = {
        "sessions": {"realtime: echo": [(100.0, 20.0), (1000.0, 30.0)], "bare aiohttp: echo": [(100.0, 10.0)]},
        "rooms": {"realtime: delivery": [(1.0, 5.0)]},
        "sizes": {},
    }
    text = tables(found, growth)
    assert "realtime | 20.0 µs | 1.00 | 50,000 | 1.0 ms | 500.0 ms |" in text
    assert "|  | bare aiohttp | 10.0 µs | 2.00 | 100,000 |  |  |" in text
    assert "| bare aiohttp: echo | 10.0 | – |" in text
    assert set(charts(found, growth)) == {"speed-peers.svg", "speed-sessions.svg", "speed-rooms.svg"}


def test_charts_are_svg_and_names_are_escaped() -> None:
    line = lines("a < b", "x", "y", {"one & two": [(1, 10), (1000, 0.5)], "flat": [(1, 3)]})
    bar = bars("a < b", {"group": {"one": 1.0, "<two>": 3.0}}, "µs")
    for chart in (line, bar):
        root = ElementTree.fromstring(chart)
        assert root.tag.endswith("svg")
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "a < b" in texts
    drawn = [node.attrib["points"].split() for node in ElementTree.fromstring(line).iter() if "points" in node.attrib]
    (left, high), (right, low) = ([float(at) for at in point.split(",")] for point in drawn[0])
    assert left < right  # more of it
    assert high < low  # at a lower price, and the axis counts from above
    assert len(drawn[1]) == 1
