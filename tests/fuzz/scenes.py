"""Inputs for a running server: a few requests on a few connections, sometimes around a session that was opened well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from . import frames, http, websocket
from .dice import Dice
from .house import House
from .wire import judge, key_of, sid_of

__all__ = ["run"]

# A connection that said nothing for so many turns of the event loop says nothing more for now.
TURNS = 12
POSTS = ("send", "send", "send", "polling", "polling", "long_polling", "xhr_streaming")


class Connection(asyncio.Protocol):
    """A socket that keeps what it heard."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.over = False
        self.head = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True

    async def say(self, *pieces: bytes) -> None:
        """Writes, and lets the server answer in between and afterwards."""
        for piece in pieces:
            if self.over:
                return
            self.head = self.head or b"HEAD" in piece
            self._transport.write(piece)
            await self.settle()

    async def settle(self) -> None:
        """Returns when nothing has come for a while."""
        quiet = 0
        while quiet < TURNS and not self.over:
            size = len(self.heard)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self.heard) == size else 0

    def drop(self) -> None:
        """Leaves without a word."""
        self._transport.abort()


class Stage:
    """What one input has of the house: its connections."""

    def __init__(self, house: House, dice: Dice) -> None:
        self.dice = dice
        self.prefix = dice.choice(http.PREFIXES)
        self.endpoint = dice.choice(http.ENDPOINTS)
        self._house = house
        self._connections: list[Connection] = []

    async def connect(self) -> Connection:
        """A new connection, or sometimes one that is there."""
        usable = [connection for connection in self._connections if not connection.over]
        if usable and self.dice.chance(0.4):
            return self.dice.choice(usable)
        return await self.connect_anew()

    async def connect_anew(self) -> Connection:
        """A new connection."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._house.port)
        self._connections.append(connection)
        return connection

    def url(self, name: str) -> str:
        """An address of the input's endpoint, seldom another."""
        endpoint = self.endpoint if self.dice.chance(0.97) else self.dice.choice(http.ENDPOINTS)
        return http.url(self.dice, self.prefix, endpoint, name)

    def forget(self, connection: Connection) -> None:
        """Drops a connection."""
        connection.drop()

    def leave(self) -> list[int]:
        """Drops all connections. Raises Finding for what was heard on them; returns the statuses."""
        for connection in self._connections:
            connection.drop()
        return [
            status
            for connection in self._connections
            for status in judge(bytes(connection.heard), head=connection.head)
        ]


async def run(house: House, dice: Dice) -> list[int]:
    """One input; the statuses that were answered. Raises Finding."""
    stage = Stage(house, dice)
    try:
        await dice.choices(INPUTS, WEIGHTS)[0](stage)
    finally:
        statuses = stage.leave()
    return statuses


async def _strangers(stage: Stage) -> None:
    """Requests of nobody in particular, pipelined or in a row."""
    dice = stage.dice
    said = []
    for _ in range(dice.choice((1, 1, 2, 4))):
        body = frames.batch(dice, [_head(dice, dice.name()), *_tail(dice, "w.s")])
        path = stage.url(dice.choice(http.NAMES)) if dice.chance(0.7) else http.strange_path(dice)
        match dice.randrange(8):
            case 6:
                said.append(http.post(dice, stage.url(dice.choice(POSTS)), http.form(dice, body), http.FORM))
            case 7:
                name = dice.choice(SCRIPTS)
                text = body.decode("utf-8", "replace") if name == "send" else _head(dice, dice.name())
                said.append(http.script(dice, stage.url(name), name, text))
            case 0:
                said.append(http.request(dice, path, body))
            case 1:
                said.append(http.handshake(dice, path))
            case 2:
                name = dice.choice(("sse", "multipart", "htmlfile"))
                text = _head(dice, dice.name()) if dice.chance(0.7) else dice.text()
                said.append(http.request(dice, stage.url(name) + http.query("frame", text), b""))
            case 3:
                said.append(dice.randbytes(dice.size()))
            case _:
                said.append(http.post(dice, path, body))
    connection = await stage.connect()
    if dice.chance(0.5):
        await connection.say(*dice.cut(b"".join(said)))
    else:
        await connection.say(*said)


async def _websockets(stage: Stage) -> None:
    """A WebSocket that opens, mostly, and what may follow."""
    dice = stage.dice
    connection = await stage.connect()
    members = frames.open_members(dice)
    first = []
    if dice.chance(0.7):
        path = stage.url("websocket") + http.open_query(dice, members)
    else:
        path = stage.url("websocket")
        first = [websocket.message(text) for text in dice.choice(((), ("p",), ("p1", "z")))]
        first.append(websocket.message("o" + json.dumps(members)))
    await connection.say(http.handshake(dice, path))
    await connection.say(*first, *_messages(dice, sid_of(bytes(connection.heard))))


