"""Several workers in one process, each with its own application, port and inner port, that know of each other; and a
balancer in front of them that gives each request to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

import realtime
from realtime.cluster.forward import Forwarder
from realtime.cluster.hops import Hops
from realtime.cluster.port import InnerPort
from realtime.core.leases import Peer
from realtime.web.lean import LeanLink
from realtime.web.links import WebSocketLink
from realtime.web.routes import Routes

from ..cutting import cut_what_was_taken_over
from ..patience import eventually

__all__ = ["SECRET", "Balancer", "Worker", "workers"]

SECRET = "0123456789abcdef0123456789abcdef"
CONNECTION = re.compile(rb"(?i)\r\nconnection: [^\r]*")


class Worker:
    """One worker."""

    def __init__(
        self, broker: realtime.MemoryBroker, cluster: realtime.Cluster, setup: Callable[..., object], settings: Any
    ) -> None:
        self.server = realtime.Server(broker=broker, cluster=cluster, **settings)
        self.service = self.server._service
        self.app = web.Application()
        setup(self.app, self.server)
        self.runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.5)
        self.port = 0
        self.forwarder: Forwarder
        self.hops: Hops
        self.inner: InnerPort

    @property
    def name(self) -> str:
        """What its sids begin with."""
        return self.service.sessions.worker

    @property
    def peer(self) -> Peer:
        """What others know of it."""
        owners: Any = self.service.sessions.owners
        peer: Peer = owners.peer
        return peer

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens, to others first, and waits until they may find it."""
        await self.runner.setup()
        carrying = self.service.carrying
        assert isinstance(carrying, Forwarder)
        self.forwarder, self.hops, self.inner = carrying, carrying._hops, carrying._port
        owners: Any = self.service.sessions.owners
        await eventually(lambda: owners.registration.runs(asyncio.get_running_loop().time()))
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        """Ends."""
        await self.runner.cleanup()

    def kill(self) -> None:
        """Nobody is there any more, without a word: for the others, as if its process had been killed."""
        listener = self.inner._listener
        assert listener is not None
        listener.close()
        for hop in tuple(self.hops.open):
            if hasattr(hop, "transport"):  # one that connects has none
                hop.transport.abort()
        cut_what_was_taken_over(self.service)
        for connection in () if self.inner._server is None else self.inner._server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    @property
    def links(self) -> list[LeanLink | WebSocketLink]:
        """Those of its WebSockets."""
        owners: list[Any] = [getattr(stop, "__self__", None) for stop in self.service.on_shutdown]
        return [link for owner in owners if isinstance(owner, Routes) for link in owner._sockets.served]


class Balancer:
    """Gives each request to the next worker."""

    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers
        self._turns = itertools.count()
        self._listener: asyncio.Server
        self.port = 0
        self.taken: list[str] = []  # the path of each request
        self._tasks: set[asyncio.Task[None]] = set()

    def next(self) -> Worker:
        """Whose turn it is."""
        return self.workers[next(self._turns) % len(self.workers)]

    async def start(self) -> None:
        """Listens."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listens no more."""
        self._listener.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = await reader.readuntil(b"\r\n\r\n")
                self.taken.append(head.split(b" ", 2)[1].decode())
                if b"\r\nupgrade:" not in head.lower():
                    head = CONNECTION.sub(b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.next().port)
                up_writer.write(head)
                up = asyncio.ensure_future(pour(reader, up_writer))
                try:
                    await pour(up_reader, writer)
                finally:
                    up.cancel()
                    up_writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes on what comes, and the end."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def workers(
    count: int = 3,
    *,
    listen: str | None = None,
    tls: Any = None,
    drain_timeout: float = 0.0,
    setup: Callable[..., object] = realtime.setup,
    prepare: Callable[[Worker], None] = lambda worker: None,
    **settings: Any,
) -> AsyncIterator[list[Worker]]:
    """So many workers, up and running. Afterwards nothing may be left."""
    broker = realtime.MemoryBroker()
    cluster = realtime.Cluster(secret=SECRET, listen=listen, tls=tls, drain_timeout=drain_timeout)
    settings.setdefault("shutdown_timeout", 0.3)
    them = [Worker(broker, cluster, setup, settings) for _ in range(count)]
    loop = asyncio.get_running_loop()
    errors: list[dict[str, Any]] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: errors.append(context))
    try:
        for worker in them:
            prepare(worker)
            await worker.start()
        try:
            yield them
        finally:
            await asyncio.gather(*(worker.stop() for worker in them))
        await eventually(lambda: not any(worker.hops.open for worker in them))
    finally:
        loop.set_exception_handler(before)
    assert not any(len(worker.server) for worker in them)
    assert errors == []
