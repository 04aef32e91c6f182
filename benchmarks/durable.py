"""What a turn of a durable session costs beside one of an ordinary session: `python -m benchmarks.durable`.

A worker over a Redis of its own has both endpoints: the same echo, of which the durable one is stored. Each session
sends and waits for the echo, again and again; CPU time of the worker and of Redis is read, and how many commands Redis
was sent and ran. Then a hundred sessions do so at the same time. Commits of one turn of the event loop go out together.

The client is Python's own, and not counted. An echo is a turn: a message is taken, one is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import shutil
import time
from typing import NamedTuple

import aiohttp
from aiohttp import web

import realtime

from .forwarding import a_redis
from .process import ServerProcess, pin_generator, serve_until_told

__all__ = ["Cost", "compare", "main", "measured"]

ENDPOINTS = ("ordinary", "durable")
WARM = 50  # turns that are not counted
ROUNDS = 3

a_worker = functools.partial(ServerProcess.worker, "benchmarks.durable")


class Cost(NamedTuple):
    """What one turn takes."""

    worker: float  # µs of CPU
    redis: float  # µs of CPU
    scripts: float  # that Redis was sent
    commands: float  # that it ran, in these or without
    latency: float  # µs from a send to its echo, half of them take less


async def serve(redis: str) -> None:
    """The worker: says its port, and ends with its standard input."""
    rt = realtime.Server(broker=redis)

    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    rt.endpoint("/ordinary")(echo)
    rt.endpoint("/durable", durable=True)(echo)
    app = web.Application()
    realtime.setup(app, rt)
    await serve_until_told(app, lambda: rt.health().ready)


async def asked(redis: str, *words: str) -> str:
    """What Redis says to one command."""
    host, _, port = redis.removeprefix("redis://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write((" ".join(words) + "\r\n").encode())
    size = int((await reader.readline())[1:])
    answer = await reader.readexactly(size + 2)
    writer.close()
    return answer.decode()


async def used(redis: str) -> tuple[float, int, int]:
    """Seconds of CPU time that Redis has used, how many scripts it was sent, and how many commands it ran, of which
    scripts run some themselves."""
    text = await asked(redis, "INFO", "all")
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    calls = {
        name.removeprefix("cmdstat_"): int(value.partition("calls=")[2].partition(",")[0])
        for name, value in facts.items()
        if name.startswith("cmdstat_") and name != "cmdstat_info"
    }
    cpu = float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])
    return cpu, calls.get("evalsha", 0), sum(calls.values())


async def measured(url: str, redis: str, worker: ServerProcess, turns: int, sessions: int) -> Cost:
    """The cost of a turn, where each of so many sessions does `turns`, one behind the other."""
    times: list[float] = []
    text = "x" * 32

    async def some(session: realtime.ClientSession, count: int) -> None:
        for _ in range(count):
            began = time.perf_counter()
            await session.send(text)
            await session.receive()
            times.append(time.perf_counter() - began)

    async with contextlib.AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        opened = []
        for _ in range(sessions):
            session = realtime.connect(url, transports=["websocket"], http=http)
            opened.append(await stack.enter_async_context(session))
        await asyncio.gather(*(some(session, max(1, WARM // sessions)) for session in opened))
        times.clear()
        cpu, before = worker.cpu_seconds(), await used(redis)
        await asyncio.gather(*(some(session, turns) for session in opened))
        spent, after = worker.cpu_seconds() - cpu, await used(redis)
    count = turns * sessions
    return Cost(
        spent / count * 1e6,
        (after[0] - before[0]) / count * 1e6,
        (after[1] - before[1]) / count,
        (after[2] - before[2]) / count,
        sorted(times)[count // 2] * 1e6,
    )


async def compare(redis: str, worker: ServerProcess, turns: int, sessions: int) -> tuple[Cost, Cost]:
    """A turn of an ordinary session, and of a durable one: of several rounds each the cheapest."""
    found: dict[str, list[Cost]] = {name: [] for name in ENDPOINTS}
    for _ in range(ROUNDS):
        for name, costs in found.items():
            url = f"http://127.0.0.1:{worker.port}/realtime/{name}"
            costs.append(await measured(url, redis, worker, turns, sessions))
    ordinary, durable = (min(costs, key=lambda cost: cost.worker) for costs in found.values())
    return ordinary, durable


async def report(count: int, many: int) -> None:
    """The table."""
    core = pin_generator()
    async with a_redis() as redis, a_worker(redis, core=core) as worker:
        print("| a turn | CPU of the worker | of Redis | Redis is sent | runs | echo in |")
        print("|---|---|---|---|---|---|")
        for sessions in (1, many):
            for name, cost in zip(ENDPOINTS, await compare(redis, worker, count // sessions, sessions), strict=True):
                print(
                    f"| {name}, {sessions} session{'s' * (sessions > 1)} | {cost.worker:.0f} µs | {cost.redis:.0f} µs"
                    f" | {cost.scripts:.2f} | {cost.commands:.2f} | {cost.latency / 1000:.2f} ms |"
                )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durable", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="turns in a round (2000)")
    parser.add_argument("--sessions", type=int, default=100, help="at the same time (100)")
    parser.add_argument("--worker", metavar="REDIS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(serve(arguments.worker))
    elif shutil.which("redis-server") is None:
        parser.error("there is no redis-server here to start")
    else:
        asyncio.run(report(arguments.count, arguments.sessions))


if __name__ == "__main__":
    main()
