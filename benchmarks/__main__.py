"""The command: `python -m benchmarks [scenario ...]` prints a Markdown table, and progress on standard error."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from .contenders import CONTENDERS
from .load import Failed, Limit
from .loops import LOOPS, new_event_loop
from .messages import Messages
from .process import ServerProcess, allow_files, pin_generator
from .report import Result, as_json, facts, table
from .scenarios import SCENARIOS, Figure, Plan, Scenario

# Above this part of the time in which other processes had the cores, a measurement is made again, so often.
DISTURBED = 0.05
ATTEMPTS = 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="CPU time of a realtime server, beside that of bare aiohttp."
    )
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured, in turns (5)")
    parser.add_argument("--seconds", type=float, default=2.5, help="how long each measurement takes (2.5)")
    parser.add_argument("--loop", choices=LOOPS, help="the servers' event loop; by default all that are installed")
    parser.add_argument("--size", type=int, default=64, help="bytes of a message (64)")
    parser.add_argument("--sessions", type=int, help="how many sessions, instead of each scenario's own number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every single figure, too")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.5 s: to see that it works, not to quote")
    arguments = parser.parse_args()
    for name in arguments.scenarios:
        if name not in SCENARIOS:
            parser.error(f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}")
    if arguments.size < Messages.SMALLEST:
        parser.error(f"--size must be at least {Messages.SMALLEST}: each message has its number in it")
    if arguments.rounds < 1 or arguments.seconds <= 0 or (arguments.sessions or 1) < 1:
        parser.error("--rounds and --sessions count from 1, and --seconds is above 0")
    arguments.scenarios = list(dict.fromkeys(arguments.scenarios)) or list(SCENARIOS)
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 0.5
    return arguments


async def _run(arguments: argparse.Namespace, core: int | None) -> list[Result]:
    """All rounds of all scenarios. A fresh server for each measurement; contenders take turns within a round."""
    results: list[Result] = []
    plan = Plan(
        measured=Limit(arguments.seconds),
        warm_up=Limit(min(0.5, arguments.seconds)),
        size=arguments.size,
        sessions=arguments.sessions,
    )
    for name in arguments.scenarios:
        scenario = SCENARIOS[name]
        for number in range(1, arguments.rounds + 1):
            for loop in (arguments.loop,) if arguments.loop else LOOPS:
                for contender in CONTENDERS:
                    figure = await _undisturbed(scenario, contender, loop, core, plan)
                    result = Result(name, loop, contender, number, figure)
                    results.append(result)
                    print(
                        f"{name} {number}/{arguments.rounds} {loop} {contender}: {result.value:.1f} {scenario.unit}"
                        f" x {figure.operations:,}, server {figure.busy:.0%} busy, {figure.disturbed:.0%} disturbed",
                        file=sys.stderr,
                    )
    return results


async def _undisturbed(scenario: Scenario, contender: str, loop: str, core: int | None, plan: Plan) -> Figure:
    """Measures until other processes left the cores alone, a few times at most; then what was disturbed least.

    What is looked at is only how long the two waited for a core, never what came out.
    """
    figures: list[Figure] = []
    while True:
        server = await ServerProcess.start(contender, loop, core=core)
        try:
            figures.append(await scenario.measure(server, contender, plan))
        finally:
            await server.stop()
        best = min(figures, key=lambda figure: figure.disturbed)
        if core is None or scenario.unit == "KiB" or best.disturbed <= DISTURBED or len(figures) == ATTEMPTS:
            return best
        print("disturbed by other processes: once more", file=sys.stderr)


def main() -> None:
    """Measures, and prints the table."""
    arguments = _arguments()
    chosen = [SCENARIOS[name] for name in arguments.scenarios]
    try:
        allow_files(max(scenario.files(arguments.sessions or scenario.sessions) for scenario in chosen))
        core = pin_generator()
        with asyncio.Runner(loop_factory=new_event_loop(LOOPS[-1])) as runner:
            results = runner.run(_run(arguments, core))
    except (Failed, OSError) as error:
        sys.exit(f"no figures: {error}")
    about = facts(pinned=core is not None, rounds=arguments.rounds, seconds=arguments.seconds, size=arguments.size)
    if core is not None:
        disturbed = [result for result in results if result.figure.disturbed > DISTURBED]
        about["disturbed by other processes"] = f"{len(disturbed)} of {len(results)} measurements"
    print(table(results, about))
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(results, about), indent=1) + "\n")


if __name__ == "__main__":
    main()
