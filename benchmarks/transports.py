"""What each transport costs on the wire and in time: the tables of docs/choosing.md.

    python -m benchmarks.transports            # prints them
    python -m benchmarks.transports --write    # and puts them into the page

Bytes are counted at the server's sockets, with all headers; requests as the application is asked. Client (Python's) and
server share a process and a machine, so times are those of the transports and of Python, not of any network.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import os
import platform
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any, cast

from aiohttp import web

import realtime

__all__ = ["TRANSPORTS", "Cost", "Figures", "Meter", "measure", "serving", "tables", "write"]

PAGE = Path(__file__).parents[1] / "docs" / "choosing.md"
# What this client runs. `htmlfile` and `jsonp` need a browser.
TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "long_polling", "polling")
SIZE = 64  # bytes of a message
BURST = 32  # messages
PUSH_PAUSE = 0.5  # seconds between two messages from the server alone


@dataclass
class Meter:
    """What went over the server's sockets."""

    up: int = 0
    down: int = 0
    requests: int = 0

    def reset(self) -> None:
        """From here on."""
        self.up = self.down = self.requests = 0


@dataclass
class Cost:
    """Of one way of talking: totals, and how long each message took, in seconds."""

    messages: int = 0
    requests: int = 0
    up: int = 0
    down: int = 0
    times: list[float] = field(default_factory=list)

    def row(self) -> str:
        """Per message: requests, bytes up, bytes down, and milliseconds, the median and what 19 of 20 stay below."""
        worst = quantiles(self.times, n=20)[-1] if len(self.times) > 1 else self.times[0]
        return (
            f"{self.requests / self.messages:.2f} | {self.up / self.messages:,.0f} | {self.down / self.messages:,.0f}"
            f" | {median(self.times) * 1000:,.1f} | {worst * 1000:,.1f}"
        )


@dataclass(frozen=True)
class Figures:
    """Of one transport."""

    echo: Cost
    burst: Cost
    push: Cost


