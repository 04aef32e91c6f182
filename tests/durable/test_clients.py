"""The Python client at durable endpoints, by each transport, while their workers are killed and go."""

from __future__ import annotations

import pytest

import realtime

from ..cluster.workers import Balancer
from ..patience import arrives
from .crew import crew

TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "long_polling", "polling")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_session_goes_on_when_its_worker_is_killed(transport: str) -> None:
    async with crew(count=3, poll_interval=(0.01, 0.05)) as them:
        balancer = Balancer(list(them.workers))
        await balancer.start()
        try:
            url = f"http://127.0.0.1:{balancer.port}/realtime/orders"
            async with realtime.connect(url, transports=transport) as session:
                got = [await arrives(session.receive())]
                await session.send("a")
                got.append(await arrives(session.receive()))
                (owner,) = (worker for worker in them.workers if them.has(worker, session.id))
                balancer.workers.remove(owner)
                owner.kill()
                await session.send("b")
                got.append(await arrives(session.receive()))
                (owner,) = (worker for worker in balancer.workers if them.has(worker, session.id))
                balancer.workers.remove(owner)
                await them.keeper(owner).hand_over(5.0)
                await session.send("c")
                got.append(await arrives(session.receive()))
                assert got == ["welcome", "a 1", "b 2", "c 3"]
                assert session.transport == transport
        finally:
            await balancer.stop()
