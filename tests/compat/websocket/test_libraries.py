"""Libraries that take a WebSocket class are given Realtime, in Node. In pages: tests/browsers/test_libraries.py."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import realtime
from tests.compat.websocket.server import make_server
from tests.patience import within

HERE = Path(__file__).parent
CLIENT = HERE.parents[2] / "client-js"
LIBRARIES = (
    "reconnecting-websocket",
    "partysocket",
    "graphql-ws",
    "@stomp/stompjs",
    "y-websocket",
    "rxjs/webSocket",
    "rxjs/fromEvent",
    "phoenix",
    "centrifuge",
    "mqtt",
)
# In Node mqtt.js wants the members that the package ws adds to a WebSocket (`on`): there it takes no other class.
IN_NODE = tuple(name for name in LIBRARIES if name != "mqtt")
IN_NODE_OVER_HTTP = {
    transport: f"graphql-ws over {transport},long_polling"
    for transport in ("xhr_streaming", "multipart", "long_polling", "polling")
}

needs_libraries = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules").is_dir() or not (CLIENT / "node_modules").is_dir(),
    reason="needs Node and the libraries: run `sh .ci/node` and `sh .ci/clients`",
)
pytestmark = needs_libraries


@asynccontextmanager
async def serving(script: str = "") -> AsyncIterator[str]:
    """The server of the libraries, with a page that has them all; its address."""
    app = web.Application()

    async def page(request: web.Request) -> web.Response:
        text = '<!DOCTYPE html><title>libraries</title><script src="/libraries.js"></script>'
        return web.Response(text=text, content_type="text/html")

    async def libraries(request: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript")

    realtime.setup(app, make_server())
    app.router.add_get("/page.html", page)
    app.router.add_get("/libraries.js", libraries)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def output(program: str | Path, *arguments: str | Path) -> str:
    """What a program prints; what it complains of fails the test."""
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        printed, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, complaints.decode()
    return printed.decode()


def check(found: dict[str, Any], name: str) -> None:
    """It has heard what it said, and nothing went wrong on the way."""
    assert found == {"name": name, "heard": "0,1,2" if name == "graphql-ws" else "hi", "problems": []}


_told: dict[str, Any] = {}


async def in_node(case: str) -> Any:
    """What became of a library in Node. All cases run at once, one after the other: to load them takes longest."""
    if not _told:
        cases = [*IN_NODE, *IN_NODE_OVER_HTTP.values()]
        async with serving() as base, within(f"{', '.join(cases)} in Node"):
            printed = await output("node", HERE / "node.js", f"{base}/realtime", *cases)
        _told.update(zip(cases, map(json.loads, printed.splitlines()), strict=True))
    return _told[case]


@pytest.mark.parametrize("name", IN_NODE)
async def test_in_node(name: str) -> None:
    check(await in_node(name), name)


@pytest.mark.parametrize("transport", IN_NODE_OVER_HTTP)
async def test_in_node_over_http(transport: str) -> None:
    """Node has no XMLHttpRequest: they go by fetch."""
    check(await in_node(IN_NODE_OVER_HTTP[transport]), "graphql-ws")
