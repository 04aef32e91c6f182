"""Does the model of durable sessions see? Each rule is taken away in turn, and some schedule must break a promise.
Named by what docs/protocol.md §13 says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from realtime.core.durable import changes, lineage, owner, room_outbox
from realtime.core.durable.changes import Commit, Context, Sends
from realtime.core.durable.lineage import Answer, Follower, Shown, Verdict
from realtime.core.durable.owner import Outcome, Owner, Write
from realtime.core.durable.record import Close, Publish, Record, Stage, Tenure
from realtime.core.durable.room_outbox import Place as RoomPlace
from realtime.core.durable.room_outbox import RoomOutbox
from realtime.core.durable.rooms import Heard, Resumed
from realtime.core.durable.takeover import Notice, Orphan, Place, Underway
from realtime.core.durable.turns import serialised
from realtime.core.leases import Gone, Later, Peer
from realtime.core.rooms import Position, Reading

from .durable_model import worker
from .durable_model.frames import Answered, Carrier, Refused, Request
from .durable_model.holding import Holding
from .durable_model.schedule import ANY, Conditions, broken
from .durable_model.store import Store
from .durable_model.worker import Deciding, Worker
from .durable_model.world import Future, Process

SEEDS = 600
# Of what shows late, the schedule in which it did when this was written: where to look first.
SHOWN_BY = {
    "a_client_does_not_look_whether_it_is_ahead": 3997,
    "an_end_is_told_before_it_is_stored": 1940,
    "a_note_grows_that_another_owner_has_written": 650,
    "nobody_publishes_for_what_has_ended": 572,
    "older_carriers_count_behind_a_change_of_owners": 509,
    "an_answer_to_what_was_named_before_counts": 336,
    "a_takeover_leaves_no_word": 330,
    "a_turn_that_was_cut_by_a_deploy_is_counted": 264,
    "other_tasks_store_the_handlers_data": 258,
    "a_worker_waits_for_what_it_does_not_have": 256,
    "what_a_takeover_leaves_goes_with_the_answer_that_brings_it": 241,
    "cursors_that_a_late_send_brings_count": 150,
    "writes_are_told_apart_by_their_numbers": 139,
    "a_room_that_was_left_is_not_said": 128,
    "a_late_attach_is_judged": 105,
    "older_carriers_are_listened_to": 101,
    "whoever_opens_writes_over_what_is_there": 77,
    "a_worker_takes_a_session_over_twice_at_once": 74,
    "a_note_is_written_while_it_grows": 57,
    "the_cursor_of_a_room_that_was_left_is_forgotten": 52,
    "who_takes_over_publishes_nothing": 50,
    "publishes_are_named_by_their_turn": 36,
    "a_handler_begins_although_it_has_returned": 35,
}

Patch: TypeAlias = pytest.MonkeyPatch
Mutation: TypeAlias = Callable[[Patch], None]
# With the conditions under which it shows soonest, where those of all schedules are too mixed.
MUTATIONS: list[tuple[Mutation, Conditions]] = []


def mutation(mutate: Mutation) -> Mutation:
    MUTATIONS.append((mutate, ANY))
    return mutate


def mutation_under(conditions: Conditions) -> Callable[[Mutation], Mutation]:
    def register(mutate: Mutation) -> Mutation:
        MUTATIONS.append((mutate, conditions))
        return mutate

    return register


# The store goes back behind carriers that are slow, and a client that changes them.
GOING_BACK = Conditions(("hold", "back", "crash", "hold"), switches=0.9, rate=3.0, messages=7, refusals=0.0)
# Leases end, and connections are refused, of owners that live.
LIVING = Conditions(("lapse", "cut", "lapse"), repeats=0.5, messages=2, refusals=0.5)
# Deploys, again and again, in long turns.
DEPLOYS = Conditions(("leave", "leave", "cut"), slow_turns=True, rate=2.0, refusals=0.0)
# A takeover from an owner that lives, and the store goes back before it.
TAKEN_BACK = Conditions(("back", "lapse", "crash"), repeats=0.5, refusals=0.7, rate=2.0)
# Clients that are slow, and sessions that drop what they have no room for.
DROPPING = Conditions(("crash", "cut", "crash"), switches=0.3, rate=3.0, messages=7, drops=True, refusals=0.0)
# The store stands still now and then.
STANDING = Conditions(("store pause",), switches=0.3, rate=2.0, messages=7, refusals=0.0)
# The stores of rooms go back while the client changes its carriers.
ROOMS_BACK = Conditions(("hold", "rooms back", "crash", "cut"), switches=0.5, rate=3.0, messages=7)


def nothing(*args: Any, **kwargs: Any) -> None:
    """In the place of a rule."""


def yes(*args: Any, **kwargs: Any) -> bool:
    return True


def no(*args: Any, **kwargs: Any) -> bool:
    return False


# -- nothing that is not stored is seen --------------------------------------------------------------------------------


@mutation
def messages_go_out_before_they_are_stored(patch: Patch) -> None:
    original = Owner.write

    def write(self: Owner, id: str) -> Write:
        before = self.record
        made = original(self, id)
        self.record = before._replace(sent=made.record.sent, outbox=made.record.outbox)
        return made

    patch.setattr(Owner, "write", write)


@mutation
def received_is_acknowledged_at_once(patch: Patch) -> None:
    patch.setattr(Owner, "acks", property(lambda self: (self.received, self.record.taken)))


@mutation
def an_end_is_told_before_it_is_stored(patch: Patch) -> None:
    original = Holding.end

    def end(self: Holding, close: Close, carrier: Carrier | None = None) -> None:
        for one in {self.carrier, carrier} - {None}:
            assert one is not None
            self.bring(one, Refused(close.code, True, self.owner.record.received))
        original(self, close, carrier)

    patch.setattr(Holding, "end", end)


@mutation_under(STANDING)
def a_send_is_answered_before_it_is_stored(patch: Patch) -> None:
    def answer(self: Holding, carrier: Carrier) -> Process:
        self.worker.down(carrier, Answered(self.owner.acks, self.owner.tenure.id))
        yield 0.0

    patch.setattr(Holding, "_answer", answer)


@mutation
def a_client_is_told_of_a_session_before_it_is_stored(patch: Patch) -> None:
    original = Worker._create

    def create(self: Worker, sid: str, request: Request) -> Deciding:
        def late(sid: str, write: Write, *more: Any) -> Deciding:
            self.run(put(sid, write))
            yield 0.0
            return sid not in self.holdings

        put = self._put
        patch.setattr(self, "_put", late)
        done = yield from original(self, sid, request)
        patch.setattr(self, "_put", put)
        return done

    patch.setattr(Worker, "_create", create)


# -- turns -------------------------------------------------------------------------------------------------------------


def committing(patch: Patch, change: Callable[[Record, Record, Commit], Record]) -> None:
    """A commit makes this of the record before it and behind it."""
    original = Commit.apply

    def apply(self: Commit, record: Record, context: Context) -> Record:
        return change(record, original(self, record, context), self)

    patch.setattr(Commit, "apply", apply)


@mutation
def data_are_not_stored_with_the_message(patch: Patch) -> None:
    committing(patch, lambda before, behind, commit: behind._replace(data=before.data) if commit.takes else behind)


@mutation
def a_commit_within_a_turn_leaves_no_mark(patch: Patch) -> None:
    committing(patch, lambda before, behind, commit: behind._replace(redelivered=False))


@mutation
def a_commit_within_a_turn_takes_the_message(patch: Patch) -> None:
    def change(before: Record, behind: Record, commit: Commit) -> Record:
        if not commit.turn or commit.takes or behind.taken >= commit.turn:
            return behind
        return behind._replace(taken=commit.turn, inbox=behind.inbox[1:])

    committing(patch, change)


@mutation
def other_tasks_store_the_handlers_data(patch: Patch) -> None:
    original = Holding.commit

    def commit(self: Holding, change: changes.Change) -> Future:
        if isinstance(change, Sends):
            self.owner.change(Commit(serialised(self.data, 1000), 0))
        return original(self, change)

    patch.setattr(Holding, "commit", commit)


@mutation
def what_was_received_is_not_handed_on(patch: Patch) -> None:
    taking_over(patch, lambda record: record._replace(inbox=()))


@mutation
def a_clients_close_ends_the_session_at_once(patch: Patch) -> None:
    original = Owner.write

    def write(self: Owner, id: str) -> Write:
        made = original(self, id)
        if made.record.closed is None or made.record.stage is not Stage.LIVE:
            return made
        ended = made.record._replace(stage=Stage.ENDED, end=Close(1000))
        self._flying = Write(made.expected, ended)
        return self._flying

    patch.setattr(Owner, "write", write)


@mutation
def a_handler_begins_although_it_has_returned(patch: Patch) -> None:
    original = Holding.__init__

    def init(self: Holding, at: Worker, sid: str, record: Record, suspected: bool) -> None:
        original(self, at, sid, record, suspected)
        if record.stage is Stage.CLOSING:
            self.run(self._handler())

    patch.setattr(Holding, "__init__", init)
    patch.setattr(Owner, "begin", lambda self: owner.Hand.GIVE)


# -- poison ------------------------------------------------------------------------------------------------------------


@mutation
def a_turn_is_tried_for_ever(patch: Patch) -> None:
    patch.setattr(owner, "MOST_ATTEMPTS", 99)


@mutation
def takeovers_are_counted_and_not_attempts(patch: Patch) -> None:
    taking_over(patch, lambda record: record._replace(attempts=record.attempts + 1))


@mutation_under(DEPLOYS)
def a_turn_that_was_cut_by_a_deploy_is_counted(patch: Patch) -> None:
    original = Worker._hold
    patch.setattr(Worker, "_hold", lambda self, sid, record, *, suspected: original(self, sid, record, suspected=True))


# -- writes ------------------------------------------------------------------------------------------------------------


@mutation
def nobody_is_fenced(patch: Patch) -> None:
    original = Owner.answered

    def answered(self: Owner, found: str) -> Outcome:
        outcome = original(self, found)
        if outcome is Outcome.FENCED and self._flying is not None:
            self.fenced = False
            self._flying = self._flying._replace(expected=found)
            return Outcome.BEHIND
        return outcome

    patch.setattr(Owner, "answered", answered)


@mutation
def whoever_writes_last_wins(patch: Patch) -> None:
    def put(self: Store, sid: str, write: Write, notice: Notice | None = None, to: str = "") -> str:
        self._set(sid, write.record)
        return write.record.id

    patch.setattr(Store, "put", put)


@mutation
def writes_are_told_apart_by_their_numbers(patch: Patch) -> None:
    original, take = Owner.write, worker.taken_over

    def behind(id: str) -> str:
        return f"i{int(id[1:]) + 1}"

    patch.setattr(Owner, "write", lambda self, id: original(self, behind(self.record.id)))

    def taken_over(record: Record, name: str, id: str, tenure: str) -> Record:
        return take(record, name, behind(record.id), f"t{int(record.tenure.id[1:]) + 1}")

    patch.setattr(worker, "taken_over", taken_over)


@mutation
def a_store_that_went_back_fences(patch: Patch) -> None:
    original = Owner.answered

    def answered(self: Owner, found: str) -> Outcome:
        outcome = original(self, found)
        self.fenced = outcome is not Outcome.STORED
        return Outcome.FENCED if self.fenced else outcome

    patch.setattr(Owner, "answered", answered)


# -- takeovers ---------------------------------------------------------------------------------------------------------


def taking_over(patch: Patch, change: Callable[[Record], Record]) -> None:
    """A takeover writes this instead."""
    original = worker.taken_over
    patch.setattr(worker, "taken_over", lambda *args: change(original(*args)))


@mutation_under(LIVING)
def a_takeover_leaves_no_word(patch: Patch) -> None:
    patch.setattr(worker, "told", no)


@mutation_under(LIVING._replace(faults=("lapse",), repeats=0.9, refusals=0.7, losses=0.15))
def what_a_takeover_leaves_goes_with_the_answer_that_brings_it(patch: Patch) -> None:
    original = Store.enlist

    def enlist(self: Store, peer: Peer) -> list[Notice]:
        notices = original(self, peer)
        self.notices.pop(peer.incarnation, None)
        return notices

    patch.setattr(Store, "enlist", enlist)


@mutation_under(TAKEN_BACK)
def a_worker_waits_for_what_it_does_not_have(patch: Patch) -> None:
    original = worker.place

    def place(record: Record | None, name: str, *, has: bool, owner: Peer | Gone | Later) -> Place:
        if record is not None and record.owner == name and record.stage is not Stage.ENDED and not has:
            return Later.LATER
        return original(record, name, has=has, owner=owner)

    patch.setattr(worker, "place", place)
    patch.setattr(Worker, "_is_mine", no)


@mutation
def a_worker_takes_a_session_over_twice_at_once(patch: Patch) -> None:
    patch.setattr(Underway, "begins", yes)
    patch.setattr(Underway, "ended", nothing)


@mutation
def nobody_drains_what_its_client_has_closed(patch: Patch) -> None:
    original = worker.orphan

    def orphan(record: Record, idle: float, window: float) -> Orphan:
        return original(record._replace(closed=None), idle, window)

    patch.setattr(worker, "orphan", orphan)


# -- what a client has -------------------------------------------------------------------------------------------------


@mutation_under(GOING_BACK)
def a_client_is_compared_with_the_numbers_of_now(patch: Patch) -> None:
    def judge(tenures: Any, now: Tenure, gen: int, shown: Shown) -> Verdict:
        return lineage.judge((now,), now, gen, shown._replace(tenure=shown.tenure and now.id))

    patch.setattr(owner, "judge", judge)
    patch.setattr(owner, "successor", lambda tenures, named: None)


@mutation_under(GOING_BACK)
def a_client_does_not_look_whether_it_is_ahead(patch: Patch) -> None:
    original = Follower.attached

    def attached(self: Follower, *args: Any) -> Answer:
        answer = original(self, *args)
        if answer is not Answer.AHEAD:
            return answer
        self.tenure = args[1]
        return Answer.CHANGED

    patch.setattr(Follower, "attached", attached)


@mutation
def acks_of_an_owner_count_before_it_was_attached_to(patch: Patch) -> None:
    patch.setattr(Follower, "answered", lambda self, named, tenure: Answer.SAME)


@mutation
def an_answer_to_what_was_named_before_counts(patch: Patch) -> None:
    original = Follower.attached
    patch.setattr(Follower, "attached", lambda self, named, *args: original(self, self.tenure, *args))


@mutation
def a_late_attach_is_judged(patch: Patch) -> None:
    patch.setattr(owner, "judge", lambda tenures, now, gen, shown: lineage.judge(tenures, now, 0, shown))


@mutation
def a_late_send_is_judged(patch: Patch) -> None:
    def judge(tenures: Any, now: Tenure, gen: int, shown: Shown) -> Verdict:
        verdict = lineage.judge(tenures, now, gen, shown)
        return Verdict.AHEAD if verdict is Verdict.LATER else verdict

    patch.setattr(owner, "judge", judge)


@mutation_under(GOING_BACK)
def older_carriers_count_behind_a_change_of_owners(patch: Patch) -> None:
    original = Follower.attached

    def attached(self: Follower, *args: Any) -> Answer:
        answer = original(self, *args)
        return Answer.SAME if answer is Answer.CHANGED else answer

    patch.setattr(Follower, "attached", attached)


# -- publishes ---------------------------------------------------------------------------------------------------------


@mutation
def who_takes_over_publishes_nothing(patch: Patch) -> None:
    taking_over(patch, lambda record: record._replace(publishes=()))


@mutation
def publishes_are_named_by_their_turn(patch: Patch) -> None:
    def change(before: Record, behind: Record, commit: Commit) -> Record:
        old = len(before.publishes)
        named = (Publish(f"s{commit.turn}-{index}", *one) for index, one in enumerate(commit.publishes))
        return behind._replace(publishes=(*behind.publishes[:old], *named))

    committing(patch, change)


@mutation
def nobody_publishes_for_what_has_ended(patch: Patch) -> None:
    original = worker.orphan

    def orphan(record: Record, idle: float, window: float) -> Orphan:
        verdict = original(record, idle, window)
        return Orphan.LEAVE if verdict is Orphan.PUBLISH else verdict

    patch.setattr(worker, "orphan", orphan)


# -- drops -------------------------------------------------------------------------------------------------------------


@mutation
def a_note_grows_although_it_was_written(patch: Patch) -> None:
    patch.setattr(Owner, "handed", lambda self, number: None)


@mutation_under(DROPPING)
def a_note_grows_that_another_owner_has_written(patch: Patch) -> None:
    original = Owner.__init__

    def init(self: Owner, record: Record, **options: Any) -> None:
        original(self, record, **options)
        self.floor = 0

    patch.setattr(Owner, "__init__", init)


@mutation_under(DROPPING)
def a_note_is_written_while_it_grows(patch: Patch) -> None:
    patch.setattr(Owner, "last", property(lambda self: self.record.sent))


# -- rooms -------------------------------------------------------------------------------------------------------------


@mutation
def a_new_owner_begins_at_the_top_of_a_room(patch: Patch) -> None:
    original = Worker._hold

    def hold(self: Worker, sid: str, record: Record, *, suspected: bool) -> None:
        tops = tuple((room, self.store.rooms[room].end) for room, _ in record.rooms)
        original(self, sid, record._replace(rooms=tops), suspected=suspected)

    patch.setattr(Worker, "_hold", hold)


@mutation
def cursors_are_not_brought(patch: Patch) -> None:
    original = RoomOutbox.show
    patch.setattr(RoomOutbox, "show", lambda self, gen, cursors: original(self, gen, {}))


@mutation_under(ROOMS_BACK)
def a_room_whose_store_went_back_is_believed(patch: Patch) -> None:
    def resumed(position: Position, reading: Reading) -> Resumed:
        return Resumed(position, None)

    patch.setattr(room_outbox, "resumed", resumed)


@mutation
def a_late_answer_counts_where_a_room_has_gone_on(patch: Patch) -> None:
    original = RoomOutbox._answered

    def answered(self: RoomOutbox, question: int) -> RoomPlace | None:
        if self._asked is not None and self._asked[1] in self._places:
            self._asked = (*self._asked[:2], self._places[self._asked[1]].position)
        return original(self, question)

    patch.setattr(RoomOutbox, "_answered", answered)


@mutation
def a_room_that_was_left_is_not_said(patch: Patch) -> None:
    original = RoomOutbox.frames

    def frames(self: RoomOutbox) -> list[Any]:
        return [told for told in original(self) if not isinstance(told, str)]

    patch.setattr(RoomOutbox, "frames", frames)


@mutation
def older_carriers_are_listened_to(patch: Patch) -> None:
    original = Heard.takes
    patch.setattr(Heard, "takes", lambda self, room, cursor, gen: original(self, room, cursor, self._gen))


@mutation
def the_cursor_of_a_room_that_was_left_is_forgotten(patch: Patch) -> None:
    patch.setattr(Heard, "left", lambda self, room: self._cursors.pop(room, None))


@mutation
def cursors_that_a_late_send_brings_count(patch: Patch) -> None:
    original = Holding._send

    def send(self: Holding, request: Request) -> None:
        original(self, request._replace(gen=self.carrier.gen if self.carrier is not None else 0))

    patch.setattr(Holding, "_send", send)


# -- opening -----------------------------------------------------------------------------------------------------------


@mutation
def every_open_makes_a_session(patch: Patch) -> None:
    patch.setattr(Store, "claim", lambda self, nonce, sid: sid)


@mutation
def whoever_opens_writes_over_what_is_there(patch: Patch) -> None:
    original = Worker._create

    def create(self: Worker, sid: str, request: Request) -> Deciding:
        put = self._put

        def over(sid: str, write: Write, *more: Any) -> Deciding:
            before = self.store.records.get(sid)
            done = yield from put(sid, write._replace(expected="" if before is None else before.id))
            return done

        patch.setattr(self, "_put", over)
        done = yield from original(self, sid, request)
        patch.setattr(self, "_put", put)
        return done

    patch.setattr(Worker, "_create", create)


@pytest.mark.parametrize(("mutate", "conditions"), MUTATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_mutation_is_found(mutate: Mutation, conditions: Conditions, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    first = SHOWN_BY.get(mutate.__name__, 0)
    found = broken(range(first, first + 1), conditions) or broken(range(SEEDS), conditions)
    assert found is not None, f"{SEEDS} schedules, and nothing was missed"


@pytest.mark.parametrize("conditions", [GOING_BACK, LIVING, DEPLOYS, TAKEN_BACK, DROPPING, STANDING, ROOMS_BACK])
def test_nothing_is_broken(conditions: Conditions) -> None:
    assert broken(range(100), conditions) is None
