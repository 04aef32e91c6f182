"""Every wire protocol beside the native one, by one line: from the type of its options to the routes that serve it.

What an endpoint speaks says `Endpoint.dialects`. A dialect is served below the endpoint's own path (see paths), or at a
path of its own, for which aiohttp takes routes only until the application starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, TypeAlias

from aiohttp import web

from ..core.dialects import Dialect
from ..core.errors import LocalProtocolError
from ..endpoint import Endpoint
from ..protocols.dialects import route_taken
from ..protocols.engineio.options import EngineIO
from ..protocols.engineio.socketio import SocketIO
from ..protocols.raw import Raw
from ..protocols.sockjs.options import SockJS
from ..service import Service
from . import resources
from .bodies import Handle, guard
from .engineio import EngineRoutes
from .raw import RawRoutes
from .routes import DialectRoutes
from .sockjs import SockJSRoutes

__all__ = ["ROUTES", "Dialects", "Owners", "check"]

ROUTES: dict[type[Dialect], type[DialectRoutes[Any]]] = {
    Raw: RawRoutes,
    SockJS: SockJSRoutes,
    EngineIO: EngineRoutes,
    SocketIO: EngineRoutes,
}


# Of an application: whose the paths are that dialects have for themselves.
Owners: TypeAlias = dict[str, tuple[Service, Endpoint]]


class Dialects:
    """The routes of all dialects, for one server."""

    def __init__(self, service: Service, owners: Owners) -> None:
        """`owners` are those of the application; what endpoints there are check() has found good."""
        self._service = service
        self._owners = owners
        self._router: web.UrlDispatcher | None = None
        self._routes = {kind: routes(service) for kind, routes in ROUTES.items()}

    def __iter__(self) -> Iterator[type[Dialect]]:
        return iter(self._routes)

    def find(self, request: web.Request, endpoint: Endpoint, rest: str) -> Dialect | None:
        """The dialect that this request is in; `rest` is what follows the endpoint's path in its URL."""
        for options in endpoint.dialects:
            if not options.route and self._routes[type(options)].takes(request, endpoint, options, rest):
                return options
        return None

    def handler(self, kind: type[Dialect]) -> Handle:
        """Serves what find() has found, at EndpointPaths."""

        async def handle(request: web.Request) -> web.StreamResponse:
            endpoint = self._service.endpoints[request.match_info["endpoint"]]
            options = next(one for one in endpoint.dialects if type(one) is kind)
            return await self._routes[kind].handle(request, endpoint, options, request.match_info["rest"])

        return guard(self._service, handle)

    # -- paths of their own ----------------------------------------------------------------------------------------

    def mount(self, router: web.UrlDispatcher) -> None:
        """Adds routes for what has a path of its own, now and with each endpoint that comes later."""
        self._router = router
        for endpoint in self._service.endpoints.values():
            self.add(endpoint)
        self._service.on_endpoint.append(self.add)

    def dismount(self) -> None:
        """The application has ended, and takes no routes any more; another may."""
        if self.add in self._service.on_endpoint:
            self._service.on_endpoint.remove(self.add)

    async def ended(self) -> None:
        """The end of a shutdown: waits a little for the WebSockets that aiohttp does not wait for."""
        await asyncio.gather(*(routes.ended() for routes in self._routes.values()))

    def add(self, endpoint: Endpoint) -> None:
        """An endpoint is registered. Raises LocalProtocolError for a dialect without routes, and when one with a path
        of its own comes too late, or another server's has it."""
        _check(endpoint, self._service, self._owners)
        own = [options for options in endpoint.dialects if options.route and options.route not in self._owners]
        assert self._router is not None
        for options in own:
            if self._router.frozen:
                raise LocalProtocolError(
                    f"the endpoint {endpoint.path!r} also serves {options.route!r}, and aiohttp takes no new path once"
                    " the application has started, or was given to add_subapp() of another one: register it before"
                )
        for options in own:
            self._owners[options.route] = self._service, endpoint
            handle = guard(self._service, self._own(endpoint, options))
            for path in (options.route, f"{options.route}/"):
                resources.add(self._router, path, handle)

    def _own(self, endpoint: Endpoint, options: Dialect) -> Handle:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._routes[type(options)].handle(request, endpoint, options, "")

        return handle


def check(service: Service, owners: Owners) -> None:
    """Raises LocalProtocolError when an endpoint of the server speaks what has no routes, or has a path of its own that
    another server's has."""
    for endpoint in service.endpoints.values():
        _check(endpoint, service, owners)


def _check(endpoint: Endpoint, service: Service, owners: Owners) -> None:
    for options in endpoint.dialects:
        if type(options) not in ROUTES:
            raise LocalProtocolError(
                f"the endpoint {endpoint.path!r} speaks {type(options).__name__}, which has no routes: name them in"
                " realtime.web.dialects.ROUTES"
            )
        other, owner = owners.get(options.route, (service, endpoint))
        if (other, owner.path) != (service, endpoint.path):
            whose = "another server's endpoint" if other is not service else "the endpoint"
            raise route_taken(options, f"{whose} {owner.path!r}")
