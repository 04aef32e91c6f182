"""Sessions of other workers, as a randomised, seeded model: opens and requests come to any worker, while the store
fails in every way it can and workers die, drain, stall and lose each other. What decides is the code that ships
(core/claims, leases, attendance); the model has only the store, the connections, and the clients' end.

    python -m tests.core.owners_model N [START]     so many schedules
    python -m tests.core.owners_model trace SEED    one, told step by step

Every fault is drawn from the seed: a seed always gives the same schedule.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, TypeAlias

from realtime.core.attempts import NONCE_END, NONCE_LIFE
from realtime.core.attendance import Standing
from realtime.core.claims import Answer, Claim, Claims, Runs
from realtime.core.leases import Ended, Gone, Known, Later, Neighbours, Peer, Reached, Registration, judge

from .rooms_model import REFUSED, Connection, Violation, World, command

__all__ = ["ANY", "Client", "Conditions", "Schedule", "Store", "Worker", "broken", "judge"]

LEASE, RENEW = 10.0, 2.5
# After so long without an answer a connection to the store is given up; or so long, which is the most.
CALL, PATIENT_CALL = 2.0, LEASE / 2
HOP = 2.0  # and one to another worker
LIFE = 40.0  # of a claim, and of a tombstone
HOLD = 30.0  # for so long something in between may keep an open
WINDOW = 9.0  # of a session without a request
DRAINING = 4.0
LENGTH = 45.0


class Reply(NamedTuple):
    """What a client is told: "opened" (sid, highest number received), "ack" (the same), "session" or "carrier" (a
    code). None in its place: nothing came."""

    kind: str
    sid: str = ""
    number: int = 0


Tell: TypeAlias = Callable[[Reply | None], object]
LATER = Reply("carrier", "", 4503)


# -- the store ---------------------------------------------------------------------------------------------------------


@dataclass
class Data:
    """All that the store keeps."""

    claims: dict[str, tuple[Claim, float]] = field(default_factory=dict)
    peers: dict[str, tuple[Peer, float]] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    met: dict[int, float] = field(default_factory=dict)


class Store:
    """What its scripts do, and its ways to fail."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.run = 1
        self.since = -1000.0  # when this run has begun, as far as it knows
        self.up = True
        self.paused = 0.0
        self.backs = 0
        self.data = Data()
        self._undo: deque[Callable[[], object]] = deque(maxlen=12)

    def _save(self, kept: dict[Any, Any], key: object) -> None:
        before = kept.get(key)
        self._undo.append(lambda: kept.pop(key, None) if before is None else kept.update({key: before}))

    # scripts

    def enlist(self, peer: Peer) -> bool:
        self._save(self.data.peers, peer.worker)
        self.data.peers[peer.worker] = peer, self.world.now + LEASE
        return True

    def strike(self, peer: Peer) -> bool:
        self._save(self.data.peers, peer.worker)
        self.data.peers.pop(peer.worker, None)
        return True

    def find(self, worker: str) -> Known:
        peer, until = self.data.peers.get(worker, (None, 0.0))
        return Known(peer, max(0.0, until - self.world.now))

    def met(self, known: bool) -> float:
        if self.run not in self.data.met:
            self._save(self.data.met, self.run)
            self.data.met[self.run] = self.world.now if known else self.since
        return self.world.now - self.data.met[self.run]

    def holder(self, name: str) -> Claim | None:
        claim, until = self.data.claims.get(name, (None, 0.0))
        return claim if until > self.world.now else None

    def claim(self, name: str, claim: Claim, may: bool) -> Claim | None:
        before = self.holder(name)
        if before is not None and before.worker != claim.worker:
            return before
        if before is None and not may:
            return None
        self._save(self.data.claims, name)
        self.data.claims[name] = claim, self.world.now + LIFE
        self.world.say("store:", name, "is for", claim.sid)
        return claim

    def release(self, name: str, sid: str) -> bool:
        before = self.holder(name)
        if before is not None and before.sid == sid:
            self._save(self.data.claims, name)
            del self.data.claims[name]
            self.world.say("store:", name, "is free again")
        return True

    def bury(self, ended: dict[str, int]) -> bool:
        for sid, code in ended.items():
            self._save(self.data.ended, sid)
            self.data.ended[sid] = code
        return True

    # faults

    def pause(self, seconds: float) -> None:
        self.paused = max(self.paused, self.world.now + seconds)
        self.world.say(f"store: paused for {seconds:.1f}")

    def fail_over(self, writes: int) -> None:
        self.world.say("store: failover,", writes, "writes are lost")
        self.backs += 1
        for _ in range(writes):
            if self._undo:
                self._undo.pop()()
        self.run += 1
        self.since = self.world.now

    def restart(self, persistent: bool, down: float) -> None:
        self.world.say("store: restart", "with" if persistent else "WITHOUT", "persistence")
        if not persistent:
            self.data = Data()
            self._undo.clear()
            self.backs += 1
        self.run += 1
        self.since = self.world.now
        self.up = False

        def back() -> None:
            self.up = True

        self.world.after(down, back)


