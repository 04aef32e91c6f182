"""The client of a durable session, against real servers that share a store: it goes on from one to the other over every
transport, and nothing is lost, repeated or reordered (docs/protocol.md §13).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from yarl import URL

import realtime

from ..cluster.workers import pour
from ..durable.workers import Handler, Place, worker
from ..patience import within

ALL = ["websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling"]
each_transport = pytest.mark.parametrize("transport", ALL)


class Switch:
    """What stands in front of workers: connections go to one of them, until the others are to have them."""

    def __init__(self, *urls: str) -> None:
        self._ports = [URL(url).port for url in urls]
        self._to = 0
        self._open: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server

    async def start(self) -> str:
        """Listens. Returns the URL of the endpoint."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/realtime/orders"

    def turn(self) -> None:
        """From now on it is the next one; whatever is open is cut."""
        self._to = (self._to + 1) % len(self._ports)
        for task in tuple(self._open):
            task.cancel()

    def add(self, url: str) -> None:
        """From now on new connections go there; what is open stays."""
        self._ports.append(URL(url).port)
        self._to = len(self._ports) - 1

    async def stop(self) -> None:
        """Listens no more."""
        self._listener.close()
        tasks = tuple(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._ports[self._to])
                up = asyncio.ensure_future(pour(reader, up_writer))
                try:
                    await pour(up_reader, writer)
                finally:
                    up.cancel()
                    up_writer.transport.abort()
        finally:
            writer.transport.abort()
            self._open.discard(task)


@contextlib.asynccontextmanager
async def switched(handler: Handler) -> AsyncIterator[tuple[Switch, str, Place]]:
    """Two workers behind a switch."""
    async with worker(realtime.MemoryBroker()) as place:
        workers = [await place.worker(handler) for _ in range(2)]
        switch = Switch(*(one.url for one in workers))
        url = await switch.start()
        try:
            yield switch, url, place
        finally:
            await switch.stop()


async def counting(session: realtime.Session) -> None:
    """Answers each message with how many there were."""
    async for message in session:
        session.data["count"] = session.data.get("count", 0) + 1
        await session.send(f"{message!s} is {session.data['count']}")


@each_transport
async def test_a_session_goes_on_at_another_worker(transport: str) -> None:
    async with within(), switched(counting) as (switch, url, _):
        async with realtime.connect(url, transports=transport, backoff=(0.01, 0.1)) as session:
            first = session.id
            for number in range(30):
                await session.send(f"m{number}")
                if number % 7 == 3:
                    switch.turn()  # with the message on its way
                if number % 3 == 2:
                    got = [await session.receive() for _ in range(3)]
                    assert got == [f"m{n} is {n + 1}" for n in range(number - 2, number + 1)]
            await session.flush()
            assert (session.id, session.closed, session.durable) == (first, False, True)
        assert session.close_code == 1000


async def test_it_goes_on_over_whatever_gets_through() -> None:
    async with within(), switched(counting) as (switch, url, _):
        async with realtime.connect(url, backoff=(0.01, 0.1)) as session:
            for number, transport in enumerate(["websocket", "sse", "long_polling", "xhr_streaming", "polling"]):
                await session.switch(transport)
                await session.send(str(number))
                switch.turn()
                assert await session.receive() == f"{number} is {number + 1}"
        assert session.close_code == 1000
