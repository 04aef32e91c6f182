"""Every route of an application, from its route table, and what one request with a large body costs at each.

    python -m tests.web.route_costs            # prints the table of docs/route-costs.md
    python -m tests.web.route_costs --write    # and writes it there

A route that setup() adds, and that nobody has told here how to ask, raises: a new route has no table without a row.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import secrets
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from aiohttp.compression_utils import HAS_BROTLI, HAS_ZSTD

import realtime
from realtime import EngineIO
from realtime.protocols.sockjs.codec import CODECS
from realtime.transports import TRANSPORTS
from realtime.transports.form import CONTENT_TYPE

__all__ = ["CASES", "CODINGS", "RouteCase", "application", "ask", "body_of", "cases_of"]

PAGE = Path(__file__).parents[2] / "docs" / "route-costs.md"
BEGIN, END = "<!-- routes -->", "<!-- /routes -->"
PREFIX = "/realtime"
SIZE = 6_000_000  # bytes of a body as it is, or unpacked
# The values that take most memory for their length.
NESTED = b"[" + b"{}," * (SIZE // 3) + b"0]"
# Packets that say nothing, of which Engine.IO takes as many as are in max_payload.
NOOPS = b"6\x1e" * (EngineIO().max_payload // 2 - 1) + b"6"


class RouteCase(NamedTuple):
    """A way in."""

    name: str
    method: str
    path: str  # NEW is a session to be made, SID one that was
    form: bool = False
    opens: str = ""  # what makes the session that this one names: a path of the same kind


def _native() -> Iterator[RouteCase]:
    for name, transport in TRANSPORTS.items():
        yield RouteCase(name, transport.method, f"{PREFIX}/echo/v1/{name}")
    yield RouteCase("send", "POST", f"{PREFIX}/echo/v1/send")
    yield RouteCase("send, of a live session", "POST", f"{PREFIX}/echo/v1/send", opens=f"{PREFIX}/echo/v1/polling")
    yield RouteCase("send by a form", "POST", f"{PREFIX}/echo/v1/send", form=True)
    yield RouteCase("an unknown endpoint", "POST", f"{PREFIX}/nowhere/v1/send")
    yield RouteCase("an unknown endpoint, a form", "POST", f"{PREFIX}/nowhere/v1/send", form=True)
    yield RouteCase("an unknown version", "POST", f"{PREFIX}/echo/v9/send")


def _sockjs() -> Iterator[RouteCase]:
    for path, codec in CODECS.items():
        yield RouteCase(f"SockJS {path}", codec.framing.method, f"{PREFIX}/echo/0/NEW/{path}")
    name = f"{PREFIX}/echo/0/SID"
    yield RouteCase("SockJS xhr_send", "POST", f"{name}/xhr_send", opens=f"{name}/xhr")
    yield RouteCase("SockJS jsonp_send", "POST", f"{name}/jsonp_send", form=True, opens=f"{name}/xhr")
    yield RouteCase("SockJS info", "GET", f"{PREFIX}/echo/info")
    yield RouteCase("SockJS iframe", "GET", f"{PREFIX}/echo/iframe.html")
    yield RouteCase("SockJS greeting", "POST", f"{PREFIX}/echo/")
    yield RouteCase("SockJS raw WebSocket", "GET", f"{PREFIX}/echo/websocket")


def _engineio() -> Iterator[RouteCase]:
    for name in ("polling", "websocket"):
        yield RouteCase(f"Engine.IO {name}", "POST", f"/engine.io?EIO=4&transport={name}")
    polls = "/engine.io?EIO=4&transport=polling"
    yield RouteCase("Engine.IO POST, of a live session", "POST", f"{polls}&sid=SID", opens=polls)
    yield RouteCase("Engine.IO, a form", "POST", "/engine.io?EIO=3&transport=polling&j=0", form=True)


# How each route is asked, by its pattern.
CASES: dict[str, Callable[[], Iterator[RouteCase]]] = {
    PREFIX + "/{endpoint}": _sockjs,
    PREFIX + "/{endpoint}/v{version}/{transport}": _native,
    PREFIX + "/{endpoint}/negotiate": lambda: iter([RouteCase("negotiate", "GET", f"{PREFIX}/echo/negotiate")]),
    "/engine.io": _engineio,
    "/engine.io/": lambda: iter([RouteCase("Engine.IO, a slash", "POST", "/engine.io/?EIO=4&transport=polling")]),
    PREFIX + "/{file}": lambda: iter([RouteCase("client.js", "POST", f"{PREFIX}/client.js")]),
}


def application(**settings: Any) -> web.Application:
    """An application with every route there is."""
    rt = realtime.Server(shutdown_timeout=0.3, allowed_origins="*", **settings)

    @rt.endpoint("/echo", sockjs=True, engineio="/engine.io")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    app = web.Application()
    realtime.setup(app, rt, prefix=PREFIX)
    return app


def cases_of(app: web.Application) -> list[RouteCase]:
    """All of them. Raises KeyError for a route that is not told of here."""
    return [case for resource in app.router.resources() for case in CASES[resource.canonical]()]


def _brotli(body: bytes) -> bytes:
    import brotli

    packed: bytes = brotli.compress(body, quality=5)
    return packed


def _zstd(body: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    packed: bytes = zstd.compress(body)
    return packed


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "deflate": zlib.compress,
    **({"br": _brotli} if HAS_BROTLI else {}),
    **({"zstd": _zstd} if HAS_ZSTD else {}),
}
WAYS = ("plain", "chunked", *CODINGS)


def body_of(case: RouteCase, way: str, head: str = "") -> tuple[list[str], bytes]:
    """The headers that tell of a body, and the body as it is sent. `head` is the frame that names a session."""
    value = NOOPS if "sid=" in case.path else NESTED
    if head:
        value = b'["%b",%b' % (head.encode(), NESTED[1:])
    lines = [f"Content-Type: {CONTENT_TYPE if case.form else 'text/plain'}"]
    body = b"callback=f&d=&batch=" + value if case.form else value
    if way == "chunked":
        pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
        return [*lines, "Transfer-Encoding: chunked"], b"".join(
            b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b"")
        )
    if way != "plain":
        body = CODINGS[way](body)
        lines.append(f"Content-Encoding: {way}")
    return [*lines, f"Content-Length: {len(body)}"], body


async def ask(port: int, case: RouteCase, lines: list[str], body: bytes) -> tuple[int, int]:
    """One request with what body_of() made, on a connection of its own: how many bytes were sent, and the status of the
    answer (0: none came).

    What is left of the body when the answer comes is not sent.
    """
    path = case.path.replace("NEW", secrets.token_hex(8))  # a session of its own: a second poll of one is held
    head = "\r\n".join([f"{case.method} {path} HTTP/1.1", "Host: h", *lines, "", ""]).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = len(head)

    async def send() -> None:
        nonlocal sent
        writer.write(head)
        for at in range(0, len(body), 65_536):
            piece = body[at : at + 65_536]
            writer.write(piece)
            sent += len(piece)
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(90):
            first = await reader.readline()
        return sent, int(first.split()[1]) if first else 0
    except (ConnectionError, TimeoutError):
        return sent, 0
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


# -- the table ---------------------------------------------------------------------------------------------------------


async def _longest_turn(done: asyncio.Event) -> float:
    """In CPU time, so that what else the machine does is not counted."""
    longest, at = 0.0, time.thread_time()
    while not done.is_set():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, at = max(longest, now - at), now
    return longest


async def _named(port: int, case: RouteCase) -> tuple[RouteCase, str]:
    """The same case with a session behind it, where it is one that names a session, and the frame that does so."""
    name = secrets.token_urlsafe(18)
    if not case.opens:
        return case, ""
    if "SID" in case.opens:  # the client chooses it
        await ask(port, RouteCase("", "POST", case.opens.replace("SID", name)), [], b"")
        return case._replace(path=case.path.replace("SID", name)), ""
    url = f"http://127.0.0.1:{port}{case.opens}"
    async with aiohttp.ClientSession() as http:
        if "EIO" in case.opens:
            async with http.get(url) as answer:
                opened = json.loads((await answer.text())[1:])
            return case._replace(path=case.path.replace("SID", opened["sid"])), ""
        told = {"nonce": name, "gen": 1, "window": [16, 65_536]}
        async with http.post(url, data=json.dumps(["o" + json.dumps(told)])) as answer:
            opened = json.loads(json.loads(await answer.text())[0][1:])
        return case, f"u{opened['sid']},0,0,1,{opened['key']}"


async def _measured(port: int, case: RouteCase, way: str) -> tuple[int, int, float, float]:
    """Status, bytes sent, the longest turn of the loop in seconds, and the peak of memory above before in bytes."""
    named, head = await _named(port, case)
    lines, body = body_of(named, way, head)
    done = asyncio.Event()
    turns = asyncio.create_task(_longest_turn(done))
    sent, status = await ask(port, named, lines, body)
    done.set()
    turn = await turns
    named, head = await _named(port, case)
    lines, body = body_of(named, way, head)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        await ask(port, named, lines, body)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return status, sent, turn, peak


def _cell(status: int, sent: int, turn: float, peak: float) -> str:
    return (
        f"{status}: {sent:,} B; {turn * 1e3:.0f} ms, {turn * 1e9 / sent:,.1f} ns/B;"
        f" {peak / 2**20:.1f} MiB, {peak / sent:,.1f} B/B"
    )


async def table() -> list[str]:
    """The rows of all routes."""
    app = application()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    rows = ["| route | " + " | ".join(WAYS) + " |", "|---|" + "---|" * len(WAYS)]
    try:
        for case in cases_of(app):
            cells = []
            for way in WAYS:
                cells.append(_cell(*await _measured(port, case, way)))
            rows.append(f"| {case.name} | " + " | ".join(cells) + " |")
            sys.stderr.write(rows[-1] + "\n")
    finally:
        await runner.cleanup()
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.route_costs", description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"writes the table into {PAGE.name}")
    arguments = parser.parse_args()
    rows = "\n".join(asyncio.run(table()))
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{rows}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    else:
        sys.stdout.write(rows + "\n")


if __name__ == "__main__":
    main()
