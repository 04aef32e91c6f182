"""Queues while workers and consumers are killed: nothing is lost, and nothing that was settled comes again."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from realtime.protocols.layers.stomp.frames import Frame

from ..patience import PATIENCE, eventually, within
from ..stomp.place import TcpClient
from .servers import Server
from .stomp_worker import Process

QUEUE = "/queue/work"


async def connected(worker: Process) -> TcpClient:
    """A client that is in."""
    one = TcpClient(*await asyncio.open_connection("127.0.0.1", worker.port))
    await one.connect()
    return one


class Consumer:
    """Takes messages, and acknowledges all but those that it keeps to itself."""

    def __init__(self, seen: Counter[int], keeps: int = 0) -> None:
        self.kept = 0
        self.settled: set[int] = set()  # its worker has said that it has the acknowledgement
        self._seen, self._keeps = seen, keeps

    async def run(self, worker: Process) -> None:
        """Until its worker is gone."""
        one = await connected(worker)
        await one.send(
            "SUBSCRIBE", {"id": "0", "destination": QUEUE, "ack": "client-individual", "prefetch-count": "8"}
        )
        waiting: dict[str, int] = {}
        try:
            while True:
                await self._take(one, await one.news(), waiting)
        except (EOFError, ConnectionError):
            pass
        finally:
            one.writer.transport.abort()

    async def _take(self, one: TcpClient, frame: Frame, waiting: dict[str, int]) -> None:
        if frame.command == "RECEIPT":
            self.settled.add(waiting.pop(frame.headers["receipt-id"]))
            return
        number = int(frame.body)
        self._seen[number] += 1
        if self.kept < self._keeps:
            self.kept += 1
            return
        waiting[frame.headers["ack"]] = number
        await one.send("ACK", {"id": frame.headers["ack"], "receipt": frame.headers["ack"]})


@pytest.mark.timeout(4 * PATIENCE)
async def test_a_killed_worker_and_a_killed_consumer(own_redis: Server) -> None:
    seen: Counter[int] = Counter()
    first, second = [await Process.start(own_redis.url) for _ in range(2)]
    tasks: list[asyncio.Task[None]] = []
    sender = await connected(second)
    count = 0

    async def send() -> None:
        nonlocal count
        await sender.done("SEND", {"destination": QUEUE}, str(count))
        count += 1

    try:
        keeping, dying, steady = [Consumer(seen, keeps) for keeps in (5, 3, 0)]
        tasks = [asyncio.create_task(keeping.run(first)), asyncio.create_task(dying.run(second))]
        async with within("both consumers have got as many as they keep"):
            while keeping.kept < 5 or dying.kept < 3:  # whoever is quicker gets more
                await send()
        await first.kill()  # with five messages that nobody has acknowledged
        tasks[1].cancel()  # and a consumer with three of the second's
        await asyncio.wait(tasks)
        before = dict(seen)
        tasks.append(asyncio.create_task(steady.run(second)))
        for _ in range(30):
            await send()
        await eventually(lambda: len(keeping.settled | dying.settled | steady.settled) == count)
        assert set(seen) == set(range(count))
        # What its worker has is settled, whatever its client does. What the killed worker had may not have been.
        assert [number for number in dying.settled if seen[number] > 1] == []
        assert [number for number in seen if seen[number] > before.get(number, 0) + 1] == []
        await eventually(lambda: kept_of(own_redis) == [])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sender.drop()
        for worker in (first, second):
            await worker.kill()


def kept_of(server: Server) -> list[str]:
    """What it has of queues."""
    with server.client() as client:
        return [key for key in client.keys("realtime:*") if ":queue:" in key]
