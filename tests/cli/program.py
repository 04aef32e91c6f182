"""The command line as a subprocess: what a test says to it, and the lines it waits for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import IO

from ..patience import arrives, within
from .forks import Fork, Forks

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-W", "error", "-m", "realtime")
# As installed, whichever copy of the package is being tested.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDEVMODE": "", "COVERAGE_PROCESS_START": ""}


FORKS = Forks(ENVIRONMENT)


class Program:
    """`realtime` with some arguments, killed at the end of the `async with` if it has not ended.

    Forked, unless it is `fresh`, or `bare`: then the arguments are the whole command.
    """

    def __init__(
        self,
        *arguments: object,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        fresh: bool = False,
        bare: bool = False,
    ) -> None:
        self._arguments = [*map(str, arguments)]
        self._command = self._arguments if bare else [*COMMAND, *self._arguments]
        self._forked = not (fresh or bare)
        self._stdin = stdin
        self._stdout = stdout
        self.process: Process | Fork

    async def __aenter__(self) -> Program:
        if self._forked:
            self.process = await FORKS.start(self._arguments, self._stdin, self._stdout)
        else:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdin=self._stdin or PIPE, stdout=self._stdout or PIPE, stderr=PIPE, env=ENVIRONMENT
            )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        # Not communicate(): it would wait for a pipe that the test itself holds.
        if self.process.stdin is not None:
            self.process.stdin.close()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                await arrives(stream.read(), "the end of its output, after it was killed")
        await self.process.wait()

    def say(self, text: str | bytes) -> None:
        """Writes to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text if isinstance(text, bytes) else text.encode())

    def end_input(self) -> None:
        """Closes its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def line(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        return await self._line(self.process.stdout)

    async def note(self) -> str:
        """The next line of its standard error."""
        assert self.process.stderr is not None
        return await self._line(self.process.stderr)

    async def line_with(self, text: str) -> str:
        """The next line of its standard output in which there is `text`."""
        while text not in (line := await self.line()):
            assert line, f"the output ended without {text!r}"
        return line

    async def _line(self, stream: asyncio.StreamReader) -> str:
        async with within(f"a line of {self._command[-4:]}"):
            return (await stream.readline()).decode().removesuffix("\n")

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Sends a signal: Ctrl-C, if no other."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Waits for its end; returns the exit code."""
        async with within(f"the end of {self._command[-4:]}"):
            return await self.process.wait()

    async def rest(self) -> tuple[str, str]:
        """What is left of its standard output and error, up to their ends."""
        out, err = await self.rest_bytes()
        return out.decode(), err.decode()

    async def rest_bytes(self) -> tuple[bytes, bytes]:
        """The same as bytes."""
        streams = [stream for stream in (self.process.stdout, self.process.stderr) if stream is not None]
        async with within(f"the end of what {self._command[-4:]} says"):
            *out, err = await asyncio.gather(*(stream.read() for stream in streams))
        return b"".join(out), err


async def run(*arguments: object, given: bytes = b"", until: str = "", fresh: bool = False) -> tuple[int, str, str]:
    """Runs it with `given` as standard input, which ends when `until` has come back: exit code, output, error."""
    async with Program(*arguments, fresh=fresh) as program:
        program.say(given)
        lines: list[str] = []
        while until and until not in "".join(lines):
            lines.append(f"{await program.line()}\n")
        program.end_input()
        out, err = await program.rest()
        return await program.ended(), "".join(lines) + out, err
