"""A server that has forgotten a connection says so: a client whose server was killed comes again at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import realtime
from realtime.quic.connection import reset_token

from ..patience import arrives, eventually, within
from .place import OPEN, made, place

PROGRAM = """
import sys
from aiohttp import web
import realtime

rt = realtime.Server()

@rt.endpoint("/echo")
async def echo(session):
    async for message in session:
        await session.send(message)

async def listening(app):
    place = rt._service.networks.webtransport()
    print(place.port, flush=True)

app = web.Application()
realtime.setup(app, rt, webtransport=realtime.WebTransport(
    port=int(sys.argv[1]), host="127.0.0.1", certificate=sys.argv[2], key=sys.argv[3]))
app.on_startup.append(listening)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[4]), print=lambda line: print(line, flush=True), access_log=None)
"""
ROOT = Path(__file__).parents[2]


async def test_who_is_forgotten_is_told_and_comes_again() -> None:
    rt = realtime.Server(ping_interval=None)

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    async with place(rt) as there, realtime.connect(there.url / "echo", transports="webtransport") as session:
        await session.send("one")
        assert await arrives(session.receive()) == "one"
        listener = there.listener
        forgotten = list(listener._connections)
        listener._connections.clear()
        listener._ids.clear()
        await session.send("two")
        assert await arrives(session.receive()) == "two"
        for connection in forgotten:
            connection.drop()
            connection._lose("forgotten")


async def test_only_the_token_of_the_connection_counts() -> None:
    """Anybody can send a datagram that looks like one."""
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    async with place(rt) as there, there.raw() as raw:
        raw.send(OPEN)
        assert await raw.until("o")
        channel = raw.channel
        token = channel.quic._peer_cid.stateless_reset_token
        assert token == reset_token(there.listener._certificates.reset_key, channel.quic._peer_cid.cid)
        assert not channel.quic.is_reset(bytes(30) + bytes(16))
        assert not channel.quic.is_reset(token)
        assert channel.quic.is_reset(b"@" + os.urandom(20) + token)


def start(udp: int, tcp: int) -> tuple[subprocess.Popen[str], int, int]:
    """A process that serves, and its ports."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    files = [str(made().certificate), str(made().key)]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(udp), *files, str(tcp)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    line = process.stdout.readline()
    return process, port, int(line.rpartition(":")[2].split()[0].rstrip("=/"))


async def test_a_process_that_is_told_to_stop_ends_its_sessions(tmp_path: Path) -> None:
    """Under run_app, as elsewhere."""
    process, _, tcp = start(0, 0)
    try:
        async with within():
            session = await realtime.connect(
                f"http://127.0.0.1:{tcp}/realtime/echo", transports="webtransport", open_timeout=40
            )
            await session.send("hello")
            assert await session.receive() == "hello"
            process.send_signal(signal.SIGTERM)
            with pytest.raises(realtime.SessionClosed):
                await session.receive()
            assert session.close_code == 1001
            await session.close()
            await eventually(lambda: process.poll() is not None)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
