"""A worker of a cluster in a process of its own, which says its port, and what its handler is at, and serves until it
is killed, stopped or told to go.

python -m tests.durable.process redis://127.0.0.1:6379
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from aiohttp import web

import realtime

from ..cli.forks import Fork, Forks
from ..cluster.workers import SECRET
from ..patience import arrives, eventually
from .workers import Rooms

__all__ = ["FORKS", "Process"]

FORKS = Forks(
    {**os.environ, "PYTHONDEVMODE": ""},
    "tests.durable.process",
    ("realtime", "tests.cli.forks", "tests.cluster.workers", "tests.durable.workers"),
)

SHORT = 4.0  # seconds of a lease, of a worker that is to stand still for longer


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def orders(session: realtime.Session) -> None:
    """Counts what comes. At some messages it stays in its turn, of which it has committed something or nothing."""
    if not session.restored:
        await session.send("welcome")
    async for message in session:
        text = str(message)
        if not session.redelivered:
            session.data["count"] = session.data.get("count", 0) + 1
            await session.send(f"{text} {session.data['count']}")
        if text == "commit" and not session.redelivered:
            await session.commit()
        if text == "hear" and not session.redelivered:
            await session.join("told", info={"name": "a reader"})
        if text.startswith("tell"):
            await session.publish("told", text)
        if text in ("stay", "commit") and not session.redelivered and "first" in sys.argv:
            await session.send("never seen")
            say(text)
            await asyncio.Event().wait()
        if session.redelivered:
            await session.send(f"{text} again")


async def hold(rt: realtime.Server) -> None:
    """With "before" and "behind" nothing that it publishes comes to the room, or no answer comes from there."""
    rooms = Rooms(rt)
    for point in ("before", "behind"):
        if point in sys.argv:
            getattr(rooms, point).clear()
    await rooms.waiting.wait()
    say("held")


async def serve(url: str) -> None:
    """Until it is told to go."""
    lease = SHORT if "short" in sys.argv else 10.0
    broker, cluster = realtime.RedisBroker(url, timeout=lease / 2), realtime.Cluster(secret=SECRET, lease=lease)
    rt = realtime.Server(broker=broker, cluster=cluster, shutdown_timeout=1.0)
    rt.endpoint("/orders", durable=True)(orders)
    rt.configure_rooms("told", history=100, presence=True)
    app = web.Application()
    realtime.setup(app, rt)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, go.set)
    await eventually(lambda: rt.health().ready)
    holding = asyncio.create_task(hold(rt))
    say(str(runner.addresses[0][1]))
    await go.wait()
    holding.cancel()
    await runner.cleanup()


class Process:
    """The process, seen from here."""

    def __init__(self, process: Fork, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}/realtime/orders"

    @classmethod
    async def start(cls, url: str, *words: str) -> Process:
        """One that serves. With "first" its handler stays in some turns, with "short" its lease is short."""
        nowhere = os.open(os.devnull, os.O_RDONLY)
        with os.fdopen(nowhere, "rb") as nothing, os.fdopen(os.dup(2), "wb") as errors:
            process = await FORKS.start([url, *words], nothing, None, errors)
        assert process.stdout is not None
        return cls(process, int(await arrives(process.stdout.readline())))

    async def says(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        return (await arrives(self.process.stdout.readline())).decode().strip()

    def stop(self) -> None:
        """It stands still."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It awakes."""
        self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Ends it by SIGKILL, which it cannot see coming. Harmless when it has ended."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def go(self) -> None:
        """Tells it to go, and waits until it has."""
        self.process.send_signal(signal.SIGTERM)
        await arrives(self.process.wait())


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
