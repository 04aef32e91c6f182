"""Rooms over a broker that loses, repeats and delays what it brings, answers late or never, and goes back: randomised.

The schedules of tests/core/rooms_model.py prove the rules; these hold what is around them: brokers/rooms, local,
publishing and presence. What a store does to itself is drawn from the seed, so that a seed finds much the same again.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import realtime
from realtime import BrokerError
from realtime.brokers.base import REPEATS, Keep, Listener, Refused, Unanswered
from realtime.brokers.memory import MemoryBroker, MemoryStore
from realtime.brokers.rooms import Rooms, Timing
from realtime.core.frames import Group, Outgoing, RoomItem
from realtime.core.rooms import Position, Reading

from ..patience import eventually, within

TIMING = Timing(0.4, 0.1)
FAULTS = 50  # and publishes, one after the other


class Chaos:
    """A MemoryBroker's shared state, and what befalls it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.broker = MemoryBroker()
        self.run = itertools.count(1)
        self.name = "run 0"
        self.adverse = True
        self.backs = 0
        self.stores: list[LossyStore] = []
        self._saved: Any = None

    def chance(self, probability: float) -> bool:
        return self.adverse and self.random.random() < probability

    def save(self) -> None:
        """A replica has all this."""
        rooms = copy.copy(self.broker._rooms)
        self._saved = {name: self._copy(room) for name, room in rooms.items()}, dict(self.broker._repeats)

    @staticmethod
    def _copy(room: Any) -> Any:
        twin = copy.copy(room)
        twin.entries, twin.present = copy.copy(room.entries), dict(room.present)
        return twin

    def fail_over(self) -> None:
        """The replica takes over, with what it had: all else is gone."""
        rooms, repeats = self._saved
        self.backs += 1
        self.name = f"run {next(self.run)}"
        for name, room in list(self.broker._rooms.items()):
            if name in rooms:
                before = self._copy(rooms[name])
                before.ears = room.ears
                self.broker._rooms[name] = before
            else:
                room.entries.clear()
                room.top = room.base = 0
                room.id = room.base_id = ""
                room.epoch = self.broker._new_epoch()
                room.present.clear()
        self.broker._repeats.clear()
        self.broker._repeats.update(repeats)
        self.broker._answers.clear()
        for store in self.stores:
            store.reconnect()


class LossyStore(MemoryStore):
    """What one worker sees of it."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__(chaos.broker)
        self.chaos = chaos
        self.away = False
        chaos.stores.append(self)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        """What comes over pub/sub may be lost, or come twice, and comes late; in order."""
        chaos = self.chaos
        lossy = getattr(call, "__name__", "") in ("received", "missed", "attended")
        if lossy and (self.away or chaos.chance(0.1)):
            return
        for _ in range(1 + (lossy and chaos.chance(0.05))):
            self._queue.put_nowait((call, arguments))

    async def start(self, worker: str, listener: Listener) -> None:
        self._queue: asyncio.Queue[tuple[Callable[..., None], tuple[object, ...]]] = asyncio.Queue()
        self._carrying = asyncio.create_task(self._carry())
        await super().start(worker, listener)

    async def close(self) -> None:
        await super().close()
        self._carrying.cancel()
        await asyncio.gather(self._carrying, return_exceptions=True)

    async def _carry(self) -> None:
        while True:
            call, arguments = await self._queue.get()
            if self.chaos.chance(0.3):
                await asyncio.sleep(self.chaos.random.random() * 0.01)
            call(*arguments)

    def reconnect(self) -> None:
        """Its connections ended: what was on its way is lost, and it subscribes again."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._listener.failed()
        self._listener.unsubscribed(tuple(self._rooms))
        self._tell(self._listener.returned, self.chaos.name)
        for room in self._rooms:
            self._tell(self._listener.subscribed, room)

    def run_of(self, room: str) -> str:
        return "" if self.away else self.chaos.name

    def run_at(self, part: int) -> str:
        return self.run_of("")

    async def _pass(self) -> bool:
        """A command on its way: whether its answer will be lost. Raises Refused where it was not written."""
        if self.away:
            raise Refused("away")
        if self.chaos.chance(0.3):
            await asyncio.sleep(self.chaos.random.random() * 0.01)
        if self.chaos.chance(0.05):
            raise Unanswered("cut before it was done")
        return self.chaos.chance(0.05)

    async def publish(
        self, room: str, keep: Keep, id: str, payload: bytes, ask: bool, life: float = REPEATS
    ) -> Position | None:
        run = self.chaos.name
        if self.away:
            raise Refused("away")
        if self.chaos.chance(0.05):
            raise Unanswered("cut before it was done")
        found = await super().publish(room, keep, id, payload, ask, life)
        await asyncio.sleep(0)
        if self.chaos.chance(0.05) or self.chaos.name != run:
            raise Unanswered("cut before the answer")
        return found

    async def read(
        self, room: str, keep: Keep, after: Position | None, known: Position | None, last: int = 0
    ) -> Reading:
        lost = await self._pass()
        found = await super().read(room, keep, after, known, last)
        if lost:
            raise Unanswered("cut before the answer")
        return found

    async def raise_epoch(self, room: str, keep: Keep, seen: int, above: int) -> bool:
        lost = await self._pass()
        found = await super().raise_epoch(room, keep, seen, above)
        if lost:
            raise Unanswered("cut before the answer")
        return found

    async def attend(self, room: str, add: Mapping[str, str], remove: Any) -> bool:
        lost = await self._pass()
        found = await super().attend(room, add, remove)
        if lost:
            raise Unanswered("cut before the answer")
        return found

    async def register(self, part: int, lease: float) -> bool:
        lost = await self._pass()
        found = await super().register(part, lease)
        if lost:
            raise Unanswered("cut before the answer")
        return found

    async def workers(self, part: int) -> list[str]:
        if await self._pass():
            raise Unanswered("cut before the answer")
        return await super().workers(part)

    async def answer(self, part: int, question: str, text: str) -> None:
        lost = await self._pass()
        await super().answer(part, question, text)
        if lost:
            raise Unanswered("cut before the answer")

    async def answers(self, part: int, question: str) -> dict[str, str]:
        if await self._pass():
            raise Unanswered("cut before the answer")
        return await super().answers(part, question)


