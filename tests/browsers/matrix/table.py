"""The matrix and what became of the example flashsocket, as tables of Markdown; their places in docs/browsers.md."""

from __future__ import annotations

import datetime
from pathlib import Path

from ..abilities import GAPS, MOCKED, ONLY
from ..engines import ENGINES
from .faults import FAULTS, Cell
from .flash import Check

__all__ = ["DOCUMENT", "render", "write", "write_flash"]

DOCUMENT = Path(__file__).parents[3] / "docs" / "browsers.md"
BEGIN = "<!-- written by `make matrix` -->"
BEGIN_FLASH = "<!-- written by `make matrix`: flashsocket -->"
END = "<!-- end -->"


def render(cells: list[Cell], versions: dict[str, str], date: datetime.date) -> str:
    """Engines, gaps and cells, as text."""
    lines = [f"Run on {date.isoformat()}.", "", "| engine | version | stands for |", "|---|---|---|"]
    lines += [f"| {name} | {version} | {ENGINES[name].stands_for} |" for name, version in versions.items()]
    lines += ["", "| engine | cannot run | because |", "|---|---|---|"]
    lines += [f"| {engine} | {what} | {reason} |" for (engine, what), reason in GAPS.items() if engine in versions]
    lines += [f"| {name} | all but {ONLY[name][0]} here | {ONLY[name][1]} |" for name in versions if name in ONLY]
    lines += ["", "| tested against mocks, for want of the real thing | how |", "|---|---|"]
    lines += [f"| {what} | {how} |" for what, how in MOCKED.items()]
    found = {(cell.engine, cell.fault): cell for cell in cells}
    lines += ["", "| fault | " + " | ".join(versions) + " |", "|---|" + "---|" * len(versions)]
    for fault, trouble in FAULTS.items():
        row = [_cell(found.get((name, fault))) for name in versions]
        if any(row):
            lines.append(f"| {trouble.words} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.transport} {cell.seconds:.1f} s" if cell.ok else "**failed**"


def write(cells: list[Cell], versions: dict[str, str], date: datetime.date) -> None:
    """Puts the table between its marks."""
    _put(BEGIN, render(cells, versions, date))


def write_flash(checks: list[Check], played_by: str, date: datetime.date) -> None:
    """Puts what became of the example flashsocket between its marks."""
    lines = [f"Run on {date.isoformat()}, by {played_by}.", "", "| what | |", "|---|---|"]
    lines += [f"| {check.words} | {'**failed**' if check.problem else f'{check.seconds:.1f} s'} |" for check in checks]
    _put(BEGIN_FLASH, "\n".join(lines))


def _put(begin: str, table: str) -> None:
    text = DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{begin}\n\n{table}\n\n{END}{after}", "utf-8")
