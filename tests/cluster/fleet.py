"""Workers behind a balancer that gives each request to the next, and clients there that keep their own books."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp

import realtime

from ..patience import arrives
from ..web.peer import PEERS, Peer
from .workers import Balancer, Worker, workers

__all__ = ["Fleet", "fleet", "serve"]


class Fleet:
    """Workers behind a balancer, and peers at it."""

    def __init__(self, them: list[Worker], balancer: Balancer, http: aiohttp.ClientSession) -> None:
        self.workers = them
        self.balancer = balancer
        self.http = http
        self.sessions: asyncio.Queue[realtime.Session] = asyncio.Queue()
        self.peers: list[Peer] = []

    @property
    def url(self) -> str:
        """The balancer's address."""
        return f"http://127.0.0.1:{self.balancer.port}"

    def peer(self, transport: str, path: str = "/echo", **options: Any) -> Peer:
        """A client that has not opened."""
        peer = PEERS[transport](self.http, f"{self.url}/realtime{path}", **options)
        self.peers.append(peer)
        return peer

    async def opened(
        self, transport: str, path: str = "/echo", **options: Any
    ) -> tuple[Peer, realtime.Session, Worker]:
        """A client that has opened, its session, and the worker that has it."""
        peer = self.peer(transport, path, **options)
        await peer.open()
        session = await arrives(self.sessions.get())
        return peer, session, self.owner(session)

    def owner(self, session: realtime.Session) -> Worker:
        """The worker that has a session."""
        return next(worker for worker in self.workers if worker.name == session.id.partition(".")[0])

    def from_now_on(self, worker: Worker) -> None:
        """All requests come to this one."""
        self.balancer.workers[:] = [worker]

    def other(self, owner: Worker) -> Worker:
        """A worker that has not the session."""
        return next(worker for worker in self.workers if worker is not owner)

    @property
    def carried(self) -> int:
        """How many requests were."""
        return sum(worker.forwarder.count for worker in self.workers)


def serve(sessions: asyncio.Queue[realtime.Session], worker: Worker, **options: Any) -> None:
    """An echo, with these options, and a place to park, both of which hand over their sessions."""

    @worker.server.endpoint("/echo", **options)
    async def echo(session: realtime.Session) -> None:
        sessions.put_nowait(session)
        async for message in session:
            await session.send(message)

    @worker.server.endpoint("/park")
    async def park(session: realtime.Session) -> None:
        sessions.put_nowait(session)
        await session.wait_closed()


@contextlib.asynccontextmanager
async def fleet(count: int = 3, **settings: Any) -> AsyncIterator[Fleet]:
    """So many workers with an echo and a place to park."""
    sessions: asyncio.Queue[realtime.Session] = asyncio.Queue()

    prepare = partial(serve, sessions, sockjs=True, engineio="/engine.io")
    async with workers(count, prepare=prepare, **settings) as them:
        balancer = Balancer(list(them))
        await balancer.start()
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                one = Fleet(them, balancer, http)
                one.sessions = sessions
                yield one
                for peer in one.peers:
                    await peer.drop()
        finally:
            await balancer.stop()
