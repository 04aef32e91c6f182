"""Listens: on the demo's port, and on one port for each lane of the race, all for the same application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aiohttp import web

from ..transports import TRANSPORTS
from ..web.plugin import get_server
from .addresses import bind, bind_somewhere, origins
from .app import Listening, make_app, one_address
from .meter import Meter
from .udp import own_webtransport

__all__ = ["Demo"]

# What handlers and connections get to end by themselves, in seconds, once the sessions have ended.
PATIENCE = 1.0


class Demo:
    """The demo on `host` and `port` (0: any free one), for as long as the `async with` lasts. The broker at `broker`, a
    URL, keeps the session whose server is killed; without one that session ends.

    Entering raises OSError where it cannot listen.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        transports: Sequence[str] = tuple(TRANSPORTS),
        *,
        broker: str | None = None,
    ) -> None:
        self._host = host
        self._broker = broker
        self.port: int = port
        self.lanes: tuple[int, ...] = ()
        self.meter: Meter = Meter()
        self._transports = tuple(transports)
        self._stack = contextlib.AsyncExitStack()
        self.app: web.Application

    async def __aenter__(self) -> Demo:
        async with self._stack:
            await self._start()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        listeners = self._stack.enter_context(contextlib.ExitStack())
        main = await bind(self._host, self.port)
        self.port = main[0].getsockname()[1]
        bound = list(main)
        for each in bound:
            listeners.callback(each.close)
        lanes = []
        for number in range(1, len(self._transports) + 1):
            # Beside the main port, where people who open ports by hand expect them.
            sockets = await bind_somewhere(self._host, self.port + number)
            for each in sockets:
                listeners.callback(each.close)
            bound += sockets
            lanes.append(sockets[0].getsockname()[1])
        self.lanes = tuple(lanes)
        listening = Listening(
            self._host,
            self.port,
            self.lanes,
            origins(self._host, self.port),
            self.meter,
            self._stack.enter_context(own_webtransport(one_address(self._host))),
            self._broker,
        )
        self.app = make_app(self._transports, listening=listening)
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=PATIENCE)
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        assert runner.server is not None
        factory = self.meter.wrap(runner.server)
        for each in bound:
            server = await asyncio.get_running_loop().create_server(factory, sock=each, backlog=128)
            self._stack.callback(server.close)

    async def end_sessions(self) -> None:
        """Ends all sessions while it still listens, so that clients can acknowledge it."""
        await get_server(self.app)._service.shutdown()
