"""The vocabulary of faults: what can be asked of a `FaultProxy`, as plain data.

Nothing here does anything; `connection.py` does. Times are in seconds, sizes in bytes, the rest are counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .http import ProxiedRequest

Match: TypeAlias = Callable[[ProxiedRequest], bool]
Direction: TypeAlias = Literal["to_client", "to_server", "both"]
End: TypeAlias = Literal["fin", "rst"]
"""How a connection ends: in good order (FIN) or not (RST)."""
EndOrHang: TypeAlias = Literal["fin", "rst", "hang"]
"""As `End`; "hang": the client's connection stays open and nothing comes over it any more."""

AT_LEAST_0 = (
    "after_bytes",
    "after_frames",
    "after_idle",
    "after_requests",
    "after_seconds",
    "after_writes",
    "max_hold",
    "patience",
    "seconds",
)
"""What a fault may have, and what less of it would be none."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What all faults share: which of the requests they are meant for.

    A fault is decided on when a request's head has arrived, and then belongs to that request and all
    that follows from it: its response, or the WebSocket that it opens. Several faults may apply to one.
    """

    match: Match | None = None
    """Only requests for which this returns true; None: every request (that the fault can apply to)."""
    skip: int = 0
    """So many matching requests pass unharmed first."""
    every: int = 1
    """After those, the first matching request and then each `every`-th is faulted."""
    times: int | None = None
    """So many requests are faulted in all; None: no limit."""
    chance: float = 1.0
    """A request whose turn it is is faulted with this probability, by the proxy's `random`."""

    def __post_init__(self) -> None:
        if self.skip < 0 or self.every < 1 or (self.times is not None and self.times < 0):
            raise ValueError("skip and times are at least 0, every at least 1")
        if not 0 <= self.chance <= 1:
            raise ValueError("chance is a probability, from 0 to 1")
        for name in AT_LEAST_0:
            value = getattr(self, name, None)
            if value is not None and not value >= 0:
                raise ValueError(f"{name}={value!r}: takes 0 or more")

    def applies_to(self, request: ProxiedRequest) -> bool:
        """Whether the request is of the kind this fault is about, and wanted by `match`."""
        return self.match is None or self.match(request)


@dataclass(frozen=True, kw_only=True)
class WebSocketFault(Fault):
    """Base of the faults that only WebSocket handshakes, or what follows them, can have."""

    def applies_to(self, request: ProxiedRequest) -> bool:
        """Whether the request is a WebSocket handshake, and wanted by `match`."""
        return request.is_websocket and Fault.applies_to(self, request)


# WebSocket handshakes


@dataclass(frozen=True, kw_only=True)
class RefuseWebSocket(WebSocketFault):
    """The proxy answers the handshake itself, with an HTTP error. The server never sees it."""

    status: int = 403
    """Of the answer."""


@dataclass(frozen=True, kw_only=True)
class StripUpgrade(WebSocketFault):
    """The headers Upgrade and Connection are taken off: the server sees a plain GET."""


@dataclass(frozen=True, kw_only=True)
class HangWebSocket(WebSocketFault):
    """The handshake is never answered, and the server never sees it. The connection stays open."""


@dataclass(frozen=True, kw_only=True)
class ResetWebSocket(WebSocketFault):
    """The connection is reset (RST) instead of an answer to the handshake. The server never sees it."""


@dataclass(frozen=True, kw_only=True)
class KillWebSocket(WebSocketFault):
    """Both connections of an open WebSocket end after some frames.

    Data frames are counted (text, binary and continuation); pings, pongs and closes pass uncounted. The
    last frame counted still gets through.
    """

    after_frames: int = 1
    """0: as soon as the handshake has been answered."""
    sent_by: Literal["server", "client"] = "server"
    """Whose frames are counted."""
    end: End = "fin"
    """How: in good order, or by a reset."""


# Whole connections


@dataclass(frozen=True, kw_only=True)
class BlackHole(Fault):
    """Bytes vanish while the connection stays open: what is read is thrown away, ends included.

    It starts at once (both counts None: the request, or for "to_client" the response, is lost whole), or
    when so many bytes or writes of body or WebSocket have passed in that direction ("both": in either),
    whichever is first. With `after_bytes=0` the heads pass and nothing else does: a WebSocket that
    opens and stays mute. It lasts as long as the connection: later requests on it are lost as well.

    A *write* is one data frame of a WebSocket, one chunk of a chunked body, and elsewhere what one read
    brings.
    """

    direction: Direction = "both"
    """What is thrown away."""
    after_bytes: int | None = None
    """So many bytes of body or WebSocket pass before that."""
    after_writes: int | None = None
    """So many writes pass before that."""


@dataclass(frozen=True, kw_only=True)
class Cut(Fault):
    """Both connections end, by whichever of the limits comes first.

    Without a limit the cut comes after 0 bytes: when the response's head has passed.
    """

    after_seconds: float | None = None
    """Since the request arrived, however far the answer has got; a response that is complete is safe."""
    after_idle: float | None = None
    """Seconds in which no byte moved in either direction, since the request arrived."""
    after_bytes: int | None = None
    """Bytes of the response's body (framing of chunks included), or from the server on a WebSocket."""
    end: End = "fin"
    """How: in good order, or by a reset."""


