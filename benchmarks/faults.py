"""How long a client takes to a working session behind each fault: `python -m benchmarks.faults [--write]`.

Prints the table of docs/negotiation.md; with --write puts it there.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import statistics
import time
from pathlib import Path

import realtime
from realtime.testing import (
    BlackHole,
    Cut,
    Fault,
    FaultProxy,
    HangWebSocket,
    HoldResponse,
    KillWebSocket,
    Lag,
    ProxiedRequest,
    RefuseWebSocket,
    ResetWebSocket,
    StripUpgrade,
    serve,
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "negotiation.md"
ROUNDS = 5


def websockets(request: ProxiedRequest) -> bool:
    """Handshakes."""
    return request.is_websocket


def streams(request: ProxiedRequest) -> bool:
    """Long responses."""
    return request.path.endswith(("/xhr_streaming", "/sse", "/multipart"))


NO_WEBSOCKET = RefuseWebSocket()
FAULTS: dict[str, list[Fault]] = {
    "none": [],
    "WebSocket refused (403)": [NO_WEBSOCKET],
    "Upgrade header stripped": [StripUpgrade()],
    "WebSocket hung at the handshake": [HangWebSocket()],
    "WebSocket reset": [ResetWebSocket()],
    "WebSocket black-holed": [BlackHole(match=websockets)],
    "WebSocket opens and stays mute": [BlackHole(match=websockets, after_bytes=0)],
    "WebSocket killed after the first frame": [KillWebSocket(after_frames=1)],
    "no WebSocket, streams held": [NO_WEBSOCKET, HoldResponse(match=streams)],
    "no WebSocket, streams lag 0.2 s": [NO_WEBSOCKET, Lag(match=streams, seconds=0.2)],
    "no WebSocket, streams cut at once": [NO_WEBSOCKET, Cut(match=streams, after_bytes=100)],
}


async def measure(port: int, faults: list[Fault]) -> tuple[float, str]:
    """Seconds from connect() to the first message back, and the transport that brought it."""
    async with FaultProxy("127.0.0.1", port) as proxy:
        for fault in faults:
            proxy.add(fault)
        started = time.perf_counter()
        async with realtime.connect(f"{proxy.url}/realtime/echo") as session:
            await session.send("hello")
            await session.receive()
            return time.perf_counter() - started, session.transport


async def table() -> str:
    """The table, in Markdown."""
    server = realtime.Server()

    @server.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    lines = ["| fault | first message back after | over |", "|---|---|---|"]
    async with serve(server) as url:
        for name, faults in FAULTS.items():
            results = [await measure(int(url.port or 80), faults) for _ in range(ROUNDS)]
            times = [seconds for seconds, _ in results]
            over = ", ".join(sorted({transport for _, transport in results}))
            lines.append(f"| {name} | {statistics.median(times):.2f} s (at most {max(times):.2f}) | {over} |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/negotiation.md")
    arguments = parser.parse_args()
    logging.getLogger("realtime").setLevel(logging.CRITICAL)
    measured = asyncio.run(table())
    print(measured)
    if arguments.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        text = re.sub(
            r"(?s)<!-- faults -->\n.*<!-- /faults -->", f"<!-- faults -->\n{measured}\n<!-- /faults -->", text
        )
        DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
