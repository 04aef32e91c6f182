"""Durable sessions in rooms: what is joined is stored with the turn, what rooms send comes once and in order on any
carrier, and another worker goes on behind the client's cursors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

import realtime

from ..patience import arrives, eventually
from .raw import Raw
from .workers import Handler, Place, Rooms, Worker, worker


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with worker(realtime.MemoryBroker()) as place:
        yield place


def rooms_of(rt: realtime.Server) -> None:
    rt.configure_rooms("kept", history=100)
    rt.configure_rooms("present", history=100, presence=True)


async def with_rooms(place: Place, handler: Handler, **settings: Any) -> Worker:
    return await place.worker(handler, prepare=rooms_of, **settings)


def stands_still(one: Worker) -> None:
    """The worker does nothing more for its durable sessions, as if it had been killed."""
    for holding in tuple(one.keeper.holdings.values()):
        holding.cut()


async def joining(session: realtime.Session) -> None:
    """Joins and leaves rooms as it is told, and says so."""
    async for message in session:
        what, _, room = str(message).partition(" ")
        if what == "join":
            await session.join(room)
        elif what == "leave":
            await session.leave(room)
        elif what == "say":
            await session.publish(*room.split(" ", 1))
        elif what == "boom":
            await session.join(room)
            raise ValueError(room)
        await session.send(f"done {message!s}")


async def member(place: Place, one: Worker, *rooms: str, window: tuple[int, int] = (64, 1_000_000)) -> Member:
    """One that has joined rooms, at a worker with the handler above."""
    made = Member(place.http, one.url, window)
    await made.open()
    await made.shows()
    for room in rooms:
        await made.asks(f"join {room}")
    return made


class Member(Raw):
    """Over a WebSocket: with the cursors of its rooms."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.cursors: dict[str, str] = {}
        self.heard: list[str] = []
        self.left: list[str] = []
        self.came = 0  # frames of rooms, on this carrier

    async def shows(self) -> None:
        """Tells the carrier its cursors."""
        self.came = 0
        await self.socket.send_str(",".join([f"l{self.gen}", *(f"{room},{at}" for room, at in self.cursors.items())]))

    def read(self, frame: str, cursor: int) -> int:
        if frame[:1] != "l":
            return super().read(frame, cursor)
        self.frames.append(frame)
        self.came += 1
        room, *rest = frame[1:].split(",", 2)
        if not rest:
            self.left.append(room)
            return cursor
        self.cursors[room] = rest[0]
        self.heard += [f"{room} {one}" for one in rest[1:]]
        return cursor

    async def goes_on(self, one: Worker) -> None:
        """Attaches at another worker, which follows its rooms then."""
        self.url = one.url
        await self.again()
        await self.shows()
        shared: Any = one.rt._service.sessions.hub.shared
        await eventually(lambda: all(local.follower.live for local in shared._local.values()))

    async def takes(self) -> None:
        """Says that it has taken all."""
        await self.socket.send_str(f"f{self.gen},{self.came}")

    async def hears(self, count: int) -> None:
        """Reads until so many messages and gaps have come from rooms."""
        while len(self.heard) < count:
            assert await self.next(), self.frames

    async def asks(self, text: str) -> None:
        await self.say(text)
        await self.until(f"mdone {text}")


@pytest.mark.parametrize("room", ["kept", "plain"])
async def test_a_member_hears_the_room_until_it_leaves(place: Place, room: str) -> None:
    one = await with_rooms(place, joining)
    raw = await member(place, one, room)
    for text in ("a", "b"):
        await one.rt.room(room).send(text)
    await raw.hears(2)
    assert raw.heard == [f"{room} ma", f"{room} mb"]
    assert (len(one.rt.room(room)), await one.rt.room("present").count()) == (1, 0)
    await raw.asks(f"leave {room}")
    await one.rt.room(room).send("c")
    while not raw.left:
        await raw.next()
    assert raw.left == [room]
    assert len(one.rt.room(room)) == 0
    await raw.asks(f"join {room}")
    await one.rt.room(room).send("d")
    await raw.hears(3)
    assert raw.heard[2:] == [f"{room} md"]
    await raw.asks(f"join {room}")  # which is harmless
    await one.rt.room(room).send("e")
    await raw.hears(4)
    assert raw.heard[3:] == [f"{room} me"]


