"""A raw client of durable sessions: frames over a real WebSocket, or over polls and sends. It keeps as little as the
protocol wants of a client, and shows all that comes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp

from ..patience import arrives

__all__ = ["Polls", "Raw", "Wire", "let_go", "nonce"]

_numbers: Iterator[int] = itertools.count()
_sockets: WeakKeyDictionary[aiohttp.ClientSession, list[aiohttp.ClientWebSocketResponse]] = WeakKeyDictionary()


def let_go(http: aiohttp.ClientSession) -> None:
    """Ends what clients have left open, before the garbage collector finds that nobody did."""
    for socket in _sockets.pop(http, ()):
        socket._response.close()


def nonce() -> str:
    """One that was never used."""
    return f"{os.getpid():010}-{next(_numbers):015}"


class Wire:
    """What a client has: numbers, the tenure, and all messages."""

    def __init__(self, http: aiohttp.ClientSession, url: str, window: tuple[int, int] = (64, 1_000_000)) -> None:
        self.http, self.url = http, url
        self.nonce = nonce()
        self.window = window
        self.gen = 0
        self.sid = self.key = self.tenure = ""
        self.received = 0  # the highest number from the server
        self.acked = self.taken = 0  # of ours, as the server says
        self.sent: list[str] = []  # our numbered frames, from 1
        self.messages: list[str] = []
        self.ended: tuple[str, ...] = ()  # the fields of a session's `x`
        self.closed = ""  # the server's `c`
        self.frames: list[str] = []  # all

    @property
    def proof(self) -> str:
        return self.key

    def opening(self, **more: Any) -> str:
        self.gen += 1
        members = {"nonce": self.nonce, "gen": self.gen, "window": self.window, "durable": True, "rooms": {}}
        return "o" + json.dumps(members | more)

    def attach(self, gen: int | None = None) -> str:
        if gen is None:
            self.gen += 1
            gen = self.gen
        first = self.acked + 1
        return f"r{self.sid},{gen},{self.received},{self.received},{first},{self.key},{self.tenure}"

    def head(self) -> str:
        return f"u{self.sid},{self.received},{self.received},{self.acked + 1},{self.key},{self.tenure}"

    @property
    def unacked(self) -> list[str]:
        return self.sent[self.acked :]

    def read(self, frame: str, cursor: int) -> int:
        """One frame, on a carrier whose cursor is this; which it is then."""
        self.frames.append(frame)
        kind, rest = frame[:1], frame[1:]
        if kind == "o":
            members = json.loads(rest)
            self.sid, self.key, self.tenure = members["sid"], members["key"], members.get("tenure", "")
            self._acks(*members["ack"])
        elif kind == "r":
            fields = rest.split(",")
            self._acks(int(fields[0]), int(fields[1]))
            if len(fields) > 2:
                self.tenure = fields[2]
        elif kind == "a":
            acks = rest.split(",")
            if acks[2:3] in ([], [self.tenure]):  # those of an owner that it has not attached to do not count
                self._acks(int(acks[0]), int(acks[1]))
        elif kind == "n":
            return int(rest)
        elif kind in ("m", "b", "d", "c"):
            if cursor == self.received + 1:
                self.received = cursor
                if kind == "c":
                    self.closed = rest
                else:
                    self.messages.append(rest if kind == "m" else frame)
            else:
                assert cursor <= self.received, f"a gap: {cursor} behind {self.received}"
            return cursor + 1
        elif kind == "x":
            told = tuple(rest.split(","))
            if told[1:2] == ("session",):
                self.ended = told
        return cursor

    def _acks(self, received: int, taken: int) -> None:
        self.acked, self.taken = max(self.acked, received), max(self.taken, taken)


class Raw(Wire):
    """Over a WebSocket."""

    socket: aiohttp.ClientWebSocketResponse | Any = None

    async def connect(self, head: str) -> str:
        """Connects anew with this head; the first frame of the answer."""
        before, self.socket = self.socket, await self.http.ws_connect(f"{self.url}/v1/websocket")
        if before is not None:
            before._response.close()
        _sockets.setdefault(self.http, []).append(self.socket)
        self.cursor = self.received + 1
        await self.socket.send_str(head)
        return await self.next()

    async def open(self, **more: Any) -> str:
        answer = await self.connect(self.opening(**more))
        await self.ack()
        return answer

    async def again(self, gen: int | None = None) -> str:
        """Attaches, and says again what is not acknowledged."""
        answer = await self.connect(self.attach(gen))
        if answer.startswith("r"):
            await self.socket.send_str(f"n{self.acked + 1}")
            for frame in self.unacked:
                await self.socket.send_str(frame)
        return answer

    async def next(self) -> str:
        """The next frame; "" for the end of the connection."""
        message = await arrives(self.socket.receive())
        if message.type is aiohttp.WSMsgType.TEXT:
            self.cursor = self.read(message.data, self.cursor)
            return str(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            self.cursor = self.read("b" + message.data.decode("latin-1"), self.cursor)
            return "b"
        return ""

    async def until(self, frame: str) -> None:
        """Reads until a frame that begins so."""
        while True:
            came = await self.next()
            assert came, f"the connection ended before {frame!r}: {self.frames}"
            if came.startswith(frame):
                return

    async def gone(self) -> None:
        """Reads to the end of the connection."""
        while await self.next():
            pass

    async def say(self, *texts: str) -> None:
        for text in texts:
            self.sent.append("m" + text)
            await self.socket.send_str("m" + text)

    async def close_session(self, code: int = 1000) -> None:
        self.sent.append(f"c{code},")
        await self.socket.send_str(f"c{code},")

    async def ack(self) -> None:
        await self.socket.send_str(f"a{self.received},{self.received}")

    async def stored(self, number: int) -> None:
        """Until the server has so many of ours."""
        while self.acked < number:
            await self.socket.send_str("p")
            await self.until("q")

    async def drop(self) -> None:
        """Lets go of the connection, without a word."""
        await self.socket.close()


def parsed(text: str) -> list[str]:
    return [str(frame) for frame in json.loads(text)]


class Polls(Wire):
    """Over long polls and sends."""

    name = "long_polling"

    async def post(self, name: str, frames: Iterable[str]) -> tuple[int, list[str]]:
        """The status, and the frames of the answer."""
        async with self.http.post(f"{self.url}/v1/{name}", data=json.dumps(list(frames))) as response:
            text = await arrives(response.text())
            return response.status, parsed(text) if text.startswith("[") else [text]

    def take(self, frames: Iterable[str]) -> list[str]:
        cursor = self.received + 1
        for frame in frames:
            cursor = self.read(frame, cursor)
        return list(frames)

    async def open(self, *behind: str, **more: Any) -> list[str]:
        _, frames = await self.post(self.name, [self.opening(**more), *behind])
        return self.take(frames)

    async def poll(self, *behind: str, gen: int | None = None) -> list[str]:
        _, frames = await self.post(self.name, [self.attach(gen), *behind])
        return self.take(frames)

    async def send(self, *texts: str) -> list[str]:
        self.sent += ["m" + text for text in texts]
        return await self.send_again()

    async def send_again(self) -> list[str]:
        _, frames = await self.post("send", [self.head(), *self.unacked])
        for frame in frames:
            self.read(frame, self.received + 1)
        return frames

    async def until(self, count: int) -> None:
        """Polls until there are so many messages, and says again what is not acknowledged."""
        while len(self.messages) < count:
            assert not self.ended, self.ended
            await self.poll(*self.unacked)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Ends a task."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
