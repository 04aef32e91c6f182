"""The pytest plugin of realtime: the fixture `realtime_client`.

Outside the package, and importing nothing of it before a test asks: pytest loads plugins before coverage starts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from realtime.testing import Clients

__all__ = ["realtime_client"]

try:
    import pytest_asyncio
except ImportError:

    @pytest.fixture(name="realtime_client")
    def _missing() -> None:
        """Opens sessions with an application under test."""
        pytest.fail(
            "realtime_client needs pytest-aiohttp: pip install 'aiohttp-realtime[test]'",
            pytrace=False,
        )

else:

    @pytest_asyncio.fixture
    async def realtime_client() -> AsyncIterator[Clients]:
        """Opens sessions with an application under test, and closes everything in the end:

        async def test_echo(realtime_client):
            session = await realtime_client(make_app(), "/realtime/echo", transports=["websocket"])
            await session.send("hello")
            assert await session.receive() == "hello"

        Takes an aiohttp Application (started on a free port, shared by its sessions), a realtime.Server or an
        aiohttp TestServer; then the path; then the options of realtime.connect().
        """
        from realtime.testing import Clients

        async with Clients() as clients:
            yield clients
