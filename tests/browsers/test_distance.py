"""Networks without a fault but their distance, and those that let nothing through at first: in real browsers, what
client-js/test/distance.test.js has in virtual time for every transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random

import pytest
import pytest_asyncio

from realtime.testing import FaultProxy, HangWebSocket, RefuseWebSocket

from .engines import Engine, wanted
from .harness import Harness
from .steering import Endpoint, Steered, steered

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENGINES = [name for name in ("chromium", "firefox") if name in wanted()]
ROUND_TRIPS = (0.0, 0.06, 0.15, 0.25, 0.6)
SESSIONS = 3  # one after another, each the first to its server that finds a connection or none


@pytest_asyncio.fixture(loop_scope="session")
async def endpoint(harness: Harness) -> AsyncIterator[Endpoint]:
    async with Endpoint(harness.pages) as endpoint:
        yield endpoint


def at(endpoint: Endpoint, proxy: FaultProxy) -> str:
    """The address of the echo, through a proxy."""
    return f"{proxy.url}/{endpoint.url.split('/', 3)[3]}/echo"


def port_of(endpoint: Endpoint) -> int:
    return int(endpoint.url.split(":")[2].split("/")[0])


async def visit(page: Steered, name: str, url: str, **options: object) -> None:
    """A session that opens, talks and closes."""
    await page.open(name, url, **options)
    await page.exchange(name, 1, 5)
    await page.do("steered.sessions[%s].close(3001, 'enough') || true", name)
    closed = await page.closed(name)
    assert (name, closed["code"], closed["clean"], closed["unacknowledged"]) == (name, 3001, True, [])
    assert await page.do("steered.of(%s, 'error').length", name) == 0


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_first_sessions_at_every_distance(engine: Engine, harness: Harness, endpoint: Endpoint) -> None:
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(steered(engine, harness))
        urls = {}
        for latency in ROUND_TRIPS:
            for jitter in (0.0, latency):
                proxy = FaultProxy("127.0.0.1", port_of(endpoint), latency=latency, jitter=jitter, random=Random(1))
                urls[f"{latency}+{jitter}"] = at(endpoint, await stack.enter_async_context(proxy))

        async def visits(name: str, url: str) -> None:
            for number in range(SESSIONS):
                await visit(page, f"{name}#{number}", url)

        async with asyncio.TaskGroup() as group:
            for name, url in urls.items():
                group.create_task(visits(name, url))
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_session_that_a_poll_has_opened_moves_up(engine: Engine, harness: Harness, endpoint: Endpoint) -> None:
    async with FaultProxy("127.0.0.1", port_of(endpoint)) as proxy, steered(engine, harness) as page:
        refused = {name: ["websocket", name] for name in ("long_polling", "polling", "sse")}
        for name, transports in refused.items():
            rule = proxy.add(RefuseWebSocket(times=1))
            await page.open(name, at(endpoint, proxy), transports=transports)
            await rule.wait_fired()
            await page.do("localStorage.clear() || true")  # the next one tries a WebSocket at once, too
        for name in refused:
            await page.exchange(name, 1, 3)
            assert (await page.do("steered.of(%s, 'transport')", name))[0] != "websocket"
        for name in refused:
            await page.until("steered.sessions[%s].transport === 'websocket'", name)
            await page.exchange(name, 4, 6)
        assert await page.page.errors() == []


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
async def test_a_handshake_without_an_answer_blocks_no_later_one(
    engine: Engine, harness: Harness, endpoint: Endpoint
) -> None:
    async with FaultProxy("127.0.0.1", port_of(endpoint)) as proxy, steered(engine, harness) as page:
        await page.open("it", at(endpoint, proxy), transports=["websocket"], attachTimeout=1000)
        await page.exchange("it", 1, 3)
        rule = proxy.add(HangWebSocket(times=1))
        proxy.cut(rst=True)
        await rule.wait_fired()
        await page.do("steered.send('it', 4, 6)")
        await page.came("it", 6)
        assert await page.do("steered.last('it', 'close')") is None
