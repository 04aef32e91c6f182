"""What `import realtime` offers is exactly this: a name comes or goes only together with this list."""

from __future__ import annotations

from yarl import URL

import realtime
from realtime.base_session import BaseSession
from realtime.client.session import ClientSession
from realtime.client.settings import Settings
from realtime.core.config import Config
from realtime.core.frames import Window

from .reference.members import members

NAMES = {
    "BlockingIdentity",
    "BlockingPublisher",
    "BrokerError",
    "Change",
    "ClientNamespace",
    "ClientSession",
    "Cluster",
    "Config",
    "EngineIO",
    "EventError",
    "EventRoom",
    "EventSession",
    "Events",
    "Health",
    "History",
    "Identity",
    "LocalProtocolError",
    "MemoryBroker",
    "Namespace",
    "NegotiationError",
    "Publisher",
    "RealtimeError",
    "RedisBroker",
    "Refusal",
    "RemoteProtocolError",
    "Room",
    "SendBufferFull",
    "Server",
    "Session",
    "SessionClosed",
    "SessionInfo",
    "SessionRequest",
    "SockJS",
    "SocketIO",
    "STOMP",
    "State",
    "StompClient",
    "StompMessage",
    "Unauthorized",
    "WebTransport",
    "client_url",
    "connect",
    "get_server",
    "readiness",
    "setup",
    "tune_gc",
}


def test_the_public_names() -> None:
    assert set(realtime.__all__) == NAMES
    assert realtime.__all__ == sorted(realtime.__all__)


def test_they_are_all_there() -> None:
    assert [name for name in NAMES if not hasattr(realtime, name)] == []
    assert realtime.__version__


def test_what_a_client_session_shows() -> None:
    """What connect() gives has the names that its documents explain, and those of every session."""
    own = {"attempts", "durable", "events", "negotiation", "network_changed", "reauthorize", "switch", "timings"}
    own |= {"cursors", "gap", "last"}
    shown = {name for name in vars(realtime.ClientSession) if not name.startswith("_")}
    assert shown == own | {"close", "send", "send_nowait"}
    assert own <= set(dir(realtime.ClientSession)) - set(dir(BaseSession))


async def test_a_session_shows_what_its_documents_explain_and_keeps_the_rest_to_itself() -> None:
    rt = realtime.Server()
    rt.endpoint("/x")(realtime.Session.wait_closed)
    endpoint, request = rt._service.endpoints["/x"], realtime.SessionRequest()
    sessions = (
        await rt._service.sessions.open(
            endpoint, nonce="", binding=None, window=Window(1, 1), identity=None, request=request
        ),
        ClientSession(Settings(url=URL("http://localhost/")), Config()),
    )
    for session in sessions:
        shown = {name for name in dir(session) if not name.startswith("_")}
        assert shown == {member.name for member in members(type(session)) if not member.name.startswith("_")}
    await rt._service.shutdown()
