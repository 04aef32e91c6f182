"""A connect() over WebTransport that is given up, at whatever moment: nothing is left of it at either end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

import realtime
from realtime.quic.client import Channel, open_channel
from realtime.testing import UdpFaultProxy

from ..patience import arrives, bounded, eventually
from .place import OPEN, Place, Raw, made, place, webtransport


class Asked:
    """A server that opens when it is told to, behind a network so far away, and how its sessions ended."""

    def __init__(self, udp: UdpFaultProxy) -> None:
        self.udp = udp
        self.asked, self.may = asyncio.Event(), asyncio.Event()
        self.codes: list[int | None] = []
        self.there: Place
        self.server = realtime.Server(open_timeout=600.0)  # which would take it away in the end
        self.server.authorize(self.authorize)
        self.server.endpoint("/wait")(self.wait)

    async def authorize(self, request: realtime.SessionRequest) -> None:
        self.asked.set()
        await self.may.wait()

    async def wait(self, session: realtime.Session) -> None:
        await session.wait_closed()
        self.codes.append(session.close_code)

    def connecting(self, **options: Any) -> asyncio.Task[realtime.ClientSession]:
        """A client that opens a session."""
        settings: dict[str, Any] = {"transports": "webtransport", "attach_timeout": 60.0} | options
        connecting = realtime.connect(f"{self.there.url}/wait", **settings)
        return asyncio.create_task(connecting._open())

    async def opening(self) -> Channel:
        """A client that has sent its open, about which the server asks."""
        path = "/realtime/wait/v1/webtransport"
        channel = await arrives(open_channel("127.0.0.1", self.udp.port, path, (), made().digest))
        Raw(channel).send(OPEN)
        await arrives(self.asked.wait())
        return channel

    async def nothing_is_left(self) -> None:
        """Waits until there is no task of the client's, no connection and no session."""
        await eventually(lambda: not any("realtime client" in task.get_name() for task in asyncio.all_tasks()))
        await eventually(lambda: not self.there.listener._connections and not len(self.server))
        assert set(self.codes) <= {4411}


@contextlib.asynccontextmanager
async def far_away(latency: float) -> AsyncIterator[Asked]:
    async with UdpFaultProxy("127.0.0.1", 9, latency=latency) as udp:
        one = Asked(udp)
        options = webtransport(public_port=udp.port, public_host="127.0.0.1")
        async with place(one.server, options, app=web.Application()) as one.there:
            udp.backend = ("127.0.0.1", one.there.listener.port)
            yield one


@pytest.mark.parametrize(
    ("latency", "datagrams"), [(0.0, 1), (0.0, 3), (0.0, 5), (0.15, 1), (0.15, 4), (0.15, 6), (0.6, 5)]
)
async def test_who_is_cancelled_while_it_connects(latency: float, datagrams: int) -> None:
    async with far_away(latency) as one:
        opening = one.connecting()
        await eventually(lambda: one.udp.counts["passed"] >= datagrams)
        opening.cancel()
        one.may.set()
        await asyncio.wait({opening})
        assert opening.cancelled()
        await one.nothing_is_left()


@pytest.mark.parametrize("latency", [0.0, 0.15])
async def test_who_is_cancelled_while_the_server_opens(latency: float) -> None:
    async with far_away(latency) as one:
        opening = one.connecting()
        await arrives(one.asked.wait())
        opening.cancel()
        await asyncio.sleep(0)
        one.may.set()
        await asyncio.wait({opening})
        assert opening.cancelled()
        await one.nothing_is_left()
        assert one.codes == [4411]


async def test_whose_time_is_over_while_the_server_opens() -> None:
    async with far_away(0.0) as one:
        clock = realtime.testing.VirtualClock()
        opening = one.connecting(clock=clock, open_timeout=9.0)  # before another attempt is made
        await arrives(one.asked.wait())
        clock.advance(9.0)
        one.may.set()
        with pytest.raises(realtime.NegotiationError):
            await arrives(opening)
        await one.nothing_is_left()
        assert one.codes == [4411]


async def test_who_has_left_far_away_opens_nothing() -> None:
    """The server reads that as soon as it is there, and not when nothing more of the connection is to be answered."""
    async with far_away(0.6) as one:
        channel = await one.opening()
        (connection,) = one.there.listener._connections
        channel.close()
        async with bounded(2.0):
            await eventually(lambda: connection.is_over)
        one.may.set()
        await one.nothing_is_left()
        assert one.codes == []


async def test_a_client_far_away_reads_at_once_that_the_server_has_closed() -> None:
    async with far_away(0.6) as one:
        channel = await one.opening()
        (connection,) = one.there.listener._connections
        connection.close(reason="on purpose")
        async with bounded(2.0):
            assert await arrives(channel.receive()) is None
        one.may.set()
        await one.nothing_is_left()


async def test_who_is_cancelled_where_nothing_comes_back() -> None:
    async with far_away(0.0) as one:
        one.udp.dark = frozenset({"to_client"})
        opening = one.connecting(attach_timeout=0.5)
        await eventually(lambda: len(one.there.listener._connections))
        opening.cancel()
        await asyncio.wait({opening})
        assert opening.cancelled()
        await one.nothing_is_left()
        assert one.codes == []


@pytest.mark.parametrize("datagrams", [1, 3, 5])
async def test_whose_session_ends_while_it_is_tried_beside_another_transport(datagrams: int) -> None:
    async with far_away(0.15) as one:
        one.may.set()
        session = await arrives(one.connecting(transports=["websocket", "webtransport"]))
        assert session.transport == "websocket"
        moving = asyncio.create_task(session.switch("webtransport"))
        await eventually(lambda: one.udp.counts["passed"] >= datagrams)
        await arrives(session.close())
        with pytest.raises(realtime.SessionClosed):
            await arrives(moving)
        await eventually(lambda: not any("realtime client" in task.get_name() for task in asyncio.all_tasks()))
        await eventually(lambda: not one.there.listener._connections and not len(one.server))
        assert one.codes == [1000]
