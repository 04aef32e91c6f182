"""What a namespace sends, where the application says so: for the types of pages, and of the application itself."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias

from ..core.errors import LocalProtocolError
from ..events.listeners import ALL
from ..protocols.layers.socketio.packets import check_event

__all__ = ["Emission", "Emitted", "maker"]

P = ParamSpec("P")

# The name of an event, and its arguments.
Emission: TypeAlias = "tuple[str, *tuple[Any, ...]]"
# What was declared, by the names of the events.
Emitted: TypeAlias = dict[str, Callable[..., object]]

_NAMED = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)


def maker(emitted: Emitted, event: str, function: Callable[P, object]) -> Callable[P, Emission]:
    """Notes down an event as it is declared; returns what makes one of its arguments.

    Raises LocalProtocolError for an event that is declared already, or that nobody can send, and TypeError for what is
    no declaration.
    """
    if not callable(function):
        raise TypeError(f"the event {event!r} is declared by a function, not {type(function).__name__}")
    check_event(event)
    if event == ALL:
        raise LocalProtocolError(f"{ALL!r} listens to all events, and is none")
    if event in emitted:
        raise LocalProtocolError(f"the event {event!r} is declared already")
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.kind in _NAMED:
            raise TypeError(f"the arguments of an event have no names: {event!r} can't have {str(parameter)!r}")
    emitted[event] = function

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Emission:
        bound = signature.bind(*args, **kwargs)
        if bound.kwargs:  # one of these stands behind one that was left out
            bound.apply_defaults()
        return event, *bound.args

    return make
