"""A balancer that knows nothing: each connection goes to the next worker, and what either end says to the other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Sequence

from .child import ADDRESS

__all__ = ["Balancer"]

LIMIT = 1024  # connections at a time
PIECE = 65_536


class Balancer:
    """Takes connections at `sockets`, from its start to its end. `living` gives the ports of the workers that live."""

    def __init__(self, sockets: Iterable[socket.socket], living: Callable[[], Sequence[int]]) -> None:
        self._sockets = tuple(sockets)
        self._living = living
        self._turn = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listens."""
        for one in self._sockets:
            self._servers.append(await asyncio.start_server(self._taken, sock=one, backlog=128))

    async def aclose(self) -> None:
        """Listens no more, and cuts what there is."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= LIMIT:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            worker = await self._next()
            if worker is None:
                return  # nobody lives: the client is cut off, and comes again
            up_reader, up_writer = worker
            ways = [
                asyncio.ensure_future(_pour(reader, up_writer)),
                asyncio.ensure_future(_pour(up_reader, writer)),
            ]
            try:
                # Either end's end is the other's, which hears before what was said.
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            finally:
                up_writer.transport.abort()  # before all that waits, and may be cancelled there
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            writer.transport.abort()

    async def _next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the next worker that takes one; None where none does."""
        ports = self._living()
        for _ in ports:
            self._turn += 1
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(ADDRESS, ports[self._turn % len(ports)])
        return None


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes on what comes, until it ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()
