"""Finds the endpoint for a path below a prefix, for the protocols whose URLs begin with an endpoint's own.

The native protocol's are known beforehand and go first, since clients that poll ask for them again and again.
A pattern could not: endpoints come later than setup(), and what is none of theirs stays the application's.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource, AbstractRoute, ResourceRoute, UrlMappingMatchInfo
from yarl import URL

from ..core.dialects import Dialect
from ..endpoint import Endpoint
from ..protocols.native import VERSION
from ..service import Service
from ..transports import TRANSPORTS
from .bodies import Handle, guard
from .dialects import Dialects
from .handshake import wants_websocket
from .replies import SAFE, in_words
from .resources import Unlisted

__all__ = ["EndpointPaths", "NativeMatch"]

ABOUT = (
    "The address is right: {path} is an endpoint of realtime. It is no page: connect to it, in a page with"
    " new Realtime({path!r}), in Python with realtime.connect()."
)


class NativeMatch(UrlMappingMatchInfo):
    """What is known of a request by its URL, where that is one of the native protocol's. Where the endpoint allows the
    transport, and the method is its transport's, the endpoint is `admitted`, as far as that goes."""

    __slots__ = ("admitted",)

    admitted: Endpoint | None


class EndpointPaths(Unlisted, AbstractResource):
    """`<endpoint>`, and what is below it, where the endpoint speaks what such a request is in.

    Who looks at an endpoint's own URL with a browser is told what it is, unless the application (whose `router` it is)
    has something there.
    """

    def __init__(
        self, prefix: str, service: Service, native: Handle, dialects: Dialects, router: web.UrlDispatcher
    ) -> None:
        """`native` serves what is in the native protocol."""
        super().__init__()
        self._native = ResourceRoute("*", native, self)
        # The URLs of the native protocol below the first so many endpoints, and what each says.
        self._known: dict[str, tuple[dict[str, str], Endpoint, str]] = {}
        self._counted = 0
        self._router = router
        self._about = ResourceRoute("GET", guard(service, self._tell), self)
        self._prefix = prefix
        self._service = service
        self._dialects = dialects
        self._routes: dict[type[Dialect], AbstractRoute] = {
            kind: ResourceRoute("*", dialects.handler(kind), self) for kind in dialects
        }

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Finds the endpoint and dialect of a request; none where the path is not ours."""
        path = request.rel_url.path_safe
        if self._counted != len(self._service.endpoints):
            self._learn()
        known = self._known.get(path)
        if known is not None and self._service.endpoints.get(known[1].path) is not known[1]:
            self._learn()  # one has gone, and another come
            known = self._known.get(path)
        if known is not None:
            match = NativeMatch(known[0], self._native)
            match.admitted = known[1] if request.method == known[2] else None
            return match, set()
        found = self._find(path[len(self._prefix) :]) if path.startswith(self._prefix) else None
        if found is None:
            return None, set()
        endpoint, rest = found
        options = self._dialects.find(request, endpoint, rest)
        if options is not None:
            return UrlMappingMatchInfo({"endpoint": endpoint.path, "rest": rest}, self._routes[type(options)]), set()
        looked_at = request.method in ("GET", "HEAD") and not wants_websocket(request)
        if not rest and looked_at and not await self._elsewhere(request):
            return UrlMappingMatchInfo({"endpoint": endpoint.path, "rest": rest}, self._about), set()
        return None, set()

    def _learn(self) -> None:
        """Reckons `known` anew. Where the endpoint with the longest path is another one, that is asked first."""
        self._counted = len(self._service.endpoints)
        self._known = {}
        for path, endpoint in self._service.endpoints.items():
            for name in ("send", *(name for name in endpoint.config.transports if name in TRANSPORTS)):
                rest = f"/v{VERSION}/{name}"
                found = self._find(path + rest)
                if found is not None and found[1] == rest:
                    said = {"endpoint": path[1:], "version": str(VERSION), "transport": name}
                    method = "POST" if name == "send" else TRANSPORTS[name].method
                    self._known[self._prefix + path + rest] = said, endpoint, method

    async def _elsewhere(self, request: web.Request) -> bool:
        """Whether anything else in the application serves this request."""
        for resource in self._router.resources():
            if not isinstance(resource, EndpointPaths):
                found, _ = await resource.resolve(request)
                if found is not None and found.http_exception is None:
                    return True
        return False

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        """To who asks for an endpoint as for a page: what is here, and how to come in."""
        endpoint = self._service.endpoints[request.match_info["endpoint"]]
        upgrades = "websocket" in endpoint.config.transports
        text = ABOUT.format(path=request.path)
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"} if upgrades else {}
        return in_words(426 if upgrades else 400, text, SAFE | headers)

    def _find(self, path: str) -> tuple[Endpoint, str] | None:
        """The endpoint with the longest path, and what follows it."""
        end = len(path)
        while end > 0:
            endpoint = self._service.endpoints.get(path[:end])
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
        self._counted = 0

    def get_info(self) -> Any:
        """What aiohttp shows of this resource in a list of routes."""
        return {"formatter": self.canonical}

    def raw_match(self, path: str) -> bool:
        """Whether this is the same pattern."""
        return path == self.canonical
