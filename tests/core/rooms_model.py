"""Rooms across workers, as a randomised, seeded model: a store that fails in every way it can, workers that come and
go, clients that lose their sessions. What decides is the code that ships (core/follower, tail, publications,
attendance); the model has only the store, the connections, and the clients' end.

    python -m tests.core.rooms_model N [START]     so many schedules
    python -m tests.core.rooms_model trace SEED    one, told step by step

Every fault is drawn from the seed: a seed always gives the same schedule.
"""

from __future__ import annotations

import heapq
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from realtime.core.attendance import Attendance, Standing
from realtime.core.follower import Follower
from realtime.core.publications import Acknowledged, Publication
from realtime.core.rooms import CLOSING, Entry, Position, Reading
from realtime.core.tail import Tail

LEASE, RENEW, SWEEP, BEAT = 10.0, 2.5, 4.0, 1.0
CALL = 2.0  # after so long without an answer a connection is given up
TIMEOUT = 7.0  # broker_timeout
HELD, OUTBOX, WAITING, PAGE = 6, 4, 24, 5
LENGTH = 20.0


class Refused:
    """The answer to what was never written."""


REFUSED = Refused()


class Violation(Exception):
    """A promise was broken."""


class World:
    """Time, chance, and what is due."""

    def __init__(self, seed: int, trace: list[str] | None) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.trace = trace
        self.adverse = True
        self.calm = False
        self.base = 0.1
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def at(self, when: float, call: Callable[[], object]) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, call))

    def after(self, delay: float, call: Callable[[], object]) -> None:
        self.at(self.now + delay, call)

    def run(self, until: float) -> None:
        steps = 0
        while self._due and self._due[0][0] <= until:
            self.now, _, call = heapq.heappop(self._due)
            steps += 1
            call()
            if steps > 60_000:
                raise Violation("livelock")
        self.now = until

    def say(self, *words: object) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.now:7.2f} " + " ".join(map(str, words)))

    def chance(self, probability: float) -> bool:
        return self.adverse and not self.calm and self.random.random() < probability

    def delay(self) -> float:
        return self.random.random() * self.base


# -- the store ---------------------------------------------------------------------------------------------------------


@dataclass
class Kept:
    """What the store keeps of a room."""

    epoch: int
    top: int = 0
    id: str = ""
    base: int = 0
    base_id: str = ""
    stream: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    closed: tuple[int, int] = (0, 0)


@dataclass
class Data:
    """All that the store keeps."""

    rooms: dict[str, Kept] = field(default_factory=dict)
    seen: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    present: set[tuple[str, str, str]] = field(default_factory=set)


