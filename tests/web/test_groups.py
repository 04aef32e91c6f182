"""Messages that are nothing without each other: sent, dropped and passed on whole, whatever carries a session."""

from __future__ import annotations

import asyncio

import pytest

import realtime
from realtime import LocalProtocolError, SessionClosed
from realtime.brokers.messages import decoded, encoded
from realtime.core.frames import Group, Outgoing, RoomItem
from realtime.groups import send_group
from realtime.hub import Hub
from realtime.testing import VirtualClock

from ..patience import eventually, within
from .place import serving

pytestmark = pytest.mark.usefixtures("quiet_log")

TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "long_polling", "sse"])


@TRANSPORTS
async def test_a_group_is_sent_in_one_piece(transport: str) -> None:
    async with serving() as place:
        peer, session = await place.parked(transport)
        group = Group("event", b"one", b"")
        await send_group(session, group)
        session._offer_group(group)
        await session.send("next")
        assert await peer.take(7) == ["mevent", b"one", b"", "mevent", b"one", b"", "mnext"]


@TRANSPORTS
async def test_who_waits_for_room_waits_for_all_of_it(transport: str) -> None:
    async with serving(max_outbox=4) as place:
        peer, session = await place.parked(transport, window=(2, 65_536))
        peer.acking = False
        for number in range(3):
            await session.send(str(number))
        sending = asyncio.create_task(send_group(session, Group("event", b"one")))
        behind = asyncio.create_task(session.send("behind"))
        done, _ = await asyncio.wait((sending, behind), timeout=0.02)
        assert not done
        peer.acking = True
        assert await peer.take(6) == ["m0", "m1", "m2", "mevent", b"one", "mbehind"]
        async with within():
            await asyncio.gather(sending, behind)


@pytest.mark.parametrize("volatile", [False, True])
async def test_a_slow_consumer_never_sees_half_of_one(volatile: bool) -> None:
    async with serving(max_outbox=8, on_full="drop_oldest") as place:
        peer, session = await place.parked("websocket", window=(3, 65_536))
        peer.acking = False
        for number in range(50):
            group = Group(f"event {number}", b"one", b"two", volatile=volatile)
            if number % 2:
                session._offer_group(group)
            else:
                await send_group(session, group)
            await asyncio.sleep(0)
        assert len(session._machine.outbox) <= 8
        peer.acking = True
        await session.send("last")
        said: list[str | bytes] = []
        while not said or said[-1] != "mlast":
            said.append(await peer.news())
        notes = [int(part[1:]) for part in said[:-1] if isinstance(part, str) and part.startswith("d")]
        events = [part for part in said[:-1] if not (isinstance(part, str) and part.startswith("d"))]
        count = len(events) // 3
        assert events[1::3] + events[2::3] == [b"one"] * count + [b"two"] * count
        assert [str(part)[:7] for part in events[::3]] == ["mevent "] * count
        if volatile:  # dropped without a word
            assert notes == []
            assert 1 <= count < 5
        else:  # the newest are there, and how many are missing
            assert sum(notes) + 3 * count == 150
            assert events[-3] == "mevent 49"


async def test_who_is_closed_for_being_slow() -> None:
    async with serving(max_outbox=4, on_full="close") as place:
        peer, session = await place.parked("websocket", window=(2, 65_536))
        peer.acking = False
        await send_group(session, Group("event", b"one", b"two"))
        with pytest.raises(SessionClosed) as caught:
            await send_group(session, Group("event", b"one", b"two"))
        assert caught.value.code == 1008
        assert session._machine.outbox.dropped == 3
        session._offer_group(Group("event"))  # to nobody
        with pytest.raises(SessionClosed):
            await send_group(session, Group("event"))


async def test_what_has_no_room_at_all_is_dropped_whole() -> None:
    async with serving(max_outbox=3, clock=VirtualClock()) as place:
        peer, session = await place.parked("websocket", window=(10, 65_536))
        peer.acking = False
        await session.send("1")
        assert await peer.news() == "m1"
        session._offer_group(Group("event", b"one", b"two", b"three"))
        await session.send("2")
        assert await peer.take(2) == ["d4", "m2"]


async def test_the_newest_waits_for_acks_as_a_whole() -> None:
    async with serving(max_outbox=3, clock=VirtualClock()) as place:
        peer, session = await place.parked("websocket", window=(10, 65_536))
        peer.acking = False
        await session.send("1")
        assert await peer.news() == "m1"
        for name in ("event", "newest"):
            session._offer_group(Group(name, b"one", b"two"))
        await peer.send("a1,1")
        assert await peer.take(4) == ["d3", "mnewest", b"one", b"two"]


