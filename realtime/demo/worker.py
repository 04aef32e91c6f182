"""The process of a panel that can be killed: `python -m realtime.demo.worker PORT ORIGIN...`.

If its environment names a broker, that keeps its sessions, and the next process goes on with them.

It says its port in one line, and ends with its standard input: when its parent does, however that ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence

from aiohttp import web

from ..brokers.redis import RedisBroker
from ..server import Server
from ..web.plugin import setup
from .child import ADDRESS
from .ticks import BROKER, PREFIX
from .verify import SETTINGS, count_on, verify

__all__ = ["input_ends", "main"]


def make_server(origins: Sequence[str], broker: str | None, prefix: str) -> Server:
    """The server of a panel's process."""
    if broker is None:
        server = Server(allowed_origins=tuple(origins))
        server.endpoint("/plug", **SETTINGS)(verify)
        return server
    server = Server(broker=RedisBroker(broker, prefix=prefix), allowed_origins=tuple(origins))
    server.endpoint("/plug", durable=True, **SETTINGS)(count_on)
    return server


async def _serve(port: int, server: Server) -> None:
    app = web.Application()
    setup(app, server)
    listener = socket.create_server((ADDRESS, port))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    while not server.health().ready:  # noqa: ASYNC110 # of which there is no event
        await asyncio.sleep(0.02)
    os.write(1, f"{listener.getsockname()[1]}\n".encode())
    await input_ends()
    await runner.cleanup()


async def input_ends() -> None:
    """Waits for the end of standard input, which is the parent's."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True).start()
    await ended.wait()


def main(arguments: Sequence[str]) -> None:
    """Serves until standard input ends."""
    # It is killed and started again on purpose: that sessions of the process before are asked for is nobody's mistake.
    logging.getLogger("realtime.server").setLevel(logging.ERROR)
    server = make_server(arguments[1:], os.environ.get(BROKER), os.environ.get(PREFIX, ""))
    asyncio.run(_serve(int(arguments[0]), server))


if __name__ == "__main__":
    main(sys.argv[1:])