# -- workers -----------------------------------------------------------------------------------------------------------


class Session:
    """A handler that has begun, and what it has received."""

    def __init__(self, worker: Worker, name: str, sid: str) -> None:
        self.worker, self.name, self.sid = worker, name, sid
        self.received = 0
        self.code = 0  # of its end
        self.touched = worker.world.now
        self.used = False

    def take(self, numbers: list[int]) -> None:
        self.touched = self.worker.world.now
        for number in numbers:
            if number == self.received + 1 and not self.code:
                self.received = number
                self.worker.schedule.handle(self, number)


class Worker:
    """A worker: its connection to the store, its port, its sessions, around what ships."""

    def __init__(self, schedule: Schedule, name: str, address: str) -> None:
        self.schedule, self.world, self.store = schedule, schedule.world, schedule.store
        self.peer = Peer(name, f"{name}'s", address)
        self.name = name
        self.alive, self.draining, self.left = True, False, False
        self.stalled = self.storeless = 0.0
        self.cut: float | None = None  # since when it may not have renewed
        self.sessions: dict[str, Session] = {}
        self.by_name: dict[str, Session] = {}
        self.gave_up = False  # its tombstones may be nowhere
        self.listens = self.world.now + self.start_of_port()
        now = self.world.now
        self.claims = Claims(name, LIFE, 1000)
        self.runs = Runs(LEASE)
        self.standing = Standing(now, LEASE)
        self.registration = Registration(LEASE)
        self.neighbours = Neighbours(LEASE, 100)
        self.met: set[str] = set()  # whose address it was told
        self.connection: Connection | None = None
        self._run = 0
        self._commands = self._sids = 0
        schedule.ports[address] = self
        self.world.say(name, "starts at", address)
        self._renew()
        self._tick()
        self.world.after(LIFE / 4, self.living(self._keep))

    def living(self, call: Callable[[], object]) -> Callable[[], object]:
        return lambda: self.alive and call()

    @property
    def away(self) -> bool:
        return self.stalled > self.world.now

    def start_of_port(self) -> float:
        return 0.0

    # the store: an answer, REFUSED (never written) or None (nobody knows)

    def ask(self, command: Callable[[], Any], answer: Callable[[Any], object]) -> None:
        world, store = self.world, self.store
        if self.connection is None:
            if not store.up or self.storeless > world.now:
                self.standing.failed()
                answer(REFUSED)
                return
            self.connection = Connection(store.run, world.random.random() * 0.05)
            if self._run != store.run:
                if self._run:
                    self.standing.returned(world.now)
                    self._assert_again()
                self._run = store.run
                self._meet()
            if self.connection is None:
                answer(None)
                return
        connection = self.connection
        self._commands += 1
        number = self._commands
        connection.pending[number] = answer
        connection.commands.append((number, command))
        connection.asked = max(world.now + world.delay(), connection.asked)
        if world.chance(self.schedule.losses):
            connection.cut = True
            world.after(world.delay() * 3, lambda: self.drop(connection))

        def execute() -> None:
            if connection.stopped or connection.run != store.run or not store.up or self.storeless > world.now:
                connection.stopped = True
                return
            if connection.cut and world.random.random() < 0.5:
                connection.stopped = True
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
                if self.away:
                    world.at(self.stalled, back)
                elif which in connection.pending:
                    self.standing.answered(world.now)
                    connection.pending.pop(which)(result)

            world.at(connection.answered, back)

        world.at(connection.asked, execute)
        world.after(self.schedule.call, lambda: self.drop(connection) if number in connection.pending else None)

    def drop(self, connection: Connection) -> None:
        if self.connection is connection:
            self.connection = None
            self.standing.failed()
        pending, connection.pending = connection.pending, {}
        for answer in pending.values():
            if self.alive:
                answer(None)

    def _renew(self) -> None:
        world = self.world
        world.after(RENEW, self.living(self._renew))
        if self.away or self.left:
            return
        asked = world.now

        def answer(done: Any) -> None:
            if done is True and not self.left:
                self.registration.renewed(asked)
                self.standing.renewed(asked, world.now)

        self.ask(lambda: self.store.enlist(self.peer), answer)
        self._meet()

    def _meet(self) -> None:
        run = self._run
        known = self.runs.known(str(run))

        def answer(ago: Any) -> None:
            if isinstance(ago, float):
                self.runs.met(str(run), ago, self.world.now)

        self.ask(lambda: self.store.met(known), answer)

    def _keep(self) -> None:
        self.world.after(LIFE / 4, self.living(self._keep))
        if not self.away:
            for name, claim in self.claims.lasting():
                self.ask(lambda name=name, claim=claim: self.store.claim(name, claim, True), lambda done: None)  # type: ignore[misc]

    def _assert_again(self) -> None:
        for name, claim in self.claims.begun(self.world.now):
            self._assert(name, claim)

    def _assert(self, name: str, claim: Claim) -> None:
        def answer(done: Any) -> None:
            if not isinstance(done, Claim):
                self.world.after(0.4, self.living(lambda: self._assert(name, claim)))

        self.ask(lambda: self.store.claim(name, claim, True), answer)

    # its sessions

    def _tick(self) -> None:
        self.world.after(1, self.living(self._tick))
        for session in list(self.sessions.values()):
            if not session.code and self.world.now - session.touched > WINDOW and not self.away:
                self._end(session, 4410 if session.used else 4408)

    def _end(self, session: Session, code: int) -> None:
        session.code = code
        self.world.say(self.name, "ends", session.sid, code)
        self.claims.ended(session.name, self.world.now)

        def forget() -> None:
            self.sessions.pop(session.sid, None)
            self.by_name.pop(session.name, None)

        self.world.after(LIFE, self.living(forget))

    def _begin(self, name: str, sid: str) -> Session:
        session = self.sessions[sid] = self.by_name[name] = Session(self, name, sid)
        self.world.say(self.name, "begins", sid)
        self.schedule.begin(session)
        return session

    @staticmethod
    def _told(session: Session, numbers: list[int], kind: str, tell: Tell) -> None:
        if session.code:
            tell(Reply("session", session.sid, session.code))
            return
        session.take(numbers)
        tell(Reply(kind, session.sid, session.received))

    # requests

    def open(self, name: str, numbers: list[int], tell: Tell, handed: str = "", ending: bool = False) -> None:
        """An open comes, from a client, or with the sid that the claim has, from another worker."""
        session = self.by_name.get(name)
        digest = "" if name.startswith("s") else "-"
        if session is not None:
            session.used = True
            if ending and not session.code:
                self._end(session, 1000)
            self._told(session, numbers, "opened", tell)
            return
        if self.draining or not (handed or self.registration.runs(self.world.now)):
            if self.draining and handed:
                self.give_back(name, Claim(handed, digest))
            tell(LATER)
            return

        def answer(answer: Answer) -> None:
            if not isinstance(answer, Claim):
                tell(LATER)
            elif answer.worker == self.name:
                self._opened(name, answer, numbers, tell)
            elif handed:
                tell(LATER)  # one hop at most
            else:
                self._carry(answer.sid, lambda to, back: to.open(name, numbers, back, answer.sid, ending), tell)

        if self.claims.ask(name, answer):
            self._sids += 1
            claim = Claim(f"{self.name}.{name}.{self._sids}", digest)
            run = "" if self.connection is None else str(self.connection.run)  # which the claim is written to
            may = self.runs.may_claim(run, self.world.now)
            self.ask(lambda: self.store.claim(name, claim, may), lambda found: self._claimed(name, found))

    def _claimed(self, name: str, found: Any) -> None:
        self.claims.answered(name, found if isinstance(found, Claim) else Later.LATER)

    def _opened(self, name: str, claim: Claim, numbers: list[int], tell: Tell) -> None:
        session = self.by_name.get(name)
        if session is None and not self.draining:
            session = self._begin(name, claim.sid)
        free = self.claims.settled(name, Claim(session.sid, claim.digest) if session else None, self.world.now)
        if free is not None:
            self.give_back(name, free)
        if session is None:
            tell(LATER)
        else:
            self._told(session, numbers, "opened", tell)

    def give_back(self, name: str, claim: Claim) -> None:
        self.ask(lambda: self.store.release(name, claim.sid), lambda done: None)

    def named(self, sid: str, numbers: list[int], close: bool, tell: Tell, hop: bool = False) -> None:
        """A request comes that names a session."""
        if sid.partition(".")[0] != self.name:
            if hop:
                tell(LATER)
            else:
                self._carry(sid, lambda to, back: to.named(sid, numbers, close, back, True), tell)
            return
        session = self.sessions.get(sid)
        if session is None:
            tell(Reply("session", sid, 4404))
            return
        session.used = True
        if close and not session.code:
            self._end(session, 1000)
        self._told(session, numbers, "ack", tell)

    # sessions of others

    def _carry(self, sid: str, do: Callable[[Worker, Tell], object], tell: Tell) -> None:
        peer = self.neighbours.peer(sid.partition(".")[0], self.world.now)
        if peer is None:
            self._find(sid, None, Reached.UNTRIED, do, tell, 0)
        else:
            self._hop(peer, sid, do, tell, 0)

    def _find(
        self,
        sid: str,
        tried: Peer | None,
        reached: Reached,
        do: Callable[[Worker, Tell], object],
        tell: Tell,
        times: int,
    ) -> None:
        worker = sid.partition(".")[0]
        asked = self.world.now

        def found(known: Any) -> None:
            if not isinstance(known, Known):
                tell(LATER)
                return
            if known.peer is not None and known.leased:
                self.neighbours.learn(known.peer, asked, known.lease)
                self.met.add(worker)
            elif known.peer is None and tried is None:
                known = Known(self.neighbours.last(worker))
            verdict = judge(known, tried, reached, self.standing.steady(self.world.now))
            if isinstance(verdict, Peer):
                if times > 1:
                    tell(LATER)
                else:
                    self._hop(verdict, sid, do, tell, times + 1)
            elif isinstance(verdict, Gone):
                self._ask_end(sid, reached, tell)
            else:
                tell(LATER)

        self.ask(lambda: self.store.find(worker), found)

    def _ask_end(self, sid: str, reached: Reached, tell: Tell) -> None:
        def found(code: Any) -> None:
            if isinstance(code, int):
                ended = Gone(Ended(code, "", 0) if code else None).refusal(None)
                self.schedule.call_dead(self, sid, reached, ended.code)
                tell(Reply("session", sid, ended.code))
            else:
                tell(LATER)

        self.ask(lambda: self.asked_end(sid), found)

    def asked_end(self, sid: str) -> int:
        return self.store.data.ended.get(sid, 0)

    def _hop(self, peer: Peer, sid: str, do: Callable[[Worker, Tell], object], tell: Tell, times: int) -> None:
        def went(reached: Reached, reply: Reply | None) -> None:
            if reached is Reached.UNTRIED:
                tell(reply)  # it was carried; what came of it is the other's to say
                return
            self.neighbours.doubt(peer.worker)
            self._find(sid, peer, reached, do, tell, times)

        self.schedule.connect(self, peer, do, went)

    # the end

    def drain(self) -> None:
        self.draining = True
        self.world.say(self.name, "drains")

        def close() -> None:
            for session in self.sessions.values():
                if not session.code:
                    self._end(session, 1012)
                    self.schedule.drained.add(session.sid)
            self.leave()

        self.world.after(DRAINING, self.living(close))

    def leave(self) -> None:
        """Its tombstones, its place in the directory, and then itself."""
        self.write_ends(lambda: self.strike(self.exit))

    def write_ends(self, then: Callable[[], object], times: int = 0) -> None:
        ended = {sid: session.code for sid, session in self.sessions.items() if session.code}

        def answer(done: Any) -> None:
            self.gave_up = self.gave_up or (done is not True and times > 5)
            if done is True or times > 5:
                then()
            else:
                self.world.after(0.4, self.living(lambda: self.write_ends(then, times + 1)))

        self.ask(lambda: self.store.bury(ended), answer)

    def strike(self, then: Callable[[], object]) -> None:
        self.left = True
        self.ask(lambda: self.store.strike(self.peer), lambda done: then())

    def exit(self) -> None:
        self.alive = False
        self.world.say(self.name, "exits")


