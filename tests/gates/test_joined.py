"""Exactly once, in order, both ways, where the session's server knows no HTTP: every transport through a socket to it.

The client is the real one, and the faults are the fault matrix's.
"""

from __future__ import annotations

import pytest

from realtime.testing import Cut, DropRequest, DropResponse, Fault, KillWebSocket, RefuseWebSocket, RepeatRequest

from ..client.soak import assert_exactly_once, soak_server
from ..client.test_fault_matrix import STREAMS, posts, sends, streams
from .joined import join

COUNT = 500

POSTS: list[Fault] = [DropRequest(match=posts, every=7), DropResponse(match=posts, every=5), RepeatRequest(every=3)]
FAULTS: dict[str, list[Fault]] = {
    # More frames than the server's window takes, or no answer would ever come in time: it has one hop more to go.
    "websocket": [KillWebSocket(after_frames=60, end="rst"), KillWebSocket(after_frames=100, sent_by="client")],
    **{name: [Cut(match=streams, after_bytes=10_000), DropResponse(match=sends, every=5)] for name in STREAMS},
    "long_polling": POSTS,
    "polling": POSTS,
}


@pytest.mark.parametrize("faulty", [False, True], ids=["calm", "cut"])
@pytest.mark.parametrize("transport", FAULTS)
async def test_a_session_whose_server_is_behind_a_socket(transport: str, faulty: bool) -> None:
    async with soak_server(COUNT, setup=join) as soak:
        rules = [soak.proxy.add(fault) for fault in FAULTS[transport] if faulty]
        server, client, session = await soak.run(transports=[transport])
        assert_exactly_once(server, client, COUNT)
        assert session.transport == transport
        assert session.unacknowledged == []
        assert all(rule.fired for rule in rules)


async def test_it_goes_on_over_another_transport() -> None:
    """Opened where WebSockets were refused, gone on over one, which is cut again and again."""
    count = 8 * COUNT
    async with soak_server(count, setup=join) as soak:
        refused = soak.proxy.add(RefuseWebSocket(times=2))
        killed = soak.proxy.add(KillWebSocket(after_frames=80, times=3))
        server, client, _ = await soak.run(
            transports=["websocket", "long_polling"], upgrade_interval=(0.01, 0.05), attach_timeout=5.0
        )
        assert_exactly_once(server, client, count)
        assert refused.fired
        assert killed.fired
