"""Help for testing applications: a server for the test, a clock that it moves, and a proxy that misbehaves on demand.

The pytest plugin with the fixture `realtime_client` is `pytest_realtime`.
"""

from __future__ import annotations

from .certificates import MadeCertificate, make_certificate
from .clock import VirtualClock
from .fault_proxy.faults import (
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
from .fault_proxy.http import Headers, ProxiedRequest
from .fault_proxy.proxy import FaultProxy
from .fault_proxy.rule import Rule
from .serving import Clients, serve
from .udp_fault_proxy import UdpFaultProxy

__all__ = [
    "Answer",
    "BlackHole",
    "Clients",
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
    "MadeCertificate",
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
    "UdpFaultProxy",
    "VirtualClock",
    "make_certificate",
    "serve",
]
