"""Does the model of sessions of other workers see? Each rule is taken away in turn, and some schedule must break a
promise. Named by what docs/scaling.md says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from realtime.core import claims, leases
from realtime.core.attendance import Standing
from realtime.core.claims import Claim, Claims, Runs
from realtime.core.leases import Gone, Known, Later, Neighbours, Peer, Reached

from . import owners_model
from .owners_model import ANY, Client, Conditions, Schedule, Store, Tell, Worker, broken

SEEDS = 600
# Of what shows late, the schedule in which it did when this was written: where to look first.
SHOWN_BY = {
    "a_worker_finds_out_too_late_that_it_is_cut_off": 5168,
    "a_worker_opens_sessions_without_a_lease": 472,
    "an_address_is_forgotten_with_the_store": 284,
    "a_client_does_not_let_go_of_its_opens": 61,
    "a_worker_leaves_the_directory_before_it_leaves_word": 57,
    "opens_of_a_name_that_is_being_claimed_do_not_wait": 42,
    "a_worker_registers_before_it_listens": 25,
    "nothing_is_claimed_again": 24,
}

Patch: TypeAlias = pytest.MonkeyPatch
Mutation: TypeAlias = Callable[[Patch], None]
# With the conditions under which it shows soonest, where those of all schedules are too mixed.
MUTATIONS: list[tuple[Mutation, Conditions]] = []


def mutation(mutate: Mutation) -> Mutation:
    MUTATIONS.append((mutate, ANY))
    return mutate


def mutation_under(*faults: str) -> Callable[[Mutation], Mutation]:
    def register(mutate: Mutation) -> Mutation:
        MUTATIONS.append((mutate, Conditions(faults)))
        return mutate

    return register


def nothing(*args: Any, **kwargs: Any) -> None:
    """In the place of a rule."""


def yes(*args: Any, **kwargs: Any) -> bool:
    return True


# -- claims ------------------------------------------------------------------------------------------------------------


@mutation
def nobody_claims(patch: Patch) -> None:
    patch.setattr(Store, "claim", lambda self, name, claim, may: claim)


@mutation
def opens_of_a_name_that_is_being_claimed_do_not_wait(patch: Patch) -> None:
    original = Claims.ask

    def ask(self: Claims, name: str, tell: claims.Tell) -> bool:
        opening = self._openings.get(name)
        if opening is not None and opening.claim is None:
            opening.users += 2  # nothing is given back
            tell(Claim(f"{self.worker}.{name}.x", "-"))
            return False
        return original(self, name, tell)

    patch.setattr(Claims, "ask", ask)


@mutation_under("failover", "crash")
def a_run_that_forgot_claims_gives_names_at_once(patch: Patch) -> None:
    patch.setattr(Runs, "may_claim", yes)


@mutation_under("wipe", "start", "start", "cut")
def nothing_is_claimed_again(patch: Patch) -> None:
    patch.setattr(Worker, "_assert_again", nothing)
    patch.setattr(Worker, "_keep", nothing)  # nor renewed


@mutation
def a_claim_ends_with_its_worker(patch: Patch) -> None:
    original = Worker._ask_end

    def ask_end(self: Worker, sid: str, reached: Reached, tell: Tell) -> None:
        name = sid.split(".")[1]
        if reached is Reached.REFUSED and name not in self.by_name:
            self._told(self._begin(name, f"{self.name}.{name}.x"), [1], "opened", tell)
        else:
            original(self, sid, reached, tell)

    patch.setattr(Worker, "_ask_end", ask_end)


@mutation
def a_claim_is_not_renewed(patch: Patch) -> None:
    patch.setattr(Claims, "lasting", lambda self: [])
    patch.setattr(owners_model, "LIFE", 10.0)


@mutation
def a_client_keeps_its_nonce_for_ever(patch: Patch) -> None:
    patch.setattr(Client, "nonce_is_old", lambda self: False)


def a_client_does_not_let_go_of_its_opens(patch: Patch) -> None:
    patch.setattr(Client, "lets_go", lambda self, born: False)


MUTATIONS.append((a_client_does_not_let_go_of_its_opens, Conditions(("wipe", "crash", "pause"), holds=0.6)))


# -- leases ------------------------------------------------------------------------------------------------------------


def judging(patch: Patch, judge: Callable[[Known, Peer | None, Reached, bool], Peer | Gone | Later | None]) -> None:
    """Judges so, and where that says nothing, as ever."""
    original = leases.judge
    patch.setattr(
        owners_model,
        "judge",
        lambda known, tried, reached, steady: (
            judge(known, tried, reached, steady) or original(known, tried, reached, steady)
        ),
    )


@mutation_under("nostore")
def a_lease_that_ran_out_is_a_proof(patch: Patch) -> None:
    judging(patch, lambda known, tried, reached, steady: Gone() if not known.leased and steady else None)


@mutation
def whoever_cannot_be_reached_is_dead(patch: Patch) -> None:
    judging(patch, lambda known, tried, reached, steady: Gone() if reached is Reached.UNREACHABLE else None)


@mutation_under("wipe", "failover", "nolink")
def leases_are_judged_at_any_time(patch: Patch) -> None:
    patch.setattr(Standing, "steady", yes)


@mutation_under("start", "wipe", "crash")
def a_start_is_no_return_of_the_store(patch: Patch) -> None:
    original = Standing.__init__

    def begin(self: Standing, now: float, lease: float) -> None:
        original(self, now, lease)
        self._since = now - 1000

    patch.setattr(Standing, "__init__", begin)


@mutation_under("wipe", "nostore", "nostore", "nostore", "pause")
def an_address_is_forgotten_with_the_store(patch: Patch) -> None:
    patch.setattr(Neighbours, "last", nothing)


@mutation
def another_incarnation_will_do(patch: Patch) -> None:
    patch.setattr(Schedule, "accepts", staticmethod(yes))


@mutation
def a_worker_registers_before_it_listens(patch: Patch) -> None:
    patch.setattr(Worker, "start_of_port", lambda self: 1.5)


@mutation
def a_worker_finds_out_too_late_that_it_is_cut_off(patch: Patch) -> None:
    patch.setattr(owners_model, "PATIENT_CALL", owners_model.LEASE + 5)


# -- the end -----------------------------------------------------------------------------------------------------------


@mutation_under("drain", "start")
def a_worker_leaves_no_word_of_its_sessions(patch: Patch) -> None:
    patch.setattr(Worker, "asked_end", lambda self, sid: 0)


@mutation_under("drain", "start")
def a_worker_leaves_the_directory_before_it_leaves_word(patch: Patch) -> None:
    def leave(self: Worker) -> None:
        self.strike(lambda: self.world.after(3, self.living(lambda: self.write_ends(self.exit))))

    patch.setattr(Worker, "leave", leave)


@pytest.mark.parametrize(("mutate", "conditions"), MUTATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_mutation_is_found(mutate: Mutation, conditions: Conditions, monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    first = SHOWN_BY.get(mutate.__name__, 0)
    found = broken(range(first, first + 1), conditions) or broken(range(SEEDS), conditions)
    assert found is not None, f"{SEEDS} schedules, and nothing was missed"


def test_nothing_is_broken() -> None:
    assert broken(range(150)) is None
