"""Several workers in one process, each with its own application, port and inner port, that know of each other; and a
balancer in front of them that gives each request to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

import realtime
from realtime.cluster.forward import Forwarder
from realtime.cluster.hops import Hops
from realtime.cluster.port import InnerPort
from realtime.cluster.settings import Cluster
from realtime.core.errors import Refusal
from realtime.core.leases import Found, Gone, Peer
from realtime.core.proof import Proof
from realtime.owners import Elsewhere
from realtime.session import Session

from ..patience import eventually

__all__ = ["SECRET", "Balancer", "Known", "Worker", "workers"]

SECRET = "0123456789abcdef0123456789abcdef"
CONNECTION = re.compile(rb"(?i)\r\nconnection: [^\r]*")


class Known:
    """Which workers there are, and who has claimed which name: what a directory knows, in memory."""

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.names: dict[str, tuple[Peer, str]] = {}
        self.dead: set[Peer] = set()

    async def refused(self, peer: Peer, sid: str = "") -> Found:
        """See realtime.owners.Owners."""
        self.dead.add(peer)
        return Gone()

    async def unreachable(self, peer: Peer, sid: str = "") -> Found:
        """It has a lease."""
        raise Refusal(4503, "a worker cannot be reached, and has a lease")


class Worker:
    """One worker."""

    def __init__(self, known: Known, cluster: Cluster, setup: Callable[..., object], settings: dict[str, Any]) -> None:
        self.known = known
        self.server = realtime.Server(**settings)
        self.app = web.Application()
        setup(self.app, self.server)
        service = self.server._service
        self.inner = InnerPort(cluster)
        tls = None if cluster.tls is None else cluster.tls[1]
        self.hops = Hops(cluster.secrets[0], tls)
        self.forwarder = Forwarder(service, known, self.hops, self.inner)  # type: ignore[arg-type] # what it asks
        service.carrying = self.forwarder
        self.runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.5)
        self.port = 0
        self.incarnation = secrets.token_hex(4)
        self.peer: Peer
        self._ask_elsewhere()

    @property
    def name(self) -> str:
        """What its sids begin with."""
        return self.server._service.sessions._worker

    def _ask_elsewhere(self) -> None:
        """Its sessions ask what is known."""
        sessions, known = self.server._service.sessions, self.known
        route, claim, opened = sessions.route, sessions.claim, sessions._opened

        async def routed(sid: str, proof: Proof | None = None) -> Session:
            peer = known.peers.get(sid.partition(".")[0])
            if peer is None or peer == self.peer:
                return await route(sid, proof)
            if peer in known.dead:
                raise Gone().refusal(proof)
            raise Elsewhere(peer, sid, proof)

        async def claimed(name: str) -> Session | None:
            self._look(name)
            return opened(name, None)

        async def claiming(nonce: str, binding: object) -> Session | None:
            self._look(nonce)
            session = await claim(nonce, binding)
            if nonce:
                known.names.setdefault(nonce, (self.peer, f"{self.name}.claim"))
            return session

        sessions.route = routed  # type: ignore[method-assign]
        sessions.claim = claiming  # type: ignore[method-assign]
        sessions.claimed = claimed  # type: ignore[method-assign]

    def _look(self, name: str) -> None:
        peer, sid = self.known.names.get(name, (self.peer, ""))
        if peer in self.known.dead:
            raise Refusal(4404, "its worker has gone", scope="session")
        if peer != self.peer:
            raise Elsewhere(peer, sid)

    async def start(self) -> None:
        """Listens, to others first."""
        await self.runner.setup()
        address = await self.inner.start(self.name, self.incarnation)
        self.peer = self.known.peers[self.name] = Peer(self.name, self.incarnation, address)
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        """Ends."""
        await self.runner.cleanup()
        self.hops.close()
        await self.inner.close()

    def kill(self) -> None:
        """Nobody is there any more, without a word."""
        assert self.inner._listener is not None
        self.inner._listener.close()
        for hop in tuple(self.hops.open):
            hop.transport.abort()


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
    setup: Callable[..., object] = realtime.setup,
    prepare: Callable[[Worker], Awaitable[None] | None] = lambda worker: None,
    **settings: Any,
) -> AsyncIterator[list[Worker]]:
    """So many workers, up and running. Afterwards nothing may be left."""
    known = Known()
    cluster = Cluster(secret=SECRET, listen=listen, tls=tls)
    settings.setdefault("shutdown_timeout", 0.3)
    them = [Worker(known, cluster, setup, settings) for _ in range(count)]
    loop = asyncio.get_running_loop()
    errors: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: errors.append(context))
    for worker in them:
        prepare(worker)
        await worker.start()
    try:
        yield them
    finally:
        await asyncio.gather(*(worker.stop() for worker in them))
    await eventually(lambda: not any(worker.hops.open for worker in them))
    assert not any(len(worker.server) for worker in them)
    assert errors == []
