"""Exactly once, in order, both ways: every transport × every fault, over real sockets, under load, again and again."""

from __future__ import annotations

from random import Random

import pytest

from realtime.testing import (
    BlackHole,
    Cut,
    DelayRequest,
    DropRequest,
    DropResponse,
    Fault,
    HangWebSocket,
    HoldResponse,
    KillWebSocket,
    Lag,
    ProxiedRequest,
    RefuseWebSocket,
    ReorderRequests,
    RepeatRequest,
    ResetWebSocket,
    StripUpgrade,
    TruncateRequest,
    TruncateResponse,
)
from realtime.testing.fault_proxy.faults import End

from ..patience import steady
from .soak import assert_exactly_once, soak_server

COUNT = 600
MORE = 1200  # where a server's streams end, which are 4 kilobytes at least


def posts(request: ProxiedRequest) -> bool:
    """Polls and sends."""
    return request.method == "POST"


def websockets(request: ProxiedRequest) -> bool:
    """Handshakes."""
    return request.is_websocket


# What may happen to every connection of a transport, again and again; but what takes a client most of a second to find
# out happens only some times.
ON_WEBSOCKET: dict[str, list[Fault]] = {
    "none": [],
    "killed by FIN after 50 frames from the server": [KillWebSocket(after_frames=50)],
    "killed by RST after 50 frames from the server": [KillWebSocket(after_frames=50, end="rst")],
    "killed after 35 frames from the client": [KillWebSocket(after_frames=35, sent_by="client", end="rst")],
    "killed after the first frame, every other": [
        KillWebSocket(after_frames=1, every=2),
        KillWebSocket(after_frames=150),
    ],
    "cut after 4,000 bytes": [Cut(match=websockets, after_bytes=4000, end="rst")],
    "black hole to the server after 75 writes": [
        BlackHole(match=websockets, direction="to_server", after_writes=75, times=4)
    ],
    "black hole to the client after 75 writes": [
        BlackHole(match=websockets, direction="to_client", after_writes=75, times=4)
    ],
    "black hole both ways after 10,000 bytes": [BlackHole(match=websockets, after_bytes=10_000, times=4)],
    "refused, every other": [RefuseWebSocket(every=2), KillWebSocket(after_frames=100)],
    "stripped, every other": [StripUpgrade(every=2), KillWebSocket(after_frames=100)],
    "hung, every third": [HangWebSocket(every=3, times=2), KillWebSocket(after_frames=150)],
    "reset, every other": [ResetWebSocket(every=2), KillWebSocket(after_frames=100)],
    "lag": [Lag(seconds=0.01, match=websockets, direction="both")],
}

ON_POSTS: dict[str, list[Fault]] = {
    "none": [],
    "requests dropped": [DropRequest(match=posts, every=7)],
    "requests hung": [DropRequest(match=posts, every=11, times=2, end="hang")],
    "replies dropped": [DropResponse(match=posts, every=5)],
    "replies dropped by RST": [DropResponse(match=posts, every=5, end="rst")],
    "replies hung": [DropResponse(match=posts, every=11, times=2, end="hang")],
    "every POST repeated": [RepeatRequest()],
    "POSTs repeated two requests later": [RepeatRequest(after_requests=2, every=3)],
    "POSTs overtaking each other": [ReorderRequests(every=3, max_hold=0.05)],
    "bodies truncated": [TruncateRequest(match=posts, every=7)],
    "answers truncated": [TruncateResponse(match=posts, every=5)],
    "answers truncated by RST": [TruncateResponse(match=posts, every=5, keep=3, end="rst")],
    "answers held": [HoldResponse(seconds=0.03, match=posts)],
    "requests delayed": [DelayRequest(seconds=0.02, match=posts, every=3)],
    "lag": [Lag(seconds=0.01, match=posts)],
    "all at once": [
        DropRequest(match=posts, every=11),
        DropResponse(match=posts, every=7),
        RepeatRequest(every=3),
        DelayRequest(seconds=0.02, match=posts, every=5),
        TruncateResponse(match=posts, every=9),
    ],
}


def streams(request: ProxiedRequest) -> bool:
    """The long responses."""
    return request.path.rpartition("/")[2] in STREAMS


def sends(request: ProxiedRequest) -> bool:
    """What goes up beside them."""
    return request.path.endswith("/send")


