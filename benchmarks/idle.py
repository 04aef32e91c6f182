"""What many sessions cost that do nothing, and what a message to all of them does to the event loop.

    python -m benchmarks.idle --write      # about four minutes; writes docs/speed.md

A server of each contender has so many sessions over WebSockets. Measured are the CPU time it takes while nothing is
said (pings at default settings included), how long an echo of one more session takes beside them and without them, and
the longest turn of the event loop while messages go to all of them, one at a time: in CPU time of its thread, from one
look at the sockets to the next, so that other processes don't count, and garbage collections do.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import aiohttp
from aiohttp import web

from .contenders import SERVED
from .load import Broadcast, Echo, Failed, Limit, Tally
from .loops import LOOPS, new_event_loop
from .process import ServerProcess, allowed_files, pin_generator, serve_until_told
from .report import facts, write_block
from .scenarios import PEERS, Bench, Plan

__all__ = ["Idle", "measured"]

SERVERS = ("realtime", "realtime, tune_gc()", "bare aiohttp")
SESSIONS = 5000
REST = 50.0  # seconds in which nothing is said: two pings of each session


class Idle(NamedTuple):
    """What was measured of one server."""

    cpu: float  # the part of a core that the idle sessions take
    alone: float  # ms that 99 of 100 echoes of a session take at most, beside nobody,
    beside: float  # and beside all of them
    turn: float  # ms of the longest turn of the event loop


class Turns(selectors.DefaultSelector):
    """A selector that knows how long its event loop was busy between two looks at most, in seconds of CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self._began = time.thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Looks at the sockets."""
        self.longest = max(self.longest, time.thread_time() - self._began)
        events = super().select(timeout)
        self._began = time.thread_time()
        return events


def serve(contender: str) -> None:
    """The server: says its port, and ends with its standard input. /turn is the longest turn since the last request."""
    turns = Turns()

    async def turn(request: web.Request) -> web.Response:
        longest, turns.longest = turns.longest, 0.0
        return web.json_response(longest)

    app = SERVED[contender]()
    app.router.add_get("/turn", turn)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(turns)) as runner:
        runner.run(serve_until_told(app))


async def longest_turn(server: ServerProcess) -> float:
    """In seconds; it is counted anew from here."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{server.port}/turn") as answer:
        return float(await answer.json())


async def measured(contender: str, core: int | None, sessions: int, rest: float, load: Limit) -> Idle:
    """One server: it rests for so many seconds, and is loaded twice. Raises Failed."""
    make = PEERS[contender, "websocket"]
    plan = Plan(measured=load, warm_up=Limit(0.3, load.operations))
    async with ServerProcess.worker("benchmarks.idle", contender, core=core) as server:
        bench = Bench(server, make, make, plan, Tally())
        try:
            (peer,) = await bench.peers(1, "echo")
            echo = Echo([peer], 1, bench.tally)
            alone = (await bench.measure(echo, 1)).percentile(0.99)
            listeners = await bench.peers(sessions, "listen", speaks=False)
            beside = (await bench.measure(echo, 1)).percentile(0.99)
            await bench.meter.rest()
            cpu, began = server.cpu_seconds(), time.perf_counter()
            await asyncio.sleep(rest)
            part = (server.cpu_seconds() - cpu) / (time.perf_counter() - began)
            broadcast = Broadcast(await bench.speaker(), listeners, 1, bench.tally)
            await broadcast.run(plan.warm_up)
            await longest_turn(server)
            await broadcast.run(load)
            turn = await longest_turn(server)
        finally:
            await bench.abort()
    return Idle(part, alone, beside, turn * 1e3)


def table(found: dict[str, Idle]) -> str:
    """What docs/speed.md says."""
    lines = ["| | CPU of a core, idle | p99 of an echo beside nobody | beside them | longest turn, a message to all |"]
    lines.append("|---|---:|---:|---:|---:|")
    for contender, idle in found.items():
        cells = f"{idle.cpu:.2%}", f"{idle.alone:.2f} ms", f"{idle.beside:.2f} ms", f"{idle.turn:.0f} ms"
        lines.append(f"| {contender} | {' | '.join(cells)} |")
    return "\n".join(lines)


async def _run(names: Sequence[str], core: int | None, sessions: int, seconds: float) -> dict[str, Idle]:
    found = {}
    for name in names:
        try:
            found[name] = await measured(name, core, sessions, REST, Limit(seconds))
        except Failed as error:
            print(f"{name}: no figures: {error}", file=sys.stderr)
    return found


def main() -> None:
    """Measures, and prints or writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("--write", action="store_true", help="writes docs/speed.md")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help=f"how many ({SESSIONS})")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each load takes (5)")
    parser.add_argument("--worker", metavar="CONTENDER", choices=tuple(SERVED), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        serve(arguments.worker)
        return
    sessions = min(arguments.sessions, (allowed_files(2 * arguments.sessions + 200) - 200) // 2)
    core = pin_generator()
    with asyncio.Runner(loop_factory=new_event_loop(LOOPS[-1])) as runner:
        found = runner.run(_run(SERVERS, core, sessions, arguments.seconds))
    about = facts(pinned=core is not None, rounds=1, seconds=arguments.seconds, size=64)
    about["sessions"] = f"{sessions:,}"
    text = ", ".join(f"{name}: {value}" for name, value in about.items()) + ".\n\n" + table(found)
    if arguments.write:
        write_block("speed.md", "idle", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
