"""What a client sees is the same by whichever worker its requests come: every transport of the native protocol, one
request at the worker that has the session, the next at another.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

import realtime
from realtime.metrics import Metrics
from realtime.transports import TRANSPORTS

from ..patience import arrives
from ..web.peer import HttpPeer
from .fleet import fleet


@pytest.fixture(params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> str:
    """Each transport by name."""
    name: str = request.param
    return name


async def test_an_echo(transport: str) -> None:
    async with fleet() as one:
        peer, session, owner = await one.opened(transport)
        for number in range(4):
            await arrives(peer.echo(f"{number}"))
        await arrives(peer.send(b"\0\1\2"))
        assert await arrives(peer.news()) == b"\0\1\2"
        one.from_now_on(one.other(owner))
        before = one.carried
        await arrives(peer.resume())
        await arrives(peer.echo("é" * 40_000))
        assert one.carried > before
        assert session._machine.transport == transport


@pytest.mark.parametrize("force", [None, web.ContentCoding.gzip])
async def test_a_middleware_that_compresses_what_is_answered(force: web.ContentCoding | None) -> None:
    """Where it does so in any case, at the worker that has the session, and again at the one its client has come to."""

    @web.middleware
    async def compress(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        response.enable_compression(force)
        return response

    def setup(app: web.Application, server: realtime.Server) -> None:
        app.middlewares.append(compress)
        realtime.setup(app, server)

    async with fleet(2, setup=setup) as one:
        peer, _, owner = await one.opened("long_polling")
        one.from_now_on(one.other(owner))
        await arrives(peer.resume())
        await arrives(peer.echo("é" * 4_000))
        assert one.carried


async def test_a_request_that_is_carried_asks_for_no_packing() -> None:
    """Who packs what its client accepts, without a look at what another worker has done, does so once."""
    asked: list[bool] = []

    @web.middleware
    async def pack(request: web.Request, handler: Any) -> web.StreamResponse:
        asked.append("Accept-Encoding" in request.headers)
        response: web.StreamResponse = await handler(request)
        return response

    def setup(app: web.Application, server: realtime.Server) -> None:
        app.middlewares.append(pack)
        realtime.setup(app, server)

    async with fleet(2, setup=setup) as one:
        peer, _, owner = await one.opened("long_polling")
        one.from_now_on(one.other(owner))
        asked.clear()
        assert isinstance(peer, HttpPeer)
        await arrives(peer.confirm())
        assert asked == [True, False]


async def test_how_it_ends(transport: str) -> None:
    async with fleet() as one:
        peer, session, owner = await one.opened(transport, "/park")
        one.from_now_on(one.other(owner))
        await arrives(peer.resume())
        closing = asyncio.ensure_future(session.close(4001, "enough, it says"))
        assert await arrives(peer.end()) == (4001, "c")
        await arrives(peer.confirm() if isinstance(peer, HttpPeer) else peer.send("a1,1"))
        await arrives(closing)
        answer = await HttpPeer.post(peer, "send", [f"u{peer.sid},1,1,1,{peer.key}"])  # type: ignore[arg-type]
        assert (answer.status, answer.frames) == (410, ["x4001,session,0,enough, it says"])


async def test_a_broken_frame_ends_it_as_anywhere() -> None:
    async with fleet() as one:
        for transport, code in (("websocket", 1002), ("long_polling", 1002)):
            peer, session, owner = await one.opened(transport)
            one.from_now_on(one.other(owner))
            await arrives(peer.resume())
            await (peer.poll("n-1") if isinstance(peer, HttpPeer) else peer.send("n-1"))
            assert await arrives(peer.end()) == (code, "x")
            await arrives(session.wait_closed())
            one.balancer.workers[:] = one.workers


async def test_metrics_and_negotiate_say_who_did_what() -> None:
    async with fleet() as one:
        scraped = [Metrics(worker.server) for worker in one.workers]
        peer, _, owner = await one.opened("polling")
        through = one.other(owner)
        one.from_now_on(through)
        for _ in range(3):
            await arrives(peer.echo("x"))
        at = one.workers.index(through)
        assert scraped[at].registry.get_sample_value("realtime_forwards_total") == through.forwarder.count >= 3
        assert scraped[at].registry.get_sample_value("realtime_hops") == 1
        assert scraped[one.workers.index(owner)].registry.get_sample_value("realtime_hops_refused_total") == 0
        async with one.http.get(f"{through.url}/realtime/echo/negotiate") as response:
            assert (await response.json())["worker"] == through.name
        async with one.http.get(f"{through.url}/realtime/echo/negotiate", headers={"Accept": "text/html"}) as response:
            assert f"answered by worker {through.name}" in await response.text()
