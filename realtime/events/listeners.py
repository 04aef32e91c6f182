"""Who listens to which event, and with which arguments.

A handler is a function, which is called at once, or a coroutine function. What it takes is looked at when it is
registered, its annotations included, so that an event with other arguments is an error of whoever has sent it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from ..core.errors import EventError, LocalProtocolError
from ..core.settings import check, whole
from ..protocols.layers.socketio.answers import WRONG
from ..protocols.layers.socketio.packets import RESERVED
from .annotations import SHOWN, Check, Misfit, check_of, exact_of, resolved

__all__ = ["ALL", "Listener", "Listeners", "check_named", "parameters"]

# What a catch-all is registered by.
ALL = "*"
MANY = float("inf")
_CONCURRENT = whole(1)


def check_named(event: object, method: str) -> None:
    """Raises TypeError for what names no event, such as the function under a decorator that was not called."""
    if not isinstance(event, str):
        called = " (it has to be called)" if callable(event) else f", not {type(event).__name__}"
        raise TypeError(f'{method}() takes the name of an event: {method}("message"){called}')


class Listener:
    """A handler of an event, and how it is called. `lead`: how many arguments come before its own."""

    __slots__ = (
        "_checks",
        "_lead",
        "_rest",
        "awaited",
        "catch_all",
        "concurrent",
        "function",
        "least",
        "most",
    )

    def __init__(self, event: str, function: Callable[..., Any], lead: int, concurrent: int) -> None:
        self.function = function
        self.catch_all: bool = event == ALL
        self.awaited: bool = _is_coroutine_function(function)
        self.concurrent = concurrent  # so many may run for one client at a time; 1: nothing else runs meanwhile
        lead += self.catch_all
        self._lead = lead
        named, rest = parameters(function)
        if len(named) < lead and rest is None:
            raise TypeError(
                f"a handler takes {lead} argument{'' if lead == 1 else 's'} at least: {function!r} takes less"
            )
        required = [parameter for parameter in named if parameter.default is parameter.empty]
        named = named[lead:]
        self.least: int = max(0, len(required) - lead)
        self.most: float = len(named) if rest is None else MANY
        # Of each argument: of which type it fits as it is, how it is checked, and what it is called where it does not.
        self._checks = [
            (exact_of(check := _check(parameter, function)), check, f"argument {number} ({parameter.name})")
            for number, parameter in enumerate(named, 1)
        ]
        self._rest = None if rest is None else _check(rest, function)

    def parameters(self) -> tuple[list[inspect.Parameter], inspect.Parameter | None]:
        """Those for the event's own arguments, and the one for all further ones, if it has one."""
        named, rest = parameters(self.function)
        return named[self._lead :], rest

    def fit(self, event: str, args: list[Any]) -> list[Any]:
        """The arguments as the handler takes them. Raises EventError for others."""
        if not self.least <= len(args) <= self.most:
            takes = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
            if self.most == MANY:
                takes = f"at least {self.least}"
            words = f"takes {takes} argument{'' if takes == '1' else 's'}, not {len(args)}"
            raise EventError(f"{event[:SHOWN]!r} {words}", code=WRONG)
        fitted = args[:]
        try:
            for index, (value, (exact, check, where)) in enumerate(zip(args, self._checks, strict=False)):
                if type(value) is not exact and check is not None:
                    fitted[index] = check(value, where)
            if self._rest is not None:
                for index in range(len(self._checks), len(args)):
                    fitted[index] = self._rest(args[index], f"argument {index + 1}")
        except Misfit as misfit:
            raise EventError(f"{event[:SHOWN]!r}: {misfit}", code=WRONG) from None
        return fitted


def _is_coroutine_function(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def parameters(function: Callable[..., Any]) -> tuple[list[inspect.Parameter], inspect.Parameter | None]:
    """The positional parameters of a function, and the one for all others, if it has one."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # it cannot say
        return [], inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rest = next((one for one in parameters if one.kind is inspect.Parameter.VAR_POSITIONAL), None)
    return [one for one in parameters if one.kind in kinds], rest


def _check(parameter: inspect.Parameter, function: Callable[..., Any]) -> Check:
    """How an argument is checked. Raises TypeError for an annotation that says nothing about what can come."""
    if parameter.annotation is parameter.empty:
        return None
    try:
        return check_of(resolved(parameter.annotation, function))
    except Exception as error:
        raise TypeError(
            f"the parameter {parameter.name!r} of {function!r} is annotated with {parameter.annotation!r}, which no"
            f" argument can be held against: {error}"
        ) from None


class Listeners:
    """Handlers by their events. `lead`: how many arguments each gets in front of those of the event; a catch-all gets
    the name of the event behind these. `told`: the events that no peer sends, which a handler may be registered for,
    each with how many arguments it has at most."""

    def __init__(self, lead: int, told: dict[str, int]) -> None:
        self._lead = lead
        self._told = told
        self._by_event: dict[str, Listener] = {}
        self._catch_all: Listener | None = None

    def add(self, event: str, function: Callable[..., Any], concurrent: int) -> None:
        """Registers a handler. Raises LocalProtocolError for an event that has one, or cannot have one, and TypeError
        for what is no handler."""
        if not callable(function):
            raise TypeError(f"the handler of {event!r} is a function, not {type(function).__name__}")
        check("concurrent", concurrent, _CONCURRENT)
        if event in RESERVED and event not in self._told:
            raise LocalProtocolError(f"no event {event!r} can come: use {', '.join(map(repr, self._told))}")
        if event in self:
            raise LocalProtocolError(f"there is a handler of {event!r} already")
        listener = Listener(event, function, self._lead, concurrent)
        if event in self._told and listener.least > self._told[event]:
            raise TypeError(f"the handler of {event!r} gets {self._lead + self._told[event]} arguments at most")
        if concurrent > 1 and (event in self._told or not listener.awaited):
            raise LocalProtocolError(f"concurrent={concurrent}: is for coroutine functions that handle events of peers")
        if event == ALL:
            self._catch_all = listener
        else:
            self._by_event[event] = listener

    def remove(self, event: str) -> None:
        """Nobody listens to it any more. Harmless where nobody did. Raises TypeError for what names no event."""
        check_named(event, "off")
        if event == ALL:
            self._catch_all = None
        else:
            self._by_event.pop(event, None)

    def __contains__(self, event: str) -> bool:
        return self._catch_all is not None if event == ALL else event in self._by_event

    def __iter__(self) -> Iterator[tuple[str, Listener]]:
        """Each event with its handler, in the order in which they were registered; the catch-all is the last."""
        yield from self._by_event.items()
        if self._catch_all is not None:
            yield ALL, self._catch_all

    def told(self, event: str) -> Listener | None:
        """The handler of what is told by this end, such as "connect"."""
        return self._by_event.get(event)

    def find(self, event: str) -> Listener | None:
        """Who handles an event of a peer."""
        return self._by_event.get(event, self._catch_all)
