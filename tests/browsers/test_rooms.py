"""A page goes on in a room: when it is loaded anew, and when the process of its server is killed and another comes."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import realtime

from ..brokers.servers import Server, available
from ..patience import within
from ..ports import port_for
from .engines import Engine, EngineError, Page, wanted
from .rooms_worker import ROOM, make_app

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
CHROMIUM = [name for name in ("chromium",) if name in wanted()]


async def until(page: Page, expression: str) -> Any:
    """The value of an expression in the page, once it is true."""
    async with within(f"until this holds in the page: {expression}"):
        while True:
            try:
                if value := await page.evaluate(expression):
                    return value
            except EngineError:
                pass  # between two pages
            await asyncio.sleep(0.02)


async def in_the_room(page: Page, loads: int) -> None:
    """Its session is open, and has joined: it was told where it is."""
    joined = f"session.readyState === 1 && {ROOM!r} in session.cursors"
    await until(page, f"window.kept && kept.loads === {loads} && {joined}")


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
@pytest.mark.parametrize("transports", ["websocket", "sse,long_polling", "long_polling", "polling"])
async def test_a_page_that_is_loaded_anew_goes_on(engine: Engine, transports: str) -> None:
    """What the room is sent meanwhile, all the time, comes once and in order."""
    rt = realtime.Server(poll_interval=(0.01, 0.05), shutdown_timeout=0.3)
    runner = web.AppRunner(make_app(rt), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sent = 0
    try:
        async with engine.open(f"http://127.0.0.1:{runner.addresses[0][1]}/?{transports}") as page:
            await in_the_room(page, 1)

            async def publish() -> None:
                nonlocal sent
                while True:
                    sent += 1
                    await rt.room(ROOM).send(str(sent))
                    await asyncio.sleep(0.005)

            publishing = asyncio.create_task(publish())
            for loads in range(1, 5):
                await until(page, f"kept.loads === {loads} && kept.heard.length > {sent + 5}")
                await page.reload()
                await in_the_room(page, loads + 1)
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await until(page, f"kept.heard.length >= {sent}")
            assert await page.evaluate("kept.heard") == [str(number) for number in range(1, sent + 1)]
            assert await page.evaluate("[gaps, codes, problems]") == [[], [], []]
            assert await page.errors() == []
    finally:
        await runner.cleanup()


@asynccontextmanager
async def a_worker(port: int, redis: Server) -> AsyncIterator[asyncio.subprocess.Process]:
    """The server's process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.browsers.rooms_worker", str(port), redis.url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with within("the server's process is up"):
            assert await process.stdout.readline() == b"up\n"
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
@pytest.mark.skipif(not available(), reason="redis-server is not installed")
async def test_a_page_goes_on_when_its_server_was_killed(engine: Engine, tmp_path: Path) -> None:
    """Its session is lost. Another opens by itself, and brings what the room was sent meanwhile."""
    redis = await asyncio.to_thread(Server(tmp_path, "--save", "").start)
    publisher = realtime.Publisher(redis.url)
    publisher.configure_rooms("kept/*", history=10_000, ttl=600)
    port, sent = port_for(), 0
    try:
        async with publisher, AsyncExitStack() as pages:

            async def publish(count: int) -> None:
                nonlocal sent
                for _ in range(count):
                    sent += 1
                    await publisher.send(ROOM, str(sent))

            async with a_worker(port, redis) as process:
                page = await pages.enter_async_context(engine.open(f"http://127.0.0.1:{port}/?websocket,long_polling"))
                await in_the_room(page, 1)
                await publish(20)
                await until(page, "kept.heard.length >= 20")
                await publish(10)
                process.send_signal(signal.SIGKILL)  # some of these are on their way
            await until(page, "session.state === 'detached'")
            await publish(10)
            async with a_worker(port, redis):
                await publish(10)
                await until(page, "codes.length && session.readyState === 1")
                await publish(10)
                await until(page, f"kept.heard.length >= {sent}")
                assert await page.evaluate("kept.heard") == [str(number) for number in range(1, sent + 1)]
                assert await page.evaluate("[gaps, codes, kept.loads]") == [[], [4404], 1]
    finally:
        redis.kill()