def _messages(dice: Dice, sid: str) -> list[bytes]:
    said = [websocket.message("a0,0")] if dice.chance(0.8) else []
    for _ in range(dice.choice((1, 2, 5, 20))):
        text = frames.client_frame(dice, sid)
        said.append(websocket.rubbish(dice, text) if dice.chance(0.3) else websocket.message(text))
    if dice.chance(0.3):
        return [b"".join(said)]
    return dice.cut(b"".join(said)) if dice.chance(0.2) else said


async def _session(stage: Stage) -> None:
    """A session opened as it should be, and what comes then, in any order."""
    dice = stage.dice
    stage.endpoint = dice.choice(("/echo", "/park", "/few", "/moody"))
    connection = await stage.connect_anew()
    nonce = dice.name()
    opening = json.dumps(["o" + json.dumps({"nonce": nonce, "gen": 1, "window": [16, 65_536]})]).encode()
    head = (
        f"POST {stage.prefix}{stage.endpoint}/v1/polling HTTP/1.1\r\nHost: h\r\nContent-Length: {len(opening)}\r\n\r\n"
    )
    await connection.say(head.encode() + opening)
    sid, key = sid_of(bytes(connection.heard)), key_of(bytes(connection.heard))
    assert sid or b" 429 " in connection.heard[:20], bytes(connection.heard)
    gen = 1
    last = b""
    for _ in range(dice.choice((1, 2, 4, 8))):
        connection = await stage.connect()
        match dice.randrange(14):
            case 12:
                name = dice.choice(POSTS)
                gen += 1
                top = frames.uplink(dice, sid, key) if name == "send" else frames.attach(dice, sid, gen, key)
                body = http.form(dice, frames.batch(dice, [top, *_tail(dice, sid)]))
                await connection.say(http.post(dice, stage.url(name), body, http.FORM))
            case 13:
                name = dice.choice(SCRIPTS)
                gen += 1
                text = frames.attach(dice, sid, gen, key, url=True)
                if name == "send":
                    text = frames.batch(dice, [frames.uplink(dice, sid, key, url=True), *_tail(dice, sid)]).decode(
                        "utf-8", "replace"
                    )
                await connection.say(http.script(dice, stage.url(name), name, text))
            case 0 | 1 | 2 | 3:
                name = dice.choice(POSTS)
                gen += dice.choice((1, 1, 1, 0))
                top = frames.uplink(dice, sid, key) if name == "send" else frames.attach(dice, sid, gen, key)
                last = http.post(dice, stage.url(name), frames.batch(dice, [top, *_tail(dice, sid)]))
                await connection.say(last)
            case 4:
                gen += 1
                text = frames.attach(dice, sid, gen, key, url=True)
                name = dice.choice(("sse", "multipart", "htmlfile"))
                await connection.say(http.request(dice, stage.url(name) + http.query("frame", text), b""))
            case 5 | 6:
                gen += 1
                await connection.say(http.handshake(dice, stage.url("websocket")))
                await connection.say(websocket.message(frames.attach(dice, sid, gen, key)), *_messages(dice, sid))
            case 7:
                await connection.say(*dice.cut(last))  # the same request again
            case 8:
                stage.forget(connection)
            case 9:
                body = json.dumps([f"u{sid},0,0,1,{key}", dice.choice(("c1000,", "x1000,session,,", "m"))]).encode()
                await connection.say(http.post(dice, stage.url("send"), body))
            case 10:
                opening = json.dumps(["o" + json.dumps(frames.open_members(dice, nonce))]).encode()
                await connection.say(http.post(dice, stage.url("polling"), opening))
            case _:
                top = frames.attach(dice, sid, gen, key) if dice.chance(0.5) else frames.uplink(dice, sid, key)
                body = frames.batch(dice, [top, *_tail(dice, sid)])
                await connection.say(http.request(dice, stage.url(dice.choice(http.NAMES)), body))


def _head(dice: Dice, nonce: str) -> str:
    match dice.randrange(4):
        case 0:
            return frames.attach(dice, nonce, dice.number())
        case 1:
            return frames.uplink(dice, nonce)
        case 2:
            return frames.client_frame(dice, nonce)
    return "o" + json.dumps(frames.open_members(dice, nonce))


def _tail(dice: Dice, sid: str) -> list[str]:
    return [frames.client_frame(dice, sid) for _ in range(dice.choice((0, 1, 1, 2, 4, 16)))]


SCRIPTS = ("htmlfile", "jsonp", "send")
INPUTS: list[Callable[[Stage], Awaitable[None]]] = [_strangers, _websockets, _session]
WEIGHTS = (3, 2, 5)
