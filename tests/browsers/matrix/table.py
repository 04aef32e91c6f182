"""The matrix as a table of Markdown, and its place in docs/browsers.md."""

from __future__ import annotations

import datetime
from pathlib import Path

from ..abilities import GAPS, ONLY
from ..engines import ENGINES
from .faults import FAULTS, Cell

__all__ = ["DOCUMENT", "render", "write"]

DOCUMENT = Path(__file__).parents[3] / "docs" / "browsers.md"
BEGIN = "<!-- written by `make matrix` -->"
END = "<!-- end -->"


def render(cells: list[Cell], versions: dict[str, str], date: datetime.date) -> str:
    """Engines, gaps and cells, as text."""
    lines = [f"Run on {date.isoformat()}.", "", "| engine | version | stands for |", "|---|---|---|"]
    lines += [f"| {name} | {version} | {ENGINES[name].stands_for} |" for name, version in versions.items()]
    lines += ["", "| engine | cannot run | because |", "|---|---|---|"]
    lines += [f"| {engine} | {what} | {reason} |" for (engine, what), reason in GAPS.items() if engine in versions]
    lines += [f"| {name} | all but {ONLY[name][0]} here | {ONLY[name][1]} |" for name in versions if name in ONLY]
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
    text = DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{render(cells, versions, date)}\n\n{END}{after}", "utf-8")
