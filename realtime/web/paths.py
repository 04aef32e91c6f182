"""Finds the endpoint for a path below a prefix, for the protocols whose URLs begin with an endpoint's own.

A pattern could not: endpoints come later than setup(), and what is none of theirs stays the application's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute, ResourceRoute, UrlMappingMatchInfo
from yarl import URL

from ..endpoint import Endpoint
from ..server import Server
from .bodies import guard
from .raw import RawRoutes
from .sockjs import SockJSRoutes

__all__ = ["EndpointPaths"]


class EndpointPaths(AbstractResource):
    """`<endpoint>` and, where it serves SockJS, what is below it."""

    def __init__(self, prefix: str, server: Server, raw: RawRoutes, sockjs: SockJSRoutes) -> None:
        super().__init__()
        self._prefix = prefix
        self._server = server
        self._raw = raw
        self._sockjs = sockjs
        self._routes: list[AbstractRoute] = [
            ResourceRoute("*", guard(server, self._handle_raw), self),
            ResourceRoute("*", guard(server, self._handle_sockjs), self),
        ]

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Whose request this is, if it is one of ours."""
        path = request.rel_url.path_safe
        found = self._find(path[len(self._prefix) :]) if path.startswith(self._prefix) else None
        if found is None:
            return None, set()
        endpoint, rest = found
        names = {"endpoint": endpoint.path, "rest": rest}
        if not rest and _wants_websocket(request) and self._raw.takes(endpoint):
            return UrlMappingMatchInfo(names, self._routes[0]), set()
        if endpoint.sockjs is not None and self._sockjs.knows(endpoint, endpoint.sockjs, rest):
            return UrlMappingMatchInfo(names, self._routes[1]), set()
        return None, set()

    def _find(self, path: str) -> tuple[Endpoint, str] | None:
        """The endpoint with the longest path, and what follows it."""
        end = len(path)
        while end > 0:
            endpoint = self._server.endpoints.get(path[:end])
            if endpoint is not None:
                return endpoint, path[end:]
            end = path.rfind("/", 0, end)
        return None

    async def _handle_raw(self, request: web.Request) -> web.StreamResponse:
        return await self._raw.handle(request, self._server.endpoints[request.match_info["endpoint"]])

    async def _handle_sockjs(self, request: web.Request) -> web.StreamResponse:
        endpoint = self._server.endpoints[request.match_info["endpoint"]]
        return await self._sockjs.handle(request, endpoint, request.match_info["rest"])

    # -- what aiohttp asks of a resource ---------------------------------------------------------------------------

    @property
    def canonical(self) -> str:
        """The pattern, as people read it."""
        return f"{self._prefix}/{{endpoint}}"

    def url_for(self, **kwargs: str) -> URL:
        """The URL of an endpoint, given without its first slash."""
        return URL.build(path=f"{self._prefix}/{kwargs['endpoint']}")

    def add_prefix(self, prefix: str) -> None:
        """A sub-application hangs below `prefix`."""
        self._prefix = prefix + self._prefix

    def get_info(self) -> Any:
        """For whoever lists routes."""
        return {"formatter": self.canonical}

    def raw_match(self, path: str) -> bool:
        """Whether this is the same pattern."""
        return path == self.canonical

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._routes)


def _wants_websocket(request: web.Request) -> bool:
    """Whether this is a handshake, or was one before a proxy changed it."""
    return request.headers.get("Upgrade", "").lower() == "websocket" or "Sec-WebSocket-Key" in request.headers
