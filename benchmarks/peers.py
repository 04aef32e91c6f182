"""What is compared beside bare aiohttp: the floor (an asyncio.Protocol), and servers of the field from PyPI and npm.

Each serves /echo, /listen and /speak as the contenders do, and is asked over a WebSocket, in its own protocol.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aiohttp import web

from .bare import BareWebSocket, BasePeer
from .load import Failed, Tally
from .messages import Messages
from .wire import CLOSE, TEXT, WebSocketConnection, chunk, client_frame, handshake, server_frame

__all__ = ["APPS", "BURST", "FLOOR", "NODE", "PEERS", "PeerWebSocket", "floor", "node_command"]

NODE_SERVER = Path(__file__).parent / "node" / "server.cjs"
FLOOR = "asyncio.Protocol"
BURST = 16  # events, where they go in bursts (events_peers.py)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


# -- the floor -------------------------------------------------------------------------------------------------------


class Floor(asyncio.Protocol):
    """As little as a WebSocket, or a stream, can be in Python: heads, whole frames, nothing checked, nothing kept."""

    listeners: set[Floor] = set()  # noqa: RUF012 # of the process, which is one server's

    def connection_made(self, transport: Any) -> None:
        """asyncio.Protocol: connected."""
        self.transport = transport
        self.name = b""
        self.rest = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio.Protocol: the connection has ended."""
        self.listeners.discard(self)

    def data_received(self, data: bytes) -> None:
        """asyncio.Protocol: bytes have come."""
        data = self.rest + data if self.rest else data
        if not self.name:
            if b"\r\n\r\n" not in data:
                self.rest = data
                return
            head, _, data = data.partition(b"\r\n\r\n")
            self.name = head.split(b" ", 2)[1][1:]
            if self.name == b"stream":
                self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                self.listeners.add(self)
                return
            key = head.lower().index(b"sec-websocket-key:") + 18
            accept = base64.b64encode(hashlib.sha1(head[key:].split(b"\r\n", 1)[0].strip() + GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            if self.name == b"listen":
                self.listeners.add(self)
        at = 0
        while len(data) >= at + 14 or len(data) >= at + 6 + (data[at + 1] & 127 if len(data) > at + 1 else 127):
            size, start = data[at + 1] & 127, at + 6
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 8
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 14
            if len(data) < start + size:
                break
            self._message(data[at] & 15, data[start - 4 : start], data[start : start + size])
            at = start + size
        self.rest = data[at:]

    def _message(self, opcode: int, key: bytes, payload: bytes) -> None:
        if opcode == CLOSE:
            self.transport.close()
            return
        size = len(payload)
        mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
        frame = server_frame((int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little"))
        if self.name == b"echo":
            self.transport.write(frame)
        elif self.name == b"speak":
            line = chunk(frame[-size:] + b"\n")
            for listener in self.listeners:
                listener.transport.write(line if listener.name == b"stream" else frame)


async def floor(backlog: int) -> int:
    """Serves it; returns the port."""
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", 0, backlog=backlog)
    port: int = server.sockets[0].getsockname()[1]
    return port


# -- peers in Python -------------------------------------------------------------------------------------------------


def _socketio() -> web.Application:
    socketio: Any = import_module("socketio")
    server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")
    names: dict[str, str] = {}

    async def connect(sid: str, environ: dict[str, str]) -> None:
        names[sid] = environ["QUERY_STRING"].partition("name=")[2].partition("&")[0]
        if names[sid] == "listen":
            await server.enter_room(sid, "all")

    async def message(sid: str, text: str) -> None:
        if names[sid] == "echo":
            await server.emit("m", text, to=sid)
        elif names[sid] == "speak":
            await server.emit("m", text, room="all")

    counts: dict[str, int] = {}

    async def put(sid: str, text: str) -> None:
        counts[sid] = counts.get(sid, 0) + 1

    async def counted(sid: str) -> int:
        return counts.pop(sid, 0)

    async def burst(sid: str, text: str) -> None:
        for _ in range(BURST):
            await server.emit("m", text, to=sid)

    async def ack(sid: str, text: str) -> str:
        return text

    handlers = {"connect": connect, "m": message, "put": put, "counted": counted, "burst": burst, "ack": ack}
    for event, handler in handlers.items():
        server.on(event, handler)
    app = web.Application()
    server.attach(app)
    return app


def _engineio() -> web.Application:
    engineio: Any = import_module("engineio")
    server = engineio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")
    names: dict[str, str] = {}

    async def connect(sid: str, environ: dict[str, str]) -> None:
        names[sid] = environ["QUERY_STRING"].partition("name=")[2].partition("&")[0]

    async def message(sid: str, text: str) -> None:
        if names[sid] == "echo":
            await server.send(sid, text)
        elif names[sid] == "speak":
            for other, name in tuple(names.items()):
                if name == "listen":
                    await server.send(other, text)

    async def disconnect(sid: str, reason: str) -> None:
        names.pop(sid, None)

    for event, handler in (("connect", connect), ("message", message), ("disconnect", disconnect)):
        server.on(event, handler)
    app = web.Application()
    server.attach(app)
    return app


def _sockjs() -> web.Application:
    sockjs: Any = import_module("sockjs")
    app = web.Application()
    listeners: set[Any] = set()

    def handler(name: str) -> Any:
        async def handle(manager: Any, session: Any, message: Any) -> None:
            if message.type is sockjs.MsgType.OPEN and name == "listen":
                listeners.add(session)
            elif message.type in (sockjs.MsgType.CLOSE, sockjs.MsgType.CLOSED):
                listeners.discard(session)
            elif message.type is sockjs.MsgType.MESSAGE and name == "echo":
                session.send(message.data)
            elif message.type is sockjs.MsgType.MESSAGE and name == "speak":
                for listener in tuple(listeners):
                    listener.send(message.data)

        return handle

    for name in ("echo", "listen", "speak"):
        sockjs.add_endpoint(app, handler(name), name=name, prefix=f"/{name}")
    return app


def _installed(*modules: str) -> bool:
    return all(find_spec(module) is not None for module in modules)


APPS: dict[str, Callable[[], web.Application]] = {}
if _installed("socketio", "bidict"):
    APPS["python-socketio"] = _socketio
if _installed("engineio"):
    APPS["python-engineio"] = _engineio
if _installed("sockjs", "async_timeout"):
    APPS["sockjs for aiohttp"] = _sockjs

# Which of them there are, and what each is to benchmarks/node/server.cjs.
NODE: dict[str, str] = {}
if shutil.which("node") is not None:
    for kind in ("socket.io", "engine.io", "sockjs"):
        if (NODE_SERVER.parent / "node_modules" / kind).is_dir():
            NODE[f"Node {kind}"] = kind


def node_command(contender: str) -> tuple[str, ...]:
    """What starts a peer on Node."""
    return (shutil.which("node") or "node", str(NODE_SERVER), NODE[contender])


# -- their clients ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dialect:
    """What a peer's protocol is like on a WebSocket: its path, and how texts lie in its frames."""

    path: str  # with the name of what is served, and room for a session's number
    sends: Callable[[bytes], bytes]
    receives: Callable[[bytes], Sequence[bytes]]  # the frames that come of one text
    opens: tuple[tuple[bytes, bytes], ...] = ()  # what comes at first, by how it begins, and what is said to that
    heartbeat: tuple[bytes, bytes] = (b"", b"")  # what comes every now and then, and what is said to that


def _plain(text: bytes) -> bytes:
    return text


SOCKETIO = Dialect(
    "/socket.io/?EIO=4&transport=websocket&name={name}",
    sends=lambda text: client_frame(b'42["m","' + text + b'"]'),
    receives=lambda text: (server_frame(b'42["m","' + text + b'"]'),),
    opens=((b"0{", b"40"), (b"40", b"")),
    heartbeat=(b"2", b"3"),
)
ENGINEIO = Dialect(
    "/engine.io/?EIO=4&transport=websocket&name={name}",
    sends=lambda text: client_frame(b"4" + text),
    receives=lambda text: (server_frame(b"4" + text),),
    opens=((b"0{", b""),),
    heartbeat=(b"2", b"3"),
)
SOCKJS = Dialect(
    "/{name}/000/{number}/websocket",
    sends=lambda text: client_frame(b'["' + text + b'"]'),
    receives=lambda text: (server_frame(b'a["' + text + b'"]'),),
    opens=((b"o", b""),),
    heartbeat=(b"h", b""),
)
PLAIN = Dialect("/{name}", sends=client_frame, receives=lambda text: (server_frame(text),))

PEERS: dict[str, Dialect] = {
    FLOOR: PLAIN,
    "python-socketio": SOCKETIO,
    "python-engineio": ENGINEIO,
    "sockjs for aiohttp": SOCKJS,
    "Node socket.io": SOCKETIO,
    "Node engine.io": ENGINEIO,
    "Node sockjs": SOCKJS,
}
_numbers = iter(range(1_000_000_000))


class PeerWebSocket(BareWebSocket):
    """A session with a peer."""

    def __init__(
        self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0, *, dialect: Dialect
    ) -> None:
        BasePeer.__init__(self, tally, messages, first)
        self._port = port
        self._dialect = dialect
        self._opens = list(dialect.opens)
        self._frames = messages.laid(dialect.sends)
        receives = messages.several(dialect.receives)
        self._connection = WebSocketConnection(
            handshake(dialect.path.format(name=name, number=f"s{next(_numbers):09d}"), port),
            receives,
            self._first * (len(receives) // messages.count),
            opened=lambda: None if self._opens else self._welcome(),
            delivered=self._take,
            other=self._other,
            failed=self._failed,
        )

    def _other(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE and self._leaving:
            return
        if opcode == TEXT and self._opens and payload.startswith(self._opens[0][0]):
            _, answer = self._opens.pop(0)
            if answer:
                self._connection.write(client_frame(answer))
            if not self._opens:
                self._welcome()
        elif opcode == TEXT and payload == self._dialect.heartbeat[0] and payload:
            if self._dialect.heartbeat[1]:
                self._connection.write(client_frame(self._dialect.heartbeat[1]))
        elif opcode == TEXT and payload.startswith(b'a["') and self._dialect is SOCKJS:
            self._several(json.loads(payload[1:]))
        else:
            raise Failed(f"what came is not what was expected: {payload[:80]!r}")

    def _several(self, texts: list[str]) -> None:
        """SockJS servers put several messages into one frame."""
        known = self._messages.texts
        for text in texts:
            if text.encode() != known[self._connection.index]:
                raise Failed(f"message {self.received + 1} of a session is not the one expected: {text[:80]!r}")
            self._connection.passed()
        self._take(len(texts))

    async def leave(self) -> None:
        """See load.Peer. Not all of them end the connection when they are told to."""
        await self.abort()
