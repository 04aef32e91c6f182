"""What an event costs, in exact counts: calls of functions of this package, for our clients and Socket.IO's.

See tests/test_costs.py and docs/speed.md.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

import realtime
from realtime.testing import serve

from .test_costs import MEMBERS, NONCES, OPEN, cost


def server() -> realtime.Server:
    """Events that are answered, and sent back, to one and to all."""
    rt = realtime.Server()
    events = realtime.Events()
    rt.endpoint("/events", socketio="/socket.io")(events)

    @events.on("connect")
    async def connect(session: realtime.EventSession) -> None:
        await session.join("all")

    @events.on("ack")
    async def ack(session: realtime.EventSession, text: str) -> str:
        return text

    @events.on("put")
    async def put(session: realtime.EventSession, text: str) -> None: ...

    @events.on("echo")
    async def echo(session: realtime.EventSession, text: str) -> None:
        await session.emit("echo", text)

    @events.on("speak")
    async def speak(session: realtime.EventSession, text: str) -> None:
        await events.room("all").emit("said", text)

    return rt


class Client:
    """A client's WebSocket, which sends and is sent Socket.IO's packets."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, mark: str) -> None:
        self._ws = ws
        self._mark = mark  # what the protocol below says a message by

    async def send(self, packet: str) -> None:
        """Sends a packet."""
        await self._ws.send_str(self._mark + packet)

    async def expect(self, packet: str) -> None:
        """Reads until a packet comes, which begins so; whatever else the protocol below says is passed over."""
        while not (frame := await self._ws.receive_str()).startswith(self._mark):
            pass
        assert frame[1:].startswith(packet)


@contextlib.asynccontextmanager
async def place(native: bool) -> AsyncIterator[Callable[[], Awaitable[Client]]]:
    """The server, and what connects a client to it."""
    async with serve(server()) as running, aiohttp.ClientSession() as http:
        url = str(running.make_url("")).rstrip("/")

        async def connect() -> Client:
            if native:
                ws = await http.ws_connect(f"{url}/realtime/events/v1/websocket")
                await ws.send_str("o" + json.dumps(OPEN | {"nonce": next(NONCES)}))
                assert (await ws.receive_str()).startswith("o")
                await ws.send_str("a0,0")
            else:
                ws = await http.ws_connect(f"{url}/socket.io/?EIO=4&transport=websocket")
                assert (await ws.receive_str()).startswith("0{")
            client = Client(ws, "m" if native else "4")
            await client.send("0")
            await client.expect('0{"sid":')
            return client

        yield connect


def both(native: int, socketio: int) -> pytest.MarkDecorator:
    """The most calls that it takes with a client of ours, and with Socket.IO's."""
    return pytest.mark.parametrize(("native", "most"), [(True, native), (False, socketio)], ids=["native", "Socket.IO"])


@both(46, 74)
async def test_an_acknowledgement(native: bool, most: int) -> None:
    async with place(native) as connect:
        client = await connect()

        async def once() -> None:
            await client.send('20["ack","hello"]')
            await client.expect('30["hello"]')

        assert await cost(100, once) <= most


@both(48, 76)
async def test_an_event_each_way(native: bool, most: int) -> None:
    async with place(native) as connect:
        client = await connect()

        async def once() -> None:
            await client.send('2["echo","hello"]')
            await client.expect('2["echo","hello"]')

        assert await cost(100, once) <= most


@both(25, 36)
async def test_an_event_that_nobody_answers(native: bool, most: int) -> None:
    """Of many, behind which one is answered."""
    async with place(native) as connect:
        client = await connect()

        async def once() -> None:
            for _ in range(49):
                await client.send('2["put","hello"]')
            await client.send('20["ack","hello"]')
            await client.expect('30["hello"]')

        assert await cost(20, once) / 50 <= most


@both(12, 27)
async def test_a_delivery_of_a_broadcast(native: bool, most: int) -> None:
    async with place(native) as connect:
        clients = [await connect() for _ in range(MEMBERS)]

        async def once() -> None:
            await clients[0].send('2["speak","hello"]')
            for client in clients:
                await client.expect('2["said","hello"]')

        assert await cost(40, once) / MEMBERS <= most


@both(245, 250)
async def test_a_client_that_connects(native: bool, most: int) -> None:
    """With the ack of its CONNECT, which goes alone where the next one takes long to come."""
    async with place(native) as connect:
        kept = []

        async def once() -> None:
            kept.append(await connect())

        assert await cost(50, once) <= most
