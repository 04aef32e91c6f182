"""A Python that has imported realtime, and forks: what every start of a program costs is paid once.

A fork is `python -m realtime`, or another module, in a process of its own, with its own standard streams, signals and
end. What it does not show is that the imports of a fresh Python succeed: `Program(fresh=True)` does.

This process is told on a socket what to start: the module, its arguments and what is new in its environment as JSON,
and with them four descriptors, the three standard streams and one on which its pid and its exit code are said.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import IO

__all__ = ["Fork", "Forks"]

Stream = IO[bytes] | None  # a file that the test has opened, or None for a pipe


class Fork:
    """A program that was forked, as asyncio.subprocess.Process is one: its streams, its end, its signals."""

    def __init__(self, pid: int, said: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._ending = asyncio.ensure_future(self._end(said))

    async def _end(self, said: asyncio.StreamReader) -> int:
        self.returncode = int(await said.readline())
        return self.returncode

    async def wait(self) -> int:
        """Its exit code."""
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended, which may not have been said yet."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it without a word."""
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process that forks, from the first start until `close`: a module is run, whose imports are there already."""

    def __init__(
        self, environment: dict[str, str], module: str = "realtime", imports: tuple[str, ...] = ("realtime.cli",)
    ) -> None:
        self._environment = environment
        self._module, self._imports = module, imports
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def _open(self) -> socket.socket:
        if self._channel is None:
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            what = f"{theirs.fileno()}, {self._imports!r}"
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", f"from tests.cli.forks import serve; serve({what})"],
                env=self._environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            theirs.close()
        return self._channel

    def close(self) -> None:
        """Ends it."""
        if self._channel is not None and self._process is not None:
            self._channel.close()
            self._process.wait()
            self._channel = self._process = None

    async def start(
        self,
        arguments: list[str],
        stdin: Stream,
        stdout: Stream,
        stderr: Stream = None,
        *,
        module: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Fork:
        """`python -m` the module, or another, with these arguments. What is None becomes a pipe."""
        loop = asyncio.get_running_loop()
        read_in, write_in = os.pipe() if stdin is None else (os.dup(stdin.fileno()), -1)
        read_out, write_out = os.pipe() if stdout is None else (-1, os.dup(stdout.fileno()))
        read_error, write_error = os.pipe() if stderr is None else (-1, os.dup(stderr.fileno()))
        ours, theirs = socket.socketpair()
        given = [read_in, write_out, write_error, theirs.detach()]
        told = json.dumps([module or self._module, arguments, dict(environment or {})]).encode()
        socket.send_fds(self._open(), [told], given)
        for descriptor in given:
            os.close(descriptor)
        said, self_said = await asyncio.open_connection(sock=ours)
        fork = Fork(int(await said.readline()), said)
        fork._ending.add_done_callback(lambda _: self_said.close())
        if stderr is None:
            fork.stderr = await _reader(loop, read_error)
        if stdout is None:
            fork.stdout = await _reader(loop, read_out)
        if stdin is None:
            transport, protocol = await loop.connect_write_pipe(
                asyncio.streams.FlowControlMixin, os.fdopen(write_in, "wb", 0)
            )
            fork.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        return fork


async def _reader(loop: asyncio.AbstractEventLoop, descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0))
    return reader


def serve(channel: int, imports: tuple[str, ...]) -> None:
    """Forks what it is told to, until nobody can tell it any more."""
    for name in imports:  # all that modules need
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is the tests' affair
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watchers
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=channel) as told:
        while True:
            data, descriptors, _, _ = socket.recv_fds(told, 65_536, 4)
            if not data:
                return
            if os.fork() == 0:
                break
            for descriptor in descriptors:
                os.close(descriptor)
    _watch(*descriptors)
    # In the program: its watcher has ended with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module, sys.argv[1:], environment = json.loads(data)
    os.environ.update(environment)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch(stdin: int, stdout: int, stderr: int, teller: int) -> None:
    """Forks again: the child returns, with these standard streams, and the parent tells of it, and of its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    for number, stream in enumerate((stdin, stdout, stderr)):
        if not pid:
            os.dup2(stream, number)
        os.close(stream)
    if not pid:
        os.close(teller)
        return
    try:
        os.write(teller, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(teller, b"%d\n" % os.waitstatus_to_exitcode(status))
    finally:
        os._exit(0)
