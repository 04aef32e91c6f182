"""The fuzz run, from a shell. `--only N` runs one input again, as the same seed makes it."""

from __future__ import annotations

import argparse
import asyncio
import sys

from .runner import Report, run

parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
parser.add_argument("--count", type=int, default=100_000, help="how many inputs")
parser.add_argument("--seed", type=int, default=1, help="what they are made from")
parser.add_argument("--start", type=int, default=0, help="the number of the first")
parser.add_argument("--only", type=int, metavar="N", help="one input, by its number")
options = parser.parse_args()
numbers = range(options.start, options.start + options.count) if options.only is None else [options.only]
shown = 0


def progress(report: Report) -> None:
    """A line now and then, and every finding at once."""
    global shown
    for number, what in report.findings[shown:]:
        print(f"finding: --seed {options.seed} --only {number}\n{what}", file=sys.stderr, flush=True)
    shown = len(report.findings)
    if report.inputs % 10_000 == 0:
        print(report, flush=True)


outcome = asyncio.run(run(options.seed, numbers, progress))
progress(outcome)
print(outcome)
sys.exit(not outcome.fine)