# -- clients -----------------------------------------------------------------------------------------------------------


class Client:
    """It opens by a nonce, sends behind that, goes on by the sid at any worker, closes; and opens anew when it is told
    that its session is over. Or it has chosen a name, and comes by that always."""

    def __init__(self, schedule: Schedule, number: int) -> None:
        self.schedule, self.world = schedule, schedule.world
        self.number = number
        self.opens = self.requests = 0
        self.done = False
        self.lasting = self.world.random.random() < 0.25
        self.codes: list[int] = []
        self.wakes = 0.0
        self.name = self.sid = ""
        self.acked = self.total = self.early = 0
        self.born = 0.0
        self.anew()

    def anew(self) -> None:
        self.opens += 1
        self.name, self.sid = f"{'s' if self.lasting else 'n'}{self.number}-{self.opens}", ""
        self.born = self.world.now
        self.acked = 0
        self.total = self.world.random.randint(1, 4)
        self.early = self.world.random.randint(0, self.total)
        self.step()

    def nonce_is_old(self) -> bool:
        return self.world.now - self.born > NONCE_LIFE

    def lets_go(self, born: float) -> bool:
        """Whether it has let go of all opens by a nonce of which the first was then."""
        return self.world.now - born > NONCE_END

    def step(self) -> None:
        world, draw = self.world, self.world.random
        if self.done:
            return
        if self.wakes > world.now:
            world.at(self.wakes, self.step)
            return
        workers = [worker for worker in self.schedule.workers if worker.alive and not worker.away]
        if not workers:
            world.after(0.5, self.step)
            return
        if not self.sid and not self.lasting and self.nonce_is_old():
            world.say(self.number, "drops its nonce")
            self.anew()
            return
        self.requests += 1
        request, name, sid = self.requests, self.name, self.sid
        answered = False

        def got(reply: Reply | None) -> None:
            nonlocal answered
            late = request != self.requests and not (reply and reply.kind == "opened")
            if answered or self.name != name or late:
                return
            answered = True
            self._got(reply, sid)

        do: Callable[[Worker, Tell], object]
        if sid and not self.lasting:
            numbers = list(range(self.acked + 1, self.total + 1))
            close = not numbers and draw.random() < 0.3

            def do(worker: Worker, tell: Tell) -> None:
                worker.named(sid, numbers, close, tell)
        else:
            early = list(range(1, (self.total if sid else self.early) + 1))
            ending = bool(sid) and self.acked == self.total and draw.random() < 0.3

            def do(worker: Worker, tell: Tell) -> None:
                worker.open(name, early, tell, ending=ending)

        self._send(draw.choice(workers), do, got)
        if world.chance(self.schedule.repeats):  # a balancer that asks the next one
            second = draw.choice(workers)
            world.after(draw.random() * 2, lambda: self._send(second, do, None))
        if not sid and world.chance(self.schedule.races):
            self._send(draw.choice(workers), do, got)
        world.after(3, lambda: got(None))

    def _send(self, worker: Worker, do: Callable[[Worker, Tell], object], got: Tell | None) -> None:
        world, born, opens = self.world, self.born, not (self.sid or self.lasting)
        heard: Tell = got or (lambda reply: None)

        def arrive() -> None:
            if opens and self.lets_go(born):
                return
            if not worker.alive or worker.away:
                if not worker.alive:
                    world.after(0.02, lambda: heard(None))
                return
            if world.chance(self.schedule.cuts):
                if world.random.random() < 0.5:
                    do(worker, lambda reply: None)
                world.after(0.1, lambda: heard(None))
                return
            do(worker, lambda reply: world.after(world.delay(), lambda: heard(reply)) if worker.alive else None)

        world.after(world.delay() + (self.schedule.hold() if opens else 0.0), arrive)

    def _got(self, reply: Reply | None, sid: str) -> None:
        world, draw = self.world, self.world.random
        world.say(self.number, self.name, "gets", reply)
        if reply is not None and reply.kind in ("opened", "ack"):
            self.sid = self.sid or reply.sid
            self.acked = max(self.acked, reply.number)
        elif reply is not None and reply.kind == "session" and (not self.sid or self.lasting or sid == self.sid):
            self.codes.append(reply.number)
            self.schedule.told(self.sid, reply.number)
            if reply.number == 1000 and self.acked == self.total:
                self.done = True
                return
            world.after(draw.random(), self.anew)
            return
        if world.adverse and not self.sid and world.chance(self.schedule.sleeps):
            self.wakes = world.now + draw.choice([5, LIFE + WINDOW + 8])
        world.after(draw.random() * (2.5 if reply and reply.kind != "carrier" else 1.5), self.step)


