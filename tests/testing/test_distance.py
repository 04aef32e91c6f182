"""The fault proxy's distance: what takes how long is told by lower bounds, which no pause of the machine can break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest

from realtime.testing import FaultProxy, KillWebSocket

from ..patience import arrives, bounded, eventually
from .test_fault_proxy import Backend, Raw, backend, elapsed, frame

__all__ = ["backend"]  # a fixture, for this module as well


@asynccontextmanager
async def far(backend: Backend, **options: Any) -> AsyncIterator[tuple[FaultProxy, Raw]]:
    """A proxy with a distance, and a connection to it."""
    async with FaultProxy("127.0.0.1", backend.port, **options) as proxy:
        raw = Raw(*await asyncio.open_connection("127.0.0.1", proxy.port))
        try:
            yield proxy, raw
        finally:
            raw.writer.transport.abort()
            with suppress(OSError):
                await raw.writer.wait_closed()


async def test_a_connection_costs_one_round_trip_and_each_answer_another(backend: Backend) -> None:
    async with far(backend, latency=0.2) as (_, raw):
        async with elapsed(at_least=0.4):
            raw.request(body=b"one")
            assert await raw.response() == (200, b"one")
        async with elapsed(at_least=0.2):
            raw.request(body=b"two")
            assert await raw.response() == (200, b"two")


async def test_each_way_takes_half_of_it(backend: Backend) -> None:
    async with far(backend, latency=0.2) as (_, raw):
        async with elapsed(at_least=0.3):
            raw.request(body=b"one")
            await backend.saw(b"one")
        async with elapsed(at_least=0.05):  # what of the answer's half is left
            await raw.response()
        async with elapsed(at_least=0.1):
            raw.request(body=b"two")
            await backend.saw(b"one", b"two")


async def test_much_is_on_its_way_at_once(backend: Backend) -> None:
    """Three hundred messages each way, one after the other, take one round trip and not three hundred."""
    async with far(backend, latency=0.2) as (_, raw):
        raw.handshake()
        await raw.head()
        assert await raw.frame() == b"hello"

        async def send() -> None:
            for number in range(300):
                raw.send(frame(b"%d" % number))
                await raw.writer.drain()
                await asyncio.sleep(0.001)

        async with bounded(10.0):
            sending = asyncio.create_task(send())
            assert [await raw.frame() for _ in range(300)] == [b"%d" % number for number in range(300)]
            await sending


@pytest.mark.parametrize("seed", range(3))
async def test_jitter_keeps_the_order(backend: Backend, seed: int) -> None:
    async with far(backend, latency=0.02, jitter=0.3, random=Random(seed)) as (_, raw):
        raw.handshake()
        await raw.head()
        await raw.frame()
        for number in range(50):
            raw.send(frame(b"%d" % number))
            await asyncio.sleep(0.002)  # in pieces of their own, so that each has a time of its own
        assert [await raw.frame() for _ in range(50)] == [b"%d" % number for number in range(50)]


async def test_ends_travel_too(backend: Backend) -> None:
    async with far(backend, latency=0.2) as (proxy, raw):
        proxy.add(KillWebSocket(after_frames=1, end="rst"))
        raw.handshake()
        await raw.head()
        assert await raw.end() in ((b"\x81\x05hello", "rst"), (b"", "rst"))
    async with far(backend, latency=0.2) as (proxy, raw):
        raw.handshake()
        await raw.head()
        await raw.frame()
        async with elapsed(at_least=0.1):
            proxy.cut()
            assert await raw.end() == (b"", "fin")
    async with far(backend, latency=0.2) as (proxy, raw):
        raw.request(body=b"before I go")
        await raw.response()
        async with elapsed(at_least=0.1):
            raw.writer.write_eof()
            await arrives(proxy.wait_logged("closed"))


async def test_nothing_is_left_when_it_is_closed(backend: Backend) -> None:
    async with far(backend, latency=3600.0) as (proxy, raw):
        raw.request(body=b"never arrives")
        await eventually(lambda: proxy.connections == 1)
        await arrives(proxy.aclose())
        assert (await raw.end())[0] == b""
        assert proxy.connections == 0
    assert backend.seen == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latency": -0.1}, "0 or more"),
        ({"latency": float("inf")}, "finite"),
        ({"jitter": -1.0, "random": Random(1)}, "0 or more"),
        ({"jitter": 0.1}, "jitter needs a random"),
    ],
    ids=["before it was sent", "never", "jitter below 0", "jitter without chance"],
)
def test_nonsense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FaultProxy("127.0.0.1", 80, **options)
