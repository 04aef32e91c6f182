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


def test_nobody_is_judged_within_a_lease_of_a_return() -> None:
    standing = Standing(100.0, 10.0)
    assert not standing.steady(109.9)
    assert standing.steady(110.0)
    standing.answered(111.0)
    assert standing.steady(111.0)
    standing.failed()
    assert not standing.steady(200.0)
    standing.answered(200.0)
    assert not standing.steady(209.9)
    assert standing.steady(210.0)
    standing.returned(220.0)
    assert not standing.steady(229.0)
    assert standing.steady(230.0)
