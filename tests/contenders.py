"""The servers that benchmarks compare, as tests use them: each is started when it is asked for, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeAlias

from benchmarks.process import ServerProcess

__all__ = ["Start", "starting"]

Start: TypeAlias = Callable[[str], Awaitable[ServerProcess]]


@asynccontextmanager
async def starting() -> AsyncIterator[Start]:
    """Gives what starts a contender's server, or gives the one that runs. They end with the block."""
    servers: dict[str, ServerProcess] = {}
    async with AsyncExitStack() as ends:

        async def start(contender: str) -> ServerProcess:
            if contender not in servers:
                servers[contender] = await ServerProcess.start(contender, "asyncio")
                ends.push_async_callback(servers[contender].stop)
            return servers[contender]

        yield start
