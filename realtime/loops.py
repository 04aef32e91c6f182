"""Event loops: whose a session is, and tasks that begin in the next turn of one, however it makes tasks.

Knows no sessions.
"""

from __future__ import annotations

import asyncio
import functools
from asyncio import _get_running_loop as running_loop
from collections.abc import Callable, Coroutine
from contextvars import Context
from threading import get_ident
from typing import Any, ParamSpec, TypeVar

from .core.errors import LocalProtocolError

__all__ = ["LoopBound", "begin", "foreign", "gives_way", "running_loop"]

P = ParamSpec("P")
T = TypeVar("T")


def foreign(what: str) -> LocalProtocolError:
    """What is raised, before anything has changed, when `what` is used outside its event loop. To be asked for where
    `running_loop()`, which is None where none runs, is not that loop."""
    return LocalProtocolError(
        f"{what} belongs to another event loop, and can't be used from this thread or loop: from elsewhere call"
        " asyncio.run_coroutine_threadsafe(session.send(message), loop), with the loop that its handler runs in, or"
        " loop.call_soon_threadsafe(session.send_nowait, message)"
    )


class Nowhere:
    """Stands for the event loop where none runs: somebody else drives the coroutines."""

    def is_running(self) -> bool:
        """Never, so that it is asked each time whether one runs now."""
        return False


NOWHERE = Nowhere()


class LoopBound:
    """What is used in the event loop alone that it was made in.

    Where each call counts, call _check_loop() only if `get_ident() != self._thread or not self._loop.is_running()`,
    which costs half as much as asking for the running loop.
    """

    __slots__ = ("_loop", "_thread")

    def __init__(self) -> None:
        self._loop = running_loop() or NOWHERE
        self._thread = get_ident()

    def _check_loop(self) -> None:
        """Raises LocalProtocolError in any other event loop, or thread."""
        if (running_loop() or NOWHERE) is not self._loop:
            raise foreign("this session")
        self._thread = get_ident()


def begin(coroutine: Coroutine[Any, Any, T], name: str, context: Context | None = None) -> asyncio.Task[T]:
    """A task that begins in the next turn of the running event loop.

    Task factories are passed by: an eager one (asyncio.eager_task_factory) would run it now, before whoever starts it
    has noted that it did, and before what it is for is ready.
    """
    return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), name=name, context=context)


def gives_way(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A method that lets others have their turn before it raises: whoever catches that, and tries again for ever, would
    stop the whole process."""

    @functools.wraps(method)
    async def giving_way(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except Exception:
            await asyncio.sleep(0)
            raise

    return giving_way
