"""What `import realtime` offers is exactly this: a name comes or goes only together with this list."""

from __future__ import annotations

from yarl import URL

import realtime
from realtime.client.session import ClientSession
from realtime.client.settings import Settings
from realtime.core.config import Config
from realtime.session import BaseSession

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


def test_what_a_client_session_shows() -> None:
    """What connect() gives has the names that its documents explain, and those of every session."""
    own = {"attempts", "negotiation", "network_changed", "reauthorize", "switch", "timings"}
    shown = {name for name in vars(realtime.ClientSession) if not name.startswith("_")}
    assert shown == own | {"close", "send", "send_nowait"}
    assert own <= set(dir(realtime.ClientSession)) - set(dir(BaseSession))


async def test_a_client_session_keeps_the_rest_to_itself() -> None:
    session = ClientSession(Settings(url=URL("http://localhost/")), Config())
    assert {name for name in vars(session) if not name.startswith("_")} == {"dropped"}
