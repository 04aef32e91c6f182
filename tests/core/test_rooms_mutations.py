"""Does the model of rooms see? Each rule is taken away in turn, and some schedule must break a promise.

Named by what docs/scaling.md says; where two rules hold the same promise, both go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from realtime.core import tail as tails
from realtime.core.follower import Follower
from realtime.core.publications import Acknowledged, Publication
from realtime.core.rooms import Entry, Position, Reading
from realtime.core.tail import Tail

from . import test_follower as followers
from . import test_tail as members
from .rooms_model import ANY, Client, Conditions, Session, Store, Worker, broken

SEEDS = 600
# Of what shows late, the schedule in which it did when this was written: where to look first.
SHOWN_BY = {
    "a_store_that_went_back_is_believed": 445,
    "only_the_last_run_is_known": 404,
    "nothing_is_held_and_nobody_names_its_predecessor": 325,
    "a_top_on_its_way_is_a_loss": 313,
    "only_the_top_is_compared": 256,
    "an_epoch_may_be_used_twice": 225,
    "who_is_joining_stays_in_a_room_that_is_closed": 214,
    "a_cursor_has_no_id": 143,
    "presence_needs_no_registration": 97,
    "missed_beats_are_nothing": 90,
    "an_epoch_is_raised_by_everybody_who_sees_it": 84,
    "a_closing_that_was_missed_is_not_looked_for": 61,
    "nothing_waits_for_a_snapshot": 26,
    "a_worker_reaps_as_soon_as_it_is_answered": 16,
    "an_answer_is_no_knowledge": 13,
    "nobody_sweeps": 12,
}

Patch: TypeAlias = pytest.MonkeyPatch
Mutation: TypeAlias = Callable[[Patch], None]
# With the conditions under which it shows soonest, where those of all schedules are too mixed.
MUTATIONS: list[tuple[Mutation, Conditions]] = []


def mutation(mutate: Mutation) -> Mutation:
    MUTATIONS.append((mutate, ANY))
    return mutate


def mutation_under(*faults: str, calm: bool = False) -> Callable[[Mutation], Mutation]:
    def register(mutate: Mutation) -> Mutation:
        MUTATIONS.append((mutate, Conditions(faults, calm)))
        return mutate

    return register


def nothing(*args: Any, **kwargs: Any) -> None:
    """In the place of a rule."""


# -- what the store promises -------------------------------------------------------------------------------------------


@mutation
def an_epoch_may_be_used_twice(patch: Patch) -> None:
    patch.setattr(Store, "new_epoch", lambda self, above=0: above + 1)


@mutation
def a_repeated_publish_is_published_again(patch: Patch) -> None:
    patch.setattr(Store, "repeated", nothing)


@mutation
def only_the_highest_number_of_a_source_is_remembered(patch: Patch) -> None:
    original = Store.repeated

    def repeated(self: Store, room: str, id: str) -> tuple[int, int] | None:
        worker, number = id.split("-")
        known = [int(seen.split("-")[1]) for where, seen in self.data.seen if where == room and seen.startswith(worker)]
        if any(one >= int(number) for one in known):
            kept = self.kept(room)
            return original(self, room, id) or (kept.epoch, kept.top)
        return None

    patch.setattr(Store, "repeated", repeated)


@mutation
def an_epoch_is_raised_by_everybody_who_sees_it(patch: Patch) -> None:
    original = Store.raise_epoch
    patch.setattr(
        Store, "raise_epoch", lambda self, room, seen, above: original(self, room, self.kept(room).epoch, above)
    )


@mutation
def presence_needs_no_registration(patch: Patch) -> None:
    patch.setattr(Store, "registered", lambda self, worker: True)


# -- what a follower does ----------------------------------------------------------------------------------------------


@mutation
def what_is_missing_is_not_looked_for(patch: Patch) -> None:
    def message(self: Follower, entry: Entry) -> None:
        position = self.position
        if position is None or not self.live:
            self._hold(entry)
        elif entry.position[:2] > position[:2]:
            self._deliver(entry)

    patch.setattr(Follower, "message", message)


def a_subscription_is_not_compared(patch: Patch) -> None:
    original = Follower.subscribed

    def subscribed(self: Follower) -> None:
        if self.position is None:
            original(self)
        else:
            self.live = True
            self._owner.ready()

    patch.setattr(Follower, "subscribed", subscribed)


@mutation
def nobody_sweeps(patch: Patch) -> None:
    patch.setattr(Worker, "sweep_rooms", nothing)


@mutation
def missed_beats_are_nothing(patch: Patch) -> None:
    patch.setattr(Worker, "missed_beats", lambda self: False)


@mutation_under("failover", "deaf", "cut")
def a_store_that_went_back_is_believed(patch: Patch) -> None:
    patch.setattr(Follower, "_went_back", lambda self, reading: False)
    patch.setattr(Tail, "_is_gone", lambda self, position, reading: False)


@mutation_under("failover", "cut")
def only_the_top_is_compared(patch: Patch) -> None:
    def contradicts(self: Reading, position: Position) -> bool:
        return position[:2] == (self.epoch, self.top) and self.id != position.id

    patch.setattr(Reading, "contradicts", contradicts)


@mutation_under("failover", "deaf", "cut")
def nothing_is_held_and_nobody_names_its_predecessor(patch: Patch) -> None:
    patch.setattr(Follower, "unsubscribed", nothing)
    original = Follower.message
    patch.setattr(Follower, "message", lambda self, entry: original(self, entry._replace(previous="")))


@mutation
def a_new_epoch_begins_at_its_top(patch: Patch) -> None:
    patch.setattr(Follower, "_take", _take_at_the_top)


def _take_at_the_top(self: Follower, position: Position, reading: Reading, now: float) -> None:
    if reading.epoch > position.epoch:
        self.position = reading.end  # and nobody is told
    else:
        for entry in reading.entries:
            self._take_entry(entry)
        self._look_at_top(reading, now)


@mutation
def a_top_that_nobody_has_heard_of_is_nothing(patch: Patch) -> None:
    patch.setattr(Follower, "_suspect", nothing)


@mutation_under(calm=True)
def a_top_on_its_way_is_a_loss(patch: Patch) -> None:
    patch.setattr(Follower, "_suspect", lambda self, position, top, now: self._tell(top))


@mutation
def a_closing_that_was_missed_is_not_looked_for(patch: Patch) -> None:
    patch.setattr(Follower, "_look_for_closing", nothing)


# -- what a tail does --------------------------------------------------------------------------------------------------


@mutation
def nothing_waits_for_a_snapshot(patch: Patch) -> None:
    original = Tail.offer

    def offer(self: Tail, item: Entry | Position) -> None:
        if not self.pending:
            original(self, item)

    patch.setattr(Tail, "offer", offer)


@mutation
def a_snapshot_is_read_before_the_subscription_stands(patch: Patch) -> None:
    original = Worker.join

    def join(self: Worker, session: Session) -> None:
        original(self, session)
        room = self.rooms[session.room]
        if session in room.waiting:
            room.waiting.remove(session)
            session.begin()

    patch.setattr(Worker, "join", join)
    patch.setattr(Tail, "read_again", nothing)


@mutation
def a_cursor_that_is_not_there_is_not_told(patch: Patch) -> None:
    original = Tail._start

    def start(self: Tail, reading: Reading) -> Position:
        member: Any = self._member
        self._member = Silent()
        try:
            return original(self, reading) if self.position or self._cursor else _loud(self, member, reading)
        finally:
            self._member = member

    patch.setattr(Tail, "_start", start)


class Silent:
    """A member that is told nothing."""

    read = retry = starts = take = gap = gone = nothing


def _loud(self: Tail, member: Any, reading: Reading) -> Position:
    start = reading.before or reading.end
    member.starts(start, reading.at)
    return start


@mutation_under("failover", "crash", "lose")
def a_cursor_has_no_id(patch: Patch) -> None:
    patch.setattr(tails, "same", lambda one, other: True)


@mutation
def a_join_does_not_say_where_it_starts(patch: Patch) -> None:
    patch.setattr(Client, "note_start", nothing)


@mutation
def who_is_joining_stays_in_a_room_that_is_closed(patch: Patch) -> None:
    patch.setattr(Tail, "closed", nothing)


@mutation
def who_joins_behind_a_closing_is_put_out(patch: Patch) -> None:
    patch.setattr(Tail, "closed", lambda self, at: setattr(self, "_closings", [at]))


# -- what a publisher does ---------------------------------------------------------------------------------------------


@mutation
def a_publish_is_repeated_to_another_run(patch: Patch) -> None:
    original = Publication.attempt

    def attempt(self: Publication, run: str) -> bool:
        original(self, run)
        return False

    patch.setattr(Publication, "attempt", attempt)


@mutation
def an_unknown_outcome_is_a_failure(patch: Patch) -> None:
    patch.setattr(Publication, "maybe_sent", property(lambda self: self.flying))


@mutation
def an_answer_is_no_knowledge(patch: Patch) -> None:
    patch.setattr(Worker, "learn", nothing)


@mutation_under("failover")
def only_the_last_run_is_known(patch: Patch) -> None:
    original = Acknowledged.add

    def add(self: Acknowledged, room: str, run: str, position: Position) -> None:
        for key in [key for key in self._known if key[0] == room and key[1] != run]:
            del self._known[key]
        original(self, room, run, position)

    patch.setattr(Acknowledged, "add", add)


# -- what a worker does ------------------------------------------------------------------------------------------------


@mutation
def a_worker_reaps_as_soon_as_it_is_answered(patch: Patch) -> None:
    patch.setattr(Worker, "may_reap", lambda self: True)


@mutation
def nobody_reaps(patch: Patch) -> None:
    patch.setattr(Worker, "reap", nothing)


@mutation
def a_worker_does_not_compare_its_own_presence(patch: Patch) -> None:
    patch.setattr(Worker, "compare_presence", nothing)


@mutation
def a_channel_is_left_with_the_first_member(patch: Patch) -> None:
    patch.setattr(Worker, "unneeded", lambda self, room: True)


# -- what a scene shows, and no schedule: something else makes up for it, later ---------------------------------------


def a_gap_note_has_no_position(patch: Patch) -> None:
    original = Tail._lose

    def lose(self: Tail, goes_on: Position) -> None:
        position = self.position
        original(self, goes_on)
        self.position = position

    patch.setattr(Tail, "_lose", lose)


def what_is_on_its_way_is_a_gap(patch: Patch) -> None:
    patch.setattr(Follower, "_may_come", nothing)


def what_a_snapshot_said_is_forgotten(patch: Patch) -> None:
    patch.setattr(Follower, "learn", nothing)


def an_epoch_has_no_base(patch: Patch) -> None:
    patch.setattr(Reading, "beginning", property(lambda self: self.end))


@pytest.mark.parametrize(("mutate", "conditions"), MUTATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_mutation_is_found(mutate: Mutation, conditions: Conditions, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    first = SHOWN_BY.get(mutate.__name__, 0)
    found = broken(range(first, first + 1), conditions) or broken(range(SEEDS), conditions)
    assert found is not None, f"{SEEDS} schedules, and nothing was missed"


@pytest.mark.parametrize(
    ("mutate", "scene"),
    [
        (a_subscription_is_not_compared, followers.test_after_a_lost_subscription_all_is_held_until_it_is_compared),
        (a_gap_note_has_no_position, members.test_a_gap_that_all_are_told_goes_on_at_its_position),
        (what_is_on_its_way_is_a_gap, followers.test_a_history_that_is_outrun_by_what_is_on_its_way_is_no_gap),
        (what_a_snapshot_said_is_forgotten, followers.test_what_was_only_told_of_is_compared_too),
        (an_epoch_has_no_base, followers.test_a_message_that_names_another_predecessor),
    ],
    ids=lambda value: value.__name__,
)
def test_a_mutation_is_found_by_its_scene(mutate: Mutation, scene: Callable[[], None], monkeypatch: Patch) -> None:
    scene()
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        scene()
