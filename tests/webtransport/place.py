"""A server with a WebTransport port, and channels to it that know nothing of the protocol."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

import realtime
from realtime.quic.client import Channel, open_channel
from realtime.testing import MadeCertificate, make_certificate
from realtime.transports import WEBTRANSPORT, Frame
from realtime.transports.webtransport import LengthDecoder
from realtime.webtransport.listener import Listener

from ..patience import within

__all__ = ["OPEN", "PATIENT", "Place", "Raw", "listener_of", "made", "place", "webtransport"]

OPEN = 'o{"nonce":"0123456789012345678901","gen":1,"window":[256,1048576]}'
# For a client whose connections are counted: it makes one, however slow the machine is.
PATIENT: dict[str, Any] = {"transports": "webtransport", "attach_timeout": 40.0, "open_timeout": 42.0}
_MADE: list[tuple[tempfile.TemporaryDirectory[str], MadeCertificate]] = []


def made() -> MadeCertificate:
    """One certificate for all tests of a process."""
    if not _MADE:
        folder = tempfile.TemporaryDirectory()
        _MADE.append((folder, make_certificate(folder.name)))
    return _MADE[0][1]


def webtransport(**options: Any) -> realtime.WebTransport:
    """On any port, with a certificate of no authority."""
    files = {"certificate": made().certificate, "key": made().key}
    return realtime.WebTransport(**{"port": 0, "host": "127.0.0.1", **files, **options})


def listener_of(rt: realtime.Server) -> Listener:
    """What listens, while it does."""
    asked: Any = rt._service.networks.webtransport
    listener = asked.__self__
    assert isinstance(listener, Listener)
    return listener


class Raw:
    """A channel, frame by frame."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._decoder = LengthDecoder(10_000_000)
        self._frames: list[Frame] = []

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self.channel.write(WEBTRANSPORT.frame(frame))

    async def receive(self) -> Frame | None:
        """The next frame; None at the end."""
        async with within("for a frame"):
            while not self._frames:
                data = await self.channel.receive()
                if data is None:
                    return None
                self._frames += self._decoder.feed(data)
            return self._frames.pop(0)

    async def until(self, letter: str) -> str:
        """The next frame that begins so."""
        while True:
            frame = await self.receive()
            assert frame is not None, "it has ended"
            if isinstance(frame, str) and frame.startswith(letter):
                return frame


class Place:
    """A server that runs."""

    def __init__(self, rt: realtime.Server, server: TestServer) -> None:
        self.rt = rt
        self.url: URL = server.make_url("/realtime")

    @property
    def listener(self) -> Listener:
        return listener_of(self.rt)

    @contextlib.asynccontextmanager
    async def raw(
        self,
        path: str = "/realtime/echo/v1/webtransport",
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Raw]:
        """A session of WebTransport's, and none of the protocol's yet. Raises ConnectionError."""
        async with within("for a WebTransport session"):
            channel = await open_channel(
                "127.0.0.1", self.listener.port, path, tuple((headers or {}).items()), made().digest
            )
        try:
            yield Raw(channel)
        finally:
            channel.close()


@contextlib.asynccontextmanager
async def place(
    rt: realtime.Server, options: realtime.WebTransport | None = None, *, app: web.Application | None = None
) -> AsyncIterator[Place]:
    """Serves it."""
    application = web.Application() if app is None else app
    realtime.setup(application, rt, webtransport=options or webtransport())
    async with realtime.testing.serve(application) as server:
        yield Place(rt, server)
