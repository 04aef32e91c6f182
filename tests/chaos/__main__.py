"""The command: see this folder's __init__."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from .account import Session, judge
from .clients import Crowd, PythonClient
from .fleet import BALANCERS, Fleet
from .storm import Storm
from .worker import ROOMS

__all__ = ["Result", "main", "play"]

TRANSPORTS = ("websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling")
STRANGERS = (
    *("javascript websocket", "javascript xhr_streaming", "javascript long_polling", "javascript polling"),
    *("javascript jsonp", "javascript htmlfile"),
    *("sockjs websocket", "sockjs xhr-streaming", "sockjs xhr-polling", "sockjs eventsource"),
    *("engineio websocket", "engineio polling", "engineio polling+websocket", "raw websocket"),
)
LATE = 60.0  # seconds in which all has to be heard when the harm is over


@dataclass
class Result:
    """What was seen."""

    sessions: list[Session] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Publishing:
    """Numbers to each room, at one worker or another, one behind the other."""

    def __init__(self, fleet: Fleet) -> None:
        self.maybe: dict[str, set[int]] = {room: set() for room in ROOMS}  # nobody knows
        self.never: dict[str, set[int]] = {room: set() for room in ROOMS}  # they were not
        self.last = dict.fromkeys(ROOMS, -1)
        self.over = False
        self._fleet = fleet

    async def publish(self, client: aiohttp.ClientSession, room: str) -> None:
        """Until it is over; the last one is published for certain."""
        for number in itertools.count():
            last = self.over
            worker = self._fleet.workers[number % len(self._fleet.workers)]
            url = f"http://127.0.0.1:{worker.port}/publish"
            try:
                async with client.post(url, params={"room": room, "number": str(number)}) as answer:
                    status = answer.status
            except aiohttp.ClientConnectorError:
                status = 409
            except (aiohttp.ClientError, OSError):
                status = 503
            if status == 200:
                self.last[room] = number
                if last:
                    return
            else:
                (self.never if status == 409 else self.maybe)[room].add(number)
            await asyncio.sleep(0.03)


async def play(
    place: Path,
    *,
    seconds: float,
    seed: int,
    workers: int,
    clients: int,
    every: float = 10.0,
    pause: float = 5.0,
    lease: float = 10.0,
    transports: Sequence[str] = TRANSPORTS,
    strangers: Sequence[str] = STRANGERS,
) -> Result:
    """One storm: harm every so many seconds, and Redis stands still for `pause` of them at a time."""
    result = Result()
    fleet = Fleet(place, workers, lease)
    async with fleet.running(), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        urls = [fleet.urls[name] for name in BALANCERS]
        told = result.sessions.append
        crowd = [
            PythonClient(urls[number % len(urls)], transports[number // 2 % len(transports)], seed + number, told)
            for number in range(clients)
        ]
        running = [asyncio.create_task(one.run()) for one in crowd]
        publishing = Publishing(fleet)
        storm = Storm(fleet, seed, every, pause)
        async with Crowd(urls, [*strangers, *strangers[::-1]], seed, told).running():
            rooms = [asyncio.create_task(publishing.publish(http, room)) for room in ROOMS]
            for one in crowd:
                await asyncio.wait_for(one.begun.wait(), LATE)
            await storm.rage(seconds)
            publishing.over = True
            await asyncio.wait(rooms)
            await _heard(crowd, publishing)
            for one in crowd:
                one.leave()
            _, stuck = await asyncio.wait(running, timeout=LATE)
        for task in running:
            with suppress(asyncio.InvalidStateError):
                task.result()  # raises what went wrong there
        result.wrong += [
            f"client {number} does not end: it {one.now}"
            for number, (one, task) in enumerate(zip(crowd, running, strict=True))
            if task in stuck
        ]
        result.wrong += storm.missing
        result.counts.update(storm.done)
        result.counts.update({f"killed in the middle of a {what}": count for what, count in storm.hit.items()})
        _judge(result, fleet, crowd, publishing)
    return result


async def _heard(crowd: Sequence[PythonClient], publishing: Publishing) -> None:
    """Waits until all have heard the last of each room, or too long."""
    until = time.monotonic() + LATE
    while time.monotonic() < until:
        if all(one.rooms[room].last >= publishing.last[room] or one.rooms[room].gap for one in crowd for room in ROOMS):
            return
        await asyncio.sleep(0.1)


def _judge(result: Result, fleet: Fleet, crowd: Sequence[PythonClient], publishing: Publishing) -> None:
    for session in result.sessions:
        deaths = fleet.deaths(session.opened, session.ended)
        # A worker may have ended before its session could say whose it is.
        fate = fleet.fate(session.owner) if session.owner else "terminated" if deaths else ""
        result.wrong += judge(session, fate, deaths)
        result.counts[f"sessions: {session.client} over {session.transport}"] += 1
        result.counts["messages that came back"] += session.received
    complaints = fleet.place / "complaints"
    if complaints.exists():
        result.wrong += complaints.read_text().splitlines()
    for number, one in enumerate(crowd):
        for name, room in one.rooms.items():
            result.counts["messages of rooms"] += room.heard
            lost = room.lost - publishing.never[name] - publishing.maybe[name]
            if lost:
                result.wrong.append(f"client {number} lost {sorted(lost)[:5]} of {name} ({len(lost)} of them)")
            if room.repeated:
                result.wrong.append(f"client {number} heard {room.repeated} of {name} twice")
            result.counts["messages of rooms missing behind a gap that was told"] += room.told
            if room.last < publishing.last[name] and not room.gap:
                result.wrong.append(f"client {number} heard {name} up to {room.last} of {publishing.last[name]}")
        result.counts["gaps told"] += one.gaps
        if one.gaps and one.brings_cursors:
            result.wrong.append(f"client {number} was told of {one.gaps} gaps, and all rooms keep everything")


def main() -> int:
    """The process."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long harm is done, at least (60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=24, help="of Python's (24)")
    parser.add_argument("--every", type=float, default=10.0, help="seconds from one harm to the next (10)")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds for which Redis stands still (5)")
    parser.add_argument("--lease", type=float, default=10.0, help="of workers, in seconds (10)")
    parser.add_argument("--transports", default=",".join(TRANSPORTS), help="of Python's clients")
    parser.add_argument("--strangers", default=",".join(STRANGERS), help="the other clients")
    parser.add_argument("--keep", action="store_true", help="keeps the directory with the logs")
    arguments = parser.parse_args()
    logging.getLogger("realtime").setLevel(logging.ERROR)
    place = Path(tempfile.mkdtemp(prefix="rt-"))
    began = time.monotonic()
    result = asyncio.run(
        play(
            place,
            seconds=arguments.seconds,
            seed=arguments.seed,
            workers=arguments.workers,
            clients=arguments.clients,
            every=arguments.every,
            pause=arguments.pause,
            lease=arguments.lease,
            transports=arguments.transports.split(","),
            strangers=[one for one in arguments.strangers.split(",") if one],
        )
    )
    for name, count in sorted(result.counts.items()):
        print(f"{count:>9,} {name}")
    print(f"{time.monotonic() - began:>9.1f} s")
    for wrong in result.wrong:
        print(f"WRONG {wrong}")
    if result.wrong or arguments.keep:
        print(f"logs: {place}")
    else:
        shutil.rmtree(place)
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
