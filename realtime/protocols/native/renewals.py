"""Fresh auth data of a session: the client's `t`, and the server's answer to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...core.errors import RemoteProtocolError
from ...transports import Frame
from .opens import MAX_AUTH
from .values import as_it_came, compact, parse_json

__all__ = ["RENEWED", "Renewal", "parse_renewal", "renewal_frame"]

RENEWED = "t"  # the server's answer


class Renewal(NamedTuple):
    """Fresh auth data of a session."""

    auth: bytes  # JSON, as it came


def renewal_frame(auth: Any) -> str:
    """The client's `t`. Raises TypeError or ValueError when `auth` is not JSON."""
    return "t" + compact(auth)


def parse_renewal(frame: Frame, max_auth: int = MAX_AUTH) -> Renewal | None:
    """A client's `t`, or None for any other frame. Raises RemoteProtocolError."""
    if not isinstance(frame, str) or frame[:1] != "t":
        return None
    if _size(frame) - 1 > max_auth:
        raise RemoteProtocolError(1009, f"fresh auth data are above max_auth_size={max_auth} bytes")
    try:
        parse_json(frame[1:])
        return Renewal(as_it_came(frame[1:]))
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(1002, f"fresh auth data are t<JSON>: {error}") from None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(as_it_came(text))
