"""What an Engine.IO client says in a URL, and the errors that it is told ("HTTP long-polling", "Handshake"). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ...core.errors import Refusal
from .options import EngineIO

__all__ = [
    "BAD_METHOD",
    "BAD_REQUEST",
    "BAD_VERSION",
    "FORBIDDEN",
    "UNKNOWN_SID",
    "UNKNOWN_TRANSPORT",
    "EngineIOError",
    "EngineQuery",
]

# The protocol's errors.
UNKNOWN_TRANSPORT = 0
UNKNOWN_SID = 1
BAD_METHOD = 2
BAD_REQUEST = 3
FORBIDDEN = 4
BAD_VERSION = 5
MESSAGES = (
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
)
# Refusals that say something of their own; all others are bad requests.
TOLD = (4401, 4403, 4408, 4413, 4429, 4503)
# Digits of the number of a JSONP client.
MAX_INDEX = 16


class EngineIOError(Exception):
    """A request that the protocol has an error for: `code`, in words, and the HTTP status and headers that go along."""

    def __init__(
        self,
        code: int,
        message: str = "",
        status: int = 400,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.message: str = message or MESSAGES[code]
        self.status = status
        self.retry_after = retry_after
        self.headers: dict[str, str] = dict(headers or {})

    @classmethod
    def of(cls, refusal: Refusal) -> EngineIOError:
        """A refusal, in the protocol's terms."""
        if refusal.scope == "session":
            return cls(UNKNOWN_SID)
        if refusal.code in TOLD:
            return cls(FORBIDDEN, f"Forbidden: {refusal.reason}", refusal.http_status, refusal.retry_after)
        return cls(BAD_REQUEST)


class EngineQuery(NamedTuple):
    """The parameters of a request's URL."""

    transport: str
    version: int
    sid: str  # empty where a session is to be opened
    base64: bool  # it takes no bytes
    jsonp: str | None  # the number of a JSONP client

    @classmethod
    def of(cls, query: Mapping[str, str], options: EngineIO) -> EngineQuery:
        """What the parameters of a URL say. Raises EngineIOError for a transport or version that this endpoint lacks,
        and for a bad number."""
        transport = query.get("transport", "")
        if transport not in options.transports:
            raise EngineIOError(UNKNOWN_TRANSPORT)
        version = query.get("EIO")
        if version not in [str(one) for one in options.versions]:
            raise EngineIOError(BAD_VERSION)
        index = query.get("j")
        if index is not None and not (index.isascii() and index.isdigit() and len(index) <= MAX_INDEX):
            raise EngineIOError(BAD_REQUEST)
        return cls(transport, int(version or 0), query.get("sid", ""), bool(query.get("b64")), index)
