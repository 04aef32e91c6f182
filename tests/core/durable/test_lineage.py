"""Whether a client is ahead of the store, scene by scene."""

from __future__ import annotations

import pytest

from realtime.core.durable.lineage import Answer, Follower, Shown, Verdict, judge, successor
from realtime.core.durable.record import Tenure

TENURES = (Tenure("t1"), Tenure("t2", 4, 3, 2), Tenure("t3", 6, 5, 5))
NOW = Tenure("t3", 9, 8, 8)


def test_who_followed_whom() -> None:
    assert successor(TENURES, "t1") == TENURES[1]
    assert successor(TENURES, "t2") == TENURES[2]
    assert successor(TENURES, "t3") is None


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        (Shown("", 0, 0, 1, 1), Verdict.SUPERSEDED),
        (Shown("forgotten", 99, 0, 99, 1), Verdict.SUPERSEDED),  # it is not judged
        (Shown("", 0, 0, 1, 2), Verdict.FINE),  # an open
        (Shown("t3", 9, 0, 9, 2), Verdict.FINE),
        (Shown("t3", 10, 0, 9, 3), Verdict.AHEAD),
        (Shown("t1", 4, 0, 4, 3), Verdict.FINE),
        (Shown("t1", 5, 0, 4, 3), Verdict.AHEAD),  # although the present owner has given more numbers
        (Shown("t1", 4, 0, 5, 3), Verdict.AHEAD),
        (Shown("t2", 6, 0, 6, 3), Verdict.FINE),
        (Shown("lost", 0, 0, 1, 3), Verdict.AHEAD),
        (Shown("lost", 0, 0, 1), Verdict.LATER),  # a send
        (Shown("t2", 6, 0, 6), Verdict.FINE),
        (Shown("t2", 7, 0, 6), Verdict.AHEAD),
    ],
)
def test_a_request_is_judged_by_what_followed_the_owner_that_it_names(shown: Shown, verdict: Verdict) -> None:
    assert judge(TENURES, NOW, 2, shown) is verdict


def follower(tenure: str) -> Follower:
    made = Follower()
    made.tenure = tenure
    return made


def test_the_first_answer_names_the_owner() -> None:
    client = Follower()
    assert client.attached("", "t1", None, 0, 0, 0) is Answer.CHANGED
    assert client.tenure == "t1"
    assert client.attached("t1", "t1", None, 3, 3, 3) is Answer.SAME
    assert client.attached("", "t1", None, 3, 3, 3) is Answer.SAME  # a race


@pytest.mark.parametrize(
    ("numbers", "answer"),
    [((4, 3, 2), Answer.CHANGED), ((5, 3, 2), Answer.AHEAD), ((4, 4, 2), Answer.AHEAD), ((4, 3, 3), Answer.AHEAD)],
)
def test_what_came_meanwhile_may_be_ahead(numbers: tuple[int, int, int], answer: Answer) -> None:
    client = follower("t1")
    assert client.attached("t1", "t2", TENURES[1], *numbers) is answer
    assert client.tenure == ("t2" if answer is Answer.CHANGED else "t1")


def test_an_owner_that_knows_nothing_of_the_one_before_is_behind() -> None:
    assert follower("t1").attached("t1", "t2", None, 0, 0, 0) is Answer.AHEAD


def test_an_answer_to_what_was_named_before_does_not_count() -> None:
    client = follower("t2")
    assert client.attached("t1", "t3", TENURES[1], 0, 0, 0) is Answer.STALE
    assert client.tenure == "t2"


def test_the_answer_to_a_send_counts_from_the_owner_that_was_attached_to() -> None:
    client = follower("t2")
    assert client.answered("t2", "t2") is Answer.SAME
    assert client.answered("t2", "t3") is Answer.STALE
    assert client.answered("t1", "t2") is Answer.STALE
    assert [client.has_moved(*one) for one in (("t2", "t3"), ("t2", "t2"), ("t1", "t3"))] == [True, False, False]
