"""The end of a fault proxy, at any moment of the ends of its connections: no task and no socket is left."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from realtime.testing import FaultProxy, Lag, serve
from realtime.testing.fault_proxy.wire import Wire

from ..patience import within


async def echo(request: web.Request) -> web.WebSocketResponse:
    """What comes goes back."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


@pytest.mark.parametrize("rst", [True, False], ids=["rst", "fin"])
@pytest.mark.parametrize("turns", range(12))
async def test_nothing_is_left(turns: int, rst: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebSocket with both its ways late is cut, and the proxy ends so many turns of the event loop later."""
    wires: list[Wire] = []
    make = Wire.__init__

    def remember(wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        make(wire, reader, writer)
        wires.append(wire)

    monkeypatch.setattr(Wire, "__init__", remember)
    app = web.Application()
    app.router.add_get("/", echo)
    async with within(), serve(app) as server, aiohttp.ClientSession() as http:
        assert server.port is not None
        before = asyncio.all_tasks()
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            proxy.add(Lag(seconds=0.001, direction="both"))
            async with http.ws_connect(proxy.url) as socket:
                await socket.send_str("hello")
                await socket.receive_str()
                proxy.cut(rst=rst)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await proxy.aclose()
                left = [task for task in asyncio.all_tasks() - before if "fault_proxy" in repr(task)]
        assert left == []
        assert len(wires) == 2
        for wire in wires:
            await wire.closed()


@pytest.mark.parametrize("latency", [0.0, 0.2])
async def test_what_has_not_begun_when_the_proxy_ends_is_given_back(latency: float) -> None:
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    proxy = FaultProxy("127.0.0.1", 1, latency=latency)
    await proxy.start()
    ended: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (proxy._relay if latency else proxy._accept)(reader, writer)
        ended.append(asyncio.create_task(proxy.aclose()))
        for task in (*proxy._relays, *proxy._connections):
            task.cancel()  # as that does, but before the task's first step
        accepted.put_nowait(writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    _, client = await asyncio.open_connection(*listener.sockets[0].getsockname())
    async with within():
        writer = await accepted.get()
        await ended[0]
        assert writer.transport.is_closing()
        client.close()
        await client.wait_closed()
        listener.close()
        await listener.wait_closed()
