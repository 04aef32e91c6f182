"""What `realtime demo` serves: an echo, a chat, a ticker, and a page that says so."""

from __future__ import annotations

import asyncio
import contextlib
import html
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from string import Template

from aiohttp import web

from ..server import Server
from ..session import Session
from ..transports import TRANSPORTS
from ..web.plugin import setup
from .chat import Chat

__all__ = ["ENDPOINTS", "make_app"]

# Path below the prefix, and what a person is told about it.
ENDPOINTS = {
    "/echo": "says everything back",
    "/chat": "everyone there hears everyone",
    "/ticker": "a line a second to everyone",
}

PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}


def make_app(transports: Sequence[str] = tuple(TRANSPORTS), *, tick: float = 1.0) -> web.Application:
    """The demo's application. `transports` are those offered, best first; `tick` is the ticker's pause in seconds."""
    server = Server(shutdown_timeout=1.0, transports=tuple(transports))
    ticker = server.room("ticker")

    @server.endpoint("/echo")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    server.endpoint("/chat", max_size=16_384)(Chat(server))

    # Who reads too slowly misses lines, and is told how many: a clock does not wait.
    @server.endpoint("/ticker", on_full="drop_oldest", max_outbox=16)
    async def listen(session: Session) -> None:
        await session.join("ticker")
        async for _ in session:
            pass  # what listeners say is not for anyone

    async def run_ticker(app: web.Application) -> AsyncIterator[None]:
        async def run() -> None:
            loop = asyncio.get_running_loop()
            start, count = loop.time(), 0
            while True:
                count += 1
                await asyncio.sleep(start + count * tick - loop.time())
                await ticker.send(f"{count} {time.strftime('%H:%M:%S')}")

        task = asyncio.create_task(run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = web.Application()
    setup(app, server)
    app.cleanup_ctx.append(run_ticker)
    app.router.add_get("/", _page)
    return app


async def _page(request: web.Request) -> web.Response:
    """For a browser a page, for everything else the same as plain text."""
    origin = f"{request.scheme}://{request.host}"
    if "text/html" in request.headers.get("Accept", ""):
        text = PAGE.substitute(origin=html.escape(origin))
        return web.Response(text=text, content_type="text/html", headers=HEADERS)
    lines = [f"  {origin}/realtime{path:<8} {what}" for path, what in ENDPOINTS.items()]
    text = "\n".join(["The demo of realtime.", "", *lines, "", f"Try: realtime connect {origin}/realtime/echo", ""])
    return web.Response(text=text, headers=HEADERS)
