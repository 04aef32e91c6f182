"""Runs the whole matrix and the example flashsocket, and writes their tables into docs/browsers.md.

`python -m tests.browsers.matrix [--write] [--fault NAME ... | --flash]`; REALTIME_ENGINES narrows the engines. Exits
with 1 when a cell failed.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import sys

from ..engines import ENGINES, EngineError, started, wanted
from ..harness import serving
from .faults import FAULTS, SETTINGS, Cell, run_cell
from .flash import CHECKS, ENGINE, play, prepare
from .table import write, write_flash


async def flash(to_docs: bool) -> int:
    """The example flashsocket, played."""
    try:
        async with started(ENGINES[ENGINE]()) as engine:
            ruffle = await prepare()
            checks = []
            for name in CHECKS:
                checks.append(await play(engine, name))
                verdict = checks[-1].problem and f"FAILED: {checks[-1].problem}"
                print(f"flashsocket: {checks[-1].words}: {verdict or f'{checks[-1].seconds:.1f} s'}", flush=True)
            played_by = f"Ruffle {ruffle} in {await engine.version()}"
    except EngineError as error:
        print(f"flashsocket: {error}", file=sys.stderr)
        return 1
    if to_docs:
        write_flash(checks, played_by, datetime.datetime.now(datetime.UTC).date())
    return 0 if all(not check.problem for check in checks) else 1


async def matrix(faults: list[str], to_docs: bool) -> int:
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
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--fault", action="append", choices=list(FAULTS), help="only this one; may be given again")
    only.add_argument("--flash", action="store_true", help="only the example flashsocket")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/browsers.md")
    arguments = parser.parse_args()
    failed = 0
    if not arguments.flash:
        failed = asyncio.run(matrix(arguments.fault or list(FAULTS), arguments.write))
    if arguments.flash or (not arguments.fault and ENGINE in wanted()):
        failed |= asyncio.run(flash(arguments.write))
    sys.exit(failed)