async def test_without_bytes_there_is_no_event_with_bytes() -> None:
    rt = realtime.Server(shutdown_timeout=0.3)
    sessions: list[realtime.Session] = []

    @rt.endpoint("/chat", sockjs=True)
    async def chat(session: realtime.Session) -> None:
        sessions.append(session)
        await session.wait_closed()

    async with serving(rt) as place, place.http.ws_connect(place.url("/chat/000/a/websocket")) as ws:
        assert await ws.receive_str() == "o"
        (session,) = sessions
        with pytest.raises(LocalProtocolError, match="text only"):
            await send_group(session, Group("event", b"one"))
        session._offer_group(Group("event", b"one"))
        session._offer_room(RoomItem("room", "1.1.x", Group("event", b"one")))
        await session._give_room(RoomItem("room", "1.1.x", Group("event", b"one")))
        assert session._machine.outbox.dropped == 6
        await send_group(session, Group("alone"))
        assert await ws.receive_str() == 'a["alone"]'


@pytest.mark.parametrize("rooms", [{}, None], ids=["positions", "plain"])
async def test_a_room_stands_behind_the_last_part(rooms: dict[str, str] | None) -> None:
    async with serving() as place:
        peer = place.websocket("/park")
        await peer.open(**({} if rooms is None else {"rooms": rooms}))
        async with within():
            session = await place.sessions.get()
        session._offer_room(RoomItem("chat", "1.1.x", Group("event", b"one", b"\x00")))
        session._offer_position("chat", "1.2.x")
        await session._give_room(RoomItem("chat", "1.3.x", Group("alone")))
        await session._give_room(RoomItem("chat", "1.4.x", Group("event", b"two")))
        session._offer_room(RoomItem("chat", "1.5.x", Outgoing.message("plain")))
        if rooms is None:
            assert await peer.take(7) == ["mevent", b"one", b"\x00", "malone", "mevent", b"two", "mplain"]
        else:
            assert await peer.take(8) == [
                *("mevent", b"one", "hchat,1.1.x,bAA=="),
                *("hchat,1.2.x", "hchat,1.3.x,malone"),
                *("mevent", "hchat,1.4.x,bdHdv", "hchat,1.5.x,mplain"),
            ]


async def test_a_position_waits_where_there_is_no_room_for_a_group() -> None:
    async with serving(max_outbox=4, clock=VirtualClock()) as place:
        peer = place.websocket("/park", window=(1, 65_536))
        await peer.open(rooms={})
        async with within():
            session = await place.sessions.get()
        peer.acking = False
        for number in range(3):
            await session.send(str(number))
        session._offer_position("chat", "1.1.x", 5)
        session._offer_room(RoomItem("chat", "1.2.x", Group("event", b"1", b"2", b"3", b"4", b"5")))
        peer.acking = True
        assert await peer.take(5) == ["m0", "m1", "m2", "hchat,1.1.x,d5", "d6"]


async def test_a_hub_sends_groups() -> None:
    hub = Hub()
    async with serving() as place:
        peer, session = await place.parked("websocket")
        hub.join(session, "room")
        await hub.room("room")._send(Group("event", b"one"), ())
        await hub.room("room")._send(Group("event", b"one"), session)
        await hub.room("room").send("next")
        assert await peer.take(3) == ["mevent", b"one", "mnext"]


@pytest.mark.parametrize("volatile", [False, True])
@pytest.mark.parametrize("parts", [("alone",), ("é\n,", b"one", b"", b"\n\x00")])
def test_what_a_broker_carries(parts: tuple[str | bytes, ...], volatile: bool) -> None:
    found = decoded(encoded(Group(*parts, volatile=volatile), frozenset(("a", "b"))))
    assert found is not None
    group, skipped = found
    assert isinstance(group, Group)
    assert [part.data for part in group.parts] == list(parts)
    assert (group.volatile, skipped) == (volatile, frozenset(("a", "b")))
    plain = decoded(encoded(Outgoing.message("text"), frozenset()))
    assert plain is not None
    assert (type(plain[0]), plain[0].data) == (Outgoing, "text")


@pytest.mark.parametrize(
    "payload", [b"e\n", b"e\n3\nab", b"e\n-1,3\nab", b"e\nx\nab", b"e\n1\n\xff", b"q\nab", b"e[1]\n1\na", b"e"]
)
def test_what_is_none_of_ours(payload: bytes) -> None:
    assert decoded(payload) is None


async def test_what_is_kept_waits_where_others_are_dropped() -> None:
    """Where all the room is taken by what is under way, and cannot be dropped any more."""
    async with serving(max_outbox=4, on_full="drop_oldest") as place:
        peer, session = await place.parked("websocket", window=(10, 65_536))
        peer.acking = False
        for number in range(4):
            await session.send(str(number))
        assert await peer.take(4) == ["m0", "m1", "m2", "m3"]
        keeping = asyncio.create_task(send_group(session, Group("kept", b"one", kept=True)))
        await send_group(session, Group("event", b"two"))
        done, _ = await asyncio.wait({keeping}, timeout=0.02)
        assert not done
        await peer.send("a3,3")
        async with within():
            await keeping
        assert await peer.take(3) == ["d2", "mkept", b"one"]
        await peer.send("a7,7")
        await eventually(lambda: not len(session._machine.outbox))
        for number in range(3):
            await send_group(session, Group(f"event {number}"))
        keeping = asyncio.create_task(send_group(session, Group("kept", b"two", kept=True)))
        session._machine.end(3000, "over", 0.0)
        with pytest.raises(SessionClosed):
            await keeping
