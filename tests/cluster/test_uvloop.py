"""On uvloop, whose transports are none of asyncio's by their class: what takes connections without aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import realtime

from ..durable.test_takeovers import (
    test_another_worker_goes_on_when_the_owner_is_gone as durable_sessions_are_taken_over,
)
from ..durable.test_takeovers import (
    test_requests_are_carried_to_the_owner_while_it_lives as requests_are_carried,
)
from ..stomp.place import client, stomping

Case = Callable[[], Coroutine[Any, Any, None]]


async def over_websockets() -> None:
    await requests_are_carried(over_polls=False)


async def over_polls() -> None:
    await requests_are_carried(over_polls=True)


async def behind_a_death() -> None:
    await durable_sessions_are_taken_over(over_polls=True)


async def stomp_over_tcp() -> None:
    async with stomping(realtime.STOMP(tcp=("127.0.0.1", 0))) as place:
        one = await client(place, "tcp")
        await one.connect()
        await one.subscribe("/topic/a")
        await one.send("SEND", {"destination": "/topic/a"}, "heard")
        assert (await one.expect("MESSAGE")).body == b"heard"


@pytest.mark.parametrize("case", [over_websockets, over_polls, behind_a_death, stomp_over_tcp])
def test_on_uvloop(case: Case) -> None:
    with asyncio.Runner(loop_factory=pytest.importorskip("uvloop").new_event_loop) as runner:
        runner.run(case())
