"""PhantomJS 2.1.1 and 1.9.8. A process for each page, which takes its commands over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp

from ...ports import port_for
from .base import npm
from .lines import DRIVERS, LineEngine, LinePage
from .process import Program

__all__ = ["PhantomJS1", "PhantomJS2"]


class PhantomJS2(LineEngine):
    """PhantomJS 2.1.1."""

    name = "phantomjs2"
    stands_for = "browsers with ES5 only: no Promise, Map, fetch"
    package = "phantomjs2"

    def __init__(self) -> None:
        super().__init__()
        self._port = 0

    @property
    def _binary(self) -> Path:
        return npm(self.package) / "bin" / "linux" / "x64" / "phantomjs"

    def missing(self) -> str | None:
        return self._need(self._binary)

    def program(self) -> tuple[list[str | Path], Mapping[str, str]]:
        self._port = port_for()
        environment = {
            "OPENSSL_CONF": "/dev/null",  # or 2.1 does not start beside a current OpenSSL
            "SSL_CERT_DIR": "",  # or 1.9 does not
            "QT_QPA_PLATFORM": "",
            "DISPLAY": "",
        }
        return [self._binary, DRIVERS / "phantom.js", str(self._port)], environment

    async def _send(self, program: Program, line: str) -> None:
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
                http.post(f"http://127.0.0.1:{self._port}/", data=line.encode()) as response,
            ):
                self._line(await response.text("utf-8"))
        except aiohttp.ClientError as error:
            raise program.failure(f"does not answer: {error!r}") from None

    @contextlib.asynccontextmanager
    async def open(self, url: str, *, window: bool = False) -> AsyncIterator[LinePage]:
        try:
            async with super().open(url, window=window) as page:
                yield page
        finally:
            await self.stop()


class PhantomJS1(PhantomJS2):
    """PhantomJS 1.9.8."""

    name = "phantomjs1"
    stands_for = "a browser of 2011: not even bind(), and a WebSocket that nobody speaks"
    package = "phantomjs1"
