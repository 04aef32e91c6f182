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


async def killed_while_talking(page: Steered, endpoint: Endpoint, name: str, **options: object) -> dict[str, object]:
    """Opens, exchanges messages, loses the server, sends more, and gets another server. What the page is told then."""
    await page.open(name, f"{endpoint.url}/echo", transports=[name], **options)
    await page.exchange(name, 1, 5)
    await page.acknowledged(name)
    await endpoint.vanish()
    await page.do("steered.send(%s, 6, 8)", name)
    assert await page.do("steered.sessions[%s].unacknowledged.length", name) == 3
    assert await page.do("steered.last(%s, 'close')", name) is None
    await endpoint.start()
    return await page.closed(name)


# One page for all transports, as one costs more than what happens in it: each session is called by its transport.


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_killed_server_has_forgotten_the_session(engine: Engine, harness: Harness, endpoint: Endpoint) -> None:
    async with steered(engine, harness) as page:
        for name in TRANSPORTS:
            closed = await killed_while_talking(page, endpoint, name)
            assert closed.pop("reason")
            assert closed == {"code": 4404, "clean": False, "unacknowledged": words(name, 6, 8), "reopening": False}
            assert await page.do("steered.sessions[%s].readyState", name) == 3
            assert await page.do("steered.of(%s, 'open').length", name) == 1
            assert await page.do("steered.of(%s, 'error').length", name) == 1
            assert len(endpoint.server) == 0
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_new_session_opens_where_that_is_wanted(engine: Engine, harness: Harness, endpoint: Endpoint) -> None:
    async with steered(engine, harness) as page:
        for name in TRANSPORTS:
            closed = await killed_while_talking(page, endpoint, name, reopen=True)
            assert closed["code"] == 4404
            assert closed["unacknowledged"] == words(name, 6, 8)
            assert closed["reopening"] is True
            await page.until("steered.of(%s, 'open').length === 2", name)
            assert await page.do("steered.sessions[%s].unacknowledged", name) == []
            # Nothing of before comes by itself; the application sends again what it wants to.
            await page.exchange(name, 6, 10)
            await page.acknowledged(name)
            assert len(endpoint.server) == 1
            assert await page.do("steered.of(%s, 'close').length", name) == 1
            await page.do("void steered.sessions[%s].close()", name)
            await page.until("steered.sessions[%s].readyState === 3", name)
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_server_that_drains_loses_nothing(engine: Engine, harness: Harness, endpoint: Endpoint) -> None:
    async with steered(engine, harness) as page:
        for name in TRANSPORTS:
            that = f"that {name}"
            await page.open(name, f"{endpoint.url}/echo", transports=[name], reopen=True)
            await page.open(that, f"{endpoint.url}/echo", transports=[name])
            for each in (name, that):
                await page.exchange(each, 1, 5)
                await page.acknowledged(each)
            await endpoint.server.drain(timeout=30, delay=0.5)
            for each in (name, that):
                closed = await page.closed(each)
                closed.pop("reason")
                assert closed == {"code": 1012, "clean": True, "unacknowledged": [], "reopening": each == name}
                assert "draining" in await page.do("steered.of(%s, 'state')", each)
            await endpoint.vanish()
            await endpoint.start()
            await page.until("steered.of(%s, 'open').length === 2", name)
            await page.exchange(name, 6, 10)
            assert await page.do("steered.sessions[%s].readyState", that) == 3
            await page.do("void steered.sessions[%s].close()", name)
            await page.until("steered.sessions[%s].readyState === 3", name)
        assert await page.page.errors() == []
