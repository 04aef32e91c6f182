"""What a carried message costs, in exact counts of calls in this package, at both workers together (docs/scaling.md §8;
times are measured by benchmarks/forwarding).
"""

from __future__ import annotations

import asyncio

import pytest

from realtime.transports.websocket import FIN_TEXT

from ..patience import arrives
from ..test_costs import Calls
from ..web.peer import HttpPeer
from ..web.sockets import masked
from .fleet import Fleet, fleet
from .test_first_frames import HANDSHAKE

ROUNDS = 20
BATCHES = 4  # of which the one counts in which least was done that time brings, and not messages


async def echoes(one: Fleet, *, carried: bool) -> int:
    """The calls of so many echoes over a WebSocket."""
    peer, _, owner = await one.opened("websocket")
    await peer.drop()
    port = (one.other(owner) if carried else owner).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE.encode() + masked(FIN_TEXT, peer.attach_frame().encode()))
    calls = Calls()

    async def echo(number: int) -> None:
        writer.write(masked(FIN_TEXT, b"m%05d" % number))
        await arrives(reader.readuntil(b"m%05d" % number))

    for number in range(ROUNDS):
        await echo(number)
    counts = []
    for batch in range(1, 1 + BATCHES):
        with calls.counted():
            for number in range(batch * ROUNDS, (batch + 1) * ROUNDS):
                await echo(number)
        counts.append(calls.taken())
    writer.close()
    return min(counts)


async def sends(one: Fleet, *, carried: bool) -> int:
    """The calls of so many sends by POST."""
    peer, _, owner = await one.opened("polling")
    assert isinstance(peer, HttpPeer)
    peer.url = f"{(one.other(owner) if carried else owner).url}/realtime/echo"
    calls = Calls()
    counts = []
    for _ in range(ROUNDS):
        await arrives(peer.post("send", [peer.uplink_frame(), "p"]))
    for _ in range(BATCHES):
        with calls.counted():
            for _ in range(ROUNDS):
                await arrives(peer.post("send", [peer.uplink_frame(), "p"]))
        counts.append(calls.taken())
    return min(counts)


# Of what a POST costs most is aiohttp's, at both workers.
@pytest.mark.parametrize(("what", "most"), [(echoes, 1.1), (sends, 3.0)], ids=["a WebSocket's", "a POST's"])
async def test_both_workers_together(what: object, most: float) -> None:
    assert callable(what)
    async with fleet(2) as one:
        local, carried = await what(one, carried=False), await what(one, carried=True)
    assert local < carried <= most * local, carried / local
