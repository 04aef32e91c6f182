"""The client of a stream over a bare socket: every byte as it came, chunk by chunk."""

from __future__ import annotations

import asyncio
import fcntl
import json
import secrets
import socket
import ssl
import struct
import sys
import termios
from types import TracebackType
from typing import Any
from urllib.parse import quote

from ..open_ends import transports
from ..patience import eventually, within
from .peer import batch, batch_of
from .place import Place

__all__ = ["RawStream", "is_read", "open_frame"]


def open_frame(gen: int = 1, **changes: Any) -> str:
    """A client's open."""
    members = {"nonce": secrets.token_urlsafe(18), "gen": gen, "window": [256, 1_048_576], "transports": []}
    return "o" + json.dumps(members | changes)


async def is_read(writer: asyncio.StreamWriter) -> None:
    """Waits until the other end, which is in this process, has read all that was written."""
    ours = writer.get_extra_info("socket")
    (theirs,) = [
        one.get_extra_info("socket")
        for one in transports(asyncio.get_running_loop())
        if one.get_extra_info("peername") == ours.getsockname()
    ]
    await eventually(lambda: not _waiting(ours, termios.TIOCOUTQ) and not _waiting(theirs, termios.FIONREAD))


def _waiting(sock: socket.socket, queue: int) -> int:
    """How many bytes are in a queue of a socket's."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), queue, bytes(4)), sys.byteorder)


class RawStream:
    """One connection and the one answer on it."""

    status = 0
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, place: Place, transport: str, path: str = "/park", tls: ssl.SSLContext | None = None) -> None:
        self.place = place
        self.tls = tls
        self.transport = transport
        self.path = path
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> RawStream:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.place.port, ssl=self.tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Cuts the connection by RST."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()

    async def start(self, *frames: str, version: str = "1.1", method: str = "", headers: str = "") -> None:
        """Sends the request and reads the answer's head."""
        method = method or ("POST" if self.transport == "xhr_streaming" else "GET")
        target = f"{self.place.prefix}{self.path}/v1/{self.transport}"
        body = b""
        if method == "POST":
            body = batch(*frames)
            headers += f"Content-Length: {len(body)}\r\n"
        elif frames:
            target += "?frame=" + quote(frames[0], safe="")
        if self.transport == "htmlfile":
            target += ("&" if "?" in target else "?") + "callback=take"
            headers += f"Referer: {self.place.base}/page\r\n"
        head = f"{method} {target} HTTP/{version}\r\nHost: 127.0.0.1:{self.place.port}\r\n{headers}\r\n"
        self.writer.write(head.encode() + body)
        async with within():
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = dict(line.split(": ", 1) for line in lines[1:-2])

    async def chunk(self) -> bytes:
        """The next chunk of the body; b"" for its complete end."""
        async with within():
            size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
            data = await self.reader.readexactly(size + 2)
        assert data[size:] == b"\r\n"
        return data[:size]

    async def chunks(self) -> list[bytes]:
        """All that are left, but for the prelude: to the complete end."""
        chunks: list[bytes] = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return chunks

    async def frames(self) -> list[str]:
        """The frames of the next chunk that has any."""
        while True:
            chunk = await self.chunk()
            assert chunk, "the stream has ended"
            if found := frames_of(chunk):
                return found


def frames_of(chunk: bytes) -> list[str]:
    """The frames of one flush."""
    for line in chunk.decode().split("\n"):
        text = batch_of(line)
        if text.startswith("["):
            frames: list[str] = json.loads(text)
            return frames
    return []
