"""Rooms that reach every worker: two servers over one broker, with real sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest

import realtime
from realtime import BrokerError, LocalProtocolError, SessionClosed
from realtime.brokers import identities, local
from realtime.brokers.base import Keep
from realtime.brokers.memory import MemoryBroker
from realtime.brokers.redis import RedisBroker
from realtime.brokers.rooms import Timing
from realtime.core.identities import RESERVED
from realtime.core.rooms import Position

from ..patience import arrives, eventually
from ..web.peer import Peer, WebSocketPeer
from ..web.place import Place, serving
from .conftest import broker_of
from .servers import BROKER_TIMEOUT

Pair = tuple[Peer, realtime.Session]


class Workers:
    """Servers with the same rooms."""

    def __init__(self, broker: Any, stack: AsyncExitStack) -> None:
        self._broker = broker
        self._stack = stack
        self.places: list[Place] = []

    async def start(self, **settings: Any) -> Place:
        """One more. It waits for what comes as long as it takes on a busy machine."""
        settings = {"broker_timeout": BROKER_TIMEOUT, "shutdown_timeout": 0.3, **settings}
        rt = realtime.Server(broker=self._broker, **settings)
        configure(rt)
        self.places.append(await self._stack.enter_async_context(serving(rt)))
        return self.places[-1]

    async def stop(self) -> None:
        """All of them, before each looks whether nothing is left."""
        for place in self.places:
            for peer in place.peers:
                await peer.drop()
            place.end_sessions()
            await place.stop()


def configure(rt: Any) -> None:
    rt.configure_rooms("kept/*", history=20, ttl=60, presence=True)
    rt.configure_rooms("short/*", history=3, ttl=60)


@pytest.fixture(params=["memory", "tcp", "cluster"])
def broker(request: pytest.FixtureRequest, prefix: str) -> MemoryBroker | RedisBroker:
    """What rooms can tell from each other; over TLS and Unix sockets test_store.py asks the same of a store."""
    return broker_of(request, prefix)


@pytest.fixture
async def workers(broker: MemoryBroker | RedisBroker) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        workers = Workers(broker, stack)
        yield workers
        await workers.stop()


async def member(place: Place, room: str, **options: Any) -> Pair:
    """A client whose session is in the room."""
    peer, session = await place.parked("websocket")
    await arrives(session.join(room, **options), "the room is joined")
    return peer, session


async def end(pair: Pair) -> None:
    """The client ends its session."""
    peer, session = pair
    await peer.send("x1000,session,,")
    await eventually(lambda: session.closed)


# -- sending -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["plain", "kept/a"])
async def test_every_member_hears_everything_once_in_one_order(workers: Workers, room: str) -> None:
    places = [await workers.start(), await workers.start()]
    members = [await member(place, room) for place in places for _ in range(2)]
    await asyncio.gather(
        *(place.rt.room(room).send(f"{index} {number}") for number in range(25) for index, place in enumerate(places))
    )
    heard = [await peer.take(50) for peer, _ in members]
    assert heard[1:] == heard[:-1]
    for index in range(2):
        mine = [text for text in heard[0] if str(text).startswith(f"m{index} ")]
        assert mine == [f"m{index} {number}" for number in range(25)]
    await places[1].rt.room(room).send(b"\x00\n\xff")
    for peer, _ in members:
        assert await peer.take(1) == [b"\x00\n\xff"]


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
@pytest.mark.parametrize("before", [False, True])
async def test_a_join_that_is_cancelled_is_none(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Also where only its presence had to be told yet. Who was in the room before stays there."""
    place = await workers.start()
    _, session = await member(place, "kept/a" if before else "kept/b")
    session._takes_positions({})
    rooms, asked = place.rt._service.sessions.hub.rooms, asyncio.Event()

    async def hangs(*_: Any) -> bool:
        asked.set()
        return await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(rooms._store, "attend", hangs)
        joining = asyncio.create_task(session.join("kept/a", info={"name": "x"}))
        await arrives(asked.wait())
        joining.cancel()
        await asyncio.wait([joining])
    assert joining.cancelled()
    assert (session in place.rt.room("kept/a")) is before
    assert (session.id in rooms._attending.here.members("kept/a")) is before
    assert session._positions is not None
    assert (session._positions.cursor_of("kept/a") is None) is before  # the next one goes on where this has come


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
async def test_a_store_that_fails_as_none_should_is_asked_again(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rooms that are followed, who joins them, and closings that were missed: each would wait for good."""
    monkeypatch.setattr(local, "RETRY", 0.01)
    monkeypatch.setattr(identities, "PAUSE", 0.01)
    place = await workers.start()
    service = place.rt._service
    assert service.sessions.hub.shared is not None
    assert service.sessions.shared is not None
    store, reads = service.sessions.hub.shared._store, 0
    read = store.read

    async def fails_first(*asked: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads < 4:
            raise RuntimeError("of a store")
        return await read(*asked)

    monkeypatch.setattr(store, "read", fails_first)
    await member(place, "kept/a")
    assert reads > 3
    reads = 3 - 1
    service.sessions.shared._gap()
    await eventually(lambda: reads > 3)
    assert "of a store" in caplog.text


@pytest.mark.parametrize("broker", ["memory"], indirect=True)
async def test_who_asks_while_another_is_told_misses_nothing(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    place = await workers.start()
    shared = place.rt._service.sessions.hub.shared
    assert shared is not None
    monkeypatch.setattr(shared, "timing", Timing(sweep=600.0))
    store, name, slow = shared._store, "kept/a", asyncio.Event()
    members = store.members

    async def slowly(room: str) -> Any:
        found = await members(room)
        if asyncio.current_task() is task:
            await slow.wait()
        return found

    async def watching(heard: list[dict[str, str]]) -> None:
        async for present in shared.watch(name, Keep(history=20, ttl=60, presence=True)):
            heard.append(present)

    one: list[dict[str, str]] = []
    other: list[dict[str, str]] = []
    monkeypatch.setattr(store, "members", slowly)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watching(one))
        second = group.create_task(watching(other))
        await eventually(lambda: len(other) > 0)
        _, session = await member(place, name)
        await eventually(lambda: session.id in other[-1])
        slow.set()
        await eventually(lambda: bool(one) and session.id in one[-1])
        task.cancel()
        second.cancel()


async def test_who_is_skipped_is_skipped_everywhere(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    (first, ada), (second, bob) = await member(one, "a"), await member(two, "a")
    await one.rt.room("a").send("not bob", skip=bob)
    await one.rt.room("a").send("not ada", skip=[ada.id])
    await two.rt.room("a").send("all")
    assert await first.take(2) == ["mnot bob", "mall"]
    assert await second.take(2) == ["mnot ada", "mall"]


async def test_who_left_hears_no_more(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    peer, session = await member(one, "a")
    other, _ = await member(two, "a")
    await two.rt.room("a").send("1")
    assert await peer.take(1) == ["m1"]
    await session.leave("a")
    await session.leave("a")
    await two.rt.room("a").send("2")
    assert await other.take(2) == ["m1", "m2"]
    await arrives(session.join("a"))
    await arrives(session.join("a"))
    await two.rt.room("a").send("3")
    assert await peer.take(1) == ["m3"]
    assert len(one.rt.room("a")) == 1
    assert session in one.rt.room("a")


async def test_a_room_without_members_is_not_followed(workers: Workers) -> None:
    one = await workers.start()
    pair = await member(one, "a")
    shared = one.rt._service.sessions.hub.rooms
    assert [room for room in shared._local if room[:1] != RESERVED] == ["a"]
    await end(pair)
    assert not [room for room in shared._local if room[:1] != RESERVED]


# -- history -----------------------------------------------------------------------------------------------------------


async def test_a_snapshot_and_then_the_tail(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    cursors = [await one.rt.room("kept/a").send(str(number)) for number in range(30)]
    assert json.loads(json.dumps(cursors)) == cursors
    peer, session = await member(two, "kept/a", history=5)
    await one.rt.room("kept/a").send("new")
    assert await peer.take(6) == ["m25", "m26", "m27", "m28", "m29", "mnew"]
    assert not session.gap
    peer, session = await member(two, "kept/a", after=cursors[20])
    assert await peer.take(10) == [*(f"m{number}" for number in range(21, 30)), "mnew"]
    assert not session.gap
    peer, session = await member(two, "kept/a", after=cursors[2])  # 20 are kept: from 11 on
    assert session.gap
    assert await peer.take(21) == ["d8", *(f"m{number}" for number in range(11, 30)), "mnew"]
    await two.rt.room("kept/a").send("newer")
    assert await peer.take(1) == ["mnewer"]


async def test_a_join_while_others_send_has_no_gap_and_no_repetition(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    room = one.rt.room("kept/a")
    after = await room.send("0")

    async def send() -> None:
        for number in range(1, 200):
            await room.send(str(number))
            await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    joined = []
    for _ in range(8):
        peer, session = await two.parked("websocket")
        assert await arrives(session.join("kept/a", after=after)) == after or session.gap
        joined.append((peer, session, after))
        after = (await room.history(1)).cursor
    await arrives(sending)
    await room.send("end")
    for peer, session, after in joined:
        heard = [await peer.news()]
        while heard[-1] != "mend":
            heard.append(await peer.news())
        numbers = [int(str(text)[1:]) for text in heard[session.gap : -1]]
        if session.gap:
            assert numbers == list(range(200 - len(numbers), 200))
            assert heard[0] == f"d{numbers[0] - Position.parse(after).offset}"
        else:
            assert numbers == list(range(Position.parse(after).offset, 200))


async def test_what_a_room_keeps_can_be_read(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    room = two.rt.room("kept/a")
    empty = await room.history()
    assert (empty.messages, empty.gap) == ([], False)
    cursors = [await one.rt.room("kept/a").send(data) for data in ("a", b"b", "c")]
    found = await room.history()
    assert found == ([(cursors[0], "a"), (cursors[1], b"b"), (cursors[2], "c")], False, cursors[2])
    assert await room.history(2) == ([(cursors[1], b"b"), (cursors[2], "c")], False, cursors[2])
    assert await room.history(1, after=cursors[0]) == ([(cursors[1], b"b")], False, cursors[1])
    assert await room.history(after=cursors[2]) == ([], False, cursors[2])
    assert await room.history(after=empty.cursor) == found
    assert (await room.history(after="1.1.x")).gap
    await room.clear()
    assert (await room.history()).messages == []
    assert (await room.history(after=cursors[0])).gap


async def test_what_a_room_does_not_keep_is_refused(workers: Workers) -> None:
    one = await workers.start()
    _, session = await one.parked("websocket")
    room = one.rt.room("plain")
    for refused in (room.history(), room.clear(), room.count(), room.members()):
        with pytest.raises(LocalProtocolError, match=r"rt\.configure_rooms\('plain', "):
            await refused
    with pytest.raises(LocalProtocolError, match="presence=True"):
        await anext(room.watch_members())
    with pytest.raises(LocalProtocolError, match="has no presence"):
        await session.join("plain", info={})
    with pytest.raises(LocalProtocolError, match="keeps 0 messages"):
        await session.join("plain", history=5)
    with pytest.raises(LocalProtocolError, match="this is no cursor"):
        await session.join("kept/a", after="nonsense")
    with pytest.raises(LocalProtocolError, match="4096"):
        await session.join("kept/a", info={"x": "y" * 5000})
    with pytest.raises(TypeError, match="info is a dict"):
        await session.join("kept/a", info=[])  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="at least 1"):
        await one.rt.room("kept/a").history(0)
    with pytest.raises(LocalProtocolError, match="has started"):
        one.rt.configure_rooms("more")


async def test_a_session_is_in_so_many_rooms(workers: Workers) -> None:
    one = await workers.start(max_rooms=2)
    _, session = await one.parked("websocket")
    for room in ("a", "b", "a"):
        await arrives(session.join(room))
    with pytest.raises(LocalProtocolError, match="in 2 rooms at most: leave some, or raise max_rooms"):
        await session.join("c")
    await session.leave("a")
    await arrives(session.join("c"))


async def test_rooms_that_are_joined_at_once_count_before_they_are_joined(workers: Workers) -> None:
    one = await workers.start(max_rooms=2)
    _, session = await one.parked("websocket")
    joins = [session.join(room) for room in ("a", "b", "c", "a", "d")]
    found = await arrives(asyncio.gather(*joins, return_exceptions=True))
    assert [isinstance(each, LocalProtocolError) for each in found] == [False, False, True, False, True]
    assert one.rt._service.sessions.hub.rooms_of(session) == {"a", "b"}
    await session.leave("a")
    await arrives(session.join("c"))
    assert not one.rt._service.sessions.hub._entering


async def test_a_name_that_no_broker_can_be_told_is_refused(workers: Workers) -> None:
    one = await workers.start()
    _, session = await one.parked("websocket")
    for name in ("\ud800", "kept/\udfff", "a \ud800\n"):
        room = one.rt.room(name)
        async with realtime.Publisher(workers._broker) as publisher:
            asked = (session.join(name), room.send("x"), room.close(), room.history(), room.count())
            for refused in (*asked, publisher.send(name, "x")):
                with pytest.raises(LocalProtocolError, match="no lone surrogates"):
                    await refused
        await session.leave(name)


async def test_a_session_that_has_ended_joins_nothing(workers: Workers) -> None:
    one = await workers.start()
    peer, session = await one.parked("websocket")
    joining = asyncio.create_task(session.join("kept/a", history=5))
    await asyncio.sleep(0)
    await end((peer, session))
    with pytest.raises(SessionClosed):
        await session.join("kept/a")
    await asyncio.gather(joining, return_exceptions=True)
    shared = one.rt._service.sessions.hub.rooms
    await eventually(lambda: not [room for room in shared._local if room[:1] != RESERVED])
    assert not shared._joining


class Followed(dict[str, Any]):
    """The rooms that a worker follows, of which nobody is to look at all: there may be one for each session."""

    def _refuse(self) -> Any:
        raise AssertionError

    __iter__ = items = values = _refuse


async def test_who_ends_leaves_its_own_rooms_and_none_is_looked_at_that_others_are_in() -> None:
    rt = realtime.Server(broker=MemoryBroker())
    configure(rt)
    async with serving(rt) as one:
        (_, session), (_, other) = await one.parked("websocket"), await one.parked("websocket")
        rooms = rt._service.sessions.hub.rooms
        for room in ("kept/a", "kept/b", "plain"):
            await other.join(room)
        await session.join("kept/a", history=5)
        await session.join("plain")
        joining = asyncio.create_task(session.join("kept/b", history=5))
        local = rooms._local["kept/b"]
        await eventually(lambda: session in local.joining)
        rooms._local = Followed(rooms._local)
        session._machine.end(4000, "over", rt._service.clock.now())
        rooms._local = dict(dict.items(rooms._local))
        assert (dict(local.joining), rooms._joining) == ({}, {})
        assert [len(rt.room(room)) for room in ("kept/a", "kept/b", "plain")] == [1, 1, 1]
        await asyncio.gather(joining, return_exceptions=True)


async def test_who_leaves_before_it_is_in_is_not() -> None:
    rt = realtime.Server(broker=MemoryBroker())
    configure(rt)
    async with serving(rt) as one:
        _, session = await one.parked("websocket")
        for room in ("plain", "kept/a", "short/a"):
            first = asyncio.create_task(session.join(room, history=3 * (room != "plain")))
            await asyncio.sleep(0)
            await session.leave(room)
            again = asyncio.create_task(session.join(room)) if room == "short/a" else None
            await arrives(first)
            if again is not None:  # the later join is another matter
                await arrives(again)
            assert (session in rt.room(room)) is (again is not None)
        rooms = rt._service.sessions.hub.rooms
        assert [room for room in rooms._local if room[:1] != RESERVED] == ["short/a"]
        assert not rooms._local["short/a"].entering


# -- presence ----------------------------------------------------------------------------------------------------------


async def test_who_joins_twice_at_once_and_fails_is_not_present(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second join tells of the member that the first is about to make."""
    rt = realtime.Server(broker=MemoryBroker())
    configure(rt)
    async with serving(rt) as one:
        (_, session), (_, other) = await one.parked("websocket"), await one.parked("websocket")
        rooms, room = rt._service.sessions.hub.rooms, rt.room("kept/a")
        await other.join(room.name)
        monkeypatch.setattr(rooms._store, "read", lambda *_: asyncio.Event().wait())
        joining = asyncio.create_task(session.join(room.name, history=5))
        await eventually(lambda: session in rooms._local[room.name].joining)
        await session.join(room.name)
        assert len(await room.members()) == 2
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        assert session not in room
        await eventually(lambda: session.id not in rooms._attending.here.members(room.name))
        await rooms._attending.tell()
        assert list(await room.members()) == [other.id]


async def test_who_is_there_at_all_workers(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    peer, ada = await member(one, "kept/a", info={"name": "Ada"})
    watched = two.rt.room("kept/a").watch_members()
    changes: list[realtime.Change] = []

    async def watch() -> None:
        async for change in watched:
            changes.append(change)

    watching = asyncio.create_task(watch())
    await eventually(lambda: changes == [("here", ada.id, {"name": "Ada"})])
    _, bob = await member(two, "kept/a")
    await eventually(lambda: changes[1:] == [("joined", bob.id, {})])
    assert await one.rt.room("kept/a").members() == {ada.id: {"name": "Ada"}, bob.id: {}}
    assert await one.rt.room("kept/a").count() == 2
    await ada.join("kept/a", info={"name": "Ada L"})
    await eventually(lambda: changes[2:] == [("changed", ada.id, {"name": "Ada L"})])
    await end((peer, ada))
    await eventually(lambda: changes[3:] == [("left", ada.id, {"name": "Ada L"})])
    await bob.leave("kept/a")
    await eventually(lambda: changes[4:] == [("left", bob.id, {})])
    assert await one.rt.room("kept/a").count() == 0
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_who_goes_with_the_server_is_gone(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    peer, _ = await member(one, "kept/a")
    assert isinstance(peer, WebSocketPeer)
    assert await two.rt.room("kept/a").count() == 1
    await asyncio.gather(one.stop(), peer.closed())
    assert await two.rt.room("kept/a").count() == 0


# -- closing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["plain", "kept/a"])
async def test_a_room_that_is_closed_is_left_by_everybody_behind_what_was_sent_before(
    workers: Workers, room: str
) -> None:
    one, two = await workers.start(), await workers.start()
    members = [await member(place, room) for place in (one, one, two, two)]
    asking = [
        asyncio.ensure_future(place.rt.room(room).send(f"{index} {number}"))
        for number in range(50)
        for index, place in enumerate((one, two))
    ]
    closing = asyncio.ensure_future(one.rt.room(room).close())
    await arrives(asyncio.gather(*asking, closing))
    assert len(one.rt.room(room)) == 0  # when it returns, here at once
    await eventually(lambda: len(two.rt.room(room)) == 0)
    await two.rt.room(room).send("to nobody")
    heard = []
    for peer, session in members:
        assert not session.closed
        await session.send("last")
        heard.append([await peer.news()])
        while heard[-1][-1] != "mlast":
            heard[-1].append(await peer.news())
        assert "mto nobody" not in heard[-1]
    assert heard[0] == heard[1] == heard[2] == heard[3]
    # What its own worker had sent came before; of the other's, what the broker had before.
    assert [text for text in heard[0] if str(text).startswith("m0 ")] == [f"m0 {number}" for number in range(50)]
    theirs = [text for text in heard[0] if str(text).startswith("m1 ")]
    assert theirs == [f"m1 {number}" for number in range(len(theirs))]
    shared = two.rt._service.sessions.hub.rooms
    await eventually(lambda: not [room for room in shared._local if room[:1] != RESERVED])


async def test_a_room_that_was_closed_is_joined_again_and_has_kept_its_messages(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    peer, session = await member(one, "kept/a")
    first = await one.rt.room("kept/a").send("before")
    assert await peer.take(1) == ["mbefore"]
    await arrives(two.rt.room("kept/a").close())
    await eventually(lambda: session not in one.rt.room("kept/a"))
    await arrives(session.join("kept/a", history=20))  # in which the closing is none
    after = await two.rt.room("kept/a").send("after")
    assert await peer.take(2) == ["mbefore", "mafter"]
    assert (await one.rt.room("kept/a").history()).messages == [(first, "before"), (after, "after")]
    assert not (await one.rt.room("kept/a").history(after=first)).gap
    late, _ = await member(two, "kept/a", after=first)
    assert await late.take(1) == ["mafter"]
    await arrives(one.rt.room("kept/a").close())
    await arrives(session.join("kept/a"))
    assert session in one.rt.room("kept/a")


async def test_who_is_put_out_is_not_present(workers: Workers) -> None:
    one, two = await workers.start(), await workers.start()
    gone = {(await member(place, "kept/a"))[1].id for place in (one, two) for _ in range(3)}
    changes: list[realtime.Change] = []

    async def watch() -> None:
        async for change in two.rt.room("kept/a").watch_members():
            changes.append(change)

    watching = asyncio.create_task(watch())
    await eventually(lambda: len(changes) == 6)
    await arrives(one.rt.room("kept/a").close())
    await eventually(lambda: {change.member for change in changes if change.what == "left"} == gone)
    assert await one.rt.room("kept/a").members() == {}
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_who_is_skipped_is_put_out_as_well_and_a_room_of_nobody_can_be_closed(workers: Workers) -> None:
    one = await workers.start()
    _, session = await member(one, "a")
    await one.rt.room("a").send("not to you", skip=session)
    await arrives(one.rt.room("a").close())
    assert session not in one.rt.room("a")
    await arrives(one.rt.room("a").close())
    await arrives(one.rt.room("kept/of nobody").close())
    await arrives(session.join("a"))
    assert session in one.rt.room("a")


# -- health, and before and after --------------------------------------------------------------------------------------


async def test_health(workers: Workers) -> None:
    one = await workers.start()
    await eventually(lambda: one.rt.health().ready)
    await one.stop()
    assert one.rt.health() == (False, ("the server is shutting down",))


async def test_rooms_work_while_the_server_runs(broker: MemoryBroker | RedisBroker) -> None:
    rt = realtime.Server(broker=broker)
    assert rt.health() == (False, ("the server has not started",))
    with pytest.raises(BrokerError, match="work while the server runs"):
        await rt.room("a").send("hello")


# -- from outside ------------------------------------------------------------------------------------------------------


async def test_a_publisher_serves_nothing_and_is_heard(
    workers: Workers, broker: MemoryBroker | RedisBroker, request: pytest.FixtureRequest
) -> None:
    one = await workers.start()
    peer, session = await member(one, "kept/a")
    publisher = realtime.Publisher(broker)
    configure(publisher)
    with pytest.raises(BrokerError, match="async with"):
        await publisher.send("kept/a", "too early")
    async with publisher:
        first = await publisher.send("kept/a", "hello")
        await publisher.send("kept/a", "not you", skip=session.id)
        await publisher.send("kept/a", b"bytes")
    assert await peer.take(2) == ["mhello", b"bytes"]
    assert [message for _, message in (await one.rt.room("kept/a").history(after=first)).messages] == [
        "not you",
        b"bytes",
    ]
    if isinstance(broker, MemoryBroker):
        return  # which is its process's own

    def blocking() -> str:
        publisher = realtime.BlockingPublisher(broker)
        configure(publisher)
        with publisher:
            return publisher.send("plain", "from a thread")

    peer, _ = await member(one, "plain")
    assert await arrives(asyncio.to_thread(blocking))
    assert await peer.take(1) == ["mfrom a thread"]


async def test_a_sweep_asks_once_where_a_room_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not once for each part of the store, of which there are many."""
    rt = realtime.Server(broker=MemoryBroker())
    configure(rt)
    async with serving(rt):
        attending = rt._service.sessions.hub.rooms._attending
        store, asked = attending._store, list[str]()
        for number in range(20):
            attending.here.add(f"kept/{number}", "somebody", "{}")
            attending.also(number)

        def parts_of(rooms: Iterable[str]) -> set[int]:
            asked.extend(rooms)
            return {int(asked[-1].partition("/")[2]) % 4}

        monkeypatch.setattr(store, "parts_of", parts_of)
        told: list[str] = []

        async def attend(room: str, add: dict[str, str], _: Iterable[str]) -> bool:
            told.append(room)
            return True

        monkeypatch.setattr(store, "attend", attend)
        await attending.sweep()
        assert len(asked) == 20
        assert sorted(told) == sorted(asked)
        for room in asked:
            attending.here.remove(room, "somebody")
