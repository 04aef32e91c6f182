"""Large broadcasts: how many members in a turn of the event loop, in which order, and who of those who come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from typing import Any

import pytest

from realtime.broadcasts import SLICE
from realtime.core.frames import Group, Outgoing, RoomItem, RoomPosition
from realtime.hub import Hub, Room
from realtime.loops import begin

from .patience import eventually


class Turns:
    """Counts the turns of the running event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._turn)

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.cancel()

    def _turn(self) -> None:
        self.count += 1
        self._handle = self._loop.call_soon(self._turn)


class Ear:
    """A receiver that keeps what it is offered, and when."""

    def __init__(self, turns: Turns, name: str) -> None:
        self.id = name
        self.heard: list[str | bytes] = []
        self.when: list[int] = []
        self._turns = turns

    def _offer(self, item: Outgoing) -> None:
        self.heard.append(item.data)
        self.when.append(self._turns.count)

    def _offer_group(self, group: Group) -> None:
        for part in group.parts:
            self._offer(part)

    def _offer_room(self, item: RoomItem) -> None:
        self._offer(item.plain)

    async def _give_room(self, item: RoomItem) -> None:
        self._offer(item.plain)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        self.heard.append(f"{room} at {cursor}, {missing} missing")

    def _miss(self, count: int) -> None:
        self.heard.append(f"{count} lost")

    def _left(self, room: str) -> None:
        """It may."""

    def _check_member(self) -> None:
        """It can be in any room."""


async def sent(room: Room, message: str, *, skip: Iterable[Ear] = ()) -> int:
    """Sends as the room does; to how many."""
    hub, skipped = room._hub, frozenset(ear.id for ear in skip)
    return await hub.broadcasts.send(room.name, hub.members(room.name), Outgoing.message(message), skipped)


def full(hub: Hub, turns: Turns, name: str, size: int) -> tuple[Room, list[Ear]]:
    """A room of so many."""
    ears = [Ear(turns, f"{name} {number}") for number in range(size)]
    for ear in ears:
        hub.join(ear, name)
    return hub.room(name), ears


def per_turn(*groups: list[Ear]) -> list[int]:
    """How many were offered something in each turn."""
    counts = Counter(turn for ears in groups for ear in ears for turn in ear.when)
    return [counts[turn] for turn in sorted(counts)]


def start(sending: Coroutine[Any, Any, int]) -> asyncio.Task[int]:
    """Sends beside whatever else is done."""
    return begin(sending, "sends")


async def test_what_one_turn_has_room_for_is_sent_without_waiting() -> None:
    hub = Hub()
    with Turns() as turns:
        room, ears = full(hub, turns, "room", SLICE)
        sending = sent(room, "hello")
        with pytest.raises(StopIteration) as returned:
            sending.send(None)
    assert returned.value.value == SLICE
    assert per_turn(ears) == [SLICE]


async def test_of_a_larger_room_so_many_are_offered_a_message_in_a_turn() -> None:
    hub = Hub()
    with Turns() as turns:
        room, ears = full(hub, turns, "room", 2 * SLICE + 10)
        assert await sent(room, "hello", skip=ears[:3]) == len(ears) - 3
        assert per_turn(ears) == [SLICE - 3, SLICE, 10]  # who is passed over takes its time, too
        assert [ear.heard for ear in ears] == [[]] * 3 + [["hello"]] * (len(ears) - 3)
        assert [ear.when for ear in ears] == sorted(ear.when for ear in ears)  # by time of joining


