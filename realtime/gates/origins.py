"""The page that a request comes from, by the headers that browsers set (docs/protocol.md §9). Who may come in, web/
decides."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from ..core.origins import DEFAULT_PORTS

__all__ = ["RAW_SIGNS", "SIGNS", "asker", "origin_of", "same_host"]

# What says where a page comes from, in the order in which it counts; as it may stand in a request.
SIGNS = ("Origin", "Sec-Fetch-Site", "Referer")
RAW_SIGNS = {name.lower().encode(): name for name in SIGNS}


def asker(headers: Mapping[str, str], host: str) -> str | None:
    """Whose page asks: "" for one of `host` itself, else its origin; None where nothing is said.

    The same for all requests of a page, whichever of them a browser gives an Origin.
    """
    origin = headers.get("Origin")
    if origin is None:
        if headers.get("Sec-Fetch-Site") in ("same-origin", "none"):
            return ""
        referer = headers.get("Referer")
        if referer is None:
            return None
        origin = origin_of(referer)
    return "" if same_host(origin, host) else origin


def origin_of(referer: str) -> str:
    """The origin of a URL."""
    try:
        parts = urlsplit(referer)
    except ValueError:
        return "://"  # nobody's
    return f"{parts.scheme}://{parts.netloc}"


@lru_cache(maxsize=256)  # a page asks again and again
def same_host(origin: str, host: str) -> bool:
    """Whether a page of this origin is one of the host's own."""
    scheme, _, authority = origin.partition("://")
    default = DEFAULT_PORTS.get(scheme)
    # A proxy that ends TLS leaves a Host without port, so the port that goes without saying is the origin's.
    return bool(authority) and _with_port(authority, default) == _with_port(host, default)


def _with_port(authority: str, default: str | None) -> str:
    authority = authority.lower()
    name, colon, port = authority.rpartition(":")
    if colon and port.isdigit():
        return f"{name}:{port}"
    return f"{authority}:{default}"
