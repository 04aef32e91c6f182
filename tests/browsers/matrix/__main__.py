"""Runs the whole matrix and writes its table into docs/browsers.md.

`python -m tests.browsers.matrix [--write] [--fault NAME ...]`; REALTIME_ENGINES narrows the engines. Exits with 1
when a cell failed.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import sys

from ..engines import ENGINES, EngineError, started, wanted
from ..harness import serving
from .faults import FAULTS, SETTINGS, Cell, run_cell
from .table import write


async def main(faults: list[str], to_docs: bool) -> int:
    """Engine by engine, one cell after another."""
    cells: list[Cell] = []
    versions: dict[str, str] = {}
    async with serving(**SETTINGS) as harness:
        for name in wanted():
            try:
                async with started(ENGINES[name]()) as engine:
                    versions[name] = await engine.version()
                    for fault in faults:
                        cell = await run_cell(engine, fault, harness)
                        cells.append(cell)
                        verdict = f"{cell.transport}, {cell.seconds:.1f} s" if cell.ok else f"FAILED: {cell.problem}"
                        print(f"{versions[name]}: {FAULTS[fault].words}: {verdict}", flush=True)
            except EngineError as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
    if to_docs:
        write(cells, versions, datetime.datetime.now(datetime.UTC).date())
    return 0 if all(cell.ok for cell in cells) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browsers.matrix", description=__doc__)
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="only this one; may be given again")
    parser.add_argument("--write", action="store_true", help="put the table into docs/browsers.md")
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.fault or list(FAULTS), arguments.write)))
