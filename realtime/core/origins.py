"""The origins of pages that a server allows beside its own host: what the setting may say, and how it is compared."""

from __future__ import annotations

import re

from .errors import LocalProtocolError

__all__ = ["ANY", "DEFAULT_PORTS", "NULL", "check_origins"]

ANY = "*"
NULL = "null"  # files, sandboxed frames, and whatever else has no origin of its own
DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def check_origins(allowed: tuple[str, ...]) -> frozenset[str]:
    """The setting allowed_origins, as pages' origins are compared with it. Raises LocalProtocolError for what no
    browser would send."""
    origins = set()
    for origin in allowed:
        text = str(origin).lower()
        if text not in (ANY, NULL) and not _ORIGIN.fullmatch(text):
            raise LocalProtocolError(
                f'allowed_origins: {origin!r} is no origin; one looks like "https://example.org", without a path'
                ' ("*" allows any, "null" those that have none)'
            )
        scheme, _, authority = text.partition("://")
        if authority.endswith(f":{DEFAULT_PORTS.get(scheme)}"):  # browsers leave out what goes without saying
            text = text.rpartition(":")[0]
        origins.add(text)
    return frozenset(origins)
