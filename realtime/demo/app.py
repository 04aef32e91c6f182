"""What `realtime demo` serves: an echo, a chat, a ticker, the comparison page, and what that page asks for."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import time
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from ..server import Server
from ..session import Session
from ..transports import TRANSPORTS
from ..web.plugin import setup
from ..webtransport.options import WebTransport
from . import ticks
from .chat import Chat
from .meter import Meter
from .page import Pages
from .plug import Proxies
from .routes import DemoRoutes
from .verify import SETTINGS, verify

__all__ = ["ENDPOINTS", "Listening", "make_app", "one_address"]

# Path below the prefix, and what a person is told about it.
ENDPOINTS = {
    "/echo": "says everything back",
    "/chat": "everyone there hears everyone",
    "/ticker": "a line a second to everyone",
}
PREFIX = "/realtime"
# How many visitors may have a panel (a port, and perhaps a process), and how many a race.
PANELS = 6


@dataclasses.dataclass(frozen=True)
class Listening:
    """The address and ports that the demo listens on, and what measures them."""

    host: str  # the address that ports are bound to
    port: int
    lanes: tuple[int, ...]  # the ports of the lanes
    origins: tuple[str, ...]  # whose pages may use them: the page's own
    meter: Meter
    webtransport: WebTransport | None = None  # for a lane of its own
    broker: str | None = dataclasses.field(default=None, repr=False)  # the URL of one that keeps the panels' sessions


def make_app(
    transports: Sequence[str] = tuple(TRANSPORTS), *, tick: float = 1.0, listening: Listening | None = None
) -> web.Application:
    """The demo's application. `transports` are those offered, best first; `tick` is the ticker's pause in seconds.

    Without `listening` its lanes are the page's own port and nothing is measured at sockets; nor can a plug be pulled.
    """
    server = Server(
        shutdown_timeout=1.0,
        transports=tuple(transports),
        allowed_origins=listening.origins if listening is not None else (),
    )
    ticker = server.room("ticker")

    @server.endpoint("/echo")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    server.endpoint("/chat", max_size=16_384)(Chat(server))
    server.endpoint("/plug", **SETTINGS)(verify)

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
    webtransport = listening.webtransport if listening is not None else None
    setup(app, server, prefix=PREFIX, webtransport=webtransport)
    app.cleanup_ctx.append(run_ticker)
    proxies = (
        Proxies(
            one_address(listening.host), (_reachable(listening.host), listening.port), PANELS, _environment(listening)
        )
        if listening is not None
        else None
    )
    lines = [(f"{PREFIX}{path}", what) for path, what in ENDPOINTS.items()]
    routes = DemoRoutes(
        server,
        prefix=PREFIX,
        meter=listening.meter if listening is not None else Meter(),
        metered=listening is not None,
        lanes=listening.lanes if listening is not None else (),
        origins=listening.origins if listening is not None else (),
        proxies=proxies,
        durable=listening is not None and listening.broker is not None,
        webtransport=webtransport is not None,
    )
    routes.hang_into(app)
    Pages(lines, routes.ports, udp=routes.udp_ports).hang_into(app)
    return app


def _environment(listening: Listening) -> dict[str, str]:
    """Where the processes of panels find their broker. (Not among their arguments, which all users of a machine may
    read.) The prefix is this demo's own: two over one broker know nothing of each other."""
    if listening.broker is None:
        return {}
    return {ticks.BROKER: listening.broker, ticks.PREFIX: f"realtime-demo:{secrets.token_urlsafe(6)}:"}


def one_address(host: str) -> str:
    """An address to listen on, for a host that may stand for several."""
    return {"": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host)


def _reachable(host: str) -> str:
    """The address at which what listens on `host` is reached from here."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
