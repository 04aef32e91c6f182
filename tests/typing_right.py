"""Right uses of the settings, for mypy: all of this has to pass `mypy --strict`. tests/test_settings.py runs it."""

from __future__ import annotations

import realtime
from realtime.core.settings import EndpointSettings, ServerSettings
from realtime.testing import Clients, VirtualClock


def servers() -> list[realtime.Server]:
    """Servers, each told something else in the right way."""
    settings: ServerSettings = {"max_sessions": None, "on_rate": "close"}
    return [
        realtime.Server(),
        realtime.Server(**settings),
        realtime.Server(transports="websocket", ping_interval=None, ping_timeout=5, max_size=65_536),
        realtime.Server(transports=("websocket", "polling"), poll_interval=(0.5, 5), max_sessions_per_identity=3),
        realtime.Server(transports=["websocket"], allowed_origins=["https://example.org"], trusted_proxies="127.0.0.1"),
        realtime.Server(clock=VirtualClock(), shutdown_timeout=0),
    ]


def endpoints(rt: realtime.Server) -> None:
    """Endpoints, each told something else in the right way."""
    settings: EndpointSettings = {"on_full": "drop_oldest", "max_outbox": 16}

    @rt.endpoint("/ticker", **settings)
    async def ticker(session: realtime.Session) -> None:
        await session.send("tick")

    @rt.endpoint("/chat", transports="polling", max_message_rate=None, sockjs=True, engineio="/engine.io")
    async def chat(session: realtime.Session) -> str:
        return session.id

    @rt.endpoint("/raw", sockjs=realtime.SockJS(), engineio=realtime.EngineIO(path="/e"), subprotocols=["mqtt"])
    async def raw(session: realtime.Session) -> None:
        await chat(session)

    rt.endpoint("/all", raw=False, dialects=[realtime.SockJS(), realtime.EngineIO(path="/f")])(raw)


def connections() -> list[realtime.connect]:
    """Clients, each told something else in the right way."""
    url = "http://localhost/realtime/chat"
    return [
        realtime.connect(url),
        realtime.connect(url, transports="websocket", auth={"token": 1}, headers={"Origin": "http://localhost"}),
        realtime.connect(url, transports=["websocket", "polling"], backoff=(1, 5), max_queue=16, upgrade=False),
        realtime.connect(url, clock=VirtualClock(), http=None, open_timeout=5),
    ]


async def under_test(client: Clients, rt: realtime.Server) -> realtime.ClientSession:
    """A session of the test help, which hands connect() its options."""
    return await client(rt, "/realtime/chat", transports="polling", upgrade=False)


async def members(rt: realtime.Server, events: realtime.Events) -> None:
    """Who is in a room is what has joined it."""
    for session in rt.room("lobby"):
        await session.send("hello")
    for member in events.room("lobby"):
        await member.emit("hello")
