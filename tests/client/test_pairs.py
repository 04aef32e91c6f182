"""Pairs of transports, as data: where a session ends that was opened on one and may use another later, or that lost one
and is refused the next. The client's own order says where: `transports`, most wanted first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import permutations

from yarl import URL

import realtime
from realtime.testing import Answer, FaultProxy, ProxiedRequest, Rule

from ..patience import steady, within
from .test_client import echo_server, serving, state_becomes

ALL = ["websocket", "xhr_streaming", "sse", "multipart", "long_polling", "polling"]
STREAMS = {"xhr_streaming", "sse", "multipart"}
PAIRS = list(permutations(ALL, 2))
FAST: dict[str, tuple[float, float]] = {"upgrade_interval": (0.05, 0.2), "backoff": (0.01, 0.05)}

# Opened on the second of each because the first was refused, which is allowed later: moves up to the first, unless both
# are streams, from one of which to another nothing is won.
OPENED_ON = {(later, on): on if {later, on} <= STREAMS else later for later, on in PAIRS}

# Lost on the first, refused the second, with a third beside them: carried by the third, and home on the first as soon
# as that gets through again, unless third and first are streams.
LOST_ON = {pair: next(name for name in reversed(ALL) if name not in pair) for pair in PAIRS}


def refuse(proxy: FaultProxy, *names: str) -> list[Rule]:
    """What is in between answers the requests of these transports with 403."""

    def one(name: str) -> Rule:
        def match(request: ProxiedRequest) -> bool:
            return request.path.endswith(f"/v1/{name}")

        return proxy.add(Answer(status=403, match=match))

    return [one(name) for name in names]


async def carried_by(session: realtime.ClientSession, name: str) -> None:
    """Waits until this transport carries the session, and a message has come back over it."""
    await state_becomes(session, lambda: session.transport == name and session.state == "open")
    await session.send(name)
    assert await session.receive() == name


async def each_pair(check: Callable[[FaultProxy, str, str], Awaitable[None]]) -> None:
    """Checks all pairs at once, each over a network of its own."""

    async def one(port: int, first: str, second: str) -> None:
        try:
            async with FaultProxy("127.0.0.1", port) as proxy:
                await check(proxy, first, second)
        except Exception as error:
            error.add_note(f"of the pair {first}, {second}")
            raise

    async with within("every pair"), serving(echo_server()) as url, asyncio.TaskGroup() as group:
        port = URL(url).port
        assert port is not None
        for first, second in PAIRS:
            group.create_task(one(port, first, second))


@steady
async def test_opened_on_one_and_another_is_allowed_later() -> None:
    async def check(proxy: FaultProxy, later: str, on: str) -> None:
        (refused,) = refuse(proxy, later)
        url = f"{proxy.url}/realtime/echo"
        async with realtime.connect(url, transports=[later, on], **FAST) as session:  # type: ignore[arg-type] # options
            await carried_by(session, on)
            refused.remove()
            await carried_by(session, OPENED_ON[later, on])
            choice = session._context.policy.choice
            assert choice.better(session.transport, in_doubt=False) == []  # and there it stays
        assert session.close_code == 1000

    await each_pair(check)


@steady
async def test_lost_on_one_and_refused_the_next() -> None:
    async def check(proxy: FaultProxy, lost: str, refused: str) -> None:
        third = LOST_ON[lost, refused]
        names = [lost, refused, third]
        url = f"{proxy.url}/realtime/echo"
        async with realtime.connect(url, transports=names, **FAST) as session:  # type: ignore[arg-type] # options
            await carried_by(session, lost)
            first, _ = refuse(proxy, lost, refused)
            proxy.cut(rst=True)
            await carried_by(session, third)
            first.remove()
            home = third if {lost, third} <= STREAMS else lost
            await carried_by(session, home)
        assert session.close_code == 1000

    await each_pair(check)
