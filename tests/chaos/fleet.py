"""The machines: workers on ports of their own, a Redis, nginx and haproxy before them, which know of no stickiness."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ..brokers.servers import Server as Redis
from ..lab.boxes import HAPROXY, NGINX, running
from ..ports import port_for
from .forks import Fork, Forks
from .state import WHAT, State

__all__ = ["BALANCERS", "Fleet", "Process"]

BALANCERS = ("nginx", "haproxy")

NGINX_SERVER = """
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
    upstream workers {
@WORKERS@
    }
    server {
        listen 127.0.0.1:@PORT@;
        location / {
            proxy_pass http://workers;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_next_upstream error;
        }
    }
"""


def nginx(ports: list[int]) -> str:
    """Round robin, as it comes. A request that reached nobody is tried at the next; no other is."""
    servers = "\n".join(f"        server 127.0.0.1:{port} max_fails=0;" for port in ports)
    return NGINX.replace("@SERVER@", NGINX_SERVER.replace("@WORKERS@", servers))


def haproxy(ports: list[int]) -> str:
    """Round robin. Who is gone is found by connecting; who is not ready is sent requests all the same."""
    servers = "\n".join(
        f"    server w{number} 127.0.0.1:{port} check inter 500ms fall 1 rise 1" for number, port in enumerate(ports)
    )
    config = HAPROXY.replace("@DEFAULTS@", "    option http-no-delay\n    option redispatch\n    retries 2")
    config = config.replace("@FRONTEND@", "    option forwardfor")
    return config.replace("    server server 127.0.0.1:@UPSTREAM@", f"    balance roundrobin\n{servers}")


@dataclass
class Life:
    """One life of a worker: when it was told to end, when it had ended, and how."""

    told: float = math.inf
    over: float = math.inf
    how: str = ""  # killed or terminated, even if it was killed after that


class Process:
    """A worker's, in one life after the other."""

    def __init__(self, fleet: Fleet, row: int) -> None:
        self.row = row
        self.port = port_for()
        self.incarnation = 0
        self.lives: dict[str, Life] = {}  # by name
        self.stops: list[tuple[str, float]] = []  # which life stood still, and from when on
        self._fleet = fleet
        self._process: Fork | None = None

    @property
    def name(self) -> str:
        """As its sessions say it."""
        return f"{self.row}.{self.incarnation}"

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.alive

    def start(self) -> None:
        """A new life."""
        self.incarnation += 1
        command = ["--row", str(self.row), "--port", str(self.port)]
        command += ["--rows", str(len(self._fleet.workers)), "--incarnation", str(self.incarnation)]
        command += ["--place", str(self._fleet.place), "--broker", self._fleet.redis.url]
        command += ["--secret", self._fleet.secret, "--lease", str(self._fleet.lease)]
        command += ["--drain-rate", str(self._fleet.drain_rate)]
        self._process = self._fleet.forks.start(command, self._fleet.place / f"worker-{self.row}.err")
        self.lives[self.name] = Life()

    async def ready(self) -> None:
        """Waits until it listens; there is no event for that."""
        while self.alive:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"worker {self.row} ended as it started: see {self._fleet.place}")

    def middle(self) -> set[str]:
        """What it is in the middle of."""
        return {what for what in WHAT if self._fleet.state.get(self.row, what)}

    def kill(self) -> set[str]:
        """Stops it, looks what it is in the middle of, and kills it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        middle = self.middle()
        life = self.lives[self.name]
        # Before, not behind: its clients may know before we do, and say so by the same clock.
        life.told, life.how = min(life.told, time.monotonic()), life.how or "killed"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        life.over = time.monotonic()
        return middle

    def terminate(self) -> None:
        """As a deploy does."""
        assert self._process is not None
        life = self.lives[self.name]
        life.told, life.how = time.monotonic(), "terminated"
        self._process.send_signal(signal.SIGTERM)

    async def gone(self) -> None:
        """Waits for its end."""
        assert self._process is not None
        await asyncio.to_thread(self._process.wait)
        self.lives[self.name].over = time.monotonic()

    def pause(self) -> None:
        """It stands still."""
        assert self._process is not None
        self.stops.append((self.name, time.monotonic()))
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Whatever it is doing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


class Fleet:
    """All of it, in one directory."""

    def __init__(self, place: Path, workers: int, lease: float, drain_rate: float = 100.0) -> None:
        self.place = place
        self.drain_rate = drain_rate
        self.lease = lease
        self.secret = secrets.token_hex(24)
        self.forks = Forks()
        self.redis = Redis(place / "redis", "--save", "", "--appendonly", "yes", "--appendfsync", "always")
        self.state = State(place / "state", workers)
        self.workers: list[Process] = []
        self.workers += [Process(self, row) for row in range(workers)]
        self.urls: dict[str, str] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Fleet]:
        """Up, until the block ends."""
        self.redis.start()
        ports = [worker.port for worker in self.workers]
        try:
            for worker in self.workers:
                worker.start()
            for worker in self.workers:
                await worker.ready()
            async with contextlib.AsyncExitStack() as stack:
                for name, config in (("nginx", nginx(ports)), ("haproxy", haproxy(ports))):
                    (self.place / name).mkdir()
                    self.urls[name] = await stack.enter_async_context(running(name, config, self.place / name))
                yield self
        finally:
            for worker in self.workers:
                worker.end()
            self.forks.close()
            self.redis.resume()
            self.redis.kill()
            self.state.close()

    def fate(self, name: str) -> str:
        """How a life ended: "" while it goes on."""
        row = int(name.partition(".")[0])
        return self.workers[row].lives[name].how

    def harms(self) -> list[tuple[str, str, float]]:
        """What was done to workers: how, to which life, and when."""
        lives = [
            (life.how, name, life.told) for one in self.workers for name, life in one.lives.items() if life.how != ""
        ]
        stops = [("stopped", name, at) for one in self.workers for name, at in one.stops]
        return sorted(lives + stops, key=lambda harm: harm[2])

    def deaths(self, after: float, before: float) -> int:
        """How many lives were ending in that time, at any worker."""
        lives = [life for one in self.workers for life in one.lives.values()]
        return sum(life.told <= before and after <= life.over for life in lives)
