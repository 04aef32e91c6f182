"""Nothing waits for itself: whatever a client sends, and however slow its handler is, both go on to the end.

A request that is answered when there is room may wait for the handler, the handler for room in the outbox, and that for
the client, which must not be waiting for its answer then. So on every transport of every protocol a client that sends
as much as it may, and takes what comes, plays against a handler that is slow and answers with none, one or two messages
each. Rooms are small, dice are seeded, and no time-out helps: the clock reaches none of them.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

import realtime
from realtime.protocols.sockjs.codec import CODECS
from realtime.testing import VirtualClock
from realtime.transports import TRANSPORTS

from ..patience import within
from .place import Place, serving

COUNT = 200
NEVER = 86_400.0  # seconds, of a clock that does not get there
SMALL: dict[str, Any] = {
    "max_queue": 16,
    "max_outbox": 8,
    "on_full": "wait",
    "ping_interval": NEVER,
    "ping_timeout": NEVER,
}
PATIENT: dict[str, Any] = {"open_timeout": NEVER, "resume_window": NEVER, "close_timeout": NEVER}
EXPECTED = [str(number) for number in range(COUNT) for _ in range(number % 3)]


class Game:
    """A slow handler, and one client of it."""

    def __init__(self, place: Place, dice: random.Random) -> None:
        self.place = place
        self.dice = dice
        self.got: list[str] = []
        self.complete = asyncio.Event()

    def url(self, rest: str = "") -> str:
        """Below the endpoint."""
        return self.place.url("/slow") + rest

    def take(self, *messages: str) -> None:
        """The client was told something."""
        self.got += messages
        if len(self.got) >= len(EXPECTED):
            self.complete.set()

    def batches(self) -> list[list[str]]:
        """What the client sends, in batches of any size."""
        left = [str(number) for number in range(COUNT)]
        found = []
        while left:
            size = self.dice.choice((1, 20, 60, 100))
            found.append(left[:size])
            del left[:size]
        return found

    async def until_complete(self, step: Callable[[], Awaitable[object]]) -> None:
        """Takes one step after the other."""
        while not self.complete.is_set():
            await step()


@asynccontextmanager
async def game(seed: str) -> AsyncIterator[Game]:
    """A server with small rooms, whose clock goes on by itself, but not far."""
    dice = random.Random(seed)
    clock = VirtualClock()
    rt = realtime.Server(clock=clock, shutdown_timeout=0.3, **SMALL, **PATIENT)
    ticks = asyncio.Condition()

    @rt.endpoint(
        "/slow",
        sockjs=realtime.SockJS(heartbeat_delay=NEVER, disconnect_delay=NEVER, response_limit=4096),
        engineio=realtime.EngineIO(path="/eio", ping_interval=NEVER, ping_timeout=NEVER, upgrade_timeout=NEVER),
    )
    async def slow(session: realtime.Session) -> None:
        async for message in session:
            if dice.random() < 0.3:
                async with ticks:
                    await ticks.wait()
            for _ in range(int(message) % 3):
                await session.send(message)

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.002)
            clock.advance(0.2)
            async with ticks:
                ticks.notify_all()

    async with serving(rt) as place:
        ticking = asyncio.ensure_future(tick())
        try:
            yield Game(place, dice)
        finally:
            ticking.cancel()


async def over_websocket(
    game: Game, ws: aiohttp.ClientWebSocketResponse, parse: Callable[[str], list[str]], lay: Callable[[str], str]
) -> None:
    """Sends all of it on a WebSocket, and takes what comes meanwhile."""

    async def step() -> None:
        message = await ws.receive()
        assert message.type is WSMsgType.TEXT, message
        game.take(*parse(message.data))

    async def send() -> None:
        for batch in game.batches():
            for message in batch:
                await ws.send_str(lay(message))

    await asyncio.gather(send(), game.until_complete(step))
    await ws.close()


async def sockjs(game: Game, path: str) -> None:
    """A client of SockJS: one request that receives after the other, and sends beside it, each when the last was
    answered."""
    http, url = game.place.http, game.url("/000/session")
    page = {"Referer": game.place.url("/page")}  # what script tags, frames and forms cannot but show
    if path == "websocket":
        ws = await http.ws_connect(f"{url}/websocket")
        await over_websocket(game, ws, lambda text: json.loads(text[1:]) if text[0] == "a" else [], json.dumps)
        return
    scripted = path in ("jsonp", "htmlfile")
    opened = asyncio.Event()

    async def step() -> None:
        method = CODECS[path].framing.method
        callback = "?c=take" if scripted else ""
        async with http.request(method, f"{url}/{path}{callback}", headers=page) as response:
            assert response.status == 200
            async for line in response.content:
                opened.set()
                found = re.search(rb"\ba(\[[^\]]*\])", line)
                if found is not None:
                    game.take(*re.findall("[0-9]+", found[1].decode()))
                if game.complete.is_set():
                    return  # and leaves a stream that would go on

    async def send() -> None:
        await opened.wait()
        for batch in game.batches():
            where = "jsonp_send" if path == "jsonp" else "xhr_send"
            async with http.post(f"{url}/{where}", data=json.dumps(batch), headers=page) as response:
                assert response.status in (200, 204)

    await asyncio.gather(send(), game.until_complete(step))


async def raw(game: Game) -> None:
    """A bare WebSocket."""
    await over_websocket(game, await game.place.http.ws_connect(game.url()), lambda text: [text], str)


class EngineClient:
    """What engine.io-client does: one poll and one POST at a time; an upgrade pauses both, and waits for them."""

    def __init__(self, game: Game, version: int) -> None:
        self.game = game
        self.version = version
        self.pausing = False
        self.idle = asyncio.Event()  # no POST is out
        self.idle.set()
        self.left = game.batches()

    def url(self, transport: str, sid: str = "") -> str:
        """Where a request goes."""
        return f"{self.game.place.base}/eio/?EIO={self.version}&transport={transport}" + (f"&sid={sid}" if sid else "")

    def lay(self, batch: list[str]) -> str:
        """A payload."""
        packets = [f"4{message}" for message in batch]
        return "\x1e".join(packets) if self.version == 4 else "".join(f"{len(part)}:{part}" for part in packets)

    def split(self, body: str) -> list[str]:
        """The packets of a payload, which are short and hold no separator."""
        if self.version == 4:
            return body.split("\x1e")
        packets = []
        while body:
            size, _, body = body.partition(":")
            packets.append(body[: int(size)])
            body = body[int(size) :]
        return packets

    async def poll(self, sid: str = "") -> list[str]:
        """One poll; what else it brings is returned."""
        async with self.game.place.http.get(self.url("polling", sid)) as response:
            assert response.status == 200
            packets = self.split(await response.text())
        self.game.take(*(packet[1:] for packet in packets if packet[0] == "4"))
        return [packet for packet in packets if packet[0] != "4"]

    async def send(self, sid: str) -> None:
        """POSTs, until it is paused."""
        while self.left and not self.pausing:
            self.idle.clear()
            async with self.game.place.http.post(self.url("polling", sid), data=self.lay(self.left.pop(0))) as response:
                assert (response.status, await response.text()) == (200, "ok")
            self.idle.set()

    async def receive(self, sid: str) -> None:
        """Polls, until it is paused."""
        while not self.pausing and not self.game.complete.is_set():
            await self.poll(sid)

    async def upgrade(self, sid: str, receiving: Awaitable[None]) -> None:
        """Moves to a WebSocket at some moment, and sends the rest there."""
        for _ in range(self.game.dice.randrange(40)):
            await asyncio.sleep(0.001)  # any moment will do
        async with self.game.place.http.ws_connect(self.url("websocket", sid)) as ws:
            await ws.send_str("2probe")
            assert await ws.receive_str() == "3probe"
            self.pausing = True
            await receiving
            await self.idle.wait()
            await ws.send_str("5")
            rest = [message for batch in self.left for message in batch]

            async def step() -> None:
                packet = await ws.receive_str()
                self.game.take(*([packet[1:]] if packet[0] == "4" else []))

            async def send() -> None:
                for message in rest:
                    await ws.send_str(f"4{message}")

            await asyncio.gather(send(), self.game.until_complete(step))


async def engineio(game: Game, transport: str, version: int) -> None:
    """A client of Engine.IO."""
    client = EngineClient(game, version)
    if transport == "websocket":
        ws = await game.place.http.ws_connect(client.url("websocket"))
        await over_websocket(game, ws, lambda text: [text[1:]] if text[0] == "4" else [], lambda message: f"4{message}")
        return
    (opened,) = await client.poll()
    sid = json.loads(opened[1:])["sid"]
    receiving = asyncio.ensure_future(client.receive(sid))
    steps: list[Awaitable[None]] = [client.send(sid)]
    steps.append(client.upgrade(sid, receiving) if transport == "upgrade" else receiving)
    await asyncio.gather(*steps)


async def native(game: Game, transport: str) -> None:
    """A client of ours, which sends what the window allows."""
    peer = game.place.peer(transport, "/slow")
    note, news, taken = peer.note, asyncio.Event(), 0

    def noted(frame: str | bytes) -> None:
        nonlocal taken
        note(frame)
        if isinstance(frame, str) and frame[:1] in ("a", "r"):
            taken = max(taken, int(frame[1:].split(",")[1]))
        news.set()

    peer.note = noted  # type: ignore[method-assign] # its books are kept, and ours
    await peer.open()
    window = peer.opened["window"][0]

    async def step() -> None:
        frame = await peer.read()
        await asyncio.sleep(0)
        if frame[:1] == "m":
            game.take(str(frame[1:]))

    async def send() -> None:
        left = [message for batch in game.batches() for message in batch]
        sent = 0
        while left:
            most = min(window - (sent - taken), game.dice.randrange(1, 20))
            if most <= 0:
                news.clear()
                await news.wait()
                continue
            await peer.send(*(f"m{message}" for message in left[:most]))
            sent += most
            del left[:most]

    await asyncio.gather(send(), game.until_complete(step))


CLIENTS: dict[str, Callable[[Game], Awaitable[None]]] = {
    **{f"native {name}": partial(native, transport=name) for name in TRANSPORTS},
    **{f"sockjs {path}": partial(sockjs, path=path) for path in CODECS},
    "raw": raw,
    **{
        f"engineio {version} {name}": partial(engineio, transport=name, version=version)
        for version in (4, 3)
        for name in ("polling", "websocket", "upgrade")
    },
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_that_sends_much_and_a_handler_that_is_slow(client: str, seed: int) -> None:
    async with game(f"{client} {seed}") as played:
        async with within(f"the {len(EXPECTED)} answers"):
            await CLIENTS[client](played)
        assert played.got == EXPECTED
