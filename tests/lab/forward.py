"""A corporate forward proxy: absolute URLs for http, CONNECT for https, and what such proxies do besides.

It obeys RFC 9110 §7.6.1: what is said hop by hop (Connection, Upgrade and their like) ends here. So WebSockets get
through it by CONNECT only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["ForwardProxy"]

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "upgrade"}


class ForwardProxy:
    """`scans`: each answer is collected whole before it is passed on. `password`: "user:password" that it wants."""

    def __init__(self, *, scans: bool = False, password: str | None = None) -> None:
        self.url = ""
        self.requests: list[str] = []  # the first lines of what was asked
        self._scans = scans
        self._password = password
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ForwardProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy is being closed
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; its connection ends with its answer."""
        first, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        self.requests.append(first)
        method, target, _ = first.split(" ")
        headers = [(name.strip(), value.strip()) for name, _, value in (field.partition(":") for field in fields)]
        if self._password is not None:
            wanted = "Basic " + base64.b64encode(self._password.encode()).decode()
            if ("proxy-authorization", wanted) not in [(name.lower(), value) for name, value in headers]:
                writer.write(
                    b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n"
                    b"Connection: close\r\n\r\n"
                )
                await writer.drain()
                return
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            url = urlsplit(target)
            assert url.hostname is not None
            up_reader, up_writer = await asyncio.open_connection(url.hostname, url.port or 80)
            path = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
            kept = [f"{name}: {value}" for name, value in headers if name.lower() not in HOP_BY_HOP]
            head = "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Via: 1.1 corporate", "Connection: close"])
            up_writer.write(f"{head}\r\n\r\n".encode("latin-1"))
        up = asyncio.create_task(_pump(reader, up_writer))
        try:
            await _pump(up_reader, writer, whole=self._scans and method != "CONNECT")
        finally:
            up.cancel()
            up_writer.close()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await up


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, whole: bool = False) -> None:
    """Passes bytes on until their end; `whole` keeps them until then."""
    kept = b""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            if whole:
                kept += data
                continue
            writer.write(data)
            await writer.drain()
        writer.write(kept)
        await writer.drain()
