"""Worker processes that are killed under load, and a Redis that fails: clients go on at another worker, each room where
they were.

    python -m tests.brokers.killings [--times 1000] [--processes 3] [--clients 60] [--faults kill]
    python -m tests.brokers.killings --processes 4 --times 400 --faults kill,restart,kill,pause,kill,wipe

A worker is a process of its own, ended by SIGKILL (which it cannot see coming) and started again. Every worker sends
to the rooms, and so does a process that serves nothing, one message in ten not to some client. Clients note each
message with its position. Counted are offsets that a client was neither told of nor skipped for, what came twice,
other messages at one position, and gaps (none may be told before the store is wiped). It exits with 1 if there was
one of these.

Faults take turns: `kill` a worker, `restart` Redis (it keeps all), `pause` it for 5 s and until all workers have
noticed, `wipe` it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

import realtime
from realtime import BrokerError
from realtime.brokers.redis import RedisBroker
from realtime.core.rooms import Position

from .reopenings import ROOMS, Switch, Worker, working
from .servers import Server

__all__ = ["PERSISTENT", "play"]

PERSISTENT = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
TIMEOUT = 50.0  # seconds that publishes wait: longer than any of the faults


# -- a worker, in its process ------------------------------------------------------------------------------------------


async def serve(url: str, beat: float, pause: float) -> None:
    """A worker that says its port, and sends to all rooms until it is killed."""
    worker = Worker(RedisBroker(url, beat=beat), ROOMS, says_id=True, broker_timeout=TIMEOUT)
    async with working(worker):
        sys.stdout.write(f"{worker.port}\n")
        sys.stdout.flush()
        for number in itertools.count():
            await asyncio.sleep(pause)
            with suppress(BrokerError):
                await worker.rt.room(ROOMS[number % len(ROOMS)]).send(f"{worker.port}.{number}")


class Process:
    """A worker process, seen from here."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(cls, url: str, beat: float, pause: float) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.brokers.killings", "--serve", url, "--beat", str(beat), "--pause", str(pause),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        return cls(process, int(await process.stdout.readline()))

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.communicate()

    async def ready(self, http: aiohttp.ClientSession) -> bool:
        """What it tells a load balancer."""
        async with http.get(f"http://127.0.0.1:{self.port}/ready") as response:
            return response.status == 200


# -- a client ----------------------------------------------------------------------------------------------------------


class Heard(NamedTuple):
    """A message, and the position behind it."""

    position: Position
    text: str


class Client:
    """One, behind a switch of its own, that takes note of what it hears."""

    def __init__(self, name: str, transport: str) -> None:
        self.name = name
        self.id = ""
        self.at: Process | None = None
        self.opened = 0
        self.heard: dict[str, list[Heard | None]] = {room: [] for room in ROOMS}  # None: a gap was told
        self.texts: dict[str, set[str]] = {room: set() for room in ROOMS}
        self.skipped: dict[str, set[tuple[int, int]]] = {room: set() for room in ROOMS}
        self._transport = transport
        self._news = asyncio.Event()

    async def listen(self, switch: Switch) -> None:
        """Hears, in one session after the other."""
        url = f"{switch.url}/rooms?name={self.name}"
        sessions = aiter(realtime.connect(url, transports=self._transport, backoff=(0.001, 0.05)))
        async with aclosing(sessions):
            async for session in sessions:

                def changed(event: str, session: realtime.ClientSession = session) -> None:
                    if event == "gap" and session.gap is not None:
                        self.heard[session.gap.room].append(None)

                session.on_change(changed)
                async for message in session:
                    room, cursor = session.last
                    if room is None or cursor is None:
                        self.opened += 1
                        self.id = str(message).partition(" ")[2]
                    else:
                        self.heard[room].append(Heard(Position.parse(cursor), str(message)))
                        self.texts[room].add(str(message))
                    self._news.set()

    async def until(self, opened: int = 0, texts: Sequence[tuple[str, str]] = ()) -> None:
        """Waits until it has opened so many sessions, and heard these."""
        while self.opened < opened or any(text not in self.texts[room] for room, text in texts):
            self._news.clear()
            await self._news.wait()

    def judge(self, counts: dict[str, int], at: dict[tuple[str, int, int], str]) -> None:
        """Counts what is wrong with what it has heard. `at` is what stands where, by all clients."""
        for room, heard in self.heard.items():
            texts = [one.text for one in heard if one is not None]
            counts["heard"] += len(texts)
            counts["repeated"] += len(texts) - len(set(texts))
            before: Position | None = None
            for one in heard:
                if one is None:
                    counts["gaps"] += 1
                    before = None
                    continue
                epoch, offset, _ = one.position
                if before is not None:
                    missing = {(epoch, number) for number in range(before.offset + 1, offset)}
                    counts["lost"] += len(missing - self.skipped[room])
                    counts["out of order"] += epoch != before.epoch or offset <= before.offset
                counts["out of order"] += at.setdefault((room, epoch, offset), one.text) != one.text
                before = one.position