class CountingTransport:
    """A connection that counts what is written to it, and is the connection in everything else."""

    def __init__(self, transport: asyncio.Transport, meter: Meter) -> None:
        self._transport = transport
        self._meter = meter

    def write(self, data: bytes) -> None:
        """asyncio.WriteTransport."""
        self._meter.down += len(data)
        self._transport.write(data)

    def writelines(self, parts: list[bytes]) -> None:
        """asyncio.WriteTransport."""
        self._meter.down += sum(map(len, parts))
        self._transport.writelines(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CountingProtocol(asyncio.Protocol):
    """Counts what is received, and hands everything on to the protocol inside."""

    def __init__(self, inside: asyncio.Protocol, meter: Meter) -> None:
        self._inside = inside
        self._meter = meter
        self.connection_lost = inside.connection_lost  # type: ignore[method-assign] # the rest is its own affair
        self.eof_received = inside.eof_received  # type: ignore[method-assign]
        self.pause_writing = inside.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inside.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio.BaseProtocol."""
        counting = CountingTransport(cast(asyncio.Transport, transport), self._meter)
        self._inside.connection_made(cast(asyncio.BaseTransport, counting))

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol."""
        self._meter.up += len(data)
        self._inside.data_received(data)


def _server(meter: Meter) -> web.Application:
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @rt.endpoint("/push")
    async def push(session: realtime.Session) -> None:
        while True:
            await session.send(str(time.perf_counter()).ljust(SIZE))
            await asyncio.sleep(PUSH_PAUSE)

    @web.middleware
    async def count(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        meter.requests += 1
        return await handler(request)

    app = web.Application(middlewares=[count])
    realtime.setup(app, rt)
    return app


@contextlib.asynccontextmanager
async def serving(meter: Meter) -> AsyncIterator[str]:
    """An echo and a source of messages, on sockets that are counted; gives the address of both."""
    runner = web.AppRunner(_server(meter), access_log=None)
    await runner.setup()
    make = runner.server
    assert make is not None
    listener = await asyncio.get_running_loop().create_server(lambda: CountingProtocol(make(), meter), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/realtime"
    finally:
        listener.close()
        await runner.cleanup()


async def _run(meter: Meter, seconds: float, step: Callable[[], Awaitable[list[float]]]) -> Cost:
    """Takes steps for some seconds, at least one. A step says how long each of its messages took."""
    cost = Cost()
    meter.reset()
    end = time.perf_counter() + seconds
    while not cost.messages or time.perf_counter() < end:
        cost.times += await step()
        cost.messages = len(cost.times)
    cost.requests, cost.up, cost.down = meter.requests, meter.up, meter.down
    return cost


async def measure(transport: str, meter: Meter, url: str, seconds: float) -> Figures:
    """Talks over one transport, `seconds` for each way of talking."""
    message = "x" * SIZE

    async with realtime.connect(f"{url}/echo", transports=[transport], upgrade=False) as session:

        async def burst(count: int = BURST) -> list[float]:
            started = time.perf_counter()
            for _ in range(count):
                await session.send(message)
            times = []
            for _ in range(count):
                assert await session.receive() == message
                times.append(time.perf_counter() - started)
            return times

        for _ in range(10):
            await burst(1)  # it opens by what opens fastest, and settles
        echoed = await _run(meter, seconds, lambda: burst(1))
        in_bursts = await _run(meter, seconds, burst)
        assert session.transport == transport

    async with realtime.connect(f"{url}/push", transports=[transport], upgrade=False) as session:

        async def push() -> list[float]:
            sent = float(await session.receive())
            return [time.perf_counter() - sent]

        await push()
        await push()
        return Figures(echoed, in_bursts, await _run(meter, 3 * seconds, push))


def tables(figures: dict[str, Figures], seconds: float) -> str:
    """The figures in Markdown, with the facts they depend on."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    python = ".".join(platform.python_version_tuple()[:2])
    lines = [
        f"Measured on {date}: {seconds:g} s for each line of the first two tables and three times that for the third;",
        f"messages of {SIZE} bytes; client and server in one process of Python {python} over loopback, on a",
        f"{platform.system()} machine with {os.cpu_count()} shared {platform.machine()} cores. Bytes are those at the",
        "server's sockets, headers counted.",
    ]
    head = "requests | bytes up | bytes down | ms, median | ms, 95 % |"
    for title, kind in (
        ("One echo after the other, each:", "echo"),
        (f"Echoes in bursts of {BURST}, each:", "burst"),
        (f"Messages from the server alone, one each {PUSH_PAUSE:g} s, each:", "push"),
    ):
        lines += ["", title, "", f"| transport | {head}", "|---|---:|---:|---:|---:|---:|"]
        lines += [f"| `{name}` | {getattr(each, kind).row()} |" for name, each in figures.items()]
    return "\n".join(lines)


def write(text: str, page: str) -> str:
    """The page with these tables in their place."""
    return re.sub(
        r"(<!-- figures[^>]*-->\n).*(<!-- /figures -->)", lambda at: f"{at[1]}{text}\n{at[2]}", page, flags=re.S
    )


async def _all(seconds: float) -> dict[str, Figures]:
    figures = {}
    for transport in TRANSPORTS:  # each alone, with a server of its own
        meter = Meter()
        async with serving(meter) as url:
            figures[transport] = await measure(transport, meter, url, seconds)
    return figures


def main() -> None:
    """Measures, prints, and writes if it is asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transports", description="What each transport costs.")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each way of talking (5)")
    parser.add_argument("--write", action="store_true", help="puts the tables into docs/choosing.md")
    arguments = parser.parse_args()
    text = tables(asyncio.run(_all(arguments.seconds)), arguments.seconds)
    print(text)
    if arguments.write:
        PAGE.write_text(write(text, PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
