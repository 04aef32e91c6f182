"""A server on a real socket for one test, and what has to be true of it when the test is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

import realtime
from realtime.clock import Clock
from realtime.testing import VirtualClock
from realtime.web.lean import LeanLink
from realtime.web.links import WebSocketLink
from realtime.web.native import NativeRoutes
from realtime.web.routes import Routes

from ..patience import eventually, within
from .peer import PEERS, HttpPeer, Peer, WebSocketPeer

__all__ = ["Place", "eventually", "native_routes", "serving"]


class Place:
    """A running application with a realtime server: /echo answers, /park hands its sessions to the test."""

    def __init__(self, rt: realtime.Server, prefix: str) -> None:
        self.rt = rt
        self.prefix = prefix
        self.app = web.Application()
        self.sessions: asyncio.Queue[realtime.Session] = asyncio.Queue()
        self.peers: list[Peer] = []
        self.port = 0
        self.loop_errors: list[dict[str, Any]] = []
        self.runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.5)
        self.http: aiohttp.ClientSession

        @rt.endpoint("/echo")
        async def echo(session: realtime.Session) -> None:
            async for message in session:
                await session.send(message)

        @rt.endpoint("/park")
        async def park(session: realtime.Session) -> None:
            self.sessions.put_nowait(session)
            await session.wait_closed()

    @property
    def base(self) -> str:
        """The address of the application."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        """The address of an endpoint."""
        return self.base + self.prefix + path

    def peer(self, transport: str, path: str = "/echo", **options: Any) -> Peer:
        """A client that has not opened yet."""
        peer = PEERS[transport](self.http, self.url(path), **options)
        self.peers.append(peer)
        return peer

    def websocket(self, path: str = "/echo", **options: Any) -> WebSocketPeer:
        """A client over WebSocket that has not opened yet."""
        peer = self.peer("websocket", path, **options)
        assert isinstance(peer, WebSocketPeer)
        return peer

    def polls(self, path: str = "/echo", transport: str = "long_polling", **options: Any) -> HttpPeer:
        """A client over polls that has not opened yet."""
        peer = self.peer(transport, path, **options)
        assert isinstance(peer, HttpPeer)
        return peer

    async def parked(self, transport: str, **options: Any) -> tuple[Peer, realtime.Session]:
        """A client at /park, and its session, which knows that the client has it."""
        peer = self.peer(transport, "/park", **options)
        await peer.open()
        async with within():
            session = await self.sessions.get()
        if peer.acking:
            await eventually(lambda: session._machine.used or session.closed)
        return peer, session

    @property
    def links(self) -> list[LeanLink | WebSocketLink]:
        """Those of all WebSockets that are served."""
        owners: list[Any] = [getattr(stop, "__self__", None) for stop in self.rt._service.on_shutdown]
        return [link for owner in owners if isinstance(owner, Routes) for link in owner._sockets.served]

    def tick(self, seconds: float) -> None:
        """Moves the virtual clock."""
        assert isinstance(self.rt._service.clock, VirtualClock)
        self.rt._service.clock.advance(seconds)

    def end_sessions(self) -> None:
        """Ends those whose clients are gone, for whom a shutdown would wait: they might be on their way back."""
        self.rt._service.sessions.end(1001, "the test is over")

    async def stop(self) -> None:
        """Stops the application, as its runner does."""
        await self.runner.cleanup()

    def assert_clean(self) -> None:
        """Nothing is left of any session."""
        rt = self.rt
        assert len(rt) == 0
        assert not rt._service.sessions.handlers.tasks
        assert not rt._service.sessions.registry.sessions
        assert not rt._service.sessions.registry._identities
        assert not rt._service.sessions.hub._rooms
        assert not rt._service.sessions.hub._joined
        assert not self.loop_errors, self.loop_errors


@asynccontextmanager
async def serving(
    rt: realtime.Server | None = None,
    *,
    prefix: str = "/realtime",
    clock: Clock | None = None,
    prepare: Callable[[Place], object] | None = None,
    **settings: Any,
) -> AsyncIterator[Place]:
    """A place that is up. `settings` are those of the server. Afterwards nothing may be left.

    `prepare` may add to the application before it starts.
    """
    settings.setdefault("shutdown_timeout", 0.3)
    place = Place(rt or realtime.Server(clock=clock, **settings), prefix)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: place.loop_errors.append(context))
    realtime.setup(place.app, place.rt, prefix=prefix)
    if prepare is not None:
        prepare(place)
    await place.runner.setup()
    site = web.TCPSite(place.runner, "127.0.0.1", 0)
    await site.start()
    place.port = place.runner.addresses[0][1]
    place.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    before = asyncio.all_tasks()
    try:
        yield place
    finally:
        for peer in place.peers:
            await peer.drop()
        await place.http.close()
        place.end_sessions()
        await place.stop()
    before.add(asyncio.current_task())  # type: ignore[arg-type] # there is one
    await eventually(lambda: not (asyncio.all_tasks() - before))
    place.assert_clean()


def errors(records: list[logging.LogRecord]) -> list[str]:
    """What was logged as a warning or worse, but for HTTP that aiohttp itself answers with 400, and what the server
    says once of those that it refuses."""
    return [
        record.getMessage()
        for record in records
        if record.levelno >= logging.WARNING
        and record.module != "notices"
        and not (record.name == "aiohttp.server" and record.exc_info and record.exc_info[0] is BadHttpMessage)
    ]


def native_routes(rt: realtime.Server) -> NativeRoutes:
    """The routes of the native protocol that were set up for a server."""
    (routes,) = (
        owner for stop in rt._service.on_shutdown if isinstance(owner := getattr(stop, "__self__", None), NativeRoutes)
    )
    return routes
