"""Several workers that are one cluster, from their parent's side: it starts them, again when one has ended, hears what
each carries, and sends the room of all a numbered tick.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import tempfile
from collections.abc import Sequence
from typing import Any

from ..brokers.publisher import Publisher
from ..brokers.redis import RedisBroker
from ..cluster.settings import VARIABLE
from ..core.errors import BrokerError
from .child import Child
from .ticks import BROKER, PREFIX, ROOM, RULES

__all__ = ["Crew", "Member"]

PAUSE = 4.0  # seconds until a worker that has ended is started again
PATIENCE = 5.0  # seconds in which it may end by itself
MOST = 1024  # lanes of which is known who answered last


class Member:
    """One worker, in one process after the other."""

    def __init__(self, number: int, child: Child, answered: dict[str, tuple[float, int]]) -> None:
        self.number = number
        self.child = child
        self.up: bool = False  # it takes connections
        self.said: dict[str, Any] = {}  # what its process has said last
        self._answered = answered

    async def start(self) -> None:
        """Starts it. Raises OSError if it does not come up."""
        self.child.port = 0  # any: what was connected to its port is of another process
        await self.child.start()
        self.up = True

    async def run(self, pause: float) -> None:
        """Hears it until it ends, and starts it again."""
        while True:
            if self.up:
                async for line in self.child.lines():
                    self._hear(line)
                self.up, self.said = False, {}
                await self.child.kill()
            await asyncio.sleep(pause)
            with contextlib.suppress(OSError):  # once more, then
                await self.start()

    def _hear(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            return  # it was killed in the middle of it
        self.said = json.loads(line)
        for lane, when in self.said.pop("answered").items():
            self._answered[lane] = max((when, self.number), self._answered.pop(lane, (0.0, 0)))
        while len(self._answered) > MOST:
            del self._answered[next(iter(self._answered))]

    async def kill(self) -> None:
        """Kills its process (SIGKILL)."""
        self.up = False
        if self.child.pid is not None:
            await self.child.kill()

    def told(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {"number": self.number, "up": self.up, "pid": self.child.pid, "starts": self.child.starts, **self.said}


class Crew:
    """`count` workers over the broker at `url`, for as long as the `async with` lasts. Their pages come from `origins`,
    which are said before that; `tick` and `pause` (until a worker is started again) are in seconds.

    Making one raises LocalProtocolError for a URL that is none, and BrokerError where redis-py is missing; entering
    raises BrokerError where no broker answers, and OSError where a process does not start.
    """

    def __init__(
        self, count: int, url: str, *, transports: Sequence[str], tick: float = 0.5, pause: float = PAUSE
    ) -> None:
        # Its own: two demos over one broker know nothing of each other, nor of what was before.
        self._prefix = f"realtime-demo:{secrets.token_urlsafe(6)}:"
        self._publisher = Publisher(RedisBroker(url, prefix=self._prefix))
        self._publisher.configure_rooms(ROOM, **RULES)
        self._count = count
        self._url = url
        self._transports = ",".join(transports)
        self._tick = tick
        self._pause = pause
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._answered: dict[str, tuple[float, int]] = {}
        self.origins: tuple[str, ...] = ()
        self.members: list[Member] = []

    async def __aenter__(self) -> Crew:
        async with self._stack:
            await self._stack.enter_async_context(self._publisher)
            await self._publisher.send(ROOM, "0.0")  # or there is no broker
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="realtime-"))
            # Not among its arguments, which all users of a machine may read.
            environment = {VARIABLE: secrets.token_urlsafe(32), BROKER: self._url, PREFIX: self._prefix}
            for number in range(1, self._count + 1):
                arguments = (str(number), folder, self._transports, *self.origins)
                child = Child(arguments, module="member", environment=environment)
                self.members.append(Member(number, child, self._answered))
            self._stack.push_async_callback(self._end)
            starts = await asyncio.gather(*(member.start() for member in self.members), return_exceptions=True)
            for problem in filter(None, starts):
                raise problem
            self._tasks = [asyncio.create_task(member.run(self._pause)) for member in self.members]
            self._tasks.append(asyncio.create_task(self._publish()))
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for member in self.members:
            member.up = False
            member.child.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                for member in self.members:
                    if member.child.pid is not None:
                        async for _ in member.child.lines():
                            pass
        for member in self.members:
            await member.child.kill()

    def living(self) -> list[int]:
        """The ports of the workers that take connections."""
        return [member.child.port for member in self.members if member.up]

    def answered(self, page: str) -> dict[str, int]:
        """By which worker the last request of each of a page's lanes was answered."""
        lanes = ((lane.partition("-"), number) for lane, (_, number) in self._answered.items())
        return {name: number for (of, _, name), number in lanes if of == page}

    async def _publish(self) -> None:
        """Sends a tick: the number of a series, a dot, and a number that is the next one."""
        series = number = 1
        while True:
            await asyncio.sleep(self._tick)
            try:
                await self._publisher.send(ROOM, f"{series}.{number}")
            except BrokerError as error:
                # Whether it was sent nobody knows: what is counted begins anew. Else it is sent once more.
                if error.maybe_sent:
                    series, number = series + 1, 1
            else:
                number += 1
