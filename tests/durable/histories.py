"""Durable sessions while their workers are killed, cut off and told to go, again and again: clients and handlers keep
books, and nothing may be lost, repeated or reordered, either way.

    python -m tests.durable.histories [--faults 100] [--clients 12] [--seed 1] [--redis redis://localhost]

The workers of a cluster run in one process, over one store. One that is killed loses its connections and listens no
more, and goes on in there as one would that was stopped and then let run: what it still tries to write has to come to
nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import realtime

from ..cluster.workers import SECRET, Balancer, Worker
from ..patience import arrives, eventually

__all__ = ["play"]

TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "long_polling", "polling")
MOST_OUTPUTS = 4
PAUSE = 0.3  # seconds between two faults, at most
AHEAD = 20  # messages that a client sends before it has read what belongs to the first
STEP = 0.02  # seconds that a step of a turn may take
ROOM, TOLD = "all", 3  # every so manieth message is told to everybody, in this room


class Broken(AssertionError):
    """A promise was not kept."""


class Books:
    """What handlers have seen."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []

    async def handler(self, session: realtime.Session) -> None:
        """Each message is a number, the next one; it is answered by some outputs, committed now and then."""
        data, draw = session.data, self.draw
        self.counts["handlers"] += 1
        if not session.restored:
            await session.join(ROOM)
        async for message in session:
            number = int(message)
            if session.redelivered:
                self.counts["redelivered"] += 1
                self.check(data["next"] == number + 1, f"{number} comes again to {data}")
            else:
                self.check(data.setdefault("next", 0) == number, f"{number} comes to {data}")
                data["next"], data["step"] = number + 1, 0
                if number % TOLD == 0:
                    await session.publish(ROOM, f"{session.id} {number // TOLD}")
            while data["step"] < number % MOST_OUTPUTS:
                await session.send(f"{number}.{data['step']}")
                data["step"] += 1
                if draw.random() < 0.5:
                    await session.commit()
                if draw.random() < 0.3:
                    await asyncio.sleep(draw.random() * STEP)

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.broken.append(what)


