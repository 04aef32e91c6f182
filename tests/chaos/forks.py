"""A Python that has imported the worker, and forks: what each of its lives would import is imported once.

It is told on its standard input what to start, a line of JSON for each, and says the process's number. It waits for
none of them, so a number is nobody else's as long as it runs.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Fork", "Forks"]


class Fork:
    """A process that was forked, with what the fleet needs of subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)
        self._ended = False

    def __del__(self) -> None:
        os.close(self._descriptor)

    def _look(self, timeout: int | None) -> bool:
        """Whether it has ended within so many milliseconds."""
        looking = select.poll()
        looking.register(self._descriptor, select.POLLIN)
        self._ended = self._ended or bool(looking.poll(timeout))
        return self._ended

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return not self._look(0)

    def wait(self) -> None:
        """Until it has ended."""
        self._look(None)

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)


class Forks:
    """The process that forks, from the first start until `close`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, arguments: Sequence[str], errors: Path) -> Fork:
        """`python -m tests.chaos.worker` with these arguments; what it writes is behind what is in `errors`."""
        if self._process is None:
            command = [sys.executable, "-c", "from tests.chaos.forks import serve; serve()"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(errors), *arguments]).encode() + b"\n")
        self._process.stdin.flush()
        return Fork(int(self._process.stdout.readline()))

    def close(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def serve() -> None:
    """Forks what it is told to, until nobody can tell it any more."""
    from .worker import main

    gc.collect()
    gc.freeze()
    while line := sys.stdin.readline():
        pid = os.fork()
        if not pid:
            break
        os.write(1, b"%d\n" % pid)
    else:
        return
    errors, *sys.argv[1:] = json.loads(line)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (1, 2):
        os.dup2(os.open(errors, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), stream)
    main()
