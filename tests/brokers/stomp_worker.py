"""A worker with STOMP in a process of its own, which says its TCP port and serves until it is killed.

python -m tests.brokers.stomp_worker redis://127.0.0.1:6379
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

import realtime

__all__ = ["Process"]


async def serve(url: str) -> None:
    """Until it is killed."""
    rt = realtime.Server(broker=url)
    stomp = realtime.STOMP(tcp=("127.0.0.1", 0))
    rt.endpoint("/stomp")(stomp)
    app = web.Application()
    realtime.setup(app, rt)
    runner = web.AppRunner(app)
    await runner.setup()
    sys.stdout.write(f"{stomp.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


class Process:
    """The process, seen from here."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(cls, url: str) -> Process:
        """One that serves."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.brokers.stomp_worker", url, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        return cls(process, int(await process.stdout.readline()))

    async def kill(self) -> None:
        """Ends it by SIGKILL, which it cannot see coming. Harmless when it has ended."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