class Ear:
    """What one client has heard of the room: of each session all that it has told since, in order."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.news = asyncio.Event()

    def hears(self, message: str) -> None:
        who, _, number = message.partition(" ")
        before = self.last.get(who)
        if before is not None and int(number) != before + 1:
            raise Broken(f"the room's {number} of {who} comes behind {before}")
        self.last[who] = int(number)
        self.news.set()

    async def has(self, who: str, number: int) -> None:
        """Waits until it has come to this."""
        while self.last.get(who, -1) < number:
            self.news.clear()
            await self.news.wait()


class Crew:
    """Workers that come and go."""

    def __init__(self, books: Books, redis: str = "") -> None:
        self.books, self.draw = books, books.draw
        self.redis = redis
        self.memory = realtime.MemoryBroker()
        self.cluster = realtime.Cluster(secret=SECRET)
        self.workers: list[Worker] = []  # that requests come to
        self.all: list[Worker] = []
        self.balancer = Balancer(self.workers)

    async def start(self) -> None:
        settings = {"shutdown_timeout": 0.5, "poll_interval": (0.01, 0.05), "ping_interval": 1.0, "ping_timeout": 1.0}
        broker: Any = realtime.RedisBroker(self.redis) if self.redis else self.memory
        worker = Worker(broker, self.cluster, realtime.setup, settings)
        worker.server.configure_rooms(ROOM, history=100_000)
        worker.server.endpoint("/count", durable=True, max_outbox=16)(self.books.handler)
        await worker.start()
        keeper: Any = worker.service.keeper
        keeper.sweeps.beat = 0.3
        self.workers.append(worker)
        self.all.append(worker)

    async def fault(self) -> None:
        """One of them is killed, or told to go; another one begins."""
        await self.start()
        worker = self.workers.pop(self.draw.randrange(len(self.workers) - 1))
        if self.draw.random() < 0.6:
            self.books.counts["killed"] += 1
            keeper: Any = worker.service.keeper
            self.books.counts["killed within a turn"] += sum(one.at_work for one in keeper.holdings.values())
            worker.kill()
        else:
            self.books.counts["told to go"] += 1
            await worker.stop()


async def client(crew: Crew, transport: str, opened: asyncio.Semaphore, done: asyncio.Event) -> int:
    """Sends numbers until it is enough, and reads what belongs to them; how many."""
    url = f"http://127.0.0.1:{crew.balancer.port}/realtime/count"
    expected = (f"{number}.{step}" for number in range(10**9) for step in range(number % MOST_OUTPUTS))
    async with realtime.connect(url, transports=transport, backoff=(0.01, 0.1)) as session:
        opened.release()
        sent = at = 0
        news, ear = asyncio.Event(), Ear()

        async def read() -> None:
            nonlocal at
            async for message in session:
                if session.last.room == ROOM:
                    ear.hears(str(message))
                    crew.books.counts["heard"] += 1
                    continue
                if done_reading.is_set():
                    raise Broken(f"{message!s} over {transport}, behind the last")
                wanted = next(expected)
                at = int(wanted.partition(".")[0])
                news.set()
                if message != wanted:
                    raise Broken(f"{message!s} over {transport}, in the place of {wanted}")
                if wanted == last:
                    done_reading.set()
            if session.close_code is not None:
                raise Broken(f"a session over {transport} has ended: {session.close_code} {session.close_reason}")

        last, done_reading = "", asyncio.Event()
        reading = asyncio.ensure_future(read())
        while not done.is_set() and not reading.done():
            await session.send(str(sent))
            sent += 1
            while sent - at > AHEAD and not reading.done():
                news.clear()
                await asyncio.wait(
                    [reading, waiting := asyncio.ensure_future(news.wait())], return_when="FIRST_COMPLETED"
                )
                waiting.cancel()
            if crew.draw.random() < 0.3:
                await asyncio.sleep(crew.draw.random() * STEP)
        while sent % MOST_OUTPUTS != MOST_OUTPUTS - 1:  # the next one has outputs
            await session.send(str(sent))
            sent += 1
        last = f"{sent}.{MOST_OUTPUTS - 2}"
        await session.send(str(sent))
        for what in (done_reading.wait(), ear.has(session.id, sent // TOLD)):
            ended = asyncio.ensure_future(what)
            await arrives(asyncio.wait([reading, ended], return_when="FIRST_COMPLETED"), f"the end over {transport}")
            ended.cancel()
            if reading.done():
                await reading
                raise Broken(f"a session over {transport} has ended")
        reading.cancel()
        return sent + 1


@contextlib.asynccontextmanager
async def crew_of(books: Books, count: int, redis: str) -> AsyncIterator[Crew]:
    """So many workers, all of which are stopped in the end."""
    crew = Crew(books, redis)
    for _ in range(count):
        await crew.start()
    await crew.balancer.start()
    try:
        yield crew
    finally:
        await crew.balancer.stop()
        for worker in crew.all:
            await worker.stop()
        await eventually(lambda: not any(worker.hops.open for worker in crew.all))


async def play(seed: int, clients: int, faults: int, redis: str = "") -> Counter[str]:
    """Plays so many faults; what was counted. Raises Broken."""
    books = Books(random.Random(seed))
    opened, done = asyncio.Semaphore(0), asyncio.Event()
    async with crew_of(books, 3, redis) as crew:
        tasks = [
            asyncio.ensure_future(client(crew, TRANSPORTS[number % len(TRANSPORTS)], opened, done))
            for number in range(clients)
        ]
        try:
            for _ in range(clients):
                await arrives(opened.acquire(), "a session")
            for _ in range(faults):
                await asyncio.wait(tasks, timeout=PAUSE * books.draw.random())
                await crew.fault()
            done.set()
            books.counts["messages"] = sum(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if books.broken:
        raise Broken("; ".join(books.broken[:5]))
    return books.counts


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis", default="")
    arguments = parser.parse_args()
    sys.stdout.write(f"{dict(await play(arguments.seed, arguments.clients, arguments.faults, arguments.redis))}\n")


if __name__ == "__main__":
    asyncio.run(main())
