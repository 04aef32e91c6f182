"""Realtime sessions for aiohttp that survive any change of transport.

rt = realtime.Server()

@rt.endpoint("/chat")
async def chat(session: realtime.Session) -> None:
    await session.join("lobby")
    async for message in session:
        await rt.room("lobby").send(message)

realtime.setup(app, rt, prefix="/realtime")
"""

from typing import TYPE_CHECKING

from .brokers.base import Health
from .brokers.memory import MemoryBroker
from .brokers.publisher import BlockingPublisher, Publisher
from .brokers.redis import RedisBroker
from .client import ClientSession, connect
from .cluster.joined import Cluster
from .collector import tune_gc
from .core.config import Config
from .core.errors import (
    BrokerError,
    LocalProtocolError,
    NegotiationError,
    RealtimeError,
    Refusal,
    RemoteProtocolError,
    SendBufferFull,
    SessionClosed,
    Unauthorized,
)
from .core.lifecycle import State
from .hub import Change, History, Room
from .namesake import missing as _missing
from .protocols.engineio.options import EngineIO
from .protocols.sockjs.options import SockJS
from .request import SessionRequest
from .server import Server
from .session import Session
from .web.plugin import client_url, get_server, setup
from .web.readiness import readiness

__all__ = [
    "BlockingPublisher",
    "BrokerError",
    "Change",
    "ClientSession",
    "Cluster",
    "Config",
    "EngineIO",
    "Health",
    "History",
    "LocalProtocolError",
    "MemoryBroker",
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
    "SessionRequest",
    "SockJS",
    "State",
    "Unauthorized",
    "client_url",
    "connect",
    "get_server",
    "readiness",
    "setup",
    "tune_gc",
]

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a type checker would take it for a promise that every name is there

    def __getattr__(name: str) -> object:
        raise _missing(name)
