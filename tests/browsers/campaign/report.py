"""Many runs, several at a time, and what came out of all of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..abilities import TRANSPORTS, can
from ..engines import Engine, EngineError
from .plan import make_plan
from .run import Result, carry_out

__all__ = ["Report", "campaign"]

TRIES = 3  # of a run, when the browser itself dies in it


@dataclass
class Report:
    """What came out so far."""

    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    sessions: int = 0
    messages: int = 0
    visits: Counter[str] = field(default_factory=Counter)
    broken: list[Result] = field(default_factory=list)
    """Runs with violations."""
    complaints: list[str] = field(default_factory=list)
    """Errors in the server's log, which belong to a run that went on then."""
    seconds: float = 0.0

    @property
    def violations(self) -> int:
        """How many there were."""
        return sum(len(result.violations) for result in self.broken) + len(self.complaints)

    def add(self, result: Result) -> None:
        """A run is over."""
        self.runs += 1
        self.faults += result.faults
        self.sessions += result.sessions
        self.messages += result.messages
        self.visits += result.visits
        if result.violations:
            self.broken.append(result)

    def __str__(self) -> str:
        return (
            f"{self.faults.total()} faults, {self.sessions} sessions, {self.messages} messages,"
            f" {self.violations} violations in {self.runs} runs and {self.seconds:.0f} s"
        )


class _Complaints(logging.Handler):
    """Keeps the errors that are logged."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._into = into
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(self.format(record))


async def campaign(
    engine: Engine,
    seed: int,
    numbers: Iterable[int],
    *,
    faults: int | None = None,
    sessions: int = 5,
    together: int = 6,
    progress: Callable[[Report, Result], None] | None = None,
) -> Report:
    """Carries out the runs of these numbers, `together` at a time, until there were so many `faults`.

    `sessions` is the most that a page opens. Raises EngineError when the browser itself fails.
    """
    report = Report()
    started = time.monotonic()
    waiting = iter(numbers)
    starting = asyncio.Lock()
    transports = [name for name in TRANSPORTS if can(engine.name, name)]
    complaints = _Complaints(report.complaints)
    logging.getLogger().addHandler(complaints)

    async def work() -> None:
        for number in waiting:
            plan = make_plan(seed, number, transports, sessions, pages=engine.pages)
            for attempt in range(TRIES):
                try:
                    async with starting:
                        await engine.version()  # starts it when it is not there, once for all
                    result = await carry_out(plan, engine)
                    break
                except EngineError:
                    if attempt == TRIES - 1:
                        raise
            report.add(result)
            report.seconds = time.monotonic() - started
            if progress is not None:
                progress(report, result)
            if faults is not None and report.faults.total() >= faults:
                break

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(together):
                group.create_task(work())
    except* EngineError as errors:
        raise errors.exceptions[0] from None
    finally:
        logging.getLogger().removeHandler(complaints)
    return report
