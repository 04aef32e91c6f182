"""The machine's side of a session: what a machine reports, and the coroutines that wait for it.

The application's side, on top of this, is base_session. asyncio begins here: a machine calls synchronously, and what
waits for it waits on futures.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from .core.lifecycle import CLOSING, State
from .core.machine import SessionMachine
from .core.settings import shown
from .runtime import Runtime
from .waiters import Receivers, Waiters

__all__ = ["OVER", "SessionListener"]

log: logging.Logger = logging.getLogger("realtime.session")

M = TypeVar("M", bound=SessionMachine)


class Over:
    """The listener of a machine whose session has ended, and is told nothing more. Machine and session's listener would
    else be a cycle of references, which lasts until the garbage collector comes."""

    def readable(self) -> None:
        """Nothing comes any more."""

    def noted(self) -> None:
        """The same."""

    def acknowledged(self) -> None:
        """Nobody waits."""

    def dirty(self) -> None:
        """Nothing is written."""

    def changed(self, before: State, after: State) -> None:
        """It does not."""

    def may_be_drained(self) -> None:
        """It is over."""

    def ended(self) -> None:
        """That was told."""

    def wake(self, when: float) -> None:
        """Nothing is due."""


OVER = Over()


class SessionListener(Receivers, Generic[M]):
    """See core.machine.Listener. It is the queue of those who receive, too. `ended` is called with the machine when the
    session is over, after all others."""

    __slots__ = (
        "_callbacks",
        "_ended",
        "heard",
        "machine",
        "marked",
        "progress",
        "runtime",
        "transport",
        "unanswered",
        "woken",
    )

    machine: M  # which can only be made when there is somebody to listen
    parts: ClassVar[bool] = True  # at the end the machine lets go of it

    def __init__(self, runtime: Runtime, ended: Callable[[M], object]) -> None:
        # Receivers', without a call: each session has one.
        self.first: asyncio.Future[None] | None = None
        self.others: Waiters | None = None
        self.runtime: Runtime = runtime
        self.progress: Waiters | None = None  # for acks, or the end; None where nobody waits
        self.transport: str = ""  # of the newest carrier that has attached
        self.marked: bool = False  # for a flush
        self.heard: Callable[[], object] | None = None  # called where nobody receives
        self.woken: bool = False  # a receiver was woken and has not run yet
        self.unanswered: bool = False  # a message was taken, and none was written at once since
        self._callbacks: dict[object, Callable[[str], object]] | None = None  # each by a key that its undo has
        self._ended = ended

    def readable(self) -> None:
        """The inbox has something."""
        first = self.first
        if first is not None:
            self.woken = True
            if self.others is not None:
                self.wake_first(len(self.machine.inbox.items))
            elif not first.done():
                first.set_result(None)
        elif self.heard is not None:
            self.heard()

    def noted(self) -> None:
        """There is a note, and nothing before it. (Only a client takes it without being asked.)"""

    def acknowledged(self) -> None:
        """The outbox shrank, or the peer has received more, or the inbox may have room."""
        if self.progress is not None:
            self.progress.wake()

    async def progressed(self) -> None:
        """Waits for acknowledged(), or the end."""
        if self.progress is None:
            self.progress = Waiters()
        try:
            await self.progress.wait(self.progress.add())
        finally:
            if not self.progress:
                self.progress = None  # as long as nobody waits

    def when_progressed(self, callback: Callable[[object], object]) -> None:
        """Calls back, once, in the turn after acknowledged(), or the end."""
        if self.progress is None:
            self.progress = Waiters()
        self.progress.add().add_done_callback(callback)

    def dirty(self) -> None:
        """There may be something to write."""
        if not self.marked:
            self.marked = True
            dirty = self.runtime.dirty
            if dirty:
                dirty.append(self)
            else:
                self.runtime.mark(self)

    def changed(self, before: State, after: State) -> None:
        """The state moved, or a carrier took over."""
        machine = self.machine
        carrier = machine.carrier
        debug = log.isEnabledFor(logging.DEBUG)  # a label is a hash
        if carrier is not None and carrier.attached and carrier.codec.name != self.transport:
            old, self.transport = self.transport, carrier.codec.name
            if debug:
                log.debug("= session %s: %s -> %s", machine.label, old or "(none)", self.transport)
            if self._callbacks:
                self.tell("transport")
        if before is not after:
            if debug:
                log.debug("= session %s is %s", machine.label, after)
            if after is CLOSING:  # nothing will be received or sent any more
                self.wake_all()
                self.acknowledged()
            if self._callbacks:
                self.tell("state")

    def may_be_drained(self) -> None:
        """A draining session may have nothing left to do. (A client's never drains.)"""

    def ended(self) -> None:
        """The session has ended: whatever waits finds out."""
        self.wake_all()
        self.acknowledged()
        machine = self.machine
        self._ended(machine)
        if self.parts:
            machine.listener = OVER

    def wake(self, when: float) -> None:
        """expire() wants to be called at `when`."""
        self.runtime.wake(self.machine, when)

    # -- on_change -----------------------------------------------------------------------------------------------------

    def on_change(self, callback: Callable[[str], object]) -> Callable[[], None]:
        """See BaseSession.on_change()."""
        if not callable(callback):
            raise TypeError(f"callback={shown(callback)}: takes a function, which is given the event")
        if self._callbacks is None:
            self._callbacks = {}
        callbacks, key = self._callbacks, object()
        callbacks[key] = callback

        def undo() -> None:
            callbacks.pop(key, None)

        return undo

    def tell(self, event: str) -> None:
        """Calls the on_change callbacks. An exception in one is logged."""
        callbacks = self._callbacks
        if not callbacks:
            return
        self.dirty()  # what they send, where tasks begin at once, is not written in the middle of this
        for key, callback in tuple(callbacks.items()):
            if key not in callbacks:  # another of them has undone it
                continue
            try:
                callback(event)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException:  # such as the CancelledError of a future that it has looked at
                log.exception("an on_change callback of session %s raised", self.machine.label)