@pytest.mark.parametrize("room", ["kept", "plain"])
async def test_one_durable_and_one_not(place: Place, room: str) -> None:
    one = await with_rooms(place, joining)
    durable = await member(place, one, room)
    other = Raw(place.http, one.url)
    await other.connect(other.opening(durable=False).replace(', "rooms": {}', ""))
    await other.say(f"join {room}")
    await other.until("mdone")
    await one.rt.room(room).send("from outside", skip=other.sid)
    await one.rt.room(room).send("not for the durable one", skip=durable.sid)
    await durable.asks(f"say {room} from a durable one")
    await other.say(f"say {room} from an ordinary one")
    await other.until("mfrom an ordinary one")
    await durable.hears(3)
    durables = [f"{room} mfrom {name}" for name in ("outside", "a durable one", "an ordinary one")]
    assert sorted(durable.heard) == sorted(durables)
    heard = [text for text in other.messages if not text.startswith("done")]
    assert heard[0] == "not for the durable one"
    assert sorted(heard[1:]) == ["from a durable one", "from an ordinary one"]
    order = [text.partition(" m")[2] for text in durable.heard if "outside" not in text]
    assert order == heard[1:]  # all hear a room in one order


async def test_another_worker_goes_on_behind_what_has_arrived(place: Place) -> None:
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = await member(place, one, "kept")
    await one.rt.room("kept").send("a")
    await raw.hears(1)
    stands_still(one)
    for text in ("b", "c"):
        await two.rt.room("kept").send(text)
    await raw.goes_on(two)
    await raw.hears(3)
    await two.rt.room("kept").send("d")
    await raw.hears(4)
    assert raw.heard == ["kept ma", "kept mb", "kept mc", "kept md"]
    assert [session.id for session in two.rt.room("kept")] == [raw.sid]
    await raw.asks("leave kept")
    while not raw.left:
        await raw.next()


async def test_a_join_holds_from_where_it_was_made(place: Place) -> None:
    """Its worker dies before the client has heard anything of the room."""
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = Member(place.http, one.url)
    await raw.open()
    await raw.asks("join kept")  # on a carrier that is told nothing of rooms, as it has no cursors
    for text in ("a", "b"):
        await one.rt.room("kept").send(text)
    stands_still(one)
    await raw.goes_on(two)
    await raw.hears(2)
    assert raw.heard == ["kept ma", "kept mb"]


async def test_a_join_that_was_not_committed_is_none(place: Place) -> None:
    joined = asyncio.Event()

    async def dying(session: realtime.Session) -> None:
        async for message in session:
            await session.join(str(message))
            joined.set()
            await asyncio.Event().wait()

    async def telling(session: realtime.Session) -> None:
        async for message in session:
            await session.send(f"{message!s} {len(two.rt.room('kept'))}")

    one, two = await with_rooms(place, dying), await with_rooms(place, telling)
    raw = Member(place.http, one.url)
    await raw.open()
    await raw.say("kept")
    await arrives(joined.wait())
    stands_still(one)
    await raw.goes_on(two)
    await raw.until("mkept 0")
    await eventually(lambda: not len(one.rt.room("kept")))


async def test_what_is_sent_between_a_join_and_its_commit_is_heard(place: Place) -> None:
    one = await with_rooms(place, joining)
    for room in ("kept", "plain"):
        raw = await member(place, one, "other")
        one.puts.before.clear()
        await raw.say(f"join {room}")
        await arrives(one.puts.waiting.wait())
        await eventually(lambda room=room: len(one.rt.room(room)))  # type: ignore[misc]
        await one.rt.room(room).send("meanwhile")
        one.puts.before.set()
        await raw.hears(1)
        assert raw.heard == [f"{room} mmeanwhile"]
        one.puts.waiting.clear()


