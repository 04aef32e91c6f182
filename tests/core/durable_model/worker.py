"""A worker: takes requests, finds whose a session is, takes over, beats, sweeps, and leaves."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from realtime.core.attendance import Standing
from realtime.core.durable.changes import HandedOver
from realtime.core.durable.owner import Write
from realtime.core.durable.record import Record, Stage, created
from realtime.core.durable.takeover import (
    NOBODY,
    Notice,
    Orphan,
    Step,
    Underway,
    abandoned,
    orphan,
    place,
    taken_over,
    told,
    unclaimed,
)
from realtime.core.leases import Gone, Known, Later, Peer, Reached, judge

from .frames import Carrier, Down, Ends, Refused, Request
from .holding import Holding
from .store import LEASE, Sight
from .world import Future, Host, Process

if TYPE_CHECKING:
    from .schedule import Schedule

__all__ = ["WINDOW", "Worker", "orphan", "place", "taken_over"]

WINDOW = 25.0  # for how long a client may stay away
HOP = 2.0

Deciding: TypeAlias = Generator[float | Future, Any, Any]


class Worker(Host):
    """One process."""

    def __init__(self, schedule: Schedule, slot: int, incarnation: str) -> None:
        super().__init__(schedule.world)
        self.schedule, self.store, self.slot = schedule, schedule.store, slot
        self.peer = Peer(f"w{slot}", incarnation, f"{slot}")
        self.incarnation = incarnation
        self.leaving = False
        self.holdings: dict[str, Holding] = {}
        self.underway = Underway()
        self.standing = Standing(self.world.now, LEASE)
        self._run_seen = 0
        self._doubts = False  # another run of the store has begun: what is held is compared
        self.store.enlist(self.peer)
        self.run(self._beat())

    def ask(self, command: Callable[[], Any]) -> Future:
        """Asks the store; None if nobody knows what came of it."""
        asked, answer = self.world.now, Future()

        def answered(told: Any) -> None:
            if told is None:
                answer.set(None)
                return
            result, run = told
            self.standing.took(asked, self.world.now)
            if run != self._run_seen:
                if self._run_seen:
                    self.standing.returned(self.world.now)
                    self._doubts = True
                self._run_seen = run
            answer.set(result)

        self.store.ask(self, command).then(answered)
        return answer

    def down(self, carrier: Carrier, frame: Down) -> None:
        """Writes a frame, or the whole answer to a poll or a send."""
        self.schedule.bring_down(carrier, [frame])

    # -- requests ----------------------------------------------------------------------------------------------------

    def take(self, request: Request) -> None:
        """A request comes to this worker."""
        request.carrier.entry = self
        self.run(self._open(request) if not request.sid else self._route(request, request.sid, 0))

    def _open(self, request: Request) -> Process:
        mine = self.schedule.name("s")
        sid = yield self.ask(lambda: self.store.claim(request.nonce, mine))
        if sid is None:
            self.down(request.carrier, Refused(4503, False, None))
            return
        yield from self._route(request, sid, 0)

    def _route(self, request: Request, sid: str, hops: int) -> Process:
        for _ in range(3):
            if sid in self.holdings:
                self.holdings[sid].request(request)
                return
            sight = yield self.ask(lambda: self.store.see(sid))
            if sight is None or self.leaving:
                break
            record = sight.record
            owner: Peer | Gone | Later = Later.LATER
            if record is not None and record.stage is not Stage.ENDED:
                owner = yield from self.whose(record, sight.owner)
            where = place(record, self.incarnation, has=sid in self.holdings, owner=owner)
            if where is Step.SERVE:
                continue
            if where is Step.TAKE or (where is Step.UNKNOWN and not request.sid):
                free = Future()
                if not self.underway.begins(sid, lambda: free.set(None)):  # noqa: B023
                    yield free
                    continue
                made = self._create(sid, request) if record is None else self.take_over(sid, record)
                done = yield from made
                self.underway.ended(sid)
                if not done:
                    continue
            elif isinstance(where, Peer) and hops == 0:
                yield self.world.delay()
                other = self.schedule.incarnations[where.incarnation]
                other.run(other._route(request, sid, 1))
                return
            elif where is Step.TOMBSTONE:
                assert record is not None
                assert record.end is not None
                self.down(request.carrier, Refused(record.end.code, True, record.received))
                return
            elif where is Step.UNKNOWN:
                self.down(request.carrier, Refused(4404, True, None))
                return
            else:
                break
        self.down(request.carrier, Refused(4503, False, None))

    def whose(self, record: Record, known: Known) -> Deciding:
        """Who has a session: a Peer, Gone for nobody, Later if that is not known."""
        if record.owner in ("", NOBODY, self.incarnation):
            return Gone()
        verdict = judge(known, None, Reached.UNTRIED, self.standing.steady(self.world.now), fenced=True)
        if isinstance(verdict, Peer):
            reached = yield from self._reach(verdict)
            if reached is Reached.UNTRIED:
                return verdict
            verdict = judge(known, verdict, reached, self.standing.steady(self.world.now), fenced=True)
        return Later.LATER if isinstance(verdict, Peer) else verdict

    def _reach(self, peer: Peer) -> Deciding:
        """How a connection goes; UNTRIED: well."""
        yield self.world.delay()
        other = self.schedule.incarnations[peer.incarnation]
        if not other.alive:
            return Reached.REFUSED
        if self.world.chance(self.schedule.refusals):
            self.world.say("refused, though it is alive:", peer.incarnation)
            self.schedule.count("refused by mistake")
            return Reached.REFUSED
        if other.paused > self.world.now + HOP:
            yield HOP
            return Reached.UNREACHABLE
        return Reached.UNTRIED

    def _create(self, sid: str, request: Request) -> Deciding:
        record = created(
            self.schedule.name("i"), self.incarnation, self.schedule.name("t"), request.nonce, request.shown.gen
        )
        done = yield from self._put(sid, Write("", record))
        if done:
            self.schedule.created.append((sid, request.nonce))
            self._hold(sid, record, suspected=False)
        return done

    def take_over(self, sid: str, record: Record) -> Deciding:
        """Writes a takeover of what was seen; whether it happened."""
        new = taken_over(record, self.incarnation, self.schedule.name("i"), self.schedule.name("t"))
        notice = Notice(sid, record.tenure.id) if record.owner else None
        done = yield from self._put(sid, Write(record.id, new), notice, record.owner)
        if done:
            self.schedule.count("takeovers")
            self._hold(sid, new, suspected=bool(record.owner))
        return done

    def _put(self, sid: str, write: Write, notice: Notice | None = None, to: str = "") -> Deciding:
        while True:
            found = yield self.ask(lambda: self.store.put(sid, write, notice, to))
            if found is not None:
                break
            yield 0.2
        return found == write.record.id and not self.leaving and sid not in self.holdings

    def _hold(self, sid: str, record: Record, *, suspected: bool) -> None:
        self.world.say(self.incarnation, "has", sid, record.tenure)
        self.holdings[sid] = Holding(self, sid, record, suspected)

    # -- time --------------------------------------------------------------------------------------------------------

    def _beat(self) -> Process:
        while True:
            asked, held = self.world.now, dict(self.holdings)
            answer = yield self.ask(self._look)
            if answer is not None:
                self.standing.renewed(asked, self.world.now)
                notices, sights = answer
                for sid, holding in list(self.holdings.items()):
                    if told(notices, sid, holding.owner.tenure.id):
                        holding.cut("a notice")
                    elif self._doubts and held.get(sid) is holding:
                        holding.compare(sights[sid].record.id if sid in sights else "")
                if notices:
                    self.ask(lambda done=notices: self.store.noticed(self.incarnation, done))  # type: ignore[misc]
                self._doubts = False
                for sid, sight in sights.items():
                    if sid not in self.holdings and not self.leaving:
                        yield from self._sweep(sid, sight)
            for holding in list(self.holdings.values()):
                holding.tick()
            yield 1.2 + self.world.random.random() * 0.6

    def _look(self) -> Any:
        return self.store.enlist(self.peer), {sid: self.store.see(sid) for sid in self.store.records}

    def _sweep(self, sid: str, sight: Sight) -> Process:
        record = sight.record
        assert record is not None
        verdict = orphan(record, sight.idle, WINDOW)
        if self._is_mine(record):
            verdict = Orphan.TAKE  # a takeover of its own that came to nothing here
        elif verdict is Orphan.LEAVE or (sight.owner.leased and record.owner != self.incarnation):
            return
        owner = yield from self.whose(record, sight.owner)
        if not isinstance(owner, Gone) or sid in self.holdings:
            return
        if verdict is Orphan.TAKE:
            if self.underway.begins(sid, lambda: None):
                yield from self.take_over(sid, record)
                self.underway.ended(sid)
        elif verdict is Orphan.PUBLISH:
            for publish in record.publishes:
                yield self.world.delay()
                self.schedule.publish(publish)
            new = record._replace(id=self.schedule.name("i"), before=(*record.before, record.id), publishes=())
            yield from self._put(sid, Write(record.id, new))
        elif record.owner not in ("", NOBODY, self.incarnation):  # its client has its time from now on
            self.schedule.count("abandoned")
            new, notice = abandoned(record, self.schedule.name("i")), Notice(sid, record.tenure.id)
            yield from self._put(sid, Write(record.id, new), notice, record.owner)
        else:
            new = record._replace(
                id=self.schedule.name("i"), before=(*record.before, record.id), stage=Stage.ENDED, end=unclaimed(record)
            )
            yield from self._put(sid, Write(record.id, new))

    def _is_mine(self, record: Record) -> bool:
        return record.owner == self.incarnation and record.stage is not Stage.ENDED

    # -- the end -----------------------------------------------------------------------------------------------------

    def leave(self) -> Process:
        """SIGTERM: commits, gives up what it has, and goes."""
        self.leaving = True
        self.world.say(self.incarnation, "leaves")
        for holding in list(self.holdings.values()):
            until = self.world.now + 1
            while holding.inturn is not None and self.world.now < until and holding.running:
                yield 0.1
            if holding.running:
                holding.owner.leaving = True
                done, until = holding.commit(HandedOver()), self.world.now + 3
                while not done.done and self.world.now < until and holding.running:
                    yield 0.1
                if done.value and holding.carrier is not None:
                    holding.bring(holding.carrier, Ends("recycled"))
                if not done.done:
                    holding.failed()
                holding.stop()
        self.store.strike(self.incarnation)
        self.schedule.replace(self, "left")
