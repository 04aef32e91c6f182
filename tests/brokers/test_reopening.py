"""Clients go on in their rooms at another worker: rooms over a broker, and the wire of their positions, together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis import Redis

import realtime
from realtime import BrokerError, LocalProtocolError
from realtime.brokers.base import Unanswered
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker
from realtime.core.frames import Outgoing
from realtime.core.identities import RESERVED
from realtime.core.rooms import Position

from ..patience import arrives, eventually, leap, within
from ..web.place import serving
from .reopenings import Switch, Worker, play, working

each_broker = pytest.mark.parametrize("broker", ["memory", "tcp"], indirect=True)
each_transport = pytest.mark.parametrize("transport", ["websocket", "xhr_streaming", "long_polling", "polling"])
ROOMS = ("kept/a", "kept/b", "short/c")


class Scene:
    """Two workers, and a client at the first."""

    def __init__(self, one: Worker, two: Worker, switch: Switch) -> None:
        self.one, self.two, self.switch = one, two, switch

    async def send(self, room: str, *messages: str, skip: Any = ()) -> str:
        """In turn by both workers; the cursor behind the last."""
        cursor = ""
        for index, message in enumerate(messages):
            cursor = await (self.one, self.two)[index % 2].rt.room(room).send(message, skip=skip)
        return cursor

    def turn(self) -> None:
        """The client's worker is gone, and the other is there."""
        self.switch.turn(self.two.port)


@asynccontextmanager
async def scene(broker: Any, *rooms: str, **options: Any) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(working(Worker(broker, rooms, **options))) for _ in range(2)]
        yield Scene(one, two, await stack.enter_async_context(Switch(one.port)))


async def lost(session: realtime.ClientSession, scene: Scene) -> dict[str, str]:
    """The session loses its worker, and is ended; its cursors, of which the client knows no more than these."""
    scene.turn()
    await arrives(session.wait_closed())
    return session.cursors


async def heard(session: realtime.ClientSession) -> list[tuple[str | None, str | bytes]]:
    """What comes before the handler has joined all rooms."""
    messages: list[tuple[str | None, str | bytes]] = []
    while (message := await session.receive()) != "joined":
        messages.append((session.last.room, message))
    return messages


@each_broker
@each_transport
async def test_each_room_goes_on_from_its_cursor_at_the_other_worker(broker: Any, transport: str) -> None:
    """Whatever `history` the handler asks for."""
    async with within(), scene(broker, *ROOMS, last=2) as there:
        await there.send("kept/a", "0", "1", "2")
        options: dict[str, Any] = {"transports": transport, "backoff": (0.001, 0.02)}
        async with realtime.connect(f"{there.switch.url}/rooms", **options) as ada:
            assert await heard(ada) == [("kept/a", "1"), ("kept/a", "2")]
            assert list(ada.cursors) == ["kept/a", "kept/b", "short/c"]  # a join says where it begins
            cursor = await there.send("kept/a", "3")
            assert (await ada.receive(), ada.last) == ("3", ("kept/a", cursor))
            await there.send("short/c", "x", "y")
            assert [await ada.receive(), await ada.receive()] == ["x", "y"]
            cursors = await lost(ada, there)
        await there.send("kept/a", "4", "5", "6", "7")
        await there.send("kept/b", "new", "newer", "newest")
        async with realtime.connect(f"{there.switch.url}/rooms", cursors=cursors, **options) as ada:
            assert await heard(ada) == [
                *(("kept/a", text) for text in "4567"),
                *(("kept/b", text) for text in ("new", "newer", "newest")),
            ]
            assert (ada.gap, ada.dropped) == (None, 0)
            cursor = await there.send("kept/a", "8")
            assert (await ada.receive(), ada.cursors["kept/a"]) == ("8", cursor)


