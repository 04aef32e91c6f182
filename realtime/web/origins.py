"""Which pages may connect: those of the same host, and those the server allows (docs/protocol.md §9).

A browser says where a page comes from by Origin, else Sec-Fetch-Site, else Referer; that is compared with the host the
request asked for. What any site could have brought about must not live on ambient credentials: such a request is
*anonymous*, and the application sees it without what a browser adds by itself. What any page can read, because the
answer is a script or a document, is not given to a request that says nothing of its page.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import lru_cache

from ..core.origins import ANY, NULL
from ..gates.origins import SIGNS, origin_of, same_host

__all__ = [
    "AMBIENT",
    "Admission",
    "asked_headers",
    "cors_headers",
    "judge",
    "page_of",
    "shows_page",
    "without_ambient",
]

# What browsers answer by themselves when a server or a proxy asks for it (RFC 9110 §11, and what came before). They
# never make up any other scheme: a Bearer token was put there by whoever made the request.
AMBIENT = ("Authorization", "Cookie", "Proxy-Authorization")
AMBIENT_HEADERS = frozenset(name.lower().encode() for name in AMBIENT)
AMBIENT_SCHEMES = frozenset(
    (
        b"basic",
        b"digest",
        b"hoba",
        b"kerberos",
        b"mutual",
        b"nego2",
        b"negotiate",
        b"ntlm",
        b"scram-sha-1",
        b"scram-sha-256",
    )
)


class Admission(enum.Enum):
    """How a request may come in."""

    KNOWN = "known"  # from the same host, or from an origin that the server names
    ANONYMOUS = "anonymous"  # from anywhere: any page, or no browser at all
    UNSIGNED = "unsigned"  # the same, and it shows nothing of its page
    REFUSED = "refused"


@lru_cache(maxsize=256)  # a page asks again and again
def judge(
    origin: str | None, site: str | None, referer: str | None, host: str, allowed: frozenset[str], scripted: bool
) -> Admission:
    """Whether a request for `host` with these three SIGNS may come in, and how. `scripted`: the answer is a script or a
    document, which any page can read or be told, so that a request has to show that its page is an allowed one."""
    elsewhere = Admission.ANONYMOUS if ANY in allowed else Admission.REFUSED
    if origin is None:
        if site in ("same-origin", "none"):
            return Admission.KNOWN
        if referer is None:
            # Over plain http, and with a Referrer-Policy, a script tag of any page shows none of the three.
            return Admission.ANONYMOUS if site is None and not scripted else elsewhere
        origin = origin_of(referer)
        if site is not None:
            # It says that the page is another's, and not whose: a script tag or an iframe of an allowed page has only
            # its Referer to show. No page can make a browser send the Referer of another origin.
            return Admission.KNOWN if origin in allowed and origin not in (ANY, NULL) else elsewhere
    if origin == NULL:
        return Admission.ANONYMOUS if NULL in allowed else elsewhere
    if (origin in allowed and origin != ANY) or same_host(origin, host):
        return Admission.KNOWN
    return elsewhere


def page_of(headers: Mapping[str, str]) -> str:
    """The origin that a request shows, of at most 64 characters; empty where it shows none."""
    origin = headers.get("Origin")
    if origin is None and "Referer" in headers:
        origin = origin_of(headers["Referer"])
    return (origin or "")[:64]


def shows_page(headers: Mapping[str, str]) -> bool:
    """Whether a request says anything of the page that made it."""
    return any(name in headers for name in SIGNS)


def without_ambient(raw_headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    """The headers without what a browser adds by itself, whichever page made it send the request: cookies, and the
    credentials of a log-in that the browser asked for. (What it cannot add, such as a Bearer token, stays.)"""
    shown = [header for header in raw_headers if header[0].lower() not in AMBIENT_HEADERS or _is_made_up(*header)]
    return tuple(shown) if len(shown) < len(raw_headers) else raw_headers


def _is_made_up(name: bytes, value: bytes) -> bool:
    """Whether no browser adds this header, of these names, by itself."""
    return name.lower() == b"authorization" and AMBIENT_SCHEMES.isdisjoint(value.lower().split(None, 1)[:1])


def cors_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What lets a page of an allowed origin read the answer, with credentials (a balancer's cookie may be among them;
    what the application sees of them judge() says)."""
    origin = headers.get("Origin")
    if origin is None or not origin.isascii():
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }


def asked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Lets a page send the headers that its browser asks for."""
    asked = headers.get("Access-Control-Request-Headers")
    return {"Access-Control-Allow-Headers": asked} if asked and asked.isascii() else {}
