"""Every wire protocol beside the native one, by one line: from the type of its options to the routes that serve it.

What an endpoint speaks says `Endpoint.dialects`. A dialect is served below the endpoint's own path (see paths), or at a
path of its own, for which aiohttp takes routes only until the application starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from ..core.dialects import Dialect
from ..core.errors import LocalProtocolError
from ..endpoint import Endpoint
from ..protocols.engineio.options import EngineIO
from ..protocols.raw import Raw
from ..protocols.sockjs.options import SockJS
from ..server import Server
from .bodies import Handle, guard
from .engineio import EngineRoutes
from .raw import RawRoutes
from .routes import DialectRoutes
from .sockjs import SockJSRoutes

__all__ = ["ROUTES", "Dialects"]

ROUTES: dict[type[Dialect], type[DialectRoutes[Any]]] = {
    Raw: RawRoutes,
    SockJS: SockJSRoutes,
    EngineIO: EngineRoutes,
}


class Dialects:
    """The routes of all dialects, for one server."""

    def __init__(self, server: Server) -> None:
        """Raises LocalProtocolError when an endpoint of the server speaks what has no routes."""
        self._server = server
        self._routes = {kind: routes(server) for kind, routes in ROUTES.items()}
        self._router: web.UrlDispatcher | None = None
        for endpoint in server.endpoints.values():
            self._check(endpoint)

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
            endpoint = self._server.endpoints[request.match_info["endpoint"]]
            options = next(one for one in endpoint.dialects if type(one) is kind)
            return await self._routes[kind].handle(request, endpoint, options, request.match_info["rest"])

        return guard(self._server, handle)

    # -- paths of their own ----------------------------------------------------------------------------------------

    def mount(self, router: web.UrlDispatcher) -> None:
        """Adds routes for what has a path of its own, now and with each endpoint that comes later."""
        self._router = router
        for endpoint in self._server.endpoints.values():
            self.add(endpoint)
        self._server.on_endpoint.append(self.add)

    def dismount(self) -> None:
        """The application has ended, and takes no routes any more; another may."""
        if self.add in self._server.on_endpoint:
            self._server.on_endpoint.remove(self.add)

    async def ended(self) -> None:
        """The end of a shutdown: waits a little for the WebSockets that aiohttp does not wait for."""
        await asyncio.gather(*(routes.ended() for routes in self._routes.values()))

    def add(self, endpoint: Endpoint) -> None:
        """An endpoint is registered. Raises LocalProtocolError for a dialect without routes, and when one with a path
        of its own comes too late."""
        self._check(endpoint)
        own = [options for options in endpoint.dialects if options.route]
        assert self._router is not None
        for options in own:
            if self._router.frozen:
                raise LocalProtocolError(
                    f"the endpoint {endpoint.path!r} also serves {options.route!r}, and aiohttp takes no new path once"
                    " the application has started: register it before"
                )
        for options in own:
            handle = guard(self._server, self._own(endpoint, options))
            for path in (options.route, f"{options.route}/"):
                self._router.add_route("*", path, handle)

    def _own(self, endpoint: Endpoint, options: Dialect) -> Handle:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._routes[type(options)].handle(request, endpoint, options, "")

        return handle

    def _check(self, endpoint: Endpoint) -> None:
        for options in endpoint.dialects:
            if type(options) not in self._routes:
                raise LocalProtocolError(
                    f"the endpoint {endpoint.path!r} speaks {type(options).__name__}, which has no routes: name them in"
                    " realtime.web.dialects.ROUTES"
                )