@each_broker
async def test_what_is_skipped_moves_the_cursor(broker: Any) -> None:
    async with within(), scene(broker, "kept/a") as there:
        async with realtime.connect(f"{there.switch.url}/rooms") as ada:
            assert await heard(ada) == []
            await there.send("kept/a", "1")
            cursor = await there.send("kept/a", "not Ada", "nor this", skip=there.one.sessions[""])
            assert await ada.receive() == "1"
            await eventually(lambda: ada.cursors == {"kept/a": cursor})
            cursors = await lost(ada, there)
        await there.send("kept/a", "2")
        async with realtime.connect(f"{there.switch.url}/rooms", cursors=cursors) as ada:
            assert await heard(ada) == [("kept/a", "2")]
            assert ada.gap is None


@each_broker
async def test_a_cursor_in_front_of_the_history_is_a_gap(broker: Any) -> None:
    async with within(), scene(broker, "short/a", "kept/b") as there:
        async with realtime.connect(f"{there.switch.url}/rooms") as ada:
            assert await heard(ada) == []
            cursors = await lost(ada, there)
        await there.send("short/a", *"12345")
        before = Position.parse(await there.send("kept/b", "b"))
        async with realtime.connect(f"{there.switch.url}/rooms", cursors=cursors) as ada:
            gaps: list[Any] = []
            ada.on_change(lambda event: gaps.append(ada.gap) if event == "gap" else None)
            assert await heard(ada) == [*(("short/a", text) for text in "345"), ("kept/b", "b")]
            assert ada.gap is not None
            assert (ada.gap.room, ada.gap.missing, ada.dropped) == ("short/a", 2, 0)
            assert Position.parse(ada.gap.cursor).offset == 2
            assert len(gaps) <= 1
            assert not there.two.sessions[""].gap  # of the newest join
            assert Position.parse(ada.cursors["kept/b"]) == before


@each_broker
@pytest.mark.parametrize("cursor", ["rubbish", "1.1.x", "0.0.", "fffffffffffffff.1.x", "..", "-"])
async def test_a_cursor_that_is_none_is_a_gap_and_no_error(broker: Any, cursor: str) -> None:
    async with within(), scene(broker, "kept/a") as there:
        await there.send("kept/a", "1", "2")
        async with realtime.connect(f"{there.switch.url}/rooms", cursors={"kept/a": cursor}) as ada:
            assert (await heard(ada))[-2:] in ([("kept/a", "1"), ("kept/a", "2")], [])
            assert ada.gap is not None
            assert (ada.gap.room, ada.gap.missing) == ("kept/a", 0)
            assert there.one.sessions[""].gap
            last = await there.send("kept/a", "3")
            assert (await ada.receive(), ada.cursors) == ("3", {"kept/a": last})


def forget(broker: MemoryBroker | RedisBroker, request: pytest.FixtureRequest) -> None:
    """The store loses everything."""
    if isinstance(broker, MemoryBroker):
        broker._rooms.clear()
    else:
        with Redis.from_url(request.getfixturevalue("redis_urls")["tcp"]) as client:
            client.flushdb()


@each_broker
async def test_a_store_that_went_back_is_a_gap(broker: Any, request: pytest.FixtureRequest) -> None:
    async with within(), scene(broker, "kept/a") as there:
        await there.send("kept/a", "1", "2", "3")
        async with realtime.connect(f"{there.switch.url}/rooms") as ada:
            assert await heard(ada) == []
            cursors = await lost(ada, there)
        forget(broker, request)
        await there.send("kept/a", "new", "newer")
        async with realtime.connect(f"{there.switch.url}/rooms", cursors=cursors) as ada:
            assert await heard(ada) == [("kept/a", "new"), ("kept/a", "newer")]
            assert ada.gap is not None
            assert (ada.gap.room, ada.gap.missing) == ("kept/a", 0)


