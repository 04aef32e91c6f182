"""The server process from outside: started, pinned, its CPU time and memory read, and ended.

On Linux /proc gives CPU time in nanoseconds; elsewhere ps gives it in hundredths of a second, and nothing is pinned.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from .peers import NODE, node_command

__all__ = ["Meter", "ServerProcess", "allow_files", "allowed_files", "pin_generator", "serve_until_told"]

ROOT = Path(__file__).resolve().parent.parent
LINUX = sys.platform == "linux"
# asyncio reads into fresh blocks of 256 KiB. Whether glibc keeps such a block or maps and unmaps it for every read is
# chance, differs between processes, and is dearer than a whole echo of bare aiohttp: servers are told to keep it.
KEEP_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "16777216"}
# How long a server may take to start or to end, in seconds, on a machine that is busy: after that it is broken.
PATIENCE = 90.0


def _cores() -> tuple[int, int] | None:
    """A core for the generator and one for the server, or None where there are no two to choose from."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[-1]) if len(cores) > 1 else None


def pin_generator() -> int | None:
    """Pins this process to one core; returns the core that is left to servers, or None if nothing was pinned."""
    cores = _cores()
    if cores is None:
        return None
    os.sched_setaffinity(0, {cores[0]})
    return cores[1]


def allowed_files(count: int) -> int:
    """Lets this process, and servers it starts, have `count` files open, or as many as the system allows: how many."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY:
            count = min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return count


def allow_files(count: int) -> None:
    """Makes sure that this process, and servers it starts, may have `count` files open. Raises OSError."""
    if (allowed := allowed_files(count)) < count:
        raise OSError(f"{count} open files are needed and {allowed} are allowed: raise `ulimit -Hn` or use --sessions")


async def serve_until_told(app: web.Application, ready: Callable[[], bool] = lambda: True) -> None:
    """Serves on a free port; says which as soon as it is ready, and ends when standard input does."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    while not ready():  # noqa: ASYNC110 # there is no event for that
        await asyncio.sleep(0.02)
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


class ServerProcess:
    """A running server of a benchmark."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(cls, contender: str, loop: str, *, core: int | None = None) -> ServerProcess:
        """Starts a server, pinned to `core` if that is given."""
        ours = (sys.executable, "-m", "benchmarks.server", contender, loop)
        return await cls._start(contender, node_command(contender) if contender in NODE else ours, core)

    @classmethod
    @asynccontextmanager
    async def worker(cls, module: str, *words: str, core: int | None) -> AsyncIterator[ServerProcess]:
        """The server that a module is with `--worker` and these words, while the block runs."""
        one = await cls._start(module, (sys.executable, "-m", module, "--worker", *words), core)
        try:
            yield one
        finally:
            await one.stop()

    @classmethod
    async def _start(cls, name: str, command: Sequence[str], core: int | None) -> ServerProcess:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,  # where this tree's realtime is found
            env={**KEEP_BLOCKS, **os.environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        if not line:
            raise OSError(f"the {name} server did not start; what it said is above")
        return cls(process, int(line))

    async def stop(self) -> None:
        """Ends the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def cpu_seconds(self) -> float:
        """The CPU time, user's and system's, of all its threads so far."""
        pid = self._process.pid
        if not LINUX:
            return _clock_seconds(_ps(pid, "time"))
        ran = _schedstat(pid, 0)
        if ran is not None:
            return ran
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def disturbance(self) -> float:
        """For how long this server and this process together have had work and no core; 0 where nobody says."""
        return (_schedstat(self._process.pid, 1) or 0.0) + (_schedstat(os.getpid(), 1) or 0.0)

    def memory(self) -> int:
        """The resident set, in bytes."""
        pid = self._process.pid
        if not LINUX:
            return int(_ps(pid, "rss")) * 1024
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0


def _schedstat(pid: int, field: int) -> float | None:
    """Seconds that a process's threads ran (0), or were ready and waited for a core (1); None where nobody says."""
    try:
        tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(task.read_bytes().split()[field]) for task in tasks) / 1e9
    except OSError:  # not Linux, or a kernel without CONFIG_SCHED_INFO
        return None


def _ps(pid: int, field: str) -> str:
    return subprocess.run(["ps", "-o", f"{field}=", "-p", str(pid)], capture_output=True, check=True).stdout.decode()


def _clock_seconds(text: str) -> float:
    """What ps calls time: [[hours:]minutes:]seconds."""
    seconds = 0.0
    for part in text.strip().split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


class Meter:
    """Adds up what the server spends inside `async with meter:`, which begins and ends while nothing is under way."""

    # A server that rests spends less than this part of the time; one that does not, within so many seconds, never will.
    IDLE = 0.05
    PATIENCE = 5.0

    def __init__(self, server: ServerProcess, settle: float) -> None:
        self._server = server
        self._settle = settle  # seconds between two looks at whether the server rests
        self._cpu = self._wall = self._disturbance = 0.0
        self.cpu_seconds = 0.0
        self.wall_seconds = 0.0
        self.disturbance = 0.0  # seconds that other processes took

    async def rest(self) -> tuple[float, float]:
        """Waits until the server has finished what no answer tells of; its CPU time then, and since when it rests."""
        until = time.perf_counter() + self.PATIENCE
        cpu = self._server.cpu_seconds()
        while True:
            since = time.perf_counter()
            await asyncio.sleep(self._settle)
            before, cpu = cpu, self._server.cpu_seconds()
            if cpu - before <= self.IDLE * self._settle or since > until:
                return cpu, since

    async def __aenter__(self) -> None:
        self._cpu, _ = await self.rest()
        self._disturbance = self._server.disturbance()
        self._wall = time.perf_counter()

    async def __aexit__(self, *_: object) -> None:
        cpu, since = await self.rest()
        self.cpu_seconds += cpu - self._cpu
        self.wall_seconds += since - self._wall
        self.disturbance += self._server.disturbance() - self._disturbance
