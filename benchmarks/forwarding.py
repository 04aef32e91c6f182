"""What a message costs whose session is at another worker than its requests come to, and what an open costs that
claims its nonce in the directory: `python -m benchmarks.forwarding`.

Two workers over a Redis of their own. Each transport's session is opened at one; then its requests come to the same,
and to the other, one echo behind the other, and the CPU time of both workers is read. The client is Python's own,
behind a proxy that leads to one worker or the other; neither is counted.

Opens are made one behind the other, at a worker of a cluster and at one that is alone, over one Redis, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
from aiohttp import web

import realtime
from realtime.testing import FaultProxy

from .process import ServerProcess, pin_generator, serve_until_told

TRANSPORTS = ("websocket", "sse", "long_polling")
OPENED = ("websocket", "long_polling")
SECRET = "of this benchmark alone, and no secret"
WARM = 50  # echoes, or opens, that are not counted
ROUNDS = 5

a_worker = functools.partial(ServerProcess.worker, "benchmarks.forwarding")


class Cost(NamedTuple):
    """What one echo takes, in microseconds."""

    one: float  # CPU of the worker that has the session
    other: float  # and of the other
    latency: float  # from a send to its echo, half of them take less


class Opening(NamedTuple):
    """What one open takes, in microseconds, and the close behind it."""

    worker: float  # CPU
    latency: float  # from connect() to the open session, half of them take less


async def serve(redis: str, *, alone: bool) -> None:
    """A worker: says its port, and ends with its standard input."""
    rt = realtime.Server(
        broker=realtime.RedisBroker(redis, timeout=0.5),
        cluster=None if alone else realtime.Cluster(secret=SECRET, lease=1.0, drain_timeout=0.0),
        max_stream_size=2**30,
    )

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    app = web.Application()
    realtime.setup(app, rt)
    app.router.add_get("/ready", realtime.readiness(rt))
    await serve_until_told(app)


@contextlib.asynccontextmanager
async def a_redis() -> AsyncIterator[str]:
    """A redis-server on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder, "--loglevel", "warning"]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                await asyncio.sleep(0.02)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()


async def measured(
    session: realtime.ClientSession, count: int, one: ServerProcess, other: ServerProcess, size: int
) -> Cost:
    """The cost of `count` echoes, one behind the other."""
    text = "x" * size
    times = []
    before = one.cpu_seconds(), other.cpu_seconds()
    for _ in range(count):
        began = time.perf_counter()
        await session.send(text)
        await session.receive()
        times.append(time.perf_counter() - began)
    spent = one.cpu_seconds() - before[0], other.cpu_seconds() - before[1]
    return Cost(spent[0] / count * 1e6, spent[1] / count * 1e6, sorted(times)[count // 2] * 1e6)


async def compare(transport: str, count: int, one: ServerProcess, other: ServerProcess, size: int) -> tuple[Cost, Cost]:
    """What an echo takes at the worker that has the session, and by the other: of several rounds each the cheapest."""
    local: list[Cost] = []
    carried: list[Cost] = []
    async with FaultProxy("127.0.0.1", one.port) as proxy:
        url = f"{proxy.url}/realtime/echo"
        async with realtime.connect(url, transports=[transport], backoff=(0.01, 0.05)) as session:
            for number in range(2 * ROUNDS):
                there, costs = (one, local) if number % 2 == 0 else (other, carried)
                proxy.backend = "127.0.0.1", there.port
                proxy.cut()
                await measured(session, WARM, one, other, size)
                costs.append(await measured(session, count, one, other, size))
    return min(local, key=lambda cost: cost.one), min(carried, key=lambda cost: cost.one + cost.other)


async def opened(transport: str, count: int, worker: ServerProcess) -> Opening:
    """The cost of `count` opens, one behind the other, each closed before the next."""
    url = f"http://127.0.0.1:{worker.port}/realtime/echo"
    times = []
    async with aiohttp.ClientSession() as http:
        before = worker.cpu_seconds()
        for _ in range(count):
            began = time.perf_counter()
            async with realtime.connect(url, transports=[transport], http=http, upgrade=False):
                times.append(time.perf_counter() - began)
        spent = worker.cpu_seconds() - before
    return Opening(spent / count * 1e6, sorted(times)[count // 2] * 1e6)


async def compare_opens(transport: str, count: int, member: ServerProcess, alone: ServerProcess) -> tuple[str, str]:
    """What an open takes at a worker of a cluster, and at one that is alone: of several rounds each the cheapest, and
    of the latencies, too."""
    found: dict[ServerProcess, list[Opening]] = {member: [], alone: []}
    for _ in range(ROUNDS):
        for worker, costs in found.items():
            await opened(transport, WARM, worker)
            costs.append(await opened(transport, count, worker))
    claimed, plain = ([min(column) for column in zip(*costs, strict=True)] for costs in found.values())
    cpu = f"{plain[0]:.0f} µs | {claimed[0]:.0f} µs | {claimed[0] - plain[0]:+.0f} µs"
    return cpu, f"{plain[1] / 1000:.2f} ms | {claimed[1] / 1000:.2f} ms | {(claimed[1] - plain[1]) / 1000:+.2f} ms"


async def report_opens(count: int) -> None:
    """A table of what an open costs."""
    core = pin_generator()
    async with a_redis() as redis, a_worker(redis, core=core) as member, a_worker(redis, "--alone", core=core) as alone:
        await asyncio.sleep(3.0)
        print("| open and close | CPU, alone | in a cluster | more | open after, alone | in a cluster | more |")
        print("|---|---|---|---|---|---|---|")
        for transport in OPENED:
            print(f"| `{transport}` | {' | '.join(await compare_opens(transport, count, member, alone))} |")


async def report(count: int, size: int) -> None:
    """A table of what a message costs."""
    core = pin_generator()
    async with a_redis() as redis, a_worker(redis, core=core) as one, a_worker(redis, core=core) as other:
        await asyncio.sleep(3.0)  # they register, and the store is no news any more
        print("| transport | at its worker | by another: its worker | … the other | owner | both | echo in |")
        print("|---|---|---|---|---|---|---|")
        for transport in TRANSPORTS:
            local, carried = await compare(transport, count, one, other, size)
            print(
                f"| `{transport}` | {local.one:.0f} µs | {carried.one:.0f} µs | {carried.other:.0f} µs"
                f" | {carried.one / local.one:.2f} × | {(carried.one + carried.other) / local.one:.2f} ×"
                f" | {local.latency:.0f} µs, {carried.latency:.0f} µs |"
            )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forwarding", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="echoes in a round (1000); 0: none are measured")
    parser.add_argument("--opens", type=int, default=300, help="opens in a round (300); 0: none are measured")
    parser.add_argument("--size", type=int, default=32, help="of a message, in bytes (32)")
    parser.add_argument("--worker", metavar="REDIS", help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(serve(arguments.worker, alone=arguments.alone))
    elif shutil.which("redis-server") is None:
        parser.error("there is no redis-server here to start")
    else:
        if arguments.count:
            asyncio.run(report(arguments.count, arguments.size))
        if arguments.opens:
            asyncio.run(report_opens(arguments.opens))


if __name__ == "__main__":
    main()
