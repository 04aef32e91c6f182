"""A Redis of the demo's own, on a Unix socket that nobody else reaches: so that a killed server's session goes on."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

from ..brokers.redis import RedisBroker
from ..core.errors import BrokerError

__all__ = ["Store"]

SERVERS = ("redis-server", "valkey-server")
PATIENCE = 10.0  # seconds until it answers
# Ends with its standard input: when its parent does, however that ends.
RUN = 'exec 3<&0; "$@" & store=$!; (cat <&3 >/dev/null; kill -9 $store) & wait $store'


class Store:
    """A server that keeps nothing on disk, for as long as the `async with` lasts. Entering gives its URL, or None where
    neither Redis nor Valkey is installed, the extra `[redis]` is missing, or it does not start: the demo does without.
    """

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> str | None:
        program = next(filter(None, map(shutil.which, SERVERS)), None)
        if program is None or not _has_client():
            return None
        async with self._stack as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="realtime-"))
            path = Path(folder) / "store"
            options = ("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--dir", folder)
            nothing = asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", RUN, "sh", program, *options, "--save", "", "--appendonly", "no"),
                stdin=asyncio.subprocess.PIPE,
                stdout=nothing,
                stderr=nothing,
                start_new_session=True,  # a Ctrl-C is the parent's
            )
            stack.push_async_callback(_end, process)
            if not await _answers(process, path):
                return None
            self._stack = stack.pop_all()
        return f"unix://{path}"

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()


def _has_client() -> bool:
    try:
        RedisBroker("redis://localhost")
    except BrokerError:
        return False
    return True


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()  # there is nothing that it would have to write


async def _answers(process: asyncio.subprocess.Process, path: Path) -> bool:
    """Waits until it takes connections; whether it does."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_unix_connection(path)
                    writer.close()
                    return True
                await asyncio.sleep(0.02)
    return False
