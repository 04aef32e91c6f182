"""What the UDP fault proxy does to datagrams, seen from both ends of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

import realtime
from realtime.testing import UdpFaultProxy

from ..patience import eventually, within


class End(asyncio.DatagramProtocol):
    """Keeps what comes; a server sends it back."""

    def __init__(self, echoes: bool) -> None:
        self.echoes = echoes
        self.came: list[bytes] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.came.append(data)
        if self.echoes:
            self.transport.sendto(data, address)


@contextlib.asynccontextmanager
async def through(**faults: Any) -> AsyncIterator[tuple[End, End, UdpFaultProxy]]:
    """A client and a server with the proxy in between."""
    loop = asyncio.get_running_loop()
    there, server = await loop.create_datagram_endpoint(lambda: End(True), local_addr=("127.0.0.1", 0))
    async with UdpFaultProxy("127.0.0.1", there.get_extra_info("sockname")[1], **faults) as proxy, within():
        here, client = await loop.create_datagram_endpoint(lambda: End(False), remote_addr=("127.0.0.1", proxy.port))
        yield client, server, proxy
        here.close()
    there.close()


def numbered(count: int) -> list[bytes]:
    return [f"{number:04}".encode() for number in range(count)]


async def said(client: End, messages: list[bytes]) -> None:
    """One after the other, so that no socket's buffer overflows."""
    for message in messages:
        client.transport.sendto(message)
        await asyncio.sleep(0)


async def test_without_faults_everything_passes() -> None:
    async with through() as (client, server, proxy):
        for message in numbered(50):
            client.transport.sendto(message)
            await eventually(lambda message=message: client.came[-1:] == [message])  # type: ignore[misc]
        assert server.came == client.came == numbered(50)
        assert proxy.counts == {"passed": 100}
        assert proxy.flows == 1


async def test_what_is_lost_says_the_seed() -> None:
    lost: list[set[bytes]] = []
    for _ in range(2):
        async with through(loss=0.3, random=Random(7)) as (client, server, proxy):
            server.echoes = False
            await said(client, numbered(40))
            await eventually(lambda: proxy.counts["lost"] + len(server.came) == 40)  # awaited here
            lost.append(set(numbered(40)) - set(server.came))
    assert lost[0] == lost[1] != set()


async def test_what_comes_twice() -> None:
    async with through(duplicate=1.0, random=Random(1)) as (client, server, _):
        server.echoes = False
        client.transport.sendto(b"one")
        await eventually(lambda: server.came == [b"one", b"one"])


async def test_what_is_overtaken_comes_behind_the_next_or_a_moment_later() -> None:
    async with through(reorder=1.0, random=Random(1)) as (client, server, proxy):
        server.echoes = False
        client.transport.sendto(b"one")
        client.transport.sendto(b"two")
        await eventually(lambda: len(server.came) == 2)
        assert server.came in ([b"two", b"one"], [b"one", b"two"])  # as the moment was over, or not
        client.transport.sendto(b"three")
        await eventually(lambda: b"three" in server.came)
        assert proxy.counts["overtaken"] >= 1


async def test_what_is_far_away_arrives() -> None:
    async with through(latency=0.02, jitter=0.02, random=Random(1)) as (client, server, _):
        await said(client, numbered(20))
        await eventually(lambda: len(client.came) == 20)
        assert sorted(server.came) == sorted(client.came) == numbered(20)


async def test_a_flow_that_is_cut_stays_cut_and_another_passes() -> None:
    async with through() as (client, server, proxy):
        client.transport.sendto(b"one")
        await eventually(lambda: client.came == [b"one"])
        assert proxy.cut() == 1
        assert proxy.cut() == 0
        client.transport.sendto(b"two")
        await eventually(lambda: proxy.counts["swallowed"] == 1)
        loop = asyncio.get_running_loop()
        transport, other = await loop.create_datagram_endpoint(
            lambda: End(False), remote_addr=("127.0.0.1", proxy.port)
        )
        other.transport.sendto(b"three")
        await eventually(lambda: other.came == [b"three"])
        assert server.came == [b"one", b"three"]
        assert proxy.flows == 1
        transport.close()


@pytest.mark.parametrize("way", ["to_server", "to_client", None])
async def test_a_flow_is_cut_after_so_many_datagrams(way: Any) -> None:
    async with through(cut_after=4, cuts=1, cut_way=way) as (client, server, proxy):
        for message in numbered(2):
            client.transport.sendto(message)
            await eventually(lambda message=message: client.came[-1:] == [message])  # type: ignore[misc]
        client.transport.sendto(b"cut")
        await eventually(lambda: proxy.counts["swallowed"] == 1)
        assert server.came == [*numbered(2), *([b"cut"] if way == "to_client" else [])]
        assert client.came == numbered(2)
        assert proxy.counts["cut"] == 1
        assert proxy.cuts == 0


async def test_dark_and_light_again() -> None:
    async with through() as (client, server, proxy):
        proxy.go_dark()
        client.transport.sendto(b"one")
        await eventually(lambda: proxy.counts["swallowed"] == 1)
        proxy.clear()
        client.transport.sendto(b"two")
        await eventually(lambda: client.came == [b"two"])
        assert server.came == [b"two"]


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        ({"loss": 1.5, "random": Random(1)}, "loss=1.5: a chance is from 0 to 1"),
        ({"duplicate": -0.1, "random": Random(1)}, "duplicate=-0.1"),
        ({"reorder": 0.1}, "needs a random"),
        ({"jitter": 0.1}, "needs a random"),
        ({"latency": -1.0}, "latency and jitter are seconds"),
    ],
)
def test_what_makes_no_sense(faults: dict[str, Any], says: str) -> None:
    with pytest.raises(realtime.LocalProtocolError, match=says):
        UdpFaultProxy("127.0.0.1", 1, **faults)


@pytest.mark.parametrize(("name", "value"), [("loss", 0.5), ("jitter", 0.1), ("duplicate", 2), ("latency", -1)])
async def test_what_makes_no_sense_meanwhile(name: str, value: float) -> None:
    async with through() as (_, _, proxy):
        with pytest.raises(realtime.LocalProtocolError, match=name):
            setattr(proxy, name, value)


async def test_a_flow_that_is_cut_one_way_can_be_cut_the_other_way_too() -> None:
    async with through(cut_after=1, cut_way="to_client") as (client, server, proxy):
        await said(client, numbered(2))
        await eventually(lambda: server.came == numbered(2))
        assert proxy.cut() == 1
        before = proxy.counts["swallowed"]
        await said(client, numbered(1))
        await eventually(lambda: proxy.counts["swallowed"] > before)
        assert server.came == numbered(2)
        assert proxy.cut() == 0


async def test_a_server_that_has_no_address_is_silence() -> None:
    """Until it has one."""
    async with through() as (client, _, proxy):
        there = proxy.backend
        proxy.backend = "256.0.0.1", 1
        client.transport.sendto(b"lost")
        await eventually(lambda: proxy.counts["passed"] == 1 and not proxy.flows)
        proxy.backend = there
        client.transport.sendto(b"heard")
        await eventually(lambda: client.came == [b"heard"])
