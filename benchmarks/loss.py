"""WebTransport beside WebSocket where packets are lost: `python -m benchmarks.loss [--write]`, as root on Linux.

Server and client are in network namespaces of their own, with a TUN device each; this process carries the packets from
one to the other, late by half a round trip each, and drops some by chance. So TCP is the kernel's; QUIC is aioquic's
at both ends. Prints the table of docs/choosing.md; with --write puts it there. Client and server are Python's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import datetime
import fcntl
import json
import os
import platform
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

from aiohttp import web

import realtime
from realtime.testing import make_certificate

__all__ = ["Network", "measure", "table"]

PAGE = Path(__file__).parents[1] / "docs" / "choosing.md"
CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
LOSSES = (0.0, 0.01, 0.05)  # of the packets, each way
ROUND_TRIP = 0.04  # seconds
TRANSPORTS = ("websocket", "webtransport")
SIZE, RATE = 64, 50  # of an echo, in bytes, and of them in a second
PIECE, PIECES = 16_384, 128  # of what comes down in one go: 2 MiB
SERVER, CLIENT, PORT = "10.211.0.1", "10.211.0.2", 8000
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
HEADS = ("loss", "transport", "open, ms", "echo, median", "95 %", "99 %", "2 MiB down, s", "CPU of an echo, µs")


# -- the network -----------------------------------------------------------------------------------------------------


class Network:
    """Carries packets between two devices. `loss` may be set meanwhile."""

    def __init__(self, one: int, other: int, random: Random) -> None:
        self.loss = 0.0
        self._random = random
        self._ways = ((one, other), (other, one))

    def start(self) -> None:
        """From now on."""
        loop = asyncio.get_running_loop()
        for source, target in self._ways:
            os.set_blocking(source, False)
            loop.add_reader(source, self._carry, source, target)

    def stop(self) -> None:
        """No more."""
        for source, _ in self._ways:
            asyncio.get_running_loop().remove_reader(source)

    def _carry(self, source: int, target: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(64):
            try:
                packet = os.read(source, 65_536)
            except BlockingIOError:
                return
            if self._random.random() >= self.loss:
                loop.call_later(ROUND_TRIP / 2, self._deliver, target, packet)

    def _deliver(self, target: int, packet: bytes) -> None:
        with contextlib.suppress(OSError):  # a queue that is full drops, as queues do
            os.write(target, packet)


def _enter(own: str, peer: str) -> int:
    """Puts this process into a namespace of its own with one device, which is returned. Raises OSError unless root."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace: this needs root, on Linux")
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH14x", b"lossy", IFF_TUN | IFF_NO_PI))
    for words in ("link set lo up", f"addr add {own} peer {peer} dev lossy", "link set lossy mtu 1400 up"):
        subprocess.run(["ip", *words.split()], check=True)
    return device


# -- the two ends ----------------------------------------------------------------------------------------------------


async def _serve(control: socket.socket) -> None:
    rt = realtime.Server(shutdown_timeout=0.5)

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @rt.endpoint("/down")
    async def down(session: realtime.Session) -> None:
        async for _ in session:
            for _ in range(PIECES):
                await session.send(bytes(PIECE))

    async def spent(request: web.Request) -> web.Response:
        return web.json_response(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        made = make_certificate(folder)
        app = web.Application()
        app.router.add_get("/spent", spent)
        options = realtime.WebTransport(port=PORT, certificate=made.certificate, key=made.key)
        realtime.setup(app, rt, webtransport=options)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, SERVER, PORT).start()
            control.send(b"up")
            await asyncio.get_running_loop().sock_recv(control, 16)
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def _session(transport: str, path: str) -> AsyncIterator[realtime.ClientSession]:
    url = f"http://{SERVER}:{PORT}/realtime{path}"
    async with await realtime.connect(url, transports=[transport], attach_timeout=20.0, open_timeout=60.0) as session:
        yield session


async def _spent() -> float:
    import aiohttp

    async with aiohttp.ClientSession() as http, http.get(f"http://{SERVER}:{PORT}/spent") as answer:
        return float(await answer.json())


async def measure(transport: str, *, seconds: float, opens: int, downs: int) -> dict[str, float]:
    """One row: medians and percentiles, in the units of HEADS."""
    openings, trips, falls = [], [], []
    for _ in range(opens):
        began = time.monotonic()
        async with _session(transport, "/echo") as session:
            await session.send("first")
            await session.receive()
            openings.append(time.monotonic() - began)
    async with _session(transport, "/echo") as session:
        count, sent = int(seconds * RATE), []
        before = await _spent()

        async def send() -> None:
            start = time.monotonic()
            for number in range(count):
                await asyncio.sleep(start + number / RATE - time.monotonic())
                sent.append(time.monotonic())
                await session.send(f"{number} ".ljust(SIZE, "x"))

        sending = asyncio.create_task(send())
        for number in range(count):
            assert str(await session.receive()).startswith(f"{number} ")
            trips.append(time.monotonic() - sent[number])
        await sending
        cpu = (await _spent() - before) / count
    async with _session(transport, "/down") as session:
        for _ in range(downs):
            began = time.monotonic()
            await session.send("go")
            for _ in range(PIECES):
                await session.receive()
            falls.append(time.monotonic() - began)
    parts = quantiles(trips, n=100)
    return {
        "open, ms": median(openings) * 1e3,
        "echo, median": parts[49] * 1e3,
        "95 %": parts[94] * 1e3,
        "99 %": parts[98] * 1e3,
        "2 MiB down, s": median(falls),
        "CPU of an echo, µs": cpu * 1e6,
    }


