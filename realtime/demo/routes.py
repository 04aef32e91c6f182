"""The routes of the comparison page below /demo, in JSON: a race and its counts, a panel and its buttons.

Everything that changes something needs a header that no form and no other site's page can send.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

import realtime

from ..server import Server
from ..transports import TRANSPORTS
from .meter import Meter
from .plug import FAULTS, ONCE, Panel, Proxies
from .race import Race
from .visitors import Visitors

__all__ = ["HEADER", "DemoRoutes", "as_json", "guarded", "is_local", "refused"]

HEADER = "X-Realtime-Demo"
RACES = 24
IDLE = 150.0  # seconds; the timers of hidden pages run once a minute
SWEEP = 5.0
LOCAL_NAME = re.compile(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?", re.IGNORECASE)
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class DemoRoutes:
    """The routes below /demo, and the races and panels of their visitors."""

    def __init__(
        self,
        server: Server,
        *,
        prefix: str,
        meter: Meter,
        metered: bool,
        lanes: Sequence[int],
        origins: Sequence[str],
        proxies: Proxies | None,
        durable: bool,
        webtransport: bool,
    ) -> None:
        self._server = server
        self._prefix = prefix
        self._meter = meter
        self._metered = metered
        self._lanes = tuple(lanes)
        self._origins = tuple(origins)
        self._proxies = proxies
        self._durable = durable
        self._webtransport = webtransport
        self._races: Visitors[Race] = Visitors(server._service.clock, limit=RACES, idle=IDLE)
        self._panels: Visitors[Panel] = Visitors(server._service.clock, limit=RACES, idle=IDLE)  # proxies are the limit

    def hang_into(self, app: web.Application) -> None:
        """Adds the routes, and what has to begin and end with the application."""
        app.cleanup_ctx.append(self._life)
        app.on_shutdown.append(self._stop)
        app.router.add_get("/demo/config", self._config)
        app.router.add_get("/demo/probe", self._probe)
        app.router.add_post("/demo/race", guarded(self._new_race))
        app.router.add_get("/demo/race/{token}", self._counts)
        app.router.add_post("/demo/race/{token}/leave", guarded(self._leave_race))
        app.router.add_post("/demo/plug", guarded(self._new_panel))
        app.router.add_get("/demo/plug/{token}", self._status)
        app.router.add_post("/demo/plug/{token}/{action}", guarded(self._act))

    def ports(self) -> list[int]:
        """Those, besides its own, that the page may use."""
        return [*self._lanes, *(self._proxies.ports if self._proxies is not None else ())]

    def udp_ports(self) -> list[int]:
        """Those of WebTransport."""
        place = self._server._service.networks.webtransport
        return [] if place is None else [place().port]

    async def _life(self, app: web.Application) -> AsyncIterator[None]:
        if self._proxies is not None:
            await self._proxies.start()
        sweeping = asyncio.create_task(self._sweep())
        yield
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
        if self._proxies is not None:
            await self._proxies.aclose()

    async def _stop(self, app: web.Application) -> None:
        await self._panels.aclose()
        await self._races.aclose()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            await self._races.sweep()
            await self._panels.sweep()

    # -- the page ------------------------------------------------------------------------------------------------------

    async def _config(self, request: web.Request) -> web.Response:
        return as_json(
            {
                "version": realtime.__version__,
                "transports": list(TRANSPORTS),
                "offered": list(self._server._service.config.transports),
                "lanes": self._lanes,
                "metered": self._metered,
                "webtransport": self._webtransport,
                "prefix": self._prefix,
                "plug": self._proxies is not None,
                "local": is_local(request),  # whether a panel has a process of its own
            }
        )

    async def _probe(self, request: web.Request) -> web.Response:
        """Whether the page reaches a lane's port. The connection ends, so that every lane begins with none."""
        response = web.Response(status=204, headers=HEADERS)
        origin = request.headers.get("Origin", "")
        if origin.lower() in self._origins:
            response.headers["Access-Control-Allow-Origin"] = origin
        response.force_close()
        return response

    # -- the race ------------------------------------------------------------------------------------------------------

    async def _new_race(self, request: web.Request) -> web.Response:
        await self._races.sweep()
        if self._races.full:
            return refused(503, f"{RACES} visitors race already; come back in a few minutes")
        token = self._races.token()
        transports = self._server._service.config.transports
        race = Race(self._server, self._meter, self._prefix, token, transports, webtransport=self._webtransport)
        self._races.add(token, race)
        return as_json({"token": token, "paths": race.paths})

    async def _counts(self, request: web.Request) -> web.Response:
        race = self._races.get(request.match_info["token"])
        if race is None:
            return refused(404, "this race is over: start another")
        return as_json({"at": asyncio.get_running_loop().time(), "lanes": race.counts()})

    async def _leave_race(self, request: web.Request) -> web.Response:
        await self._races.remove(request.match_info["token"])
        return as_json({})

    # -- the panel -----------------------------------------------------------------------------------------------------

    async def _new_panel(self, request: web.Request) -> web.Response:
        if self._proxies is None:
            return refused(503, "no plug can be pulled here: the demo was started without ports of its own")
        await self._panels.sweep()
        local = is_local(request)
        try:
            panel = await self._proxies.panel(self._origins, own_process=local)
        except OSError as error:
            return refused(503, f"{error}; try again")
        if panel is None:
            return refused(503, "all panels are taken; come back in a few minutes")
        token = self._panels.token()
        self._panels.add(token, panel)
        told = {"token": token, "port": panel.proxy.port, "path": f"{self._prefix}/plug", "restart": local}
        durable = local and self._durable  # its process may die, and the session goes on
        return as_json({**told, "durable": durable, "faults": list(FAULTS)})

    async def _status(self, request: web.Request) -> web.Response:
        panel = self._panels.get(request.match_info["token"])
        return _gone() if panel is None else self._told(panel)

    def _told(self, panel: Panel) -> web.Response:
        panel.tidy()
        told: dict[str, Any] = {"faults": panel.in_force, "fired": panel.fired()}
        if panel.child is not None:
            told |= {"pid": panel.child.pid, "starts": panel.child.starts}
        return as_json(told)

    async def _act(self, request: web.Request) -> web.Response:
        token, action = request.match_info["token"], request.match_info["action"]
        panel = self._panels.get(token)
        if action == "leave":
            await self._panels.remove(token)
            return as_json({})
        if panel is None:
            return _gone()
        if action in FAULTS:
            panel.set_fault(action, request.query.get("on") == "1")
        elif action == "cut":
            panel.cut()
        elif action == "mend":
            await panel.mend()
        elif action == "restart":
            if not is_local(request):
                return refused(403, "a server process is restarted from its own machine only")
            try:
                await panel.restart()
            except OSError as error:
                return refused(503, f"{error}; try again")
        else:
            return refused(404, f"there are {', '.join([*FAULTS, *ONCE])}")
        return self._told(panel)


def guarded(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that changes something, for the demo's own page only."""

    async def asked(request: web.Request) -> web.Response:
        # Another site's page would have to ask before it sends this header, and is not answered.
        if HEADER not in request.headers:
            return refused(403, f"this is for the demo's own page: the header {HEADER} is missing")
        return await handler(request)

    return asked


def is_local(request: web.Request) -> bool:
    """Whether a request comes from this machine, by its own name, and through no proxy.

    The name matters: a page of another site whose name is made to lead here would ask by that.
    """
    try:
        address = ipaddress.ip_address((request.remote or "").partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    named = LOCAL_NAME.fullmatch(request.host) is not None
    return address.is_loopback and named and not any(name in request.headers for name in FORWARDED)


def as_json(told: dict[str, Any]) -> web.Response:
    """What the page is told."""
    return web.json_response(told, headers=HEADERS)


def refused(status: int, sentence: str) -> web.Response:
    """What the page is told when it is not."""
    return web.json_response({"error": sentence}, status=status, headers=HEADERS)


def _gone() -> web.Response:
    return refused(404, "this panel was given up: start another")
