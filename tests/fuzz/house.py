"""The servers under test, in one application on a loopback port with a clock that is moved, healthy sessions beside the
rubbish, and what has to be true when the rubbish is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

import realtime
from realtime.gates.native_connection import NativeConnection
from realtime.testing import VirtualClock
from tests.web.peer import PEERS, Peer
from tests.web.place import eventually

from ..patience import within
from ..web.place import native_routes
from .http import PREFIXES
from .wire import SECRET

__all__ = ["House", "Memory", "house"]

SETTINGS: dict[str, Any] = {
    # aiohttp may leave a body that it could not parse waiting, also when its connection is gone: this is its bound.
    "request_timeout": 1.0,
    "max_size": 4096,
    "max_batch": 20,
    "max_batch_size": 8000,
    "max_queue": 16,
    "max_queue_size": 65_536,
    "max_outbox": 40,
    "max_outbox_size": 100_000,
    "max_stream_size": 4096,
    "max_tombstones": 150,
    "ping_interval": 10.0,
    "ping_timeout": 10.0,
    "resume_window": 10.0,
    "open_timeout": 5.0,
    "close_timeout": 5.0,
    "shutdown_timeout": 0.3,
}
# A plain poll may be 90 s late and then the resume window begins; a tombstone lasts for 30 s.
STEP, STEPS = 6.0, 23
# So many entries may the deadlines keep above one for each session.
STALE = 64


class Memory(NamedTuple):
    """What the process uses, once its rubbish was collected."""

    blocks: int  # of Python's allocator
    resident: int  # bytes; 0 where the system does not tell

    @classmethod
    def now(cls) -> Memory:
        """Measured here and now."""
        gc.collect()
        status = Path("/proc/self/statm")
        pages = int(status.read_text().split()[1]) if status.exists() else 0
        return cls(sys.getallocatedblocks(), pages * 4096)


class Complaints(logging.Handler):
    """What was logged as a warning or worse, but for what aiohttp says of HTTP that it answers with 400 by itself, and
    of sub-protocols that nobody offers; and for what a server says once, of pages and sids that are not its own."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        no_http = record.name == "aiohttp.server" and error is not None and issubclass(error, BadHttpMessage)
        notice = record.module == "notices" and record.levelno == logging.WARNING
        if not no_http and not notice and record.name != "aiohttp.websocket":
            self.heard.append(f"{record.name}: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


class House:
    """Two servers: one as it comes, and one with any origin, an authorize hook and room for 40 sessions."""

    def __init__(self) -> None:
        self.app = web.Application()
        self.clock = VirtualClock(1000.0)
        self.complaints = Complaints()
        self.peers: list[Peer] = []
        self.port = 0
        self.said = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.http: aiohttp.ClientSession
        careful = realtime.Server(clock=self.clock, **SETTINGS)
        generous = realtime.Server(clock=self.clock, allowed_origins="*", max_sessions=40, **SETTINGS)
        self.servers = dict(zip(PREFIXES, (careful, generous), strict=True))
        for prefix, server in self.servers.items():
            _endpoints(server)
            realtime.setup(self.app, server, prefix=prefix)
        self.app.router.add_route("*", r"/{rest:[\s\S]*}", _nowhere)

        @generous.authorize
        async def authorize(request: realtime.SessionRequest) -> str | None:
            name = request.headers.get("X-Name", request.auth)
            if name in ("mallory", "eve"):
                raise realtime.Unauthorized(f"not you, {name}", status=401 if name == "mallory" else 403)
            return name if isinstance(name, str) else None

    async def furnish(self) -> None:
        """Opens the healthy sessions."""
        for prefix in PREFIXES:
            for transport in ("websocket", "polling"):
                peer = PEERS[transport](self.http, f"http://127.0.0.1:{self.port}{prefix}/echo")
                await peer.open()
                self.peers.append(peer)
        await self.greet()
        self._tasks = asyncio.all_tasks()

    async def greet(self) -> None:
        """Each healthy session answers."""
        for peer in self.peers:
            self.said += 1
            async with within():
                await peer.echo(f"{SECRET} {self.said}")
            peer.sent.clear()

    async def wind_down(self) -> None:
        """Time passes, with the healthy sessions alive, until all others must have ended. Then nothing is left.

        Every connection of the inputs is closed before. Raises AssertionError.
        """
        for _ in range(STEPS):
            self.clock.advance(STEP)
            await self.greet()
        healthy = {peer.sid for peer in self.peers}
        left = [session for server in self.servers.values() for session in server.sessions if session.id not in healthy]
        assert not left, left[:5]
        with suppress(AssertionError):  # the next line says which
            await eventually(lambda: not self._strange_tasks())
        assert not self._strange_tasks(), self._strange_tasks()[:5]
        for server in self.servers.values():
            self._empty(server)
        assert not self.complaints.heard, self.complaints.heard[:5]

    def _strange_tasks(self) -> list[str]:
        """Tasks that were not there before. (aiohttp starts one for each connection, the healthy polls' too.)"""
        tasks = asyncio.all_tasks() - self._tasks - {asyncio.current_task()}
        return [repr(task) for task in tasks if "RequestHandler.start" not in repr(task)] + [
            repr(task) for task in sorted(tasks, key=repr)[4:] if "RequestHandler.start" in repr(task)
        ]

    def _empty(self, server: realtime.Server) -> None:
        registry = server._service.sessions.registry
        assert (
            len(registry.sessions) == len(server._service.sessions.handlers.tasks) == len(server._service.sessions) == 2
        )
        assert len(registry.tombstones) <= SETTINGS["max_tombstones"]
        registry.forget(self.clock.now())
        assert not registry.tombstones
        assert len(registry.nonces) == 2
        assert not registry._identities
        assert not server._service.runtime.dirty
        assert not server._service.sessions.hub._rooms
        assert not server._service.sessions.hub._joined
        assert len(server._service.runtime._deadlines) <= 2 + STALE, len(server._service.runtime._deadlines)
        routes = native_routes(server)
        (connection,) = routes._sockets.served.values()
        assert isinstance(connection, NativeConnection)
        assert not connection.silent
        assert not routes._bodies._reading


async def _nowhere(request: web.Request) -> web.Response:
    """No address of ours. aiohttp's own answer leaves bodies unread, and complains of those it cannot decode."""
    try:
        await request.read()
    except Exception:
        request.protocol.force_close()
    return web.Response(status=404)


def _endpoints(server: realtime.Server) -> None:
    @server.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @server.endpoint("/park")
    async def park(session: realtime.Session) -> None:
        await session.wait_closed()

    @server.endpoint("/few", transports=("polling", "sse"), on_full="drop_oldest")
    async def few(session: realtime.Session) -> None:
        await session.join("few")
        async for message in session:
            await server.room("few").send(message)

    @server.endpoint("/moody", on_full="close", max_outbox=3)
    async def moody(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)
            if isinstance(message, bytes):
                await session.close(3333, "enough")


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    """A house that is up, and comes down clean."""
    under = House()
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: under.complaints.heard.append(f"event loop: {context}"))
    loggers = [logging.getLogger(name) for name in ("aiohttp", "asyncio", "realtime")]
    for logger in loggers:
        logger.addHandler(under.complaints)
        logger.propagate = False  # whoever else listens would keep it all
    runner = web.AppRunner(under.app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        under.port = runner.addresses[0][1]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as under.http:
            await under.furnish()
            yield under
            for peer in under.peers:
                await peer.drop()
    finally:
        await runner.cleanup()
        for logger in loggers:
            logger.removeHandler(under.complaints)
            logger.propagate = True
        loop.set_exception_handler(before)
    assert not any(len(server) for server in under.servers.values())
