"""A worker of a cluster with a UDP port, in a process of its own, which says its ports and its name, and serves until
it is killed.

python -m tests.cluster.webtransport_worker redis://127.0.0.1:6379 CERTIFICATE KEY PORT

PORT is what clients are told: another's, that leads here.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

import realtime

from ..patience import eventually
from ..webtransport.place import listener_of
from .workers import SECRET

__all__: list[str] = []


async def echo(session: realtime.Session) -> None:
    """Sends back what comes, with how much that was."""
    count = 0
    async for message in session:
        count += 1
        await session.send(f"{message!s} {count}")


async def orders(session: realtime.Session) -> None:
    """The same, and the count outlives the worker."""
    async for message in session:
        session.data["count"] = session.data.get("count", 0) + 1
        await session.send(f"{message!s} {session.data['count']}")


async def serve(url: str, certificate: str, key: str, port: str) -> None:
    """Until it is killed."""
    rt = realtime.Server(
        broker=realtime.RedisBroker(url, timeout=2.0),
        cluster=realtime.Cluster(secret=SECRET, lease=6.0),
        ping_interval=0.3,
        ping_timeout=0.7,
        resume_window=120.0,
        open_timeout=60.0,
    )
    rt.endpoint("/echo")(echo)
    rt.endpoint("/orders", durable=True)(orders)
    app = web.Application()
    options = realtime.WebTransport(
        port=0, host="127.0.0.1", certificate=certificate, key=key, public_host="127.0.0.1", public_port=int(port)
    )
    realtime.setup(app, rt, webtransport=options)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await eventually(lambda: rt.health().ready)
    sys.stdout.write(f"{runner.addresses[0][1]} {listener_of(rt).port} {rt._service.sessions.worker}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:5]))