@each_broker
async def test_an_epoch_that_is_raised_is_told_to_who_is_there_and_gone_on_in(broker: Any) -> None:
    async with within(), scene(broker, "kept/a") as there:
        async with realtime.connect(f"{there.switch.url}/rooms") as ada:
            assert await heard(ada) == []
            old = Position.parse(await there.send("kept/a", "1"))
            assert await ada.receive() == "1"
            hub = there.two.rt._service.sessions.hub
            assert hub.keep is not None
            keep = hub.keep("kept/a")
            assert keep is not None
            assert await hub.rooms._store.raise_epoch("kept/a", keep, old.epoch, old.epoch)
            new = await there.send("kept/a", "2")
            assert await ada.receive() == "2"
            assert ada.gap is not None
            assert (ada.gap.room, ada.gap.missing) == ("kept/a", 0)
            assert ada.cursors == {"kept/a": new}
            assert Position.parse(new).epoch > old.epoch
            cursors = await lost(ada, there)
        await there.send("kept/a", "3")
        async with realtime.connect(f"{there.switch.url}/rooms", cursors=cursors) as ada:
            assert (await heard(ada), ada.gap) == ([("kept/a", "3")], None)
        async with realtime.connect(f"{there.switch.url}/rooms", cursors={"kept/a": old.cursor}) as ada:
            assert await heard(ada) == [("kept/a", "2"), ("kept/a", "3")]  # what the epoch began with is new to it
            assert ada.gap is not None


@each_broker
async def test_who_does_not_say_rooms_gets_plain_messages(broker: Any) -> None:
    rt = realtime.Server(broker=broker)
    rt.configure_rooms("short/*", history=3, ttl=60)
    async with within(), serving(rt) as place:
        peer, session = await place.parked("websocket")
        after = await rt.room("short/a").send("0")
        await session.join("short/a", history=1)
        await rt.room("short/a").send("not for this one", skip=session)
        await rt.room("short/a").send(b"1")
        assert await peer.take(2) == ["m0", b"1"]
        for text in "234":
            await rt.room("short/a").send(text)
        assert await peer.take(3) == ["m2", "m3", "m4"]
        await session.leave("short/a")
        await session.join("short/a", after=after)
        assert session.gap
        assert await peer.take(4) == ["d2", "m2", "m3", "m4"]
        assert session._cursor_of("short/a") is None


@pytest.mark.parametrize("broker", ["tcp"], indirect=True)
async def test_forty_megabytes_are_told_to_clients_that_cannot_take_them(broker: Any) -> None:
    """And nobody is deaf behind them, at neither worker: what comes next is heard, and gone on from."""
    rooms = ("kept/a", "plain")
    async with scene(broker, *rooms, broker_timeout=40.0) as there:
        urls = [f"http://127.0.0.1:{worker.port}/realtime/rooms" for worker in (there.one, there.two)]
        async with realtime.connect(urls[0]) as ada, realtime.connect(urls[1]) as bob:
            assert (await arrives(heard(ada)), await arrives(heard(bob))) == ([], [])
            cursors = dict(ada.cursors)
            for room in rooms:  # each takes its time, on a busy machine
                large = await arrives(there.send(room, "x" * 40_000_000))
                last = await arrives(there.send(room, "small"))
                for session in (ada, bob):
                    assert await arrives(session.receive()) == "small"
                    if room == "plain":
                        assert session.dropped == 1
                    else:
                        assert (session.gap, session.dropped) == (("kept/a", large, 1), 0)
                        assert session.last.cursor == last
        # It goes on in front of the large one.
        async with within("it has caught up"), realtime.connect(urls[1], cursors=cursors) as ada:
            assert await heard(ada) == [("kept/a", "small")]
            assert ada.gap is not None
            assert (ada.gap.room, ada.gap.missing) == ("kept/a", 1)


# -- one session, its joins --------------------------------------------------------------------------------------------


