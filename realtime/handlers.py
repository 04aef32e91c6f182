"""The handlers of a server's sessions: one task each, from the open until the coroutine returns or is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .clock import Clock
from .core.errors import SessionClosed, Unauthorized
from .core.observer import Result
from .endpoint import Handler
from .session import Session

__all__ = ["Handlers"]

log = logging.getLogger("realtime.server")
session_log = logging.getLogger("realtime.session")


class Handlers:
    """Runs them. `done` is told the session, how many seconds its handler took, and how that ended."""

    def __init__(self, clock: Clock, done: Callable[[Session, float, Result], object]) -> None:
        self.tasks: dict[Session, asyncio.Task[None]] = {}
        self._clock = clock
        self._done = done

    def start(self, session: Session, handler: Handler) -> None:
        """Starts a new session's handler, which runs in the next turn of the event loop and may look at the HTTP
        request until it first waits."""
        loop = asyncio.get_running_loop()
        hide = session.request._show_http()
        self.tasks[session] = loop.create_task(self._run(session, handler), name=f"realtime handler {session.path}")
        loop.call_soon(hide)  # comes when the handler first waits

    async def _run(self, session: Session, handler: Handler) -> None:
        machine = session._machine
        started = self._clock.now()
        result = Result.RETURNED
        try:
            await handler(session)
        except SessionClosed as error:
            # The handler met the end of its own session: nothing to report.
            if not session.closed and machine.closing is None:
                result = Result.RAISED
                self._failed(session, error)
        except Unauthorized as error:
            machine.close(error.code, error.reason, self._clock.now())
        except asyncio.CancelledError:
            result = Result.CANCELLED
            if not session.closed:
                machine.close(1011, "the handler was cancelled", self._clock.now())
                raise
        except Exception as error:
            result = Result.RAISED
            self._failed(session, error)
        finally:
            # Unless it was forgotten with its event loop, and what is left of it is collected now.
            if session in self.tasks:
                machine.close(1000, "", self._clock.now())
                self._done(session, self._clock.now() - started, result)
                del self.tasks[session]

    def _failed(self, session: Session, error: BaseException) -> None:
        session_log.error("the handler of session %s raised", session.label, exc_info=error)
        session._machine.close(1011, "the handler failed", self._clock.now())

    def ended(self, session: Session) -> None:
        """The session is over: its handler has close_timeout to notice."""
        task = self.tasks.get(session)
        if task is not None:
            patience = self._clock.call_at(self._clock.now() + session._machine.config.close_timeout, task.cancel)
            task.add_done_callback(lambda _: patience.cancel())

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
