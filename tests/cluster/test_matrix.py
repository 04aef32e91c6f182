"""Exactly once, in order, both ways, where each request comes to another worker: every transport, calm and cut."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.testing import Fault, FaultProxy, KillWebSocket
from realtime.web import sockets

from ..client.soak import TIMING, Soak, assert_exactly_once
from ..gates.test_joined import FAULTS
from .workers import Balancer, Worker, workers

COUNT = 500
CASES: dict[str, list[Fault]] = FAULTS | {
    # More frames than the server's window takes, as there.
    "websocket": [
        KillWebSocket(after_frames=60, end="rst", every=2),
        KillWebSocket(after_frames=100, sent_by="client"),
    ],
}


@contextlib.asynccontextmanager
async def soaked(count: int, number: int = 3, **options: Any) -> AsyncIterator[tuple[Soak, list[Worker]]]:
    """Workers whose endpoint exchanges so many messages with each client, behind a balancer and a fault proxy."""
    async with workers(number, **TIMING, **options) as them:
        balancer = Balancer(them)
        await balancer.start()
        try:
            async with FaultProxy("127.0.0.1", balancer.port) as proxy:
                soak = Soak(them[0].server, balancer.port, proxy, count)
                for worker in them:
                    worker.server.endpoint("/soak")(soak.handle)
                try:
                    yield soak, them
                finally:
                    proxy.clear()
                    for session in soak.left:
                        await session.close()
        finally:
            await balancer.stop()


@pytest.mark.parametrize("faulty", [False, True], ids=["calm", "cut"])
@pytest.mark.parametrize("transport", CASES)
async def test_each_request_comes_to_another_worker(transport: str, faulty: bool) -> None:
    async with soaked(COUNT) as (soak, them):
        rules = [soak.proxy.add(fault) for fault in CASES[transport] if faulty]
        server, client, session = await soak.run(transports=[transport])
        assert_exactly_once(server, client, COUNT)
        assert session.transport == transport
        assert session.unacknowledged == []
        assert all(rule.fired for rule in rules)
        assert sum(worker.forwarder.count for worker in them) or (transport == "websocket" and not faulty)


async def test_a_websocket_that_aiohttp_reads_is_carried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TAKING_OVER", False)
    async with soaked(COUNT) as (soak, them):
        rules = [soak.proxy.add(fault) for fault in CASES["websocket"]]
        server, client, _ = await soak.run(transports=["websocket"])
        assert_exactly_once(server, client, COUNT)
        assert all(rule.fired for rule in rules)
        assert sum(worker.forwarder.count for worker in them)
