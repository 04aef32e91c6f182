"""Pages over WebTransport through bad networks: what happens to their datagrams, and what has to be true all the same.

    python -m tests.browsers.udp [ENGINE ...]

is the long form of what test_webtransport.py has a sample of: every engine, every fault, ten times.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from typing import Any

from realtime.testing import UdpFaultProxy

from ..webtransport.place import listener_of, webtransport
from .engines import ENGINES as EVERY
from .engines import Engine, started, wanted
from .harness import Harness, serving
from .matrix.faults import SETTINGS

__all__ = ["ENGINES", "FAULTS", "Cell", "run_cell", "surroundings"]

# Those here that have it.
ENGINES = [name for name in ("chromium", "firefox") if name in wanted()]

# What happens to datagrams, what of the proxy's counts says that it has, and what the page may use.
FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "none": ({}, "passed", "webtransport"),
    "every tenth lost": ({"loss": 0.1}, "lost", "webtransport"),
    "one of four doubled": ({"duplicate": 0.25}, "doubled", "webtransport"),
    "one of four overtaken": ({"reorder": 0.25}, "overtaken", "webtransport"),
    "far away and uneven": ({"latency": 0.03, "jitter": 0.03}, "passed", "webtransport"),
    "cut twice, without a word": ({"cut_after": 20, "cuts": 2}, "cut", "webtransport"),
    "cut to the server": ({"cut_after": 20, "cuts": 2, "cut_way": "to_server"}, "cut", "webtransport"),
    "cut to the client": ({"cut_after": 20, "cuts": 2, "cut_way": "to_client"}, "cut", "webtransport"),
    "cut again and again": ({"cut_after": 20}, "cut", "webtransport,websocket,long_polling"),
    "all at once": (
        {
            "loss": 0.05,
            "duplicate": 0.1,
            "reorder": 0.1,
            "latency": 0.004,
            "jitter": 0.004,
            "cut_after": 20,
            "cuts": 2,
        },
        "cut",
        "webtransport",
    ),
}


@dataclass(frozen=True)
class Cell:
    """What came of one engine under one fault."""

    ok: bool
    problem: str
    happened: int  # how often the fault has


@contextlib.asynccontextmanager
async def surroundings(**faults: Any) -> AsyncIterator[tuple[Harness, UdpFaultProxy]]:
    """Pages whose server has WebTransport behind a proxy, as they are told."""
    async with UdpFaultProxy("127.0.0.1", 9, random=Random(1), **faults) as udp:
        options = webtransport(public_port=udp.port, public_host="127.0.0.1")
        async with serving(webtransport=options, **SETTINGS) as harness:
            udp.backend = ("127.0.0.1", listener_of(harness.server).port)
            yield harness, udp


async def run_cell(engine: Engine, fault: str) -> Cell:
    """A hundred messages each way, numbered and checked by both ends, while the fault goes on."""
    faults, count, transports = FAULTS[fault]
    async with surroundings(**faults) as (harness, udp):
        report = await harness.run(engine, transports, ["hundred"], timeout=240)
    problem = report.outcomes[0].problem or "; ".join(report.errors)
    return Cell(report.ok and not report.errors, problem + "\n" + "\n".join(report.log[-30:]), udp.counts[count])


async def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(prog="python -m tests.browsers.udp")
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"{' or '.join(ENGINES)}; unless told, all")
    parser.add_argument("--times", type=int, default=10)
    options = parser.parse_args()
    if strangers := set(options.engines) - set(ENGINES):
        parser.error(f"no WebTransport in {', '.join(sorted(strangers))}; there is in {', '.join(ENGINES)}")
    bad = 0
    for name in options.engines or ENGINES:
        async with started(EVERY[name]()) as engine:
            for fault in FAULTS:
                cells = [await run_cell(engine, fault) for _ in range(options.times)]
                good = sum(cell.ok and cell.happened > 0 for cell in cells)
                bad += options.times - good
                print(f"{name}, {fault}: {good} of {options.times}", flush=True)  # noqa: T201 # a command
                for cell in cells:
                    if not cell.ok:
                        print(cell.problem)  # noqa: T201
    return bad


if __name__ == "__main__":
    raise SystemExit(1 if asyncio.run(main()) else 0)
