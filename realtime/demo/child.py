"""A server in a process of its own (worker.py), so that it can be killed: the process, from its parent's side."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

__all__ = ["ADDRESS", "Child"]

ADDRESS = "127.0.0.1"
START_PATIENCE = 60.0


class Child:
    """One process after another, on the same port: that of a module beside this one, which is given the port and
    `arguments`, and `environment` beside our own.
    """

    def __init__(
        self, arguments: Sequence[str], *, module: str = "worker", environment: Mapping[str, str] | None = None
    ) -> None:
        self._arguments = tuple(arguments)
        self._module = module
        self._environment = dict(environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self.port: int = 0
        self.starts: int = 0

    @property
    def pid(self) -> int | None:
        """Its number, while it runs."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Starts it; again on the same port. Raises OSError if it does not come up."""
        package = str(Path(__file__).parents[2])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"{__package__}.{self._module}",
            str(self.port),
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **self._environment, "PYTHONPATH": path},
            start_new_session=True,  # a Ctrl-C is the parent's
        )
        self._process = process
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_PATIENCE):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line.strip().isdigit():
            await self.kill()
            raise ChildProcessError("the server process does not start")
        self.port = int(line)
        self.starts += 1

    async def lines(self) -> AsyncIterator[bytes]:
        """What it says from then on, until it has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield line

    def end(self) -> None:
        """Has it end by itself."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def kill(self) -> None:
        """Kills it: no farewell, no clean-up."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()

    async def restart(self) -> None:
        """Kills it and starts it again on the same port. Raises OSError."""
        await self.kill()
        await self.start()
