"""SockJS's own client, from npm, in Node and in Chromium, over every transport that it can run there.

Each scenario of scenarios.js sends and counts; nothing may be missing, changed, or there twice. Pages are of the
server's own origin, and of another: the iframe transports are for those.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from aiohttp import web

from realtime.protocols.sockjs.options import CLIENT_INTEGRITY, CLIENT_URL
from tests.browsers.engines.devtools import Chromium
from tests.compat.sockjs.server import make_app
from tests.patience import within

HERE = Path(__file__).parent
CLIENT = HERE / "node_modules" / "sockjs-client" / "dist"
SCENARIOS = ("echo", "burst", "long", "pingpong", "close", "bulk")
# Enough where a transport has all of them from its own origin, or by way of an iframe of it: another origin is a matter
# of headers, the same for all messages.
FROM_ANOTHER_ORIGIN = ("echo", "close")
NODE = ("websocket", "xhr-streaming", "eventsource", "xhr-polling")
# With whether the page is of the server's own origin.
CHROMIUM = (
    ("websocket", True),
    ("websocket", False),
    ("xhr-streaming", True),
    ("xhr-streaming", False),
    ("eventsource", True),
    ("eventsource", False),
    ("iframe-eventsource", False),
    ("htmlfile", True),
    ("iframe-htmlfile", False),
    ("xhr-polling", True),
    ("xhr-polling", False),
    ("iframe-xhr-polling", False),
    ("jsonp-polling", True),
    ("jsonp-polling", False),
)

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not CLIENT.exists(), reason="needs Node and sockjs-client: run `sh .ci/clients`"
)


def test_the_default_script_is_the_published_one() -> None:
    """The hash in the iframe page is that of the file on npm, which the CDN serves as it is."""
    script = (CLIENT / "sockjs.min.js").read_bytes()
    assert "sha384-" + base64.b64encode(hashlib.sha384(script).digest()).decode() == CLIENT_INTEGRITY
    package = json.loads((CLIENT.parent / "package.json").read_text("utf-8"))
    assert f"/{package['name']}@{package['version']}/dist/sockjs.min.js" in CLIENT_URL


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """The server of the suites, with a page that runs a scenario; its port."""
    app = make_app(client_url="/client/sockjs.js")

    async def page(request: web.Request) -> web.FileResponse:
        return web.FileResponse(HERE / request.path.strip("/"))

    app.router.add_get("/page.html", page)
    app.router.add_get("/scenarios.js", page)
    app.router.add_static("/client", CLIENT)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def check(told: dict[str, Any], transport: str, scenario: str) -> None:
    """What a client told: everything came, once and in order, and the close is the one that was asked for."""
    assert told["transport"] == transport, told
    assert told["opened"] == 1, told
    assert told["wrong"] is None, told
    assert told["received"] == told["expected"], told
    ended = (3000, "Go away!") if scenario == "close" else (3999, "done")
    assert (told["code"], told["reason"]) == ended, told


@pytest.mark.parametrize("transport", NODE)
async def test_in_node(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as port, within(f"sockjs-client over {transport}"):
        arguments = (HERE / "node.js", f"http://127.0.0.1:{port}", transport, *SCENARIOS)
        client = await asyncio.create_subprocess_exec("node", *arguments, stdout=asyncio.subprocess.PIPE)
        try:
            printed, _ = await client.communicate()
        finally:
            if client.returncode is None:
                client.kill()
    told = json.loads(printed)
    for scenario in SCENARIOS:
        check(told[scenario], transport, scenario)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    """One for all of these tests: each page has a profile of its own."""
    engine = Chromium()
    if engine.missing():
        pytest.skip(str(engine.missing()))
    await engine.version()  # so it runs before several pages are opened at once
    yield engine
    await engine.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("transport", "same"), CHROMIUM, ids=lambda part: {True: "same", False: "cross"}.get(part, part)
)
async def test_in_chromium(chromium: Chromium, transport: str, same: bool, caplog: pytest.LogCaptureFixture) -> None:
    scenarios = SCENARIOS if same or transport.startswith("iframe-") else FROM_ANOTHER_ORIGIN
    async with serving() as port, within(f"sockjs-client over {transport}"):
        base = f"http://127.0.0.1:{port}"
        host = base if same else f"http://localhost:{port}"
        asked = urlencode({"base": base, "transport": transport, "scenarios": ",".join(scenarios)})
        async with chromium.open(f"{host}/page.html?{asked}") as page:
            while len(told := await page.evaluate("window.told || {}")) < len(scenarios):  # noqa: ASYNC110 # it cannot call
                await asyncio.sleep(0.05)
            assert await page.errors() == []
    for scenario in scenarios:
        check(told[scenario], transport, scenario)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