@dataclass(frozen=True, kw_only=True)
class Lag(Fault):
    """Each piece arrives `seconds` late, in order: of the response (head included), or the WebSocket."""

    seconds: float
    direction: Direction = "to_client"
    """To the server, the pieces of the request's body, or what the client sends on a WebSocket."""


# Requests


@dataclass(frozen=True, kw_only=True)
class Answer(Fault):
    """The proxy answers the request itself and closes the connection. The server never sees it."""

    status: int = 503
    """Of the answer."""
    headers: tuple[tuple[str, str], ...] = ()
    """Beside those of the body's length and the connection."""
    body: bytes = b""
    """All of it."""


@dataclass(frozen=True, kw_only=True)
class DropRequest(Fault):
    """The request never reaches the server."""

    end: EndOrHang = "fin"
    """What its client sees: a connection that ends, in good order or by a reset, or nothing at all."""


@dataclass(frozen=True, kw_only=True)
class DelayRequest(Fault):
    """The request reaches the server `seconds` late, and it does so even if its client has left."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class TruncateRequest(Fault):
    """The server gets `body[:keep]` under a head that promises all of it; then both connections end.

    A body that this leaves whole passes unharmed.
    """

    keep: int = -1
    """Bytes of the body that pass; -1: all but the last."""
    end: End = "fin"
    """How both connections end: in good order, or by a reset."""


@dataclass(frozen=True, kw_only=True)
class RepeatRequest(Fault):
    """The server gets the request a second time, over another connection.

    The client gets the first one's response only. The copy is sent when the server has answered the
    original; or, *later*, when it has answered `after_requests` more requests that this fault applies
    to; or `after_seconds` after the original's answer. The answer that the copy follows reaches its
    client only after the copy too has been answered, or after `patience`. (Not with `after_seconds`.)
    """

    method: str | None = "POST"
    """None: any."""
    after_requests: int = 0
    after_seconds: float = 0.0
    patience: float = 1.0
    """Seconds."""

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        if self.after_requests and self.after_seconds:
            raise ValueError("give after_requests or after_seconds, not both")

    def applies_to(self, request: ProxiedRequest) -> bool:
        """Whether the request has the method, is no WebSocket handshake, and is wanted by `match`."""
        if request.is_websocket or self.method not in (None, request.method):
            return False
        return Fault.applies_to(self, request)


@dataclass(frozen=True, kw_only=True)
class ReorderRequests(Fault):
    """A request is held back until the server has answered the next one that this fault applies to.

    It reaches the server even if its client has left meanwhile. `skip`, `every` and `times` count the
    ones that are held, one at a time, not those that overtake them. The rule has fired when the held one
    was overtaken. If the rule is removed meanwhile, the request waits for `max_hold`.
    """

    method: str | None = "POST"
    """None: any."""
    max_hold: float = 5.0
    """Seconds after which it is passed on although none came."""

    def applies_to(self, request: ProxiedRequest) -> bool:
        """Whether the request has the method, and is wanted by `match`."""
        return self.method in (None, request.method) and Fault.applies_to(self, request)


# Responses


@dataclass(frozen=True, kw_only=True)
class DropResponse(Fault):
    """The response is lost after the server has acted: when its head has arrived at the proxy."""

    end: EndOrHang = "fin"
    """What its client sees: a connection that ends, in good order or by a reset, or nothing at all."""


@dataclass(frozen=True, kw_only=True)
class HoldResponse(Fault):
    """Nothing of the response, head included, is passed on for some time; then all of it at once."""

    seconds: float | None = None
    """Since its head arrived; None: until it is complete, as a buffering proxy does."""


@dataclass(frozen=True, kw_only=True)
class TruncateResponse(Fault):
    """The client gets `body[:keep]` under a head that promises all of it; then both connections end.

    The proxy waits for the whole body first. A body that this leaves whole passes unharmed.
    """

    keep: int = -1
    """Bytes of the body that pass; -1: all but the last."""
    end: End = "fin"
    """How both connections end: in good order, or by a reset."""


# What became of it

EventKind: TypeAlias = Literal["opened", "request", "answered", "fault", "copy", "bad", "closed"]


@dataclass(frozen=True, kw_only=True)
class ProxyEvent:
    """One thing that the proxy saw or did, in `FaultProxy.log`."""

    kind: EventKind
    """opened, closed: a client's connection. request: its head arrived. answered: the head of the
    server's response arrived. fault: `fault` fired. copy: a request was sent apart from its client's
    connection, and has been answered or lost. bad: something was not HTTP, or no server was there."""
    connection: int = 0
    """Number of the client's connection, from 1."""
    request: ProxiedRequest | None = None
    """What it is about, unless it is a connection."""
    fault: Fault | None = None
    """Which one, where it is about one."""
    detail: str = ""
    """In words, for who reads the log."""
