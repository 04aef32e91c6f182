"""A rolling restart: four workers end one after another, each is started anew, and their sessions go to the others.

    python -m tests.chaos.rolling [--sessions 500] [--rate 50]
    python -m tests.chaos.rolling --durable [--sessions 500]

It prints how many sessions were opened in the busiest second, which has to be no more than a fifth above the rate that
workers are told to let theirs go at, and what was lost, which has to be nothing. Of durable sessions none ends; it
prints for how long they waited when their worker went, and what share of the processors was idle meanwhile.
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
from .durable import DurableClient, handled_at, left, waited
from .fleet import BALANCERS, Fleet
from .outlived import Outlived, judge_outlived, pauses, percentile

__all__ = ["busiest", "main", "roll", "roll_durable"]

PATIENCE = 60.0
TOLERANCE = 1.2
LONGEST = 1.0  # seconds below which 99 of 100 durable sessions wait


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


def processors() -> tuple[int, int]:
    """For how long they were idle, and for how long they were at all, in hundredths of a second (proc(5))."""
    times = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return times[3] + times[4], sum(times)


async def roll_durable(
    place: Path, *, sessions: int, workers: int = 4, lease: float = 10.0, transport: str = "websocket"
) -> tuple[Counter[str], list[str], list[str], float]:
    """What was counted, what is wrong, what is to be said, and below what 99 of 100 pauses were."""
    told: list[Outlived] = []
    counts: Counter[str] = Counter()
    fleet = Fleet(place, workers, lease)
    async with fleet.running():
        urls = [fleet.urls[name] for name in BALANCERS]
        crowd = [
            DurableClient(urls[number % len(urls)], transport, number, told.append, calm=True)
            for number in range(sessions)
        ]
        running = []
        for one in crowd:
            running.append(asyncio.create_task(one.run()))
            await asyncio.sleep(0.005)
        for one in crowd:
            await asyncio.wait_for(one.begun.wait(), PATIENCE)
        began, (idle, all_of_it) = time.monotonic(), processors()
        for worker in fleet.workers:
            worker.terminate()
            await worker.gone()
            worker.start()
            await worker.ready()
        counts["seconds for all restarts"] = round(time.monotonic() - began)
        idle, all_of_it = (after - before for after, before in zip(processors(), (idle, all_of_it), strict=True))
        wrong = await left(crowd, running)
        handled = await handled_at(place, told)
        for session in told:
            wrong += judge_outlived(session, handled, [])
            counts["sessions that their clients closed" if session.asked else "sessions that ended"] += 1
            counts["messages that came back"] += session.received
        if len(told) != sessions:
            wrong.append(f"{sessions} clients had {len(told)} sessions")
        found = pauses(told, fleet.harms())
        if len(found.get("terminated", ())) < sessions / workers:
            wrong.append("hardly a session had to move")
        said = [*waited(found), f"{idle / max(1, all_of_it):>9.0%} of the processors idle while workers were restarted"]
        complaints = place / "complaints"
        if complaints.exists():
            wrong += complaints.read_text().splitlines()
    return counts, wrong, said, percentile(found.get("terminated", [0.0]), 0.99)


def main() -> int:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.rolling", description=__doc__)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50.0, help="sessions that a worker lets go in a second (50)")
    parser.add_argument("--durable", action="store_true", help="durable sessions, which go on")
    arguments = parser.parse_args()
    logging.getLogger("realtime").setLevel(logging.ERROR)
    gc.disable()  # where the clients stand still for a moment, all that were let go meanwhile would come back at once
    place = Path(tempfile.mkdtemp(prefix="rt-"))
    said: list[str] = []
    if arguments.durable:
        counts, wrong, said, pause = asyncio.run(roll_durable(place, sessions=arguments.sessions))
        if pause > LONGEST:
            wrong.append(f"1 of 100 sessions waited {pause:.2f} s or more, and {LONGEST:g} s are allowed")
    else:
        counts, wrong = asyncio.run(roll(place, sessions=arguments.sessions, rate=arguments.rate))
    for name, count in counts.items():
        print(f"{count:>9,} {name}")
    for line in said:
        print(line)
    for one in wrong:
        print(f"WRONG {one}")
    shutil.rmtree(place)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
