"""The handlers of a server's sessions: one task each, from the open until the coroutine returns or is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from itertools import takewhile
from types import CoroutineType
from typing import Any, Protocol

from .clock import Clock, Timer
from .core.errors import BrokerError, SessionClosed, Unauthorized, leaves_of
from .core.observer import Result
from .endpoint import Handler
from .loops import begin, failure
from .request import SessionRequest
from .session import Session

__all__ = ["Absent", "Handlers"]

log: logging.Logger = logging.getLogger("realtime.server")
session_log: logging.Logger = logging.getLogger("realtime.session")

FOREVER = float("inf")
# How most end: until Python 3.12 an enumeration takes its time to give its members.
RETURNED = Result.RETURNED


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
        self._showing: list[SessionRequest] = []  # of handlers that were begun: to be hidden when they first wait
        # Whose session is over: until when they have to notice, by close_timeout, and so in the order of their times.
        self._ending: dict[float, dict[Session, float]] = {}
        self._timer: Timer | None = None
        self._look_at = FOREVER

    def start(self, session: Session, handler: Handler) -> None:
        """Starts a new session's handler, which runs in the next turn of the event loop and may look at the HTTP
        request until it first waits."""
        session.request._show_http()
        self._showing.append(session.request)
        context, loop = contextvars.copy_context(), asyncio.get_running_loop()
        # begin(), without a call.
        name = f"realtime handler {session._path}"
        task = asyncio.Task(_coroutine(handler, session), loop=loop, name=name, context=context)
        self.tasks[session] = task
        session._handled_since = self._clock.now()
        self._sessions[task] = session
        task.add_done_callback(self._when_over, context=context)
        if len(self._showing) == 1:
            loop.call_soon(self._hide, context=context)

    def _hide(self) -> None:
        """The handler that was begun first waits, or has ended. Those begun behind it will have run, and not have gone
        on, when what is called from here comes."""
        showing, self._showing = self._showing, []
        showing[0]._hide_http()
        if len(showing) > 1:
            asyncio.get_running_loop().call_soon(_hide_all, showing[1:])

    def _over(self, task: asyncio.Task[None]) -> None:
        """A handler has ended, one way or other."""
        session = self._sessions.pop(task, None)
        error = failure(task)  # asked for, or asyncio would say that nobody has
        if session is None:
            return  # it was forgotten with its event loop
        machine, result, now = session._machine, RETURNED, self._clock.now()
        if error is not None:
            result = self._raised(session, error)
        elif task.cancelled():
            result = Result.CANCELLED
            machine.close(1011, "the handler was cancelled", now)
        machine.close(1000, "", now)
        self._done(session, now - session._handled_since, result)
        session._stubborn = False
        if self._ending and (ending := self._ending.get(machine.config.close_timeout)) is not None:
            ending.pop(session, None)
        del self.tasks[session]

    def _raised(self, session: Session, error: BaseException) -> Result:
        """A handler has raised, whatever that is: what a test's framework fails by is no Exception. Groups, which
        asyncio.TaskGroup raises, are what is in them."""
        machine, now = session._machine, self._clock.now()
        # The end of its own session is nothing to report.
        over = machine.over
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
        outages = [leaf for leaf in leaves if isinstance(leaf, BrokerError)]
        if outages and all(isinstance(leaf, (BrokerError, SessionClosed)) for leaf in leaves):
            # It may meet all sessions at once, and where in the handler says nothing.
            session_log.warning("session %s is closed, as its handler raised: %s", session.label, outages[0])
            machine.close(1013, "come back later", now)
            return Result.RAISED
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
        if session in self.tasks:
            patience = session._machine.config.close_timeout
            when = self._clock.now() + patience
            ending = self._ending.get(patience)
            if ending is None:
                ending = self._ending[patience] = {}
            ending[session] = when
            if when < self._look_at:
                self._look_by(when)

    def _look_by(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look_at = when
        self._timer = self._clock.call_at(when, self._look)

    def _look(self) -> None:
        """Those who have not noticed the end in time. One that catches this, too, gets an answer from its session only
        once in a while from here on."""
        self._timer, self._look_at = None, FOREVER
        now, following = self._clock.now(), FOREVER
        for patience, ending in tuple(self._ending.items()):
            for session in [session for session, _ in takewhile(lambda one: one[1] <= now, ending.items())]:
                del ending[session]
                session._stubborn = True
                self.tasks[session].cancel()
            if ending:
                following = min(following, next(iter(ending.values())))
            else:
                del self._ending[patience]
        if following < FOREVER:
            self._look_by(following)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._look_at = None, FOREVER

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
        if not self.tasks:
            self._forget_timer()

    def reset(self) -> None:
        """Begins anew, in another event loop: what an earlier one has left behind will never run."""
        self.tasks = {}
        self._sessions = {}
        self._showing = []
        self._ending = {}
        self._beside = set()
        self._timer, self._look_at = None, FOREVER
        for absent in self.absent:
            absent.reset()


def _hide_all(requests: list[SessionRequest]) -> None:
    for request in requests:
        request._hide_http()


def _coroutine(handler: Handler, session: Session) -> Coroutine[Any, Any, None]:
    """What the handler's task runs. A handler that cannot even be called fails there, as others do."""
    try:
        made: Any = handler(session)
    except Exception as error:
        return _fail(error)
    return made if type(made) is CoroutineType or asyncio.iscoroutine(made) else _await(made)


async def _fail(error: Exception) -> None:
    raise error


async def _await(awaitable: Awaitable[None]) -> None:
    await awaitable
