"""A demo on free ports of this machine, and what its page would ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from realtime.demo import Demo, child
from realtime.demo.routes import HEADER

from .forked import forked

PATIENCE = 60.0


class Page:
    """Asks like the page."""

    def __init__(self, demo: Demo, http: aiohttp.ClientSession) -> None:
        self.demo = demo
        self.http = http
        self.origin = f"http://127.0.0.1:{demo.port}"

    def at(self, port: int, path: str) -> str:
        """An address at one of the demo's ports."""
        return f"http://127.0.0.1:{port}{path}"

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON."""
        async with self.http.get(self.origin + path, headers=headers) as response:
            return response.status, await response.json()

    async def post(self, path: str, **headers: str) -> tuple[int, Any]:
        """The same, with the header that only the page can send."""
        async with self.http.post(self.origin + path, headers={HEADER: "1", **headers}) as response:
            return response.status, await response.json()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A running demo, asked from its own machine."""
    asyncio.get_running_loop().set_debug(False)
    async with Demo() as demo, aiohttp.ClientSession() as http:
        yield Page(demo, http)
        await demo.end_sessions()


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    """What is started is forked."""
    with forked():
        yield


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started is a Python of its own."""
    monkeypatch.setattr(child, "asyncio", asyncio)
