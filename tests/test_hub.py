"""Rooms: who hears, in which order, at which cost, and that nothing is kept of what is over."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

import pytest

from realtime import LocalProtocolError, broadcasts, runtime
from realtime.core.frames import Group, Outgoing, RoomItem
from realtime.hub import Hub
from realtime.transports import TRANSPORTS, Frame

from .web.place import Place, eventually, serving


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving() as place:
        yield place


class Ear:
    """A receiver that keeps what it is offered."""

    def __init__(self, name: str = "") -> None:
        self.id = name or secrets.token_hex(4)
        self.heard: list[Outgoing] = []
        self.gone: list[str] = []

    def _offer(self, item: Outgoing) -> None:
        self.heard.append(item)

    def _offer_group(self, group: Group) -> None:
        for part in group.parts:
            self._offer(part)

    def _offer_room(self, item: RoomItem) -> None:
        self._offer(item.plain)

    async def _give_room(self, item: RoomItem) -> None:
        self._offer(item.plain)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        if missing is not None:
            self._miss(missing)

    def _miss(self, count: int) -> None:
        raise AssertionError("a room of one process loses nothing")

    def _left(self, room: str) -> None:
        self.gone.append(room)

    def _check_member(self) -> None:
        """It can be in any room."""

    @property
    def texts(self) -> list[str | bytes]:
        return [item.data for item in self.heard]


# -- without sockets ---------------------------------------------------------------------------------------------------


async def test_everybody_in_the_room_is_offered_the_same_object() -> None:
    hub = Hub()
    ears = [Ear() for _ in range(3)]
    for ear in ears:
        assert hub.join(ear, "room")
    stranger = Ear()
    hub.join(stranger, "elsewhere")
    await hub.room("room").send("hello")
    assert [ear.texts for ear in ears] == [["hello"]] * 3
    assert len({id(ear.heard[0]) for ear in ears}) == 1
    assert stranger.texts == []


async def test_all_leave_a_room_that_is_closed_behind_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "SLICE", 2)
    hub = Hub()
    ears = [Ear() for _ in range(5)]
    for ear in ears:
        hub.join(ear, "room")
        hub.join(ear, "elsewhere")
    room = hub.room("room")
    sending = [asyncio.ensure_future(room.send(text)) for text in ("a", "b")]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(room.close())
    await asyncio.sleep(0)
    late = asyncio.ensure_future(room.send("c"))
    await closing
    assert len(room) == 0
    assert all(hub.rooms_of(ear) == {"elsewhere"} for ear in ears)
    await asyncio.gather(*sending, late)
    assert [ear.texts for ear in ears] == [["a", "b"]] * 5
    assert [ear.gone for ear in ears] == [["room"]] * 5
    hub.join(ears[0], "room")
    await room.send("d")
    assert ears[0].texts == ["a", "b", "d"]
    await hub.room("of nobody").close()


async def test_skip_takes_one_or_many_or_a_room() -> None:
    hub = Hub()
    one, two, three = Ear(), Ear(), Ear()
    for ear in (one, two, three):
        hub.join(ear, "room")
    hub.join(three, "muted")
    room = hub.room("room")
    await room.send("a", skip=one)
    await room.send("b", skip=(one, two))
    await room.send("c", skip=hub.room("muted"))
    await room.send("d", skip=Ear())
    await room.send("e", skip=[one, two, three])
    assert [ear.texts for ear in (one, two, three)] == [["c", "d"], ["a", "c", "d"], ["a", "b", "d"]]


async def test_skip_takes_ids_too() -> None:
    hub = Hub()
    one, two, three = Ear("one"), Ear("two"), Ear("three")
    for ear in (one, two, three):
        hub.join(ear, "room")
    room = hub.room("room")
    await room.send("a", skip="one")
    await room.send("b", skip=["one", two, "nobody"])
    await room.send("c", skip=await room.members())
    assert [ear.texts for ear in (one, two, three)] == [[], ["a"], ["a", "b"]]


async def test_what_may_be_elsewhere_is_awaited_and_goes_by_id() -> None:
    hub = Hub()
    room = hub.room("room")
    assert (await room.count(), await room.members()) == (0, {})
    for name in ("one", "two"):
        hub.join(Ear(name), "room")
    assert (await room.count(), await room.members()) == (2, {"one": {}, "two": {}})


async def test_what_is_no_message_raises_even_in_an_empty_room() -> None:
    room = Hub().room("room")
    with pytest.raises(TypeError, match="a message is str or bytes, not int"):
        await room.send(1)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="lone surrogate"):
        await room.send("\ud800")


def test_joining_and_leaving_is_idempotent_and_leaves_no_trace() -> None:
    hub = Hub()
    ear = Ear()
    assert not hub.leave(ear, "room")
    assert hub.join(ear, "room")
    assert not hub.join(ear, "room")
    assert hub.join(ear, "other")
    assert hub.rooms_of(ear) == {"room", "other"}
    assert hub.leave(ear, "room")
    assert not hub.leave(ear, "room")
    assert hub.rooms_of(ear) == {"other"}
    hub.leave_all(ear)
    hub.leave_all(ear)
    assert hub.rooms_of(ear) == frozenset()
    assert (hub._rooms, hub._joined) == ({}, {})


def test_looking_at_a_room_does_not_make_it() -> None:
    hub = Hub()
    room = hub.room("nobody")
    assert (len(room), list(room), Ear() in room, bool(room)) == (0, [], False, True)
    assert hub._rooms == {}
    assert repr(room) == "<Room 'nobody' with 0>"


async def test_members_may_leave_while_a_message_is_offered() -> None:
    hub = Hub()

    class Leaver(Ear):
        def _offer(self, item: Outgoing) -> None:
            super()._offer(item)
            hub.leave_all(self)

    ears = [Leaver() for _ in range(3)]
    for ear in ears:
        hub.join(ear, "room")
    room = hub.room("room")
    assert list(room) == ears  # by time of joining
    await room.send("once")
    await room.send("again")
    assert hub._rooms == {}


# -- with sessions -----------------------------------------------------------------------------------------------------


async def test_all_transports_hear_a_room_in_order(place: Place) -> None:
    pairs = [await place.parked(name) for name in TRANSPORTS for _ in range(2)]
    for _, session in pairs:
        await session.join("lobby")
    room = place.rt.room("lobby")
    for number in range(20):
        await room.send(f"text {number}")
        await room.send(bytes([number]))
    expected = [part for number in range(20) for part in (f"mtext {number}", bytes([number]))]
    for peer, _ in pairs:
        assert await peer.take(40) == expected
    sender = pairs[0][1]
    await room.send("but you", skip=sender)
    await room.send("all")
    assert await pairs[0][0].news() == "mall"
    for peer, _ in pairs[1:]:
        assert await peer.take(2) == ["mbut you", "mall"]


async def test_members_hear_a_room_in_order_that_takes_many_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "SLICE", 5)
    monkeypatch.setattr(runtime, "SLICE", 2)
    async with serving() as place:
        pairs = [await place.parked(name) for name in TRANSPORTS]
        for _, session in pairs:
            await session.join("lobby")
        room = place.rt.room("lobby")
        names = [str(number) for number in range(20)]
        await asyncio.gather(*(room.send(name) for name in names))
        for peer, _ in pairs:
            assert await peer.take(20) == [f"m{name}" for name in names]


async def test_a_broadcast_is_encoded_once_for_each_kind_of_carrier(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [await place.parked(name) for name in TRANSPORTS for _ in range(5)]
    encoded: list[tuple[str, Frame]] = []
    for name in TRANSPORTS:
        transport = TRANSPORTS[name]
        original = transport.frame  # a static method, in some

        def frame(
            self: object, frame: Frame, name: str = name, original: Callable[[Frame], object] = original
        ) -> object:
            if isinstance(frame, bytes) or frame[:1] in ("m", "b"):
                encoded.append((name, frame))
            return original(frame)

        monkeypatch.setattr(type(transport), "frame", frame)
    for _, session in pairs:
        await session.join("lobby")
    items: list[Outgoing] = []
    original_message = Outgoing.message

    def message(data: str | bytes) -> Outgoing:
        items.append(original_message(data))
        return items[-1]

    monkeypatch.setattr(Outgoing, "message", message)
    await place.rt.room("lobby").send("hello")
    await place.rt.room("lobby").send(b"\x00")
    for peer, _ in pairs:
        assert await peer.take(2) == ["mhello", b"\x00"]
    # Three kinds: WebSocket frames, JSON strings for every kind of batch, and those in scripts.
    assert len(items) == 2
    assert [sorted(item.encoded) for item in items] == [
        ["native server json", "native server message", "native server script"]
    ] * 2
    assert sorted(frame for _, frame in encoded if isinstance(frame, str)) == ["bAA=="] * 2 + ["mhello"] * 3
    assert [frame for _, frame in encoded if isinstance(frame, bytes)] == [b"\x00"]


async def test_members_that_end_leave_all_their_rooms(place: Place) -> None:
    for name in TRANSPORTS:
        peer, session = await place.parked(name)
        await session.join("a")
        await session.join("b")
        assert place.rt._service.sessions.hub.rooms_of(session) == {"a", "b"}
        await peer.send("x1000,session,,")
        await eventually(lambda session=session: session.closed)  # type: ignore[misc]
        assert place.rt._service.sessions.hub.rooms_of(session) == frozenset()
        await place.rt.room("a").send("anybody?")
    assert (place.rt._service.sessions.hub._rooms, place.rt._service.sessions.hub._joined) == ({}, {})


async def test_a_member_whose_handler_has_returned_is_out(place: Place) -> None:
    @place.rt.endpoint("/brief")
    async def brief(session: object) -> None:
        await session.join("lobby")  # type: ignore[attr-defined]

    peer = place.websocket("/brief")
    peer.acking = False
    await peer.open()
    assert await peer.end() == (1000, "c")
    assert len(place.rt) == 1  # its close is not acknowledged yet
    await place.rt.room("lobby").send("anybody?")


@pytest.mark.parametrize("policy", ["wait", "drop_oldest", "close"])
async def test_a_room_never_waits_for_a_slow_member(policy: str) -> None:
    async with serving(on_full=policy, max_outbox=4) as place:
        slow_peer, slow = await place.parked("long_polling")
        quick_peer, quick = await place.parked("long_polling")
        for session in (slow, quick):
            await session.join("lobby")
        room = place.rt.room("lobby")
        for number in range(12):
            # send() has no turn of the event loop to give away: stepping it by hand would show one.
            sending = room.send(str(number))
            with pytest.raises(StopIteration) as caught:
                sending.send(None)
            assert caught.value.value == ""  # it is kept nowhere
            assert await quick_peer.news() == f"m{number}"
            await quick_peer.confirm()  # type: ignore[attr-defined]
        assert not quick.closed
        if policy == "close":
            assert await slow_peer.end() == (1008, "x")
        else:
            # Nobody can wait here, so "wait" drops as well.
            assert await slow_peer.take(4) == ["d9", "m9", "m10", "m11"]
        assert not slow_peer.unread
