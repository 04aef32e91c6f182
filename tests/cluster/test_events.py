"""Events where each request comes to the next worker, and only one has the session.

Our own client's by every transport, and those of Socket.IO.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

import realtime

from ..namespaces.matrix import POLLS, STREAMS, MatrixServer, converse, verdict
from ..patience import arrives, eventually
from .workers import Balancer, Worker, workers

PLACE_OF = '{"_placeholder":true,"num":0}'


class Fleet:
    """Workers of one endpoint of events, behind a balancer."""

    def __init__(self, them: list[Worker], balancer: Balancer, http: aiohttp.ClientSession) -> None:
        self.workers = them
        self.balancer = balancer
        self.http = http
        self.servers: list[MatrixServer] = []
        self.told: list[str] = []

    @property
    def url(self) -> str:
        """The balancer's address."""
        return f"http://127.0.0.1:{self.balancer.port}"

    @property
    def carried(self) -> int:
        """How many requests came to a worker that had not the session."""
        return sum(worker.forwarder.count for worker in self.workers)

    async def get(self, query: str) -> tuple[int, str]:
        """A poll of Socket.IO."""
        async with self.http.get(f"{self.url}/socket.io/?EIO=4&transport=polling{query}") as response:
            return response.status, await response.text()

    async def post(self, query: str, *packets: str) -> tuple[int, str]:
        """What one says."""
        data = "\x1e".join(packets).encode()
        async with self.http.post(f"{self.url}/socket.io/?EIO=4&transport=polling{query}", data=data) as response:
            return response.status, await response.text()

    async def take(self, query: str, count: int) -> list[str]:
        """So many packets, in whatever polls they come."""
        found: list[str] = []
        while len(found) < count:
            status, text = await self.get(query)
            assert status == 200, text
            found += [packet for packet in text.split("\x1e") if packet != "2"]
        return found


@asynccontextmanager
async def fleet() -> AsyncIterator[Fleet]:
    """Three of them."""
    servers: list[MatrixServer] = []
    told: list[str] = []

    def prepare(worker: Worker) -> None:
        server = MatrixServer()
        servers.append(server)
        room = server.events.namespace("/room")

        @room.on("connect")
        async def connect(session: realtime.EventSession) -> None:
            await session.join("all")

        @room.on("say")
        async def say(session: realtime.EventSession, *args: Any) -> int:
            await room.room("all").emit("said", *args, skip=session)
            return len(args)

        @room.on("ask")
        async def ask(session: realtime.EventSession, data: bytes) -> Any:
            return await session.call("answer", data, timeout=60)

        room.on("disconnect")(lambda session, reason: told.append(reason))
        worker.server.endpoint("/chat", socketio="/socket.io")(server.events)

    async with workers(3, prepare=prepare) as them:
        balancer = Balancer(list(them))
        await balancer.start()
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                one = Fleet(them, balancer, http)
                one.servers, one.told = servers, told
                yield one
        finally:
            await balancer.stop()


@pytest.mark.parametrize("transport", ["websocket", *STREAMS, *POLLS])
async def test_a_conversation_by_any_worker(transport: str) -> None:
    """Each of its requests, and each of its connections, is another's but the first."""
    async with fleet() as one:
        for number in range(3):
            client = await arrives(converse(f"{one.url}/realtime/chat", number, transport), transport)
            (run,) = [server.runs[number] for server in one.servers if number in server.runs]
            await eventually(lambda run=run: run.left)  # type: ignore[misc]
            assert verdict(run, client) == []
        assert one.carried > 0 or transport == "websocket"


async def test_clients_of_socketio_that_poll() -> None:
    """Bytes, acknowledgements both ways, two namespaces, a room whose members are at several workers, leaving."""
    async with fleet() as one:
        queries: list[str] = []
        for _ in range(3):
            status, text = await one.get("")
            assert status == 200
            queries.append("&sid=" + json.loads(text[1:])["sid"])
            assert await one.post(queries[-1], "40/room,") == (200, "ok")
            (came,) = await one.take(queries[-1], 1)
            assert came.startswith('40/room,{"sid":"')
        first, *others = queries
        data = base64.b64encode(b"\x00\xff").decode()
        assert await one.post(first, f'451-/room,7["say",1,{PLACE_OF}]', f"b{data}") == (200, "ok")
        assert await one.take(first, 1) == ["43/room,7[2]"]
        for other in others:
            assert await one.take(other, 2) == [f'451-/room,["said",1,{PLACE_OF}]', f"b{data}"]
        assert await one.post(first, f'451-/room,8["ask",{PLACE_OF}]', f"b{data}") == (200, "ok")
        asked, bytes_of = await one.take(first, 2)
        number = asked.removeprefix("451-/room,").partition("[")[0]
        assert (asked, bytes_of) == (f'451-/room,{number}["answer",{PLACE_OF}]', f"b{data}")
        assert await one.post(first, f"461-/room,{number}[{PLACE_OF}]", f"b{data}") == (200, "ok")
        assert await one.take(first, 2) == [f"461-/room,8[{PLACE_OF}]", f"b{data}"]
        assert await one.post(first, "41/room,", '42/room,9["say"]') == (200, "ok")
        assert await one.post(others[0], "1") == (200, "ok")
        await eventually(lambda: len(one.told) == 2)
        assert sorted(one.told) == ["client namespace disconnect", "transport close"]
        assert await one.post(others[1], '42/room,3["say",5]') == (200, "ok")
        assert await one.take(others[1], 1) == ["43/room,3[1]"]
        assert one.carried > 10
        status, _ = await one.post(others[1], "4nonsense")
        assert status == 200
        await eventually(lambda: len(one.told) == 3)
        assert one.told[2] == "parse error"
        assert await one.post(first, "1") == (200, "ok")


@pytest.mark.parametrize("upgrade", [False, True], ids=["from the first", "upgraded"])
async def test_clients_of_socketio_by_a_websocket(upgrade: bool) -> None:
    async with fleet() as one:
        query = ""
        if upgrade:
            _, text = await one.get("")
            query = "&sid=" + json.loads(text[1:])["sid"]
            owner = next(worker for worker in one.workers if len(worker.server))
            one.balancer.workers[:] = [worker for worker in one.workers if worker is not owner]
        async with one.http.ws_connect(f"{one.url}/socket.io/?EIO=4&transport=websocket{query}") as ws:
            if upgrade:
                await ws.send_str("2probe")
                assert (await arrives(ws.receive())).data == "3probe"
                await ws.send_str("5")
            else:
                assert str((await arrives(ws.receive())).data).startswith("0{")
            await ws.send_str("40/room,")
            assert str((await arrives(ws.receive())).data).startswith("40/room,{")
            await ws.send_str(f'451-/room,8["ask",{PLACE_OF}]')
            await ws.send_bytes(b"\x01\x02")
            asked = str((await arrives(ws.receive())).data)
            assert (await arrives(ws.receive())).data == b"\x01\x02"
            number = asked.removeprefix("451-/room,").partition("[")[0]
            await ws.send_str(f"461-/room,{number}[{PLACE_OF}]")
            await ws.send_bytes(b"answer")
            assert (await arrives(ws.receive())).data == f"461-/room,8[{PLACE_OF}]"
            assert (await arrives(ws.receive())).data == b"answer"
            assert one.carried > 0 or not upgrade
        await eventually(lambda: one.told == ["transport close"])
