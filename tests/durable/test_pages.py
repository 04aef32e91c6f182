"""The code of docs/durable.md, run as it stands there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

import realtime
from realtime.testing import serve

from ..test_docs_blocks import blocks
from .raw import Raw, let_go

PAGE = Path(__file__).parents[2] / "docs" / "durable.md"


async def test_the_job_goes_on_at_another_worker() -> None:
    names: dict[str, Any] = {
        "__name__": "page",
        "asyncio": asyncio,
        "AsyncIterator": AsyncIterator,
        "realtime": realtime,
    }
    broker = realtime.MemoryBroker()
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        urls = []
        for _ in range(2):
            rt = realtime.Server(broker=broker, shutdown_timeout=1.0)
            exec(blocks(PAGE)[1].text, names | {"rt": rt})  # it is ours
            urls.append(str((await stack.enter_async_context(serve(rt))).make_url("/realtime/jobs")))
        raw = Raw(http, urls[0], window=(2000, 10_000_000))
        await raw.open()
        await raw.say("print")
        await raw.until("mprint: line 300")
        raw.url = urls[1]
        await raw.again()
        while len(raw.messages) < 1000:
            await raw.until("m")
            if len(raw.messages) % 100 == 0:
                await raw.ack()
        assert raw.messages == [f"print: line {number}" for number in range(1000)]
        let_go(http)  # or the servers wait for it


async def test_the_counting_handler() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(blocks(PAGE)[0].text, names)  # it is ours
    async with serve(names["rt"]) as server, aiohttp.ClientSession() as http:
        raw = Raw(http, str(server.make_url("/realtime/orders")))
        await raw.open()
        await raw.say("tea", "milk")
        await raw.until("morder 2")
        assert raw.messages == ["welcome", "order 1: tea", "order 2: milk"]


async def test_the_bids() -> None:
    names: dict[str, Any] = {"__name__": "page", "realtime": realtime}
    rt = realtime.Server(broker=realtime.MemoryBroker())
    exec(blocks(PAGE)[2].text, names | {"rt": rt})  # it is ours

    @rt.endpoint("/watch")
    async def watch(session: realtime.Session) -> None:
        await session.join("auction")
        await session.send("in")
        await session.wait_closed()

    async with serve(rt) as server, aiohttp.ClientSession() as http:
        other = Raw(http, str(server.make_url("/realtime/watch")))
        await other.connect(other.opening().replace(', "rooms": {}', ""))
        await other.until("min")
        raw = Raw(http, str(server.make_url("/realtime/bids")))
        await raw.open()
        await raw.say("10", "20")
        await raw.until("mtaken")
        await other.until("m20")
        assert other.messages == ["in", "10", "20"]


async def test_the_lots() -> None:
    rt = realtime.Server(broker=realtime.MemoryBroker())
    exec(blocks(PAGE)[3].text, {"__name__": "page", "realtime": realtime, "rt": rt})  # it is ours
    async with serve(rt) as server, aiohttp.ClientSession() as http:
        raw = Raw(http, str(server.make_url("/realtime/lots")))
        await raw.open()
        await raw.socket.send_str("l1")
        await raw.say("7")
        await raw.until("myou hear lot 7")
        await rt.room("lot 7").send("sold")
        await raw.until("llot 7,")
        while not raw.frames[-1].endswith(",msold"):
            await raw.next()
