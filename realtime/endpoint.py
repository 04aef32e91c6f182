"""Endpoints: a path below the prefix, the coroutine that serves its sessions, and what it was set to."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any, TypeAlias

from .core.config import Config
from .core.dialects import Dialect
from .core.errors import LocalProtocolError, Refusal
from .core.settings import EndpointSettings, unknown, unknown_transport
from .protocols.dialects import RULES
from .session import Session
from .transports import ALL_TRANSPORTS

__all__ = [
    "ENDPOINT_SETTINGS",
    "Endpoint",
    "Handler",
    "check_coroutine",
    "check_reachable",
    "check_takes",
    "configure",
    "no_endpoint",
    "stand_in",
]

Handler: TypeAlias = Callable[[Session], Awaitable[object]]

ENDPOINT_SETTINGS = (*EndpointSettings.__annotations__, *RULES, "subprotocols", "durable")
_UNREACHABLE = re.compile(r"[?#%\x00-\x1f\x7f\ud800-\udfff]|/\.\.?(?:/|$)")


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """A path below the prefix, and the coroutine that serves its sessions."""

    path: str
    handler: Handler
    config: Config
    dialects: tuple[Dialect, ...] = ()  # what it speaks beside the native protocol, each of another type
    durable: bool = False  # its native clients' sessions outlive this process
    absent: bool = False  # it stands for one that this worker has not, and another may have: nothing opens at it


def no_endpoint(path: str) -> Refusal:
    """What is told to who asks for an endpoint that is not there."""
    return Refusal(4406, f"there is no endpoint {path}: is that the path given to @rt.endpoint()?")


async def _nothing(session: Session) -> None:
    """In the place of a handler."""


def stand_in(path: str, config: Config) -> Endpoint:
    """Of an endpoint that is not at this worker."""
    return Endpoint(path, _nothing, config, absent=True)


def check_reachable(path: str) -> None:
    """Raises LocalProtocolError for a path that no request can have, decoded, and behind what clients do to dots."""
    if _UNREACHABLE.search(path):
        raise LocalProtocolError(
            f'no URL leads to an endpoint at {path!r}: a path is written as it is read, such as "/a b" and not'
            ' "/a%20b", and has no "?", "#", "%" or control characters, and no part "." or ".."'
        )


def configure(base: Config, settings: Mapping[str, object], owner: str, known: Sequence[str]) -> Config:
    """A Config with these settings in place of those of `base`. Raises TypeError and LocalProtocolError, which name the
    setting, and `owner`, whose settings are the `known`."""
    for name in settings:
        if name not in known:
            raise unknown(name, known, owner)
    config = dataclasses.replace(base, **settings)  # type: ignore[arg-type] # Config checks the types
    for name in config.transports:
        if name not in ALL_TRANSPORTS:
            raise unknown_transport(name, tuple(ALL_TRANSPORTS), "this server")
    return config


def check_takes(function: Callable[..., object], what: str, *given: str) -> None:
    """Raises TypeError for a function that cannot be called with what it is `given`, one argument each. A wrapper is
    known by its own arguments; what is no plain function, or says that it takes others than it does, is taken at its
    word."""
    if not isinstance(function, (FunctionType, MethodType, functools.partial)) or hasattr(function, "__signature__"):
        return
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        takes = ", ".join(str(one.replace(annotation=one.empty)) for one in signature.parameters.values())
        mine = f"{getattr(function, '__name__', '__call__')}({takes})"
        raise TypeError(
            f"{what} is given {', '.join(given)}, and nothing else: {mine} does not fit ({error})"
        ) from None


def check_coroutine(function: object, what: str) -> None:
    """Raises TypeError for what is no coroutine function, such as a plain `def`: it would fail for each session anew,
    with words that do not help.

    Wrappers made with functools.wraps are known by what they wrap; an object that can be called by its __call__. What
    has no Python code of its own, or cannot say (a lambda), is taken at its word.
    """
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    wrong = _no_coroutine_function(function)
    if wrong is not None:
        name = getattr(function, "__name__", "__call__")
        raise TypeError(f"{what} has to be a coroutine function, `async def {name}(…)`: this one is {wrong}")


def _no_coroutine_function(function: object) -> str | None:
    """What this is instead of a coroutine function; None for one, or for what cannot be told from one."""
    if inspect.iscoroutine(function):
        return "a coroutine already: leave out the call behind its name"
    if not callable(function):
        return f"{_article(function)}, which cannot be called"
    if inspect.isclass(function):
        # Awaitable objects may be made by a class; no other class gives anything to await.
        return None if hasattr(function, "__await__") else "a class: give an object of it, which has an async __call__"
    its_own = isinstance(function, (FunctionType, MethodType))
    code: Any = function if its_own else type(function).__call__
    if not isinstance(code, (FunctionType, MethodType)) or _says_coroutine(function) or _says_coroutine(code):
        return None
    if its_own and getattr(function, "__name__", "") == "<lambda>":
        return None
    kind = "an async generator (it has a yield)" if inspect.isasyncgenfunction(code) else "a plain function"
    return kind if its_own else f"{_article(function)}, whose __call__ is {kind}"


def _says_coroutine(function: object) -> bool:
    """Whether calling it gives a coroutine, by what it says: marked (inspect.markcoroutinefunction), or by its code,
    which objects that stand in for a function show, too."""
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return inspect.iscoroutinefunction(function) or bool(flags & inspect.CO_COROUTINE)


def _article(thing: object) -> str:
    return f"an object of {type(thing).__name__}"
