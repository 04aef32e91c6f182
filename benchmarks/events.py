"""Events and acknowledgements: realtime's, by its own client and by Socket.IO's, beside python-socketio and Socket.IO.

    python -m benchmarks.events --write     # about eight minutes, on an idle machine; writes a table into docs/speed.md
    python -m benchmarks.events --tiny      # does it work? two minutes, not to quote

The peers that are not installed are left out: `make bench` installs them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from .contenders import EVENTS, SERVED
from .events_peers import ACK, DOWN, EVENT, UP, Kind, NativeEvents, SocketIOEvents
from .load import Failed, Limit
from .loops import LOOPS, new_event_loop
from .peers import NODE
from .process import ServerProcess, allow_files, pin_generator
from .report import facts, write_block
from .scenarios import (
    BroadcastScenario,
    EchoScenario,
    Figure,
    MakePeer,
    MemoryScenario,
    OpeningScenario,
    Plan,
    Scenario,
)

__all__ = ["CONTENDERS", "ROWS", "main", "measure", "table"]

OURS, BY_SOCKETIO = "realtime, its own client", "realtime, Socket.IO's client"
# Who is compared: the server that serves it, and its sessions.
CONTENDERS: dict[str, tuple[str, type[NativeEvents | SocketIOEvents]]] = {
    OURS: (EVENTS, NativeEvents),
    BY_SOCKETIO: (EVENTS, SocketIOEvents),
    **{name: (name, SocketIOEvents) for name in ("python-socketio", "Node socket.io") if name in {*SERVED, *NODE}},
}
DISTURBED = 0.05


@dataclass(frozen=True)
class Row:
    """One thing that is compared."""

    title: str
    operation: str
    scenario: Scenario
    kind: Kind = EVENT

    async def measure(self, server: ServerProcess, contender: str, plan: Plan) -> Figure:
        """One figure. Raises Failed when an event is lost, repeated or out of order, or miscounted."""
        make: MakePeer = partial(CONTENDERS[contender][1], kind=self.kind)
        figure = await self.scenario.measure_by(server, make, make, plan)
        return replace(figure, operations=figure.operations * self.kind.events)


def _echo(title: str, operation: str, kind: Kind, in_flight: int = 1) -> Row:
    scenario = EchoScenario(name=title, operation=operation, transport="websocket", sessions=100, in_flight=in_flight)
    return Row(title, operation, scenario, kind)


def _broadcast(in_flight: int, how: str) -> Row:
    scenario = BroadcastScenario(
        name="broadcast", operation="delivery", transport="websocket", sessions=1000, in_flight=in_flight
    )
    return Row(f"broadcast to {{sessions}}, {how}", "delivery", scenario)


ROWS: tuple[Row, ...] = (
    _echo("{sessions} clients emit, 16 events at a time", "event", UP),
    _echo("the server emits to {sessions} clients, 16 events at a time", "event", DOWN),
    _echo("acknowledgement, {sessions} clients, 1 in flight", "round trip", ACK),
    _echo("acknowledgement, {sessions} clients, 32 in flight", "round trip", ACK, 32),
    _broadcast(1, "one at a time"),
    _broadcast(16, "16 in flight"),
    Row(
        "connect, up to {sessions}",
        "client",
        OpeningScenario(name="connect", operation="client", transport="websocket", sessions=1000),
    ),
    Row(
        "memory of an idle client, {sessions} connected",
        "client",
        MemoryScenario(name="memory", operation="client", transport="websocket", sessions=2000),
    ),
)


async def measure(rows: Sequence[Row], plan: Plan, rounds: int, core: int | None) -> dict[Row, dict[str, list[Figure]]]:
    """Each with each contender, in turns, each time with a server process of its own. What fails has no figure."""
    found: dict[Row, dict[str, list[Figure]]] = {}
    for row in rows:
        figures = found[row] = defaultdict(list)
        for _ in range(rounds):
            for contender, (served, _) in CONTENDERS.items():
                server = None
                try:
                    server = await ServerProcess.start(served, LOOPS[-1], core=core)
                    figure = await row.measure(server, contender, plan)
                except (Failed, OSError) as error:
                    print(f"{row.title}, {contender}: no figure: {error}", file=sys.stderr)
                    continue
                finally:
                    if server is not None:
                        await server.stop()
                figures[contender].append(figure)
                said = f"{row.scenario.value(figure):.1f} {row.scenario.unit}, {figure.disturbed:.0%} disturbed"
                print(f"{row.title.format(sessions=figure.sessions)}, {contender}: {said}", file=sys.stderr)
    return found


def table(found: Mapping[Row, Mapping[str, Sequence[Figure]]]) -> str:
    """The table in Markdown. Ratios are those of medians: below 1 realtime, by one client or the other, spends less."""
    text = ["| | contender | per | CPU or memory | own / this | Socket.IO's / this | a second of a core | p50 | p99 |"]
    text.append("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for row, contenders in found.items():
        unit = row.scenario.unit
        values = {name: median(map(row.scenario.value, figures)) for name, figures in contenders.items()}
        for number, (name, figures) in enumerate(contenders.items()):
            title = "" if number else row.title.format(sessions=f"{figures[0].sessions:,}")
            ratios = [f"{values[ours] / values[name]:.2f}" if ours in values else "–" for ours in (OURS, BY_SOCKETIO)]
            rate = "" if unit == "KiB" else f"{median(figure.throughput for figure in figures):,.0f}"
            late = [f"{median(figure.percentile(part) for figure in figures):.1f} ms" for part in (0.5, 0.99)]
            timed = late if row.kind.events == 1 and figures[0].latencies else ["", ""]
            cells = (title, name, row.operation, f"{values[name]:.1f} {unit}", *ratios, rate, *timed)
            text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text)


def main() -> None:
    """Measures, and prints or writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events")
    parser.add_argument("--write", action="store_true", help="writes the table into docs/speed.md")
    parser.add_argument("--tiny", action="store_true", help="few clients, one round: to see that it works")
    parser.add_argument("--seconds", type=float, default=0.8, help="how long each measurement takes (0.8)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender is measured, in turns (3)")
    parser.add_argument("--rows", default="", help="numbers of rows, separated by commas, from 1; all by default")
    arguments = parser.parse_args()
    if arguments.write and (arguments.rows or arguments.tiny):
        parser.error("docs/speed.md has all rows, and none that are --tiny")
    started = time.monotonic()
    seconds, rounds = (0.2, 1) if arguments.tiny else (arguments.seconds, arguments.rounds)
    rows = [ROWS[int(number) - 1] for number in arguments.rows.split(",") if number] or list(ROWS)
    plan = Plan(measured=Limit(seconds), warm_up=Limit(min(0.3, seconds)), sessions=20 if arguments.tiny else None)
    allow_files(max(row.scenario.files(plan.sessions or row.scenario.sessions) for row in rows))
    core = pin_generator()
    with asyncio.Runner(loop_factory=new_event_loop(LOOPS[-1])) as runner:
        found = runner.run(measure(rows, plan, rounds, core))
    about = facts(pinned=core is not None, rounds=rounds, seconds=seconds, size=plan.size)
    every = [figure for them in found.values() for figures in them.values() for figure in figures]
    disturbed = sum(figure.disturbed > DISTURBED for figure in every)
    worst = max((figure.disturbed for figure in every), default=0.0)
    about["disturbed by other processes"] = f"{disturbed} of {len(every)} measurements, for {worst:.0%} of one at most"
    about["took"] = f"{(time.monotonic() - started) / 60:.1f} minutes"
    text = ", ".join(f"{name}: {value}" for name, value in about.items()) + ".\n\n" + table(found)
    if arguments.write:
        write_block("speed.md", "events", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
