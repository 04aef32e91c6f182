"""The errors of realtime. Exceptions hold data; `__str__` writes the sentence.

Exception
└── RealtimeError
    ├── SessionClosed(code, reason)          the session has ended
    ├── SendBufferFull(messages, size)       send_nowait found no room
    ├── LocalProtocolError                   this side asked for something the protocol forbids
    ├── RemoteProtocolError(close_code, http_status)   the peer broke the protocol
    ├── Refusal(code, scope, received, reason)         a request that is answered by an `x` frame
    │   └── Unauthorized(reason, status)         raised by an authorize hook
    ├── NegotiationError(attempts)           no transport got through, or none is allowed
    ├── BrokerError(maybe_sent)              the broker cannot be reached or answered nonsense
    └── EventError(message, code, data)      an event was answered by an error, or is to be
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "BrokerError",
    "EventError",
    "LocalProtocolError",
    "NegotiationError",
    "RealtimeError",
    "Refusal",
    "RemoteProtocolError",
    "SendBufferFull",
    "SessionClosed",
    "Unauthorized",
    "clip",
    "http_status",
    "leaves_of",
]

MAX_REASON = 123  # bytes: what a WebSocket close frame has room for (RFC 6455 §5.5)

# Only codes whose HTTP status is not 410 (the session is over): docs/protocol.md §9.
_HTTP_STATUS = {
    1002: 400,
    1003: 400,
    1007: 400,
    1009: 413,
    4400: 400,
    4401: 401,
    4403: 403,
    4404: 404,
    4405: 405,
    4406: 404,
    4409: 409,
    4413: 413,
    4429: 429,
    4503: 503,
}


def http_status(code: int, scope: str = "session") -> int:
    """The HTTP status that goes with an `x` frame of this close code and scope (docs/protocol.md §9)."""
    if code == 4408 and scope == "carrier":
        return 408
    if scope == "session" and code >= 3000 and code != 4404:
        return 410  # an application's own code, or the end of a session that was
    return _HTTP_STATUS.get(code, 410)


class RealtimeError(Exception):
    """The root of every error that realtime raises on purpose."""


class SessionClosed(RealtimeError):
    """The session has ended. `code` and `reason` say why; 1000 and 1001 are ordinary ends."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the session was closed with {self.code}" + (f" ({self.reason})" if self.reason else "")


class SendBufferFull(RealtimeError):
    """`send_nowait` found no room: the peer has not acknowledged enough of what was sent before. Or a turn of a durable
    session holds as much as it may (`in_turn`): then `send` raises this as well.

    So many `messages`, of `size` bytes together, wait.
    """

    def __init__(self, messages: int, size: int, *, in_turn: bool = False) -> None:
        super().__init__(messages, size)
        self.messages = messages
        self.size = size
        self.in_turn = in_turn

    def __str__(self) -> str:
        what = f"{self.messages} messages ({self.size} bytes)"
        if self.in_turn:
            instead = "call session.commit() now and then, or raise max_turn or max_outbox_size"
            return f"{what} wait for the turn's commit; {instead}"
        return f"{what} wait for the peer; await session.send() instead, or raise max_outbox or max_outbox_size"


class LocalProtocolError(RealtimeError):
    """This side asked for something that the protocol, the session's state or the bounds of a setting forbid."""


class RemoteProtocolError(RealtimeError):
    """The peer broke the protocol, as `reason` says. Ends its session with `close_code`; HTTP gets `http_status`."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(close_code, reason)
        self.close_code = close_code
        self.reason = reason

    @property
    def http_status(self) -> int:
        """The HTTP status to answer with, where the peer's request was HTTP."""
        return http_status(self.close_code, "carrier" if self.close_code >= 4000 else "session")

    def __str__(self) -> str:
        return f"{self.reason} (close code {self.close_code})"