# -- all together ------------------------------------------------------------------------------------------------------


class Play:
    """Processes, clients, and what befalls them."""

    def __init__(
        self,
        server: Server,
        *,
        processes: int,
        clients: int,
        transport: str,
        beat: float,
        pause: float,
        still: float,
        seed: int,
    ) -> None:
        self.redis = server
        self.counts = dict.fromkeys(("reopened", "killed", "published", "heard", "gaps", "lost", "repeated"), 0)
        self.counts |= {"out of order": 0, "gaps without a reason": 0}
        self.slowest = 0.0  # seconds until everybody heard again what was sent when Redis was back
        self._beat, self._pause, self._still = beat, pause, still
        self._random = random.Random(seed)
        self._count = processes
        self._processes: list[Process] = []
        self._crowd = [Client(f"c{number}", transport) for number in range(clients)]
        self._switches: dict[Client, Switch] = {}
        self._publishers = {room: realtime.Publisher(server.url, broker_timeout=TIMEOUT) for room in ROOMS}
        self._wiped = False
        self._faults: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": self._kill,
            "pause": self._stand_still,
            "restart": self._restart,
            "wipe": self._wipe,
        }

    async def run(self, faults: Sequence[str], times: int) -> dict[str, int]:
        """Plays these faults in turn, until clients have reopened so many times, and each fault has come."""
        async with AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(aiohttp.ClientSession())
            stack.push_async_callback(self._end)
            self._processes = list(
                await asyncio.gather(
                    *(Process.start(self.redis.url, self._beat, self._pause) for _ in range(self._count))
                )
            )
            for publisher in self._publishers.values():
                publisher.configure_rooms("kept/*", history=100_000, ttl=600)
                await stack.enter_async_context(publisher)
            for number, client in enumerate(self._crowd):
                client.at = self._processes[number % self._count]
                switch = await stack.enter_async_context(Switch(client.at.port))
                self._switches[client] = switch
                self._task(stack, client.listen(switch))
            for client in self._crowd:
                await client.until(opened=1)
            for room in ROOMS:
                self._task(stack, self._publish(room))
            for number in itertools.count():
                if self.counts["reopened"] >= times and number >= len(faults):
                    break
                await self._faults[faults[number % len(faults)]]()
            await self._all_hear("end")
        at: dict[tuple[str, int, int], str] = {}
        for client in self._crowd:
            client.judge(self.counts, at)
        return self.counts

    @staticmethod
    def _task(stack: AsyncExitStack, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        stack.push_async_callback(end)

    async def _end(self) -> None:
        for process in self._processes:
            await process.kill()

    async def _publish(self, room: str) -> None:
        for number in itertools.count():
            skipped = self._random.choice(self._crowd) if number % 10 == 9 else None
            with suppress(BrokerError):
                cursor = await self._publishers[room].send(room, f"p.{number}", skip=skipped.id if skipped else ())
                self.counts["published"] += 1
                if skipped is not None:
                    skipped.skipped[room].add(Position.parse(cursor)[:2])
            await asyncio.sleep(self._pause)

    async def _all_hear(self, what: str) -> None:
        """Until everybody has heard a message of each room that is sent now."""
        texts = [(room, f"{what} {len(self._crowd[0].heard[room])} {self._random.random()}") for room in ROOMS]
        for room, text in texts:
            await self._publishers[room].send(room, text)
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*(client.until(texts=texts) for client in self._crowd))

    # faults

    async def _kill(self) -> None:
        """A worker is killed; its clients go to any of the others; another takes its place."""
        victim = self._random.choice(self._processes)
        await victim.kill()
        self._processes.remove(victim)
        moving = [client for client in self._crowd if client.at is victim]
        opened = {client: client.opened for client in moving}
        for client in moving:
            client.at = self._random.choice(self._processes)
            self._switches[client].turn(client.at.port)
        self._processes.append(await Process.start(self.redis.url, self._beat, self._pause))
        for client in moving:
            await client.until(opened=opened[client] + 1)
        # So that there is somebody for the next one.
        for client in self._random.sample(self._crowd, len(self._crowd) // self._count):
            before = client.opened
            client.at = self._processes[-1]
            self._switches[client].turn(client.at.port)
            await client.until(opened=before + 1)
            self.counts["reopened"] += 1
        self.counts["reopened"] += len(moving)
        self.counts["killed"] += 1

    async def _all_ready(self, ready: bool) -> None:
        while True:
            said = await asyncio.gather(*(process.ready(self._http) for process in self._processes))
            if all(one is ready for one in said):
                return
            await asyncio.sleep(0.02)

    async def _back(self, what: str) -> None:
        since = time.monotonic()
        await self._all_hear(what)
        self.slowest = max(self.slowest, time.monotonic() - since)
        await self._all_ready(True)

    async def _stand_still(self) -> None:
        """Redis is paused, until all workers have noticed."""
        self.redis.pause()
        await asyncio.sleep(self._still)
        await self._all_ready(False)
        self.redis.resume()
        await self._back("behind the pause")

    async def _restart(self) -> None:
        """It keeps what was acknowledged."""
        self.redis.kill()
        await self._all_ready(False)
        await asyncio.to_thread(self.redis.start)
        await self._back("behind the restart")

    async def _wipe(self) -> None:
        """It starts again, and has lost everything: everybody is told, in each room."""
        told = {(client, room): client.heard[room].count(None) for client in self._crowd for room in ROOMS}
        if not self._wiped:
            self._wiped = True
            self.counts["gaps without a reason"] = sum(told.values())
        self.redis.kill()
        await self._all_ready(False)
        shutil.rmtree(self.redis.directory / "appendonlydir")
        await asyncio.to_thread(self.redis.start)
        await self._back("behind the wipe")
        for (each, room), count in told.items():
            assert each.heard[room].count(None) > count, f"{each.name} was not told that {room} has lost something"


async def play(
    server: Server,
    faults: Sequence[str],
    *,
    processes: int,
    clients: int,
    times: int = 0,
    transport: str = "websocket",
    beat: float = 1.0,
    pause: float = 0.05,
    still: float = 0.0,
    seed: int = 0,
) -> tuple[dict[str, int], float]:
    """What was counted, and the slowest return in seconds."""
    play = Play(
        server,
        processes=processes,
        clients=clients,
        transport=transport,
        beat=beat,
        pause=pause,
        still=still,
        seed=seed,
    )
    counts = await play.run(faults, times)
    if "wipe" not in faults:
        counts["gaps without a reason"] = counts["gaps"]
    return counts, play.slowest


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.brokers.killings", description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--faults", default="kill")
    parser.add_argument("--transport", default="websocket")
    parser.add_argument("--beat", type=float, default=1.0)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two messages of one sender to a room")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.getLogger("realtime").setLevel(logging.ERROR)  # that sessions are another's is told once by each
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.beat, arguments.pause))
        return 0
    began, work = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as place:
        server = Server(Path(place), *PERSISTENT).start()
        try:
            counts, slowest = asyncio.run(
                play(
                    server,
                    arguments.faults.split(","),
                    processes=arguments.processes,
                    clients=arguments.clients,
                    times=arguments.times,
                    transport=arguments.transport,
                    beat=arguments.beat,
                    pause=arguments.pause,
                    still=5.0,
                )
            )
        finally:
            server.kill()
    for name, count in counts.items():
        print(f"{count:>9,} {name}")
    print(f"{slowest:>9.1f} s at most until everybody heard again, once Redis was back")
    print(f"{time.monotonic() - began:>9.1f} s, of which {time.process_time() - work:.1f} s of this process")
    wrong = ("lost", "repeated", "out of order", "gaps without a reason")
    return 1 if any(counts[name] for name in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
