"""What `realtime demo --workers` serves: a page that shows which worker carries what, on the demo's port, and on one
port for each transport a balancer before all workers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiohttp import web

import realtime

from ..server import Server
from ..transports import TRANSPORTS
from ..web.plugin import setup
from .addresses import bind, bind_somewhere, origins
from .app import PREFIX
from .balancer import Balancer
from .crew import PAUSE, Crew
from .page import Pages
from .routes import as_json, guarded, is_local, refused
from .ticks import PATH

__all__ = ["Several"]

PATIENCE = 0.5
# Path below the prefix, and what a person is told about it.
ENDPOINTS = {PATH: "a tick of the room, and first which worker has you"}


class Several:
    """The demo of `workers` processes over the broker at `url`, on `host` and `port` (0: any free one), for as long as
    the `async with` lasts; `tick` and `pause` are the Crew's.

    Making one raises LocalProtocolError for a URL that is none, and BrokerError where redis-py is missing. Entering
    raises OSError where it cannot listen, and BrokerError where no broker answers.
    """

    ENDPOINTS = ENDPOINTS

    def __init__(
        self,
        workers: int,
        url: str,
        host: str = "127.0.0.1",
        port: int = 0,
        transports: Sequence[str] = tuple(TRANSPORTS),
        *,
        tick: float = 0.5,
        pause: float = PAUSE,
    ) -> None:
        self.port: int = port
        self.lanes: tuple[int, ...] = ()
        self.crew: Crew = Crew(workers, url, transports=transports, tick=tick, pause=pause)
        self._host = host
        self._transports = tuple(transports)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Several:
        async with self._stack:
            await self._start()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        sockets = self._stack.enter_context(contextlib.ExitStack())
        main = await bind(self._host, self.port)
        for each in main:
            sockets.callback(each.close)
        self.port = main[0].getsockname()[1]
        lanes = []
        for number in range(1, len(self._transports) + 1):
            # A port for each: browsers allow few connections to one.
            lanes.append(await bind_somewhere(self._host, self.port + number))
            for each in lanes[-1]:
                sockets.callback(each.close)
        self.lanes = tuple(lane[0].getsockname()[1] for lane in lanes)
        self.crew.origins = origins(self._host, self.port)
        await self._stack.enter_async_context(self.crew)
        balancer = Balancer([each for lane in lanes for each in lane], self.crew.living)
        self._stack.push_async_callback(balancer.aclose)
        await balancer.start()
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=PATIENCE)
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        assert runner.server is not None
        for each in main:
            server = await asyncio.get_running_loop().create_server(runner.server, sock=each, backlog=128)
            self._stack.callback(server.close)

    def _application(self) -> web.Application:
        app = web.Application()
        setup(app, Server(), prefix=PREFIX)  # the JavaScript client
        app.router.add_get("/demo/config", self._config)
        app.router.add_get("/demo/crew", self._told)
        app.router.add_post("/demo/crew/{number:[0-9]{1,3}}/kill", guarded(self._kill))
        lines = [(f"{PREFIX}{path}", what) for path, what in ENDPOINTS.items()]
        Pages(lines, lambda: self.lanes, name="crew.html", port=self.lanes[0]).hang_into(app)
        return app

    async def _config(self, request: web.Request) -> web.Response:
        told: dict[str, Any] = {"version": realtime.__version__, "offered": self._transports, "lanes": self.lanes}
        return as_json({**told, "path": f"{PREFIX}{PATH}", "local": is_local(request)})

    async def _told(self, request: web.Request) -> web.Response:
        workers = [member.told() for member in self.crew.members]
        return as_json({"workers": workers, "answered": self.crew.answered(request.query.get("page", ""))})

    async def _kill(self, request: web.Request) -> web.Response:
        if not is_local(request):
            return refused(403, "a worker is killed from its own machine only")
        number = int(request.match_info["number"])
        found = next((member for member in self.crew.members if member.number == number), None)
        if found is None:
            return refused(404, f"there are workers 1 to {len(self.crew.members)}")
        pid = found.child.pid
        await found.kill()
        return as_json({"pid": pid})