async def test_a_room_that_keeps_nothing_has_a_gap_where_the_worker_changed(place: Place) -> None:
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = await member(place, one, "plain")
    await one.rt.room("plain").send("a")
    await raw.hears(1)
    stands_still(one)
    for text in ("b", "c"):
        await two.rt.room("plain").send(text)
    await raw.goes_on(two)
    await raw.hears(2)
    await two.rt.room("plain").send("d")
    await raw.hears(3)
    assert raw.heard == ["plain ma", "plain d2", "plain md"]


async def test_a_history_that_is_too_short_has_a_gap(place: Place) -> None:
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = await member(place, one, "kept")
    await one.rt.room("kept").send("first")
    await raw.hears(1)
    stands_still(one)
    for number in range(103):
        await two.rt.room("kept").send(str(number))
    await raw.goes_on(two)
    await raw.hears(1 + 1 + 62)
    await raw.takes()
    await raw.hears(1 + 1 + 100)
    assert raw.heard == ["kept mfirst", "kept d3", *(f"kept m{number}" for number in range(3, 103))]


async def test_a_slow_client_gets_what_its_window_takes(place: Place) -> None:
    one = await with_rooms(place, joining)
    raw = await member(place, one, "kept", "plain", window=(8, 1000))
    for number in range(30):
        await one.rt.room("kept").send(str(number))
    await raw.hears(8 - 2)  # with the positions of its two joins
    await raw.asks("say plain behind")  # its own messages go on
    assert len(raw.heard) == 6
    await raw.takes()
    await raw.hears(6 + 8)
    assert len(raw.heard) == 14
    while len(raw.heard) < 31:
        await raw.takes()
        await raw.hears(min(31, raw.came - 2 + 8))
    assert [text for text in raw.heard if text.startswith("kept")] == [f"kept m{number}" for number in range(30)]
    assert raw.heard.count("plain mbehind") == 1


async def test_a_room_whose_store_went_back_below_the_join(place: Place) -> None:
    """The position is stored with the session: whoever finds it contradicted raises the epoch of the room."""
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    for text in ("a", "b", "c"):
        await one.rt.room("kept").send(text)
    raw = Member(place.http, one.url)
    await raw.open()
    await raw.asks("join kept")
    epoch = kept_of(place, "kept").epoch
    stands_still(one)
    await eventually(lambda: not kept_of(place, "kept").ears)  # no worker follows it
    go_back(place, "kept", 1)
    await two.rt.room("kept").send("other")
    await raw.goes_on(two)
    await raw.hears(1)
    assert kept_of(place, "kept").epoch > epoch
    await two.rt.room("kept").send("d")
    await raw.hears(2)
    assert raw.heard[1:] == ["kept md"]
    assert raw.heard[0].startswith("kept d")


async def test_a_store_that_fails_as_none_should_is_asked_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("realtime.durable.rooms.RETRY", 0.01)
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = await member(place, one, "kept")
    stands_still(one)
    await two.rt.room("kept").send("a")
    store: Any = two.rt._service.sessions.hub.rooms._store
    read, faults = store.read, [RuntimeError("of a store")]

    async def fails_first(room: str, *asked: Any) -> Any:
        if room == "kept" and len(asked) == 3 and faults:
            raise faults.pop()
        return await read(room, *asked)

    await raw.goes_on(two)
    monkeypatch.setattr(store, "read", fails_first)
    await raw.hears(1)
    assert raw.heard == ["kept ma"]


async def test_a_room_whose_store_went_back_below_the_client(place: Place) -> None:
    """What only the client says raises nothing: it is told of a gap."""
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = await member(place, one, "kept")
    for text in ("a", "b"):
        await one.rt.room("kept").send(text)
    await raw.hears(2)
    epoch = kept_of(place, "kept").epoch
    stands_still(one)
    await eventually(lambda: not kept_of(place, "kept").ears)
    go_back(place, "kept", 1)
    await two.rt.room("kept").send("other")
    await raw.goes_on(two)
    await raw.hears(3)
    assert kept_of(place, "kept").epoch == epoch
    await two.rt.room("kept").send("c")
    await raw.hears(4)
    assert raw.heard == ["kept ma", "kept mb", "kept d0", "kept mc"]


