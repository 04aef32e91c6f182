"""What STOMP costs beside bare rooms: CPU microseconds of the server process for each message delivered, in one run.

    python -m benchmarks.stomp --sessions 500 --messages 100

Each message comes from one client and goes to all others; in queues to one, which is compared with a room of two. Bare
WebSockets in a room are what the others are compared with; all are sent the same text.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

import realtime

from .process import ROOT, Meter, ServerProcess, allow_files, pin_generator
from .wire import client_frame, handshake, heard

__all__ = ["SCENARIOS", "Scenario", "measure"]

# One of these is in each message, and nowhere else in what a server says.
MARK = "#"
BODY = MARK + "x" * 99
PATIENCE = 120.0  # seconds, for what can only fail
SETTLE = 0.05


class Scenario(NamedTuple):
    """Where clients go, what each says first (by its number), and what the sender says for each message."""

    path: str
    begin: Callable[[int], bytes]
    send: bytes
    beside: str = "bare room"  # what it is compared with
    listeners: int = 0  # how many there are, where it is not as many as was said


def frame(command: str, body: str = "", **headers: str) -> bytes:
    """A frame of STOMP 1.2."""
    lines = [command, *(f"{name.replace('_', '-')}:{value}" for name, value in headers.items())]
    return ("\n".join(lines) + "\n\n" + body + "\0").encode()


CONNECT = frame("CONNECT", accept_version="1.2")


def subscribing(destination: str, *, same: bool = True, ack: str = "auto") -> Callable[[int], bytes]:
    """What a subscriber says first."""

    def begin(number: int) -> bytes:
        return CONNECT + frame("SUBSCRIBE", id="0" if same else str(number), destination=destination, ack=ack)

    return begin


TOPIC = frame("SEND", BODY, destination="/topic/a")
QUEUE = frame("SEND", BODY, destination="/queue/a")
SCENARIOS = {
    "bare room": Scenario("/room", lambda _: b"", BODY.encode()),
    "topic": Scenario("/stomp", subscribing("/topic/a"), TOPIC),
    "topic, ids of their own": Scenario("/stomp", subscribing("/topic/a", same=False), TOPIC),
    "topic, to be acknowledged": Scenario("/stomp", subscribing("/topic/a", ack="client-individual"), TOPIC),
    "bare room of two": Scenario("/room", lambda _: b"", BODY.encode(), "bare room of two", 1),
    "queue": Scenario("/stomp", subscribing("/queue/a"), QUEUE, "bare room of two", 1),
    "queue, acknowledged": Scenario("/stomp", subscribing("/queue/a", ack="client"), QUEUE, "bare room of two", 1),
}


# -- the server, in its process --------------------------------------------------------------------------------------


async def serve() -> None:
    """Until its standard input ends; it says its port."""
    rt = realtime.Server(ping_interval=None)

    @rt.endpoint("/room")
    async def room(session: realtime.Session) -> None:
        await session.join("room")
        async for message in session:
            await rt.room("room").send(message)

    rt.endpoint("/stomp")(realtime.STOMP())
    app = web.Application()
    realtime.setup(app, rt, prefix="")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def started(core: int | None) -> ServerProcess:
    """The server, pinned to a core if there is one for it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.stomp", "--serve", cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    return ServerProcess(process, int(await process.stdout.readline()))


# -- clients -----------------------------------------------------------------------------------------------------------


class Client:
    """A WebSocket that counts what comes."""

    def __init__(self) -> None:
        self.got = 0
        self.acknowledges = False
        self._socket = socket.socket()
        self._socket.setblocking(False)

    async def open(self, port: int, path: str, first: bytes) -> None:
        """Opens it, and says this."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", port))
        await loop.sock_sendall(self._socket, handshake(path, port))
        await heard(self._socket, b"\r\n\r\n")
        if first:
            await self.say(first)
            await heard(self._socket, b"CONNECTED")
        loop.add_reader(self._socket, self._read)

    async def say(self, text: bytes) -> None:
        """Sends a text."""
        await asyncio.get_running_loop().sock_sendall(self._socket, client_frame(text))

    def _read(self) -> None:
        data = self._socket.recv(262_144)
        if not data:
            raise ConnectionError("the server ended a connection")
        self.got += data.count(MARK.encode())
        if self.acknowledges:
            for number in re.findall(rb"\nack:(\d+)\n", data):
                self._socket.send(client_frame(b"ACK\nid:" + number + b"\n\n\0"))

    def close(self) -> None:
        """Goes."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


async def measure(server: ServerProcess, scenario: Scenario, sessions: int, messages: int) -> float:
    """CPU microseconds of the server for each delivery of so many messages to so many listeners."""
    clients = [Client() for _ in range(sessions)]
    sender = Client()
    each = sessions + (not scenario.begin(0))  # in a bare room the sender is a member, too
    everybody = [*clients, sender]

    async def said(count: int) -> None:
        """All of so many have come; one is under way at a time."""
        for _ in range(count):
            until = sum(client.got for client in everybody) + each
            await sender.say(scenario.send)
            while sum(client.got for client in everybody) < until:  # noqa: ASYNC110 # what counts is the server's time
                await asyncio.sleep(0)

    meter = Meter(server, SETTLE)
    try:
        async with asyncio.timeout(PATIENCE):
            for number, client in enumerate(clients):
                client.acknowledges = b"ack:client\n" in scenario.begin(number)
                await client.open(server.port, scenario.path, scenario.begin(number))
            await sender.open(server.port, scenario.path, CONNECT if scenario.begin(0) else b"")
            await meter.rest()
            await said(max(1, messages // 10))
            async with meter:
                await said(messages)
        got = sum(client.got for client in everybody)
    finally:
        for client in everybody:
            client.close()
    if got != each * (messages + max(1, messages // 10)):
        raise SystemExit("a message is missing, or came twice")
    return meter.cpu_seconds / (sessions * messages) * 1e6


async def run(sessions: int, messages: int, rounds: int) -> None:
    """All scenarios in turn, so many times."""
    core = pin_generator()
    figures: dict[str, list[float]] = {name: [] for name in SCENARIOS}
    for _ in range(rounds):
        for name, scenario in SCENARIOS.items():
            server = await started(core)
            try:
                many = (scenario.listeners, messages * 20) if scenario.listeners else (sessions, messages)
                figures[name].append(await measure(server, scenario, *many))
            finally:
                await server.stop()
    for name, found in figures.items():
        beside = SCENARIOS[name].beside
        ratio = statistics.median(one / other for one, other in zip(found, figures[beside], strict=True))
        print(f"{name:28} {statistics.median(found):7.2f} µs a message, {ratio:5.2f} × a {beside}", flush=True)


def main() -> None:
    """Measures, and says it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stomp")
    parser.add_argument("--sessions", type=int, default=500, help="who listens (500)")
    parser.add_argument("--messages", type=int, default=100, help="to all of them (100)")
    parser.add_argument("--rounds", type=int, default=3, help="of all scenarios (3)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    allow_files(2 * arguments.sessions + 200)
    asyncio.run(run(arguments.sessions, arguments.messages, arguments.rounds))


if __name__ == "__main__":
    main()
