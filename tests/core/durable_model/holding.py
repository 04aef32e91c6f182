"""One session at one worker, from its opening or its takeover to the end of that: around the Owner that ships, its
writer, a handler that counts, and the carriers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from realtime.core.durable.changes import Change, Ended, Joins, Published, Sends, Touch, move
from realtime.core.durable.lineage import Verdict
from realtime.core.durable.owner import Arrival, Given, Hand, Outcome, Owner
from realtime.core.durable.record import Close, Message, Publish, Record, Stage
from realtime.core.durable.turns import Turn, serialised

from .frames import (
    Acks,
    Answered,
    Attached,
    Carrier,
    Down,
    Ends,
    Kind,
    Numbered,
    Opened,
    Pong,
    Refused,
    Request,
    Up,
)
from .rooms import HoldingRooms
from .world import Future, Process, Violation

if TYPE_CHECKING:
    from .worker import Worker

__all__ = ["OUTBOX", "WINDOW_OF_MESSAGES", "Holding"]

WINDOW_OF_MESSAGES = 4  # both ways
OUTBOX = 6
AWAY = 25.0
SILENCE = 8.0


class Holding:
    """A session that a worker has."""

    def __init__(self, worker: Worker, sid: str, record: Record, suspected: bool) -> None:
        self.worker, self.sid, self.schedule, self.world = worker, sid, worker.schedule, worker.world
        most = 2 if self.schedule.drops else None  # less than the window, so that a note can be on its way
        self.owner = Owner(record, suspected=suspected, most=most)
        self.running = True
        self.rooms = HoldingRooms(self, self.schedule.store, record)
        self.joined = dict(record.rooms)  # behind all that is to be written yet
        self.turn: Turn | None = None  # which the handler is in, or was in last
        self.carrier: Carrier | None = None
        self.heard = self.detached = self.world.now
        self.client_taken = 0
        self.inturn: int | None = None  # for the checks: which turn is tried
        self.ending = False
        self._waiters: list[Future] = []
        self._writing = False
        self._wake: Future | None = None
        self.data = json.loads(record.data) or {"count": 0, "notes": []}
        self.run(self._publisher(record.publishes))
        if record.stage is Stage.LIVE:
            self.run(self._handler())
            self.run(self._background())
        elif record.stage is Stage.CLOSING:
            self.run(self._closer())

    def run(self, process: Process) -> None:
        self.worker.run(process, lambda: self.running)

    def say(self, *words: object) -> None:
        self.world.say(self.worker.incarnation, *words)

    # -- its end here ------------------------------------------------------------------------------------------------

    def failed(self) -> None:
        """Its worker dies, or it is cut: for the checks, a turn that was under way has failed."""
        if self.inturn is not None:
            self.schedule.count("in turns")
            self.schedule.fails[self.inturn] = self.schedule.fails.get(self.inturn, 0) + 1
            self.inturn = None

    def stop(self) -> None:
        self.running = False
        self.worker.holdings.pop(self.sid, None)
        for waiter in self._waiters:
            waiter.set(False)

    def cut(self, why: str) -> None:
        """Another worker has the session: nothing more is said here."""
        if self.running:
            self.say("is fenced by", why)
            self.schedule.count("fenced")
            self.failed()
            self.stop()
            if self.carrier is not None:
                self.carrier.up = False
                carrier = self.carrier
                self.world.after(self.world.delay(), lambda: self.schedule.client.lost(carrier))

    def compare(self, found: str) -> None:
        if self.owner.compare(found) is Outcome.FENCED:
            self._check_fenced(found)
            self.cut("another run of the store")
        else:
            self._start_writer()

    def _check_fenced(self, found: str) -> None:
        there = self.schedule.store.written.get(found)
        if there is None or there.stage is Stage.ENDED:  # as anybody may write
            return
        if there.owner == self.worker.incarnation:
            by = "nobody" if there.tenure.id == self.owner.tenure.id else "itself"
            raise Violation(f"{self.worker.incarnation} is fenced by {by}: it has found {there}")

    def tick(self) -> None:
        """The time that nothing else tells."""
        now = self.world.now
        if self.carrier is not None and now - self.heard > SILENCE:
            self.detach(self.carrier)
        if self.carrier is None and now - self.detached > AWAY and not self.owner.record.draining:
            record = self.owner.record
            self.end(Close(4412 if record.stage is Stage.CLOSING else 4410 if self.owner.used else 4408))

    # -- writes ------------------------------------------------------------------------------------------------------

    def commit(self, change: Change) -> Future:
        """True when it is stored, False if it never will be."""
        self.owner.change(change)
        future = Future()
        self._waiters.append(future)
        self._start_writer()
        return future

    def _start_writer(self) -> None:
        if not self._writing and self.owner.waiting:
            self._writing = True
            self.run(self._writer())

    def _writer(self) -> Process:
        owner, store = self.owner, self.schedule.store
        while owner.waiting:
            before = owner.record
            write = owner.write(self.schedule.name("i"))
            waiters, self._waiters = self._waiters, []
            while True:
                asked = write
                found = yield self.worker.ask(lambda: store.put(self.sid, asked))  # noqa: B023
                if found is None:
                    yield 0.2
                    write = owner.again()
                    continue
                outcome = owner.answered(found)
                if outcome is Outcome.STORED:
                    break
                if outcome is Outcome.FENCED:
                    self._waiters += waiters
                    self._check_fenced(found)
                    self.cut("a write")
                    return
                self.say("writes over", found)
                self.schedule.count("rewrites")
                write = owner.again()
            self.rooms.update(owner.record)
            if not owner.waiting and owner.record.stage is Stage.LIVE and dict(owner.record.rooms) != self.joined:
                raise Violation(f"in the rooms {owner.record.rooms}, and not in {self.joined}")
            for waiter in waiters:
                waiter.set(True)
            if self.world.chance(0.015 if self.schedule.allows("crash") else 0):
                self.schedule.count("between write and wire")
                self.schedule.crash(self.worker, "behind a write")
                return
            fresh = tuple(publish for publish in owner.record.publishes if publish not in before.publishes)
            if fresh:
                self.run(self._publisher(fresh))
            self.push()
        self._writing = False

    def _publisher(self, publishes: tuple[Publish, ...]) -> Process:
        if publishes:
            for publish in publishes:
                yield self.schedule.delay()
                self.schedule.publish(publish)
            self.commit(Published(frozenset(publish.id for publish in publishes)))

    # -- the handler -------------------------------------------------------------------------------------------------

    def _commit_turn(self, turn: Turn, *, takes: bool = False, close: Close | None = None) -> Future:
        return self.commit(turn.commit(serialised(self.data, 1000), takes=takes, close=close))

    def _handler(self) -> Process:
        owner, schedule, draw = self.owner, self.schedule, self.world.random
        self.inturn = 0
        while (hand := owner.begin()) is Hand.COUNT:
            if not (yield self.commit(Touch())):
                return
        if hand is Hand.POISON:
            self.end(Close(1011))
        if hand is not Hand.GIVE:
            self.inturn = None
            return
        if owner.record.stage is not Stage.LIVE:
            raise Violation("a handler begins in a session whose handler has returned")
        turn = self.turn = Turn(0, self.joined, 20, 1000)
        if not owner.record.begun:
            for room in schedule.store.rooms:
                if draw.random() < 0.5:
                    turn.join(room, schedule.store.rooms[room].end)
            if draw.random() < 0.5:
                turn.send(schedule.name("d"))
        yield draw.random() * 0.2
        if not (yield self._commit_turn(turn)):
            return
        self.inturn = None
        while True:
            while not schedule.drops and owner.outstanding > OUTBOX and not owner.closed:
                yield 0.2
            hand, given = owner.hand()
            if hand is Hand.NOTHING:
                self._wake = Future()
                yield self._wake
            elif hand is Hand.COUNT:
                self.inturn = owner.record.taken + 1
                if not (yield self.commit(Touch())):
                    return
            elif hand is Hand.POISON:
                self.end(Close(1011))
                return
            elif hand is Hand.OVER:
                self.end(self.owner.record.closed or Close(1000))
                return
            else:
                assert given is not None
                done = yield from self._turn(given)
                if not done:
                    return

    def _turn(self, given: Given) -> Generator[float | Future, Any, bool]:
        schedule, draw = self.schedule, self.world.random
        number = self.inturn = given.turn
        self.say("turn", number, "begins", "again" if given.redelivered else "")
        schedule.begins(given.turn)
        if given.data != f"u{number}":
            raise Violation(f"turn {number} is given {given.data!r}")
        if self.data["count"] == number - 1:
            self.data["count"] = number
        elif self.data["count"] != number or not given.redelivered:
            raise Violation(f"turn {number} meets a state that has counted {self.data['count']}")
        if number == schedule.poison:
            yield draw.random() * 0.1
            schedule.crash(self.worker, "poison")
            return False
        turn = self.turn = Turn(number, self.joined, 20, 1000)
        for _ in range(draw.choice((0, 1, 2, 4, 8))):
            what = draw.random()
            if what < 0.4:
                turn.send(schedule.name("d"))
            elif what < 0.55:
                self.say("commits in turn", number)
                if not (yield self._commit_turn(turn)):
                    return False
            elif what < 0.68:
                turn.publish(draw.choice(list(schedule.store.rooms)), schedule.name("p"))
            elif what < 0.8:
                room = draw.choice(list(schedule.store.rooms))
                if room in self.joined:
                    turn.leave(room)
                else:
                    turn.join(room, schedule.store.rooms[room].end)
            else:
                yield draw.random() * draw.choice((0.1, 0.4, 1.5, 9) if schedule.slow_turns else (0.1, 0.4, 1.5))
        if schedule.closer == "server" and number == schedule.messages:
            done = yield self._commit_turn(turn, takes=True, close=Close(1000))
            self.inturn = None
            if done:
                self.run(self._closer())
            return False
        done = yield self._commit_turn(turn, takes=True)
        if done:
            self.inturn = None
        return bool(done)

    def _background(self) -> Process:
        """Another task of the application's, which does not survive."""
        draw, moves = self.world.random, random.Random(self.owner.record.id)  # which is drawn beside the others
        while True:
            yield 1.0 + draw.random() * 6
            if not self.world.adverse or draw.random() < 0.3:
                return
            if not self.owner.leaving and self.owner.record.stage is Stage.LIVE:
                sent = self.commit(Sends((self.schedule.name("d"),)))
                if self.schedule.beside:
                    self._move(moves.choice(list(self.schedule.store.rooms)))
                yield sent

    def _move(self, room: str) -> None:
        """Another task leaves a room that the session is in, and joins any other. What it was told is true for whoever
        comes behind."""
        overtaken = self.turn.overtaken(room) if self.turn is not None else None
        leaves = room in self.joined
        joins = ((room, None if leaves else overtaken or self.schedule.store.rooms[room].end),)
        move(self.joined, joins)
        self.schedule.count("rooms joined or left beside the handler")
        self.commit(Joins(joins))

    def _closer(self) -> Process:
        """The handler has returned: the client is to acknowledge that."""
        owner, until = self.owner, self.world.now + AWAY + 4

        def acknowledged() -> bool:
            return owner.record.stage is Stage.CLOSING and owner.acked >= owner.record.sent

        while not acknowledged() and owner.record.closed is None and self.world.now < until:
            yield 0.3
        if owner.record.closed is not None:
            self.end(owner.record.closed)
        else:
            self.end(Close(1000) if acknowledged() else Close(4412))

    def end(self, close: Close, carrier: Carrier | None = None) -> None:
        """Ends the session: nothing of that is said before it is stored."""
        if not self.ending:
            self.ending = True
            self.run(self._end(close, carrier))

    def _end(self, close: Close, carrier: Carrier | None) -> Process:
        if not (yield self.commit(Ended(close))):
            return
        self.inturn = None
        record = self.owner.record
        assert record.end is not None
        for one in {self.carrier, carrier} - {None}:
            assert one is not None
            self.bring(one, Refused(record.end.code, True, record.received))
        while self.owner.record.publishes or self.owner.waiting:
            yield 0.3
        self.stop()

    # -- carriers ----------------------------------------------------------------------------------------------------

    def bring(self, carrier: Carrier, frame: Down) -> None:
        """Writes a frame; a poll's answer is written as one."""
        if carrier.kind is not Kind.POLL:
            self.worker.down(carrier, frame)
            return
        carrier.batch.append(frame)
        if isinstance(frame, (Ends, Refused)):
            self._answer_poll(carrier)

    def _answer_poll(self, carrier: Carrier) -> None:
        if not carrier.finished:
            carrier.finished = True
            rooms = self.rooms.frames() if self.carrier is carrier else []
            self.detach(carrier)
            attached = Attached(self.owner.acks, self.owner.tenure.id, carrier.began)
            self.schedule.bring_down(carrier, [attached, *rooms, *carrier.batch])

    def detach(self, carrier: Carrier) -> None:
        if self.carrier is carrier:
            self.carrier, self.detached = None, self.world.now

    def request(self, request: Request) -> None:
        """An open, an attach or a send has found its session."""
        owner, record, carrier, shown = self.owner, self.owner.record, request.carrier, request.shown
        if record.stage is Stage.ENDED:
            assert record.end is not None
            self.worker.down(carrier, Refused(record.end.code, True, record.received))
            return
        if owner.leaving:
            self.worker.down(carrier, Refused(4503, False, None))
            return
        if not request.sid and owner.used:
            self.worker.down(carrier, Refused(4409, False, None))
            return
        self.heard = self.world.now
        verdict = owner.judge(shown)
        if verdict is Verdict.SUPERSEDED:
            self.worker.down(carrier, Ends("superseded"))
        elif verdict is Verdict.LATER:
            self.worker.down(carrier, Refused(4503, False, None))
        elif verdict is Verdict.AHEAD:
            self.say("the client is ahead:", shown, "of", record.tenures, record.now())
            self.end(Close(4414), carrier)
        else:
            began = owner.accept(shown)
            self.client_taken = max(self.client_taken, shown.taken)
            if carrier.kind is Kind.SEND:
                self._send(request)
            else:
                carrier.began = began
                self._attach(request)

    def _send(self, request: Request) -> None:
        current = self.carrier
        if current is not None and request.gen == current.gen:
            if request.cursors is not None:
                self.rooms.show(current.gen, request.cursors)
            self.rooms.outbox.taken(current.gen, request.rooms_taken)
        if request.shown.first - 1 <= self.owner.received:
            self._arrive(request)
        self.run(self._answer(request.carrier))

    def _answer(self, carrier: Carrier) -> Process:
        """Of a send: when what it has brought is stored."""
        while not self.owner.stored:
            yield self.commit(Touch())
        self.worker.down(carrier, Answered(self.owner.acks, self.owner.tenure.id))
        self.push()

    def _arrive(self, request: Request) -> None:
        for number, item in enumerate(request.messages, request.shown.first):
            self.arrive(number, item)

    def _attach(self, request: Request) -> None:
        carrier, owner = request.carrier, self.owner
        old, self.carrier = self.carrier, carrier
        carrier.holding, carrier.cursor = self, request.shown.received
        self.rooms.attach(carrier)
        if request.cursors is not None:
            self.rooms.show(carrier.gen, request.cursors)
        if old is not None and old is not carrier:
            self.bring(old, Ends("superseded"))
        carrier.told = owner.acks
        if not request.sid:
            self.bring(carrier, Opened(self.sid, owner.tenure.id, owner.acks))
        elif carrier.kind is not Kind.POLL:
            self.bring(carrier, Attached(owner.acks, owner.tenure.id, carrier.began))
        self._arrive(request)
        if carrier.kind is Kind.POLL:
            self.run(self._held(carrier))
        self.push()

    def _held(self, carrier: Carrier) -> Process:
        """A poll is answered some time."""
        yield 2.5
        while not self.owner.stored:
            yield self.commit(Touch())
        self._answer_poll(carrier)

    def passed(self) -> None:
        """Rooms may have something."""
        self.rooms.heard()
        self.push()

    def push(self) -> None:
        """Writes all that may go."""
        carrier, owner = self.carrier, self.owner
        if not self.running or carrier is None:
            return
        while True:
            number = max(carrier.cursor, owner.acked) + 1
            item = owner.record.item(number) if number <= owner.last else None
            if item is None or (number > self.client_taken + WINDOW_OF_MESSAGES and not isinstance(item, Close)):
                break
            carrier.cursor = number
            owner.handed(number)
            self.bring(carrier, Numbered(number, item))
        self._push_rooms(carrier)
        if owner.acks != carrier.told:
            if carrier.kind is not Kind.POLL:
                carrier.told = owner.acks
                self.bring(carrier, Acks(owner.acks))
            elif owner.stored:
                self._answer_poll(carrier)
        if carrier.batch and owner.stored:
            self._answer_poll(carrier)

    def _push_rooms(self, carrier: Carrier) -> None:
        rooms = self.rooms
        if carrier.kind is not Kind.POLL:
            for frame in rooms.frames():
                self.bring(carrier, frame)
        elif rooms.outbox.prepare() and not rooms.outbox.waits and self.owner.stored:
            self._answer_poll(carrier)

    # -- what comes up -----------------------------------------------------------------------------------------------

    def arrive(self, number: int, item: Message | Close) -> None:
        owner = self.owner
        if self.ending:
            return
        beyond = number > owner.record.taken + WINDOW_OF_MESSAGES
        if beyond and owner.record.stage is Stage.LIVE and not isinstance(item, Close):
            self.say("the window was exceeded by", number)
            self.end(Close(1002))
            return
        arrival = owner.arrive(number, item)
        if arrival is Arrival.GAP:
            self.say("a gap:", number, "behind", owner.received)
            self.end(Close(1002))
        elif arrival is Arrival.NEW:
            self._start_writer()
            self.wake()

    def wake(self) -> None:
        if self._wake is not None:
            self._wake.set(None)

    def up(self, carrier: Carrier, frame: Up) -> None:
        """What a WebSocket brings."""
        if not self.running or not carrier.up:
            return
        self.heard = self.world.now
        if frame.acks is not None:
            self.owner.acknowledged(frame.acks[0])
            self.client_taken = max(self.client_taken, frame.acks[1])
            self.rooms.outbox.taken(carrier.gen, frame.rooms_taken)
            self.push()
        if frame.cursors is not None:
            self.rooms.show(carrier.gen, frame.cursors)
            self.push()
        if frame.item is not None:
            self.arrive(frame.number, frame.item)
        if frame.ping:
            carrier.told = (-1, -1)
            self.push()
            self.bring(carrier, Pong())
        if frame.end:
            self.end(Close(frame.end))