class Ear:
    """A member: texts in order, and None where something was lost at least."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.since = 0.0  # when it was there
        self.heard: list[Any] = []

    def _offer(self, item: Outgoing) -> None:
        self.heard.append(item.data)

    def _offer_group(self, group: Group) -> None:
        for part in group.parts:
            self._offer(part)

    def _offer_room(self, item: RoomItem) -> None:
        self._offer(item.plain)

    async def _give_room(self, item: RoomItem) -> None:
        await asyncio.sleep(0)
        self._offer(item.plain)

    def _offer_position(self, room: str, cursor: str, missing: int | None = None) -> None:
        if missing is not None:
            self._miss(max(1, missing))

    def _miss(self, count: int) -> None:
        self.heard.append(None)

    def _left(self, room: str) -> None:
        """It may."""

    def _check_member(self) -> None:
        """It is always there."""


class Play:
    """Workers, members and publishers over one chaos."""

    def __init__(self, seed: int) -> None:
        self.chaos = Chaos(seed)
        self.workers = [self._worker() for _ in range(3)]
        self.ears: list[tuple[Ear, str]] = []
        self.put_out: list[tuple[Ear, str]] = []
        self.sent: dict[str, list[tuple[float, str]]] = {"kept": [], "plain": []}  # acknowledged: since when, and what
        self.failures: list[BrokerError] = []
        self._numbers = itertools.count()

    def _worker(self) -> Any:
        service = realtime.Server()._service
        service.configure_rooms("*", 0, 60, True)
        service.room_rules.add("kept", 50, 60, True)
        hub = service.sessions.hub
        hub.shared = Rooms(LossyStore(self.chaos), hub, 20.0, TIMING)
        return hub

    async def member(self, room: str, **options: Any) -> None:
        hub = self.chaos.random.choice(self.workers)
        ear = Ear(f"ear{next(self._numbers)}")
        await hub.rooms.join(ear, room, hub.keep(room), **{"info": "{}", "last": 0, "after": None, **options})
        ear.since = asyncio.get_running_loop().time()
        self.ears.append((ear, room))

    async def publish(self, room: str) -> None:
        text = f"{room} {next(self._numbers)}"
        since = asyncio.get_running_loop().time()
        try:
            await self.chaos.random.choice(self.workers).room(room).send(text)
        except BrokerError as error:
            self.failures.append(error)
        else:
            self.sent[room].append((since, text))

    async def faults(self) -> None:
        chaos = self.chaos
        for _ in range(FAULTS):
            await asyncio.sleep(chaos.random.random() * 0.05)
            fault = chaos.random.choice(("publish",) * 12 + ("save", "failover", "away", "join", "cut"))
            if fault == "publish":
                for _ in range(chaos.random.choice((1, 1, 4))):
                    self.tasks.append(asyncio.create_task(self.publish(chaos.random.choice(("kept", "plain")))))
            elif fault == "save":
                chaos.save()
            elif fault == "failover":
                chaos.fail_over()
            elif fault == "cut":
                chaos.random.choice(chaos.stores).reconnect()
            elif fault == "away":
                store = chaos.random.choice(chaos.stores)
                store.away = True
                store.reconnect()
                self.tasks.append(asyncio.create_task(self._back(store)))
            elif len(self.ears) < 12:
                options = {"last": chaos.random.choice((0, 5))} if chaos.random.random() < 0.5 else {}
                self.tasks.append(asyncio.create_task(self.member("kept", **options)))

    async def _back(self, store: LossyStore) -> None:
        await asyncio.sleep(self.chaos.random.random() * 0.2)
        store.away = False
        store.reconnect()

    async def run(self, close: bool = False) -> None:
        chaos = self.chaos
        self.tasks: list[asyncio.Task[None]] = []
        for hub in self.workers:
            await hub.rooms.start()
        chaos.save()
        for room in ("kept", "kept", "plain", "plain"):
            await self.member(room)
        await self.faults()
        await asyncio.gather(*self.tasks)
        if close:
            await self._close()
        chaos.adverse = False
        for store in chaos.stores:
            store.reconnect()
        await self._settle()
        for hub in self.workers:
            await hub.rooms.close()

    async def _close(self) -> None:
        """While the broker loses, repeats and delays."""
        closings = [chance.room(room).close() for chance, room in zip(self.workers, ("kept", "plain"), strict=False)]
        await asyncio.gather(*closings)
        for hub in self.workers:
            await eventually(lambda hub=hub: not hub.members("kept") and not hub.members("plain"))  # type: ignore[misc]
            await eventually(lambda hub=hub: not hub.rooms._local)  # type: ignore[misc]
        self.put_out, self.ears = self.ears, []
        for room in ("kept", "plain"):
            await self.member(room)

    async def _settle(self) -> None:
        """Until a last message of each room is heard by all, and presence is right."""
        for room in ("kept", "plain"):
            heard = False
            while not heard:  # the loss of one may be what is told
                text = f"{room} end {next(self._numbers)}"
                await self.workers[0].room(room).send(text)
                await eventually(lambda room=room, text=text: self._told(room, text))  # type: ignore[misc]
                heard = all(text in ear.heard for ear, where in self.ears if where == room)
            expected = {ear.id for ear, where in self.ears if where == room}
            async with within(f"presence in {room} is right"):
                while True:
                    if set(await self.workers[1].room(room).members()) == expected:
                        break
                    await asyncio.sleep(0.02)

    def _told(self, room: str, text: str) -> bool:
        return all(text in ear.heard or ear.heard[-1:] == [None] for ear, where in self.ears if where == room)

    def judge(self) -> int:
        """Whether nothing was silently lost, repeated or reordered; how many messages were heard."""
        assert all(error.maybe_sent for error in self.failures)  # there was time enough for all others
        for ear, room in (*self.ears, *self.put_out):
            texts = [text for text in ear.heard if text is not None]
            assert len(set(texts)) == len(texts), f"{ear.id} heard something twice"
            if None not in ear.heard:
                missing = [text for since, text in self.sent[room] if since > ear.since and text not in texts]
                assert not missing, f"{ear.id} missed {missing}, and was not told"
        pieces = [piece for ear, room in (*self.ears, *self.put_out) if room == "kept" for piece in _pieces(ear.heard)]
        for one, other in itertools.combinations(pieces, 2):
            shared = [text for text in one if text in set(other)]
            assert shared == [text for text in other if text in set(one)], "two members heard another order"
        return sum(len(ear.heard) for ear, _ in (*self.ears, *self.put_out))


def _pieces(heard: list[Any]) -> list[list[str]]:
    """What was heard between gaps."""
    return [list(some) for known, some in itertools.groupby(heard, lambda text: text is not None) if known]


@pytest.mark.parametrize("seed", range(6, 9))
async def test_a_closing_reaches_every_worker_all_the_same(seed: int) -> None:
    play = Play(seed)
    await play.run(close=True)
    assert play.judge() > 20


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_silently_lost_repeated_or_reordered(seed: int) -> None:
    play = Play(seed)
    await play.run()
    assert play.judge() > 20
