"""Exactly once, for events and their answers, under a fault at every step there is.

A conversation says one event after the other, each in every way there is: emitted, with bytes in it, called, volatile,
in both directions. It is held again and again, each time with one fault: at its first step, its second, and so on, for
as long as there is a step for it. What each end has heard, and was answered, has to be the same every time.

`python -m tests.namespaces.matrix` holds all of them, at several distances; the suite some.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

from aiohttp import web

import realtime
from realtime.testing import (
    Cut,
    DropRequest,
    DropResponse,
    Fault,
    FaultProxy,
    KillWebSocket,
    ProxiedRequest,
    RepeatRequest,
    TruncateRequest,
    TruncateResponse,
)

from ..client.soak import TIMING
from ..patience import eventually, within

__all__ = [
    "CASES",
    "DOWN",
    "POLLS",
    "STREAMS",
    "UP",
    "Case",
    "Converse",
    "Heard",
    "MatrixServer",
    "Run",
    "converse",
    "held",
    "serving",
    "verdict",
]

DATA = bytes(range(0, 256, 15))
BLOB: list[Any] = [DATA, {"in": [b"", DATA[:5]]}]
# What is said in each direction, in this order: the name of the event, which its receiver notes, and its arguments.
SAID: list[tuple[str, list[Any]]] = [
    ("emit", [1, "é"]),
    ("emit", [2, *BLOB]),
    ("call", [3, "x"]),
    ("call", [4, *BLOB]),
    ("volatile", [5]),
    ("volatile", [6, *BLOB]),
    ("emit", [7, *BLOB]),
    ("call", [8]),
]
UP = [(name, args) for name, args in SAID if name != "volatile"]  # a client has nothing volatile
DOWN = SAID


class Run:
    """What one conversation was, as its server saw it."""

    def __init__(self) -> None:
        self.came = 0  # how often a session came in
        self.late = 0  # how often it was asked for what comes late
        self.heard: list[tuple[str, list[Any]]] = []
        self.answers: list[Any] = []
        self.left: list[str] = []


class Heard(NamedTuple):
    """The same, as its client did."""

    heard: list[tuple[str, list[Any]]]
    answers: list[Any]


# Holds a conversation: at a URL, the number of the run, by a transport.
Converse: TypeAlias = Callable[[str, int, str], Awaitable[Heard]]


class MatrixServer:
    """Events that hold conversations: `auth` says which."""

    def __init__(self) -> None:
        self.events = realtime.Events()
        self.runs: dict[int, Run] = {}
        self.numbers = itertools.count()  # of runs
        self.proxies = AsyncExitStack()  # those that are closed with the server
        self.events.on("connect")(self.connect)
        self.events.on("disconnect")(self.disconnect)
        self.events.on("down")(self.down)
        self.events.on("late", concurrent=2)(self.late)
        self.events.on("release")(self.release)
        for name in ("emit", "call"):
            self.events.on(name)(self._hears(name))
        self.released: dict[str, asyncio.Event] = {}

    def _run(self, session: realtime.EventSession) -> Run:
        return self.runs.setdefault(session.auth["run"], Run())

    def _hears(self, name: str) -> Callable[..., list[Any]]:
        def hear(session: realtime.EventSession, *args: Any) -> list[Any]:
            self._run(session).heard.append((name, list(args)))
            return [*args, name]

        return hear

    def connect(self, session: realtime.EventSession) -> None:
        """A client comes in."""
        self._run(session).came += 1
        self.released[session.id] = asyncio.Event()

    def disconnect(self, session: realtime.EventSession, reason: str) -> None:
        """And goes."""
        self._run(session).left.append(reason)

    async def down(self, session: realtime.EventSession) -> str:
        """Says everything to the client."""
        for name, args in DOWN:
            if name == "call":
                self._run(session).answers.append(await session.call(name, *args, timeout=None))
            else:
                await session.emit(name, *args, volatile=name == "volatile")
        return "all"

    async def late(self, session: realtime.EventSession) -> str:
        """Answers when nobody waits for that any more."""
        self._run(session).late += 1  # which is beside all others
        await self.released[session.id].wait()
        return "late"

    def release(self, session: realtime.EventSession) -> None:
        """Nobody waits any more."""
        self._run(session).heard.append(("release", []))
        self.released[session.id].set()


async def converse(url: str, run: int, transport: str) -> Heard:
    """Holds one, from Python."""
    heard: list[tuple[str, list[Any]]] = []
    answers: list[Any] = []
    options: dict[str, Any] = {"attach_timeout": 10.0, "post_timeout": 10.0, "backoff": (0.01, 0.1)}
    async with realtime.connect(url, transports=transport, upgrade=False, **options) as session:
        main = session.events(auth={"run": run})

        def hears(name: str) -> Callable[..., list[Any]]:
            def hear(*args: Any) -> list[Any]:
                heard.append((name, list(args)))
                return [*args, name]

            return hear

        for name in ("emit", "call", "volatile"):
            main.on(name)(hears(name))
        for name, args in UP:
            if name == "call":
                answers.append(await main.call(name, *args, timeout=None))
            else:
                await main.emit(name, *args)
        answers.append(await main.call("down", timeout=None))
        try:
            answers.append(await main.call("late", timeout=0.001))
        except TimeoutError:
            answers.append("timed out")
        await main.emit("release")
        answers.append(await main.call("call", "last", timeout=None))
        assert not main._home.calls
    return Heard(heard, answers)


def verdict(run: Run, client: Heard) -> list[str]:
    """What is wrong with a conversation."""
    wrong = []
    up = [*UP, ("release", []), ("call", ["last"])]
    expected = {
        "sessions": (run.came, 1),
        "late": (run.late, 1),
        "what the server heard": (run.heard, up),
        "what the server was answered": (run.answers, [[*args, name] for name, args in DOWN if name == "call"]),
        "what the client was answered": (
            client.answers,
            [*([*args, name] for name, args in UP if name == "call"), "all", "timed out", ["last", "call"]],
        ),
        "how it ended": (run.left, ["transport close"]),
    }
    for what, (found, right) in expected.items():
        if found != right:
            wrong.append(f"{what}: {found} where {right} is right")
    # What is volatile comes once, in its place, or not at all.
    places = [DOWN.index(one) if one in DOWN else -1 for one in client.heard]
    kept = [one for one in client.heard if one[0] != "volatile"]
    if -1 in places or places != sorted(set(places)) or kept != [one for one in DOWN if one[0] != "volatile"]:
        wrong.append(f"what the client heard: {client.heard}")
    return wrong


# -- faults ------------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A kind of fault on a transport: `at` makes the one of a step."""

    transport: str
    name: str
    at: Callable[[int], Fault]


