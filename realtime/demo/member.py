"""The process of one worker of several: `python -m realtime.demo.member PORT NUMBER FOLDER TRANSPORTS ORIGIN...`.

The broker, its prefix, and the cluster's secret are in its environment. It says its port in one line, then again and
again in a line of JSON what it carries, and ends with its standard input: when its parent does, however that ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Sequence

from aiohttp import web

from ..brokers.redis import RedisBroker
from ..cluster.joined import Cluster
from ..core.errors import BrokerError
from ..server import Server
from ..session import Session
from ..web.carried import carried, carrying
from ..web.plugin import setup
from .child import ADDRESS
from .ticks import BROKER, PATH, PREFIX, ROOM, RULES
from .worker import input_ends

__all__ = ["main"]

# A Redis that has just started gives no names for so long, in seconds; and so long a dead worker counts as alive.
LEASE = 2.0
PACE = 0.5  # seconds between two of its lines
# Whose request it is: a page's, and there a lane's.
LANE = re.compile(r"[0-9a-f]{8}-[a-z_]{1,16}")
MOST = 256  # lanes in a line


class Answers:
    """Whose requests were answered by way of this worker since its last line, and when."""

    def __init__(self) -> None:
        self._lanes: dict[str, float] = {}

    async def prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """An answer begins. Clients come again on a new connection, so by any worker."""
        if carried(request) is not None:
            return  # the worker that it came to answers
        lane = request.query.get("lane", "")
        if request.method != "OPTIONS" and LANE.fullmatch(lane) and (lane in self._lanes or len(self._lanes) < MOST):
            self._lanes[lane] = time.monotonic()  # the same clock in all processes
        if response.status != 101:
            response.force_close()
            response.headers["Connection"] = "close"

    def take(self) -> dict[str, float]:
        """Those so far."""
        lanes, self._lanes = self._lanes, {}
        return lanes


def make_server(number: int, folder: str, transports: Sequence[str], origins: Sequence[str]) -> Server:
    """A worker's server: its sessions are told which worker has them, and what the room is sent."""
    server = Server(
        broker=RedisBroker(os.environ[BROKER], prefix=os.environ[PREFIX], timeout=LEASE / 2),
        cluster=Cluster(listen=f"unix:{folder}/", lease=LEASE, drain_timeout=0.0),
        transports=tuple(transports),
        allowed_origins=tuple(origins),
        shutdown_timeout=0.5,
    )
    server.configure_rooms(ROOM, **RULES)

    @server.endpoint(PATH)
    async def ticks(session: Session) -> None:
        await session.send(json.dumps({"worker": number, "pid": os.getpid()}))
        try:
            await session.join(ROOM)
        except BrokerError:
            await session.close(1013, "the broker does not answer")
            return
        async for _ in session:
            pass  # what listeners say is not for anyone

    return server


async def _serve(port: int, server: Server) -> None:
    answers = Answers()
    app = web.Application()
    app.on_response_prepare.append(answers.prepare)
    setup(app, server)
    listener = socket.create_server((ADDRESS, port))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    while not server.health().ready:  # noqa: ASYNC110 # of which there is no event
        await asyncio.sleep(0.02)
    _say(listener.getsockname()[1])
    telling = asyncio.create_task(_tell(server, answers))
    await input_ends()
    telling.cancel()
    await runner.cleanup()


async def _tell(server: Server, answers: Answers) -> None:
    cluster = carrying(server._service)
    assert cluster is not None
    while True:
        _say({"sessions": len(server), "carried": cluster.counts().forwards, "answered": answers.take()})
        await asyncio.sleep(PACE)


def _say(what: object) -> None:
    os.write(1, f"{json.dumps(what)}\n".encode())


def main(arguments: Sequence[str]) -> None:
    """Serves until standard input ends."""
    # Workers are killed and started again on purpose: that others miss them is nobody's mistake.
    logging.getLogger("realtime").setLevel(logging.ERROR)
    port, number, folder, transports, *origins = arguments
    server = make_server(int(number), folder, transports.split(","), origins)
    asyncio.run(_serve(int(port), server))


if __name__ == "__main__":
    main(sys.argv[1:])