class Store:
    """One shard: what its scripts do, its subscriptions, and its ways to fail."""

    def __init__(self, world: World, history: dict[str, int]) -> None:
        self.world = world
        self.history = history
        self.run = 1
        self.up = True
        self.paused = 0.0
        self.data = Data()
        self.subscriptions: list[Subscription] = []
        self.workers: dict[str, Worker] = {}
        self.published: list[tuple[str, int, int, str, float]] = []
        self.closings: set[tuple[str, int, int]] = set()
        self.raises: dict[str, int] = {}
        self.backs = 0
        self._clock = 0
        self._undo: deque[Callable[[], None]] = deque(maxlen=12)

    # what a failover may take back

    def _save_room(self, room: str, *ids: str) -> None:
        kept = self.data.rooms.get(room)
        before = None if kept is None else replace(kept, stream=list(kept.stream))

        def undo() -> None:
            if before is None:
                self.data.rooms.pop(room, None)
            else:
                self.data.rooms[room] = before
            for id in ids:
                self.data.seen.pop((room, id), None)

        self._undo.append(undo)

    def _save_presence(self) -> None:
        leases, present = dict(self.data.leases), set(self.data.present)

        def undo() -> None:
            self.data.leases, self.data.present = leases, present

        self._undo.append(undo)

    # scripts

    def new_epoch(self, above: int = 0) -> int:
        self._clock = max(self._clock + 1, above + 1, int(self.world.now * 10))
        return self._clock

    def kept(self, room: str) -> Kept:
        if room not in self.data.rooms:
            self.data.rooms[room] = Kept(self.new_epoch())
        return self.data.rooms[room]

    def repeated(self, room: str, id: str) -> tuple[int, int] | None:
        return self.data.seen.get((room, id))

    def publish(self, room: str, id: str, ask: bool, payload: bytes = b"") -> tuple[int, int] | str:
        kept = self.kept(room)
        before = self.repeated(room, id)
        if before is not None:
            return before
        if ask:
            return "unknown"
        self._save_room(room, id)
        entry = Entry(kept.epoch, kept.top + 1, id, kept.id, payload)
        kept.top, kept.id = entry.offset, id
        if entry.closes:
            kept.closed = entry.epoch, entry.offset
            self.closings.add((room, *kept.closed))
        if self.history[room]:
            kept.stream.append((entry.offset, id, entry.previous, payload))
            del kept.stream[: -self.history[room]]
        self.data.seen[room, id] = entry.epoch, entry.offset
        self.published.append((room, entry.epoch, entry.offset, id, self.world.now))
        self.world.say("store:", room, f"e{entry.epoch} #{entry.offset} =", id)
        for subscription in self.subscriptions:
            if room in subscription.rooms:
                subscription.push((room, entry))
        return entry.epoch, entry.offset

    def read(self, room: str, after: Position | None, known: Position | None, last: int = 0) -> Reading:
        kept = self.kept(room)
        start = kept.top - last if after is None else after.offset if after.epoch == kept.epoch else kept.base
        behind = [Entry(kept.epoch, *one) for one in kept.stream if one[0] > start]
        if after is None and not last:
            behind = []
        whole = Reading(kept.epoch, kept.top, kept.id, entries=[Entry(kept.epoch, *one) for one in kept.stream])
        ids = {}
        for position in (after, known):
            if position is not None:
                found = whole.id_at(position.offset)
                if found is not None:
                    ids[position.offset] = found
        page = behind[:PAGE]
        more = len(behind) > PAGE
        clock, closed = self.world.now, kept.closed
        return Reading(kept.epoch, kept.top, kept.id, kept.base, kept.base_id, page, ids, more, clock, closed)

    def raise_epoch(self, room: str, seen: int, above: int) -> bool:
        kept = self.kept(room)
        if kept.epoch != seen:
            return False
        self._save_room(room)
        kept.epoch, kept.base, kept.base_id = self.new_epoch(above), kept.top, kept.id
        self.raises[room] = self.raises.get(room, 0) + 1
        self.world.say("store:", room, f"raised to e{kept.epoch} at #{kept.top}")
        return True

    def renew(self, worker: str) -> bool:
        new = worker not in self.data.leases
        self._save_presence()
        self.data.leases[worker] = self.world.now + LEASE
        return new

    def registered(self, worker: str) -> bool:
        return worker in self.data.leases

    def attend(self, worker: str, add: set[tuple[str, str]], remove: set[tuple[str, str]]) -> bool:
        if not self.registered(worker):
            return False
        self._save_presence()
        self.data.present -= {(worker, *one) for one in remove}
        self.data.present |= {(worker, *one) for one in add}
        return True

    def attending(self, worker: str) -> set[tuple[str, str]]:
        return {one[1:] for one in self.data.present if one[0] == worker}

    def expired(self) -> list[tuple[str, float]]:
        return [(worker, until) for worker, until in self.data.leases.items() if until < self.world.now]

    def reap(self, worker: str, until: float) -> None:
        if not self.same_lease(worker, until):
            return
        gone = {one for one in self.data.present if one[0] == worker}
        if gone and worker in self.workers and self.workers[worker].alive:
            raise Violation(f"flap: the presence of the living worker {worker} was reaped")
        self._save_presence()
        self.data.leases.pop(worker, None)
        self.data.present -= gone
        self.world.say("store: reaped", worker)

    def same_lease(self, worker: str, until: float) -> bool:
        return self.data.leases.get(worker) == until

    # faults

    def _cut_all(self) -> None:
        self.run += 1
        self.world.say("store: another run", self.run)
        for subscription in self.subscriptions:
            subscription.dead = True
        self.subscriptions = []

    def pause(self, seconds: float) -> None:
        self.paused = max(self.paused, self.world.now + seconds)
        self.world.say(f"store: paused for {seconds:.1f}")

    def fail_over(self, writes: int) -> None:
        self.world.say("store: failover,", writes, "writes are lost")
        self.backs += 1
        for _ in range(writes):
            if self._undo:
                self._undo.pop()()
        self._cut_all()

    def restart(self, persistent: bool, down: float) -> None:
        if not persistent:
            self.data = Data()
            self._undo.clear()
            self.backs += 1
        self.world.say("store: restart", "with" if persistent else "WITHOUT", "persistence")
        self._cut_all()
        self.up = False

        def back() -> None:
            self.up = True

        self.world.after(down, back)

    def expire(self, room: str) -> None:
        self.data.rooms.pop(room, None)
        self.backs += 1
        self.world.say("store: a room expired", room)


# -- connections -------------------------------------------------------------------------------------------------------

Answer = Callable[[Any], object]


class Connection:
    """A worker's commands, in order."""

    def __init__(self, run: int, offset: float) -> None:
        self.run = run
        self.asked = self.answered = 0.0
        self.cut = self.stopped = False
        self.pending: dict[int, Answer] = {}
        self.commands: deque[tuple[int, Callable[[], Any]]] = deque()
        self.offset = offset  # when a paused store comes to it