def _posts(request: ProxiedRequest) -> bool:
    return request.method == "POST"


def _sends(request: ProxiedRequest) -> bool:
    return request.path.endswith("/send")


def _websockets(request: ProxiedRequest) -> bool:
    return request.is_websocket


def _streams(request: ProxiedRequest) -> bool:
    return request.path.rpartition("/")[2] in STREAMS


STREAMS = ("xhr_streaming", "sse", "multipart")
POLLS = ("long_polling", "polling")
ON_WEBSOCKET: dict[str, Callable[[int], Fault]] = {
    "ended behind a frame of the server": lambda step: KillWebSocket(after_frames=step, times=1),
    "reset behind a frame of the client": lambda step: KillWebSocket(
        after_frames=step, sent_by="client", times=1, end="rst"
    ),
    "cut within what the server says": lambda step: Cut(match=_websockets, after_bytes=7 + 61 * step, times=1),
}
ON_STREAM: dict[str, Callable[[int], Fault]] = {
    "cut within a stream": lambda step: Cut(match=_streams, after_bytes=7 + 97 * step, times=1, end="rst"),
    "before a send arrives": lambda step: DropRequest(match=_sends, skip=step, times=1),
    "behind a send": lambda step: DropResponse(match=_sends, skip=step, times=1),
    "a send twice": lambda step: RepeatRequest(match=_sends, skip=step, times=1),
}
ON_POLL: dict[str, Callable[[int], Fault]] = {
    "before a request arrives": lambda step: DropRequest(match=_posts, skip=step, times=1, end="rst"),
    "behind a request": lambda step: DropResponse(match=_posts, skip=step, times=1),
    "a request twice": lambda step: RepeatRequest(match=_posts, skip=step, times=1),
    "within a request": lambda step: TruncateRequest(match=_posts, skip=step, times=1),
    "within an answer": lambda step: TruncateResponse(match=_posts, skip=step, times=1),
}
CASES = [
    *(Case("websocket", name, at) for name, at in ON_WEBSOCKET.items()),
    *(Case(transport, name, at) for transport in STREAMS for name, at in ON_STREAM.items()),
    *(Case(transport, name, at) for transport in POLLS for name, at in ON_POLL.items()),
]


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[MatrixServer, int]]:
    """A server, and its port."""
    server = MatrixServer()
    rt = realtime.Server(shutdown_timeout=0.5, **TIMING | {"ping_interval": 5.0, "ping_timeout": 5.0})
    rt.endpoint("/chat")(server.events)
    app = web.Application()
    realtime.setup(app, rt)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with server.proxies:
            yield server, runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def held(
    server: MatrixServer,
    port: int,
    case: Case,
    *,
    first: int = 0,
    every: int = 1,
    latency: float = 0.0,
    beside: int = 1,
    by: Converse | None = None,
) -> int:
    """Holds a case's conversation with the fault at its `first` step and each `every`-th from there on, as long as
    there is one, so many of them at a time; how many had one. `by`: what holds it, if not our client in Python.

    Raises AssertionError where one was not what it has to be.
    """
    count = 0
    for step in itertools.count(first, every * beside):
        steps = range(step, step + every * beside, every)
        fired = await asyncio.gather(*(_hold(server, port, case, at, latency, by or converse) for at in steps))
        count += sum(fired)
        if not all(fired):
            return count
    raise AssertionError


