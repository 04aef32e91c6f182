"""Heart-beats in both directions, and clients that never come, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import gc

import pytest

import realtime
from realtime.stomp.schedule import Schedule
from realtime.testing import VirtualClock

from ..patience import eventually
from ..web.place import Place
from .place import Client, client, stomping


async def tick(place: Place, seconds: float) -> None:
    """Moves the clock, and lets what is due happen."""
    place.tick(seconds)
    for _ in range(10):
        await asyncio.sleep(0)


async def connected(place: Place, kind: str, heart_beat: str) -> Client:
    """A client that is in."""
    one = await client(place, kind)
    await one.connect(heart_beat=heart_beat)
    return one


@pytest.mark.parametrize("kind", ["websocket", "tcp", "sockjs", "engine"])
async def test_both_directions(kind: str) -> None:
    stomp = realtime.STOMP(tcp=("127.0.0.1", 0), heart_beat=(4.0, 2.0))
    async with stomping(stomp, clock=VirtualClock(), ping_interval=None) as place:
        one = await connected(place, kind, "1000,1000")
        before = one.beats
        await tick(place, 3.0)
        await one.beat()
        assert one.beats == before + 1
        await one.say(b"\n")  # in time: within twice as much as was promised
        (session,) = place.rt.sessions
        await eventually(lambda: not len(session._machine.inbox))
        await one.done("SEND", {"destination": "/queue/a"}, "x")  # what was said before is taken
        await tick(place, 2.9)
        await one.done("SEND", {"destination": "/queue/a"}, "x")  # which is as good as a heart-beat
        await tick(place, 2.9)
        assert one.beats == before + 1
        await tick(place, 1.3)
        found = await one.refused("nothing came for two heart-beats of 2 seconds")
        assert one.beats == before + 2
        assert found.headers["content-type"] == "text/plain"


@pytest.mark.parametrize(("ours", "theirs"), [((0, 0), "1000,1000"), ((4.0, 4.0), "0,0"), ((4.0, 4.0), None)])
async def test_none(ours: tuple[float, float], theirs: str | None) -> None:
    async with stomping(realtime.STOMP(heart_beat=ours), clock=VirtualClock(), ping_interval=None) as place:
        one = await client(place)
        await one.connect(**({} if theirs is None else {"heart_beat": theirs}))
        for _ in range(10):
            await tick(place, 10.0)
        await one.done("SEND", {"destination": "/queue/a"}, "x")
        assert one.beats == 0


async def test_a_poll_that_is_away_is_its_transports_affair() -> None:
    async with stomping(realtime.STOMP(heart_beat=(0, 1.0)), clock=VirtualClock(), ping_interval=None) as place:
        peer = place.peer("websocket", "/stomp")
        await peer.open()
        await peer.send("mCONNECT\naccept-version:1.2\nheart-beat:1000,0\n\n\0")
        assert str(await peer.news()).startswith("mCONNECTED")
        await peer.drop()
        (session,) = place.rt.sessions
        await eventually(lambda: session.state is realtime.State.DETACHED)
        await tick(place, 60.0)
        assert not session.closed


@pytest.mark.parametrize("kind", ["websocket", "native", "sockjs"])
async def test_no_connect(kind: str) -> None:
    async with stomping(realtime.STOMP(connect_timeout=5.0), clock=VirtualClock(), ping_interval=None) as place:
        one = await client(place, kind)
        await eventually(lambda: len(place.rt._service.runtime._deadlines) > 1)
        await tick(place, 4.9)
        await one.say(b"\n")
        await tick(place, 0.2)
        await one.refused("no CONNECT came within connect_timeout")


async def test_many_idle_clients_have_one_timer() -> None:
    clock = VirtualClock()
    async with stomping(clock=clock, ping_interval=None) as place:
        for _ in range(5):
            await connected(place, "websocket", "10000,10000")
        assert len([timer for _, _, timer in clock._timers if timer.pending]) == 1


async def test_what_is_acknowledged_is_remembered_no_longer() -> None:
    """However long a message may be unacknowledged, and however fast others are acknowledged behind one that is not."""
    async with stomping(realtime.STOMP(ack_timeout=1000.0, max_unacknowledged=4)) as place:
        one = await connected(place, "websocket", "0,0")
        await one.subscribe("/queue/a", ack="client-individual")
        await one.send("SEND", {"destination": "/queue/a"}, "kept")
        await one.expect("MESSAGE")
        for _ in range(200):
            await one.send("SEND", {"destination": "/queue/a"}, "x")
            await one.done("ACK", {"id": (await one.expect("MESSAGE")).headers["ack"]})
        schedules = [each for each in gc.get_objects() if isinstance(each, Schedule)]
        (due,) = [each._due for each in schedules if each._home.session in place.rt.sessions]
        assert 1 <= len(due) <= 64
