"""The handlers of a server's sessions: one task each, from the open until the coroutine returns or is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .clock import Clock
from .core.errors import SessionClosed, Unauthorized, leaves_of
from .core.observer import Result
from .endpoint import Handler
from .loops import begin
from .session import Session

__all__ = ["Handlers"]

log: logging.Logger = logging.getLogger("realtime.server")
session_log: logging.Logger = logging.getLogger("realtime.session")


class Handlers:
    """Runs them. `done` is told the session, how many seconds its handler took, and how that ended."""

    def __init__(self, clock: Clock, done: Callable[[Session, float, Result], object]) -> None:
        self.tasks: dict[Session, asyncio.Task[None]] = {}
        self._clock = clock
        self._done = done

    def start(self, session: Session, handler: Handler) -> None:
        """Starts a new session's handler, which runs in the next turn of the event loop and may look at the HTTP
        request until it first waits."""
        hide = session.request._show_http()
        self.tasks[session] = begin(self._run(session, handler), f"realtime handler {session.path}")
        asyncio.get_running_loop().call_soon(hide)  # comes when the handler first waits

    async def _run(self, session: Session, handler: Handler) -> None:
        machine = session._machine
        started = self._clock.now()
        result = Result.RETURNED
        try:
            await handler(session)
        except asyncio.CancelledError:
            result = Result.CANCELLED
            if not session.closed:
                machine.close(1011, "the handler was cancelled", self._clock.now())
                raise
        except Exception as error:
            result = self._raised(session, error)
        finally:
            # Unless it was forgotten with its event loop, and what is left of it is collected now.
            if session in self.tasks:
                machine.close(1000, "", self._clock.now())
                self._done(session, self._clock.now() - started, result)
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

    async def stop(self, timeout: float) -> None:
        """Waits for all handlers but the caller, for `timeout` seconds, and cancels the late; one that goes on
        regardless is left behind after as many again."""
        tasks = set(self.tasks.values()) - {asyncio.current_task()}
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
