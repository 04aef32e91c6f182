"""Who is present from here, and when leases may be judged."""

from __future__ import annotations

from realtime.core.attendance import Attendance, Standing


def test_members_come_say_something_new_and_go() -> None:
    attendance = Attendance()
    assert attendance.add("a", "ada", "{}")
    assert not attendance.add("a", "ada", "{}")
    assert attendance.add("a", "ada", '{"name":"Ada"}')
    assert attendance.add("a", "bob", "{}")
    assert attendance.members("a") == {"ada": '{"name":"Ada"}', "bob": "{}"}
    assert list(attendance.rooms()) == ["a"]
    assert attendance.remove("a", "ada")
    assert not attendance.remove("a", "ada")
    assert attendance.remove("a", "bob")
    assert not attendance.remove("a", "bob")
    assert (list(attendance.rooms()), attendance.members("a")) == ([], {})


def test_what_the_store_forgot_and_what_it_brought_back() -> None:
    attendance = Attendance()
    attendance.add("a", "ada", "1")
    attendance.add("a", "bob", "2")
    assert attendance.differences("a", ["bob", "eve"]) == ({"ada": "1"}, ["eve"])
    assert attendance.differences("a", ["bob", "ada"]) == ({}, [])
    assert attendance.differences("b", ["x", "w"]) == ({}, ["w", "x"])


def renewing(standing: Standing, since: float, until: float) -> None:
    """The lease is renewed as it has to be, at once."""
    while (since := since + 2.5) <= until:
        standing.renewed(since, since)


def test_nobody_is_judged_within_a_lease_of_a_return() -> None:
    standing = Standing(100.0, 10.0)
    renewing(standing, 100.0, 112.5)
    assert not standing.steady(109.9)
    assert standing.steady(110.0)
    standing.answered(111.0)
    assert standing.steady(111.0)
    standing.failed()
    renewing(standing, 112.5, 200.0)
    assert not standing.steady(200.0)
    standing.answered(200.0)
    renewing(standing, 200.0, 210.0)
    assert not standing.steady(209.9)
    assert standing.steady(210.0)
    standing.returned(220.0)
    renewing(standing, 210.0, 230.0)
    assert not standing.steady(229.0)
    assert standing.steady(230.0)


def test_for_how_long_the_store_has_been_answering() -> None:
    standing = Standing(100.0, 10.0)
    assert standing.answering(103.0) == 3.0
    standing.failed()
    assert standing.answering(104.0) == 0.0
    standing.answered(110.0)
    assert standing.answering(112.0) == 2.0
    standing.returned(115.0)
    assert standing.answering(116.0) == 1.0


def test_nobody_is_judged_who_may_have_been_kept_from_renewing() -> None:
    """The store stood still, and answers nobody for a while, but all in the end; or this worker itself did."""
    standing = Standing(100.0, 10.0)
    renewing(standing, 100.0, 120.0)
    assert standing.steady(125.0)
    assert not standing.steady(125.1)  # its own lease should have been renewed again by now
    standing.renewed(122.5, 128.0)  # it has waited for that
    renewing(standing, 125.5, 138.0)
    assert not standing.steady(137.9)
    assert standing.steady(138.0)
    standing.took(133.0, 138.0)
    assert standing.steady(138.0)
    standing.took(138.0, 143.1)
    renewing(standing, 137.5, 153.1)
    assert not standing.steady(153.0)
    assert standing.steady(153.1)
    standing.renewed(160.0, 160.0)  # it stood still
    renewing(standing, 160.0, 170.0)
    assert not standing.steady(169.9)
    assert standing.steady(170.0)
