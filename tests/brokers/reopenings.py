"""Clients that lose their worker and go on at the other: two servers over one broker, a switch in front, and a load.

    python -m tests.brokers.reopenings [--times 1000] [--clients 20] [--broker redis|memory] [--transport websocket]

Every message of a room has the next number. A client counts what it heard twice, and what it was not told although it
was not skipped. It prints what it counted, and exits with 1 if anything was lost or repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

import realtime
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker

from .servers import BROKER_TIMEOUT, Server

__all__ = ["Switch", "Worker", "play", "working"]

ROOMS = ("kept/a", "kept/b", "kept/c")


class Switch:
    """A balancer of one client: all its connections go to one port, until they are cut and go to another."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where the client connects to."""
        return f"http://127.0.0.1:{self.port}/realtime"

    async def __aenter__(self) -> Switch:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()

    def turn(self, port: int) -> None:
        """The worker is gone: its connections are cut, and another is there."""
        self._to = port
        self._cut()

    def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(back)
        passing = asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        try:
            await passing
        finally:
            for one in (writer, back):
                self._writers.discard(one)
                one.transport.abort()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


class Worker:
    """A server whose sessions at /rooms are in all these rooms. The query says who the client is."""

    def __init__(
        self,
        broker: MemoryBroker | RedisBroker,
        rooms: Sequence[str],
        *,
        last: int = 0,
        says_id: bool = False,
        **settings: object,
    ) -> None:
        self.rt = realtime.Server(
            broker=broker,
            shutdown_timeout=0.3,
            poll_interval=(0.01, 0.05),
            **{"resume_window": 1.0, "broker_timeout": BROKER_TIMEOUT, **settings},  # type: ignore[arg-type]
        )
        self.rt.configure_rooms("kept/*", history=100_000, ttl=600)
        self.rt.configure_rooms("short/*", history=3, ttl=600)
        self.sessions: dict[str, realtime.Session] = {}  # the newest of each client
        self.port = 0

        @self.rt.endpoint("/rooms")
        async def handle(session: realtime.Session) -> None:
            name = session.request.query.get("name", "")
            self.sessions[name] = session
            for room in rooms:
                await session.join(room, history=last)
            await session.send(f"joined {session.id}" if says_id else "joined")
            async for message in session:
                await session.send(message)


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[Worker]:
    """A worker that is up."""
    app = web.Application()
    realtime.setup(app, worker.rt)
    app.router.add_get("/ready", realtime.readiness(worker.rt))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    worker.port = runner.addresses[0][1]
    try:
        yield worker
    finally:
        await runner.cleanup()


class Client:
    """One, behind a switch of its own, that takes note of what is wrong with what it hears."""

    def __init__(self, name: str, transport: str, workers: Sequence[Worker], seed: int) -> None:
        self.name = name
        self.last = dict.fromkeys(ROOMS, -1)
        self.skipped: dict[str, set[int]] = {room: set() for room in ROOMS}
        self.opened = self.heard = self.lost = self.repeated = self.gaps = 0
        self._transport = transport
        self._workers = workers
        self._random = random.Random(seed)
        self._news = asyncio.Event()

    async def listen(self, switch: Switch) -> None:
        """Hears, in one session after the other."""
        url = f"{switch.url}/rooms?name={self.name}"
        sessions = aiter(realtime.connect(url, transports=self._transport, backoff=(0.001, 0.02)))
        async with aclosing(sessions):
            async for session in sessions:
                session.on_change(self._changed)
                async for message in session:
                    room = session.last.room
                    if room is None:
                        self.opened += 1
                    else:
                        self._hear(room, int(message))
                    self._news.set()

    def _changed(self, event: str) -> None:
        self.gaps += event == "gap"

    def _hear(self, room: str, number: int) -> None:
        self.heard += 1
        last = self.last[room]
        if number <= last:
            self.repeated += 1
            return
        self.lost += sum(one not in self.skipped[room] for one in range(last + 1, number))
        self.last[room] = number

    async def until(self, opened: int, heard: int) -> None:
        """Waits until it has opened so many sessions, and heard so many messages."""
        while self.opened < opened or self.heard < heard:
            self._news.clear()
            await self._news.wait()

    async def wander(self, switch: Switch, times: int) -> None:
        """Loses its worker so many times: mostly in the middle of a session, sometimes while it joins."""
        for number in range(times):
            await self.until(number + 1, self.heard + self._random.choice((0, 1, 1, 5, 20)))
            switch.turn(self._workers[(number + 1) % 2].port)
        await self.until(times + 1, 0)


