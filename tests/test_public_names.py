"""What `import realtime` offers is exactly this: a name comes or goes only together with this list."""

from __future__ import annotations

import realtime

NAMES = {
    "BrokerError",
    "ClientSession",
    "Config",
    "EngineIO",
    "LocalProtocolError",
    "NegotiationError",
    "RealtimeError",
    "Refusal",
    "RemoteProtocolError",
    "Room",
    "SendBufferFull",
    "Server",
    "Session",
    "SessionClosed",
    "SessionRequest",
    "SockJS",
    "State",
    "Unauthorized",
    "client_url",
    "connect",
    "get_server",
    "setup",
}


def test_the_public_names() -> None:
    assert set(realtime.__all__) == NAMES
    assert realtime.__all__ == sorted(realtime.__all__)


def test_they_are_all_there() -> None:
    assert [name for name in NAMES if not hasattr(realtime, name)] == []
    assert realtime.__version__
