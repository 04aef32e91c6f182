"""From figures to the table: medians, the spread of the ratios, and the facts without which a number says nothing."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import realtime

from .scenarios import SCENARIOS, Figure

__all__ = ["DOCS", "Result", "as_json", "facts", "table", "write_block"]

DOCS = Path(__file__).parents[1] / "docs"

OURS, FLOOR = "realtime", "bare aiohttp"


@dataclass(frozen=True)
class Result:
    """One measurement of one contender in one round."""

    scenario: str
    loop: str
    contender: str
    round: int
    figure: Figure

    @property
    def value(self) -> float:
        """The number for the table."""
        return SCENARIOS[self.scenario].value(self.figure)


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def facts(*, pinned: bool, rounds: int, seconds: float, size: int) -> dict[str, str]:
    """What the figures depend on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{_cpu_model()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "pinning": "server on one core, generator on another" if pinned else "none: the two share what cores there are",
        "Python": platform.python_version(),
        "realtime": realtime.__version__,
        "aiohttp": _version("aiohttp"),
        "uvloop": _version("uvloop"),
        "messages": f"{size} bytes",
        "rounds": f"{rounds}, {seconds:g} s each",
    }


def table(results: Sequence[Result], about: dict[str, str]) -> str:
    """The whole report in Markdown."""
    lines = [", ".join(f"{name}: {value}" for name, value in about.items()) + ".", ""]
    lines += [
        "| scenario | per | loop | realtime | bare aiohttp | ratio (median, least–most) |",
        "|---|---|---|---:|---:|---:|",
    ]
    lines += _rows(results)
    return "\n".join(lines)


def _rows(results: Sequence[Result]) -> list[str]:
    rows: dict[tuple[str, str], dict[str, dict[int, Result]]] = {}
    for result in results:
        row = rows.setdefault((result.scenario, result.loop), {})
        row.setdefault(result.contender, {})[result.round] = result
    lines = []
    for (name, loop), by_contender in rows.items():
        scenario = SCENARIOS[name]
        ours, floor = by_contender.get(OURS, {}), by_contender.get(FLOOR, {})
        sessions = next(iter((ours or floor).values())).figure.sessions
        # Each round's pair ran back to back: the ratio is taken there, and not between medians.
        ratios = [ours[number].value / floor[number].value for number in ours if floor.get(number)]
        ratio = f"**{median(ratios):.2f}** ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–"
        lines.append(
            f"| {scenario.title(sessions)} | {scenario.operation} | {loop}"
            f" | {_median(ours.values(), scenario.unit)} | {_median(floor.values(), scenario.unit)} | {ratio} |"
        )
    return lines


def _median(results: Any, unit: str) -> str:
    values = [result.value for result in results]
    return f"{median(values):.1f} {unit}" if values else "–"


def as_json(results: Sequence[Result], about: dict[str, str]) -> dict[str, Any]:
    """Everything that was measured, round by round."""
    return {
        "about": about,
        "results": [
            {
                "scenario": result.scenario,
                "loop": result.loop,
                "contender": result.contender,
                "round": result.round,
                "value": result.value,
                "unit": SCENARIOS[result.scenario].unit,
                "busy": result.figure.busy,
                **asdict(result.figure),
            }
            for result in results
        ],
    }


def write_block(page: str, mark: str, text: str) -> None:
    """Writes what stands between two marks of a page of docs/."""
    path = DOCS / page
    marked = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    before = path.read_text(encoding="utf-8")
    path.write_text(marked.sub(lambda marks: f"{marks[1]}{text}\n{marks[2]}", before), encoding="utf-8")
