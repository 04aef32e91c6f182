"""The harm: what is done to the fleet, in which moments, and what it hit.

A kill is aimed: the hand waits until some worker is in the middle of what has been hit least, and kills that one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from .fleet import Fleet, Process
from .state import ORDINARY

__all__ = ["KINDS", "Storm"]

KINDS = ("kill", "terminate", "redis restarts", "redis pauses")
AIMING = 3.0  # seconds at most
MOST = 40  # harms, where something has not been hit yet


@dataclass
class Storm:
    """Harm upon harm, the least frequent kind most likely; the same order for the same seed."""

    fleet: Fleet
    seed: int
    every: float = 10.0  # seconds from one kill to the next
    pause: float = 5.0  # seconds for which Redis stands still
    kinds: tuple[str, ...] = KINDS
    what: tuple[str, ...] = ORDINARY  # what kills have to fall in the middle of
    stop: float = 0.0  # seconds for which a worker stands still, where that is one of the kinds
    done: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)  # kills in the middle of what
    _aimed: Counter[str] = field(default_factory=Counter)  # kills that were to be

    async def rage(self, seconds: float) -> None:
        """So long, and then until all was done and hit that has to be. At the end all stand again."""
        chance = random.Random(self.seed)
        until = time.monotonic() + seconds
        terminated = 0
        while not (late := time.monotonic() >= until) or (self.missing and self.done.total() < MOST):
            undone = [kind for kind in self.kinds if not self.done[kind]]
            if late:
                kind = (undone or self.kinds)[0]
            else:
                kind = self.kinds[0] if chance.random() < 0.5 else min(self.kinds, key=lambda one: self.done[one])
            began = time.monotonic()
            if kind == "kill":
                await self._kill()
            elif kind == "terminate":
                await self.terminate(self.fleet.workers[terminated % len(self.fleet.workers)])
                terminated += 1
            elif kind == "redis restarts":
                self.fleet.redis.kill()
                await asyncio.sleep(chance.uniform(0.1, 1.0))
                await asyncio.to_thread(self.fleet.redis.start)
            elif kind == "stop":
                await self._stop(chance.choice(self.fleet.workers))
            else:
                self.fleet.redis.pause()
                await asyncio.sleep(self.pause)
                self.fleet.redis.resume()
            self.done[kind] += 1
            await asyncio.sleep(max(0.5, self.every - (time.monotonic() - began)) * chance.uniform(0.3, 1.0))

    @property
    def missing(self) -> list[str]:
        """What has to be done, or hit, and was not."""
        unhit = [f"no kill fell in the middle of a {what}" for what in self.what if not self.hit[what]]
        return unhit + [f"never done: {kind}" for kind in self.kinds if not self.done[kind]]

    async def _kill(self) -> None:
        """One that is in the middle of what was hit least."""
        wanted = min(self.what, key=lambda what: (self.hit[what], self._aimed[what]))
        self._aimed[wanted] += 1
        if wanted == "drain":
            one = next(one for one in self.fleet.workers if one.alive)
            one.terminate()
            self.done["terminate"] += 1
        until = time.monotonic() + AIMING
        while True:
            there = [one for one in self.fleet.workers if one.alive]
            aimed = [one for one in there if wanted in one.middle()]
            if aimed or time.monotonic() > until:
                break
            await asyncio.sleep(0.001)
        one = (aimed or there)[0]
        for what in one.kill():
            self.hit[what] += 1
        await self._again(one)

    async def terminate(self, one: Process) -> None:
        """As a deploy does, and then it is started again."""
        if one.alive:
            one.terminate()
            await one.gone()
        await self._again(one)

    async def _stop(self, one: Process) -> None:
        """It stands still for so long that others take it for dead, and then goes on."""
        one.pause()
        await asyncio.sleep(self.stop)
        one.resume()

    async def _again(self, one: Process) -> None:
        one.start()
        await one.ready()
