"""STOMP at several workers: one TCP port for all, polls that come to any, and queues of all."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import aiohttp
from aiohttp import web

import realtime
from realtime.protocols.layers.stomp.frames import Frame

from ..patience import within
from ..ports import port_for
from ..stomp.place import Client, TcpClient
from .workers import workers


class Polls(Client):
    """SockJS by XHR polls, each of which may come to another worker."""

    def __init__(self, http: aiohttp.ClientSession, urls: list[str]) -> None:
        super().__init__()
        self._http, self._urls = http, itertools.cycle(urls)

    async def say(self, data: bytes) -> None:
        async with self._http.post(f"{next(self._urls)}/xhr_send", json=[data.decode()]) as response:
            assert response.status == 204

    async def hear(self) -> bytes:
        async with self._http.post(f"{next(self._urls)}/xhr") as response:
            text = await response.text()
        if text.startswith("a"):
            found: list[str] = json.loads(text[1:])
            return "".join(found).encode()
        if text.startswith("c"):
            raise EOFError
        return b""


async def test_one_port_and_any_worker() -> None:
    port = port_for()

    def setup(app: web.Application, rt: realtime.Server) -> None:
        rt.endpoint("/stomp", sockjs=True)(realtime.STOMP(tcp=("127.0.0.1", port)))
        realtime.setup(app, rt)

    async with workers(2, setup=setup) as some, aiohttp.ClientSession() as http, within():
        polls = Polls(http, [f"{one.url}/realtime/stomp/000/name" for one in some])
        clients: list[Any] = [TcpClient(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(6)]
        for one in clients:
            await one.connect()
            await one.subscribe("/topic/a")
        assert await polls.hear() == b""  # "o"
        await polls.connect()
        await polls.subscribe("/topic/a")
        await clients[0].send("SEND", {"destination": "/topic/a"}, "to all")
        for one in (*clients, polls):
            assert (await one.expect("MESSAGE")).body == b"to all"
        await polls.send("SEND", {"destination": "/queue/a"}, "to one")
        await clients[1].send("SUBSCRIBE", {"id": "1", "destination": "/queue/a"})
        found: Frame = await clients[1].expect("MESSAGE", destination="/queue/a")
        assert found.body == b"to one"
        await polls.send("DISCONNECT")
        await polls.ended()
        for one in clients:
            await one.drop()