async def _hold(server: MatrixServer, port: int, case: Case, step: int, latency: float, by: Converse) -> bool:
    """Holds one, with the fault at this step; whether there was such a step."""
    number, what = next(server.numbers), f"{case.transport}, {case.name}, step {step}, {latency * 1000:.0f} ms"
    async with AsyncExitStack() as ours:
        # Another process may have connections to it that nobody here knows when they end.
        stack = ours if by is converse else server.proxies
        proxy = await stack.enter_async_context(FaultProxy("127.0.0.1", port, latency=latency))
        rule = proxy.add(case.at(step))
        async with within(what):
            client = await by(f"{proxy.url}/realtime/chat", number, case.transport)
    run = server.runs[number]
    await eventually(lambda: run.left)
    wrong = verdict(run, client)
    assert not wrong, f"{what}: " + "; ".join(wrong)
    return rule.fired > 0


async def _all(latencies: list[float], every: int) -> None:
    async with serving() as (server, port):
        gate = asyncio.Semaphore(8)

        async def one(case: Case, latency: float) -> int:
            async with gate:
                steps = await held(server, port, case, every=every, latency=latency, beside=4 if latency else 1)
            sys.stdout.write(f"{steps:4} steps  {latency * 1000:4.0f} ms  {case.transport}: {case.name}\n")
            sys.stdout.flush()
            return steps

        count = 0
        for latency in latencies:
            count += sum(await asyncio.gather(*(one(case, latency) for case in CASES)))
    sys.stdout.write(f"{count} conversations, each with a fault, and all were held\n")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.namespaces.matrix", description=__doc__)
    parser.add_argument("--latency", type=float, nargs="*", default=[0.0, 0.15, 0.6], help="seconds of a round trip")
    parser.add_argument("--every", type=int, default=1, help="only each so-many-th step")
    given = parser.parse_args()
    started = time.monotonic()
    asyncio.run(_all(given.latency, given.every))
    sys.stdout.write(f"{time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
