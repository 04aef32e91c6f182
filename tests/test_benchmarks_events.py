"""Events and acknowledgements beside Socket.IO's servers: each serves what it is compared by. Nothing is timed."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.contenders import EVENTS
from benchmarks.events import BY_SOCKETIO, CONTENDERS, OURS, ROWS, Row, table
from benchmarks.events_peers import UP, Kind, NativeEvents, SocketIOEvents
from benchmarks.load import Failed, Limit
from benchmarks.peers import BURST
from benchmarks.report import DOCS, write_block
from benchmarks.scenarios import EchoScenario, Figure, Plan

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
@pytest.mark.parametrize("contender", CONTENDERS)
async def test_each_contender_serves_what_it_is_compared_by(contender: str, start: Start) -> None:
    server = await start(CONTENDERS[contender][0])
    for row in ROWS:
        figure = await row.measure(server, contender, TINY)
        least = 4 if row.scenario.unit == "KiB" else 100 * row.kind.events
        assert figure.operations >= least, row.title
        assert figure.operations % row.kind.events == 0
        assert figure.cpu_seconds > 0
        if row.title.startswith("acknowledgement") and "1 in flight" in row.title:
            assert 0 < figure.percentile(0.5) <= figure.percentile(1.0)


@of_servers
@pytest.mark.parametrize("contender", [OURS, BY_SOCKETIO])
async def test_windows_are_used_many_times(contender: str, start: Start) -> None:
    """More packets than a window, both ways, of which several are one post."""
    server = await start(EVENTS)
    many = Plan(measured=Limit(float("inf"), 1500), warm_up=Limit(float("inf"), 1), sessions=2, settle=0.01)
    large = Plan(measured=Limit(float("inf"), 50), warm_up=Limit(float("inf"), 1), sessions=1, size=20_000, settle=0.01)
    for row in ROWS[:4]:
        for plan in (many, large):
            figure = await row.measure(server, contender, plan)
            assert figure.operations >= plan.measured.operations * row.kind.events


@of_servers
@pytest.mark.parametrize("make", [NativeEvents, SocketIOEvents])
async def test_what_is_not_expected_is_a_failure(make: type[NativeEvents | SocketIOEvents], start: Start) -> None:
    """An event less than was said, or another one."""
    server = await start(EVENTS)
    scenario = EchoScenario(name="echo", operation="event", transport="websocket", sessions=1)
    too_few = Kind(lambda text: UP.up(text)[1:], UP.down, BURST)
    another = Kind(lambda text: (b'2["m","other"]',), lambda text: (b'2["m","%b"]' % text,))
    for kind in (too_few, another):
        with pytest.raises(Failed, match=r"not the one expected|not what was expected"):
            await scenario.measure_by(server, partial(make, kind=kind), partial(make, kind=kind), TINY)


def figure(cpu: float, latencies: tuple[float, ...] = ()) -> Figure:
    return Figure(operations=1000, sessions=1000, cpu_seconds=cpu, wall_seconds=1.0, memory=1024, latencies=latencies)


def test_the_table_has_ratios_to_both_and_percentiles() -> None:
    by_title = {row.title: row for row in ROWS}
    acks: Row = by_title["acknowledgement, {sessions} clients, 1 in flight"]
    text = table(
        {
            acks: {
                OURS: [figure(0.02, (0.001,) * 99 + (0.5,))],
                BY_SOCKETIO: [figure(0.01)],
                "Node socket.io": [figure(0.04)],
            },
            ROWS[0]: {OURS: [figure(0.02, (0.001,))]},
            ROWS[-1]: {"Node socket.io": [figure(0.1)]},
        }
    ).splitlines()
    assert text[2].endswith("| round trip | 20.0 µs | 1.00 | 0.50 | 50,000 | 1.0 ms | 500.0 ms |")
    assert text[4] == "|  | Node socket.io | round trip | 40.0 µs | 0.50 | 0.25 | 25,000 |  |  |"
    assert text[5].endswith("| event | 20.0 µs | 1.00 | – | 50,000 |  |  |")  # of many at a time no latency is said
    assert text[6].startswith(
        "| memory of an idle client, 1,000 connected | Node socket.io | client | 0.0 KiB | – | – |"
    )


def test_the_page_has_every_row_of_every_contender() -> None:
    block = (DOCS / "speed.md").read_text("utf-8").partition("<!-- events -->\n")[2].partition("<!-- /events -->")[0]
    lines = [line.split(" | ") for line in block.splitlines() if line.startswith("| ")][1:]
    titles = [line[0].removeprefix("| ") for line in lines if line[0] != "| "]
    assert [re.sub(r"\b\d+,000\b|\b100\b", "{sessions}", title) for title in titles] == [row.title for row in ROWS]
    assert [line[1] for line in lines] == [OURS, BY_SOCKETIO, "python-socketio", "Node socket.io"] * len(ROWS)


def test_a_block_of_a_page_is_written_between_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.report.DOCS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- /x -->\n<!-- y -->\n<!-- /y -->\n", "utf-8")
    for text in ("new", r"\1 and µ"):
        write_block("page.md", "x", text)
        assert page.read_text("utf-8") == f"a\n<!-- x -->\n{text}\n<!-- /x -->\n<!-- y -->\n<!-- /y -->\n"
