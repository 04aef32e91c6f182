"""Finds the endpoint for a path below a prefix, for the protocols whose URLs begin with an endpoint's own.

A pattern could not: endpoints come later than setup(), and what is none of theirs stays the application's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute, ResourceRoute, UrlMappingMatchInfo
from yarl import URL

from ..core.dialects import Dialect
from ..endpoint import Endpoint
from ..server import Server
from .dialects import Dialects

__all__ = ["EndpointPaths"]


class EndpointPaths(AbstractResource):
    """`<endpoint>`, and what is below it, where the endpoint speaks what such a request is in."""

    def __init__(self, prefix: str, server: Server, dialects: Dialects) -> None:
        super().__init__()
        self._prefix = prefix
        self._server = server
        self._dialects = dialects
        self._routes: dict[type[Dialect], AbstractRoute] = {
            kind: ResourceRoute("*", dialects.handler(kind), self) for kind in dialects
        }

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Finds the endpoint and dialect of a request; none where the path is not ours."""
        path = request.rel_url.path_safe
        found = self._find(path[len(self._prefix) :]) if path.startswith(self._prefix) else None
        if found is None:
            return None, set()
        endpoint, rest = found
        options = self._dialects.find(request, endpoint, rest)
        if options is None:
            return None, set()
        return UrlMappingMatchInfo({"endpoint": endpoint.path, "rest": rest}, self._routes[type(options)]), set()

    def _find(self, path: str) -> tuple[Endpoint, str] | None:
        """The endpoint with the longest path, and what follows it."""
        end = len(path)
        while end > 0:
            endpoint = self._server.endpoints.get(path[:end])
            if endpoint is not None:
                return endpoint, path[end:]
            end = path.rfind("/", 0, end)
        return None

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
        """What aiohttp shows of this resource in a list of routes."""
        return {"formatter": self.canonical}

    def raw_match(self, path: str) -> bool:
        """Whether this is the same pattern."""
        return path == self.canonical

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._routes.values())
