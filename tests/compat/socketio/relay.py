"""What is between a client and its server: it loses connections, with or without the server's notice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

__all__ = ["Relay"]


class Relay:
    """Passes bytes on to a port of this machine. `away`: it takes no connections."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener: asyncio.Server
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ends: list[asyncio.StreamWriter] = []  # of all connections there were
        self.away = False

    async def __aenter__(self) -> Relay:
        self._listener = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.lose(notice=True)
        for _turn in range(5):  # who was taken last is sent away
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._ends:
            writer.transport.abort()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    def send_to(self, port: int) -> None:
        """Connections go there from now on."""
        self._to = port

    def lose(self, *, notice: bool) -> None:
        """All clients lose their connections, and can't come back before `away` is False again. Without `notice` the
        server is not told."""
        self.away = True
        pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            client.transport.abort()
            if notice:
                server.transport.abort()

    def _taken(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._ends.append(client)
        # A task of its own: Python 3.11 takes it for a fault if that of a listener is cancelled.
        self._tasks.add(asyncio.create_task(self._accept(reader, client)))

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        there = None
        if not self.away:
            with suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", self._to)
                self._ends.append(there[1])
        if there is None or self.away:
            client.transport.abort()
            if there is not None:
                there[1].transport.abort()
            return
        from_server, server = there
        pair = client, server
        self._pairs.append(pair)
        up = asyncio.create_task(self._pass(reader, server, pair))
        down = asyncio.create_task(self._pass(from_server, client, pair))
        self._tasks |= {up, down}

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if pair in self._pairs:  # what comes for a client that is gone is lost
                    writer.write(data)
                    await writer.drain()
        if pair in self._pairs:
            self._pairs.remove(pair)
            for one in pair:
                one.close()
