"""What rooms over Redis cost: CPU time of workers and of Redis per message, and memory per room, member and message.

    python -m benchmarks.rooms                  # everything: two or three minutes
    python -m benchmarks.rooms --scale 0.1      # does it work? not to quote

It starts a Redis of its own, and workers as processes. Members are counters: what a *session* costs for each delivery
is measured elsewhere (python -m benchmarks). CPU time is the process's own (`process_time`, Redis' `used_cpu_*`), so
other programs make it dearer only as far as they spoil caches. Everything is waited for: a figure belongs to messages
that have all come.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import realtime
from realtime.core.frames import Outgoing, RoomItem

__all__ = ["MEASUREMENTS", "main", "measure"]

PATIENCE = 600.0  # seconds, for what can only fail
IN_FLIGHT = 64
TEXT = "x" * 64
# Of the rooms whose names begin so: what is kept.
KINDS = {"plain": {}, "kept": {"history": 100, "ttl": 3600.0}, "present": {"presence": True}}


# -- a worker, in its process ------------------------------------------------------------------------------------------


class Member:
    """One who is in rooms, and counts."""

    names = itertools.count()

    def __init__(self, worker: Worker) -> None:
        self.id = f"member-{next(self.names):016}"
        self._worker = worker

    def _offer(self, item: Outgoing) -> None:
        self._worker.delivered += 1

    def _offer_group(self, group: Outgoing) -> None:
        self._worker.delivered += 1

    def _offer_room(self, item: RoomItem) -> None:
        self._worker.delivered += 1

    async def _give_room(self, item: RoomItem) -> None:
        self._worker.delivered += 1

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        self._worker.lost += missing is not None

    def _miss(self, count: int) -> None:
        self._worker.lost += 1

    def _left(self, room: str) -> None: ...

    def _check_member(self) -> None: ...


class Worker:
    """The rooms of a server. Lines of JSON say what to do; each is answered with what the process has used by then."""

    def __init__(self, url: str) -> None:
        self.delivered = self.lost = 0
        server = realtime.Server(broker=url, broker_timeout=50.0)  # more is not allowed
        for kind, settings in KINDS.items():
            server.configure_rooms(f"{kind}/*", **settings)  # type: ignore[arg-type] # they are such
        self._server, self._service = server, server._service
        self._members: list[tuple[Member, str]] = []

    async def run(self) -> None:
        """Does what it is told, until there is no more."""
        await self._service.start_rooms()
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            request = json.loads(line)
            await getattr(self, "_" + request.pop("do"))(**request)
            used = {"cpu": time.process_time(), "rss": _resident(), "delivered": self.delivered, "lost": self.lost}
            sys.stdout.write(json.dumps(used) + "\n")
            sys.stdout.flush()
        await self._service.stop_rooms()

    async def _join(self, kind: str, rooms: int, members: int) -> None:
        await _each(range(rooms * members), lambda number: self._enter(f"{kind}/{number % rooms}"))

    async def _enter(self, room: str) -> None:
        hub, member = self._service.sessions.hub, Member(self)
        assert hub.keep is not None
        keep = hub.keep(room)
        assert keep is not None
        await hub.rooms.join(member, room, keep, info="{}", last=0, after=None)
        self._members.append((member, room))

    async def _leave(self) -> None:
        for member, room in self._members:
            self._service.sessions.hub.leave(member, room)
        self._members.clear()
        await asyncio.sleep(0.5)

    async def _publish(self, kind: str, rooms: int, count: int, in_flight: int) -> None:
        async def send(number: int) -> None:
            await self._server.room(f"{kind}/{number % rooms}").send(TEXT)

        await _each(range(count), send, in_flight)

    async def _hear(self, count: int) -> None:
        while self.delivered < count:  # noqa: ASYNC110 # an event would cost in each delivery
            await asyncio.sleep(0.02)

    async def _rest(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _tidy(self) -> None:
        gc.collect()


async def _each(numbers: range, do: Any, in_flight: int = IN_FLIGHT) -> None:
    """Does it for each of these, so many at once."""
    rest = iter(numbers)

    async def some() -> None:
        for number in rest:
            await do(number)

    await asyncio.gather(*(some() for _ in range(in_flight)))


def _resident() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text()) if sys.platform == "linux" else None
    return int(found[1]) * 1024 if found else 0


# -- what measures -----------------------------------------------------------------------------------------------------


class Used(NamedTuple):
    """What a process has used by now."""

    cpu: float
    rss: int
    delivered: int
    lost: int


class Process:
    """A worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str) -> Process:
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.rooms", "--worker", url,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
        )  # fmt: skip

    async def ask(self, do: str, **more: object) -> Used:
        """What it has used when that is done. Raises RuntimeError where something was lost."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a worker has ended: what it said is above")
        used = Used(**json.loads(line))
        if used.lost:
            raise RuntimeError("a gap was told: no figures")
        return used

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


class Redis:
    """The Redis of this run."""

    def __init__(self, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}"
        self._port = port

    async def info(self) -> dict[str, float]:
        """Its figures."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"INFO\r\n")
        head = await reader.readline()
        text = (await reader.readexactly(int(head[1:]))).decode()
        writer.close()
        return {name: float(value) for name, value in re.findall(r"^(\w+):(\d+(?:\.\d+)?)\r?$", text, re.MULTILINE)}

    async def cpu(self) -> float:
        """CPU seconds so far."""
        info = await self.info()
        return info["used_cpu_user"] + info["used_cpu_sys"]


