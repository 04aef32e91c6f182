"""What an idle session keeps, in exact counts: objects that the garbage collector looks at, and bytes.

The clients are file descriptors and nothing else, so that only the server's objects are counted. See docs/speed.md.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import itertools
import json
import os
import re
import socket
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from aiohttp.web_protocol import RequestHandler

import realtime
from realtime.testing import serve

from .patience import eventually
from .web.sockets import masked

SESSIONS = 100
NONCES = (f"{number:022}" for number in itertools.count())
OPEN = {"gen": 1, "window": [10_000, 10_000_000]}
# Makes an idle session at this port; the descriptor of its connection.
Idle = Callable[[int], Coroutine[Any, Any, int]]


async def _until(client: socket.socket, what: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    got = b""
    while what not in got:
        more = await loop.sock_recv(client, 4096)
        assert more
        got += more
    return got


async def _idle(port: int) -> int:
    """A session over a WebSocket that has been used, and rests; the descriptor of its connection."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET /realtime/echo/v1/websocket HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept-Language: en\r\n\r\n"
    )
    await loop.sock_sendall(client, head.encode())
    await _until(client, b"\r\n\r\n")
    await loop.sock_sendall(client, masked(0x81, ("o" + json.dumps(OPEN | {"nonce": next(NONCES)})).encode()))
    await _until(client, b'"sid"')
    await loop.sock_sendall(client, masked(0x81, b"a0,0") + masked(0x81, b"mhello"))
    await _until(client, b"mhello")
    await loop.sock_sendall(client, masked(0x81, b"a1,1"))
    return client.detach()


async def _streaming(port: int) -> int:
    """The same over a stream, whose acks have gone by another connection."""
    loop = asyncio.get_running_loop()

    async def post(path: str, *frames: str) -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        body = json.dumps(frames).encode()
        head = (
            f"POST /realtime/echo/v1/{path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {len(body)}\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept-Language: en\r\n"
            "Content-Type: text/plain;charset=UTF-8\r\n\r\n"
        )
        await loop.sock_sendall(client, head.encode() + body)
        return client

    client = await post("xhr_streaming", "o" + json.dumps(OPEN | {"nonce": next(NONCES)}))
    opened = re.search(rb'o({.*?})"', (await _until(client, b'"]\n\r\n')).replace(b'\\"', b'"'))
    assert opened is not None
    members = json.loads(opened[1])
    for received, *frames in ((0, "mhello"), (1,)):
        head = f"u{members['sid']},{received},{received},{1 + received},{members['key']}"
        send = await post("send", head, *map(str, frames))
        await _until(send, b"\r\n\r\n")
        send.close()
        if not received:
            await _until(client, b"mhello")
    return client.detach()


async def _idle_poll(port: int) -> int:
    """A session whose poll is held; the descriptor of its connection."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    sid = key = ""

    async def ask(frames: list[str], ends: bytes) -> bytes:
        body = json.dumps(frames)
        head = (
            f"POST /realtime/echo/v1/long_polling HTTP/1.1\r\nHost: localhost:{port}\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept-Language: en\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        await loop.sock_sendall(client, (head + body).encode())
        return await _until(client, ends) if ends else b""

    said = await ask(["o" + json.dumps(OPEN | {"nonce": next(NONCES)})], b'"]')
    opened = json.loads(json.loads(said.partition(b"\r\n\r\n")[2])[0][1:])
    sid, key = opened["sid"], opened["key"]
    await ask([f"r{sid},2,0,0,1,{key}", "mhello"], b"mhello")
    await ask([f"r{sid},3,1,1,2,{key}"], b"")
    return client.detach()


def _handlers() -> set[RequestHandler]:
    """aiohttp's, of the connections that it serves and of those that it has served and somebody keeps."""
    return {one for one in gc.get_objects() if isinstance(one, RequestHandler)}


@asynccontextmanager
async def _many(count: int, one: Idle) -> AsyncIterator[Callable[[], Coroutine[Any, Any, None]]]:
    """A server with a few sessions, that all caches are filled; and how to give it so many more."""
    others = _handlers()  # of tests before
    rt = realtime.Server()
    descriptors: list[int] = []

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    async with serve(rt) as running:
        port = running.make_url("/").port
        assert port is not None

        async def more(some: int = count) -> None:
            for _ in range(some):
                descriptors.append(await one(port))
            await eventually(lambda: all(session._machine.outbox.taken for session in rt.sessions))
            await eventually(lambda: _handlers() <= others)
            for session in rt.sessions:  # what the next ping would do
                session._machine._rest()
            gc.collect()

        await more(5)
        try:
            yield more
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            await eventually(lambda: all(session._machine.carrier is None for session in rt.sessions))


async def _objects(one: Idle = _idle) -> float:
    """How many objects of an idle session the garbage collector looks at."""
    async with _many(SESSIONS, one) as more:
        before = len(gc.get_objects())
        await more()
        return (len(gc.get_objects()) - before) / SESSIONS


async def _kib(one: Idle = _idle) -> float:
    """How much memory of Python's an idle session takes."""
    async with _many(SESSIONS, one) as more:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await more()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return (after - before) / SESSIONS / 1024


# Newer Pythons' own loop keeps more of a connection: so many objects, and so many KiB.
MORE, MORE_KIB = (4, 0.75) if sys.version_info >= (3, 12) else (0, 0.0)


# Of asyncio's 26, eleven are the transport's and seven the handler's task; uvloop's transport is five.
@pytest.mark.parametrize(("run", "most"), [(asyncio.run, 26.5 + MORE), (uvloop.run, 20.5)])
def test_objects_of_an_idle_session(run: Callable[[Coroutine[Any, Any, float]], float], most: float) -> None:
    """A few more than a whole number, for what grows with all sessions together."""
    assert run(_objects()) <= most


@pytest.mark.parametrize(("run", "most"), [(asyncio.run, 6 + MORE_KIB), (uvloop.run, 6)])
def test_memory_of_an_idle_session(run: Callable[[Coroutine[Any, Any, float]], float], most: float) -> None:
    assert run(_kib()) <= most


@pytest.mark.parametrize(("run", "objects", "kib"), [(asyncio.run, 33.5 + MORE, 8 + MORE_KIB), (uvloop.run, 27.5, 8)])
def test_an_idle_stream(run: Callable[[Coroutine[Any, Any, float]], float], objects: float, kib: float) -> None:
    assert run(_objects(_streaming)) <= objects
    assert run(_kib(_streaming)) <= kib


@pytest.mark.parametrize(("run", "objects", "kib"), [(asyncio.run, 36.5 + MORE, 7 + MORE_KIB), (uvloop.run, 29.5, 7)])
def test_an_idle_session_whose_poll_is_held(
    run: Callable[[Coroutine[Any, Any, float]], float], objects: float, kib: float
) -> None:
    """Of its connection aiohttp has nothing."""
    assert run(_objects(_idle_poll)) <= objects
    assert run(_kib(_idle_poll)) <= kib
