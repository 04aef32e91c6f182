"""gunicorn with several workers that are a cluster: any of them takes any request, and all are replaced under way."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import realtime

from ..brokers.servers import Server, available, directory
from ..patience import eventually, within
from ..ports import port_for

ROOT = Path(__file__).parents[2]
APP = """
import os
from aiohttp import web
import realtime

rt = realtime.Server(
    # A lease that outlasts a busy machine: who is not reached in time, and has none, is taken for dead.
    broker=realtime.RedisBroker(os.environ["REDIS"], timeout=2.0),
    cluster=realtime.Cluster(listen=os.environ["SOCKETS"], lease=6.0, drain_timeout=10.0),
    shutdown_timeout=1.0,
    # The old workers stop listening before the new ones have started, which takes a busy machine ten seconds and more:
    # so late a client may confirm what it has opened just before.
    open_timeout=60.0,
)


@rt.endpoint("/echo")
async def echo(session):
    await session.send(str(os.getpid()))
    async for message in session:
        await session.send(message)


async def make_app():
    app = web.Application()
    realtime.setup(app, rt)
    app.router.add_get("/ready", realtime.readiness(rt))
    return app
"""

pytestmark = pytest.mark.skipif(not available() or sys.platform == "win32", reason="needs fork() and redis-server")


@asynccontextmanager
async def gunicorn(place: Path, redis: Server) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """The command of docs/deployment.md with three workers; its URL, and its process."""
    page = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    (command,) = re.findall(r"^gunicorn (.*)$", page, re.MULTILINE)
    port = port_for()
    command = command.replace("8080", str(port)).replace("--workers 1", "--workers 3")
    (place / "app.py").write_text(APP, "utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REDIS": redis.url,
        "SOCKETS": f"unix:{place}/sockets/",
        "REALTIME_SECRET": "a secret that nobody else has, but these tests",
    }
    with (place / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gunicorn", *command.split(), "--log-level", "warning"),
            *("--graceful-timeout", "20"),
            cwd=place, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        if process.returncode is None:
            process.terminate()
        async with within("until gunicorn has ended"):
            await process.wait()


async def ready(url: str, times: int) -> None:
    """Waits until so many answers in a row say ready."""
    async with within("until the workers are ready"), aiohttp.ClientSession() as http:
        there = 0
        while there < times:
            try:
                async with http.get(f"{url}/ready", headers={"Connection": "close"}) as answer:
                    there = there + 1 if answer.status == 200 else 0
            except aiohttp.ClientError:
                there = 0
            await asyncio.sleep(0.02)


class Client:
    """Says numbers and expects them back, in one session after the other."""

    def __init__(self, url: str, transport: str) -> None:
        self.workers: list[str] = []
        self.codes: list[int | None] = []
        self.answers = 0
        self.wrong: list[str] = []
        self.task = asyncio.create_task(self._open(f"{url}/realtime/echo", transport))

    async def _open(self, url: str, transport: str) -> None:
        """Until it has had a session: which worker is asked is chance, and one of them may not have begun."""
        while not self.workers:
            try:
                await self._run(url, transport)
            except realtime.NegotiationError:
                if self.workers:
                    raise
                await asyncio.sleep(0.02)

    async def _run(self, url: str, transport: str) -> None:
        async for session in realtime.connect(url, transports=transport, backoff=(0.02, 0.2)):
            sent = received = 0
            try:
                self.workers.append(str(await session.receive()))
                while True:
                    await session.send(str(sent + 1))
                    sent += 1
                    answer = await session.receive()
                    received += 1
                    if answer != str(received):
                        self.wrong.append(f"{answer!r} came for {received}")
                    self.answers += 1
                    await asyncio.sleep(0.02)
            except realtime.SessionClosed:
                self.codes.append(session.close_code)
                if sent - len(session.unacknowledged) > received:
                    self.wrong.append(f"of {sent} sent {received} came back; {session.close_code}")


async def test_any_worker_takes_any_request_and_a_deploy_ends_nothing_unfinished() -> None:
    with directory() as place:
        redis = Server(place / "redis", "--save", "").start()
        try:
            async with gunicorn(place, redis) as (url, process):
                await ready(url, 10)
                clients = [Client(url, name) for name in ("websocket", "xhr_streaming", "long_polling", "polling") * 2]
                async with within("until all sessions have said something"):
                    await eventually(lambda: all(one.answers > 5 for one in clients))
                assert not any(one.codes for one in clients)
                before = {one.workers[-1] for one in clients}
                process.send_signal(signal.SIGHUP)
                async with within("until all sessions are elsewhere"):
                    await eventually(lambda: all(one.workers[-1] not in before for one in clients))
                    heard = [one.answers for one in clients]
                    await eventually(lambda: all(one.answers > 5 + at for one, at in zip(clients, heard, strict=True)))
                for one in clients:
                    assert one.wrong == []
                    assert set(one.codes) <= {1012}
                    one.task.cancel()
                await asyncio.gather(*(one.task for one in clients), return_exceptions=True)
        finally:
            redis.kill()
        said = (place / "log").read_text("utf-8")
        assert "was told to start" not in said
        assert "Traceback" not in said
