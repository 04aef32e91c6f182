"""Patterns of rooms: which names fit, and how long names are looked at that clients have chosen."""

from __future__ import annotations

import pytest

from realtime.brokers.rules import RoomRules


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("a", ["a"], ["", "aa", "b"]),
        ("*", ["", "a", "a\nb"], []),
        ("a*", ["a", "a\n"], ["ba"]),
        ("*a", ["a", "aba"], ["ab"]),
        ("ab*ba", ["abba", "ab\nba"], ["aba"]),
        ("a**b", ["ab", "aab"], ["a", "b"]),
        ("a/*/b/*/c", ["a//b//c", "a/b/b/b/b/c", "a/x/b/y/c"], ["a/b/c", "a/x/b/c", "a/x/b/y/c/d"]),
        ("*x*x*y", ["xxy", "axbxcxy"], ["xy", "xx"]),
        ("a.*", ["a.b"], ["ab"]),
    ],
)
def test_names_that_fit(pattern: str, fits: list[str], others: list[str]) -> None:
    rules = RoomRules()
    rules.add(pattern, 0, 60.0, True)
    assert [name for name in (*fits, *others) if rules.keep(name) is not None] == fits


def test_a_long_name_takes_as_long_as_it_is_and_is_not_kept() -> None:
    """It was looked at again from each place at which a part of the pattern stands: for years, where there are many."""
    rules = RoomRules()
    rules.add("*x*x*y", 0, 60.0, True)
    assert rules.keep("x" * 100_000) is None
    assert not rules._cache
