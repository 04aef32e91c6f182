"""Exactly once, in order, both ways, over WebTransport: every fault of a UDP network, over real sockets, under load."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from aiohttp import web

import realtime
from realtime.testing import UdpFaultProxy

from ..client.soak import Soak, assert_exactly_once, soak_server
from ..patience import bounded, eventually, within
from .place import listener_of, webtransport

COUNT = 700
# What opening takes besides, in seconds.
MARGIN = 3.0

# What happens to datagrams, and what of the proxy's counts says that it has.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({}, "passed"),
    "every tenth lost": ({"loss": 0.1}, "lost"),
    "one of four doubled": ({"duplicate": 0.25}, "doubled"),
    "one of four overtaken": ({"reorder": 0.25}, "overtaken"),
    "far away": ({"latency": 0.03}, "passed"),
    "far away and uneven": ({"latency": 0.01, "jitter": 0.02}, "passed"),
    "cut after 20 datagrams, four times": ({"cut_after": 20, "cuts": 4}, "cut"),
    "cut to the server after 20 datagrams, four times": ({"cut_after": 20, "cuts": 4, "cut_way": "to_server"}, "cut"),
    "cut to the client after 20 datagrams, four times": ({"cut_after": 20, "cuts": 4, "cut_way": "to_client"}, "cut"),
    "cut after 8 datagrams, four times": ({"cut_after": 8, "cuts": 4}, "cut"),
    "all at once": (
        {
            "loss": 0.05,
            "duplicate": 0.1,
            "reorder": 0.1,
            "latency": 0.004,
            "jitter": 0.004,
            "cut_after": 30,
            "cuts": 3,
        },
        "cut",
    ),
}


@contextlib.asynccontextmanager
async def soaking(count: int = COUNT, **faults: Any) -> AsyncIterator[tuple[Soak, UdpFaultProxy]]:
    """A server whose WebTransport is behind a proxy, as its clients are told."""
    async with UdpFaultProxy("127.0.0.1", 9, random=Random(1), **faults) as udp:

        def setup(app: web.Application, rt: realtime.Server) -> None:
            realtime.setup(app, rt, webtransport=webtransport(public_port=udp.port, public_host="127.0.0.1"))

        async with soak_server(count, setup=setup) as soak:
            udp.backend = ("127.0.0.1", listener_of(soak.server).port)
            yield soak, udp


@pytest.mark.parametrize("name", FAULTS)
async def test_webtransport_alone_under_one_fault(name: str) -> None:
    faults, count = FAULTS[name]
    async with soaking(**faults) as (soak, udp):
        server, client, session = await soak.run(transports=["webtransport"])
        assert_exactly_once(server, client, COUNT)
        assert session.transport == "webtransport"
        assert session.unacknowledged == []
        assert udp.counts[count] > 0, "it never happened: this cell shows nothing"


async def test_where_udp_is_cut_again_and_again_the_session_goes_on_by_websocket() -> None:
    """Whichever of them opens it: what fails is left alone for a while."""
    async with soaking(cut_after=20) as (soak, _udp):
        seen: set[str] = set()

        async def meanwhile(session: realtime.ClientSession) -> None:
            seen.add(session.transport)
            session.on_change(lambda _: seen.add(session.transport))

        server, client, _ = await soak.run(transports=["webtransport", "websocket"], meanwhile=meanwhile)
        assert_exactly_once(server, client, COUNT)
        assert "websocket" in seen


@pytest.mark.parametrize("other", ["websocket", "polling"])
async def test_where_udp_is_blocked_that_costs_a_moment_and_is_remembered(other: str) -> None:
    async with soaking() as (soak, udp):
        udp.go_dark()
        options: dict[str, Any] = {"transports": ["webtransport", other], "upgrade_interval": (300.0, 300.0)}
        async with within(), bounded(1.5 + MARGIN):
            session = await realtime.connect(soak.url, **options)
        async with session:
            assert session.transport == other
            await eventually(lambda: "webtransport" in session.attempts)
            assert udp.counts["swallowed"] > 0
            context = session._context
            now = context.clock.now()
            assert context.policy.choice.retry_at("webtransport", now) > now + 100
            assert context.policy.choice.next(now) == other
