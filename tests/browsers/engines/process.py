"""A program that a test started: with its children it ends when the test says so, and its complaints are kept.

Knows nothing of browsers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["PATIENCE", "EngineError", "Program"]

PATIENCE = 90.0  # seconds for a program's start, or its answer: both take a moment, unless it is broken
LINE = 64 * 1024 * 1024  # a screenshot comes as one line


# Whoever is killed, as a test run may be, cannot stop what it started: then the kernel does.
_LEASH = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


class EngineError(RuntimeError):
    """An engine did not start, died, or would not do what it was asked."""


class Program:
    """A process in a session of its own, of which the lines of stdout and stderr are read as they come.

    `on_line` gets each line (of both); the last ones are kept for error messages.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, on_line: Callable[[str], object] | None) -> None:
        self.name = name
        self._process = process
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=40)
        self._waiting: list[tuple[re.Pattern[str], asyncio.Future[re.Match[str]]]] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [asyncio.create_task(self._read(stream)) for stream in (process.stdout, process.stderr)]

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], object] | None = None,
    ) -> Program:
        """Starts it. `env` adds to our environment; an empty value takes a variable away."""
        environment = {key: value for key, value in {**os.environ, **(env or {})}.items() if value}
        try:
            process = await asyncio.create_subprocess_exec(
                *_LEASH,
                *map(str, command),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=environment,
                start_new_session=True,
                limit=LINE,
            )
        except OSError as error:
            raise EngineError(f"{name} cannot be started: {error}") from None
        return cls(name, process, on_line)

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def tail(self) -> str:
        """The last lines that it wrote."""
        return "\n".join(self._tail)

    def failure(self, what: str) -> EngineError:
        """An error with all that is known."""
        state = "running" if self.alive else f"ended with {self._process.returncode}"
        return EngineError(f"{self.name}: {what} (it is {state}). Its last lines:\n{self.tail}")

    async def wait_for(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """The first match of a line with `pattern`, which is yet to come. Raises EngineError if it ends before."""
        future: asyncio.Future[re.Match[str]] = asyncio.get_running_loop().create_future()
        self._waiting.append((re.compile(pattern), future))
        ended = asyncio.create_task(asyncio.wait(self._readers))
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wait((future, ended), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise self.failure(f"did not say {pattern!r} within {timeout:g} s") from None
        finally:
            self._waiting = [entry for entry in self._waiting if entry[1] is not future]
            ended.cancel()
        if not future.done():
            await self._process.wait()
            raise self.failure(f"ended before it said {pattern!r}")
        return future.result()

    def write(self, line: str) -> None:
        """A line to its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def stop(self) -> None:
        """Ends it and its children."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        self._signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._process.wait()
        self._signal(signal.SIGKILL)  # children too that outlived it
        await self._process.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):  # a grandchild in a session of its own may hold the pipes
                await asyncio.gather(*self._readers)
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            await stdin.wait_closed()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self._tail.append(line[:1000])
            for pattern, future in self._waiting:
                if not future.done() and (match := pattern.search(line)):
                    future.set_result(match)
            if self._on_line is not None:
                self._on_line(line)

    @classmethod
    async def output(cls, name: str, command: Sequence[str | Path], timeout: float = PATIENCE) -> str:
        """What a short-lived program writes to stdout."""
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
            raise EngineError(f"{name} did not end within {timeout:g} s") from None
        if process.returncode:
            raise EngineError(f"{name} ended with {process.returncode}: {err.decode('utf-8', 'replace')[-2000:]}")
        return out.decode("utf-8", "replace")
