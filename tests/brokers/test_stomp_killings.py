"""Queues while workers and consumers are killed: nothing is lost, and nothing that was settled comes again."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from realtime.protocols.layers.stomp.frames import Frame

from ..patience import PATIENCE, eventually
from ..stomp.place import TcpClient
from .servers import Server
from .stomp_worker import Process

QUEUE = "/queue/work"
COUNT = 60


async def connected(worker: Process) -> TcpClient:
    """A client that is in."""
    one = TcpClient(*await asyncio.open_connection("127.0.0.1", worker.port))
    await one.connect()
    return one


class Consumer:
    """Takes messages, and acknowledges all but those that it keeps to itself."""

    def __init__(self, settled: set[int], seen: Counter[int], keeps: int = 0) -> None:
        self.kept = 0
        self.late = 0  # messages that came after they were settled
        self._settled, self._seen, self._keeps = settled, seen, keeps

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
            self._settled.add(waiting.pop(frame.headers["receipt-id"]))
            return
        number = int(frame.body)
        self.late += number in self._settled
        self._seen[number] += 1
        if self.kept < self._keeps:
            self.kept += 1
            return
        waiting[frame.headers["ack"]] = number
        await one.send("ACK", {"id": frame.headers["ack"], "receipt": frame.headers["ack"]})


@pytest.mark.timeout(4 * PATIENCE)
async def test_a_killed_worker_and_a_killed_consumer(own_redis: Server) -> None:
    settled: set[int] = set()
    seen: Counter[int] = Counter()
    first, second = [await Process.start(own_redis.url) for _ in range(2)]
    tasks: list[asyncio.Task[None]] = []
    sender = await connected(second)
    try:
        keeping, dying, steady = [Consumer(settled, seen, keeps) for keeps in (5, 3, 0)]
        tasks = [asyncio.create_task(keeping.run(first)), asyncio.create_task(dying.run(second))]
        for number in range(COUNT // 2):
            await sender.done("SEND", {"destination": QUEUE}, str(number))
        await eventually(lambda: keeping.kept == 5 and dying.kept == 3)
        await first.kill()  # with five messages that nobody has acknowledged
        tasks[1].cancel()  # and a consumer with three of the second's
        await asyncio.wait(tasks)
        tasks.append(asyncio.create_task(steady.run(second)))
        for number in range(COUNT // 2, COUNT):
            await sender.done("SEND", {"destination": QUEUE}, str(number))
        await eventually(lambda: len(settled) == COUNT)
        assert set(seen) == set(range(COUNT))
        # An acknowledgement that was said, and whose receipt was lost with its worker, may not have been taken.
        assert sum(seen.values()) <= COUNT + 5 + 3 + 2 * 8
        assert keeping.late + dying.late + steady.late == 0
        with own_redis.client() as client:
            assert [key for key in client.keys("realtime:*") if ":queue:" in key] == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sender.drop()
        for worker in (first, second):
            await worker.kill()
