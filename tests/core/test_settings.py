"""What settings take, and what is said of others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from realtime.core.errors import LocalProtocolError
from realtime.core.settings import (
    Rule,
    check,
    clock,
    flag,
    having_all,
    instance,
    names,
    number,
    one_of,
    pair,
    shown,
    text,
    texts,
    unknown,
    unknown_transport,
    whole,
)


class Ticking:
    """What could tell the time."""

    now = call_at = None


INF, NAN = float("inf"), float("nan")

RULES: list[tuple[Rule, list[Any], list[Any], list[Any]]] = [
    # a rule, what it takes, what is out of bounds, what has the wrong type
    (whole(3), [3, 10**9], [2, -1], [True, 3.0, "3", None]),
    (number(), [0, 0.5, 10**9], [-0.1, INF, NAN, -INF], [False, "1", None, 1j]),
    (number(0, above=True), [0.001, 1], [0, INF, NAN], ["1 s"]),
    (number(0.001, 86_400), [0.001, 86_400], [0, 86_401, NAN], [None]),
    (number().or_none("no limit"), [None, 1], [-1], ["none", True]),
    (
        pair(0, 45, above=True),
        [(1, 1), [0.1, 45]],
        [(0, 1), (2, 1), (1, 46), (1, NAN)],
        [(1,), 1, "12", (1, "2"), {1, 2}],
    ),
    (one_of("wait", "close"), ["wait"], ["Wait", ""], [None, 1]),
    (instance("a path or bytes", str, bytes).or_none("none"), ["/a", b"a", None], [], [1]),
    (clock(), [Ticking(), None], [], ["now", 12.0]),
    (flag(), [True, False], [], [0, 1, None, "yes"]),
    (names("names"), [("a",), ["a", "b"]], [(), ("a", "a"), ("",)], ["a", None, ("a", 1), {"a"}, b"a"]),
    (names("names", some=False), [(), ("a",)], [["a", "a"]], [None]),
    (text("text"), ["", "a"], [], [b"a", None]),
    (text("digits", re.compile("[0-9]+")), ["1"], ["", "1a"], [1]),
]


@pytest.mark.parametrize(
    ("rule", "right", "out_of_bounds", "wrong_type"), RULES, ids=[rule.takes for rule, *_ in RULES]
)
def test_a_rule(rule: Rule, right: list[Any], out_of_bounds: list[Any], wrong_type: list[Any]) -> None:
    for value in right:
        check("it", value, rule)
    for value in out_of_bounds:
        with pytest.raises(LocalProtocolError, match=f"^it={re.escape(repr(value))}: takes {re.escape(rule.takes)}$"):
            check("it", value, rule)
    for value in wrong_type:
        kind = "None" if value is None else type(value).__name__
        expected = f"^it={re.escape(repr(value))}: takes {re.escape(rule.takes)}, not {kind}$"
        with pytest.raises(TypeError, match=expected):
            check("it", value, rule)


def test_an_error_shows_the_beginning_of_a_long_value() -> None:
    assert shown("a" * 78) == f"'{'a' * 78}'"
    assert shown("a" * 1000) == f"'{'a' * 79}…"


def test_an_error_names_the_type_of_what_cannot_be_shown() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(TypeError, match=r"^it=<Mute>: takes "):
        check("it", Mute(), number())
    with pytest.raises(LocalProtocolError, match=r"^it=<int>: takes "):
        check("it", 10**5000, number())  # above all floats, and too long for Python to write


def test_a_number_is_within_what_floats_can_say() -> None:
    with pytest.raises(LocalProtocolError, match=r"^it=10+…: takes "):
        check("it", 10**309, number())


@pytest.mark.parametrize("error", [unknown, unknown_transport])
def test_an_unknown_name_is_told_the_nearest_and_all(error: Callable[..., Exception]) -> None:
    known = ("websocket", "polling")
    said = str(error("websockets", known, "this server"))
    assert "this server" in said
    assert "'websockets'; did you mean 'websocket'?" in said
    assert said.endswith("websocket, polling.")
    said = str(error("smoke", known, "this server"))
    assert "did you mean" not in said
    assert "'smoke'. It" in said


def test_what_has_all_methods_of_a_protocol() -> None:
    class Both(Protocol):
        def one(self) -> None: ...
        def two(self) -> None: ...

    class Full:
        def one(self) -> None: ...
        def two(self) -> None: ...

    class Half:
        two = 2

        def one(self) -> None: ...

    rule = having_all(Both, "an object with both")
    check("what", Full(), rule)
    for wrong in (Full, Half(), None):
        with pytest.raises(TypeError, match=r"what=.*: takes an object with both, not "):
            check("what", wrong, rule)


def test_names_and_their_values_are_text() -> None:
    rule = texts().or_none("none")
    for right in ({}, {"a": "b"}, None):
        check("headers", right, rule)
    for wrong in ("a", ["a"], {"a": 1}, {1: "a"}):
        with pytest.raises(TypeError, match="takes a mapping of names to values, both text, or None for none, not "):
            check("headers", wrong, rule)
