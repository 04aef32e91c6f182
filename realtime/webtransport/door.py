"""Who may come in by WebTransport: which endpoint a CONNECT is for, whose page it is, what the application is shown.

Browsers send no cookies and no log-in with one, so there is nothing ambient that a page could make use of: the page's
host has to be the server's own, whatever the port, since this port is never the page's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from ..core.errors import Refusal
from ..core.origins import check_origins
from ..endpoint import Endpoint
from ..protocols.native import VERSION
from ..request import SessionRequest
from ..service import Service
from ..web.origins import AMBIENT, Admission, judge, without_ambient

__all__ = ["Door"]

NAME = "webtransport"
PATH = re.compile(r"(.+)/v([0-9]+)/webtransport")
AMBIENT_NAMES = frozenset(name.lower().encode() for name in AMBIENT)


class Door:
    """Of one server, which is set up below `prefix`."""

    def __init__(self, service: Service, prefix: str) -> None:
        self._service = service
        self._prefix = prefix
        self._origins = check_origins(service.allowed_origins)

    def facts(self, headers: Sequence[tuple[bytes, bytes]], remote: str) -> SessionRequest:
        """The facts of a CONNECT. Raises Refusal (4403) for a page that may not connect."""
        pseudo = {name: value.decode("latin-1") for name, value in headers if name[:1] == b":"}
        authority = pseudo.get(b":authority", "")
        path, _, query = pseudo.get(b":path", "").partition("?")
        fields = tuple((name, value) for name, value in headers if name[:1] != b":")
        signs = {name: value.decode("latin-1") for name, value in reversed(fields)}
        origin = signs.get(b"origin")
        host = authority
        if origin is not None and _name(origin) == _name(f"https://{authority}") != "":
            host = origin.partition("://")[2]
        admission = judge(
            origin,
            None if origin is not None else signs.get(b"sec-fetch-site"),
            signs.get(b"referer"),
            host,
            self._origins,
            False,
        )
        if admission is Admission.REFUSED:
            raise Refusal(
                4403,
                f"{(origin or 'this page')[:64]} is another host than {authority[:64]}, and not in allowed_origins",
            )
        facts = SessionRequest(
            method="CONNECT",
            path=unquote(path),
            query_string=query,
            http_version=(3, 0),
            scheme="https",
            host=host,
            remote=remote,
            raw_headers=fields,
            transport=NAME,
        )
        if admission is Admission.ANONYMOUS and not AMBIENT_NAMES.isdisjoint(name for name, _ in fields):
            shown = without_ambient(fields)
            facts.cookies_hidden = len(shown) < len(fields)
            facts.raw_headers = shown
        return facts

    def endpoint(self, facts: SessionRequest) -> Endpoint:
        """The endpoint that a CONNECT is for. Raises Refusal (4406)."""
        found = PATH.fullmatch(facts.path)
        if found is None:
            raise Refusal(4406, "WebTransport is at <endpoint>/v1/webtransport")
        where, version = found.groups()
        if version != str(VERSION):
            raise Refusal(4406, f"protocol version {version[:8]}: this server speaks {VERSION}")
        path = max(
            (path for path in self._service.endpoints if where.endswith(self._prefix + path)), key=len, default=""
        )
        if not path:
            raise Refusal(4406, f"there is no endpoint at {where[:64]}: is that the path given to @rt.endpoint()?")
        endpoint = self._service.endpoints[path]
        allowed = self._service.networks.policy(endpoint)
        if NAME not in allowed:
            raise Refusal(4406, f"{NAME} is not in this endpoint's transports; there are {', '.join(allowed)}")
        return endpoint


def _name(origin: str) -> str:
    """The host of an origin, without its port."""
    try:
        return (urlsplit(origin).hostname or "").lower()
    except ValueError:
        return ""
