"""A server of WebSockets and nothing else, in either way, that writes down what its Connections are told."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from realtime.core.carrier import Link
from realtime.transports.websocket import FIN_TEXT, frame_header
from realtime.web.handshake import Reading, upgrade
from realtime.web.sockets import Sockets, prepare

from ..patience import eventually, within

__all__ = ["HANDSHAKE", "LOOPS", "Recorder", "WebSockets", "contexts", "masked", "serving_websockets"]

MAX_SIZE = 2000
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def masked(first: int, payload: bytes = b"", key: bytes = b"\1\2\3\4", size: int | None = None) -> bytes:
    """A client's frame; `size` is what it says of itself."""
    size = len(payload) if size is None else size
    header = bytearray(frame_header(first, size))
    header[1] |= 0x80
    return bytes(header) + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


# Besides asyncio's own.
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": lambda: pytest.importorskip("uvloop").new_event_loop(),
    "aiofastnet": lambda: pytest.importorskip("aiofastnet").loop_factory(asyncio.new_event_loop)(),
}


def contexts(place: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's for TLS, by a certificate that is made here."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here to make a certificate with")
    key, certificate = place / "key.pem", place / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate, key)
    return ours, ssl.create_default_context(cafile=certificate)


class Recorder:
    """A Connection that echoes. `connecting` and `taking` are awaited by whoever serves it."""

    def __init__(self, link: Link, reading: Reading) -> None:
        self.link: Any = link
        self.reading = reading
        self.told: list[Any] = []
        self.connecting: Callable[[], Awaitable[None]] | None = None
        self.taking: Callable[[], Awaitable[None] | None] | None = None
        self.echoing = True
        self.over = asyncio.Event()

    def connected(self) -> Awaitable[None] | None:
        self.told.append("connected")
        return None if self.connecting is None else self.connecting()

    def message(self, data: str | bytes) -> Awaitable[None] | None:
        self.told.append(data)
        if self.echoing:
            payload = data.encode() if isinstance(data, str) else data
            self.link.write([frame_header(FIN_TEXT, len(payload)) + payload])
        return None if self.taking is None else self.taking()

    def control(self) -> bool:
        self.told.append("control")
        return True

    def closed(self, code: int, reason: str) -> None:
        self.told.append(("closed", code, reason))

    def failed(self, code: int) -> None:
        self.told.append(("failed", code))

    def writable_again(self) -> None:
        self.told.append("writable again")

    def lost(self) -> None:
        self.told.append("lost")
        self.over.set()


class WebSockets:
    """An application of WebSockets at /ws."""

    def __init__(self) -> None:
        self.app = web.Application()
        self.app.router.add_get("/ws", self._handle)
        self.sockets = Sockets(lambda: 1.0)
        self.runner = web.AppRunner(self.app, access_log=logging.getLogger("access"), shutdown_timeout=0.5)
        self.recorders: list[Recorder] = []
        self.prepare_recorder: Callable[[Recorder], None] = lambda recorder: None
        self.port = 0
        self.tls: ssl.SSLContext | None = None  # the clients'
        self._writers: list[asyncio.StreamWriter] = []

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        ws = prepare(request, MAX_SIZE)
        await upgrade(request, ws)
        await self.sockets.serve(request, ws, self._connect)
        return ws

    def _connect(self, link: Link, reading: Reading) -> Recorder:
        recorder = Recorder(link, reading)
        self.prepare_recorder(recorder)
        self.recorders.append(recorder)
        return recorder

    async def connect(self, early: bytes = b"") -> tuple[Recorder, asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, and what serves it; `early` comes with the handshake."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
        writer.write(HANDSHAKE + early)
        self._writers.append(writer)
        async with within():
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        await eventually(lambda: self.recorders and self.recorders[0].told)
        return self.recorders.pop(), reader, writer

    async def stop(self) -> None:
        """The end, of clients and server."""
        for writer in self._writers:
            writer.transport.abort()
        await self.sockets.ended()
        await self.runner.cleanup()


@asynccontextmanager
async def serving_websockets(
    prepare: Callable[[WebSockets], None] | None = None, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
) -> AsyncIterator[WebSockets]:
    """Such an application, up and running; with `tls` by the server's context, and its clients by the other."""
    served = WebSockets()
    served.tls = None if tls is None else tls[1]
    if prepare is not None:
        prepare(served)
    await served.runner.setup()
    site = web.TCPSite(served.runner, "127.0.0.1", 0, ssl_context=None if tls is None else tls[0])
    await site.start()
    served.port = served.runner.addresses[0][1]
    try:
        yield served
    finally:
        await served.stop()
