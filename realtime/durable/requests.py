"""What a record keeps of the request that opened a durable session, and that request made again of it."""

from __future__ import annotations

from ..core.durable.opening import Opening
from ..core.frames import Window
from ..core.proof import Key
from ..owners import digest_of
from ..request import SessionRequest

__all__ = ["opening_of", "request_of"]

FACTS = ("method", "path", "query_string", "scheme", "host", "remote", "transport")


def opening_of(
    request: SessionRequest,
    path: str,
    *,
    key: str,
    binding: object,
    identity: str | None,
    address: str,
    window: Window,
    life: float,
) -> Opening:
    """What is kept."""
    facts = {name: getattr(request, name) for name in FACTS} | {"http_version": list(request.http_version)}
    auth = request._raw_auth
    headers = request.raw_headers
    return Opening(path, Key(key), digest_of(binding), identity, address, window, auth, facts, headers, life)


def request_of(opening: Opening) -> SessionRequest:
    """The facts of that request."""
    facts = dict(opening.facts)
    major, minor = facts.pop("http_version")
    return SessionRequest(**facts, http_version=(major, minor), raw_headers=opening.headers, raw_auth=opening.auth)