# -- a schedule --------------------------------------------------------------------------------------------------------

FAULTS = (
    "pause", "longpause", "failover", "restart", "wipe", "crash", "crash", "drain", "drain", "stall", "nostore",
    "nolink", "cut", "start",
)  # fmt: skip


@dataclass(frozen=True)
class Conditions:
    """Under which schedules are drawn, where those of all are too mixed to show something soon."""

    faults: tuple[str, ...] = ()
    holds: float = 0.0  # of opens that are kept by something in between


ANY = Conditions()


class Schedule:
    """Everything that happens in one seed, and what must hold of it."""

    def __init__(self, seed: int, trace: list[str] | None = None, conditions: Conditions = ANY) -> None:
        world = self.world = World(seed, trace)
        draw = world.random
        world.base = draw.choice([0.02, 0.1, 0.4])
        self.losses = draw.choice([0, 0.02, 0.08])
        self.cuts = draw.choice([0, 0.1, 0.3])
        self.repeats = draw.choice([0, 0.1, 0.3])
        self.races = draw.choice([0, 0.3])
        self.sleeps = draw.choice([0, 0, 0.1])
        self._apart = Random(-seed - 1)  # nothing else in a schedule depends on it
        self.holds = conditions.holds or self._apart.choice([0, 0, 0.2])
        self.call = PATIENT_CALL if seed % 4 == 0 else CALL
        self.store = Store(world)
        self.store.data.met[1] = -1000.0
        self.workers: list[Worker] = []
        self.by_name: dict[str, Worker] = {}
        self.ports: dict[str, Worker] = {}
        self.links: dict[frozenset[str], float] = {}
        self.handled: set[tuple[str, int]] = set()
        self.begun: dict[str, Session] = {}
        self.drained: set[str] = set()
        self.clients: list[Client] = []
        self.hops = self.deaths = 0
        for number in range(draw.choice([2, 3])):
            self.start(f"address{number}")
        for number in range(draw.randint(1, 4)):
            world.after(draw.random() * 30, lambda number=number: self.clients.append(Client(self, number)))  # type: ignore[misc]
        self.faults = list(conditions.faults) or draw.sample(FAULTS, draw.randint(1, 5))
        world.after(draw.random() * 4, self._fault)

    def start(self, address: str) -> None:
        name = f"w{len(self.by_name) + 1}"
        self.by_name[name] = worker = Worker(self, name, address)
        self.workers.append(worker)

    def hold(self) -> float:
        """For how long something in between keeps an open."""
        return self._apart.random() * HOLD if self._apart.random() < self.holds else 0.0

    # between workers

    def cut_off(self, one: Worker, other: Worker, within: float = 0.0) -> bool:
        until = self.links.get(frozenset((one.name, other.name)), 0.0)
        return max(until, other.stalled) > self.world.now - within

    def connect(
        self,
        asker: Worker,
        peer: Peer,
        do: Callable[[Worker, Tell], object],
        went: Callable[[Reached, Reply | None], object],
    ) -> None:
        """One hop: it is carried, and a reply comes or doesn't; or nobody could be connected to."""
        world = self.world

        def say(reached: Reached, reply: Reply | None, delay: float) -> None:
            world.after(delay, lambda: went(reached, reply) if asker.alive else None)

        def arrive() -> None:
            worker = self.ports[peer.address]
            if self.cut_off(asker, worker):
                say(Reached.UNREACHABLE, None, HOP)
            elif not worker.alive or worker.listens > world.now or not self.accepts(worker, peer):
                say(Reached.REFUSED, None, world.delay())
            else:
                self._carried(worker, do, say)

        world.after(world.delay(), arrive)

    @staticmethod
    def accepts(worker: Worker, peer: Peer) -> bool:
        return worker.peer.incarnation == peer.incarnation

    def _carried(
        self,
        worker: Worker,
        do: Callable[[Worker, Tell], object],
        say: Callable[[Reached, Reply | None, float], None],
    ) -> None:
        world = self.world
        self.hops += 1
        answered = False
        if world.chance(self.cuts / 2):
            if world.random.random() < 0.6:
                do(worker, lambda reply: None)
            say(Reached.UNTRIED, None, world.delay())
            return

        def tell(reply: Reply | None) -> None:
            nonlocal answered
            if not answered and worker.alive:
                answered = True
                say(Reached.UNTRIED, reply, world.delay())

        do(worker, tell)

        def end() -> None:
            nonlocal answered
            if not answered:
                answered = True
                say(Reached.UNTRIED, None, 0)

        world.after(4 * self.call, end)

    # what must hold

    def begin(self, session: Session) -> None:
        first = self.begun.get(session.name)
        if first is not None and (session.name.startswith("n") or self._goes_on(first)):
            raise Violation(f"two handlers for the open {session.name}: {first.sid}, {session.sid}")
        self.begun[session.name] = session

    def _goes_on(self, session: Session) -> bool:
        """Whether its worker lives, and could tell another run of the store of it within a lease."""
        return not session.code and session.worker.alive and not self._unheard_of(session.worker)

    def _unheard_of(self, worker: Worker) -> bool:
        return worker.cut is not None and self.world.now - worker.cut > LEASE - RENEW - 2 * self.call - 1

    def handle(self, session: Session, number: int) -> None:
        one = (session.sid if session.name.startswith("s") else session.name, number)
        if one in self.handled:
            raise Violation(f"handled twice: message {number} behind the open {session.name}")
        self.handled.add(one)

    def call_dead(self, asker: Worker, sid: str, reached: Reached, code: int) -> None:
        self.deaths += 1
        owner = self.by_name[sid.partition(".")[0]]
        session = owner.sessions.get(sid)
        if session is None or session.code or not owner.alive or owner.left:
            return
        forgotten = owner.name not in self.store.data.peers and owner.name not in asker.met
        if not ((forgotten or self.cut_off(asker, owner, HOP + 0.5)) and self._unheard_of(owner)):
            raise Violation(f"death code {code} while the owner lives: {sid} by {asker.name}, {reached}")

    def told(self, sid: str, code: int) -> None:
        owner = self.by_name.get(sid.partition(".")[0])
        left = owner is not None and owner.left and not owner.gave_up
        if left and code == 4404 and sid in self.drained and not self.store.backs:
            raise Violation(f"wrong code: {sid} was drained, and its tombstone is there")

    # faults

    def _fault(self) -> None:
        world, store, draw = self.world, self.store, self.world.random
        if world.now > LENGTH - 12:
            return
        fault = draw.choice(self.faults)
        workers = [worker for worker in self.workers if worker.alive and not worker.draining]
        worker = draw.choice(workers) if workers else None
        if fault == "pause":
            store.pause(draw.random() * 5)
        elif fault == "longpause" and store.paused < world.now:
            store.pause(LEASE + draw.random() * 4)
        elif fault == "failover":
            store.fail_over(draw.choice([0, 1, 2, 4]))
        elif fault in ("restart", "wipe"):
            store.restart(fault == "restart", draw.random() * 2)
        elif fault == "start" and len(self.workers) < 5:
            self.start(f"address{10 + len(self.by_name)}")
        elif fault == "nolink" and len(workers) > 1:
            one, other = draw.sample(workers, 2)
            self.links[frozenset((one.name, other.name))] = world.now + draw.choice([2, 8, 16])
            world.say("no link", one.name, other.name)
        elif worker is not None:
            self._fault_of(fault, worker)
        world.after(draw.random() * draw.choice([1, 8]), self._fault)

    def _fault_of(self, fault: str, worker: Worker) -> None:
        world, draw = self.world, self.world.random
        if fault == "crash":
            worker.alive = False
            self.workers.remove(worker)
            world.say(worker.name, "dies")
            world.after(draw.random() * 3, lambda: self.start(worker.peer.address))
        elif fault == "drain":
            worker.drain()
            world.after(DRAINING + 3, lambda: self.start(worker.peer.address))
        elif fault == "stall":
            worker.stalled = max(worker.stalled, world.now + draw.choice([2, 6, 16]))
            world.say(worker.name, "stalls until", worker.stalled)
            self._unheard(worker, worker.stalled)
        elif fault == "nostore":
            worker.storeless = max(worker.storeless, world.now + draw.choice([3, 8, 16]))
            world.say(worker.name, "has no store until", worker.storeless)
            self._unheard(worker, worker.storeless)
        elif fault == "cut" and worker.connection is not None:
            connection = worker.connection
            connection.cut = True
            world.after(world.delay(), lambda: worker.drop(connection))

    def _unheard(self, worker: Worker, until: float) -> None:
        world = self.world
        if worker.cut is None:
            worker.cut = world.now

        def heard() -> None:
            if max(worker.stalled, worker.storeless) + RENEW + self.call <= world.now:
                worker.cut = None

        world.at(until + RENEW + self.call + 1, heard)

    def play(self) -> dict[str, int]:
        """Plays it to the end; how much has happened. Raises Violation."""
        world = self.world
        world.run(LENGTH)
        world.adverse = False
        world.run(LENGTH + LIFE + 2 * LEASE + 45)
        for client in self.clients:
            if not client.done:
                raise Violation(f"no progress: {client.number} at {client.name}, codes {client.codes[-3:]}")
        return {
            "opens": sum(client.opens for client in self.clients),
            "handlers": len(self.begun),
            "handled": len(self.handled),
            "hops": self.hops,
            "deaths": self.deaths,
        }


def broken(seeds: range, conditions: Conditions = ANY) -> str | None:
    """The first of these schedules that breaks a promise, in words."""
    for seed in seeds:
        try:
            Schedule(seed, conditions=conditions).play()
        except Violation as violation:
            return f"seed {seed}: {violation}"
    return None


if __name__ == "__main__":
    command(sys.argv[1:], Schedule)
