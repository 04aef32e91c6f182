"""What the routes of every protocol share: who may come in, what the application is shown, and reading bodies.

Knows no protocol: what it refuses it raises.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from functools import partial
from typing import Generic, TypeVar

from aiohttp import web
from yarl import URL

from ..core.addresses import UNIX
from ..core.config import Config
from ..core.dialects import Dialect
from ..core.errors import Refusal
from ..core.origins import check_origins
from ..endpoint import Endpoint, no_endpoint
from ..gates.base import Wait, wait
from ..owners import Elsewhere
from ..request import SessionRequest
from ..service import Service
from .bodies import Bodies, Judge
from .carried import Carried, carried, carrying
from .forwarded import Origin, Proxies
from .handshake import Reading, still_there
from .links import CLOSE_PATIENCE
from .origins import (
    AMBIENT,
    Admission,
    asked_headers,
    cors_headers,
    judge,
    page_of,
    shows_page,
    without_ambient,
)
from .replies import SAFE
from .sockets import Sockets

__all__ = ["DialectRoutes", "Routes", "preflight"]

log: logging.Logger = logging.getLogger("realtime.server")

END_PATIENCE = 10.0
HTTP_1_1 = (1, 1)
NO_SIGNS = (None, None, None)
# The same, for each request: until Python 3.12 an enumeration takes its time to give its members.
KNOWN, UNSIGNED, REFUSED = Admission.KNOWN, Admission.UNSIGNED, Admission.REFUSED
# What a request is told that shows nothing of its page where it has to.
SHOWS_NO_PAGE = (
    "a script, frame or form shows no page (Origin, Sec-Fetch-Site, Referer) that allowed_origins could let in"
)
D = TypeVar("D", bound=Dialect)


class Routes:
    """The part of its routes that every protocol shares."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._origins = check_origins(service.allowed_origins)
        self._proxies = Proxies(service.trusted_proxies)
        config = service.config
        self._counts_addresses = (config.max_sessions_per_address or config.opens_per_second_per_address) is not None
        self._bodies = Bodies(service)
        self._sockets = Sockets(self._patience)

    def _origin(self, request: web.Request) -> Origin:
        if not self._service.trusted_proxies and not ((remote := request.remote) and ":" in remote):  # as it usually is
            return Origin(remote, request.headers.get("Host", ""), request.scheme)
        return self._proxies.origin(
            request.remote,
            request.headers.get("Host", ""),  # request.host makes one up, from the server's own address
            request.scheme,
            request.headers,
        )

    def _check_page(self, request: web.Request, *, scripted: bool = False) -> Admission:
        """How a request may come in. Raises Refusal (4403) for a page of an origin that may not connect; where the
        answer is a script or a document, also for a request that does not show of which page it is."""
        headers = request.headers
        signs = headers.get("Origin"), headers.get("Sec-Fetch-Site"), headers.get("Referer")
        if signs == NO_SIGNS and not scripted:  # as it is for who is no browser: judge(), without a call
            return UNSIGNED
        host = self._origin(request).host if self._service.trusted_proxies else headers.get("Host", "")
        admission = judge(*signs, host, self._origins, scripted)
        if admission is REFUSED:
            self._warn(page_of(request.headers), host[:64])
            if not shows_page(request.headers):
                raise Refusal(4403, SHOWS_NO_PAGE)
            page = request.headers.get("Origin") or "this page"
            raise Refusal(
                4403, f"{page[:64]} is another origin than {host[:64] or 'this server'}, and not in allowed_origins"
            )
        return admission

    def _warn(self, page: str, host: str) -> None:
        """Says in the log who was refused, once for each page's origin and each host: the page itself may not know."""
        if page:
            self._service.notices.warn(
                (page, host),
                "a page of %r is refused, since it asks for another host, %r. If it may connect, name it:"
                " realtime.Server(allowed_origins=[%r]). If that host is the page's own, a proxy hides it: let the"
                " proxy pass on the Host header, or X-Forwarded-Host from an address in trusted_proxies",
                page,
                host,
                page,
            )
        else:
            self._service.notices.warn(
                (page, host),
                "a page that shows no origin is refused, since it may be of another host than %r. If it may connect,"
                " name its origin in allowed_origins, and let its Referrer-Policy send that",
                host,
            )

    def _check_proxy(self, remote: str) -> None:
        """Says in the log, once, that a proxy is not believed, behind which all clients count as one."""
        if not self._proxies.trusts("" if remote == UNIX else remote):
            self._service.notices.warn(
                "proxy",
                "a request from %r has an X-Forwarded-For, which is not believed: whoever comes by there counts as one"
                " address for max_sessions_per_address and opens_per_second_per_address. If it is your proxy:"
                " realtime.Server(trusted_proxies=[%r])",
                remote,
                remote,
            )

    def _endpoint(self, request: web.Request) -> Endpoint:
        """The endpoint that a request's URL names. Raises Refusal (4406)."""
        path = "/" + request.match_info["endpoint"]
        endpoint = self._service.endpoints.get(path)
        if endpoint is None:
            raise no_endpoint(path)
        return endpoint

    def _facts(self, request: web.Request, transport: str, admission: Admission) -> SessionRequest:
        """What the application is shown of a request that came in so: from behind trusted proxies, and without the
        cookies and log-ins that any site could have made a browser send."""
        remote, version, service = request.remote, request.version, self._service
        if service.trusted_proxies or (remote and ":" in remote):
            origin = self._origin(request)
            remote, host, scheme = origin.remote, origin.host, origin.scheme
        else:  # as it usually is
            host, scheme = request.headers.get("Host", ""), request.scheme
        brought: Carried | None = None
        if service.carrying is not None and (cluster := carrying(service)) is not None:
            cluster.seen(request)
            brought = carried(request)
        if self._counts_addresses and brought is None and "X-Forwarded-For" in request.headers:
            self._check_proxy(request.remote or UNIX)
        facts = SessionRequest(
            method=request.method,
            path=request.path,
            query_string=request.rel_url.raw_query_string,
            http_version=HTTP_1_1 if version == HTTP_1_1 else (version.major, version.minor),
            scheme=scheme,
            host=host,
            remote=remote,
            raw_headers=request.raw_headers,
            transport=transport,
            http=request,
        )
        if brought is not None:
            facts._handed, facts._brought = brought.handed, bool(brought.pid)
        facts._unquote = _unquote
        facts._unsigned = admission is UNSIGNED
        if admission is not KNOWN and any(map(request.headers.__contains__, AMBIENT)):
            self._hide(facts)
        return facts

    def _hide(self, facts: SessionRequest) -> None:
        """Takes out of a request what any site could have made a browser send."""
        came = facts.raw_headers
        if len(shown := without_ambient(came)) < len(came):
            facts.raw_headers, facts.cookies_hidden = shown, True
            log.debug(
                "the cookies or log-in of a request from %s (%s) are hidden: it shows no Origin of %r or of those that"
                " allowed_origins names",
                facts.remote,
                facts.transport or "negotiate",
                facts.host[:64],
            )

    async def _carry(
        self, request: web.Request, elsewhere: Elsewhere, config: Config, body: bytes | None = None
    ) -> web.StreamResponse:
        """The answer of the worker that has the session. Raises Refusal, and Gone."""
        cluster = carrying(self._service)
        if cluster is None:
            raise elsewhere
        return await cluster.carry(request, elsewhere, config.max_body, body)

    async def _whole_body(
        self,
        request: web.Request,
        config: Config,
        limit: int,
        judge: Judge | None = None,
        begun: bytes | None = None,
    ) -> bytes:
        """The body, of at most so many bytes. Raises RemoteProtocolError (4413) and Unreadable; see Bodies.whole()."""
        return await self._bodies.whole(request, config.request_timeout, limit, judge, begun)

    def _wait(self, request: web.Request, reading: Reading | None = None) -> Wait:
        """Waits for the application, together with the client of this request. `reading` reads its connection, where
        that is a WebSocket already: who has just shaken hands is there, if nobody is to be asked."""
        if reading is not None and self._service.opens_at_once:
            return wait
        return partial(still_there, request, reading if self._service.admission.hook is not None else None)

    async def _finished(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """The response, ready to be returned to aiohttp: what is left of the request's body was read."""
        transport = request.transport
        if transport is None or transport.is_closing():
            return response
        if not (request.content.is_eof() or isinstance(response, web.WebSocketResponse)):
            await self._bodies.read_on(request, response)
        return response

    async def ended(self) -> None:
        """The end of a shutdown: waits a little for the WebSockets that aiohttp does not wait for."""
        await self._sockets.ended()

    def _patience(self) -> float:
        """How long the peer of a stream that has ended may take to read the rest, in seconds."""
        return CLOSE_PATIENCE if self._service.closing else END_PATIENCE


class DialectRoutes(Routes, ABC, Generic[D]):
    """The routes of one dialect, made once for each server with it alone; `options` are the endpoint's."""

    @abstractmethod
    def takes(self, request: web.Request, endpoint: Endpoint, options: D, rest: str) -> bool:
        """Whether this request is in this dialect; `rest` is what follows the endpoint's path in its URL. Not asked
        where the dialect has a path of its own."""

    @abstractmethod
    async def handle(self, request: web.Request, endpoint: Endpoint, options: D, rest: str) -> web.StreamResponse:
        """Serves a request. Raises nothing: what is refused is answered."""


def _unquote(query: str) -> str:
    """A query, decoded as aiohttp does that."""
    return URL.build(query_string=query, encoded=True).query_string


def preflight(request: web.Request) -> dict[str, str]:
    """What the answer to a browser's preflight says."""
    headers = SAFE | cors_headers(request.headers)
    headers["Access-Control-Allow-Methods"] = "OPTIONS, GET, POST"
    headers["Access-Control-Max-Age"] = "3600"
    return headers | asked_headers(request.headers)
