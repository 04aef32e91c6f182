"""A server with an endpoint of events, and its clients: one that is driven by packets, over whatever carries them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

import aiohttp

import realtime
from realtime.namespaces.events import Events
from realtime.protocols.engineio.socketio import SocketIO

from ..patience import within
from ..web.peer import Peer
from ..web.place import Place, serving

__all__ = ["Client", "EngineClient", "NativeClient", "chatting", "client"]


class Client:
    """Says packets, and gives those that come."""

    async def say(self, *messages: str | bytes) -> None:
        """Messages, as they are."""
        raise NotImplementedError

    async def news(self) -> str | bytes:
        """The next message."""
        raise NotImplementedError

    async def closed(self) -> int:
        """Waits for the end of the session; its code."""
        raise NotImplementedError

    async def take(self, count: int) -> list[str | bytes]:
        """So many messages."""
        return [await self.news() for _ in range(count)]

    async def connect(self, namespace: str = "/", auth: Any = None) -> str:
        """Goes in; the sid."""
        place = "" if namespace == "/" else f"{namespace},"
        await self.say(f"0{place}" + ("" if auth is None else json.dumps(auth)))
        said = await self.news()
        assert isinstance(said, str)
        assert said.startswith(f"0{place}"), said
        return str(json.loads(said[1 + len(place) :])["sid"])


class NativeClient(Client):
    """Over a native session."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    async def say(self, *messages: str | bytes) -> None:
        await self.peer.send(*(f"m{message}" if isinstance(message, str) else message for message in messages))

    async def news(self) -> str | bytes:
        frame = await self.peer.news()
        return frame[1:] if isinstance(frame, str) and frame[0] == "m" else frame

    async def closed(self) -> int:
        while True:
            frame = await self.peer.news()
            if isinstance(frame, str) and frame[0] in "xc":
                return int(frame[1:].split(",")[0])


class EngineClient(Client):
    """Over a WebSocket of Engine.IO 4; with another `mark` than its packets', over a bare one."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, mark: str = "4") -> None:
        self.ws = ws
        self.mark = mark

    async def say(self, *messages: str | bytes) -> None:
        for message in messages:
            if isinstance(message, str):
                await self.ws.send_str(f"{self.mark}{message}")
            else:
                await self.ws.send_bytes(message)

    async def news(self) -> str | bytes:
        async with within():
            while True:
                message = await self.ws.receive()
                if message.data == "2" and self.mark:
                    await self.ws.send_str("3")
                    continue
                assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
                data: str | bytes = message.data
                return data.removeprefix(self.mark) if isinstance(data, str) else data

    async def drop(self) -> None:
        """Ends the connection."""
        await self.ws.close()

    async def closed(self) -> int:
        async with within():
            while not self.ws.closed:
                await self.ws.receive()
        return self.ws.close_code or 0


@asynccontextmanager
async def chatting(events: Events, options: dict[str, Any] | None = None, /, **settings: Any) -> AsyncIterator[Place]:
    """A place with these events at /chat, for native clients, and at /socket.io."""
    events._bound.numbers = count()  # of calls, which begin anywhere else
    rt = realtime.Server(**({"shutdown_timeout": 0.3} | settings))
    rt.endpoint("/chat", socketio=SocketIO(**(options or {})))(events)
    async with serving(rt) as place:
        yield place


async def client(place: Place, kind: str = "native", version: int = 4, **options: Any) -> Client:
    """A client that has opened: "native", another native transport, or "engine"."""
    if kind == "engine":
        ws = await place.http.ws_connect(f"{place.base}/socket.io/?EIO={version}&transport=websocket")
        assert str(await ws.receive_str()).startswith("0{")
        engine = EngineClient(ws)
        place.peers.append(cast(Peer, engine))  # which ends with the place
        return engine
    peer = place.peer("websocket" if kind == "native" else kind, "/chat", **options)
    await peer.open()
    return NativeClient(peer)