class Subscription:
    """Messages of the rooms that a worker listens to: in order, but some may be lost, or come twice, or all stop."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.rooms: set[str] = set()
        self.dead = self.deaf = False
        self.run = worker.store.run
        self._asked = self._told = 0.0
        worker.store.subscriptions.append(self)

    def push(self, item: tuple[str, Entry | None]) -> None:
        world = self.worker.world
        confirmation = item[1] is None
        if self.deaf and not confirmation:
            return
        if not confirmation and world.chance(self.worker.drops):
            world.say("the subscription loses", item, "for", self.worker.name)
            return
        for _ in range(2 if not confirmation and world.chance(0.05) else 1):
            self._told = max(world.now + world.delay(), self._told)
            world.at(self._told, lambda: self.worker.hear(*item) if self.worker.subscription is self else None)

    def subscribe(self, room: str) -> None:
        world = self.worker.world
        self._asked = max(world.now + world.delay(), self._asked)

        def done() -> None:
            store = self.worker.store
            if self.dead or self.run != store.run:
                return
            if world.now < store.paused:
                world.at(store.paused, done)
                return
            self.rooms.add(room)
            self.push((room, None))

        world.at(self._asked, done)


# -- workers -----------------------------------------------------------------------------------------------------------


class Room:
    """A room that has members at a worker: around the follower that ships."""

    def __init__(self, worker: Worker, name: str) -> None:
        self.worker = worker
        self.name = name
        self.history = worker.store.history[name]
        self.members: list[Session] = []
        self.waiting: list[Session] = []
        self.closings: set[tuple[int, int]] = set()
        self.follower = Follower(bool(self.history), self, max_held=HELD, patience=SWEEP / 2)

    @property
    def current(self) -> bool:
        return self.worker.alive and self.worker.rooms.get(self.name) is self

    def read(self, after: Position | None, known: Position | None) -> None:
        def answer(reading: Any) -> None:
            if self.current:
                self.follower.answer(reading if isinstance(reading, Reading) else None, self.worker.world.now)

        self.worker.call(lambda: self.worker.store.read(self.name, after, known), answer)

    def raise_epoch(self, seen: int, above: int) -> None:
        def answer(done: Any) -> None:
            if self.current:
                self.follower.raised(isinstance(done, bool))

        self.worker.call(lambda: self.worker.store.raise_epoch(self.name, seen, above), answer)

    def retry(self) -> None:
        self.worker.world.after(0.3, lambda: self.follower.compare() if self.current else None)

    def deliver(self, entry: Entry) -> None:
        at = (entry.epoch, entry.offset)
        level = [member for member in self.members if member.level]
        for member in level:
            member.take(entry)
        if entry.closes:
            self._close(at, level)
        for member in [member for member in self.members if member not in level]:
            if entry.closes:
                member.tail.closed(at)
            member.tail.offer(entry)
            member.settle(self)

    def closed(self, at: tuple[int, int]) -> None:
        self._close(at, [member for member in self.members if member.level])
        for member in self.members:
            member.tail.closed(at)

    def _close(self, at: tuple[int, int], level: list[Session]) -> None:
        if at in self.closings or (self.name, *at) not in self.worker.store.closings:
            raise Violation(f"{self.worker.name} closes {self.name} at {at}, and nobody has closed it, or once more")
        self.closings.add(at)
        self.worker.world.say(self.worker.name, "closes", self.name, "at", at)
        for member in level:
            member.put_out()

    def gap(self, position: Position, lost: int | None) -> None:
        self.worker.world.say(self.worker.name, "tells of a gap in", self.name, "to", position)
        for member in list(self.members):
            if member.level:
                member.gap(position)
            else:
                member.tail.offer(position)
                member.settle(self)

    def ready(self) -> None:
        waiting, self.waiting = self.waiting, []
        for member in waiting:
            member.begin()


@dataclass
class Note:
    """What a client gets beside messages."""

    kind: str  # "start", "gap" or "dropped"
    position: Position | None
    count: int = 0
    at: float = 0.0


class Session:
    """A member: its place in the room, by the tail that ships, and an outbox that drops."""

    def __init__(self, worker: Worker, client: Client) -> None:
        self.worker = worker
        self.client = client
        self.room = client.room
        self.id = f"{client.name}.{client.opens}"
        self.ended = False
        self.left = False  # the room was closed
        self.read_up_to: tuple[int, int] | None = None  # by its first reading
        self.out: list[Entry | Note] = []
        self._present = False
        self._busy = False
        self._begun = False
        self.level = False  # it stands where its worker stands, and needs no tail any more
        history = bool(worker.store.history[self.room])
        self.tail = Tail(
            history,
            self,
            cursor=client.cursor if history else None,
            last=client.wanted,
            max_held=HELD,
        )

    def settle(self, room: Room) -> None:
        if self.left:
            return
        if not self.tail.pending and self.tail.leaves:
            if self.read_up_to is None or self.read_up_to >= self.tail._closings[0]:
                raise Violation(f"{self.id} is put out of {self.room} by a closing behind which it has joined")
            self.put_out()
            return
        self.level = not self.tail.pending and self.tail.position == room.follower.position

    def put_out(self) -> None:
        """The room was closed: it gets what it was sent, and its client joins again, in another session or this one."""
        self.left = True
        self.worker.leave(self, ended=False)
        self._kick()

    def begin(self) -> None:
        if not self.ended:
            self.tail.again()

    def read(self, after: Position | None, last: int) -> None:
        def answer(reading: Any) -> None:
            if self.ended or self.left:
                return
            if not isinstance(reading, Reading):
                self.tail.answer(None)
                return
            self.read_up_to = self.read_up_to or reading.end[:2]
            room = self.worker.rooms.get(self.room)
            if room is not None:
                self.worker.learn_snapshot(room, reading)
            self.tail.answer(reading)
            if room is not None:
                self.settle(room)
            if not self._begun and not self.tail.pending:
                self._begun = True
            if not self._present and not self.left:
                self._present = True
                self.worker.present(self, True)

        self.worker.call(lambda: self.worker.store.read(self.room, after, after, last), answer)

    def retry(self) -> None:
        self.worker.world.after(0.3, lambda: None if self.ended or self.left else self.tail.again())

    def gone(self, seen: int, above: int) -> None:
        def answer(done: Any) -> None:
            if not self.ended and not self.left and isinstance(done, bool):
                self.tail.again()
            else:
                self.retry()

        self.worker.call(lambda: self.worker.store.raise_epoch(self.room, seen, above), answer)

    def starts(self, position: Position, at: float) -> None:
        self._push(Note("start", position, at=at))

    def take(self, entry: Entry) -> None:
        self._push(entry)

    def gap(self, position: Position) -> None:
        self._push(Note("gap", position))

    def _push(self, item: Entry | Note) -> None:
        snapshot = not self._begun  # it waits for its room, as the handler's own sends do
        if len(self.out) < OUTBOX or snapshot:
            self.out.append(item)
        else:  # too slow: dropped, and told; a note is never dropped, it grows
            position = item.position if isinstance(item, Note) else None
            count = 0 if isinstance(item, Note) else 1
            last = self.out[-1]
            if isinstance(last, Note) and last.kind == "dropped":
                self.out[-1] = Note("dropped", position or (last.position and item.position), last.count + count)
            else:
                self.out.append(Note("dropped", position, count))
        self._kick()

    def _kick(self) -> None:
        if self.left and not self.out and not self._busy and not self.ended:
            self.client.put_out(self)
        if not self.out or self._busy:
            return
        self._busy = True
        world = self.worker.world

        def arrive() -> None:
            self._busy = False
            if self.ended or self.client.session is not self:
                return
            self.client.receive(self.out.pop(0))
            self._kick()

        world.after(world.delay() + (self.client.slow if world.adverse else 0), arrive)


class Worker:
    """A worker: connections, leases, sweeps and beats around what ships."""

    def __init__(self, schedule: Schedule, name: str) -> None:
        self.schedule = schedule
        self.world = schedule.world
        self.store = schedule.store
        self.name = name
        self.alive = True
        self.died = False
        self.losses, self.drops = schedule.losses, schedule.drops
        self.rooms: dict[str, Room] = {}
        self.connection: Connection | None = None
        self.subscription: Subscription | None = None
        self.standing = Standing(self.world.now, LEASE)
        self.acknowledged = Acknowledged()
        self.attendance = Attendance()
        self._number = 0
        self._run = 0
        self._commands = 0
        self._queue: list[Pending] = []
        self._retrying = False
        self._beat = self.world.now
        self.store.workers[name] = self
        self.world.say(name, "starts")
        self._subscribe()
        self._renew()
        self._tick()
        self.world.after(self.world.random.random() * SWEEP, self._sweep)

    def living(self, call: Callable[[], object]) -> Callable[[], object]:
        return lambda: self.alive and call()

    # commands: an answer, REFUSED (never written) or None (nobody knows)

    def call(self, command: Callable[[], Any], answer: Answer) -> None:
        world, store = self.world, self.store
        if self.connection is None:
            if not store.up:
                self.standing.failed()
                answer(REFUSED)
                return
            self.connection = Connection(store.run, world.random.random() * 0.05)
            if self._run != store.run:
                first, self._run = self._run == 0, store.run
                if not first:
                    self.standing.returned(world.now)
                    self._new_run()
            if self.connection is None:
                answer(None)
                return
        connection = self.connection
        self._commands += 1
        number = self._commands
        connection.pending[number] = answer
        connection.commands.append((number, command))
        connection.asked = max(world.now + world.delay(), connection.asked)
        if world.chance(self.losses):
            connection.cut = True
            world.after(world.delay() * 3, lambda: self.drop(connection))

        def execute() -> None:
            if connection.stopped or connection.run != store.run or not store.up:
                connection.stopped = True
                return
            if connection.cut and world.random.random() < 0.5:
                connection.stopped = True  # a cut loses what is behind it, all of it
                return
            if world.now < store.paused + connection.offset:
                world.at(store.paused + connection.offset, execute)
                return
            which, what = connection.commands.popleft()
            result = what()
            connection.answered = max(world.now + world.delay(), connection.answered)

            def back() -> None:
                if not self.alive or connection.cut or self.connection is not connection:
                    return
                if which in connection.pending:
                    self.standing.answered(world.now)
                    connection.pending.pop(which)(result)

            world.at(connection.answered, back)

        world.at(connection.asked, execute)
        world.after(CALL, lambda: self.drop(connection) if number in connection.pending else None)

    def drop(self, connection: Connection) -> None:
        if self.connection is connection:
            self.connection = None
            self.standing.failed()
        pending, connection.pending = connection.pending, {}
        for answer in pending.values():
            if self.alive:
                answer(None)

    def _new_run(self) -> None:
        self.world.after(0, self.living(self.compare_acknowledged))

    # the subscription

    def _subscribe(self) -> None:
        for room in self.rooms.values():
            room.follower.unsubscribed()
        self.subscription = None
        self._beat = self.world.now
        if not self.store.up:
            self.world.after(0.4, self.living(lambda: None if self.subscription else self._subscribe()))
            return
        self.subscription = Subscription(self)
        for name in self.rooms:
            self.subscription.subscribe(name)

    def _tick(self) -> None:
        """Its own beat, and how it notices the end of a connection."""
        heard = self.subscription
        world = self.world
        if heard and not heard.dead and not heard.deaf and self.store.up and world.now >= self.store.paused:
            self._beat = world.now
        if heard and ((heard.dead and not heard.deaf) or self.missed_beats()):
            world.say(self.name, "subscribes again")
            self._subscribe()
        world.after(BEAT * (0.5 + world.random.random()), self.living(self._tick))

    def missed_beats(self) -> bool:
        return self.world.now - self._beat > 2.2 * BEAT

    def hear(self, name: str, entry: Entry | None) -> None:
        room = self.rooms.get(name)
        if room is None or not self.alive:
            return
        if entry is None:
            room.follower.subscribed()
        else:
            room.follower.message(entry)

    # members

    def join(self, session: Session) -> None:
        room = self.rooms.get(session.room)
        if room is None:
            room = self.rooms[session.room] = Room(self, session.room)
            if self.subscription:
                self.subscription.subscribe(session.room)
        room.members.append(session)
        if room.follower.live:
            session.begin()
        else:
            room.waiting.append(session)

    def leave(self, session: Session, ended: bool = True) -> None:
        session.ended = session.ended or ended
        room = self.rooms.get(session.room)
        if room is not None and session in room.members:
            room.members.remove(session)
            if self.unneeded(room):
                del self.rooms[session.room]
                if self.subscription:
                    self.subscription.rooms.discard(session.room)
        self.present(session, False)

    def unneeded(self, room: Room) -> bool:
        return not room.members

    # presence

    def present(self, session: Session, there: bool) -> None:
        one = {(session.room, session.id)}
        if there and self.attendance.add(session.room, session.id, ""):
            self._mend(one, set())
        elif not there and self.attendance.remove(session.room, session.id):
            self._mend(set(), one)

    @property
    def here(self) -> set[tuple[str, str]]:
        return {(room, member) for room in self.attendance.rooms() for member in self.attendance.members(room)}

    def _mend(self, add: set[tuple[str, str]], remove: set[tuple[str, str]]) -> None:
        if not add and not remove:
            return

        def answer(done: Any) -> None:
            if done is False:
                self._renew(again=False)
            elif done is not True:
                self.world.after(0.5, self.living(lambda: self._mend(add & self.here, remove - self.here)))

        self.call(lambda: self.store.attend(self.name, add, remove), answer)

    def _renew(self, again: bool = True) -> None:
        asked = self.world.now

        def answer(new: Any) -> None:
            if isinstance(new, bool):
                self.standing.renewed(asked, self.world.now)
            if new is True:
                self._mend(self.here, set())

        self.call(lambda: self.store.renew(self.name), answer)
        if again:
            self.world.after(RENEW, self.living(self._renew))

    def compare_presence(self) -> None:
        def answer(stored: Any) -> None:
            if isinstance(stored, set):
                add, remove = set(), set()
                for room in {one[0] for one in stored} | set(self.attendance.rooms()):
                    missing, ghosts = self.attendance.differences(room, {one[1] for one in stored if one[0] == room})
                    add |= {(room, member) for member in missing}
                    remove |= {(room, member) for member in ghosts}
                self._mend(add, remove)

        self.call(lambda: self.store.attending(self.name), answer)

    def reap(self) -> None:
        asked = self.world.now

        def answer(expired: Any) -> None:
            self.standing.took(asked, self.world.now)
            if isinstance(expired, list) and self.may_reap():
                for one in expired:
                    self.call(partial(self.store.reap, *one), lambda done: None)

        self.call(self.store.expired, answer)

    # sweeps

    def _sweep(self) -> None:
        self.world.after(SWEEP, self.living(self._sweep))
        self.sweep_rooms()
        run = self._run

        def answer(done: Any) -> None:
            if done is True:
                self.acknowledged.sweep({str(run)})

        self.call(lambda: self.store.run == run, answer)
        self.compare_acknowledged()
        self.compare_presence()
        if self.may_reap():
            self.reap()

    def may_reap(self) -> bool:
        return self.standing.steady(self.world.now)

    def sweep_rooms(self) -> None:
        for room in list(self.rooms.values()):
            if room.follower.live:
                room.follower.compare()

    # what was told of

    def learn_snapshot(self, room: Room, reading: Reading) -> None:
        room.follower.learn(reading.end)

    def learn(self, name: str, position: Position, run: int) -> None:
        self.acknowledged.add(name, str(run), position)
        if name in self.rooms:
            self.rooms[name].follower.learn(position)

    def compare_acknowledged(self) -> None:
        for name, before, position in self.acknowledged.questions(lambda room: str(self._run)):
            self._compare_acknowledged(name, before, position)

    def _compare_acknowledged(self, name: str, before: str, position: Position) -> None:
        run = self._run

        def answer(reading: Any) -> None:
            if isinstance(reading, Reading) and self._run == run:
                raising = self.acknowledged.compared(name, before, reading, str(run))
                if raising is not None:
                    self.call(lambda: self.store.raise_epoch(name, *raising), lambda done: None)

        self.call(lambda: self.store.read(name, None, position), answer)

    # publishing: pipelined, in order; an unknown outcome is asked again under its id

    def publish(self, room: str, payload: bytes = b"") -> None:
        if len(self._queue) >= WAITING:
            return
        self._number += 1
        pending = Pending(Publication(room, f"{self.name}-{self._number}"), self.world.now, payload)
        self.schedule.pendings.append(pending)
        self._queue.append(pending)
        self._pump()
        self.world.after(TIMEOUT, self.living(lambda: self._finish(pending, "")))

    def _finish(self, pending: Pending, outcome: str) -> None:
        if not pending.outcome:
            pending.outcome = outcome or ("maybe" if pending.publication.maybe_sent else "no")
            self._queue.remove(pending)
            self.world.say(self.name, "publish", pending.publication.id, pending.outcome)

    def _again(self) -> None:
        self._retrying = False
        self._pump()

    def _pump(self) -> None:
        for pending in list(self._queue):
            if not pending.publication.flying and not pending.outcome:
                self._write(pending)

    def _write(self, pending: Pending) -> None:
        publication = pending.publication
        run = self.connection.run if self.connection is not None else self.store.run
        ask = publication.attempt(str(run))

        def answer(result: Any) -> None:
            if result is REFUSED:
                publication.refused()
            elif result is None:
                publication.unanswered()
            if pending.outcome:
                return
            if isinstance(result, tuple):
                self._finish(pending, "ok")
                self.learn(publication.room, Position(result[0], result[1], publication.id), run)
            elif result == "unknown":
                self._finish(pending, "maybe")
            elif not self._retrying:
                self._retrying = True
                self.world.after(0.2, self.living(self._again))

        self.call(lambda: self.store.publish(publication.room, publication.id, ask, pending.payload), answer)

    def crash(self) -> None:
        self.alive = False
        self.died = True
        self.world.say(self.name, "dies")
        if self.subscription in self.store.subscriptions:
            self.store.subscriptions.remove(self.subscription)
        for client in self.schedule.clients:
            session = client.session
            if session is not None and session.worker is self:
                session.ended = True
                client.session = None
                self.world.say(client.name, "loses its session")
                self.world.after(self.world.random.random() * 2, client.open)


@dataclass
class Pending:
    """A publish that a worker's application waits for."""

    publication: Publication
    since: float
    payload: bytes = b""
    outcome: str = ""  # "ok", "no" or "maybe"


