"""Queues in memory against the simplest model: nothing is lost, nothing is given twice at a time, and order is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime.core.errors import LocalProtocolError
from realtime.stomp import queues as module
from realtime.stomp.queues import MemoryQueues, Parcel

LIMITS: dict[str, Any] = {"max_queues": 2, "max_messages": 8, "max_size": 100_000, "max_attempts": None}
QUEUE = "/queue/a"


class Taker:
    """Takes so many at a time."""

    client: object = None

    def __init__(self, room: int) -> None:
        self.room = room
        self.has: list[Parcel] = []
        self.asked = 0

    def take(self, parcel: Parcel) -> bool:
        self.asked += 1
        if not self.room:
            return False
        self.room -= 1
        self.has.append(parcel)
        return True


class Queueing(RuleBasedStateMachine):
    """One queue, and some takers."""

    def __init__(self) -> None:
        super().__init__()
        self.real = MemoryQueues(**LIMITS, dead_letters=None)
        self.takers: list[Taker] = []
        self.number = 0
        self.alive: set[int] = set()  # put, and not settled

    def run(self, work: Any) -> None:
        """None of these waits."""
        with pytest.raises(StopIteration):
            work.send(None)

    @rule()
    def put(self) -> None:
        work = self.real.put(QUEUE, {}, b"%d" % self.number)
        if len(self.alive) == LIMITS["max_messages"]:
            with pytest.raises(LocalProtocolError, match="max_queue_messages"):
                work.send(None)
            return
        self.run(work)
        self.alive.add(self.number)
        self.number += 1

    @rule(room=st.integers(0, 3))
    def subscribe(self, room: int) -> None:
        taker = Taker(room)
        self.takers.append(taker)
        self.run(self.real.subscribe(QUEUE, taker))

    @precondition(lambda self: self.takers)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        taker = self.takers.pop(data.draw(st.integers(0, len(self.takers) - 1)))
        self.real.unsubscribe(QUEUE, taker)
        for parcel in taker.has:
            self.real.settle(parcel, accepted=False)

    @precondition(lambda self: any(taker.has for taker in self.takers))
    @rule(data=st.data(), accepted=st.booleans())
    def settle(self, data: st.DataObject, accepted: bool) -> None:
        taker = data.draw(st.sampled_from([one for one in self.takers if one.has]))
        parcel = taker.has.pop(data.draw(st.integers(0, len(taker.has) - 1)))
        if accepted:
            self.alive.discard(int(parcel.body))
        self.real.settle(parcel, accepted=accepted)

    @precondition(lambda self: self.takers)
    @rule(data=st.data(), room=st.integers(1, 3), named=st.booleans())
    def make_room(self, data: st.DataObject, room: int, named: bool) -> None:
        taker = data.draw(st.sampled_from(self.takers))
        taker.room += room
        self.real.ready(QUEUE, taker if named else None)

    @invariant()
    def nothing_is_lost_or_twice(self) -> None:
        given = [int(parcel.body) for taker in self.takers for parcel in taker.has]
        queue = self.real._queues.get(QUEUE)
        waiting = sorted(int(parcel.body) for parcel in queue.waiting) if queue is not None else []
        assert sorted(given + waiting) == sorted(self.alive)
        assert self.real.count(QUEUE) == len(self.alive)
        assert bool(self.real) == bool(self.takers or self.alive)
        assert self.real.size == sum(Parcel(0, QUEUE, {}, b"%d" % number).size for number in self.alive)
        if waiting:  # whoever had room got what is before
            assert not any(taker.room for taker in self.takers)


TestQueueing = Queueing.TestCase


async def test_many_are_given_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 4)
    real = MemoryQueues(**{**LIMITS, "max_messages": 100}, dead_letters=None)
    for number in range(10):
        await real.put(QUEUE, {}, b"%d" % number)
    taker = Taker(100)
    await real.subscribe(QUEUE, taker)
    counts = []
    for _ in range(4):
        counts.append(len(taker.has))
        await asyncio.sleep(0)
    assert counts == [4, 8, 10, 10]
    assert [int(parcel.body) for parcel in taker.has] == list(range(10))


async def test_what_was_forgotten_is_settled_without_harm() -> None:
    real = MemoryQueues(**LIMITS, dead_letters=None)
    parcel = Parcel(1, QUEUE, {}, b"")
    real.settle(parcel, accepted=True)
    real.refuse(parcel)
    real.ready(QUEUE)
    real.unsubscribe(QUEUE, Taker(0))
    assert not len(real)


async def test_dead_letters_that_have_no_room(caplog: pytest.LogCaptureFixture) -> None:
    real = MemoryQueues(**{**LIMITS, "max_queues": 1, "max_attempts": 1}, dead_letters="/queue/dead")
    taker = Taker(9)
    await real.subscribe(QUEUE, taker)
    await real.put(QUEUE, {}, b"1")
    real.settle(taker.has[0], accepted=False)
    assert real.dropped == 1
    assert "could not be kept" in caplog.text


async def test_who_leaves_is_compared_with_nobody_else() -> None:
    """Of ten thousand that leave together each would be sought among all, several times."""

    class Alone(Taker):
        client: object = None

        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            raise AssertionError

    real = MemoryQueues(**LIMITS, dead_letters=None)
    takers = [Alone(0) for _ in range(9)]
    for taker in takers:
        await real.subscribe(QUEUE, taker)
    for taker in reversed(takers):
        real.unsubscribe(QUEUE, taker)
    assert not len(real)


async def test_the_name_of_a_queue_is_kept_once() -> None:
    """It may have 16,000 characters, which count for nothing."""
    real, taker = MemoryQueues(**LIMITS, dead_letters=None), Taker(2)
    await real.subscribe("/queue/a", taker)
    for name in ("a", "b", "a"):
        await real.put("/".join(("/queue", name)), {}, b"")
    first, second = taker.has
    assert first.destination is second.destination


async def test_who_has_no_room_is_asked_once() -> None:
    """Of a thousand that are busy each would be asked again about every message, and for each that one has taken."""
    real, takers = MemoryQueues(**LIMITS, dead_letters=None), [Taker(0) for _ in range(9)]
    for taker in takers:
        await real.subscribe(QUEUE, taker)
    for _ in range(3):
        await real.put(QUEUE, {}, b"")
    assert [taker.asked for taker in takers] == [1] * 9
    takers[4].room = 2
    real.ready(QUEUE, takers[4])
    assert [taker.asked for taker in takers] == [1] * 4 + [4] + [1] * 4
    real.unsubscribe(QUEUE, takers[0])
    real.ready(QUEUE, takers[0])  # it has left
    real.ready(QUEUE)
    assert [taker.asked for taker in takers] == [1] + [2] * 3 + [5] + [2] * 4
