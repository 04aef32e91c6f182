"""Who listens to which event, and with which arguments.

A handler is a function, which is called at once, or a coroutine function. What it takes is looked at when it is
registered, so that an event with other arguments is an error of whoever has sent it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..core.errors import LocalProtocolError
from ..core.settings import check, whole
from ..protocols.layers.socketio.packets import RESERVED

__all__ = ["ALL", "Listener", "Listeners"]

# What a catch-all is registered by.
ALL = "*"
MANY = float("inf")
_CONCURRENT = whole(1)


class Listener:
    """A handler of an event, and how it is called. `lead`: how many arguments come before those of the event."""

    __slots__ = ("awaited", "concurrent", "function", "least", "most")

    def __init__(self, function: Callable[..., Any], lead: int, concurrent: int) -> None:
        self.function = function
        self.awaited: bool = _is_coroutine_function(function)
        self.concurrent = concurrent  # so many may run for one client at a time; 1: nothing else runs meanwhile
        self.least, self.most = _arity(function, lead)  # of the arguments of the event

    def misfit(self, count: int) -> str:
        """Why so many arguments are not what it takes; empty when they are."""
        if self.least <= count <= self.most:
            return ""
        takes = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        if self.most == MANY:
            takes = f"at least {self.least}"
        return f"takes {takes} argument{'' if takes == '1' else 's'}, not {count}"


def _is_coroutine_function(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _arity(function: Callable[..., Any], lead: int) -> tuple[int, float]:
    """How many arguments a function takes behind the first `lead`, at least and at most."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # it cannot say
        return 0, MANY
    least, most = 0, 0.0
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
        elif parameter.kind is parameter.VAR_POSITIONAL:
            most = MANY
    if most < lead:
        raise TypeError(f"a handler takes {lead} argument{'' if lead == 1 else 's'} at least: {function!r} takes less")
    return max(0, least - lead), most if most == MANY else int(most) - lead


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
        if not isinstance(event, str):
            raise TypeError(f"@on takes the name of an event, not {type(event).__name__}")
        if not callable(function):
            raise TypeError(f"the handler of {event!r} is a function, not {type(function).__name__}")
        check("concurrent", concurrent, _CONCURRENT)
        if event in RESERVED and event not in self._told:
            raise LocalProtocolError(f"no event {event!r} can come: use {', '.join(map(repr, self._told))}")
        if event in self:
            raise LocalProtocolError(f"there is a handler of {event!r} already")
        listener = Listener(function, self._lead + (event == ALL), concurrent)
        if event in self._told and listener.least > self._told[event]:
            raise TypeError(f"the handler of {event!r} gets {self._lead + self._told[event]} arguments at most")
        if concurrent > 1 and (event in self._told or not listener.awaited):
            raise LocalProtocolError(f"concurrent={concurrent}: is for coroutine functions that handle events of peers")
        if event == ALL:
            self._catch_all = listener
        else:
            self._by_event[event] = listener

    def remove(self, event: str) -> None:
        """Nobody listens to it any more. Harmless where nobody did."""
        if event == ALL:
            self._catch_all = None
        else:
            self._by_event.pop(event, None)

    def __contains__(self, event: str) -> bool:
        return self._catch_all is not None if event == ALL else event in self._by_event

    def told(self, event: str) -> Listener | None:
        """The handler of what is told by this end, such as "connect"."""
        return self._by_event.get(event)

    def find(self, event: str, args: list[Any]) -> tuple[Listener, list[Any]] | None:
        """Who handles an event of a peer, and with which arguments behind the lead. None: nobody does."""
        listener = self._by_event.get(event)
        if listener is not None:
            return listener, args
        return None if self._catch_all is None else (self._catch_all, [event, *args])
