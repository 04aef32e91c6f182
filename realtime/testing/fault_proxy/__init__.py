"""A TCP/HTTP proxy that a test puts between a client and a server, to do to them what networks do.

It uses the standard library only and knows nothing of this package's protocols. `faults.py` lists what
it can do, `exchange.py` does it, and `proxy.py` is what a test holds.
"""

from __future__ import annotations

from .faults import (
    Answer,
    BlackHole,
    Cut,
    DelayRequest,
    DropRequest,
    DropResponse,
    Fault,
    HangWebSocket,
    HoldResponse,
    KillWebSocket,
    Lag,
    ProxyEvent,
    RefuseWebSocket,
    ReorderRequests,
    RepeatRequest,
    ResetWebSocket,
    StripUpgrade,
    TruncateRequest,
    TruncateResponse,
)
from .http import Headers, ProxiedRequest
from .proxy import FaultProxy
from .rule import Rule

__all__ = [
    "Answer",
    "BlackHole",
    "Cut",
    "DelayRequest",
    "DropRequest",
    "DropResponse",
    "Fault",
    "FaultProxy",
    "HangWebSocket",
    "Headers",
    "HoldResponse",
    "KillWebSocket",
    "Lag",
    "ProxiedRequest",
    "ProxyEvent",
    "RefuseWebSocket",
    "ReorderRequests",
    "RepeatRequest",
    "ResetWebSocket",
    "Rule",
    "StripUpgrade",
    "TruncateRequest",
    "TruncateResponse",
]
