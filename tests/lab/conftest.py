"""What every test of the lab needs: a server whose endpoint echoes, a directory for a box, a box before the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

import realtime
from realtime.testing import serve

from ..patience import Pauses
from .boxes import standing

__all__: list[str] = []


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """A server with its default settings and an endpoint /realtime/echo."""
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    async with serve(rt) as running:
        with Pauses() as pauses:
            yield running
        # In a pause a goodbye may come too late for who said it.
        assert pauses.any or all(session.state != "open" for session in rt.sessions), "somebody left a session open"


@pytest.fixture
async def box(server: TestServer, tmp_path: Path) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Puts a box of this name before the server; the endpoint's URL through it."""
    async with AsyncExitStack() as stack:

        async def put(name: str) -> str:
            assert server.port is not None
            return f"{await stack.enter_async_context(standing(name, server.port, tmp_path))}/realtime/echo"

        yield put