def kept_of(place: Place, room: str) -> Any:
    """What the broker has of a room."""
    broker: Any = place.broker
    return broker._rooms[room]


def go_back(place: Place, name: str, top: int) -> None:
    """The store has lost what is behind this offset, and what it has published."""
    broker: Any = place.broker
    room = broker._rooms[name]
    while room.entries and room.entries[-1].offset > top:
        room.entries.pop()
    room.top, room.id = top, room.entries[-1].id if room.entries else ""


async def test_what_a_turn_publishes_comes_back_once(place: Place) -> None:
    """Its worker dies between the commit and the publish: another one publishes, and brings it."""
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = await member(place, one, "kept")
    rooms = Rooms(one.rt)
    rooms.before.clear()
    await raw.asks("say kept committed")
    await arrives(rooms.waiting.wait())
    stands_still(one)
    await raw.goes_on(two)
    await raw.hears(1)
    rooms.before.set()
    await raw.asks("say kept again")
    await raw.hears(2)
    assert raw.heard == ["kept mcommitted", "kept magain"]


async def test_rooms_that_the_client_knows_and_the_session_is_not_in(place: Place) -> None:
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = await member(place, one, "kept")
    raw.cursors["present"] = await one.rt.room("present").send("a")
    await one.rt.room("present").send("b")
    stands_still(one)
    await raw.goes_on(two)
    while not raw.left:
        await raw.next()
    assert raw.left == ["present"]
    await one.rt.room("present").send("c")
    await two.rt.room("kept").send("d")
    await raw.hears(1)
    await raw.asks("join present")
    await two.rt.room("present").send("e")
    await raw.hears(2)
    assert raw.heard == ["kept md", "present me"]


async def test_a_room_that_is_closed_is_left(place: Place) -> None:
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    for room in ("kept", "plain"):
        raw = await member(place, one, room)
        await one.rt.room(room).send("a")
        await raw.hears(1)
        await two.rt.room(room).close()
        while not raw.left:
            await raw.next()
        await one.rt.room(room).send("not heard")
        await raw.asks(f"join {room}")
        await one.rt.room(room).send("b")
        await raw.hears(2)
        assert raw.heard == [f"{room} ma", f"{room} mb"]


async def test_a_room_that_was_closed_while_nobody_had_the_session(place: Place) -> None:
    one, two = await with_rooms(place, joining), await with_rooms(place, joining)
    raw = await member(place, one, "kept", "plain")
    await one.rt.room("kept").send("a")
    await raw.hears(1)
    stands_still(one)
    await two.rt.room("kept").close()
    await raw.goes_on(two)
    while not raw.left:
        await raw.next()
    assert raw.left == ["kept"]
    await eventually(lambda: not len(two.rt.room("kept")))
    await two.rt.room("plain").send("b")
    await raw.hears(2)
    await raw.asks("join kept")
    await two.rt.room("kept").send("c")
    await raw.hears(3)
    assert raw.heard == ["kept ma", "plain mb", "kept mc"]