# -- clients -----------------------------------------------------------------------------------------------------------


class Client:
    """A client with cursors: it opens, loses its session, opens again behind what it has; and it judges."""

    def __init__(self, schedule: Schedule, name: str, room: str) -> None:
        self.schedule = schedule
        self.world = schedule.world
        self.name = name
        self.room = room
        self.history = schedule.store.history[room]
        self.cursor: Position | None = None
        self.session: Session | None = None
        self.opens = 0
        self.left = False
        self.position: Position | None = None  # by what it was told
        self.ids: dict[str, Position] = {}
        self.dropped = 0
        self.told: list[float] = []
        self.since: float | None = None
        draw = self.world.random.choice
        self.wanted = draw([0, 0, 1, 3, 8]) if self.history else 0
        self.slow = draw([0, 0, 0, 0.5])
        self.open()

    def open(self) -> None:
        if self.left or self.session:
            return
        workers = self.schedule.living
        if not workers:
            self.world.after(0.5, self.open)
            return
        worker = self.world.random.choice(workers)
        self.opens += 1
        self.world.say(self.name, "opens at", worker.name, "behind", self.cursor)
        if not self.history:
            self.position, self.since, self.dropped = None, None, 0
        self.session = Session(worker, self)
        worker.join(self.session)

    def lose(self) -> None:
        session = self.session
        if session is None:
            return
        self.session = None
        self.world.say(self.name, "loses its session, unread", session.out)
        self.world.after(self.world.random.random() * 3, session.worker.living(lambda: session.worker.leave(session)))
        self.world.after(self.world.random.random() * 2, self.open)

    def put_out(self, session: Session) -> None:
        """It has been told everything that was sent before the room was closed."""
        if self.session is session:
            self.session = None
            session.ended = True
            self.world.say(self.name, "was put out")
            self.world.after(self.world.random.random() * 2, self.open)

    def leave(self) -> None:
        if self.session is not None and not self.session.tail.pending:
            session, self.session = self.session, None
            self.left = True
            session.worker.leave(session)

    def receive(self, item: Entry | Note) -> None:
        self.world.say(self.name, "gets", item)
        if isinstance(item, Entry):
            self._receive_message(item)
            return
        position = item.position
        if item.kind == "start":
            assert position is not None
            if self.history and self.position and self.position[:2] != position[:2]:
                raise Violation(f"silent gap: {self.name} joins again at {position}, was at {self.position}")
            self.position = position
            if self.since is None:
                self.since = item.at
            self.note_start(position)
            return
        if item.kind == "dropped":
            self.told.append(self.world.now)
            self.dropped += item.count
        if position is not None:
            if self.world.calm and not self.slow:
                raise Violation(f"calm: {self.name} is told a gap where nothing was lost")
            self.told.append(self.world.now)
            self.position, self.dropped = position, 0
            self.note_gap(position)

    def note_start(self, position: Position) -> None:
        self.cursor = position

    def note_gap(self, position: Position) -> None:
        self.cursor = position

    def _receive_message(self, entry: Entry) -> None:
        if entry.id in self.ids:
            raise Violation(f"twice: {self.name} gets {entry}, had it at {self.ids[entry.id]}")
        position = self.position
        if position:
            if entry.epoch != position.epoch:
                raise Violation(f"epoch changed silently: {self.name} {entry} after {position}")
            if entry.offset <= position.offset:
                raise Violation(f"order: {self.name} {entry} after {position}")
            if entry.offset > position.offset + 1 + self.dropped:
                raise Violation(f"silent gap: {self.name} {entry} after {position}, {self.dropped} told")
        self.position = self.cursor = entry.position
        self.ids[entry.id] = entry.position
        self.dropped = 0


