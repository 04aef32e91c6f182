"""A server with an endpoint of STOMP, and clients that are driven frame by frame, over whatever carries them."""

from __future__ import annotations

import asyncio
import json
import random
import string
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp

import realtime
from realtime.protocols.layers.stomp.frames import V10, V12, Frame, is_bare, unescape, write

from ..patience import within
from ..web.peer import Peer
from ..web.place import Place, serving

__all__ = ["KINDS", "Client", "WebSocketClient", "client", "stomp_of", "stomping"]

# Whatever carries sessions.
KINDS = ("websocket", "native", "polls", "sockjs", "engine", "tcp")


class Client:
    """Says frames, and gives those that come."""

    def __init__(self) -> None:
        self.version: str = V12
        self._buffer = b""
        self.beats = 0  # line ends between frames

    async def say(self, data: bytes) -> None:
        """Bytes, as they are."""
        raise NotImplementedError

    async def hear(self) -> bytes:
        """The next message. Raises EOFError at the end."""
        raise NotImplementedError

    async def drop(self) -> None:
        """Ends the connection, without a word."""
        raise NotImplementedError

    async def send(self, command: str, headers: Mapping[str, str] | None = None, body: bytes | str = b"") -> None:
        """A frame."""
        text = body.encode() if isinstance(body, str) else body
        await self.say(write(self.version, Frame(command, headers or {}, text)))

    async def beat(self) -> None:
        """Waits for a heart-beat."""
        async with within("a heart-beat"):
            before = self.beats
            while self.beats == before:
                self._buffer += await self.hear()
                self._skip()

    def _skip(self) -> None:
        while self._buffer[:1] == b"\n":
            self._buffer = self._buffer[1:]
            self.beats += 1

    async def news(self) -> Frame:
        """The next frame. Raises EOFError at the end."""
        async with within("a frame"):
            while True:
                self._skip()
                found = self._parse()
                if found is not None:
                    return found
                self._buffer += await self.hear()

    def _parse(self) -> Frame | None:
        head, blank, rest = self._buffer.partition(b"\n\n")
        if not blank:
            return None
        command, *lines = head.decode().split("\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            if not is_bare(self.version, command):
                name, value = unescape(self.version, name), unescape(self.version, value)
            assert name not in headers
            headers[name] = value
        size = int(headers["content-length"]) if "content-length" in headers else rest.find(b"\0")
        if size < 0 or len(rest) <= size:
            return None
        assert rest[size] == 0
        self._buffer = rest[size + 1 :]
        return Frame(command, headers, rest[:size])

    async def expect(self, command: str, **headers: str) -> Frame:
        """The next frame, which is this, with these headers among others."""
        found = await self.news()
        assert found.command == command, found
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        assert {name: found.headers.get(name) for name in wanted} == wanted, found
        return found

    async def connect(self, version: str = V12, **headers: str) -> Frame:
        """Goes in."""
        said = {"host": "here"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if version != V10:
            said = {"accept-version": version, **said}
        await self.send("CONNECT", said)
        self.version = version
        return await self.expect("CONNECTED", version=version)

    async def subscribe(self, destination: str, id: str = "0", ack: str = "auto", **headers: str) -> None:
        """Subscribes, and waits until that is done."""
        said = {"id": id, "destination": destination, "ack": ack, "receipt": f"subscribed {id}"}
        await self.send("SUBSCRIBE", said | {name.replace("_", "-"): value for name, value in headers.items()})
        await self.expect("RECEIPT", receipt_id=f"subscribed {id}")

    async def done(self, command: str, headers: Mapping[str, str] | None = None, body: bytes | str = b"") -> None:
        """A frame, and its receipt."""
        await self.send(command, {**(headers or {}), "receipt": "done"}, body)
        await self.expect("RECEIPT", receipt_id="done")

    async def refused(self, words: str) -> Frame:
        """The next frame is an ERROR that says this, and then the session ends."""
        found = await self.expect("ERROR")
        assert words in found.body.decode(), found
        assert found.headers["message"]
        await self.ended()
        return found

    async def ended(self) -> None:
        """Waits for the end; no frame comes before it."""
        async with within("the end"):
            try:
                while True:
                    data = await self.hear()
                    assert not data.strip(b"\n"), data
            except EOFError:
                pass


class WebSocketClient(Client):
    """Over a WebSocket, bare or of another protocol."""

    def __init__(
        self,
        ws: aiohttp.ClientWebSocketResponse,
        wrap: Callable[[str], str] = str,
        unwrap: Callable[[str], list[str]] = lambda text: [text],
    ) -> None:
        super().__init__()
        self.ws = ws
        self._wrap, self._unwrap = wrap, unwrap
        self.kinds: set[type] = set()  # of what has come

    async def say(self, data: bytes) -> None:
        try:
            await self.ws.send_str(self._wrap(data.decode()))
        except UnicodeDecodeError:
            await self.ws.send_bytes(data)

    async def hear(self) -> bytes:
        message = await self.ws.receive()
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            raise EOFError
        data: str | bytes = message.data
        self.kinds.add(type(data))
        if isinstance(data, bytes):
            return data
        if data == "1":  # Engine.IO's close
            raise EOFError
        if data == "2":
            await self.ws.send_str("3")
            return b""
        return "".join(self._unwrap(data)).encode()

    async def drop(self) -> None:
        await self.ws.close()


class NativeClient(Client):
    """Over a native session."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self.peer = peer

    async def say(self, data: bytes) -> None:
        await self.peer.send(f"m{data.decode()}")

    async def hear(self) -> bytes:
        frame = await self.peer.news()
        if isinstance(frame, bytes):
            return frame
        if frame[:1] in ("x", "c"):
            raise EOFError
        return frame[1:].encode() if frame[:1] == "m" else b""

    async def drop(self) -> None:
        raise NotImplementedError


class TcpClient(Client):
    """Over TCP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> bytes:
        try:
            data = await self.reader.read(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self.writer.close()
            raise EOFError
        return data

    async def drop(self) -> None:
        self.writer.close()


def stomp_of(place: Place) -> realtime.STOMP:
    """What serves /stomp."""
    return cast(realtime.STOMP, place.rt._service.endpoints["/stomp"].handler)


def _sockjs(text: str) -> list[str]:
    return cast("list[str]", json.loads(text[1:])) if text[:1] == "a" else []


@asynccontextmanager
async def stomping(stomp: realtime.STOMP | None = None, /, **settings: Any) -> AsyncIterator[Place]:
    """A place with STOMP at /stomp, for clients of all protocols."""
    rt = realtime.Server(**({"shutdown_timeout": 0.3} | settings))
    made = stomp or realtime.STOMP(tcp=("127.0.0.1", 0))
    rt.endpoint("/stomp", sockjs=True, engineio="/engine.io")(made)
    async with serving(rt) as place:
        yield place


async def client(place: Place, kind: str = "websocket", **options: Any) -> Client:
    """A client that has opened, and ends with the place."""
    made: Client
    if kind == "tcp":
        host, port = stomp_of(place).addresses[0]
        made = TcpClient(*await asyncio.open_connection(host, port))
    elif kind in ("native", "polls"):
        peer = place.peer("websocket" if kind == "native" else "long_polling", "/stomp", **options)
        await peer.open()
        return NativeClient(peer)
    elif kind == "sockjs":
        name = "".join(random.choices(string.ascii_lowercase, k=8))
        ws = await place.http.ws_connect(place.url(f"/stomp/000/{name}/websocket"))
        assert await ws.receive_str() == "o"
        made = WebSocketClient(ws, lambda text: json.dumps([text]), _sockjs)
    elif kind == "engine":
        ws = await place.http.ws_connect(f"{place.base}/engine.io/?EIO=4&transport=websocket")
        assert (await ws.receive_str()).startswith("0{")
        made = WebSocketClient(ws, lambda text: f"4{text}", lambda text: [text.removeprefix("4")])
    else:
        made = WebSocketClient(await place.http.ws_connect(place.url("/stomp"), **options))
    place.peers.append(cast(Peer, made))  # which ends with the place
    return made