async def play(
    broker: MemoryBroker | RedisBroker, *, times: int, clients: int, transport: str = "websocket", pause: float = 0.02
) -> dict[str, int]:
    """So many reopenings of all clients together, while each room is sent a message every `pause` seconds by one of the
    workers, one in ten of them not to some client. What was counted."""
    chance = random.Random(times)
    published = 0
    async with working(Worker(broker, ROOMS)) as one, working(Worker(broker, ROOMS)) as two:
        workers = (one, two)
        crowd = [Client(f"c{number}", transport, workers, number) for number in range(clients)]
        switches = [await Switch(one.port).__aenter__() for _ in crowd]
        listening = [asyncio.create_task(client.listen(switch)) for client, switch in zip(crowd, switches, strict=True)]
        for client in crowd:
            await client.until(1, 0)

        async def publish(room: str) -> None:
            nonlocal published
            for number in itertools.count():
                last = bool(wandering.done())  # which nobody is skipped for
                worker = chance.choice(workers)
                skip: list[realtime.Session] = []
                if not last and number % 10 == 9:
                    client = chance.choice(crowd)
                    client.skipped[room].add(number)
                    skip = [there.sessions[client.name] for there in workers if client.name in there.sessions]
                await worker.rt.room(room).send(str(number), skip=skip)
                published += 1
                if last:
                    ends[room] = number
                    return
                await asyncio.sleep(pause)

        ends: dict[str, int] = {}
        shares = [times // clients + (number < times % clients) for number in range(clients)]
        wandering = asyncio.gather(
            *(client.wander(switch, share) for client, switch, share in zip(crowd, switches, shares, strict=True))
        )
        publishing = asyncio.gather(*(publish(room) for room in ROOMS))
        await asyncio.gather(wandering, publishing)
        for client in crowd:
            while client.last != ends:
                await client.until(0, client.heard + 1)
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        for switch in switches:
            await switch.__aexit__()
    return {
        "reopened": sum(client.opened - 1 for client in crowd),
        "published": published,
        "heard": sum(client.heard for client in crowd),
        "not heard, skipped": len(crowd) * published - sum(client.heard for client in crowd),
        "gaps": sum(client.gaps for client in crowd),
        "lost": sum(client.lost for client in crowd),
        "repeated": sum(client.repeated for client in crowd),
    }


async def _main(arguments: argparse.Namespace) -> dict[str, int]:
    options = {"times": arguments.times, "clients": arguments.clients, "transport": arguments.transport}
    if arguments.broker == "memory":
        return await play(MemoryBroker(), **options)
    with tempfile.TemporaryDirectory() as place:
        server = Server(Path(place), "--save", "").start()
        try:
            return await play(RedisBroker(server.url), **options)
        finally:
            server.kill()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.brokers.reopenings", description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--broker", choices=["redis", "memory"], default="redis")
    parser.add_argument("--transport", default="websocket")
    logging.getLogger("realtime").setLevel(logging.ERROR)  # that sessions are another's is told once by each
    began, work = time.monotonic(), time.process_time()
    counts = asyncio.run(_main(parser.parse_args()))
    for name, count in counts.items():
        print(f"{count:>9,} {name}")
    print(f"{time.monotonic() - began:>9.1f} s, of which {time.process_time() - work:.1f} s of this process")
    return 1 if counts["lost"] or counts["repeated"] else 0


if __name__ == "__main__":
    sys.exit(main())
