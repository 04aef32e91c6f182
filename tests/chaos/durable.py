"""The storm for durable sessions: whatever is done to their workers, each goes on, and what was sent is what came back
and what was handled.

    python -m tests.chaos.durable --seconds 120 --seed 1

Four workers, clients for Python and JavaScript over all native transports. Workers are killed in the middle of a turn,
between a commit and its write to the store, and between that and what is told of it; they stand still for longer than
their lease; each in turn is ended as a deploy does; Redis stands still, and starts again. It prints for how long
sessions waited.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import realtime

from .clients import Crowd
from .fleet import BALANCERS, Fleet
from .outlived import Outlived, judge_outlived, pauses, percentile
from .results import Result, main, options
from .state import DURABLE
from .storm import Storm

__all__ = ["DurableClient", "handled_at", "left", "play", "waited"]

KINDS = ("kill", "stop", "terminate", "redis pauses", "redis restarts")
TRANSPORTS = ("websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling")
PAGES = ("websocket", "xhr_streaming", "long_polling", "polling", "jsonp", "htmlfile")
LATE = 120.0  # seconds in which all has to have come when the harm is over


class DurableClient:
    """Sends numbers and expects them back, in one session after the other."""

    def __init__(
        self, url: str, transport: str, seed: int, told: Callable[[Outlived], object], *, calm: bool = False
    ) -> None:
        """A calm one says something every second, for as long as it can."""
        self.begun = asyncio.Event()  # it has been answered
        self.now: Outlived | None = None
        self._url = f"{url}/realtime/durable"
        self._transport = transport
        self._random = random.Random(seed)
        self._told = told
        self._calm = calm
        self._leaving = asyncio.Event()
        self._news = asyncio.Event()

    def leave(self) -> None:
        """The session that is open is the last."""
        self._leaving.set()
        self._news.set()

    async def run(self) -> None:
        """Until it is told to leave."""
        while not self._leaving.is_set():
            options: dict[str, Any] = {
                "backoff": (0.02, 0.5),
                "close_timeout": LATE,
            }  # a worker may stand still for long
            sessions = aiter(realtime.connect(self._url, transports=self._transport, **options))
            with suppress(realtime.RealtimeError, OSError):  # of a time when nobody could be reached
                async with aclosing(sessions):
                    async for session in sessions:
                        await self._be(session)
                        if self._leaving.is_set():
                            return

    async def _be(self, session: realtime.ClientSession) -> None:
        account = self.now = Outlived("python", self._transport, opened=time.monotonic())
        sending = asyncio.create_task(self._send(session, account))
        try:
            async for message in session:
                account.answered(time.monotonic(), str(message))
                self._news.set()
                if account.answers:
                    self.begun.set()
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        account.code, account.why = session.close_code, session.close_reason or ""
        account.ended = time.monotonic()
        self.now = None
        self._told(account)

    async def _send(self, session: realtime.ClientSession, account: Outlived) -> None:
        most = sys.maxsize if self._calm else self._random.randrange(50, 400)
        with suppress(realtime.SessionClosed):
            while account.sent < most and not self._leaving.is_set():
                for _ in range(1 if self._calm else self._random.choice((1, 1, 2, 5))):
                    account.sent += 1
                    account.times.append(time.monotonic())
                    try:
                        await session.send(str(account.sent))
                    except (realtime.SessionClosed, asyncio.CancelledError):  # it was not taken
                        account.sent -= 1
                        raise
                with suppress(TimeoutError):
                    pause = 1.0 if self._calm else self._random.choice((0.0, 0.02, 0.05, 0.2))
                    await asyncio.wait_for(self._leaving.wait(), pause)
            while not account.owner or account.received < account.sent:
                self._news.clear()
                await self._news.wait()
            account.asked = True
            await session.close()


async def left(crowd: Sequence[DurableClient], running: Iterable[asyncio.Task[None]]) -> list[str]:
    """Lets all end; what is wrong with those that do not."""
    for one in crowd:
        one.leave()
    done, stuck = await asyncio.wait(running, timeout=LATE)
    for task in done:
        task.result()  # raises what went wrong there
    return [f"a client does not end: {one.now}"[:300] for one in crowd if one.now is not None] if stuck else []


async def handled_at(place: Path, sessions: Sequence[Outlived]) -> dict[str, list[int]]:
    """What handlers have counted at the end of their sessions, as soon as all of these have come to that, or late: the
    client was told of the end when its close was stored."""
    until = time.monotonic() + LATE
    while True:
        found: dict[str, list[int]] = {}
        for line in (place / "handled").read_text().splitlines():
            sid, _, count = line.partition(" ")
            found.setdefault(sid, []).append(int(count))
        ended = [one for one in sessions if one.asked]
        if all(one.sent in found.get(one.owner, ()) for one in ended) or time.monotonic() > until:
            return found
        await asyncio.sleep(0.2)


async def play(
    place: Path,
    *,
    seconds: float,
    seed: int,
    workers: int = 4,
    clients: int = 24,
    every: float = 5.0,
    pause: float = 5.0,
    lease: float = 10.0,
    transports: Sequence[str] = TRANSPORTS,
    pages: Sequence[str] = PAGES,
    kinds: tuple[str, ...] = KINDS,
) -> Result[Outlived]:
    """One storm."""
    result = Result[Outlived]()
    fleet = Fleet(place, workers, lease)
    async with fleet.running():
        urls = [fleet.urls[name] for name in BALANCERS]
        told = result.sessions.append
        crowd = [
            DurableClient(urls[number % len(urls)], transports[number // 2 % len(transports)], seed + number, told)
            for number in range(clients)
        ]
        storm = Storm(fleet, seed, every, pause, kinds=kinds, what=DURABLE, stop=1.5 * lease)
        named = [f"durable {name}" for name in (*pages, *pages[::-1])]
        async with Crowd(urls, named, seed, told, Outlived).running():
            running = [asyncio.create_task(one.run()) for one in crowd]
            for one in crowd:
                await asyncio.wait_for(one.begun.wait(), LATE)
            await storm.rage(seconds)
            for worker in fleet.workers:  # each in turn, as a deploy does
                await storm.terminate(worker)
                storm.done["terminate"] += 1
            result.wrong += await left(crowd, running)
        handled = await handled_at(place, result.sessions)
        deaths = [at for how, _, at in fleet.harms() if how == "killed"]
        result.count(lambda session: judge_outlived(session, handled, deaths), storm, place)
        found = pauses(result.sessions, fleet.harms())
        result.counts["sessions whose worker was harmed"] = sum(map(len, found.values()))
        result.said = waited(found)
    return result


def waited(found: dict[str, list[float]]) -> list[str]:
    """For how long, in words."""
    return [
        f"{len(values):>9,} pauses of sessions whose worker was {how}: median {percentile(values, 0.5):.2f} s,"
        f" 99 % below {percentile(values, 0.99):.2f} s, longest {max(values):.2f} s"
        for how, values in sorted(found.items())
    ]


if __name__ == "__main__":
    sys.exit(main(play, **vars(options("python -m tests.chaos.durable", __doc__, 5.0).parse_args())))
