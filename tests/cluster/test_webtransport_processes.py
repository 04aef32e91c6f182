"""WebTransport at workers in processes of their own, over a real Redis: a session is cut at one and goes on at another,
which carries it, or takes it over when the one is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

import realtime
from realtime.testing import UdpFaultProxy

from ..brokers.conftest import own_redis
from ..brokers.servers import Server
from ..patience import arrives, within
from ..webtransport.place import made

__all__ = ["own_redis"]

MODULE = "tests.cluster.webtransport_worker"
OPTIONS: dict[str, Any] = {
    "transports": ["webtransport"],
    "attach_timeout": 20.0,
    "open_timeout": 60.0,
    "backoff": (0.01, 0.2),
}


class Worker:
    """A process, seen from here."""

    def __init__(self, process: asyncio.subprocess.Process, tcp: int, udp: int, name: str) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{tcp}/realtime"
        self.backend = ("127.0.0.1", udp)
        self.name = name

    async def kill(self) -> None:
        """Ends it. Harmless when it has ended."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def workers(redis: Server, udp: UdpFaultProxy, count: int = 2) -> AsyncIterator[list[Worker]]:
    """So many, all of which tell their clients the same port."""
    them: list[Worker] = []
    files = [str(made().certificate), str(made().key)]
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULE, redis.url, *files, str(udp.port), stdout=asyncio.subprocess.PIPE
            )
            them.append(Worker(process, 0, 0, ""))
            assert process.stdout is not None
            tcp, port, name = (await arrives(process.stdout.readline())).split()
            them[-1] = Worker(process, int(tcp), int(port), name.decode())
        yield them
    finally:
        for one in them:
            await one.kill()


async def connected(url: str) -> realtime.ClientSession:
    """A session: a worker that has just begun may say that nobody can open any yet."""
    async with within("for a session"):
        while True:
            with contextlib.suppress(realtime.NegotiationError):
                return await realtime.connect(url, **OPTIONS)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("latency", [0.0, 0.15])
async def test_cut_at_one_and_carried_by_another(own_redis: Server, latency: float) -> None:
    async with UdpFaultProxy("127.0.0.1", 9, latency=latency) as udp, workers(own_redis, udp) as (one, two), within():
        udp.backend = one.backend
        async with await connected(f"{one.url}/echo") as session:
            assert session.id.partition(".")[0] == one.name
            for number in range(1, 31):
                await session.send(f"{number}")
                if number % 10 == 5:  # the next connection comes to the other
                    udp.backend = two.backend if udp.backend == one.backend else one.backend
                    udp.cut()
                assert await session.receive() == f"{number} {number}"
            assert session.transport == "webtransport"
            assert session.id.partition(".")[0] == one.name
            assert udp.backend == two.backend
            assert udp.counts["cut"] >= 3


async def test_a_durable_session_goes_on_when_its_worker_is_killed(own_redis: Server) -> None:
    async with UdpFaultProxy("127.0.0.1", 9) as udp, workers(own_redis, udp) as (one, two), within():
        udp.backend = one.backend
        async with await connected(f"{one.url}/orders") as session:
            await session.send("a")
            assert await session.receive() == "a 1"
            udp.backend = two.backend
            udp.cut()
            await session.send("b")  # carried, while the one lives
            assert await session.receive() == "b 2"
            await one.kill()
            await session.send("c")
            assert await session.receive() == "c 3"
            assert session.transport == "webtransport"