@asynccontextmanager
async def parked(cursors: dict[str, str], **settings: Any) -> AsyncIterator[tuple[Any, Any, realtime.Session]]:
    """A server with rooms in memory, and a client that says `rooms`."""
    rt = realtime.Server(**settings)
    rt.configure_rooms("kept/*", history=100, ttl=60)
    rt.configure_rooms("long", history=1000, ttl=60)
    rt.configure_rooms("present", presence=True)
    async with within(), serving(rt) as place:
        peer = place.peer("long_polling", "/park")
        said = {room: cursor or await rt.room(room).send("0") for room, cursor in cursors.items()}
        await peer.open(rooms=said)
        yield rt, peer, await place.sessions.get()


async def test_the_wire_of_a_join() -> None:
    """The position where it starts, then messages, and positions of what was skipped, in order."""
    async with parked({}) as (rt, peer, session):
        room = rt.room("kept/a")
        start = await session.join("kept/a")
        one = await room.send("1")
        skipped = await room.send("2", skip=session)
        three = await room.send(b"\x00")
        assert await peer.take(4) == [
            f"hkept/a,{start}",
            f"hkept/a,{one},m1",
            f"hkept/a,{skipped}",
            f"hkept/a,{three},bAA==",
        ]
        await session.leave("kept/a")
        assert await session.join("kept/a", history=2) == one
        assert await peer.take(2) == [f"hkept/a,{skipped}", f"hkept/a,{three},bAA=="]  # of two positions the later


async def test_the_after_of_the_handler_counts_and_the_cursor_only_once() -> None:
    async with parked({"kept/a": ""}) as (rt, peer, session):
        cursors = [await rt.room("kept/a").send(text) for text in "123"]
        assert await session.join("kept/a", after=cursors[1]) == cursors[1]
        assert await peer.take(2) == [f"hkept/a,{cursors[1]}", f"hkept/a,{cursors[2]},m3"]
        await session.leave("kept/a")
        assert await session.join("kept/a") == cursors[2]
        assert await peer.take(1) == [f"hkept/a,{cursors[2]}"]
        assert not session.gap


async def test_a_join_that_fails_keeps_the_cursor_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async with parked({"kept/a": ""}) as (rt, peer, session):
        last = await rt.room("kept/a").send("1")
        rooms = rt._service.sessions.hub.rooms

        async def fail(*_: object, **__: object) -> None:
            raise BrokerError("away")

        with monkeypatch.context() as patch:
            patch.setattr(rooms, "join", fail)
            with pytest.raises(BrokerError, match="away"):
                await session.join("kept/a")
        start = await session.join("kept/a")
        assert await peer.take(2) == [f"hkept/a,{start}", f"hkept/a,{last},m1"]
        assert not session.gap


async def test_a_join_that_is_cancelled_goes_on_where_it_was() -> None:
    """What it has given is not given again."""
    async with parked({"kept/a": ""}, max_outbox=4) as (rt, peer, session):
        for number in range(1, 10):
            await rt.room("kept/a").send(str(number))
        joining = asyncio.create_task(session.join("kept/a"))
        await eventually(lambda: session._senders)  # it waits for room
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        again = asyncio.create_task(session.join("kept/a"))
        said: list[str] = []
        while not said or said[-1] != "m9":
            said += [str(frame).split(",")[2] for frame in [await peer.news()] if str(frame).count(",") == 2]
        assert said == [f"m{number}" for number in range(1, 10)]
        await arrives(again)
        assert not session.gap


async def test_a_join_that_is_answered_in_part_fails_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with parked({}) as (rt, peer, session):
        for number in range(300):
            await rt.room("long").send(str(number))
        rooms = rt._service.sessions.hub.rooms
        read = rooms._store.read

        async def slow(room: str, keep: Any, after: Any, known: Any, last: int = 0) -> Any:
            if after is not None:
                raise Unanswered("away")
            return await read(room, keep, after, known, last)

        with monkeypatch.context() as patch:
            patch.setattr(rooms._store, "read", slow)
            patch.setattr(rooms, "timeout", 0.2)
            with pytest.raises(BrokerError, match=r"not be read, and was not joined, within broker_timeout \(0\.2 s\)"):
                await session.join("long", history=300)
        assert session not in rt.room("long")
        assert not [name for name in rooms._local if name[:1] != RESERVED]
        again = asyncio.create_task(session.join("long", history=300))
        said: list[str] = []
        while not said or said[-1] != "m299":
            said += [str(frame).split(",")[2] for frame in [await peer.news()] if str(frame).count(",") == 2]
        await arrives(again)
        assert said == [f"m{number}" for number in range(300)]
        assert (session.gap, session in rt.room("long")) == (False, True)


