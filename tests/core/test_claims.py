"""Claims, scene by scene; the schedules of tests/core/owners_model.py play them against everything else."""

from __future__ import annotations

from realtime.core.claims import Answer, Claim, Claims, Runs
from realtime.core.leases import Later

MINE, OTHERS = Claim("me.1", "d"), Claim("you.1", "d")
NAME = Claim("me.2", "")  # of what clients come by always


def make() -> Claims:
    return Claims("me", 40.0, 3)


def test_whose_a_claim_is() -> None:
    assert (MINE.worker, OTHERS.worker) == ("me", "you")


def test_a_name_is_claimed_and_begins() -> None:
    claims, told = make(), list[Answer]()
    assert claims.ask("a", told.append)
    assert told == []
    claims.answered("a", MINE)
    assert told == [MINE]
    assert claims.settled("a", MINE, 0.0) is None
    assert claims.begun(1.0) == [("a", MINE)]
    assert claims.lasting() == []


def test_opens_of_a_name_that_is_being_claimed_wait_for_the_same_answer() -> None:
    claims, told = make(), list[Answer]()
    assert claims.ask("a", told.append)
    assert not claims.ask("a", told.append)
    assert claims.begun(0.0) == []  # nothing has begun
    claims.answered("a", OTHERS)
    assert told == [OTHERS, OTHERS]
    assert len(claims) == 0
    assert claims.ask("a", told.append)
    claims.answered("a", Later.LATER)
    assert told == [OTHERS, OTHERS, Later.LATER]
    assert len(claims) == 0


def test_an_open_that_comes_before_the_session_has_begun_gets_the_same_claim() -> None:
    claims, told = make(), list[Answer]()
    claims.ask("a", told.append)
    claims.answered("a", MINE)
    assert not claims.ask("a", told.append)
    assert told == [MINE, MINE]


def test_a_name_is_given_back_when_nobody_has_begun_by_it() -> None:
    claims, told = make(), list[Answer]()
    claims.ask("a", told.append)
    claims.ask("a", told.append)
    claims.answered("a", MINE)
    assert claims.settled("a", None, 0.0) is None  # the other may begin yet
    assert claims.settled("a", None, 0.0) == MINE
    assert len(claims) == 0


def test_a_name_is_not_given_back_when_another_has_begun_by_it() -> None:
    for order in ((None, MINE), (MINE, None)):
        claims, told = make(), list[Answer]()
        claims.ask("a", told.append)
        claims.ask("a", told.append)
        claims.answered("a", MINE)
        assert [claims.settled("a", begun, 0.0) for begun in order] == [None, None]
        assert claims.begun(0.0) == [("a", MINE)]


def test_names_that_last() -> None:
    claims, told = make(), list[Answer]()
    claims.ask("a", told.append)
    claims.answered("a", NAME)
    claims.settled("a", NAME, 0.0)
    assert claims.lasting() == [("a", NAME)]
    assert claims.begun(1000.0) == [("a", NAME)]  # for as long as the session lives
    claims.ended("a", 1000.0)
    claims.ended("a", 1001.0)
    claims.ended("unknown", 1001.0)
    assert claims.lasting() == []
    assert claims.begun(1039.0) == [("a", NAME)]
    assert claims.begun(1040.0) == []


def test_what_is_forgotten() -> None:
    claims, told = make(), list[Answer]()
    for number in range(5):  # and no more than three are known
        claims.ask(f"a{number}", told.append)
        claims.answered(f"a{number}", Claim(f"me.{number}", "d"))
        claims.settled(f"a{number}", Claim(f"me.{number}", "d"), float(number))
    assert [name for name, _ in claims.begun(40.0)] == ["a2", "a3", "a4"]
    claims.forget(43.0)
    assert [name for name, _ in claims.begun(0.0)] == ["a4"]
    claims.forget(100.0)
    assert len(claims) == 0


def test_a_name_is_claimed_anew_once_its_session_is_forgotten() -> None:
    claims, told = make(), list[Answer]()
    claims.ask("a", told.append)
    claims.answered("a", NAME)
    claims.settled("a", NAME, 0.0)
    assert claims.ask("a", told.append)
    assert claims.begun(0.0) == []


# -- runs of the store -------------------------------------------------------------------------------------------------


def test_no_name_is_given_for_one_lease_from_when_a_run_was_met() -> None:
    runs = Runs(10.0)
    assert not runs.known("r")
    assert not runs.may_claim("r", 1e9)
    assert runs.wait(100.0) == 0.0
    runs.met("r", 4.0, 100.0)
    runs.met("older", 8.0, 100.0)
    assert runs.known("r")
    assert not runs.may_claim("r", 105.9)
    assert runs.wait(105.0) == 1.0
    assert runs.may_claim("r", 106.0)
    assert runs.wait(107.0) == 0.0
    assert not runs.may_claim("", 1e9)


def test_a_run_that_was_emptied_counts_anew() -> None:
    runs = Runs(10.0)
    runs.met("r", 1000.0, 100.0)
    assert runs.may_claim("r", 100.0)
    runs.met("r", 0.0, 100.0)
    assert not runs.may_claim("r", 109.0)
    runs.met("r", 1000.0, 101.0)  # an older answer
    assert not runs.may_claim("r", 109.0)


def test_runs_that_are_gone_are_forgotten() -> None:
    runs = Runs(10.0)
    runs.met("old", 100.0, 0.0)
    runs.met("new", 100.0, 0.0)
    runs.gone({"new"})
    assert (runs.known("old"), runs.known("new")) == (False, True)