def _check_text(name: str, value: object) -> None:
    """Raises TypeError for what no client could be told."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: takes text, not {type(value).__name__}: str() makes it of an exception")


class Refusal(RealtimeError):
    """A request that cannot be served, and the `x` frame that says so, with `code` and `reason` (docs/protocol.md §9).

    `scope` is "session" when the session is over or unknown, "carrier" when only this request or
    connection is refused. `received` is the highest client message number received, if it is told. `retry_after` is
    after how many seconds to try again, where that is known. Raises TypeError for a reason that is no text.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        *,
        scope: str = "carrier",
        received: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        _check_text("reason", reason)
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.scope = scope
        self.received = received
        self.retry_after = retry_after

    @property
    def http_status(self) -> int:
        """The HTTP status to answer with, where the request was HTTP."""
        return http_status(self.code, self.scope)

    def __str__(self) -> str:
        return f"refused with {self.code}: {self.reason}"


class Unauthorized(Refusal):
    """What an authorize hook raises: this client may not come in. `status` is 401 (who are you?) or 403 (not you).

    A handler that raises it closes its session with 4401 or 4403. One of events that is told of a client which connects
    refuses it, with `data` beside the reason: any JSON. Raises ValueError for another status, and TypeError for a
    reason that is no text.
    """

    def __init__(self, reason: str = "not authorised", *, status: int = 401, data: Any = None) -> None:
        if status not in (401, 403):
            raise ValueError(f"status is 401 or 403, not {status}")
        super().__init__(4000 + status, reason)
        Exception.__init__(self, reason)  # a hook may raise it in another process, from which it comes back by this
        self.data = data


class NegotiationError(RealtimeError):
    """No transport could open a session, as `message` says. `attempts` maps each transport that was tried to what
    happened to it, in words."""

    def __init__(self, message: str, attempts: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.attempts: dict[str, str] = dict(attempts or {})

    def __str__(self) -> str:
        groups: dict[str, list[str]] = {}  # names of one reason stand together, where the first of them does
        for name, what in self.attempts.items():
            groups.setdefault(what, []).append(name)
        tried = "; ".join(f"{', '.join(names)}: {what}" for what, names in groups.items())
        return f"{self.message} ({tried})" if tried else self.message


class BrokerError(RealtimeError):
    """The broker cannot be reached, or answered something that makes no sense, as `reason` says. `maybe_sent` says of a
    send whether it may have been published all the same; where it is False, sending again cannot send twice. `workers`
    names the workers that have not answered, where all were asked."""

    def __init__(
        self,
        reason: str = "the broker cannot be reached",
        *,
        maybe_sent: bool = False,
        workers: Iterable[str] = (),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_sent = maybe_sent
        self.workers: tuple[str, ...] = tuple(workers)

    def __str__(self) -> str:
        return self.reason + ("; it may have been sent" if self.maybe_sent else "")


class EventError(RealtimeError):
    """An event was answered by an error, `message`: the call() that waits for the answer raises it. A handler that
    raises it answers by it, and that is not logged.

    `code` is "failed" (the handler raised something else), "unknown" (there is no handler), "arguments" (the handler
    does not take these), or what the handler has given; `data` is any JSON that goes with it. Raises TypeError for a
    message or a code that is no text.
    """

    def __init__(self, message: str, *, code: str = "error", data: Any = None) -> None:
        _check_text("message", message)
        _check_text("code", code)
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data

    def __str__(self) -> str:
        return f"{self.message or 'the event was answered by an error'} ({self.code})"


def leaves_of(error: BaseException) -> list[BaseException]:
    """What an exception group holds, in order, however deep (PEP 654); of any other exception itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in leaves_of(inner)]


def clip(reason: str) -> str:
    """A reason of at most 123 bytes, without control characters."""
    if reason.isascii() and reason.isprintable() and len(reason) <= MAX_REASON:  # as it usually is
        return reason
    reason = "".join(c if c.isprintable() else " " for c in reason)
    return reason.encode("utf-8", "replace")[:MAX_REASON].decode("utf-8", "ignore")
