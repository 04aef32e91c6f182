"""Handlers: what they take, how that is found out, and which is called."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from realtime.core.errors import EventError, LocalProtocolError
from realtime.events.listeners import Listener, Listeners


class Handlers:
    """Handlers that are no plain functions."""

    async def method(self, session: Any, text: str) -> None: ...

    async def __call__(self, session: Any, number: int = 1) -> None: ...


async def coroutine(session: Any, a: int, b: str = "x", *rest: bool) -> None: ...


def told(listener: Listener, *args: Any) -> str:
    """Why a handler does not take these."""
    with pytest.raises(EventError) as caught:
        listener.fit("e", list(args))
    assert caught.value.code == "arguments"
    return caught.value.message


def test_what_is_taken() -> None:
    listener = Listener("e", coroutine, 1, 1)
    assert listener.awaited
    assert listener.fit("e", [1.0]) == [1]
    assert listener.fit("e", [1, "a", True, False]) == [1, "a", True, False]
    assert told(listener) == "'e' takes at least 1 arguments, not 0"
    assert told(listener, "a") == "'e': argument 1 (a) is a whole number, not a str"
    assert told(listener, 1, 2) == "'e': argument 2 (b) is a str, not a number"
    assert told(listener, 1, "a", True, 1) == "'e': argument 4 is a bool, not a number"


def test_handlers_of_every_kind() -> None:
    handlers = Handlers()
    assert Listener("e", handlers.method, 1, 1).fit("e", ["a"]) == ["a"]
    assert told(Listener("e", handlers.method, 1, 1), 1).startswith("'e': argument 1 (text)")
    for function in (handlers, functools.partial(coroutine, b="y"), lambda session, a: a, print):
        listener = Listener("e", function, 1, 1)
        assert listener.fit("e", [1]) == [1]
        assert listener.awaited == (function is handlers or isinstance(function, functools.partial))

    inner = int

    def closure(session: Any, a: inner) -> object:  # type: ignore[valid-type]
        return inner

    assert told(Listener("e", closure, 1, 1), "a").endswith("a whole number, not a str")


def test_a_catch_all_is_given_the_event_too() -> None:
    listener = Listener("*", lambda session, event, a: None, 1, 1)
    assert (listener.catch_all, listener.least, listener.most) == (True, 1, 1)
    assert listener.fit("e", [5]) == [5]
    assert told(listener) == "'e' takes 1 argument, not 0"


def test_annotations_that_nothing_can_be_held_against() -> None:
    def unknown(session: Any, a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    def impossible(session: Any, a: complex) -> None: ...

    for function in (unknown, impossible):
        with pytest.raises(TypeError, match="parameter 'a'"):
            Listener("e", function, 1, 1)

    def of_the_session(session: Nowhere, a: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert Listener("e", of_the_session, 1, 1).fit("e", [1]) == [1]


def test_who_is_found() -> None:
    listeners = Listeners(1, {"connect": 1})
    assert listeners.find("a") is None
    listeners.add("a", lambda session: 1, 1)
    listeners.add("*", lambda session, event: 2, 1)
    listeners.add("connect", lambda session: 3, 1)
    assert [listeners.find(name).function(None, *more) for name, more in (("a", ()), ("b", ("b",)), ("*", ("*",)))] == [  # type: ignore[union-attr]
        1,
        2,
        2,
    ]
    assert listeners.told("connect").function(None) == 3  # type: ignore[union-attr]
    assert listeners.told("disconnect") is None
    assert "*" in listeners
    with pytest.raises(LocalProtocolError, match="already"):
        listeners.add("*", lambda session, event: 2, 1)
    for name in ("a", "*", "nobody"):
        listeners.remove(name)
    assert listeners.find("a") is None
