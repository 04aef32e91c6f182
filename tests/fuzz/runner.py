"""Runs inputs in rounds, each input pure or a scene; after each round the house is empty, and memory flat."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from . import pure, scenes
from .dice import Dice
from .house import House, Memory, house

__all__ = ["Report", "run"]

ROUND = 1000
TOGETHER = 8  # scenes at a time
WARM_UP = 2  # rounds, before memory is compared
# What memory may grow by, from after the warm-up to the end: blocks of Python's allocator, and bytes.
GROWTH = Memory(20_000, 24_000_000)


@dataclass
class Report:
    """What came out."""

    inputs: int = 0
    findings: list[tuple[int, str]] = field(default_factory=list)  # the input's number, or the round's first
    statuses: Counter[int] = field(default_factory=Counter)
    first: Memory | None = None  # after the warm-up
    last: Memory | None = None
    seconds: float = 0.0

    @property
    def fine(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        lines = [f"{self.inputs} inputs in {self.seconds:.0f} s, {len(self.findings)} findings", f"answers {answers}"]
        if self.first and self.last:
            lines.append(
                f"memory first {self.first.blocks} blocks, {self.first.resident / 1e6:.1f} MB;"
                f" last {self.last.blocks} blocks, {self.last.resident / 1e6:.1f} MB"
            )
        return "\n".join(lines)


async def run(
    seed: int, numbers: Iterable[int], progress: Callable[[Report], None] | None = None, *, stop_after: int = 20
) -> Report:
    """Runs the inputs of these numbers; gives up after so many findings."""
    report = Report()
    started = time.monotonic()
    numbers = list(numbers)
    async with house() as under:
        for start in range(0, len(numbers), ROUND):
            await _round(under, seed, numbers[start : start + ROUND], report)
            report.seconds = time.monotonic() - started
            if start // ROUND >= WARM_UP:
                report.last = Memory.now()
                report.first = report.first or report.last
            if progress is not None:
                progress(report)
            if len(report.findings) >= stop_after:
                break
    if report.first and report.last:
        grown = [after - before for before, after in zip(report.first, report.last, strict=True)]
        if any(much > allowed for much, allowed in zip(grown, GROWTH, strict=True)):
            report.findings.append((numbers[-1], f"memory grew by {grown[0]} blocks and {grown[1]} bytes"))
    return report


async def _round(under: House, seed: int, numbers: list[int], report: Report) -> None:
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            dice = Dice(seed, number)
            report.inputs += 1
            try:
                if dice.chance(0.5):
                    pure.run(dice)
                else:
                    report.statuses.update(await scenes.run(under, dice))
            except Exception:
                report.findings.append((number, traceback.format_exc(limit=-4)))
            if under.complaints.heard:
                heard, under.complaints.heard = under.complaints.heard, []
                report.findings.append((number, f"logged (by this input or one beside it): {heard}"))

    async with asyncio.TaskGroup() as group:
        over = asyncio.Event()
        group.create_task(_greet(under, over))
        await asyncio.wait([group.create_task(work()) for _ in range(TOGETHER)])
        over.set()
    try:
        await under.wind_down()
    except Exception:
        report.findings.append((numbers[0], "after the round: " + traceback.format_exc(limit=-4)))


async def _greet(under: House, over: asyncio.Event) -> None:
    """The healthy sessions speak while the round goes on, and time passes."""
    while not over.is_set():
        await under.greet()
        under.clock.advance(1.0)
        await asyncio.sleep(0.01)