@asynccontextmanager
async def redis() -> AsyncIterator[Redis]:
    """One that keeps nothing on disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as place:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", place]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
        try:
            async with asyncio.timeout(20):
                while True:
                    with suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.close()
                        break
                    await asyncio.sleep(0.05)
            yield Redis(port)
        finally:
            process.kill()
            await process.wait()


Row = tuple[str, str, str, str]
MEASUREMENTS = ("publishing", "receiving", "delivering", "processes", "memory", "many_rooms")


class Measurement:
    """Everything, one after the other."""

    def __init__(self, redis: Redis, scale: float) -> None:
        self._redis = redis
        self._scale = scale
        self.rows: list[Row] = []

    def _count(self, number: int) -> int:
        return max(100, int(number * self._scale))

    def _row(self, what: str, per: str, worker: str, store: str) -> None:
        self.rows.append((what, per, worker, store))
        sys.stderr.write(f"{what}: {worker}; Redis {store}\n")

    async def run(self, names: Sequence[str]) -> None:
        """Measures these, or everything."""
        for name in names or MEASUREMENTS:
            await getattr(self, name)()

    @asynccontextmanager
    async def _workers(self, count: int) -> AsyncIterator[list[Process]]:
        workers = [await Process.start(self._redis.url) for _ in range(count)]
        try:
            for worker in workers:
                await worker.ask("publish", kind="plain", rooms=50, count=500, in_flight=50)  # connected, and warm
            yield workers
        finally:
            for worker in workers:
                await worker.stop()

    async def publishing(self) -> None:
        """To rooms that this worker does not follow."""
        count = self._count(20_000)
        async with self._workers(1) as (worker,):
            for kind, in_flight in (("plain", 1), ("plain", IN_FLIGHT), ("kept", IN_FLIGHT)):
                before, store = await worker.ask("rest", seconds=0), await self._redis.cpu()
                after = await worker.ask("publish", kind=kind, rooms=10, count=count, in_flight=in_flight)
                spent = await self._redis.cpu() - store
                kept = ", with history" if kind == "kept" else ""
                self._row(
                    f"publishing{kept}, {in_flight} at a time", "message", _us((after.cpu - before.cpu) / count),
                    _us(spent / count),
                )  # fmt: skip

    async def receiving(self) -> None:
        """By another worker than the one that publishes."""
        count = self._count(20_000)
        async with self._workers(2) as (speaker, listener):
            for kind in ("plain", "kept"):
                await listener.ask("join", kind=kind, rooms=10, members=1)
                before = await listener.ask("rest", seconds=0)
                sent = (await self._redis.info())["total_net_output_bytes"]
                await speaker.ask("publish", kind=kind, rooms=10, count=count, in_flight=IN_FLIGHT)
                after = await listener.ask("hear", count=before.delivered + count)
                sent = (await self._redis.info())["total_net_output_bytes"] - sent
                await listener.ask("leave")
                kept = ", with history" if kind == "kept" else ""
                self._row(
                    f"receiving{kept}, and one delivery", "message and worker", _us((after.cpu - before.cpu) / count),
                    f"{sent / count:.0f} bytes out",
                )  # fmt: skip

    async def delivering(self) -> None:
        """To many members at one worker; what a session does with it comes to that."""
        count, members = self._count(1000), 1000
        async with self._workers(2) as (speaker, listener):
            for kind in ("plain", "kept"):
                await listener.ask("join", kind=kind, rooms=1, members=members)
                before = await listener.ask("rest", seconds=0)
                await speaker.ask("publish", kind=kind, rooms=1, count=count, in_flight=IN_FLIGHT)
                after = await listener.ask("hear", count=before.delivered + count * members)
                await listener.ask("leave")
                kept = ", with history" if kind == "kept" else ""
                each = (after.cpu - before.cpu) / count / members
                self._row(f"delivering{kept}, {members:,} members in the room", "delivery", _us(each), "–")

    async def processes(self) -> None:
        """All follow the same rooms; each sends its share of the messages."""
        for number in (1, 2, 4):
            count = self._count(8000)
            async with self._workers(number) as workers:
                for worker in workers:
                    await worker.ask("join", kind="plain", rooms=100, members=1)
                before = [await worker.ask("rest", seconds=0) for worker in workers]
                store = await self._redis.cpu()
                share = count // number
                await asyncio.gather(
                    *(worker.ask("publish", kind="plain", rooms=100, count=share, in_flight=16) for worker in workers)
                )
                heard = [
                    await worker.ask("hear", count=one.delivered + share * number)
                    for worker, one in zip(workers, before, strict=True)
                ]
                spent = await self._redis.cpu() - store
            total = share * number
            cpu = sum(after.cpu - one.cpu for after, one in zip(heard, before, strict=True))
            self._row(
                f"{number} processes that all send and hear", "message, all workers together",
                f"{_us(cpu / total)}, {_us(cpu / total / number)} each", _us(spent / total),
            )  # fmt: skip

    async def memory(self) -> None:
        """Of what is kept, here and in Redis."""
        rooms, entries, messages = self._count(10_000), self._count(10_000), self._count(20_000)
        async with self._workers(1) as (worker,):
            for what, kind, some, members, per in (
                ("a room that is followed, with its one member", "plain", rooms, 1, rooms),
                ("further members of a room", "plain-more", 1, entries, entries),
                ("presence: members of 100 rooms", "present", 100, entries // 100, entries // 100 * 100),
            ):
                before, store = await worker.ask("tidy"), (await self._redis.info())["used_memory"]
                await worker.ask("join", kind=kind.partition("-")[0], rooms=some, members=members)
                after = await worker.ask("tidy")
                spent = (await self._redis.info())["used_memory"] - store
                self._row(
                    what, "room" if some == rooms else "member", _bytes((after.rss - before.rss) / per),
                    _bytes(spent / per),
                )  # fmt: skip
            await worker.ask("leave")
            store = (await self._redis.info())["used_memory"]
            await worker.ask("publish", kind="kept", rooms=messages // 100, count=messages, in_flight=IN_FLIGHT)
            spent = (await self._redis.info())["used_memory"] - store
            self._row(
                "history of 100 messages of 64 bytes, in the minute behind", "message", "–", _bytes(spent / messages)
            )

    async def many_rooms(self) -> None:
        """10,000 rooms at one worker: joining, and then doing nothing."""
        rooms, seconds = self._count(10_000), 15.0
        async with self._workers(1) as (worker,):
            before, store = await worker.ask("rest", seconds=0), await self._redis.cpu()
            after = await worker.ask("join", kind="plain", rooms=rooms, members=1)
            spent = await self._redis.cpu() - store
            self._row("joining the first of a room", "room", _us((after.cpu - before.cpu) / rooms), _us(spent / rooms))
            before, store = await worker.ask("rest", seconds=2), await self._redis.cpu()
            after = await worker.ask("rest", seconds=seconds)
            spent = await self._redis.cpu() - store
            self._row(
                f"{rooms:,} rooms in which nothing happens", "second",
                f"{(after.cpu - before.cpu) / seconds * 1000:.0f} ms", f"{spent / seconds * 1000:.0f} ms",
            )  # fmt: skip


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def _bytes(number: float) -> str:
    return f"{number:,.0f} bytes"


async def measure(names: Sequence[str], scale: float) -> list[Row]:
    """The rows of the table."""
    async with redis() as store:
        measurement = Measurement(store, scale)
        await measurement.run(names)
        return measurement.rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rooms", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="measurement", help=f"of {', '.join(MEASUREMENTS)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1: fewer of everything (1.0)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(Worker(arguments.worker).run())
        return
    if unknown := set(arguments.names) - set(MEASUREMENTS):
        parser.error(f"there is no measurement {', '.join(unknown)}")
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is not installed")
    rows = asyncio.run(measure(arguments.names, arguments.scale))
    print("| what | per | worker | Redis |\n|---|---|---:|---:|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
