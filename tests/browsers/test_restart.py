"""The server is killed and comes again, or is drained for a restart: what the page is told, and what it does then."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .engines import Engine, wanted
from .harness import Harness
from .steering import Endpoint, Steered, steered, words

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENGINES = [name for name in ("chromium", "webkitgtk", "phantomjs2") if name in wanted()]
TRANSPORTS = ("websocket", "sse", "long_polling")


@pytest_asyncio.fixture(loop_scope="session")
async def endpoint(harness: Harness) -> AsyncIterator[Endpoint]:
    async with Endpoint(harness.pages) as endpoint:
        yield endpoint


async def killed_while_talking(page: Steered, endpoint: Endpoint, **options: object) -> dict[str, object]:
    """Opens, exchanges messages, loses the server, sends more, and gets another server. What the page is told then."""
    await page.open("it", f"{endpoint.url}/echo", **options)
    await page.exchange("it", 1, 5)
    await page.acknowledged("it")
    await endpoint.vanish()
    await page.do("steered.send('it', 6, 8)")
    assert await page.do("steered.sessions.it.unacknowledged.length") == 3
    assert await page.do("steered.last('it', 'close')") is None
    await endpoint.start()
    return await page.closed("it")


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_killed_server_has_forgotten_the_session(
    engine: Engine, transport: str, harness: Harness, endpoint: Endpoint
) -> None:
    async with steered(engine, harness) as page:
        closed = await killed_while_talking(page, endpoint, transports=[transport])
        assert closed.pop("reason")
        assert closed == {"code": 4404, "clean": False, "unacknowledged": words("it", 6, 8), "reopening": False}
        assert await page.do("[steered.sessions.it.readyState, steered.of('it', 'open').length]") == [3, 1]
        assert await page.do("steered.of('it', 'error').length") == 1
        assert len(endpoint.server) == 0
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_new_session_opens_where_that_is_wanted(
    engine: Engine, transport: str, harness: Harness, endpoint: Endpoint
) -> None:
    async with steered(engine, harness) as page:
        closed = await killed_while_talking(page, endpoint, transports=[transport], reopen=True)
        assert closed["code"] == 4404
        assert closed["unacknowledged"] == words("it", 6, 8)
        assert closed["reopening"] is True
        await page.until("steered.of('it', 'open').length === 2")
        assert await page.do("steered.sessions.it.unacknowledged") == []
        # Nothing of before comes by itself; the application sends again what it wants to.
        await page.exchange("it", 6, 10)
        await page.acknowledged("it")
        assert len(endpoint.server) == 1
        assert await page.do("steered.of('it', 'close').length") == 1
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_that_drains_loses_nothing(
    engine: Engine, transport: str, harness: Harness, endpoint: Endpoint
) -> None:
    async with steered(engine, harness) as page:
        await page.open("it", f"{endpoint.url}/echo", transports=[transport], reopen=True)
        await page.open("that", f"{endpoint.url}/echo", transports=[transport])
        for name in ("it", "that"):
            await page.exchange(name, 1, 5)
            await page.acknowledged(name)
        await endpoint.server.drain(timeout=30, delay=0.5)
        for name in ("it", "that"):
            closed = await page.closed(name)
            closed.pop("reason")
            assert closed == {"code": 1012, "clean": True, "unacknowledged": [], "reopening": name == "it"}
            assert "draining" in await page.do("steered.of(%s, 'state')", name)
        await endpoint.vanish()
        await endpoint.start()
        await page.until("steered.of('it', 'open').length === 2")
        await page.exchange("it", 6, 10)
        assert await page.do("steered.sessions.that.readyState") == 3
        assert await page.page.errors() == []
