"""A rolling restart: four workers end one after another, each is started anew, and their sessions go to the others.

    python -m tests.chaos.rolling [--sessions 500] [--rate 50]

It prints how many sessions were opened in the busiest second, which has to be no more than a fifth above the rate that
workers are told to let theirs go at, and what was lost, which has to be nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import shutil
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from pathlib import Path

from .account import Session, judge
from .clients import PythonClient
from .fleet import BALANCERS, Fleet

__all__ = ["busiest", "main", "roll"]

PATIENCE = 60.0
TOLERANCE = 1.2


def busiest(times: list[float]) -> int:
    """How many of these, in seconds, are in the second that has most."""
    ordered = sorted(times)
    return max((number + 1 - bisect_left(ordered, at - 1.0) for number, at in enumerate(ordered)), default=0)


async def roll(
    place: Path, *, sessions: int, rate: float, workers: int = 4, lease: float = 2.0
) -> tuple[Counter[str], list[str]]:
    """What was counted, and what is wrong."""
    told: list[Session] = []
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    fleet = Fleet(place, workers, lease, drain_rate=rate)
    async with fleet.running():
        urls = [fleet.urls[name] for name in BALANCERS]
        crowd = [
            PythonClient(urls[number % len(urls)], "websocket", number, told.append, calm=True)
            for number in range(sessions)
        ]
        running = []
        for one in crowd:
            running.append(asyncio.create_task(one.run()))
            await asyncio.sleep(0.005)
        for one in crowd:
            await asyncio.wait_for(one.begun.wait(), PATIENCE)
        began = time.monotonic()
        for worker in fleet.workers:
            worker.terminate()
            await worker.gone()
            worker.start()
            await worker.ready()
        took = time.monotonic() - began
        for one in crowd:
            await asyncio.wait_for(one.begun.wait(), PATIENCE)
        opens = [float(line) for line in (place / "opens").read_text().split()]
        for one in crowd:
            one.leave()
        _, stuck = await asyncio.wait(running, timeout=PATIENCE)
        wrong += [f"{len(stuck)} clients do not end"] if stuck else []
        for session in told:
            wrong += judge(session, fleet.fate(session.owner) if session.owner else "", 0)
            counts[
                "sessions that their clients closed" if session.asked else f"sessions that ended with {session.code}"
            ] += 1
            counts["messages that came back"] += session.received
        counts["opens in the busiest second"] = most = busiest([at for at in opens if at > began])
        counts["opens while workers were restarted"] = sum(at > began for at in opens)
        counts["seconds for all restarts"] = round(took)
        if most > rate * TOLERANCE:
            wrong.append(f"{most} sessions were opened in one second, and {rate:g} are let go")
        moved = counts["opens while workers were restarted"]
        if moved < sessions / workers:
            wrong.append(f"only {moved} sessions had to move")
    return counts, wrong


def main() -> int:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.rolling", description=__doc__)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50.0, help="sessions that a worker lets go in a second (50)")
    arguments = parser.parse_args()
    logging.getLogger("realtime").setLevel(logging.ERROR)
    gc.disable()  # where the clients stand still for a moment, all that were let go meanwhile would come back at once
    place = Path(tempfile.mkdtemp(prefix="rt-"))
    counts, wrong = asyncio.run(roll(place, sessions=arguments.sessions, rate=arguments.rate))
    for name, count in counts.items():
        print(f"{count:>9,} {name}")
    for one in wrong:
        print(f"WRONG {one}")
    shutil.rmtree(place)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