STREAMS = ("xhr_streaming", "sse", "multipart")
ON_STREAMS: dict[str, list[Fault]] = {
    "cut by FIN after 5,000 bytes": [Cut(match=streams, after_bytes=5_000)],
    "cut by RST after 5,000 bytes": [Cut(match=streams, after_bytes=5_000, end="rst")],
    "black hole to the client after 25 writes": [
        BlackHole(match=streams, direction="to_client", after_writes=25, times=4)
    ],
    "held for a while": [HoldResponse(seconds=0.1, match=streams), Cut(match=streams, after_bytes=20_000)],
    "lag": [Lag(seconds=0.01, match=streams)],
    "sends dropped": [DropRequest(match=sends, every=7)],
    "replies to sends lost": [DropResponse(match=sends, every=5)],
    "sends repeated": [RepeatRequest(match=sends)],
    "all at once": [
        Cut(match=streams, after_bytes=10_000, end="rst"),
        DropRequest(match=sends, every=11),
        DropResponse(match=sends, every=7),
        RepeatRequest(every=3),
        DelayRequest(seconds=0.02, match=posts, every=5),
        HoldResponse(seconds=0.05, match=streams, every=3),
    ],
}

# Only beside a held poll are two POSTs out at once, so that one can overtake another.
ONLY_ON_LONG_POLLING = {"POSTs overtaking each other"}

CASES = [
    *(pytest.param("websocket", faults, id=f"websocket-{name}") for name, faults in ON_WEBSOCKET.items()),
    *(
        pytest.param(transport, faults, id=f"{transport}-{name}")
        for transport in ("xhr_streaming", "long_polling", "polling")
        for name, faults in ON_POSTS.items()
        if transport == "long_polling" or name not in ONLY_ON_LONG_POLLING
    ),
    *(
        pytest.param(transport, faults, id=f"{transport}-{name}")
        for transport in STREAMS
        for name, faults in ON_STREAMS.items()
    ),
]


@pytest.mark.parametrize(("transport", "faults"), CASES)
async def test_one_transport_under_one_fault(transport: str, faults: list[Fault]) -> None:
    async with soak_server(COUNT) as soak:
        rules = [soak.proxy.add(fault) for fault in faults]
        server, client, session = await soak.run(transports=[transport])
        assert_exactly_once(server, client, COUNT)
        assert session.transport == transport
        assert session.unacknowledged == []
        for rule in rules:
            assert rule.fired > 0, f"{rule.fault} never happened: this cell shows nothing"


@pytest.mark.parametrize("transport", STREAMS)
@steady
async def test_streams_recycled_every_4_kilobytes(transport: str) -> None:
    async with soak_server(MORE, max_stream_size=4096) as soak:
        begun = soak.proxy.add(Lag(seconds=0.0, match=streams))
        server, client, session = await soak.run(transports=[transport])
        assert_exactly_once(server, client, MORE)
        assert begun.armed > 8
        assert session.attempts == {}  # no failure, as the client sees it


@pytest.mark.parametrize("transport", STREAMS)
@pytest.mark.parametrize("end", ["fin", "rst"])
async def test_streams_held_whole_and_truncated(transport: str, end: End) -> None:
    """Every third comes when it is complete, without its end."""
    async with soak_server(MORE, max_stream_size=4096) as soak:
        rule = soak.proxy.add(TruncateResponse(match=streams, every=3, keep=-40, end=end))
        server, client, _ = await soak.run(transports=[transport])
        assert_exactly_once(server, client, MORE)
        assert rule.fired > 0  # how many streams it takes depends on how much each is given at once


@pytest.mark.parametrize("seed", range(4))
async def test_everything_at_random(seed: int) -> None:
    """All transports allowed, every kind of fault by chance: the session goes wherever it gets through."""
    faults: list[Fault] = [
        RefuseWebSocket(chance=0.3),
        KillWebSocket(after_frames=75, chance=0.7, end="rst"),
        KillWebSocket(after_frames=20, sent_by="client", chance=0.3),
        BlackHole(match=websockets, after_writes=100, chance=0.2),
        DropRequest(match=posts, chance=0.05),
        DropResponse(match=posts, chance=0.05),
        RepeatRequest(chance=0.2),
        ReorderRequests(chance=0.1, max_hold=0.05),
        TruncateResponse(match=posts, chance=0.05),
    ]
    async with soak_server(COUNT, random=Random(seed)) as soak:
        for fault in faults:
            soak.proxy.add(fault)
        server, client, _ = await soak.run(upgrade_interval=(0.2, 1.0))
        assert_exactly_once(server, client, COUNT)
