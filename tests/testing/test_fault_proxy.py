"""The fault proxy, over real sockets: an aiohttp server behind it, aiohttp or bare clients before it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import TypeVar

import aiohttp
import pytest
from aiohttp import web

from realtime.testing import (
    Answer,
    BlackHole,
    Cut,
    DelayRequest,
    DropRequest,
    DropResponse,
    Fault,
    FaultProxy,
    HangWebSocket,
    HoldResponse,
    KillWebSocket,
    Lag,
    ProxiedRequest,
    RefuseWebSocket,
    ReorderRequests,
    RepeatRequest,
    ResetWebSocket,
    StripUpgrade,
    TruncateRequest,
    TruncateResponse,
)
from realtime.testing.fault_proxy import faults as all_faults

from ..patience import arrives, leap, within

T = TypeVar("T")

MUTE = 0.1
"""Seconds of silence that we take for silence for ever: what should come is not expected by it."""


class Backend:
    """A small server that remembers what reached it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.upgrades: list[str | None] = []
        self.frames: list[str] = []
        self.gate = asyncio.Event()
        self.websockets_closed: asyncio.Queue[int | None] = asyncio.Queue()
        self.broken_bodies: asyncio.Queue[str] = asyncio.Queue()
        self.port = 0
        self._news = asyncio.Condition()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/echo", self.echo)
        app.router.add_get("/ws", self.websocket)
        app.router.add_get("/stream", self.stream)
        app.router.add_get("/held", self.held)
        return app

    async def echo(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except (aiohttp.ClientError, ConnectionError, web.RequestPayloadError) as error:
            self.broken_bodies.put_nowait(type(error).__name__)
            raise
        await self._tell(self.seen, (request.method, body))
        return web.Response(body=body or b"empty")

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        await self._tell(self.upgrades, request.headers.get("Upgrade"))
        if "Upgrade" not in request.headers:
            return web.Response(text="plain")
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        await ws.send_str("hello")
        async for message in ws:
            await self._tell(self.frames, message.data)
            if message.data == "close":
                break
            await ws.send_str(message.data)
        await ws.close()
        self.websockets_closed.put_nowait(ws.close_code)
        return ws

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Two chunks, and a third when the gate opens."""
        response = web.StreamResponse()
        if "until_eof" in request.query:
            response.force_close()
            response.headers["Connection"] = "close"
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"one.")
        await response.write(b"two.")
        await self.gate.wait()
        await response.write(b"three.")
        await response.write_eof()
        return response

    async def held(self, request: web.Request) -> web.StreamResponse:
        await self._tell(self.seen, ("held", b""))
        await self.gate.wait()
        return web.Response(text="late")

    async def _tell(self, where: list[T], what: T) -> None:
        async with self._news:
            where.append(what)
            self._news.notify_all()

    async def until(self, predicate: Callable[[], bool]) -> None:
        async with within(), self._news:
            await self._news.wait_for(predicate)

    async def saw(self, *bodies: bytes) -> None:
        """Wait until so many requests came, and see that they were these, in this order."""
        await self.until(lambda: len(self.seen) >= len(bodies))
        assert [body for _, body in self.seen] == list(bodies)


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    runner = web.AppRunner(backend.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    backend.port = runner.addresses[0][1]
    yield backend
    backend.gate.set()
    await runner.cleanup()


@pytest.fixture
async def proxy(backend: Backend) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", backend.port, random=Random(1)) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[aiohttp.ClientSession]:
    # One connection per request, unless a test wants otherwise: aiohttp silently repeats what it
    # believes was lost on a kept one.
    async with aiohttp.ClientSession(proxy.url, connector=aiohttp.TCPConnector(force_close=True)) as client:
        yield client


class Raw:
    """A bare connection, which sees how it ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def request(self, target: str = "/echo", method: str = "GET", body: bytes = b"", *headers: str) -> None:
        head = [f"{method} {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
        self.send("\r\n".join(head).encode() + body)

    def handshake(self) -> None:
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key)
        self.send("\r\n".join(("GET /ws HTTP/1.1", "Host: x", *upgrade, "", "")).encode())

    async def head(self) -> str:
        async with within():
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def response(self) -> tuple[int, bytes]:
        """Status and body of a response with a Content-Length."""
        head = await self.head()
        length = next(int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:"))
        async with within():
            return int(head[9:12]), await self.reader.readexactly(length)

    async def frame(self) -> bytes:
        """The payload of a small WebSocket frame from the server."""
        async with within():
            _, length = await self.reader.readexactly(2)
            return await self.reader.readexactly(length)

    async def end(self) -> tuple[bytes, str]:
        """What still comes, and how the connection ends."""
        got = bytearray()
        async with within():
            try:
                while data := await self.reader.read(65536):
                    got += data
            except ConnectionResetError:
                return bytes(got), "rst"
        return bytes(got), "fin"

    async def is_mute(self) -> bool:
        try:
            async with asyncio.timeout(MUTE):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A client's frame, masked with zeros."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


Connect = Callable[[], Awaitable[Raw]]


@pytest.fixture
async def connect(proxy: FaultProxy) -> AsyncIterator[Connect]:
    opened: list[Raw] = []

    async def connect() -> Raw:
        raw = Raw(*await asyncio.open_connection("127.0.0.1", proxy.port))
        opened.append(raw)
        return raw

    yield connect
    for raw in opened:
        raw.writer.transport.abort()
        with suppress(OSError):
            await raw.writer.wait_closed()


@asynccontextmanager
async def elapsed(at_least: float) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    yield
    # The loop may fire a timer early by the resolution of its clock.
    assert loop.time() - start >= at_least - 0.005


def on(body: str) -> Callable[[ProxiedRequest], bool]:
    return lambda request: request.query == body


# Without faults


async def test_it_passes_requests_on_over_one_connection(proxy: FaultProxy, backend: Backend) -> None:
    async with aiohttp.ClientSession(proxy.url) as client:
        for body in (b"", b"a", b"x" * 300_000):
            async with client.post("/echo", data=body) as response:
                assert await response.read() == (body or b"empty")
        async with client.post("/echo", data=parts(b"ab", b"cd" * 40_000)) as response:
            assert await response.read() == b"ab" + b"cd" * 40_000
        async with client.head("/echo") as response:
            assert response.status == 200
        async with client.post("/echo", data=b"expected", expect100=True) as response:
            assert await response.read() == b"expected"
        assert proxy.connections == 1
    assert [event.kind for event in proxy.log].count("opened") == 1
    assert [event.detail for event in proxy.log if event.kind == "answered"] == ["200"] * 6


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for part in data:
        yield part


async def test_it_passes_streams_on_as_they_come(backend: Backend, client: aiohttp.ClientSession) -> None:
    for target in ("/stream", "/stream?until_eof"):
        backend.gate.clear()
        async with client.get(target) as response:
            assert await response.content.readexactly(8) == b"one.two."
            backend.gate.set()
            assert await response.content.read() == b"three."


async def test_it_passes_websockets_on(backend: Backend, client: aiohttp.ClientSession) -> None:
    async with client.ws_connect("/ws") as ws:
        assert await ws.receive_str() == "hello"
        for text in ("a", "b" * 200, "c" * 100_000):
            await ws.send_str(text)
            assert await ws.receive_str() == text
        await ws.send_str("close")
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
    assert await backend.websockets_closed.get() == 1000


async def test_requests_sent_ahead_are_answered_in_order(connect: Connect, backend: Backend) -> None:
    raw = await connect()
    for body in (b"1", b"22", b"333"):
        raw.request(method="POST", body=body)
    assert [await raw.response() for _ in range(3)] == [(200, b"1"), (200, b"22"), (200, b"333")]


async def test_an_old_client_gets_its_end(connect: Connect) -> None:
    raw = await connect()
    raw.send(b"GET /echo HTTP/1.0\r\n\r\n")
    data, how = await raw.end()
    assert data.endswith(b"empty")
    assert how == "fin"


async def test_a_client_that_leaves_is_noticed_while_its_request_is_held(
    connect: Connect, backend: Backend, proxy: FaultProxy
) -> None:
    raw = await connect()
    raw.request("/held")
    await backend.until(lambda: bool(backend.seen))
    raw.writer.close()
    async with within():
        await proxy.wait_logged("closed")


async def test_a_server_that_ends_an_idle_connection_ends_the_clients(proxy: FaultProxy, connect: Connect) -> None:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
        proxy.backend = server.sockets[0].getsockname()
        raw = await connect()
        raw.request()
        assert await raw.response() == (200, b"ok")
        assert await raw.end() == (b"", "fin")


@asynccontextmanager
async def scripted(proxy: FaultProxy, answer: bytes, end: str) -> AsyncIterator[None]:
    """In place of the backend: a server that reads a head, sends these bytes, and ends."""
    ended: set[asyncio.Future[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = asyncio.get_running_loop().create_future()
        ended.add(end)
        try:
            await answered(reader, writer)
        finally:
            end.set_result(None)

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if end == "rst":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif end == "fin":
            writer.close()
        else:
            await reader.read()
            writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        proxy.backend = server.sockets[0].getsockname()
        yield
        proxy.cut()
        await arrives(asyncio.gather(*ended))


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"12345"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\n12"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\n12\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nTrailer: x\r\n"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", b"anything"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"until the end"),
    ],
)
async def test_a_server_that_dies_takes_the_clients_connection_along(
    proxy: FaultProxy, connect: Connect, head: bytes, body: bytes, end: str
) -> None:
    async with scripted(proxy, head + body, end):
        raw = await connect()
        raw.request()
        assert await raw.end() == (head + body, end)


async def test_heads_on_the_way_and_trailers_are_passed_on(proxy: FaultProxy, connect: Connect) -> None:
    answer = (
        b"HTTP/1.1 103 Early Hints\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;extension=1\r\nabc\r\n0\r\nTrailer: x\r\nAnother: y\r\n\r\n"
    )
    async with scripted(proxy, answer, "none"):
        raw = await connect()
        raw.request()
        async with within():
            assert await raw.reader.readexactly(len(answer)) == answer
        assert await raw.is_mute()


async def test_an_answer_before_the_request_was_complete_ends_the_connection(
    proxy: FaultProxy, connect: Connect
) -> None:
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    async with scripted(proxy, answer, "none"):
        raw = await connect()
        raw.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123")
        assert await raw.end() == (answer, "fin")


async def test_a_client_that_resets_its_websocket_resets_the_server(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    raw = await connect()
    raw.handshake()
    await raw.head()
    sock = raw.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.writer.transport.abort()
    async with within():
        assert await backend.websockets_closed.get() == 1006


async def test_without_a_server_it_answers_502(proxy: FaultProxy, connect: Connect, unused_tcp_port: int) -> None:
    proxy.backend = ("127.0.0.1", unused_tcp_port)
    raw = await connect()
    raw.request()
    assert (await raw.response())[0] == 502
    assert any(event.kind == "bad" and "no server" in event.detail for event in proxy.log)


async def test_what_is_not_http_ends_the_connection(proxy: FaultProxy, connect: Connect) -> None:
    for junk in (
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n",  # which Python does not read
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"x" * 140_000,
        b"x" * 70_000,
    ):
        raw = await connect()
        raw.send(junk)
        data, _ = await raw.end()
        assert not data.startswith(b"HTTP/1.1 200")
    assert sum(event.kind == "bad" for event in proxy.log) == 7


async def test_back_pressure_reaches_the_server(proxy: FaultProxy, connect: Connect) -> None:
    stuck = asyncio.Event()
    written = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65536))
                written += 65536
                async with asyncio.timeout(0.2):
                    await writer.drain()
        except TimeoutError:
            stuck.set()
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(pour, "127.0.0.1", 0) as server:
        proxy.backend = server.sockets[0].getsockname()
        raw = await connect()
        raw.request()
        # Nobody reads: the system's buffers fill up, and then the server is held up.
        await arrives(stuck.wait())


# WebSocket


async def test_refuse_websocket(proxy: FaultProxy, client: aiohttp.ClientSession, backend: Backend) -> None:
    rule = proxy.add(RefuseWebSocket(times=1))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect("/ws")
    assert refused.value.status == 403
    assert rule.fired == 1
    assert backend.upgrades == []
    async with client.ws_connect("/ws") as ws:
        assert await ws.receive_str() == "hello"


async def test_refuse_websocket_leaves_other_requests_alone(proxy: FaultProxy, client: aiohttp.ClientSession) -> None:
    proxy.add(RefuseWebSocket(status=599))
    async with client.get("/echo") as response:
        assert response.status == 200
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect("/ws")
    assert refused.value.status == 599


async def test_strip_upgrade(proxy: FaultProxy, client: aiohttp.ClientSession, backend: Backend) -> None:
    proxy.add(StripUpgrade())
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect("/ws")
    assert refused.value.status == 200
    assert backend.upgrades == [None]


async def test_hang_websocket(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(HangWebSocket())
    raw = await connect()
    raw.handshake()
    await rule.wait_fired()
    assert await raw.is_mute()
    assert backend.upgrades == []


async def test_reset_websocket(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    proxy.add(ResetWebSocket())
    raw = await connect()
    raw.handshake()
    assert await raw.end() == (b"", "rst")
    assert backend.upgrades == []


async def test_what_refuses_a_handshake_is_no_frame(
    proxy: FaultProxy, client: aiohttp.ClientSession, backend: Backend
) -> None:
    kill = proxy.add(KillWebSocket())
    proxy.add(StripUpgrade())  # the answer is a page
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await client.ws_connect("/ws")
    assert (kill.armed, kill.fired) == (1, 0)


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_kill_after_the_first_frame(
    proxy: FaultProxy, connect: Connect, backend: Backend, end: all_faults.End
) -> None:
    rule = proxy.add(KillWebSocket(end=end))
    raw = await connect()
    raw.handshake()
    assert "101" in await raw.head()
    assert await raw.frame() == b"hello"
    assert await raw.end() == (b"", end)
    assert await backend.websockets_closed.get() == 1006
    assert rule.fired == 1


async def test_kill_as_soon_as_the_handshake_is_answered(proxy: FaultProxy, connect: Connect) -> None:
    proxy.add(KillWebSocket(after_frames=0))
    raw = await connect()
    raw.handshake()
    assert "101" in await raw.head()
    assert await raw.end() == (b"", "fin")


async def test_kill_after_frames_of_the_client_sent_in_one_write(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    proxy.add(KillWebSocket(after_frames=2, sent_by="client"))
    raw = await connect()
    raw.handshake()
    await raw.head()
    # A ping is not counted, and the third frame is too much.
    raw.send(frame(b"a") + frame(b"", 9) + frame(b"b" * 300) + frame(b"c"))
    assert (await raw.end())[1] == "fin"
    await backend.websockets_closed.get()
    assert backend.frames == ["a", "b" * 300]


async def test_frames_are_counted_however_they_are_cut_up(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    rule = proxy.add(KillWebSocket(after_frames=3, sent_by="client"))
    raw = await connect()
    raw.handshake()
    await raw.head()
    for byte in frame(b"a") + frame(b"b" * 126):
        raw.send(bytes([byte]))
        await asyncio.sleep(0)
    await backend.until(lambda: len(backend.frames) == 2)
    assert rule.fired == 0
    raw.send(frame(b""))
    await rule.wait_fired()


# Black holes


async def test_black_hole_at_once(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(BlackHole())
    raw = await connect()
    raw.request(method="POST", body=b"lost")
    await rule.wait_fired()
    assert await raw.is_mute()
    raw.request(method="POST", body=b"lost too")
    assert await raw.is_mute()
    assert backend.seen == []


async def test_black_hole_at_once_to_the_server_only(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    raw = await connect()
    raw.request(method="POST", body=b"first")
    await raw.response()
    rule = proxy.add(BlackHole(direction="to_server"))
    raw.request(method="POST", body=b"lost")
    await rule.wait_fired()
    assert await raw.is_mute()
    assert [body for _, body in backend.seen] == [b"first"]


async def test_black_hole_to_the_client_lets_the_server_act(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    proxy.add(BlackHole(direction="to_client"))
    raw = await connect()
    raw.request(method="POST", body=b"done")
    await backend.saw(b"done")
    assert await raw.is_mute()


async def test_a_websocket_that_opens_and_stays_mute(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(BlackHole(after_bytes=0))
    raw = await connect()
    raw.handshake()
    assert "101" in await raw.head()
    await rule.wait_fired()
    raw.send(frame(b"lost"))
    assert await raw.is_mute()
    assert backend.frames == []
    # Nor does the server learn that the client has left.
    raw.writer.close()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(MUTE):
            await backend.websockets_closed.get()


async def test_black_hole_after_writes_one_way(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    proxy.add(BlackHole(direction="to_client", after_writes=2))
    raw = await connect()
    raw.handshake()
    await raw.head()
    assert await raw.frame() == b"hello"
    raw.send(frame(b"a") + frame(b"b"))
    assert await raw.frame() == b"a"
    await backend.until(lambda: backend.frames == ["a", "b"])
    assert await raw.is_mute()


async def test_black_hole_after_bytes_to_the_server(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(BlackHole(direction="to_server", after_bytes=2))
    raw = await connect()
    raw.request(method="POST", body=b"abcdef")
    await rule.wait_fired()
    assert await raw.is_mute()
    assert backend.seen == []


async def test_black_hole_after_chunks(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    proxy.add(BlackHole(after_writes=2))
    backend.gate.set()
    raw = await connect()
    raw.request("/stream")
    await raw.head()
    assert await raw.reader.readexactly(18) == b"4\r\none.\r\n4\r\ntwo.\r\n"
    assert await raw.is_mute()


# Responses


async def test_hold_until_the_response_ends(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(HoldResponse())
    raw = await connect()
    raw.request("/stream")
    await rule.wait_fired()
    assert await raw.is_mute() is True
    backend.gate.set()
    await raw.head()
    assert await raw.reader.readexactly(9 + 9 + 11 + 5) == b"4\r\none.\r\n4\r\ntwo.\r\n6\r\nthree.\r\n0\r\n\r\n"
    # The connection is as good as before.
    raw.request()
    assert await raw.response() == (200, b"empty")


async def test_hold_for_seconds(proxy: FaultProxy, connect: Connect) -> None:
    proxy.add(HoldResponse(seconds=0.1))
    raw = await connect()
    async with elapsed(0.1):
        raw.request("/stream")
        await raw.head()
    assert await raw.reader.readexactly(18) == b"4\r\none.\r\n4\r\ntwo.\r\n"


async def test_a_client_may_leave_what_is_held(proxy: FaultProxy, connect: Connect) -> None:
    rule = proxy.add(HoldResponse())
    raw = await connect()
    raw.request("/stream")
    await rule.wait_fired()
    raw.writer.close()
    async with within():
        await proxy.wait_logged("closed")


async def test_lag_keeps_the_order(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(Lag(seconds=0.05, direction="both"))
    raw = await connect()
    async with elapsed(0.05):
        raw.handshake()
        await raw.head()
    assert await raw.frame() == b"hello"
    async with elapsed(0.1):
        raw.send(b"".join(frame(b"%d" % n) for n in range(20)))
        assert [await raw.frame() for _ in range(20)] == [b"%d" % n for n in range(20)]
    assert rule.fired == 1


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_cut_after_seconds_finds_a_held_request(
    proxy: FaultProxy, connect: Connect, backend: Backend, end: all_faults.End
) -> None:
    proxy.add(Cut(after_seconds=0.1, end=end))
    raw = await connect()
    async with elapsed(0.1):
        raw.request("/held")
        assert await raw.end() == (b"", end)


async def test_cut_after_seconds_spares_what_is_complete(proxy: FaultProxy, connect: Connect) -> None:
    rule = proxy.add(Cut(after_seconds=30, times=1))
    raw = await connect()
    for _ in range(2):  # when the second one is answered, the first one is complete for the proxy, too
        raw.request()
        await raw.response()
    leap(31)
    raw.request()
    assert await raw.response() == (200, b"empty")
    assert (rule.armed, rule.fired) == (1, 0)


async def test_cut_when_idle(proxy: FaultProxy, connect: Connect) -> None:
    rule = proxy.add(Cut(after_idle=40))
    raw = await connect()
    raw.handshake()
    await raw.head()
    await raw.frame()
    for _ in range(4):
        leap(20)
        raw.send(frame(b"a"))
        await raw.frame()
    leap(20)
    assert await raw.is_mute()
    assert rule.fired == 0
    leap(20)
    assert await raw.end() == (b"", "fin")


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_cut_after_bytes(proxy: FaultProxy, connect: Connect, end: all_faults.End) -> None:
    proxy.add(Cut(after_bytes=12, end=end))
    raw = await connect()
    raw.request("/stream")
    await raw.head()
    assert await raw.reader.readexactly(12) == b"4\r\none.\r\n4\r\n"
    assert await raw.end() == (b"", end)


async def test_cut_without_a_limit_leaves_the_head(proxy: FaultProxy, connect: Connect) -> None:
    proxy.add(Cut())
    raw = await connect()
    raw.request()
    assert "200" in await raw.head()
    assert await raw.end() == (b"", "fin")


async def test_truncate_response(proxy: FaultProxy, connect: Connect) -> None:
    proxy.add(TruncateResponse(keep=4))
    raw = await connect()
    raw.request(method="POST", body=b"123")
    assert await raw.response() == (200, b"123")  # short enough
    raw.request(method="POST", body=b"123456")
    assert "Content-Length: 6" in await raw.head()
    assert await raw.end() == (b"1234", "fin")


async def test_truncate_chunked_response(proxy: FaultProxy, client: aiohttp.ClientSession, backend: Backend) -> None:
    backend.gate.set()
    proxy.add(TruncateResponse())
    with pytest.raises(aiohttp.ClientPayloadError):
        async with client.get("/stream") as response:
            await response.read()


async def test_drop_response(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    for end in ("fin", "rst"):
        proxy.clear()
        proxy.add(DropResponse(end=end))
        raw = await connect()
        raw.request(method="POST", body=b"done")
        assert await raw.end() == (b"", end)
    await backend.saw(b"done", b"done")


async def test_drop_response_and_hang(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(DropResponse(end="hang"))
    raw = await connect()
    raw.request(method="POST", body=b"done")
    await rule.wait_fired()
    await backend.saw(b"done")
    assert await raw.is_mute()


# Requests


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_drop_request(proxy: FaultProxy, connect: Connect, backend: Backend, end: all_faults.End) -> None:
    proxy.add(DropRequest(end=end))
    raw = await connect()
    raw.request(method="POST", body=b"lost")
    assert await raw.end() == (b"", end)
    assert backend.seen == []


async def test_drop_request_and_hang(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(DropRequest(end="hang"))
    raw = await connect()
    raw.request(method="POST", body=b"lost")
    await rule.wait_fired()
    assert await raw.is_mute()
    assert backend.seen == []


async def test_answer(proxy: FaultProxy, client: aiohttp.ClientSession, backend: Backend) -> None:
    proxy.add(Answer(headers=(("Retry-After", "1"),), body=b"busy"))
    async with client.post("/echo", data=bytes(200_000)) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert await response.read() == b"busy"
    assert backend.seen == []


async def test_delay_request(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    proxy.add(DelayRequest(seconds=0.1))
    raw = await connect()
    async with elapsed(0.1):
        raw.request(method="POST", body=b"late")
        assert await raw.response() == (200, b"late")


async def test_a_delayed_request_arrives_though_its_client_left(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    rule = proxy.add(DelayRequest(seconds=0.05))
    raw = await connect()
    raw.request("/echo", "POST", b"late")
    await rule.wait_fired()
    raw.writer.close()
    await backend.saw(b"late")


@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_truncate_request(proxy: FaultProxy, connect: Connect, backend: Backend, end: all_faults.End) -> None:
    proxy.add(TruncateRequest(keep=4, end=end))
    raw = await connect()
    raw.request(method="POST", body=b"1234")
    assert await raw.response() == (200, b"1234")  # short enough
    raw.request(method="POST", body=b"123456")
    assert await raw.end() == (b"", end)
    async with within():
        await backend.broken_bodies.get()
    assert [body for _, body in backend.seen] == [b"1234"]


async def test_repeat_at_once(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(RepeatRequest(patience=60))
    raw = await connect()
    raw.request(method="GET")
    await raw.response()
    raw.request(method="POST", body=b"twice")
    assert await raw.response() == (200, b"twice")
    assert backend.seen[1:] == [("POST", b"twice")] * 2  # both before the client had its answer
    assert rule.fired == 1
    assert await raw.is_mute()  # one response only


async def test_repeat_chunked_and_expected(proxy: FaultProxy, client: aiohttp.ClientSession, backend: Backend) -> None:
    proxy.add(RepeatRequest(patience=60))
    async with client.post("/echo", data=parts(b"a", b"b"), expect100=True) as response:
        assert await response.read() == b"ab"
    await backend.saw(b"ab", b"ab")


async def test_repeat_after_more_requests(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(RepeatRequest(after_requests=2, times=1))
    raw = await connect()
    for body in (b"1", b"2", b"3", b"4"):
        raw.request(method="POST", body=body)
        assert await raw.response() == (200, body)
    await backend.saw(b"1", b"2", b"3", b"1", b"4")
    assert rule.fired == 1


async def test_repeat_after_seconds(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(RepeatRequest(after_seconds=40, times=1))
    raw = await connect()
    raw.request(method="POST", body=b"again")
    assert await raw.response() == (200, b"again")
    leap(20)
    assert await raw.is_mute()
    assert len(backend.seen) == 1
    leap(20)
    await rule.wait_fired()
    await backend.saw(b"again", b"again")


async def test_a_copy_that_is_not_answered_does_not_hold_the_client_for_ever(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    rule = proxy.add(RepeatRequest(method=None, patience=0.05))
    raw = await connect()
    raw.request("/held")
    await backend.until(lambda: len(backend.seen) == 1)
    backend.gate.set()
    backend.gate.clear()  # for the copy
    assert await raw.response() == (200, b"late")
    await backend.until(lambda: len(backend.seen) == 2)
    assert rule.fired == 0


async def test_reorder_two_posts(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(ReorderRequests(times=1, max_hold=60))
    first, other, second = await connect(), await connect(), await connect()
    first.request(method="POST", body=b"1")
    await rule.wait_armed()
    other.request()  # a GET overtakes nothing
    await other.response()
    second.request(method="POST", body=b"2")
    assert await second.response() == (200, b"2")
    assert await first.response() == (200, b"1")
    await backend.saw(b"", b"2", b"1")
    assert rule.fired == 1
    # It was the only pair.
    first.request(method="POST", body=b"3")
    assert await first.response() == (200, b"3")


async def test_a_request_may_be_overtaken_before_it_is_complete(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    rule = proxy.add(ReorderRequests(times=1, max_hold=60))
    first, second = await connect(), await connect()
    first.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
    await rule.wait_armed()
    second.request(method="POST", body=b"2")
    assert await second.response() == (200, b"2")
    first.send(b"1")
    assert await first.response() == (200, b"11")
    assert rule.fired == 1


async def test_a_held_request_that_is_cut_is_forgotten(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(ReorderRequests(max_hold=60))
    raw = await connect()
    raw.request(method="POST", body=b"1")
    await rule.wait_armed()
    proxy.cut()
    await proxy.wait_logged("closed")
    raw = await connect()
    raw.request(method="POST", body=b"2")
    await rule.wait_armed(2)
    rule.remove()
    raw = await connect()
    raw.request(method="POST", body=b"3")
    assert await raw.response() == (200, b"3")  # being no part of the rule, it overtakes nothing
    await backend.saw(b"3")


async def test_a_client_may_leave_before_its_request_is_complete(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    proxy.add(RepeatRequest(patience=60))
    raw = await connect()
    raw.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
    raw.writer.write_eof()
    assert await raw.end() == (b"", "fin")
    assert backend.seen == []


async def test_reorder_gives_up(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    rule = proxy.add(ReorderRequests(max_hold=0.05))
    raw = await connect()
    async with elapsed(0.05):
        raw.request(method="POST", body=b"1")
        assert await raw.response() == (200, b"1")
    assert (rule.armed, rule.fired) == (1, 0)


async def test_an_abandoned_request_arrives_after_its_repetition(
    proxy: FaultProxy, connect: Connect, backend: Backend
) -> None:
    rule = proxy.add(ReorderRequests(times=1, max_hold=60))
    raw = await connect()
    raw.request(method="POST", body=b"1")
    await rule.wait_armed()
    raw.writer.close()
    raw = await connect()
    raw.request(method="POST", body=b"1 and 2")
    assert await raw.response() == (200, b"1 and 2")
    await backend.saw(b"1 and 2", b"1")


# The whole proxy


@pytest.mark.parametrize("rst", [False, True])
async def test_cut_every_connection(proxy: FaultProxy, connect: Connect, backend: Backend, rst: bool) -> None:
    idle, held, ws = await connect(), await connect(), await connect()
    idle.request()
    await idle.response()
    held.request("/held")
    ws.handshake()
    await ws.head()
    await ws.frame()
    await backend.until(lambda: len(backend.seen) == 2)
    proxy.cut(rst=rst)
    for raw in (idle, held, ws):
        assert await raw.end() == (b"", "rst" if rst else "fin")
    assert await backend.websockets_closed.get() == 1006
    again = await connect()
    again.request()
    assert await again.response() == (200, b"empty")


async def test_unplug_and_plug(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    ws, idle = await connect(), await connect()
    ws.handshake()
    await ws.head()
    await ws.frame()
    proxy.unplug()
    ws.send(frame(b"lost"))
    idle.request(method="POST", body=b"lost")
    new = await connect()
    new.request(method="POST", body=b"lost")
    assert all(await asyncio.gather(ws.is_mute(), idle.is_mute(), new.is_mute()))
    proxy.plug()
    newer = await connect()
    newer.request(method="POST", body=b"found")
    assert await newer.response() == (200, b"found")
    ws.send(frame(b"lost"))
    assert all(await asyncio.gather(ws.is_mute(), idle.is_mute(), new.is_mute()))
    await backend.saw(b"found")
    assert backend.frames == []
    proxy.cut()
    for raw in (ws, idle, new):
        assert await raw.end() == (b"", "fin")


async def test_unplug_and_refuse(proxy: FaultProxy, connect: Connect) -> None:
    proxy.unplug(refuse=True)
    raw = await connect()
    assert await raw.end() == (b"", "rst")
    proxy.plug()
    raw = await connect()
    raw.request()
    assert await raw.response() == (200, b"empty")


async def test_an_unplugged_server_hears_no_copies(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    proxy.add(RepeatRequest(after_seconds=30))
    raw = await connect()
    raw.request(method="POST", body=b"1")
    await raw.response()
    proxy.unplug()
    leap(30)
    async with within():
        await proxy.wait_logged("copy")
    assert proxy.log[-1].detail == "lost"
    await backend.saw(b"1")


async def test_closing_ends_everything_promptly(backend: Backend) -> None:
    before = asyncio.all_tasks()
    async with FaultProxy("127.0.0.1", backend.port) as proxy:
        rules = [
            proxy.add(fault)
            for fault in (
                HangWebSocket(match=on("hang")),
                BlackHole(match=on("hole"), after_bytes=0),
                HoldResponse(match=on("hold")),
                DelayRequest(match=on("delay"), seconds=60),
                ReorderRequests(match=on("reorder"), max_hold=60),
                RepeatRequest(match=on("repeat"), after_seconds=60),
                Cut(match=on("cut"), after_seconds=60),
            )
        ]
        raws = [Raw(*await asyncio.open_connection("127.0.0.1", proxy.port)) for _ in rules]
        for raw, query in zip(raws, ("hang", "hole", "hold", "delay", "reorder", "repeat", "cut"), strict=True):
            if query == "hang":
                raw.send(b"GET /ws?hang HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
            elif query in ("reorder", "repeat"):
                raw.request(f"/echo?{query}", "POST", b"x")
            else:
                raw.request(f"/stream?{query}")
        async with within():
            await asyncio.gather(*(rule.wait_armed() for rule in rules))
        loop = asyncio.get_running_loop()
        start = loop.time()
    assert loop.time() - start < 30  # what the rules wait for takes twice as long, or for ever
    assert proxy.connections == 0
    for raw in raws:
        await raw.end()
        raw.writer.close()
        await raw.writer.wait_closed()
    backend.gate.set()
    left = {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)}
    assert left == set()
    await proxy.aclose()  # harmless


# Rules


async def statuses(client: aiohttp.ClientSession, n: int) -> list[int]:
    result = []
    for _ in range(n):
        async with client.get("/echo") as response:
            result.append(response.status)
    return result


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Answer(), [503] * 6),
        (Answer(times=2), [503, 503, 200, 200, 200, 200]),
        (Answer(skip=4), [200, 200, 200, 200, 503, 503]),
        (Answer(every=3), [503, 200, 200, 503, 200, 200]),
        (Answer(skip=1, every=2, times=2), [200, 503, 200, 503, 200, 200]),
        (Answer(times=0), [200] * 6),
        (Answer(chance=0.0), [200] * 6),
        (Answer(match=lambda request: request.method == "POST"), [200] * 6),
        (Answer(match=lambda request: "aiohttp" in request.headers["user-agent"]), [503] * 6),
    ],
)
async def test_which_requests_are_faulted(
    proxy: FaultProxy, client: aiohttp.ClientSession, fault: Fault, expected: list[int]
) -> None:
    rule = proxy.add(fault)
    assert await statuses(client, 6) == expected
    assert rule.armed == rule.fired == expected.count(503)


async def test_chance_is_repeatable(backend: Backend) -> None:
    runs = []
    for _ in range(2):
        async with (
            FaultProxy("127.0.0.1", backend.port, random=Random(7)) as proxy,
            aiohttp.ClientSession(proxy.url) as client,
        ):
            proxy.add(Answer(chance=0.5))
            runs.append(await statuses(client, 12))
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


async def test_a_chance_needs_a_random() -> None:
    with pytest.raises(ValueError, match="random=Random"):
        FaultProxy("127.0.0.1", 1).add(Answer(chance=0.5))


@pytest.mark.parametrize("wrong", [{"skip": -1}, {"every": 0}, {"times": -1}, {"chance": 1.5}])
def test_nonsense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        Answer(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="after_frames=-1: takes 0 or more"):
        KillWebSocket(after_frames=-1)
    with pytest.raises(ValueError, match="seconds=nan: takes 0 or more"):
        Lag(seconds=float("nan"))
    with pytest.raises(ValueError, match="not both"):
        RepeatRequest(after_requests=1, after_seconds=1)


async def test_faults_add_up_and_are_removed(proxy: FaultProxy, connect: Connect, backend: Backend) -> None:
    repeat = proxy.add(RepeatRequest(patience=60))
    drop = proxy.add(DropResponse())
    raw = await connect()
    raw.request(method="POST", body=b"x")
    assert await raw.end() == (b"", "fin")
    await backend.saw(b"x", b"x")
    drop.remove()
    drop.remove()
    assert proxy.rules == (repeat,)
    proxy.clear()
    raw = await connect()
    raw.request(method="POST", body=b"y")
    assert await raw.response() == (200, b"y")
    await backend.saw(b"x", b"x", b"y")


async def test_single_requests_on_one_connection_are_faulted(proxy: FaultProxy, connect: Connect) -> None:
    rule = proxy.add(HoldResponse(seconds=0.1, match=on("slow")))
    raw = await connect()
    raw.request("/echo")
    await raw.response()
    async with elapsed(0.1):
        raw.request("/echo?slow")
        await raw.response()
    raw.request("/echo")
    await raw.response()
    assert rule.fired == 1
    faulted = [event for event in proxy.log if event.kind == "fault"]
    assert [(event.connection, event.fault) for event in faulted] == [(1, rule.fault)]
    request = faulted[0].request
    assert request is not None
    assert (request.method, request.path, request.query) == ("GET", "/echo", "slow")
    assert (request.headers["HOST"], len(request.headers), request.is_websocket) == ("x", 2, False)
    assert repr(request) == "<GET /echo?slow on connection 1>"


async def test_waiting_for_a_rule(proxy: FaultProxy, connect: Connect) -> None:
    rule = proxy.add(Answer())
    waiting = [asyncio.create_task(rule.wait_fired(n)) for n in (1, 2)]
    raw = await connect()
    raw.request()
    await waiting[0]
    assert not waiting[1].done()
    raw = await connect()
    raw.request()
    await waiting[1]
    await rule.wait_fired(2)
    assert repr(rule).endswith("armed=2 fired=2>")


async def test_what_match_raises_is_raised_by_aclose(backend: Backend) -> None:
    def wrong(request: ProxiedRequest) -> bool:
        raise LookupError(request.path)

    proxy = FaultProxy("127.0.0.1", backend.port)
    await proxy.start()
    proxy.add(Answer(match=wrong))
    raw = Raw(*await asyncio.open_connection("127.0.0.1", proxy.port))
    raw.request()
    await raw.end()
    raw.writer.close()
    await raw.writer.wait_closed()
    assert repr(proxy).startswith(f"<FaultProxy {proxy.url} for 127.0.0.1:{backend.port} rules=1")
    with pytest.raises(LookupError):
        await proxy.aclose()


async def test_what_match_raises_leaves_other_rules_as_they_were(backend: Backend) -> None:
    def wrong(request: ProxiedRequest) -> bool:
        raise LookupError(request.path)

    proxy = FaultProxy("127.0.0.1", backend.port)
    await proxy.start()
    held = proxy.add(ReorderRequests(max_hold=60))
    refusing = proxy.add(Answer(match=wrong))
    raws = [Raw(*await asyncio.open_connection("127.0.0.1", proxy.port)) for _ in range(3)]
    raws[0].request(method="POST")
    await raws[0].end()
    refusing.remove()
    raws[1].request(method="POST", body=b"late")
    async with within():
        await held.wait_armed(2)
    raws[2].request(method="POST", body=b"early")
    assert await raws[2].response() == (200, b"early")
    assert await raws[1].response() == (200, b"late")
    for raw in raws:
        raw.writer.close()
    with pytest.raises(LookupError):
        await proxy.aclose()


async def test_rules_that_were_removed_cost_nothing(proxy: FaultProxy, client: aiohttp.ClientSession) -> None:
    """Of one proxy for a day of tests, too."""
    for _ in range(10):
        proxy.add(ReorderRequests(max_hold=0.0)).remove()
        proxy.add(ReorderRequests(max_hold=0.0))
        assert await statuses(client, 1) == [200]
        proxy.clear()
    assert len(proxy._shared._holding) <= 1


async def test_an_address_of_ipv6_has_brackets_in_a_url(backend: Backend) -> None:
    if not socket.has_ipv6:
        pytest.skip("there is no IPv6 here")
    try:
        async with FaultProxy("127.0.0.1", backend.port, listen="::1") as proxy:
            assert proxy.url == f"http://[::1]:{proxy.port}"
            async with aiohttp.ClientSession(proxy.url) as client:
                assert await statuses(client, 1) == [200]
    except OSError:
        pytest.skip("there is no IPv6 here")


async def test_a_failure_of_the_test_comes_first(backend: Backend) -> None:
    with pytest.raises(ZeroDivisionError):
        async with FaultProxy("127.0.0.1", backend.port):
            raise ZeroDivisionError
