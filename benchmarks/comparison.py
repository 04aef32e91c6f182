"""Everything that docs/speed.md quotes, in one run: realtime beside its peers, and how cost grows.

    python -m benchmarks.comparison --write     # about ten minutes, on an idle machine; writes docs/speed*
    python -m benchmarks.comparison --tiny      # does it work? a minute or two, not to quote

Peers that are not installed are left out: `make bench` installs them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from .contenders import ALL, ROOMS
from .load import Failed, Limit
from .loops import LOOPS, new_event_loop
from .plot import bars, lines
from .process import ServerProcess, allowed_files, pin_generator
from .report import DOCS, facts, write_block
from .scenarios import PEERS, SCENARIOS, BroadcastScenario, Figure, Plan, Scenario

__all__ = ["main"]

OURS, TUNED, BARE = "realtime", "realtime, tune_gc()", "bare aiohttp"
BESIDE = (
    *("websocket-echo", "websocket-echo-32", "websocket-broadcast", "websocket-broadcast-16", "opening"),
    *("memory-websocket", "long-polling-echo", "long-polling-broadcast", "memory-long-polling"),
    *("streaming-broadcast", "memory-streaming"),
)
SESSIONS = (100, 1000, 5000, 10_000)
SIZES = (64, 1024, 16_384, 262_144, 1_000_000)
Line = Sequence[tuple[float, float]]


class Comparison:
    """Measures one thing after the other. What fails is said, and has no figure."""

    def __init__(self, plan: Plan, core: int | None, rounds: int, most: int) -> None:
        self.plan = plan
        self.rounds = rounds
        self._core = core
        self._most = most  # sessions, at any time
        self.until = float("inf")  # nothing is begun after this

    async def one(
        self, scenario: Scenario, contender: str, sessions: int | None = None, size: int = 64
    ) -> Figure | None:
        """One figure, of a server process of its own."""
        count = min(sessions or scenario.sessions, self._most)
        if time.monotonic() > self.until:
            print(f"{scenario.name} {contender} {count}: no figure: no time is left", file=sys.stderr)
            return None
        server = None
        try:
            server = await ServerProcess.start(contender, LOOPS[-1], core=self._core)
            figure = await scenario.measure(server, contender, replace(self.plan, sessions=count, size=size))
        except (Failed, OSError) as error:
            print(f"{scenario.name} {contender} {count}: no figure: {error}", file=sys.stderr)
            return None
        finally:
            if server is not None:
                await server.stop()
        said = f"{scenario.value(figure):.1f} {scenario.unit}, {figure.disturbed:.0%} disturbed"
        print(f"{scenario.name} {contender} {count} x {size} bytes: {said}", file=sys.stderr)
        return figure

    async def beside(self) -> dict[str, dict[str, list[Figure]]]:
        """Each scenario with each contender that has it, in turns."""
        found: dict[str, dict[str, list[Figure]]] = {name: defaultdict(list) for name in BESIDE}
        for name in BESIDE:
            scenario = SCENARIOS[name]
            for _ in range(self.rounds):
                for contender in ALL:
                    if contender != TUNED and (contender, scenario.transport) in PEERS:
                        figure = await self.one(scenario, contender)
                        if figure is not None:
                            found[name][contender].append(figure)
        return found

    async def line(self, scenario: Scenario, contender: str, counts: Iterable[int], sizes: bool = False) -> Line:
        """How a figure grows with the sessions, or with the size of messages."""
        points = []
        for count in counts if sizes else (min(count, self._most) for count in counts):
            size = count if sizes else 64
            figure = await self.one(scenario, contender, 10 if sizes else count, size)
            if figure is not None:
                points.append((float(count), scenario.value(figure)))
        return points

    async def growth(self) -> dict[str, dict[str, Line]]:
        """How costs grow: with sessions, rooms, and the size of messages."""
        echo, broadcast = SCENARIOS["websocket-echo"], SCENARIOS["websocket-broadcast"]
        sessions: dict[str, Line] = {}
        for contender in (OURS, TUNED, BARE):
            for name, scenario in (("echo", echo), ("delivery", broadcast)):
                sessions[f"{contender}: {name}"] = await self.line(scenario, contender, SESSIONS)
        rooms: list[tuple[float, float]] = []
        for count in ROOMS:
            name = f"a delivery where each is in {count} rooms"
            scenario = BroadcastScenario(
                name=name, operation="delivery", transport="websocket", sessions=500, listen=f"listen-{count}"
            )
            figure = await self.one(scenario, OURS)
            if figure is not None:
                rooms.append((float(count), scenario.value(figure)))
        sizes = {
            f"{contender}: {name}": await self.line(scenario, contender, SIZES, sizes=True)
            for contender in (OURS, BARE)
            for name, scenario in (("echo", echo), ("delivery", broadcast))
        }
        return {"sessions": sessions, "rooms": {f"{OURS}: delivery": rooms}, "sizes": sizes}


def _value(name: str, figures: Sequence[Figure]) -> float:
    return median(SCENARIOS[name].value(figure) for figure in figures)


def tables(found: Mapping[str, Mapping[str, Sequence[Figure]]], growth: Mapping[str, Mapping[str, Line]]) -> str:
    """What docs/speed.md says, but for the charts."""
    text = ["| | contender | per operation | realtime / this | operations a second of a core | p50 | p99 |"]
    text.append("|---|---|---:|---:|---:|---:|---:|")
    for name, contenders in found.items():
        ours = _value(name, contenders[OURS]) if contenders.get(OURS) else None
        title = SCENARIOS[name].title(next(iter(contenders.values()))[0].sessions) if contenders else name
        for number, (contender, figures) in enumerate(contenders.items()):
            value = _value(name, figures)
            ratio = f"{ours / value:.2f}" if ours and value else "–"
            memory = SCENARIOS[name].unit == "KiB"
            rate = "" if memory else f"{median(figure.throughput for figure in figures):,.0f}"
            late = [f"{median(figure.percentile(part) for figure in figures):.1f} ms" for part in (0.5, 0.99)]
            timed = late if figures[0].latencies else ["", ""]
            cells = ("" if number else title, contender, f"{value:.1f} {SCENARIOS[name].unit}", ratio, rate, *timed)
            text.append(f"| {' | '.join(cells)} |")
    for name, across in (("sessions", "sessions"), ("rooms", "rooms of each session"), ("sizes", "bytes of a message")):
        points = sorted({x for line in growth[name].values() for x, _ in line})
        text += ["", f"| µs, by {across} | " + " | ".join(f"{x:,.0f}" for x in points) + " |"]
        text.append("|---|" + "---:|" * len(points))
        for label, line in growth[name].items():
            values = dict(line)
            text.append(f"| {label} | " + " | ".join(f"{values[x]:.1f}" if x in values else "–" for x in points) + " |")
    return "\n".join(text)


def charts(
    found: Mapping[str, Mapping[str, Sequence[Figure]]], growth: Mapping[str, Mapping[str, Line]]
) -> dict[str, str]:
    """The charts, by the names of their files."""
    groups = {
        SCENARIOS[name].title(SCENARIOS[name].sessions): {who: _value(name, figures) for who, figures in them.items()}
        for name, them in found.items()
        if name in ("websocket-echo", "websocket-broadcast", "opening") and them
    }
    drawn = {"speed-peers.svg": bars("CPU time of the server", groups, "µs")} if groups else {}
    for name, across in (("sessions", "sessions"), ("rooms", "rooms of each session"), ("sizes", "bytes of a message")):
        some = {label: line for label, line in growth[name].items() if line}
        if some:
            drawn[f"speed-{name}.svg"] = lines(f"Cost by {across}", across, "µs of CPU time", some)
    return drawn


async def _run(
    comparison: Comparison, only: str | None, minutes: float
) -> tuple[dict[str, dict[str, list[Figure]]], dict[str, dict[str, Line]]]:
    started = time.monotonic()
    found: dict[str, dict[str, list[Figure]]] = {}
    growth: dict[str, dict[str, Line]] = {"sessions": {}, "rooms": {}, "sizes": {}}
    if only != "growth":
        comparison.until = started + minutes * 60 * (1.0 if only else 0.65)
        found = await comparison.beside()
    if only != "beside":
        comparison.until = started + minutes * 60
        growth = await comparison.growth()
    return found, growth


def main() -> None:
    """Measures, and prints or writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparison")
    parser.add_argument("--write", action="store_true", help="writes docs/speed.md and docs/speed-*.svg")
    parser.add_argument("--tiny", action="store_true", help="few sessions, one round: to see that it works")
    parser.add_argument("--seconds", type=float, default=0.8, help="how long each measurement takes (0.8)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each contender is measured, in turns (2)")
    parser.add_argument("--minutes", type=float, default=11.0, help="begins nothing after that (11)")
    parser.add_argument("--only", choices=("beside", "growth"), help="one half of it, which is then only printed")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--only is one half, and docs/speed.md has both")
    started = time.monotonic()
    seconds = 0.2 if arguments.tiny else arguments.seconds
    most = 50 if arguments.tiny else SESSIONS[-1]
    rounds = 1 if arguments.tiny else arguments.rounds
    most = min(most, (allowed_files(2 * most + 200) - 200) // 2)
    core = pin_generator()
    comparison = Comparison(Plan(measured=Limit(seconds), warm_up=Limit(min(0.3, seconds))), core, rounds, most)
    with asyncio.Runner(loop_factory=new_event_loop(LOOPS[-1])) as runner:
        found, growth = runner.run(_run(comparison, arguments.only, arguments.minutes))
    about = facts(pinned=core is not None, rounds=rounds, seconds=seconds, size=64)
    every = [figure for them in found.values() for figures in them.values() for figure in figures]
    disturbed = sum(figure.disturbed > 0.05 for figure in every)
    about["disturbed by other processes"] = f"{disturbed} of {len(every)} measurements beside peers"
    if most < SESSIONS[-1]:
        about["most sessions"] = f"{most}: more open files are not allowed here"
    about["took"] = f"{(time.monotonic() - started) / 60:.1f} minutes"
    text = ", ".join(f"{name}: {value}" for name, value in about.items()) + ".\n\n" + tables(found, growth)
    if not arguments.write:
        print(text)
        return
    write_block("speed.md", "comparison", text)
    for name, chart in charts(found, growth).items():
        (DOCS / name).write_text(chart, encoding="utf-8")


if __name__ == "__main__":
    main()
