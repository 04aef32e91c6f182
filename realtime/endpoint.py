"""Endpoints: a path below the prefix, the coroutine that serves its sessions, and what it was set to."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from .core.config import Config
from .core.dialects import Dialect
from .core.settings import EndpointSettings, unknown, unknown_transport
from .protocols.dialects import RULES
from .session import Session
from .transports import TRANSPORTS

__all__ = ["ENDPOINT_SETTINGS", "Endpoint", "Handler", "check_coroutine", "configure"]

Handler: TypeAlias = Callable[[Session], Awaitable[object]]

ENDPOINT_SETTINGS = (*EndpointSettings.__annotations__, *RULES, "subprotocols")


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """A path below the prefix, and the coroutine that serves its sessions."""

    path: str
    handler: Handler
    config: Config
    dialects: tuple[Dialect, ...] = ()  # what it speaks beside the native protocol, each of another type


def configure(base: Config, settings: Mapping[str, object], owner: str, known: Sequence[str]) -> Config:
    """A Config with these settings in place of those of `base`. Raises TypeError and LocalProtocolError, which name the
    setting, and `owner`, whose settings are the `known`."""
    for name in settings:
        if name not in known:
            raise unknown(name, known, owner)
    config = dataclasses.replace(base, **settings)  # type: ignore[arg-type] # Config checks the types
    for name in config.transports:
        if name not in TRANSPORTS:
            raise unknown_transport(name, tuple(TRANSPORTS), "this server")
    return config


def check_coroutine(function: object, what: str) -> None:
    """Raises TypeError for a plain `def`: it would fail for each session anew, with words that do not help.

    Wrappers made with functools.wraps are known by what they wrap. What has no code of its own (an object that can be
    called) or cannot say (a lambda) is taken at its word.
    """
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    wrong = inspect.isfunction(function) or inspect.ismethod(function)
    if wrong and not inspect.iscoroutinefunction(function) and getattr(function, "__name__", "") != "<lambda>":
        name = getattr(function, "__name__", repr(function))
        kind = "an async generator" if inspect.isasyncgenfunction(function) else "a plain function"
        raise TypeError(f"{what} has to be a coroutine function, `async def {name}(…)`: this one is {kind}")
