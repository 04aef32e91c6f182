"""The command: see this folder's __init__."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from .account import Session, judge
from .clients import Crowd, PythonClient
from .fleet import BALANCERS, Fleet
from .results import Result, main, options
from .storm import Storm
from .worker import ROOMS

__all__ = ["play"]

TRANSPORTS = ("websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling")
STRANGERS = (
    *("javascript websocket", "javascript xhr_streaming", "javascript long_polling", "javascript polling"),
    *("javascript jsonp", "javascript htmlfile"),
    *("sockjs websocket", "sockjs xhr-streaming", "sockjs xhr-polling", "sockjs eventsource"),
    *("engineio websocket", "engineio polling", "engineio polling+websocket", "raw websocket"),
)
LATE = 60.0  # seconds in which all has to be heard when the harm is over


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
) -> Result[Session]:
    """One storm: harm every so many seconds, and Redis stands still for `pause` of them at a time."""
    result = Result[Session]()
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
        result.count(lambda session: _judged(session, fleet), storm, place)
        _judge_rooms(result, crowd, publishing)
    return result


async def _heard(crowd: Sequence[PythonClient], publishing: Publishing) -> None:
    """Waits until all have heard the last of each room, or too long."""
    until = time.monotonic() + LATE
    while time.monotonic() < until:
        if all(one.rooms[room].last >= publishing.last[room] or one.rooms[room].gap for one in crowd for room in ROOMS):
            return
        await asyncio.sleep(0.1)


def _judged(session: Session, fleet: Fleet) -> list[str]:
    deaths = fleet.deaths(session.opened, session.ended)
    # A worker may have ended before its session could say whose it is.
    fate = fleet.fate(session.owner) if session.owner else "terminated" if deaths else ""
    return judge(session, fate, deaths)


def _lost(number: int, one: PythonClient, publishing: Publishing) -> list[str]:
    """What a client has lost, unless it was told of so many drops: who comes back behind more than its outbox holds
    misses the oldest while its rooms go on."""
    missed = {name: room.lost - publishing.never[name] - publishing.maybe[name] for name, room in one.rooms.items()}
    if sum(map(len, missed.values())) <= one.dropped:
        return []
    return [
        f"client {number} lost {sorted(lost)[:5]} of {name} ({len(lost)} of them, and was told of {one.dropped})"
        for name, lost in missed.items()
        if lost
    ]


def _judge_rooms(result: Result[Session], crowd: Sequence[PythonClient], publishing: Publishing) -> None:
    for number, one in enumerate(crowd):
        result.wrong += _lost(number, one, publishing)
        result.counts["messages that were dropped, which was told"] += one.dropped
        for name, room in one.rooms.items():
            result.counts["messages of rooms"] += room.heard
            if room.repeated:
                result.wrong.append(f"client {number} heard {room.repeated} of {name} twice")
            result.counts["messages of rooms missing behind a gap that was told"] += room.told
            if room.last < publishing.last[name] and not room.gap:
                result.wrong.append(f"client {number} heard {name} up to {room.last} of {publishing.last[name]}")
        result.counts["gaps told"] += one.gaps
        if one.gaps and one.brings_cursors:
            result.wrong.append(f"client {number} was told of {one.gaps} gaps, and all rooms keep everything")


def command() -> int:
    """The process."""
    parser = options("python -m tests.chaos", __doc__, 10.0)
    parser.add_argument("--transports", default=",".join(TRANSPORTS), help="of Python's clients")
    parser.add_argument("--strangers", default=",".join(STRANGERS), help="the other clients")
    given = vars(parser.parse_args())
    for several in ("transports", "strangers"):
        given[several] = [one for one in given[several].split(",") if one]
    return main(play, **given)


if __name__ == "__main__":
    sys.exit(command())
