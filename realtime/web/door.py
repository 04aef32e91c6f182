"""What the routes of every protocol share: who may come in, what the application is shown, and reading bodies.

Knows no protocol: what it refuses it raises.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiohttp import ClientPayloadError, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ..core.config import Config
from ..core.errors import Refusal, RemoteProtocolError
from ..server import Server
from ..session import SessionRequest
from .forwarded import Origin, Proxies
from .links import CLOSE_PATIENCE
from .origins import (
    Admission,
    asked_headers,
    check_origins,
    cors_headers,
    judge,
    shows_page,
    without_ambient,
)
from .replies import SAFE

__all__ = ["BROKEN_BODY", "Door", "Unreadable", "preflight"]

# What reading a body may raise.
BROKEN_BODY = (ClientPayloadError, web.RequestPayloadError, HttpProcessingError, ConnectionError)
# How long a body that nobody asked for is read on, so that its connection can be used again (as aiohttp would).
PATIENCE = 10.0
END_PATIENCE = 10.0
# What a request is told that shows nothing of its page where it has to.
UNSIGNED = "a script, frame or form shows no page (Origin, Sec-Fetch-Site, Referer) that allowed_origins could let in"


class Unreadable(Exception):
    """The rest of a body will not come, or makes no sense: the connection ends behind the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Door:
    """The routes of one protocol, as far as they are everybody's."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._origins = check_origins(server.allowed_origins)
        self._proxies = Proxies(server.trusted_proxies)
        self._reading: set[asyncio.Timeout] = set()

    def _origin(self, request: web.Request) -> Origin:
        return self._proxies.origin(
            request.remote,
            request.headers.get("Host", ""),  # request.host makes one up, from the server's own address
            request.scheme,
            request.headers,
        )

    def _check_page(self, request: web.Request, *, scripted: bool = False) -> None:
        """Raises Refusal (4403) for a page of an origin that may not connect; where the answer is a script or a
        document, also for a request that does not show of which page it is."""
        host = self._origin(request).host
        if judge(request.headers, host, self._origins, scripted=scripted) is Admission.REFUSED:
            if not shows_page(request.headers):
                raise Refusal(4403, UNSIGNED)
            page = request.headers.get("Origin") or "this page"
            raise Refusal(
                4403, f"{page[:64]} is another origin than {host[:64] or 'this server'}, and not in allowed_origins"
            )

    def _facts(self, request: web.Request, transport: str, auth: Any) -> SessionRequest:
        """What the application is shown of a request: from behind trusted proxies, and without the cookies and log-ins
        that any site could have made a browser send."""
        origin = self._origin(request)
        raw_headers = request.raw_headers
        if judge(request.headers, origin.host, self._origins) is Admission.ANONYMOUS:
            raw_headers = without_ambient(raw_headers)
        facts = SessionRequest(
            method=request.method,
            path=request.path,
            query_string=request.query_string,
            http_version=(request.version.major, request.version.minor),
            scheme=origin.scheme,
            host=origin.host,
            remote=origin.remote,
            raw_headers=raw_headers,
            transport=transport,
            auth=auth,
        )
        facts.withdrawals = self._server.withdrawals
        return facts

    async def _whole_body(self, request: web.Request, config: Config, limit: int) -> bytes:
        """The body, of at most so many bytes. Raises RemoteProtocolError (4413) and Unreadable."""
        if request.content_length is not None and request.content_length > limit:
            raise _too_large(limit)
        content = request.content
        try:
            if not content.is_eof():
                return await self._body(content, config, limit)
            body = content.read_nowait()  # a short body that came with its head needs no time limit, nor a loop
        except TimeoutError:
            if self._server.closing:
                raise Unreadable(Refusal(4503, "the server is shutting down; come back later")) from None
            late = f"the body took longer than request_timeout={config.request_timeout:g}"
            raise Unreadable(Refusal(4408, late)) from None
        except BROKEN_BODY as error:
            raise Unreadable(Refusal(4400, f"the body cannot be read: {error}")) from None
        if len(body) > limit:
            raise _too_large(limit)
        return body

    async def _body(self, content: StreamReader, config: Config, limit: int) -> bytes:
        """A body as it comes. Raises RemoteProtocolError (4413), TimeoutError, and BROKEN_BODY."""
        body = bytearray()
        async with asyncio.timeout(config.request_timeout) as timeout:
            self._reading.add(timeout)
            try:
                async for chunk in content.iter_any():
                    body += chunk
                    if len(body) > limit:
                        raise _too_large(limit)
            finally:
                self._reading.discard(timeout)
        return bytes(body)

    async def _finished(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """The response, ready to be returned to aiohttp: what is left of the request's body was read."""
        transport = request.transport
        if transport is None or transport.is_closing():
            return response
        if not (request.content.is_eof() or isinstance(response, web.WebSocketResponse)):
            await self._read_on(request, response)
        return response

    async def _read_on(self, request: web.Request, response: web.StreamResponse) -> None:
        """Answers, and reads what nobody asked for. aiohttp would too, and log what cannot be decoded as an error."""
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
        try:
            async with asyncio.timeout(0 if self._server.closing else PATIENCE) as timeout:
                self._reading.add(timeout)
                try:
                    async for _ in request.content.iter_any():
                        pass
                finally:
                    self._reading.discard(timeout)
        except (TimeoutError, *BROKEN_BODY):
            request.protocol.force_close()

    def _patience(self) -> float:
        """How long the peer of a stream that has ended may take to read the rest, in seconds."""
        return CLOSE_PATIENCE if self._server.closing else END_PATIENCE

    def _stop_reading(self) -> None:
        """Shutting down: no body is waited for."""
        loop = asyncio.get_running_loop()
        for timeout in self._reading:
            if not timeout.expired():
                timeout.reschedule(loop.time())


def _too_large(limit: int) -> RemoteProtocolError:
    return RemoteProtocolError(4413, f"the body is above {limit} bytes; split the batch")


def preflight(request: web.Request) -> dict[str, str]:
    """What the answer to a browser's preflight says."""
    headers = SAFE | cors_headers(request.headers)
    headers["Access-Control-Allow-Methods"] = "OPTIONS, GET, POST"
    headers["Access-Control-Max-Age"] = "3600"
    return headers | asked_headers(request.headers)