async def test_a_slow_client_is_no_slow_broker() -> None:
    """Only what the broker takes counts: a join waits for its client as long as that takes."""
    async with parked({"kept/a": ""}, max_outbox=4, broker_timeout=10.0) as (rt, peer, session):
        for number in range(1, 20):
            await rt.room("kept/a").send(str(number))
        joining = asyncio.create_task(session.join("kept/a"))
        await eventually(lambda: session._senders)
        leap(20.0)
        said: list[str] = []
        while not said or said[-1] != "m19":
            said += [str(frame).split(",")[2] for frame in [await peer.news()] if str(frame).count(",") == 2]
        await arrives(joining)


async def test_the_wire_of_a_closing_is_a_position() -> None:
    """So the client goes on behind it. Its next session is in the room only if its handler joins it."""
    async with parked({}) as (rt, peer, session):
        room = rt.room("kept/a")
        start = await session.join("kept/a")
        one = await room.send("1")
        await room.close()
        assert session not in room
        two = await room.send("2")
        assert await peer.take(2) == [f"hkept/a,{start}", f"hkept/a,{one},m1"]
        closed = await peer.news()
        assert str(closed).startswith("hkept/a,")
        offsets = [Position.parse(cursor).offset for cursor in (one, str(closed).split(",")[1], two)]
        assert offsets == [offsets[0], offsets[0] + 1, offsets[0] + 2]
        assert await session.join("kept/a", after=one) == one
        assert await peer.take(2) == [closed, f"hkept/a,{two},m2"]  # of two positions the later


async def test_who_is_joining_when_a_room_is_closed_gets_what_was_before_and_is_not_in_it() -> None:
    async with parked({"kept/a": ""}, max_outbox=4) as (rt, peer, session):
        room = rt.room("kept/a")
        for number in range(1, 10):
            await room.send(str(number))
        joining = asyncio.create_task(session.join("kept/a"))
        await eventually(lambda: session._senders)  # it waits for room
        await room.close()
        await room.send("later")
        said: list[str] = []
        while not said or said[-1] != "m9":
            said += [str(frame).split(",")[2] for frame in [await peer.news()] if str(frame).count(",") == 2]
        await arrives(joining)
        assert session not in room
        assert said == [f"m{number}" for number in range(1, 10)]
        assert not [name for name in rt._service.sessions.hub.rooms._local if name[:1] != RESERVED]


async def test_two_joins_at_once_are_one() -> None:
    async with parked({"kept/a": ""}) as (rt, peer, session):
        last = [await rt.room("kept/a").send(text) for text in "12"]
        await asyncio.gather(session.join("kept/a"), session.join("kept/a"), session.join("kept/a", history=2))
        end = await rt.room("kept/a").send("end")
        said = [await peer.news()]
        while not str(said[-1]).endswith("mend"):
            said.append(await peer.news())
        messages = [frame for frame in said if str(frame).count(",") == 2]
        assert messages == [f"hkept/a,{last[0]},m1", f"hkept/a,{last[1]},m2", f"hkept/a,{end},mend"]


