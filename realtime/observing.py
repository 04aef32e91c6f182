"""Observers of the application's: what one of them raises is logged, and goes no further. Sessions are opened and ended
in one go, and one of which only a half was done would stay for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec

from .core.observer import Observer

__all__ = ["Guarded"]

log: logging.Logger = logging.getLogger("realtime.server")

P = ParamSpec("P")


class Guarded:
    """An Observer that tells another one, and never raises. It equals others that tell the same."""

    __slots__ = ("_observer", "attached", "ended", "flushed", "handled", "opened", "refused")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.opened = guarded(observer.opened)
        self.attached = guarded(observer.attached)
        self.ended = guarded(observer.ended)
        self.refused = guarded(observer.refused)
        self.flushed = guarded(observer.flushed)
        self.handled = guarded(observer.handled)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Guarded) and other._observer is self._observer

    def __hash__(self) -> int:
        return id(self._observer)


def guarded(tell: Callable[P, object]) -> Callable[P, None]:
    """The same, whose exceptions are logged."""

    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            tell(*args, **kwargs)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:  # such as the CancelledError of a future that it has looked at
            log.exception("an observer raised, which it never should")

    return told
