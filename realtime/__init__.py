"""Realtime sessions for aiohttp that survive any change of transport.

At the server, where `app` is an aiohttp.web.Application:

    rt = realtime.Server()

    @rt.endpoint("/chat")
    async def chat(session: realtime.Session) -> None:
        await session.join("lobby")
        async for message in session:
            await rt.room("lobby").send(message)

    realtime.setup(app, rt, prefix="/realtime")

A client in Python; pages find theirs at /realtime/client.js:

    async with realtime.connect("http://127.0.0.1:8080/realtime/chat") as session:
        await session.send("hello")
        print(await session.receive())

Help for tests is in realtime.testing, metrics for Prometheus are in realtime.metrics.
"""

from typing import TYPE_CHECKING

from .brokers.base import Health
from .brokers.memory import MemoryBroker
from .brokers.publisher import BlockingIdentity, BlockingPublisher, Publisher
from .brokers.redis import RedisBroker
from .client import ClientSession, connect
from .client.events import ClientNamespace
from .cluster.joined import Cluster
from .collector import tune_gc
from .core.config import Config
from .core.errors import (
    BrokerError,
    EventError,
    LocalProtocolError,
    NegotiationError,
    RealtimeError,
    Refusal,
    RemoteProtocolError,
    SendBufferFull,
    SessionClosed,
    Unauthorized,
)
from .core.identities import SessionInfo
from .core.lifecycle import State
from .hub import Change, History, Room
from .identities import Identity
from .namesake import missing as _missing
from .namespaces.events import Events
from .namespaces.namespace import Namespace
from .namespaces.rooms import EventRoom
from .namespaces.session import EventSession
from .protocols.engineio.options import EngineIO
from .protocols.engineio.socketio import SocketIO
from .protocols.sockjs.options import SockJS
from .request import SessionRequest
from .server import Server
from .session import Session
from .stomp.bound import StompClient
from .stomp.broker import STOMP
from .stomp.messages import StompMessage
from .web.plugin import client_url, get_server, setup
from .web.readiness import readiness
from .webtransport.options import WebTransport

__all__ = [  # noqa: RUF022 # by the alphabet alone
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
    "STOMP",
    "SendBufferFull",
    "Server",
    "Session",
    "SessionClosed",
    "SessionInfo",
    "SessionRequest",
    "SockJS",
    "SocketIO",
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
]

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a type checker would take it for a promise that every name is there

    def __getattr__(name: str) -> object:
        raise _missing(name)