async def test_who_leaves_while_it_joins_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with parked({"kept/a": ""}) as (rt, _, session):
        rooms = rt._service.sessions.hub.rooms
        asked = asyncio.Event()
        read = rooms._store.read

        async def slow(room: str, keep: Any, after: Any, known: Any, last: int = 0) -> Any:
            if after is not None and known is not None and session in rooms._local[room].joining:
                asked.set()
                await asyncio.Event().wait()
            return await read(room, keep, after, known, last)

        monkeypatch.setattr(rooms._store, "read", slow)
        joining = asyncio.create_task(session.join("kept/a"))
        await arrives(asked.wait())
        await session.leave("kept/a")
        await arrives(joining)
        assert session not in rt.room("kept/a")


@pytest.mark.parametrize("on_full", ["wait", "close", "drop_oldest"])
async def test_more_than_the_outbox_holds_is_given_all_the_same(on_full: Any) -> None:
    async with parked({"kept/a": ""}, max_outbox=4, on_full=on_full) as (rt, peer, session):
        for number in range(1, 51):
            await rt.room("kept/a").send(str(number))
        joining = asyncio.create_task(session.join("kept/a"))
        said: list[str] = []
        while not said or said[-1] != "m50":
            said += [str(frame).split(",")[2] for frame in [await peer.news()] if str(frame).count(",") == 2]
        assert said == [f"m{number}" for number in range(1, 51)]
        await arrives(joining)


async def test_what_is_no_message_of_ours_is_a_position_alone() -> None:
    async with parked({}) as (rt, peer, session):
        start = await session.join("kept/a")
        hub = rt._service.sessions.hub
        position = await hub.rooms._publishing.publish("kept/a", hub.keep("kept/a"), b"of another program")
        last = await rt.room("kept/a").send("1")
        frames = [await peer.news()]
        while frames[-1] != f"hkept/a,{last},m1":
            frames.append(await peer.news())
        assert frames[-2] == f"hkept/a,{position.cursor}"
        assert frames[:-2] in ([], [f"hkept/a,{start}"])  # of two positions the later may stand for both


async def test_rooms_without_history_take_no_cursor() -> None:
    async with parked({}) as (rt, peer, session):
        session._positions._cursors.update({"present": "1.1.x", "plain": "1.1.x"})  # type: ignore[union-attr] # it says rooms
        await session.join("present")
        await session.join("plain")
        await rt.room("present").send("1")
        await rt.room("plain").send("2")
        assert sorted(map(str, await peer.take(2))) == ["m1", "m2"]
        assert session._cursor_of("present") == "1.1.x"


async def test_names_that_can_have_no_cursor() -> None:
    async with parked({}) as (_, _, session):
        for name, reason in (("kept/" + "a" * 252, "at most 256 characters"), ("kept/\ud800", "no lone surrogates")):
            with pytest.raises(LocalProtocolError, match=reason):
                await session.join(name)
        await session.join("a" * 257)  # keeps nothing
        await session.join("kept/" + "a" * 251)
    rt = realtime.Server()
    for pattern in ("a" * 257, "\ud800*"):
        with pytest.raises(LocalProtocolError, match="at most 256 characters"):
            rt.configure_rooms(pattern, history=1)
    rt.configure_rooms("a" * 257, presence=True)
    rt.configure_rooms("*" + "a" * 256, history=1)


async def test_members_share_what_was_made_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Outgoing] = []
    monkeypatch.setattr(realtime.Session, "_offer_room", lambda session, item: made.append(item))
    rt = realtime.Server()
    rt.configure_rooms("kept/*", history=100)
    async with within(), serving(rt) as place:
        for _ in range(3):
            _, session = await place.parked("websocket")
            await session.join("kept/a")
        await rt.room("kept/a").send("1")
        await eventually(lambda: len(made) == 3)
        assert len({id(item) for item in made}) == 1


# -- all together ------------------------------------------------------------------------------------------------------


@each_broker
async def test_reopened_again_and_again_nothing_is_lost_or_repeated(broker: Any) -> None:
    counts = await arrives(play(broker, times=40, clients=4, pause=0.01))
    assert counts["reopened"] == 40
    assert counts["heard"] > 150
    assert (counts["lost"], counts["repeated"], counts["gaps"]) == (0, 0, 0)
