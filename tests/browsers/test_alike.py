"""Realtime beside the browser's own WebSocket: the same scripts (alike.js) see the same, event by event."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from .engines import Engine, wanted
from .harness import SCENARIOS, Harness
from .steering import Steered, steered

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHROMIUM = [name for name in ("chromium",) if name in wanted()]
ALIKE = (
    "constants",
    "events",
    "closed_by_server",
    "listeners",
    "added_meanwhile",
    "exceptions",
    "close_twice",
    "codes",
    "binary",
    "words",
)


async def plain(request: web.Request) -> web.WebSocketResponse:
    """What the endpoints of the same names do, over a WebSocket that is nothing else."""
    ws = web.WebSocketResponse(autoclose=False)
    await ws.prepare(request)
    while not ws.closed:
        message = await ws.receive()
        if message.type is aiohttp.WSMsgType.CLOSE:  # answered with its own code
            await ws.close(code=message.data or 1005, message=(message.extra or "").encode())
        elif request.path == "/close" and message.type is aiohttp.WSMsgType.TEXT:
            code, _, reason = str(message.data).partition(" ")
            await ws.send_str("last words")
            await ws.close(code=int(code), message=reason.encode())
        elif message.type is aiohttp.WSMsgType.TEXT:
            await ws.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def native() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/echo", plain)
    app.router.add_get("/close", plain)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def seen(page: Steered, name: str, kind: str, base: str) -> object:
    await page.do("alike.run(%s, %s, %s)", name, kind, base)
    return await page.until("alike.results[%s]", f"{name} {kind}")


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
@pytest.mark.parametrize("name", ALIKE)
async def test_alike(engine: Engine, name: str, harness: Harness, native: str) -> None:
    async with steered(engine, harness) as page:
        await page.do((SCENARIOS / "alike.js").read_text("utf-8").replace("%", "%%"))
        theirs = await seen(page, name, "native", native)
        assert await seen(page, name, "ours", f"{harness.pages}/realtime") == theirs


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
async def test_ours_may_be_written_to_at_once(engine: Engine, harness: Harness, native: str) -> None:
    """The one difference that is meant: before it is open, a WebSocket throws."""
    async with steered(engine, harness) as page:
        error = "(function () { try { %s.send('early'); } catch (error) { return error.name; } return 'taken'; })()"
        assert await page.do(error.replace("%s", f"new WebSocket('{native}/echo')")) == "InvalidStateError"
        # In one turn of the page: between two it may open.
        sent = error.replace("%s", "steered.sessions.it")
        early = f"[steered.open('it', %s), steered.sessions.it.readyState, {sent}]"
        assert (await page.do(early, f"{harness.pages}/realtime/echo"))[1:] == [0, "taken"]
        await page.until("steered.of('it', 'message').length")
        assert await page.do("steered.of('it', 'message')") == ["early"]
