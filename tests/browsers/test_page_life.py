"""What a page goes through, and its session with it: away and back, reloaded, closed, frozen, hidden, offline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

import realtime

from .engines import Engine, wanted
from .engines.devtools import Chromium, DevToolsPage
from .harness import Harness
from .steering import Endpoint, Steered, steered

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHROMIUM = [name for name in ("chromium",) if name in wanted()]
WATCHERS = [name for name in ("chromium", "webkitgtk") if name in wanted()]
PROMPTLY = 30.0  # seconds, on a machine that is busy; a session that was only lost is kept for two minutes


@pytest_asyncio.fixture(loop_scope="session")
async def endpoint(harness: Harness) -> AsyncIterator[Endpoint]:
    async with Endpoint(harness.pages) as endpoint:
        yield endpoint


def only(server: realtime.Server) -> realtime.Session:
    (session,) = server.sessions
    return session


@asynccontextmanager
async def talking(
    engine: Engine, harness: Harness, endpoint: Endpoint, transport: str, *, window: bool = False
) -> AsyncIterator[Steered]:
    """A page whose session `it` has exchanged five messages."""
    async with steered(engine, harness, window=window) as page:
        await page.open("it", f"{endpoint.url}/echo", transports=[transport])
        await page.exchange("it", 1, 5)
        await page.acknowledged("it")
        yield page


def devtools(page: Steered) -> DevToolsPage:
    assert isinstance(page.page, DevToolsPage)
    return page.page


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
@pytest.mark.parametrize("transport", ["websocket", "sse", "xhr_streaming", "long_polling"])
async def test_a_page_that_comes_back_goes_on(
    engine: Engine, transport: str, harness: Harness, endpoint: Endpoint
) -> None:
    """From the back-forward cache: what was sent to it meanwhile has waited at the server."""
    async with talking(engine, harness, endpoint, transport, window=True) as page:
        session = only(endpoint.server)
        await page.do(
            """void function () {
                window.marker = "alive";
                window.life = [];
                ["pagehide", "pageshow"].forEach(function (type) {
                    addEventListener(type, function (event) { life.push([type, event.persisted]); });
                });
            }()"""
        )
        await page.do("void steered.send('it', 6, 7)")
        await page.page.visit("/blank.html")
        await page.until("document.title === 'blank' && typeof steered === 'undefined'")
        for number in range(1, 4):
            await session.send(f"news {number}")
        await page.page.back()
        await page.until("typeof steered === 'object'")
        # The very page, and not one that was loaded again.
        assert await page.do("window.marker") == "alive", await page.do(
            "JSON.stringify(performance.getEntriesByType('navigation')[0].notRestoredReasons || null)"
        )
        await page.came("it", 7)
        await page.came("it", 3, "news")
        await page.exchange("it", 8, 15)
        await page.acknowledged("it")
        assert await page.do("window.life") == [["pagehide", True], ["pageshow", True]]
        assert await page.do("steered.of('it', 'close').length") == 0
        assert only(endpoint.server) is session
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", WATCHERS, indirect=True)
@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling", "polling"])
async def test_a_reload_ends_the_session(engine: Engine, transport: str, harness: Harness, endpoint: Endpoint) -> None:
    async with talking(engine, harness, endpoint, transport) as page:
        session = only(endpoint.server)
        await page.page.reload()
        await asyncio.wait_for(session.wait_closed(), PROMPTLY)
        assert session.close_code == 1001
        await page.until("typeof steered === 'object' && !steered.sessions.it")


@pytest.mark.parametrize("engine", WATCHERS, indirect=True)
@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
async def test_a_closed_tab_ends_the_session(
    engine: Engine, transport: str, harness: Harness, endpoint: Endpoint
) -> None:
    async with talking(engine, harness, endpoint, transport):
        session = only(endpoint.server)
    if isinstance(engine, Chromium):  # the others end with their tab
        await asyncio.wait_for(session.wait_closed(), PROMPTLY)
        assert session.close_code == 1001


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
async def test_a_frozen_page_goes_on_when_it_thaws(
    engine: Engine, transport: str, harness: Harness, endpoint: Endpoint
) -> None:
    async with talking(engine, harness, endpoint, transport) as page:
        session = only(endpoint.server)
        detached = asyncio.Event()

        def look(event: str) -> None:
            if session.state == "detached":
                detached.set()

        session.on_change(look)
        await devtools(page).call("Page.setWebLifecycleState", state="frozen")
        # It lets go of its connection, so that nothing piles up in a page that does not read.
        await asyncio.wait_for(detached.wait(), PROMPTLY)
        for number in range(1, 4):
            await session.send(f"news {number}")
        await devtools(page).call("Page.setWebLifecycleState", state="active")
        await page.came("it", 3, "news")
        await page.exchange("it", 6, 12)
        assert await page.do("steered.of('it', 'close').length") == 0
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
@pytest.mark.parametrize("transport", ["websocket", "sse", "long_polling"])
async def test_a_page_that_was_offline_goes_on(
    engine: Engine, transport: str, harness: Harness, endpoint: Endpoint
) -> None:
    async with talking(engine, harness, endpoint, transport) as page:
        session = only(endpoint.server)
        network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await devtools(page).call("Network.enable")
        await devtools(page).call("Network.emulateNetworkConditions", offline=True, **network)
        await page.until("navigator.onLine === false")
        await page.do("void steered.send('it', 6, 8)")
        await session.send("news 1")
        await devtools(page).call("Network.emulateNetworkConditions", offline=False, **network)
        await page.came("it", 8)
        await page.came("it", 1, "news")
        assert await page.do("steered.of('it', 'close').length") == 0
        assert only(endpoint.server) is session


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
@pytest.mark.parametrize("transport", ["websocket", "long_polling"])
async def test_a_hidden_page_goes_on_talking(
    engine: Engine, transport: str, harness: Harness, endpoint: Endpoint
) -> None:
    async with talking(engine, harness, endpoint, transport) as page:
        await page.do(
            """void function () {
                Object.defineProperty(document, "hidden", { configurable: true, get: function () { return true; } });
                document.dispatchEvent(new Event("visibilitychange"));
            }()"""
        )
        await page.exchange("it", 6, 10)
        await page.do("void (delete document.hidden, document.dispatchEvent(new Event('visibilitychange')))")
        await page.exchange("it", 11, 15)
        assert await page.do("steered.of('it', 'close').length + steered.of('it', 'transport').length") == 1
