"""The handlers of a server's sessions: one task each, from the open until the coroutine returns or is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from .clock import Clock
from .core.errors import SessionClosed, Unauthorized, leaves_of
from .core.observer import Result
from .endpoint import Handler
from .loops import begin
from .session import Session

__all__ = ["Absent", "Handlers"]

log: logging.Logger = logging.getLogger("realtime.server")
session_log: logging.Logger = logging.getLogger("realtime.session")


class Absent(Protocol):
    """Clients whose session has ended, and who may go on in another."""

    def end(self, code: int, identity: str | None) -> None:
        """They may not any more: all of them, or all of an identity."""

    def has(self, pid: str) -> bool:
        """Whether one of them may go on by this."""

    def reset(self) -> None:
        """Forgets them, with the event loop that they were here in."""


class Handlers:
    """Runs them. `done` is told the session, how many seconds its handler took, and how that ended.

    A handler's coroutine is the task's own, with none of ours around it: every idle session has one.
    """

    def __init__(self, clock: Clock, done: Callable[[Session, float, Result], object]) -> None:
        self.tasks: dict[Session, asyncio.Task[None]] = {}
        self._clock = clock
        self._done = done
        self._sessions: dict[asyncio.Task[None], Session] = {}
        self.absent: list[Absent] = []  # whose handlers are told later that they are gone
        self._beside: set[asyncio.Task[None]] = set()  # what handlers are told when their session is over long since
        self._when_over = self._over  # one object for all

    def start(self, session: Session, handler: Handler) -> None:
        """Starts a new session's handler, which runs in the next turn of the event loop and may look at the HTTP
        request until it first waits."""
        hide = session.request._show_http()
        context = contextvars.copy_context()
        task = begin(_coroutine(handler, session), f"realtime handler {session._path}", context)
        self.tasks[session] = task
        session._handled_since = self._clock.now()
        self._sessions[task] = session
        task.add_done_callback(self._when_over, context=context)
        task.get_loop().call_soon(hide)  # comes when the handler first waits

    def _over(self, task: asyncio.Task[None]) -> None:
        """A handler has ended, one way or other."""
        session = self._sessions.pop(task, None)
        error = None if task.cancelled() else task.exception()  # asked, or asyncio would say that nobody has
        if session is None:
            return  # it was forgotten with its event loop
        machine, result = session._machine, Result.RETURNED
        if task.cancelled():
            result = Result.CANCELLED
            machine.close(1011, "the handler was cancelled", self._clock.now())
        elif isinstance(error, Exception):
            result = self._raised(session, error)
        machine.close(1000, "", self._clock.now())
        self._done(session, self._clock.now() - session._handled_since, result)
        session._stubborn = False
        del self.tasks[session]

    def _raised(self, session: Session, error: Exception) -> Result:
        """A handler has raised. Groups, which asyncio.TaskGroup raises, are what is in them."""
        machine, now = session._machine, self._clock.now()
        # The end of its own session is nothing to report.
        over = session.closed or machine.closing is not None
        rest: BaseException | None = error
        if over and isinstance(error, BaseExceptionGroup):
            rest = error.split(SessionClosed)[1]
        elif over and isinstance(error, SessionClosed):
            rest = None
        if rest is None:
            return Result.RETURNED
        leaves = leaves_of(rest)
        refusals = [leaf for leaf in leaves if isinstance(leaf, Unauthorized)]
        if refusals and all(isinstance(leaf, (Unauthorized, SessionClosed)) for leaf in leaves):
            machine.close(refusals[0].code, refusals[0].reason, now)
            return Result.RETURNED
        session_log.error("the handler of session %s raised", session.label, exc_info=rest)
        machine.close(1011, "the handler failed", now)
        return Result.RAISED

    def beside(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Starts what belongs to no session any more, and is waited for at the end like a handler."""
        task = begin(coroutine, name)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    def ended(self, session: Session) -> None:
        """The session is over: its handler has close_timeout to notice."""
        task = self.tasks.get(session)
        if task is not None:
            when = self._clock.now() + session._machine.config.close_timeout
            patience = self._clock.call_at(when, lambda: self._late(session, task))
            task.add_done_callback(lambda _: patience.cancel())

    def _late(self, session: Session, task: asyncio.Task[None]) -> None:
        """A handler has not noticed the end in time. One that catches this, too, gets an answer from its session only
        once in a while from here on."""
        session._stubborn = True
        task.cancel()

    def has(self, pid: str) -> bool:
        """Whether anybody may go on here by this."""
        return any(absent.has(pid) for absent in self.absent)

    def end_absent(self, code: int, identity: str | None = None) -> None:
        """Nobody may go on any more whose session has ended; or nobody of an identity."""
        for absent in self.absent:
            absent.end(code, identity)

    async def stop(self, timeout: float) -> None:
        """Waits for all handlers but the caller, for `timeout` seconds, and cancels the late; one that goes on
        regardless is left behind after as many again."""
        self.end_absent(1001)
        tasks = {*self.tasks.values(), *self._beside} - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for _ in range(2):  # a handler may catch the first
                for task in late:
                    task.cancel()
                if late:
                    _, late = await asyncio.wait(late, timeout=timeout / 2)
            for task in late:
                log.warning("%s ignores cancellation and is left behind", task.get_name())

    def reset(self) -> None:
        """Begins anew, in another event loop: what an earlier one has left behind will never run."""
        self.tasks = {}
        self._sessions = {}
        self._beside = set()
        for absent in self.absent:
            absent.reset()


def _coroutine(handler: Handler, session: Session) -> Coroutine[Any, Any, None]:
    """What the handler's task runs. A handler that cannot even be called fails there, as others do."""
    try:
        made: Any = handler(session)
    except Exception as error:
        return _fail(error)
    return made if asyncio.iscoroutine(made) else _await(made)


async def _fail(error: Exception) -> None:
    raise error


async def _await(awaitable: Awaitable[None]) -> None:
    await awaitable
