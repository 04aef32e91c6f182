"""The facts of a request, as the application is shown them: to say who its client is, and for as long as its session.

Kept raw, parsed each time it is asked for. Knows no aiohttp: the framework's own request is only passed through, and
never kept.
"""

from __future__ import annotations

import copy
import json
import weakref
from collections.abc import Callable, Mapping
from itertools import chain
from operator import itemgetter
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy

from .core.cookies import parse_cookies
from .core.errors import LocalProtocolError, Unauthorized

__all__ = ["SessionRequest"]


def _nothing() -> None:
    """In the place of a reference to a request that is gone."""


NAME = itemgetter(0)
LOWER = bytes.lower
# What a header takes in memory besides its text, in bytes.
HEADER = 128


class SessionRequest:
    """The facts of a request that opens a session or goes on with one. Kept raw, parsed whenever they are asked for."""

    __slots__ = (
        "__weakref__",
        "_brought",
        "_handed",
        "_headers",
        "_http",
        "_kept",
        "_query",
        "_raw_auth",
        "_shown",
        "_unquote",
        "_unsigned",
        "_withdrawals",
        "cookies_hidden",
        "host",
        "http_version",
        "method",
        "path",
        "remote",
        "scheme",
        "subprotocol",
        "transport",
    )

    def __init__(
        self,
        *,
        method: str = "GET",
        path: str = "/",
        query_string: str = "",
        http_version: tuple[int, int] = (1, 1),
        scheme: str = "http",
        host: str = "",
        remote: str | None = None,
        raw_headers: tuple[tuple[bytes, bytes], ...] = (),
        transport: str = "",
        auth: Any = None,
        raw_auth: bytes | None = None,
        subprotocol: str | None = None,
        http: Any = None,
    ) -> None:
        self.method: str = method  # "GET" and so on
        self.path: str = path  # of the URL, decoded, without the query
        self._query: str = query_string
        self._unquote: Callable[[str], str] | None = None  # how that is decoded, as long as it is not
        self.http_version: tuple[int, int] = http_version  # such as (1, 1)
        self.scheme: str = scheme  # "http" or "https" (past trusted_proxies)
        self.host: str = host  # the host that was asked for, with its port if it was named
        self.remote: str | None = remote  # the client's address (past trusted_proxies)
        self._headers: tuple[tuple[bytes, bytes], ...] | bytes = raw_headers
        # Whether cookies or a browser's log-in came that are not shown, without an Origin that may connect beside them.
        self.cookies_hidden: bool = False
        self.transport: str = transport  # the transport of this request
        # What the client gave as `auth`, at last: JSON in UTF-8, as it came. Parsed it may be a hundred times as large.
        self._raw_auth = raw_auth if auth is None else json.dumps(auth).encode()
        # Of a bare WebSocket, what endpoint(subprotocols=…) and its client agreed on.
        self.subprotocol: str | None = subprotocol
        self._brought = False  # another worker has brought its client, who goes on here
        self._handed = ""  # by another worker: the sid of the claim that it was brought here for
        self._withdrawals = 0  # how many of the server's there were when it came: see Server.close_identity()
        self._http: Callable[[], Any] | None = None if http is None else weakref.ref(http)
        self._kept: Any = None  # that, while somebody may look at it
        self._shown = 0  # how many may
        self._unsigned = False  # nobody need look for what shows its page: nothing does

    @property
    def http(self) -> Any:
        """The request as aiohttp has it, a `web.Request`: for `request.http.app`, `config_dict`, what middlewares have
        stored (`request.http["user"]`), and packages that go by it, such as aiohttp-session (docs/login.md).

        It is there while the authorize hook runs, and for a handler until it first waits for something; it is never
        kept. To be read, but for its body. Its `remote`, `scheme` and `host` are the connection's, a proxy's perhaps.

        Raises LocalProtocolError later, and where there is none; Unauthorized, of which the client is told, when the
        request has cookies or a log-in that do not count, since a middleware may have taken them for its user's.
        """
        if self._http is None:
            raise LocalProtocolError(
                "this request did not come by HTTP, or came before a durable session was taken over"
            )
        http = self._kept
        if http is None:
            raise LocalProtocolError(
                "the HTTP request is not kept: look at request.http in the authorize hook, or in a handler before it"
                " first waits for anything"
            )
        if http.raw_headers != self.raw_headers:  # what the application is not shown
            raise Unauthorized("cookies and browsers' log-ins count only beside an Origin that may connect")
        return http

    def _show_http(self) -> None:
        """Keeps the request of the web framework, and lets `http` be asked for, until _hide_http() was called as often
        as this."""
        self._shown += 1
        if self._kept is None and self._http is not None:
            self._kept = self._http()

    def _hide_http(self) -> None:
        """One less may look at it."""
        self._shown -= 1
        if not self._shown:
            self._kept = None
            if self._http is not None and self._http() is None:
                self._http = _nothing

    @property
    def query_string(self) -> str:
        """The query of the URL, decoded, without the question mark."""
        if self._unquote is not None:
            self._query, self._unquote = self._unquote(self._query), None
        return self._query

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Names and values of the headers as they came, but for cookies and log-ins that do not count."""
        if isinstance(self._headers, bytes):
            parts = self._headers.split(b"\n")
            return tuple(zip(parts[::2], parts[1::2], strict=True))
        return self._headers

    @raw_headers.setter
    def raw_headers(self, raw_headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self._headers = raw_headers

    def _pack(self) -> int:
        """Makes one object of the headers, which are kept for as long as a session: they would be dozens. Returns about
        how many bytes they take as they came."""
        headers = self._headers
        if isinstance(headers, bytes):
            headers = self.raw_headers
        if not headers:
            return 0
        packed = b"\n".join(chain.from_iterable(headers))
        ends = 2 * len(headers) - 1
        if packed.count(b"\n") == ends:  # no parser lets a line end through
            self._headers = packed
        return len(packed) - ends + HEADER * len(headers)

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The request's headers, case-insensitive."""
        decode = "utf-8", "surrogateescape"
        return CIMultiDictProxy(
            CIMultiDict((name.decode(*decode), value.decode(*decode)) for name, value in self.raw_headers)
        )

    def _first(self, names: Mapping[bytes, str]) -> dict[str, str]:
        """The headers of these names, in lower case, by what they are to be called: without parsing all others."""
        found: dict[str, str] = {}
        headers = self.raw_headers if isinstance(self._headers, bytes) else self._headers
        if names.keys().isdisjoint(map(LOWER, map(NAME, headers))):  # as it is for who is no browser
            return found
        for name, value in headers:
            called = names.get(name.lower())
            if called is not None and called not in found:
                found[called] = value.decode("utf-8", "surrogateescape")
        return found

    @property
    def auth(self) -> Any:
        """What the client gave as `auth`, at last: any JSON. Parsed anew each time it is asked for, and not kept."""
        return None if self._raw_auth is None else json.loads(self._raw_auth.decode("utf-8", "surrogatepass"))

    @property
    def _credentials(self) -> bytes:
        """The bytes of Cookie and Authorization: two requests with the same are taken for the same client's."""
        return b"\0".join(
            b"%b=%b" % (name.lower(), value)
            for name, value in self.raw_headers
            if name.lower() in (b"cookie", b"authorization")
        )

    def _renewed(self, raw_auth: bytes) -> SessionRequest:
        """The same request with other auth data."""
        request = copy.copy(self)
        request._raw_auth = raw_auth
        request._kept, request._shown = None, 0
        return request

    @property
    def query(self) -> MultiDictProxy[str]:
        """The parsed query string of the request, the protocol's own parameters included."""
        return MultiDictProxy(MultiDict(parse_qsl(self.query_string, keep_blank_values=True)))

    @property
    def cookies(self) -> MappingProxyType[str, str]:
        """The request's cookies, as aiohttp's own requests show them; what makes no sense is missing."""
        return MappingProxyType(parse_cookies(self.headers.get("Cookie", "")))

    def __repr__(self) -> str:
        return f"<SessionRequest {self.method} {self.path} over {self.transport}>"