async def test_presence_goes_along(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async for message in session:
            await session.join("present", info={"name": str(message)})
            await session.send("in")

    one, two = await with_rooms(place, handler), await with_rooms(place, handler)
    raw = Member(place.http, one.url)
    await raw.open()
    await raw.say("Ada")
    await raw.until("min")
    assert await two.rt.room("present").members() == {raw.sid: {"name": "Ada"}}
    await raw.say("Eve")
    await raw.until("min")
    stands_still(one)
    await raw.goes_on(two)

    there: Any = two.rt._service.sessions.hub.shared
    present = kept_of(place, "present").present
    await eventually(lambda: raw.sid in present and present[raw.sid].worker == there.worker)
    assert await one.rt.room("present").members() == {raw.sid: {"name": "Eve"}}


async def test_a_join_with_what_was_before(place: Place) -> None:
    cursors: list[str] = []

    async def handler(session: realtime.Session) -> None:
        async for message in session:
            what, _, room = str(message).partition(" ")
            if what == "last":
                await session.join(room, history=2)
            elif what == "after":
                await session.join(room, after=cursors[0])
            elif what == "leave":
                await session.leave(room)
            await session.send(f"{message!s} {session.gap}")

    one = await with_rooms(place, handler)
    for text in ("a", "b", "c"):
        cursors.append(await one.rt.room("kept").send(text))
    raw = Member(place.http, one.url)
    await raw.open()
    await raw.shows()
    await raw.say("last kept")
    await raw.hears(2)
    assert raw.heard == ["kept mb", "kept mc"]
    raw = Member(place.http, one.url)
    await raw.open()
    await raw.shows()
    await raw.say("after kept")
    await raw.until("mafter kept False")
    await raw.hears(2)
    assert raw.heard == ["kept mb", "kept mc"]
    for number in range(110):
        await one.rt.room("kept").send(str(number))
    raw = Member(place.http, one.url, (500, 1_000_000))
    await raw.open()
    await raw.shows()
    await raw.say("after kept")
    await raw.until("mafter kept True")
    await raw.hears(101)
    assert raw.heard[0] == "kept d12"
    assert raw.heard[1:] == [f"kept m{number}" for number in range(10, 110)]


async def test_cursors_of_an_earlier_session_count_at_the_join(place: Place) -> None:
    one = await with_rooms(place, joining)
    cursor = await one.rt.room("kept").send("a")
    await one.rt.room("kept").send("b")
    raw = Member(place.http, one.url)
    await raw.open(rooms={"kept": cursor})
    await raw.shows()
    await raw.asks("join kept")
    await raw.hears(1)
    assert raw.heard == ["kept mb"]


async def test_cursors_of_an_earlier_session_outlive_the_worker(place: Place) -> None:
    joined = asyncio.Event()

    async def dying(session: realtime.Session) -> None:
        async for _ in session:
            await session.join("kept")
            joined.set()
            await asyncio.Event().wait()

    one, two = await with_rooms(place, dying), await with_rooms(place, joining)
    cursor = await one.rt.room("kept").send("a")
    await one.rt.room("kept").send("b")
    raw = Member(place.http, one.url)
    await raw.open(rooms={"kept": cursor})
    await raw.say("join kept")
    await arrives(joined.wait())
    stands_still(one)
    await raw.goes_on(two)
    await raw.hears(1)
    assert raw.heard == ["kept mb"]
    await raw.asks("leave kept")
    await two.rt.room("kept").send("c")
    await raw.asks("join kept")  # behind what it has left
    await two.rt.room("kept").send("d")
    await raw.hears(2)
    assert raw.heard == ["kept mb", "kept md"]


async def test_what_is_refused(place: Place) -> None:
    said: list[str] = []

    async def handler(session: realtime.Session) -> None:
        async def other(what: Any) -> None:
            with pytest.raises(realtime.LocalProtocolError) as error:
                await what
            said.append(str(error.value))

        async for _ in session:
            for number in range(64):
                await session.join(f"r{number}")
            await other(session.join("one more"))
            await session.leave("r0")
            await session.join("one more")
            await asyncio.create_task(other(session.join("r0")))
            await other(session.join("x" * 257))
            await other(session.join("plain", info={}))
            await other(session.join("plain", history=1))
            await session.leave("never")
            await session.send("done")

    one = await with_rooms(place, handler)
    raw = Member(place.http, one.url, (500, 1_000_000))
    await raw.open()
    await raw.shows()
    await raw.say("go")
    await raw.until("mdone")
    assert "64 rooms at most" in said[0]
    assert "64 rooms at most" in said[1]
    assert "256 characters" in said[2]
    assert "no presence" in said[3]
    assert "keeps 0 messages" in said[4]
    await one.rt.room("r63").send("hello")
    await raw.hears(1)
    assert raw.heard == ["r63 mhello"]
    assert len(one.rt.room("r0")) == 0


async def test_a_handler_that_fails_was_in_no_room(place: Place) -> None:
    one = await with_rooms(place, joining)
    raw = await member(place, one)
    await raw.say("boom kept")
    await raw.until("c1011")
    await eventually(lambda: not len(one.rt.room("kept")))


async def test_rooms_cost_nothing_once_nobody_durable_is_in_them(place: Place) -> None:
    one = await with_rooms(place, joining)
    raw = await member(place, one, "kept")
    shared: Any = one.rt._service.sessions.hub.shared
    local = shared._local["kept"]
    assert local.feed is not None
    await raw.asks("leave kept")
    await eventually(lambda: "kept" not in shared._local)
    raw = await member(place, one, "kept")
    await raw.close_session()
    await raw.gone()
    await eventually(lambda: "kept" not in shared._local)


# -- other tasks than the handler's ------------------------------------------------------------------------------------


class Beside:
    """A handler that stays in the turn of its first message until it may go on, and its session for others. It does
    what it was told to in that turn."""

    def __init__(self, within: Callable[[realtime.Session], Awaitable[object]] | None = None) -> None:
        self.within = within
        self.sessions: list[realtime.Session] = []
        self.entered = asyncio.Event()
        self.may = asyncio.Event()

    async def __call__(self, session: realtime.Session) -> None:
        self.sessions.append(session)
        async for message in session:
            if self.within is not None:
                await self.within(session)
            self.entered.set()
            await self.may.wait()
            await session.send(f"done {message!s}")

    async def begins(self, place: Place, one: Worker) -> tuple[Member, realtime.Session]:
        """A client whose message the handler is at."""
        raw = await member(place, one)
        await raw.say("go")
        await arrives(self.entered.wait())
        return raw, self.sessions[0]

    async def ends(self, raw: Member) -> None:
        """The turn does."""
        self.may.set()
        await raw.until("mdone go")


@pytest.mark.parametrize("room", ["kept", "plain", "present"])
async def test_another_task_joins_and_leaves_at_once(place: Place, room: str) -> None:
    """It does not wait for the handler, which is in a turn."""
    handler = Beside()
    one = await with_rooms(place, handler)
    raw, session = await handler.begins(place, one)
    await arrives(session.join(room, info={"a": 1} if room == "present" else None))
    await one.rt.room(room).send("a")
    await raw.hears(1)
    if room == "present":
        assert await one.rt.room(room).members() == {session.id: {"a": 1}}
    await arrives(session.join(room))  # which is harmless
    await one.rt.room(room).send("b")
    await raw.hears(2)
    await arrives(session.leave(room))
    while not raw.left:
        await raw.next()
    await arrives(session.leave(room))  # so is that
    await one.rt.room(room).send("c")
    await handler.ends(raw)
    await arrives(session.join(room))
    await one.rt.room(room).send("d")
    await raw.hears(3)
    assert raw.heard == [f"{room} m{text}" for text in "abd"]
    assert (raw.left, len(one.rt.room(room))) == ([room], 1)


async def test_what_another_task_has_joined_and_left_outlives_the_worker_and_the_turn(place: Place) -> None:
    handler = Beside(lambda session: session.join("turn"))
    one = await with_rooms(place, handler)
    raw, session = await handler.begins(place, one)
    await session.join("kept")
    await session.join("other")
    await session.leave("other")
    stands_still(one)
    two = await with_rooms(place, Beside())
    for room in ("kept", "other", "turn"):
        await two.rt.room(room).send("a")
    await raw.goes_on(two)
    await raw.hears(1)
    assert raw.heard == ["kept ma"]
    (restored,) = two.sessions
    assert [restored in two.rt.room(room) for room in ("kept", "other", "turn")] == [True, False, False]


async def test_whoever_comes_last_counts_of_the_turn_and_others(place: Place) -> None:
    async def within(session: realtime.Session) -> None:
        for room in ("joined then left", "joined twice"):
            await session.join(room)
        for room in ("left then joined", "left twice"):
            await session.leave(room)

    handler = Beside(within)
    handler.may.set()
    one = await with_rooms(place, handler)
    raw = await member(place, one)
    rooms = ("joined then left", "joined twice", "left then joined", "left twice")
    await eventually(lambda: bool(handler.sessions))
    session = handler.sessions[0]
    for room in ("left then joined", "left twice"):
        await session.join(room)
    handler.may.clear()
    await raw.say("go")
    await arrives(handler.entered.wait())
    await one.rt.room("joined twice").send("between")
    await session.leave("joined then left")
    await session.join("joined twice")
    await session.join("left then joined")
    await session.leave("left twice")
    await handler.ends(raw)
    there = {room: session in one.rt.room(room) for room in rooms}
    assert there == {room: room in ("joined twice", "left then joined") for room in rooms}
    for room in rooms:
        await one.rt.room(room).send("later")
    await raw.hears(3)
    assert sorted(raw.heard) == ["joined twice mbetween", "joined twice mlater", "left then joined mlater"]
    stands_still(one)
    two = await with_rooms(place, Beside())
    await raw.goes_on(two)
    (restored,) = two.sessions
    assert [room for room in rooms if restored in two.rt.room(room)] == ["joined twice", "left then joined"]


async def test_tasks_that_join_at_the_same_time(place: Place) -> None:
    handler = Beside()
    one = await with_rooms(place, handler)
    raw, session = await handler.begins(place, one)
    rooms = [f"r{number % 10}" for number in range(40)]
    await arrives(asyncio.gather(*(session.join(room) for room in rooms)))
    await arrives(asyncio.gather(*(session.leave(room) for room in rooms[:5]), *map(session.join, rooms[5:10])))
    await handler.ends(raw)
    for room in rooms[:10]:
        await one.rt.room(room).send("x")
    await raw.hears(5)
    assert sorted(raw.heard) == [f"{room} mx" for room in rooms[5:10]]


async def test_another_sessions_handler_brings_one_in(place: Place) -> None:
    """As a lobby does that makes pairs of those who wait."""
    waiting: list[realtime.Session] = []

    async def lobby(session: realtime.Session) -> None:
        async for message in session:
            waiting.append(session)
            if len(waiting) == 2:
                for player in waiting:
                    await player.join("game")
                await session.publish("game", "begins")
            await session.send(f"done {message!s}")

    one = await with_rooms(place, lobby)
    players = [await member(place, one), await member(place, one)]
    for player in players:
        await player.asks("play")
    for player in players:
        await player.hears(1)
        assert player.heard == ["game mbegins"]


async def test_a_task_that_joins_what_has_ended_or_gone_elsewhere(place: Place) -> None:
    handler = Beside()
    one = await with_rooms(place, handler)
    raw, session = await handler.begins(place, one)
    one.puts.before.clear()
    joining = asyncio.create_task(session.join("kept"))
    await arrives(one.puts.waiting.wait())
    stands_still(one)
    one.puts.before.set()
    with pytest.raises(realtime.SessionClosed):
        await joining
    with pytest.raises(realtime.SessionClosed):
        await session.join("kept")
    await eventually(lambda: not len(one.rt.room("kept")))
    shared: Any = one.rt._service.sessions.hub.shared
    await eventually(lambda: "kept" not in shared._local)
    await raw.gone()


async def test_who_leaves_behind_a_join_that_is_under_way_is_not_in_the_room(place: Place) -> None:
    async def handler(session: realtime.Session) -> None:
        async def beside() -> None:
            await asyncio.gather(session.join("kept"), session.leave("kept"))

        async for message in session:
            if message == "beside":
                await asyncio.create_task(beside())
            else:
                await beside()
            await session.send(f"{message!s} {session in one.rt.room('kept')}")

    one = await with_rooms(place, handler)
    raw = Raw(place.http, one.url)
    await raw.open()
    await raw.say("beside", "in the turn")
    await raw.until("min the turn False")
    assert raw.messages == ["beside False", "in the turn False"]
    await eventually(lambda: not one.rt._service.sessions.hub.rooms._local.keys() & {"kept"})
