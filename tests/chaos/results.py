"""What both storms see, how they are asked for, and how that is told."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from .account import Session
from .storm import Storm

__all__ = ["Result", "main", "options"]

S = TypeVar("S", bound=Session)


@dataclass
class Result(Generic[S]):
    """What was seen."""

    sessions: list[S] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)  # besides, in words

    def count(self, judged: Callable[[S], Iterable[str]], storm: Storm, place: Path) -> None:
        """Adds up what became of the sessions, each of which is judged, what was done to the workers, and what those
        complain of."""
        for session in self.sessions:
            self.wrong += judged(session)
            self.counts[f"sessions: {session.client} over {session.transport}"] += 1
            self.counts["messages that came back"] += session.received
        self.wrong += storm.missing
        self.counts.update(storm.done)
        self.counts.update({f"killed in the middle of a {what}": count for what, count in storm.hit.items()})
        complaints = place / "complaints"
        if complaints.exists():
            self.wrong += complaints.read_text().splitlines()


def options(prog: str, about: str | None, every: float) -> argparse.ArgumentParser:
    """What both are asked with."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long harm is done, at least (60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=24, help="of Python's (24)")
    parser.add_argument("--every", type=float, default=every, help=f"seconds from one harm to the next ({every:g})")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds for which Redis stands still (5)")
    parser.add_argument("--lease", type=float, default=10.0, help="of workers, in seconds (10)")
    parser.add_argument("--keep", action="store_true", help="keeps the directory with the logs")
    return parser


def main(play: Callable[..., Awaitable[Result[Any]]], *, keep: bool, **given: Any) -> int:
    """The process: one storm, and what came of it."""

    async def played() -> Result[Any]:
        return await play(place, **given)

    logging.getLogger("realtime").setLevel(logging.ERROR)
    place = Path(tempfile.mkdtemp(prefix="rt-"))
    began = time.monotonic()
    result = asyncio.run(played())
    for name, count in sorted(result.counts.items()):
        print(f"{count:>9,} {name}")
    for line in result.said:
        print(line)
    print(f"{time.monotonic() - began:>9.1f} s")
    for wrong in result.wrong:
        print(f"WRONG {wrong}")
    if result.wrong or keep:
        print(f"logs: {place}")
    else:
        shutil.rmtree(place)
    return 1 if result.wrong else 0
