"""Clients that do not read, beside many that do: nobody waits for them.

    python -m benchmarks.stalled --sessions 5000

Counts what those get who read, and says how long a message takes to all of them, with the others and without. Server
and clients are one process. Fails if a message is missing, or if somebody reads who should not.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import os
import socket
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from aiohttp import web

import realtime

from .process import allow_files
from .wire import client_frame, heard

__all__ = ["Counts", "count"]

# One of these is in each message, and nowhere else in what a server says.
MARK = b"#"
PATIENCE = 300.0  # seconds, for what can only fail
NONCES = (f"{number:022}" for number in itertools.count())


class Counts(NamedTuple):
    """What came of it."""

    delivered: int  # messages that those who read have got
    expected: int
    stalled: int  # who had taken nothing by the end of that, and were still members of the room
    spans: tuple[float, ...] = ()  # seconds from sending a message until all who read had it
    cpu: float = 0.0  # seconds of this process's in all of these


class Client:
    """A session over a WebSocket: of a small buffer if it is not going to read."""

    def __init__(self, *, reads: bool) -> None:
        self.got = 0
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if not reads:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def open(self, port: int) -> None:
        """Opens the session, and confirms it."""
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /realtime/room/v1/websocket HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await loop.sock_sendall(self._socket, head.encode())
        await heard(self._socket, b"\r\n\r\n")
        said = {"gen": 1, "window": [10_000, 1 << 30], "nonce": next(NONCES)}
        await loop.sock_sendall(self._socket, client_frame(("o" + json.dumps(said)).encode()))
        await heard(self._socket, b'"sid"')
        await loop.sock_sendall(self._socket, client_frame(b"a0,0"))

    def listen(self) -> None:
        """Counts from now on."""
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _read(self) -> None:
        self.got += self._socket.recv(65_536).count(MARK)

    def close(self) -> None:
        """Goes."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


def _have(clients: list[Client], number: int) -> bool:
    return all(client.got == number for client in clients)


async def _until(condition: Callable[[], bool]) -> None:
    for _ in itertools.count():
        if condition():
            return
        await asyncio.sleep(0.001)


async def count(sessions: int, stalled: int, messages: int) -> Counts:
    """So many messages to a room with so many who read, and so many who don't."""
    rt = realtime.Server(on_full="drop_oldest", ping_interval=None)
    room = rt.room("room")

    @rt.endpoint("/room")
    async def member(session: realtime.Session) -> None:
        await session.join("room")
        async for _ in session:
            pass

    app = web.Application()
    realtime.setup(app, rt)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    port = runner.addresses[0][1]
    deaf = [Client(reads=False) for _ in range(stalled)]
    readers = [Client(reads=True) for _ in range(sessions)]
    try:
        async with asyncio.timeout(PATIENCE):
            for client in deaf:
                await client.open(port)
            await _until(lambda: len(room) == stalled)
            links = [session._machine.carrier.link for session in rt.sessions if session._machine.carrier]
            while any(link.writable for link in links):
                await room.send("x" * 65_536)
                await asyncio.sleep(0)
            for client in readers:
                await client.open(port)
                client.listen()
            await _until(lambda: len(room) == stalled + sessions)
            spans = []
            started = time.process_time()
            for number in range(1, messages + 1):
                sent = time.perf_counter()
                await room.send(MARK.decode() + str(number))
                await _until(partial(_have, readers, number))
                spans.append(time.perf_counter() - sent)
            cpu = time.process_time() - started
        waiting = sum(not link.writable for link in links) if len(room) == stalled + sessions else 0
        return Counts(sum(client.got for client in readers), messages * sessions, waiting, tuple(spans), cpu)
    finally:
        for client in (*deaf, *readers):
            client.close()
        await runner.cleanup()


def main() -> None:
    """Counts, and says so."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stalled")
    parser.add_argument("--sessions", type=int, default=5000, help="who read (5000)")
    parser.add_argument("--stalled", type=int, default=50, help="who don't (50)")
    parser.add_argument("--messages", type=int, default=20, help="to all of them (20)")
    arguments = parser.parse_args()
    allow_files(2 * (arguments.sessions + arguments.stalled) + 200)
    for stalled in (0, arguments.stalled, 0, arguments.stalled):
        counts = asyncio.run(count(arguments.sessions, stalled, arguments.messages))
        cpu = counts.cpu / counts.expected * 1e6
        median, most = statistics.median(counts.spans) * 1e3, max(counts.spans) * 1e3
        print(
            f"{counts.delivered:,} of {counts.expected:,} messages were delivered to {arguments.sessions:,} sessions,"
            f" while {counts.stalled} of {stalled} beside them took nothing: {cpu:.1f} µs of CPU a delivery, its"
            f" client's included; all had a message within {median:.0f} ms (median), {most:.0f} ms at most",
            flush=True,
        )
        if counts.delivered != counts.expected or counts.stalled != stalled:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