async def _ask(control: socket.socket) -> None:
    """The client's end: measures what it is told to, until it is told nothing."""
    loop = asyncio.get_running_loop()
    while order := await loop.sock_recv(control, 4096):
        await loop.sock_sendall(control, json.dumps(await measure(**json.loads(order))).encode())


def _be(role: str, fd: int) -> None:
    control = socket.socket(fileno=fd)
    own, peer = (SERVER, CLIENT) if role == "server" else (CLIENT, SERVER)
    socket.send_fds(control, [b"device"], [_enter(own, peer)])
    control.setblocking(False)
    asyncio.run(_serve(control) if role == "server" else _ask(control))


# -- the table -------------------------------------------------------------------------------------------------------


def _start(role: str) -> tuple[subprocess.Popen[bytes], socket.socket, int]:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "benchmarks.loss", "--be", role, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    theirs.close()
    _, devices, _, _ = socket.recv_fds(ours, 16, 1)
    if not devices:
        raise SystemExit(f"the {role} has no network of its own: this needs root, and /dev/net/tun, on Linux")
    ours.setblocking(False)
    return process, ours, devices[0]


async def run(**how: Any) -> list[tuple[float, str, dict[str, float]]]:
    """All rows, the transports in turn at each loss."""
    loop = asyncio.get_running_loop()
    server, at_server, one = _start("server")
    client, at_client, other = _start("client")
    network, rows = Network(one, other, Random(1)), []
    network.start()
    try:
        await loop.sock_recv(at_server, 16)
        for loss in LOSSES:
            for transport in TRANSPORTS:
                network.loss = loss
                await loop.sock_sendall(at_client, json.dumps({"transport": transport, **how}).encode())
                told = await loop.sock_recv(at_client, 4096)
                if not told:
                    raise SystemExit(f"{transport} at {loss:.0%} came to no end: the client says why above")
                row = json.loads(told)
                print(f"{loss:.0%} {transport}: {row}", file=sys.stderr)  # progress
                rows.append((loss, transport, row))
    finally:
        network.stop()
        for control, process in ((at_client, client), (at_server, server)):
            control.close()
            process.terminate()
            process.wait()
    return rows


def table(rows: list[tuple[float, str, dict[str, float]]], how: dict[str, Any], control: str) -> str:
    """In Markdown, with what was measured; `control` is TCP's congestion control."""
    today = datetime.datetime.now(datetime.UTC)
    python = ".".join(platform.python_version_tuple()[:2])
    lines = [
        f"Measured on {today:%Y-%m-%d}: a round trip of {ROUND_TRIP * 1e3:.0f} ms, packets lost by chance each way;",
        f"{how['opens']} openings to the first message back, {how['seconds']:g} s of {RATE} echoes a second of",
        f"{SIZE} bytes, in ms, and {how['downs']} times 2 MiB in messages of {PIECE} bytes; Python {python} at both",
        f"ends, TCP with the kernel's `{control}`, on a Linux machine with {os.cpu_count()} shared"
        f" {platform.machine()} cores.",
        "",
        f"| {' | '.join(HEADS)} |",
        f"|---:|---{'|---:' * (len(HEADS) - 2)}|",
    ]
    for loss, transport, row in rows:
        cells = [f"{row[head]:.2f}" if head.endswith(", s") else f"{row[head]:.0f}" for head in HEADS[2:]]
        lines.append(f"| {loss:.0%} | `{transport}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def put(page: str, found: str) -> str:
    """A page with this table in the place of the one before. Raises SystemExit where it has no place."""
    begin, end = "<!-- loss: python -m benchmarks.loss --write -->", "<!-- /loss -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise SystemExit(f"{PAGE} has not one place between {begin} and {end}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{found}\n{end}{rest.partition(end)[2]}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loss")
    parser.add_argument("--write", action="store_true", help="put the table into docs/choosing.md")
    parser.add_argument("--quick", action="store_true", help="does it work? not to quote")
    parser.add_argument("--be", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        _be(options.be[0], int(options.be[1]))
        return
    how = {"seconds": 1.0, "opens": 2, "downs": 1} if options.quick else {"seconds": 12.0, "opens": 7, "downs": 3}
    if not hasattr(socket, "AF_PACKET") or os.geteuid() != 0:
        parser.error("this needs root, on Linux: it makes a network of its own")
    rows = asyncio.run(run(**how))
    found = table(rows, how, CONTROL.read_text("ascii").strip())
    print(found)
    if options.write:
        PAGE.write_text(put(PAGE.read_text("utf-8"), found), "utf-8")


if __name__ == "__main__":
    main()