async def test_all_rooms_share_a_turn() -> None:
    hub = Hub()
    with Turns() as turns:
        rooms = [full(hub, turns, f"room {number}", SLICE // 2) for number in range(5)]
        assert await asyncio.gather(*(sent(room, "hello") for room, _ in rooms)) == [SLICE // 2] * 5
        assert per_turn(*(ears for _, ears in rooms)) == [SLICE, SLICE, SLICE // 2]


@pytest.mark.parametrize("size", [0, 1])
async def test_who_sends_for_ever_gives_way(size: int) -> None:
    hub = Hub()
    with Turns() as turns:
        room, _ = full(hub, turns, "room", size)

        async def send_for_ever() -> None:
            while True:
                assert await sent(room, "hello") == size

        task = asyncio.create_task(send_for_ever())
        for _ in range(5):
            await asyncio.sleep(0)
        assert turns.count >= 4
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_whoever_gets_two_gets_them_in_the_order_in_which_they_were_sent() -> None:
    """To one room, and to several that have members in common; large and small."""
    hub = Hub()
    with Turns() as turns:
        large, ears = full(hub, turns, "large", SLICE + 100)
        small = hub.room("small")
        for ear in ears[-5:]:
            hub.join(ear, "small")
        names = [str(number) for number in range(8)]
        sends = [start(sent(large if number % 3 else small, name)) for number, name in enumerate(names)]
        assert await asyncio.gather(*sends) == [5 if number % 3 == 0 else len(ears) for number in range(8)]
        assert [ear.heard for ear in ears[-5:]] == [names] * 5
        assert all(ear.heard == ["1", "2", "4", "5", "7"] for ear in ears[:-5])
        assert max(per_turn(ears)) <= SLICE


async def test_who_comes_or_goes_meanwhile_gets_all_or_nothing() -> None:
    hub = Hub()
    with Turns() as turns:
        room, ears = full(hub, turns, "room", 3 * SLICE)
        first, last, back = ears[0], ears[-1], ears[-2]
        one, two = start(sent(room, "one")), start(sent(room, "two"))
        await asyncio.sleep(0)
        assert (first.heard, last.heard) == (["one"], [])
        late = Ear(turns, "late")
        hub.join(late, "room")
        for ear in (first, last, back):
            hub.leave(ear, "room")
        hub.join(back, "room")  # again: it is none of those for whom these were
        three = start(sent(room, "three"))
        assert [await sent for sent in (one, two, three)] == [3 * SLICE - 2, 3 * SLICE - 3, 3 * SLICE - 1]
        assert [ear.heard for ear in (first, last, back, late)] == [["one"], [], ["three"], ["three"]]
        assert all(ear.heard == ["one", "two", "three"] for ear in ears[1:-2])
        assert hub.broadcasts._left == {}


async def test_cancelled_before_it_begins_nobody_is_offered_it_and_later_everybody() -> None:
    hub = Hub()
    with Turns() as turns:
        room, ears = full(hub, turns, "room", 2 * SLICE)
        begun, waits, last = start(sent(room, "begun")), start(sent(room, "waits")), start(sent(room, "last"))
        await asyncio.sleep(0)
        assert (ears[0].heard, ears[-1].heard) == (["begun"], [])
        begun.cancel()
        waits.cancel()
        assert await last == 2 * SLICE
        assert (begun.cancelled(), waits.cancelled()) == (True, True)
        assert all(ear.heard == ["begun", "last"] for ear in ears)
        assert not hub.broadcasts._queue


async def test_cancelling_all_that_waits_leaves_no_trace() -> None:
    hub = Hub()
    with Turns() as turns:
        room, ears = full(hub, turns, "room", SLICE)
        assert await sent(room, "fills the turn") == SLICE
        waits = sent(room, "waits")
        waits.send(None)
        assert len(hub.broadcasts._queue) == 1
        with pytest.raises(asyncio.CancelledError):
            waits.throw(asyncio.CancelledError())
        assert not hub.broadcasts._queue
        assert await sent(room, "goes on") == SLICE
        assert all(ear.heard == ["fills the turn", "goes on"] for ear in ears)


async def test_what_waits_keeps_one_list_of_members() -> None:
    hub = Hub()
    with Turns() as turns:
        room, _ = full(hub, turns, "room", SLICE + 1)
        sends = [start(sent(room, str(number))) for number in range(50)]
        await asyncio.sleep(0)
        assert len(hub.broadcasts._queue) == 50
        assert len({id(broadcast.members) for broadcast in hub.broadcasts._queue}) == 1
        hub.join(Ear(turns, "late"), "room")
        sends.append(start(sent(room, "another")))
        assert await asyncio.gather(*sends) == [SLICE + 1] * 50 + [SLICE + 2]


async def test_who_has_left_is_forgotten_although_there_is_always_more_to_send() -> None:
    hub = Hub()
    with Turns() as turns:
        room, ears = full(hub, turns, "room", 2 * SLICE)
        sending = start(sent(room, "first"))
        await asyncio.sleep(0)
        for ear in ears[:10]:
            hub.leave_all(ear)
            sending, before = start(sent(room, "next")), sending
            await before
            assert len(hub.broadcasts._left) <= 1
        await sending
        assert hub.broadcasts._left == {}


async def test_a_member_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Ear):
        def _offer(self, item: Outgoing) -> None:
            raise RuntimeError("a fault of ours")

    hub = Hub()
    with Turns() as turns:
        hub.join(Broken(turns, "broken"), "room")
        room, ears = full(hub, turns, "room", 3)
        assert await sent(room, "hello") == 4
        assert [ear.heard for ear in ears] == [["hello"]] * 3
    (record,) = caplog.records
    assert "could not be offered" in record.message


async def test_a_hub_begins_anew() -> None:
    hub = Hub()
    with Turns() as turns:
        room, ears = full(hub, turns, "room", SLICE + 1)
        sending = start(sent(room, "hello"))
        await asyncio.sleep(0)
        hub.reset()
        assert (len(room), hub.counts(), len(hub.broadcasts._queue)) == (0, (0, 0), 0)
        assert hub.rooms_of(ears[0]) == frozenset()
        assert await sent(room, "to nobody") == 0
        await sending  # in the event loop that is gone it would never run


async def test_what_a_room_with_history_says_has_its_position() -> None:
    """Also for who is skipped, but not for who has left."""
    hub = Hub()
    with Turns() as turns:
        room, ears = full(hub, turns, "room", SLICE + 2)
        one, two = (RoomItem("room", cursor, Outgoing.message(cursor)) for cursor in ("1.1.x", "1.2.x"))
        skipped = frozenset([ears[0].id, ears[-1].id])
        first = hub.broadcasts.begin("room", hub.members("room"), one, skipped)
        hub.broadcasts.begin("room", hub.members("room"), RoomPosition("room", "2.0.x", 0))
        hub.broadcasts.begin("room", hub.members("room"), RoomPosition("room", "2.1.x", None))
        hub.broadcasts.begin("room", hub.members("room"), two)
        hub.leave_all(ears[-2])
        hub.leave_all(ears[-1])
        await eventually(lambda: not len(hub.broadcasts))
        assert first.count == SLICE - 1
        behind = ["room at 2.0.x, 0 missing", "room at 2.1.x, None missing", "1.2.x"]
        assert ears[0].heard == ["room at 1.1.x, None missing", *behind]
        assert all(ear.heard == ["1.1.x", *behind] for ear in ears[1:-2])
        assert [ear.heard for ear in ears[-2:]] == [[], []]
        assert len(room) == SLICE
