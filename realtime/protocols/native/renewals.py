"""Fresh auth data of a session: the client's `t`, and the server's answer to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...core.errors import LocalProtocolError, RemoteProtocolError
from ...transports import Frame
from .opens import MAX_AUTH
from .values import as_it_came, compact, parse_json

__all__ = ["RENEWED", "Renewal", "auth_text", "parse_renewal", "renewal_frame"]

RENEWED = "t"  # the server's answer


class Renewal(NamedTuple):
    """Fresh auth data of a session."""

    auth: bytes  # JSON, as it came


def renewal_frame(auth: Any) -> str:
    """The client's `t`. Raises as auth_text() does."""
    return "t" + auth_text(auth)


def auth_text(auth: Any) -> str:
    """Auth data as they travel. Raises TypeError and LocalProtocolError when they are not JSON, which can be sent."""
    try:
        text = compact(auth)
        text.encode()
    except TypeError as error:
        raise TypeError(f"auth: takes what JSON has: {error}") from None
    except (ValueError, RecursionError) as error:
        raise LocalProtocolError(f"auth: takes what JSON has: {error}") from None
    return text


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
