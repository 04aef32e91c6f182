"""The faults of the matrix, each in words and as rules for the FaultProxy; and one cell of the matrix, run.

A page that gets through such a proxy sends 100 numbered messages and expects as many, while the client goes by whatever
transport it likes. Nothing here knows which that is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from realtime.testing import (
    BlackHole,
    Cut,
    DropResponse,
    Fault,
    FaultProxy,
    HoldResponse,
    KillWebSocket,
    ProxiedRequest,
    RefuseWebSocket,
    RepeatRequest,
    Rule,
)

from ..abilities import ONLY
from ..engines import Engine
from ..harness import Failure, Harness

__all__ = ["FAULTS", "SETTINGS", "Cell", "Trouble", "run_cell"]

# As short as a server would have them at the least: a black hole is found after two seconds.
SETTINGS: dict[str, Any] = {"ping_interval": 1.0, "ping_timeout": 1.0, "resume_window": 60.0}
# Of one cell, in seconds.
TIMEOUT = 90.0
STREAMS = ("sse", "xhr_streaming", "multipart", "htmlfile")
# How long the server is gone, in seconds: that is the fault itself, and no wait for an event.
GONE = 1.5

Meanwhile = Callable[[FaultProxy], Awaitable[None]]


def _websockets(request: ProxiedRequest) -> bool:
    return request.is_websocket


def _streams(request: ProxiedRequest) -> bool:
    return request.path.rpartition("/")[2] in STREAMS


def _posts(request: ProxiedRequest) -> bool:
    return request.method == "POST" and "/realtime/" in request.path


async def _gone_and_back(proxy: FaultProxy) -> None:
    """The server vanishes while messages are under way: connections end, and new ones are refused for a while."""
    session = proxy.add(Cut(match=lambda request: "/realtime/" in request.path, after_seconds=3600))
    await session.wait_armed(3 if proxy.rules[0] is not session else 1)
    proxy.unplug(refuse=True)
    proxy.cut(rst=True)
    await asyncio.sleep(GONE)
    proxy.plug()


@dataclass(frozen=True)
class Trouble:
    """One row of the matrix."""

    words: str
    faults: tuple[Fault, ...] = ()
    meanwhile: Meanwhile | None = None


_NO_WEBSOCKET = RefuseWebSocket()

FAULTS: dict[str, Trouble] = {
    "none": Trouble("no fault"),
    "websocket-refused": Trouble("WebSocket refused (403)", (RefuseWebSocket(),)),
    "websocket-killed": Trouble("every WebSocket killed after its first frame", (KillWebSocket(after_frames=1),)),
    "websocket-mute": Trouble(
        "WebSocket opens and stays mute (black hole)", (BlackHole(match=_websockets, after_bytes=0),)
    ),
    "stream-held": Trouble("no WebSocket; streams held whole", (_NO_WEBSOCKET, HoldResponse(match=_streams))),
    "stream-cut": Trouble(
        "no WebSocket; every stream cut after 4,000 bytes", (_NO_WEBSOCKET, Cut(match=_streams, after_bytes=4000))
    ),
    "reply-dropped": Trouble(
        "no WebSocket; every fifth answer to a POST lost", (_NO_WEBSOCKET, DropResponse(match=_posts, every=5))
    ),
    "post-repeated": Trouble("no WebSocket; every POST repeated", (_NO_WEBSOCKET, RepeatRequest(match=_posts))),
    "server-gone": Trouble("the server gone for a while, and back", meanwhile=_gone_and_back),
}


@dataclass(frozen=True)
class Cell:
    """What became of it."""

    engine: str
    fault: str
    ok: bool
    transport: str
    seconds: float
    problem: str


@contextlib.asynccontextmanager
async def _troubled(harness: Harness, trouble: Trouble) -> AsyncIterator[tuple[FaultProxy, list[Rule]]]:
    address = urlsplit(harness.pages)
    assert address.hostname is not None
    assert address.port is not None
    async with FaultProxy(address.hostname, address.port) as proxy:
        rules = [proxy.add(fault) for fault in trouble.faults]
        extra = asyncio.ensure_future(trouble.meanwhile(proxy)) if trouble.meanwhile else None
        try:
            yield proxy, rules
        finally:
            if extra is not None:
                extra.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await extra


async def run_cell(engine: Engine, fault: str, harness: Harness) -> Cell:
    """One engine under one fault, over whatever transport the client takes (but for the engines in ONLY)."""
    transport, _ = ONLY.get(engine.name, ("", ""))
    async with _troubled(harness, FAULTS[fault]) as (proxy, _):
        try:
            # The page too comes through the proxy, so that all is of one origin, as it is with most sites.
            report = await harness.run(engine, transport, ["hundred"], timeout=TIMEOUT, pages=proxy.url)
        except Failure as failure:
            return Cell(engine.name, fault, False, "", TIMEOUT, str(failure))
    (outcome,) = report.outcomes
    problem = outcome.problem or "; ".join(report.errors)
    if problem:
        problem += "\n" + "\n".join(report.log[-40:])
    return Cell(engine.name, fault, report.ok and not problem, outcome.transport or "", outcome.seconds, problem)
