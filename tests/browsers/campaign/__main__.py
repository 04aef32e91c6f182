"""The campaign, from a shell. `--only K` carries out one run again, as the same seed makes it. Exits with 1 when
anything was violated."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections.abc import Callable, Iterable

from ..engines import ENGINES, Engine, EngineError, Node, started
from .report import Report, campaign
from .run import Result

KINDS: dict[str, Callable[[], Engine]] = {
    **{name: ENGINES[name] for name in ("chromium", "firefox", "webkitgtk")},
    "node": Node,
}

parser = argparse.ArgumentParser(prog="python -m tests.browsers.campaign", description=__doc__)
parser.add_argument("--faults", type=int, default=2000, help="how many, at least, in each engine")
parser.add_argument("--seed", type=int, default=1, help="what the runs are made from")
parser.add_argument("--start", type=int, default=0, help="the number of the first run")
parser.add_argument("--only", type=int, metavar="K", help="one run, by its number, with all that happened in it")
parser.add_argument("--engine", action="append", choices=KINDS, help="all unless told")
parser.add_argument("--sessions", type=int, default=5, help="how many a page opens at most")
parser.add_argument("--together", type=int, default=6, help="how many pages at a time")
options = parser.parse_args()
shown = 0  # complaints


def progress(report: Report, result: Result) -> None:
    """A violation at once, with all that happened in its run; a line now and then."""
    global shown
    for complaint in report.complaints[shown:]:
        print(f"  VIOLATION logged, beside run {result.plan.number}: {complaint}")
    shown = len(report.complaints)
    if result.violations or options.only is not None:
        print(result, flush=True)
    elif report.runs % 20 == 0:
        print(report, flush=True)


async def main() -> int:
    """Engine by engine."""
    global shown
    violations = 0
    for name in options.engine or KINDS:
        numbers: Iterable[int] = itertools.count(options.start) if options.only is None else [options.only]
        shown = 0
        try:
            async with started(KINDS[name]()) as engine:
                version = await engine.version()
                report = await campaign(
                    engine,
                    options.seed,
                    numbers,
                    faults=options.faults,
                    sessions=options.sessions,
                    together=options.together,
                    progress=progress,
                )
        except EngineError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(report.faults.items()))
        print(f"{version}: {kinds}")
        if report.visits:
            became = ", ".join(f"{count} {what}" for what, count in sorted(report.visits.items()))
            print(f"{version}: pages to which the user came back: {became}")
        print(f"{version}: {report}", flush=True)
        violations += report.violations
    return 1 if violations else 0


sys.exit(asyncio.run(main()))