# -- a schedule --------------------------------------------------------------------------------------------------------

FAULTS = (
    "cut", "deaf", "pause", "longpause", "failover", "restart", "wipe", "crash", "lose", "leave", "expire", "join",
    "lose", "failover",
)  # fmt: skip


@dataclass(frozen=True)
class Conditions:
    """Under which schedules are drawn, where those of all are too mixed to show something soon."""

    faults: tuple[str, ...] = ()
    calm: bool = False


ANY = Conditions()


class Schedule:
    """Everything that happens in one seed, and what must hold of it."""

    def __init__(self, seed: int, trace: list[str] | None = None, conditions: Conditions = ANY) -> None:
        world = self.world = World(seed, trace)
        draw = world.random
        world.base = draw.choice([0.02, 0.1, 0.3])
        world.calm = draw.random() < 0.06 or conditions.calm
        self.losses = draw.choice([0, 0, 0.03, 0.1])
        self.drops = draw.choice([0, 0.05, 0.2])
        self.store = Store(world, {"a": draw.choice([3, 6, 10]), "b": draw.choice([0, 0, 4])})
        self.pendings: list[Pending] = []
        self.clients: list[Client] = []
        self.workers: list[Worker] = []
        self._started = 0
        self._closes = random.Random(seed)  # of its own: what else happens is as without
        self.closes = self._closes.choice([0, 0, 0.05, 0.2])
        for _ in range(draw.choice([2, 3])):
            self.start()
        for number in range(draw.choice([2, 3, 4])):
            self.clients.append(Client(self, f"c{number}", draw.choice("aab")))
        self.faults = list(conditions.faults) or draw.sample(FAULTS, draw.randint(1, 6))
        self.rate = draw.choice([0.5, 1.5, 4])
        world.after(0.3, self._traffic)
        world.after(1, self._fault)

    @property
    def living(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive]

    def start(self) -> None:
        self._started += 1
        self.workers.append(Worker(self, f"w{self._started}"))

    def _traffic(self) -> None:
        world = self.world
        if world.now > LENGTH:
            return
        if self.living:
            for _ in range(1 if world.calm else world.random.choice([1, 1, 1, 2, 4])):
                world.random.choice(self.living).publish(world.random.choice("aab"))
            if self._closes.random() < self.closes:
                self._closes.choice(self.living).publish(self._closes.choice("ab"), CLOSING)
        world.after(world.random.random() * (3 if world.calm else self.rate), self._traffic)

    def _fault(self) -> None:
        world, store, draw = self.world, self.store, self.world.random
        if world.now > LENGTH - 4 or world.calm:
            return
        fault = draw.choice(self.faults)
        worker = draw.choice(self.living) if self.living else None
        if fault == "cut" and worker and worker.connection:
            connection = worker.connection
            connection.cut = True
            world.after(world.delay(), lambda: worker.drop(connection))
        elif fault == "deaf" and worker and worker.subscription:
            worker.subscription.deaf = True
            world.say(worker.name, "is deaf")
        elif fault == "pause":
            store.pause(draw.random() * 5)
        elif fault == "longpause" and store.paused < world.now:
            store.pause(LEASE + draw.random() * 4)
        elif fault == "failover":
            store.fail_over(draw.choice([0, 1, 1, 2, 3, 5, 9]))
        elif fault in ("restart", "wipe"):
            store.restart(fault == "restart", draw.random() * 2)
        elif fault == "crash" and worker:
            worker.crash()
            self.workers.remove(worker)
            world.after(draw.random() * 4, self.start)
        elif fault == "lose" and self.clients:
            draw.choice(self.clients).lose()
        elif fault == "leave" and len(self.clients) > 1:
            draw.choice(self.clients).leave()
        elif fault == "expire":
            store.expire(draw.choice("ab"))
        elif fault == "join" and len(self.clients) < 7:
            self.clients.append(Client(self, f"c{len(self.clients)}", draw.choice("aab")))
        if fault in ("failover", "cut", "deaf", "restart", "wipe") and draw.random() < 0.5:
            for _ in range(draw.randint(1, 3)):
                if self.living:
                    draw.choice(self.living).publish(draw.choice("aab"))
        world.after(draw.random() * draw.choice([1, 6]), self._fault)

    def play(self) -> dict[str, int]:
        """Plays it to the end; how much has happened. Raises Violation."""
        world, store = self.world, self.store
        world.run(LENGTH)
        world.adverse = False
        world.run(LENGTH + 14)
        anybody_died = any(worker.died for worker in store.workers.values())
        world.run(max(world.now, store.paused + 14) + (LEASE + 2 * SWEEP if anybody_died else 0))
        commits: dict[str, list[tuple[str, int, int, float]]] = {}
        for room, epoch, offset, id, when in store.published:
            commits.setdefault(id, []).append((room, epoch, offset, when))
        self._judge_publishers(commits)
        for client in self.clients:
            if not client.left:
                self._judge_client(client, commits)
        self._judge_presence()
        return {
            "messages": sum(len(client.ids) for client in self.clients),
            "told": sum(len(client.told) for client in self.clients),
            "raises": sum(store.raises.values()),
            "opens": sum(client.opens for client in self.clients),
            "maybe": sum(pending.outcome == "maybe" for pending in self.pendings),
        }

    def _judge_publishers(self, commits: dict[str, list[tuple[str, int, int, float]]]) -> None:
        store = self.store
        for pending in self.pendings:
            id = pending.publication.id
            if pending.outcome == "no" and id in commits:
                raise Violation(f"BrokerError without maybe_sent, but it was sent: {id}")
            if pending.outcome == "ok" and id not in commits:
                raise Violation(f"answered ok, never published: {id}")
        for room, count in store.raises.items():
            if count > store.backs + store.run:
                raise Violation(f"epoch of {room} raised {count} times for {store.backs} goings back")
        acknowledged = {pending.publication.id for pending in self.pendings if pending.outcome == "ok"}
        sequences: dict[tuple[str, str], list[int]] = {}
        for room, _, _, id, _ in store.published:
            if id in acknowledged:
                worker, number = id.split("-")
                sequences.setdefault((room, worker), []).append(int(number))
        for sequence in sequences.values():
            if sorted(set(sequence)) != list(dict.fromkeys(sequence)):
                raise Violation(f"a publisher overtook itself: {sequence}")

    def _judge_client(self, client: Client, commits: dict[str, list[tuple[str, int, int, float]]]) -> None:
        store = self.store
        kept = store.kept(client.room)
        if client.session is None or client.session.tail.pending:
            raise Violation(f"no progress: {client.name} never joined")
        position = client.position
        assert position is not None
        if kept.epoch != position.epoch or not position.offset <= kept.top <= position.offset + client.dropped:
            raise Violation(f"end: {client.name} is at {position} +{client.dropped}, the room at {kept}")
        since = client.session.read_up_to
        if since is None or since < kept.closed:
            raise Violation(f"{client.name} is in {client.room} since {since}, and it was closed at {kept.closed}")
        assert client.since is not None
        for pending in self.pendings:
            id = pending.publication.id
            if pending.outcome != "ok" or pending.publication.room != client.room or id in client.ids:
                continue
            _, epoch, offset, when = commits[id][0]
            worker = store.workers[id.split("-")[0]]
            if when <= client.since or any(told >= when for told in client.told):
                continue
            if not worker.alive and store.backs:
                continue  # who could have told is gone
            overwritten = any(one[:3] == (client.room, epoch, offset) and one[3] != id for one in store.published)
            if not client.history and overwritten:
                continue  # of what is not kept nobody else can tell
            raise Violation(f"answered ok, neither delivered nor told: {id} to {client.name}")

    def _judge_presence(self) -> None:
        here = {(worker.name, *one) for worker in self.workers for one in worker.here}
        real = {
            (client.session.worker.name, client.room, client.session.id)
            for client in self.clients
            if client.session is not None
        }
        if self.store.data.present != here or here != real:
            ghosts, missing = sorted(self.store.data.present - real), sorted(real - self.store.data.present)
            raise Violation(f"presence: ghosts {ghosts} missing {missing}")


