"""Who has a session: what is decided, scene by scene; the schedules of tests/core/owners_model.py play the rest."""

from __future__ import annotations

import pytest

from realtime.core.errors import Refusal
from realtime.core.leases import Ended, Gone, Known, Later, Neighbours, Peer, Reached, Registration, judge
from realtime.core.proof import Key, Proof

PEER = Peer("wrkr", "first", "unix:/run/w.sock")
AGAIN = PEER._replace(incarnation="second")


@pytest.mark.parametrize(
    ("known", "tried", "reached", "steady", "verdict"),
    [
        # An expired lease is no proof, nor is an unsteady store a reason not to ask: connect first.
        (Known(PEER, 5.0), None, Reached.UNTRIED, True, PEER),
        (Known(PEER), None, Reached.UNTRIED, True, PEER),
        (Known(PEER), None, Reached.UNTRIED, False, PEER),
        # Nobody of that name: gone, if the store may be believed.
        (Known(), None, Reached.UNTRIED, True, Gone()),
        (Known(), None, Reached.UNTRIED, False, Later.LATER),
        # A refused connection is a proof at any time.
        (Known(PEER, 5.0), PEER, Reached.REFUSED, False, Gone()),
        (Known(PEER), PEER, Reached.REFUSED, True, Gone()),
        (Known(), PEER, Reached.REFUSED, False, Gone()),
        # Unreachable is none, as long as it has a lease, or leases may not be judged.
        (Known(PEER, 5.0), PEER, Reached.UNREACHABLE, True, Later.LATER),
        (Known(PEER), PEER, Reached.UNREACHABLE, False, Later.LATER),
        (Known(PEER), PEER, Reached.UNREACHABLE, True, Gone()),
        (Known(), PEER, Reached.UNREACHABLE, True, Gone()),
        (Known(), PEER, Reached.UNREACHABLE, False, Later.LATER),
        # Another incarnation than the one that was tried is tried.
        (Known(AGAIN, 5.0), PEER, Reached.REFUSED, True, AGAIN),
        (Known(AGAIN), PEER, Reached.UNREACHABLE, True, AGAIN),
    ],
)
def test_where_a_request_goes(
    known: Known, tried: Peer | None, reached: Reached, steady: bool, verdict: Peer | Gone | Later
) -> None:
    assert judge(known, tried, reached, steady) == verdict


@pytest.mark.parametrize(
    ("known", "tried", "reached", "steady", "verdict"),
    [
        # Without a lease it is gone, tried or not, if leases may be judged.
        (Known(PEER, 5.0), None, Reached.UNTRIED, True, PEER),
        (Known(PEER), None, Reached.UNTRIED, True, Gone()),
        (Known(PEER), None, Reached.UNTRIED, False, PEER),
        (Known(PEER), PEER, Reached.UNREACHABLE, True, Gone()),
        (Known(PEER), PEER, Reached.UNREACHABLE, False, Later.LATER),
        # All else is as for others.
        (Known(), None, Reached.UNTRIED, True, Gone()),
        (Known(), None, Reached.UNTRIED, False, Later.LATER),
        (Known(PEER, 5.0), PEER, Reached.REFUSED, False, Gone()),
        (Known(PEER, 5.0), PEER, Reached.UNREACHABLE, True, Later.LATER),
    ],
)
def test_where_writes_are_fenced_the_end_of_a_lease_is_enough(
    known: Known, tried: Peer | None, reached: Reached, steady: bool, verdict: Peer | Gone | Later
) -> None:
    assert judge(known, tried, reached, steady, fenced=True) == verdict


def told(refusal: Refusal) -> tuple[int, str, str, int | None]:
    return refusal.code, refusal.scope, refusal.reason, refusal.received


def test_what_is_told_of_a_session_that_is_gone() -> None:
    proof, wrong = Proof(Key("key")), Proof(Key("other"))
    unknown = told(Gone().refusal(proof))
    assert unknown[:2] == (4404, "session")
    ended = Gone(Ended(1012, "the server restarts", 7, Key("key")))
    assert told(ended.refusal(proof)) == (1012, "session", "the server restarts", 7)
    assert told(ended.refusal(None)) == (1012, "session", "the server restarts", 7)
    assert told(ended.refusal(wrong)) == told(wrong.refusal())  # and nothing of the session
    keyless = Gone(Ended(3000, "bye", 0))
    assert told(keyless.refusal(None)) == (3000, "session", "bye", 0)
    assert told(keyless.refusal(proof)) == unknown  # a protocol with keys does not find sessions without one


def test_a_key_is_not_shown() -> None:
    assert "secret" not in repr(Ended(1000, "", 0, Key("secret")))


def test_neighbours_are_known_for_as_long_as_their_leases_run() -> None:
    neighbours = Neighbours(10.0, 2)
    assert neighbours.peer("wrkr", 0.0) is None
    assert neighbours.last("wrkr") is None
    neighbours.doubt("wrkr")
    neighbours.learn(PEER, 5.0, 8.0)
    assert neighbours.peer("wrkr", 12.9) == PEER
    assert neighbours.peer("wrkr", 13.0) is None
    assert neighbours.last("wrkr") == PEER


def test_one_that_was_not_reached_is_asked_about_again() -> None:
    neighbours = Neighbours(10.0, 2)
    neighbours.learn(PEER, 5.0, 10.0)
    neighbours.doubt("wrkr")
    assert neighbours.peer("wrkr", 6.0) is None
    assert neighbours.last("wrkr") == PEER
    neighbours.learn(AGAIN, 7.0, 10.0)
    assert neighbours.peer("wrkr", 8.0) == AGAIN


def test_so_many_neighbours_are_known() -> None:
    neighbours = Neighbours(10.0, 2)
    for number in range(3):
        neighbours.learn(PEER._replace(worker=f"w{number}"), 0.0, 10.0)
    assert [neighbours.last(f"w{number}") is None for number in range(3)] == [True, False, False]


def test_a_registration_runs_for_a_lease_from_when_it_was_asked_for() -> None:
    registration = Registration(10.0)
    assert not registration.runs(0.0)
    registration.renewed(5.0)
    registration.renewed(3.0)  # an older answer
    assert registration.runs(14.9)
    assert not registration.runs(15.0)
    registration.renewed(20.0)
    registration.lost()
    assert not registration.runs(21.0)
