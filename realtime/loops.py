"""Event loops: whose a session is, and what runs in one: tasks that begin in the next turn, however it makes tasks, and
what needs none unless it waits.

Knows no sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from asyncio import _get_running_loop as running_loop
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from threading import get_ident
from types import coroutine as by_generator
from typing import Any, ParamSpec, TypeVar

from .core.errors import LocalProtocolError

__all__ = [
    "AGAIN",
    "NOWHERE",
    "LoopBound",
    "Tasks",
    "at_once",
    "begin",
    "ends",
    "failure",
    "foreign",
    "gives_way",
    "run",
    "running_loop",
    "stop",
]

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

    def create_future(self) -> asyncio.Future[Any]:
        """Of the loop that runs now. Raises RuntimeError where none does."""
        return asyncio.get_running_loop().create_future()


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


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancels a task, and waits until it has ended, whatever it raises. Raises CancelledError where whoever waits is
    cancelled meanwhile: with that suppressed it would go on as if nobody had asked it to end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def ends(error: BaseException) -> bool:
    """Whether what has come out of an application's code is to end the task that runs it: what is no Exception is,
    but for the CancelledError of something that this code has waited for, where nobody has cancelled the task."""
    if not isinstance(error, asyncio.CancelledError):
        return not isinstance(error, Exception)
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def failure(task: asyncio.Task[Any]) -> BaseException | None:
    """What a task that has ended has raised, also where that is the CancelledError of something else; None where it has
    returned, or was cancelled."""
    try:
        return task.exception()
    except asyncio.CancelledError as error:
        return None if task.cancelling() else error


# What is kept up and has failed begins again after so many seconds.
AGAIN = 1.0


class Tasks:
    """Tasks that somebody has begun, and ends with end(). One that fails is told in the log: nobody waits for it."""

    def __init__(self, whose: str, log: logging.Logger) -> None:
        """`whose`: as their names and the log have it."""
        self._whose = whose
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        """Whether any runs."""
        return bool(self._tasks)

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begins one, in the next turn of the event loop."""
        task = begin(coroutine, f"realtime {self._whose}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def keep_up(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins what goes on until end(), and where it fails, which is told in the log, begins again a moment later:
        nobody else would notice that leases are renewed no more."""
        self.begin(self._keep_up(make))

    async def _keep_up(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await make()
            except BaseException as error:
                if ends(error):
                    raise
                self._log.exception("a task of the %s failed, and begins again", self._whose)
            await asyncio.sleep(AGAIN)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = failure(task)
        if error is not None:
            self._log.error("a task of the %s failed", self._whose, exc_info=error)

    async def ended(self) -> None:
        """Waits for those that run now. One that fails is no affair of whoever waits."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def end(self) -> None:
        """Cancels all, and waits until they have ended."""
        for task in tuple(self._tasks):
            task.cancel()
        await self.ended()


def at_once(coroutine: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Runs a coroutine here and now for as long as it does not wait, and returns what is left of it: None if that was
    all. What it raises by then is raised here.

    For our own coroutines that seldom wait for anything. It is in no task, so what asks for its task (asyncio.timeout,
    an application's code) needs one, see begin().
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return _rest(coroutine, waits_for)


@by_generator
def _rest(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that was begun, and waits."""
    with contextlib.suppress(StopIteration):
        while True:
            try:
                yield waits_for
            except BaseException as error:
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(None)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine of ours that has nothing to wait for in this case, and returns what it does. Raises RuntimeError
    if it waits all the same, and what it raises."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("what should have waited for nothing waits")


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