def broken(seeds: range, conditions: Conditions = ANY) -> str | None:
    """The first of these schedules that breaks a promise, in words."""
    for seed in seeds:
        try:
            Schedule(seed, conditions=conditions).play()
        except Violation as violation:
            return f"seed {seed}: {violation}"
    return None


def command(arguments: list[str], schedule: Callable[..., Any]) -> None:
    """The command of a model: so many schedules, from that seed on; or `trace` and a seed."""
    out = sys.stdout.write
    if arguments[:1] == ["trace"]:
        trace: list[str] = []
        try:
            trace.append(str(schedule(int(arguments[1]), trace).play()))
        except Violation as violation:
            trace.append(f"VIOLATION {violation}")
        out("\n".join(trace) + "\n")
        return
    count = int(arguments[0]) if arguments else 2000
    start = int(arguments[1]) if len(arguments) > 1 else 0
    began = time.monotonic()
    totals: dict[str, int] = {}
    bad = 0
    for seed in range(start, start + count):
        try:
            for name, number in schedule(seed).play().items():
                totals[name] = totals.get(name, 0) + number
        except Violation as violation:
            bad += 1
            out(f"seed {seed}: {violation}\n")
    out(f"{count} schedules, {bad} bad, {totals}, {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    command(sys.argv[1:], Schedule)
