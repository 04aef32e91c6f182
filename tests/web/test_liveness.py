"""Silence, absence and ends by time, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import realtime
from realtime import State
from realtime.testing import VirtualClock

from .peer import HttpPeer, Peer, WebSocketPeer
from .place import eventually, serving

pytestmark = pytest.mark.usefixtures("quiet_log")


def virtual(**settings: Any) -> Any:
    """A place whose clock stands still."""
    defaults: dict[str, Any] = {"ping_interval": 20, "ping_timeout": 10, "resume_window": 60, "open_timeout": 5}
    return serving(clock=VirtualClock(), **(defaults | settings))


async def heard(peer: Peer) -> None:
    """Has the server hear the client now."""
    await peer.send("pheard")
    while await peer.read() != "qheard":
        pass


def parked_poll(session: realtime.Session) -> bool:
    """Whether a poll of the session is held."""
    return session._machine.carrier is not None


async def test_a_silent_websocket_is_pinged_dropped_and_resumed() -> None:
    async with virtual() as place:
        peer, session = await place.parked("websocket")
        await heard(peer)
        peer.acking = False  # it answers no ping
        place.tick(19)
        place.tick(1.1)
        assert await peer.read() == "p"
        place.tick(9.8)
        assert session.state == State.OPEN
        place.tick(0.2)
        assert session.state == State.DETACHED
        assert await peer.closed() == 1006  # cut off: who is silent takes part in no handshake
        await session.send("while away")
        place.tick(50)
        await peer.resume()
        assert session.state == State.OPEN
        assert await peer.news() == "mwhile away"
        await peer.send("a1,1", "mback")
        assert await session.receive() == "back"
        assert list(place.rt.sessions) == [session]  # the same object, for the same handler
        assert place.sessions.empty()


async def test_a_client_that_could_not_come_while_the_process_stood_still_has_its_time_anew() -> None:
    async with virtual() as place:
        peer, session = await place.parked("websocket")
        await heard(peer)
        await peer.drop()
        await eventually(lambda: session.state == State.DETACHED)
        place.rt._service.clock._now += 200
        place.tick(0)  # the sweep comes late
        place.tick(59)
        await peer.resume()
        assert session.state == State.OPEN


async def test_an_application_that_takes_long_to_say_who_a_client_is_costs_it_no_session() -> None:
    async with virtual() as place:
        asked, answer = asyncio.Queue[None](), asyncio.Event()

        async def who(request: realtime.SessionRequest) -> str | None:
            asked.put_nowait(None)
            await answer.wait()
            return None

        place.rt.authorize(who)
        peer = place.polls("/park")
        peer.acking = False
        opening = asyncio.create_task(peer.open())
        await asked.get()
        answer.set()
        await opening
        session = await place.sessions.get()
        answer.clear()
        confirming = asyncio.create_task(peer.confirm())
        await asked.get()
        place.tick(6)  # more than open_timeout
        assert not session.closed
        answer.set()
        await confirming
        place.tick(6)
        assert not session.closed


async def test_a_websocket_that_answers_stays() -> None:
    async with virtual() as place:
        peer, session = await place.parked("websocket")
        await heard(peer)
        for _ in range(5):
            place.tick(20.1)
            assert await peer.read() == "p"
            await eventually(lambda: session._machine.contact == place.rt._service.clock.now())
        assert session.state == State.OPEN


async def test_any_frame_is_a_sign_of_life() -> None:
    async with virtual() as place:
        peer, session = await place.parked("websocket")
        await heard(peer)
        for _ in range(10):
            await peer.send("z")
            await eventually(lambda: session._machine.contact == place.rt._service.clock.now())
            place.tick(15)
        assert session.state == State.OPEN


@pytest.mark.parametrize("transport", ["websocket", "long_polling", "polling"])  # streams: test_streams.py
async def test_a_dead_client_is_told_to_both_sides_after_the_window(transport: str) -> None:
    async with virtual() as place:
        peer, session = await place.parked(transport)
        await peer.drop()
        if transport == "websocket":
            await eventually(lambda: session.state is State.DETACHED)
        grace = {"websocket": 0, "long_polling": 10, "polling": 90}[transport]
        place.tick(grace + 59)
        assert not session.closed
        place.tick(1.1)
        assert (session.close_code, session.state) == (4410, State.CLOSED)
        late = place.polls("/park")
        late.join(session, 50)
        answer = await late.poll()
        assert (answer.status, answer.frames[0][:15]) == (410, "x4410,session,0")
        late.gen = 50
        place.tick(89)  # resume_window + ping_interval + ping_timeout
        assert (await late.post("send", [late.uplink_frame()])).refusal == (410, 4410, "session")
        place.tick(1.1)
        assert (await late.post("send", [late.uplink_frame()])).refusal == (404, 4404, "session")
        assert not place.rt._service.sessions.registry.tombstones
        assert not place.rt._service.sessions.registry.nonces


async def test_a_poll_without_news_is_answered_after_the_interval() -> None:
    async with virtual() as place:
        peer, session = await place.parked("long_polling")
        assert isinstance(peer, HttpPeer)
        poll = asyncio.create_task(peer.poll())
        await eventually(lambda: parked_poll(session))
        place.tick(19.9)
        await asyncio.sleep(0)
        assert parked_poll(session)
        place.tick(0.2)
        assert await poll == (200, ["r0,0"])
        place.tick(9.8)
        assert session.state == State.OPEN  # the next poll is not overdue
        place.tick(0.2)
        assert session.state == State.DETACHED
        assert await peer.poll() == (200, ["r0,0"])  # it is back, and told so at once
        assert session.state == State.OPEN
        poll = asyncio.create_task(peer.poll())
        await eventually(lambda: parked_poll(session))
        await session.send("news")
        assert await poll == (200, ["r0,0", "mnews"])


async def test_a_plain_poll_may_take_its_time() -> None:
    async with virtual() as place:
        peer, session = await place.parked("polling")
        assert isinstance(peer, HttpPeer)
        place.tick(89.9)
        assert session.state == State.OPEN
        await peer.poll()
        place.tick(89.9)
        assert session.state == State.OPEN
        place.tick(0.2)
        assert session.state == State.DETACHED
    async with virtual(ping_interval=100) as place:
        _, session = await place.parked("polling")
        place.tick(109.9)
        assert session.state == State.OPEN
        place.tick(0.2)
        assert session.state == State.DETACHED


async def test_a_session_never_used_ends(transport: str) -> None:
    async with virtual() as place:
        peer = place.peer(transport, "/park")
        peer.acking = False
        await peer.open()
        session = await place.sessions.get()
        place.tick(4.9)
        await peer.open()  # renews it
        place.tick(4.9)
        assert not session.closed
        place.tick(0.2)
        assert session.close_code == 4408
        if isinstance(peer, WebSocketPeer):
            assert await peer.closed() == 4408
        repeat = place.polls("/park", headers=peer.headers)  # the same page asks again
        repeat.nonce, repeat.gen = peer.nonce, 5
        answer = await repeat.post("polling", ["o" + json.dumps(repeat.open_object())])
        assert answer.refusal == (410, 4408, "session")
        assert len(place.rt) == 0


async def test_a_session_that_was_confirmed_stays(transport: str) -> None:
    async with virtual() as place:
        _, session = await place.parked(transport)
        await eventually(lambda: session._machine.used)
        place.tick(6)
        assert not session.closed


async def test_without_pings() -> None:
    async with virtual(ping_interval=None) as place:
        peer, session = await place.parked("websocket")
        assert peer.opened["ping_interval"] is None
        await heard(peer)
        place.tick(100_000)
        assert session.state == State.OPEN
        await peer.send("mstill here")
        assert await session.receive() == "still here"
        poller, session = await place.parked("long_polling")
        assert isinstance(poller, HttpPeer)
        poll = asyncio.create_task(poller.poll())
        await eventually(lambda: parked_poll(session))
        place.tick(24.9)
        assert parked_poll(session)
        place.tick(0.2)
        assert (await poll).frames == ["r0,0"]


async def test_without_a_ping_timeout_a_silent_websocket_is_pinged_and_kept() -> None:
    async with virtual(ping_timeout=None) as place:
        peer, session = await place.parked("websocket")
        await heard(peer)
        peer.acking = False
        place.tick(21)
        assert await peer.read() == "p"
        place.tick(10_000)
        assert session.state == State.OPEN


async def test_acks_go_out_after_a_second() -> None:
    async with virtual() as place:
        peer, session = await place.parked("websocket")
        await heard(peer)
        await peer.send("mone", "mtwo")
        assert await session.receive() == "one"
        place.tick(1.1)
        assert await peer.read() == "a2,1"
        assert await session.receive() == "two"
        place.tick(1.1)
        assert await peer.read() == "a2,2"


async def test_one_timer_serves_all_sessions() -> None:
    async with virtual() as place:
        for _ in range(5):
            await place.parked("websocket")
        clock = place.rt._service.clock
        assert isinstance(clock, VirtualClock)
        pending = [timer for _, _, timer in clock._timers if timer.pending]
        assert len(pending) == 1


@pytest.mark.parametrize("transport", ["websocket", "long_polling", "polling"])  # streams: test_streams.py
async def test_a_carrier_that_takes_over_ends_the_one_before(transport: str) -> None:
    async with virtual() as place:
        peer, session = await place.parked(transport)
        if isinstance(peer, HttpPeer):
            if transport == "polling":
                return  # is never held
            poll = asyncio.create_task(peer.poll())
            await eventually(lambda: parked_poll(session))
        newer = place.websocket("/park")
        newer.join(session, 10)
        await newer.resume()
        if isinstance(peer, HttpPeer):
            assert await poll == (200, ["r0,0", "esuperseded"])
        else:
            assert await peer.news() == "esuperseded"
            assert isinstance(peer, WebSocketPeer)
            assert await peer.closed() == 1000
        assert session.transport == "websocket"
        late = place.polls("/park", "polling")
        late.join(session, 3)
        answer = await late.poll("mlate, and counted")
        assert answer == (200, ["r1,0", "esuperseded"])
        assert await session.receive() == "late, and counted"
        await session.send("to the newest")
        assert await newer.news() == "mto the newest"


async def test_an_upgrade_by_probe() -> None:
    async with virtual() as place:
        peer, session = await place.parked("long_polling")
        await peer.send("mone")
        ws = place.websocket("/park")
        await ws.connect()
        await ws.send("pprobe")
        assert await ws.read() == "qprobe"
        assert session.transport == "long_polling"  # nothing has changed
        await session.send("two")
        assert await peer.news() == "mtwo"
        ws.key = peer.key
        ws.sid, ws.gen, ws.received, ws.acked = peer.sid, peer.gen, peer.received, peer.acked
        await ws.send(ws.attach_frame(), "mthree")
        assert await ws.read() == "r1,0"
        assert [await session.receive(), await session.receive()] == ["one", "three"]
        assert session.transport == "websocket"


async def test_a_poll_repeated_is_answered_again() -> None:
    async with virtual() as place:
        peer, session = await place.parked("long_polling")
        assert isinstance(peer, HttpPeer)
        frame = peer.attach_frame()
        first = asyncio.create_task(peer.post("long_polling", [frame]))
        await eventually(lambda: parked_poll(session))
        carrier = session._machine.carrier
        second = asyncio.create_task(peer.post("long_polling", [frame]))
        await eventually(lambda: session._machine.carrier is not carrier)
        assert (await first).frames == ["r0,0", "esuperseded"]
        await session.send("news")
        assert (await second).frames == ["r0,0", "mnews"]
        # Its answer was lost: the same again.
        assert (await peer.post("long_polling", [frame])).frames == ["r0,0", "mnews"]
