"""What runs sessions, at a server and at a client: whatever has something to write is flushed once in a turn of the
event loop, or in one of the next where there are many, or at once; and one timer serves the deadlines of all.

Knows machines and asyncio; who a session is for, and what becomes of one that has ended, it does not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from .clock import STOOD_STILL, Clock, Timer
from .core.deadlines import Deadlines, Expiring
from .core.machine import SessionMachine
from .loops import foreign, running_loop

__all__ = ["Flushable", "Runtime"]

log: logging.Logger = logging.getLogger("realtime.server")

FOREVER = float("inf")

# So many sessions are flushed in one turn of the event loop, and so many whose deadlines have come looked at: some
# milliseconds' work. What the others get to write meanwhile goes along with what they have.
SLICE = 256


class Flushable(Protocol):
    """What the runtime needs of a session."""

    marked: bool  # it is to be flushed
    woken: bool  # who receives from it was woken, and has not run yet

    @property
    def machine(self) -> SessionMachine:
        """What is flushed."""


class Runtime:
    """Runs the sessions of one server, or the one of a client. `side` ("server" or "client") is named in the close
    reason when a flush fails.

    Deadlines that come less than `grain` seconds after a wake-up wait that long, and are served by one, as those are
    that are that close together (see Deadlines): each may come two grains late.
    """

    def __init__(self, clock: Clock, side: str, grain: float = 0.0) -> None:
        self.clock = clock
        self.on_flush: tuple[Callable[[float], object], ...] = ()  # told when all is written, and how long it took
        # Told when this process stood still: the time now, and for how long at least (seconds).
        self.on_standstill: Callable[[float, float], object] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None  # that it is bound to
        self._side = side
        self._grain = grain
        self.dirty: list[Flushable] = []  # what is marked
        self._deadlines = Deadlines(grain)
        self._timer: Timer | None = None
        self._timer_at = FOREVER
        self._timer_due = FOREVER  # the same, and not before it was set

    def check(self) -> None:
        """Raises LocalProtocolError in another event loop, or thread, than the one it is bound to."""
        if self.loop is not None and running_loop() is not self.loop:
            raise foreign(f"this {self._side}")

    # -- writing -------------------------------------------------------------------------------------------------------

    def mark(self, session: Flushable) -> None:
        """Flush the session in this turn of the event loop, or in one of the next if more than SLICE are marked. It is
        not marked already.

        Where `dirty` has others, whoever marks may put it there without a call.
        """
        if not self.dirty:
            asyncio.get_running_loop().call_soon(self.flush, SLICE)
        self.dirty.append(session)

    def flush(self, most: int | None = None) -> None:
        """Writes what is due, of every session that was marked; or of so many, and of the others in the next turn."""
        dirty, self.dirty = self.dirty, []
        if most is not None and len(dirty) > most:
            dirty, self.dirty = dirty[:most], dirty[most:]
            asyncio.get_running_loop().call_soon(self.flush, most)
        told = self.on_flush
        started = time.perf_counter() if told else 0.0
        now = self.clock.now()
        for session in dirty:
            if session.woken:
                # Its application runs next: what it answers goes along, which saves a poll.
                session.woken = False
                self.mark(session)
                continue
            session.marked = False
            machine = session.machine
            try:
                machine.flush(now)
            except Exception:  # the others' turn must come
                self._failed(machine, now)
        for tell in told:
            tell(time.perf_counter() - started)

    def write(self, session: Flushable) -> None:
        """Writes what is due of one session, now. It is marked, by whoever calls this, and not in `dirty`."""
        session.marked = False
        machine, now = session.machine, self.clock.now()
        try:
            machine.flush(now)
        except Exception:
            self._failed(machine, now)

    def _failed(self, machine: SessionMachine, now: float) -> None:
        """A flush has raised, as none does unless it is broken."""
        log.exception("session %s could not be flushed", machine.label)
        with suppress(Exception):  # which has been told: its carrier takes no last word, either
            machine.end(1011, f"the {self._side} failed", now)

    # -- deadlines -----------------------------------------------------------------------------------------------------

    def wake(self, machine: Expiring, when: float) -> None:
        """Look at the machine at `when`."""
        if self._deadlines.schedule(machine, when) and when < self._timer_at:
            self._set_timer(self._deadlines.next())

    def forget(self, machine: Expiring) -> None:
        """Never look at the machine again."""
        self._deadlines.forget(machine)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at, self._timer_due = when, max(when, self.clock.now())
        self._timer = self.clock.call_at(when, self._sweep)

    def _sweep(self) -> None:
        now = self.clock.now()
        late = now - self._timer_due
        self._timer, self._timer_at = None, FOREVER
        if late > STOOD_STILL and self.on_standstill is not None:
            self.on_standstill(now, late)
        try:
            self._deadlines.run(now, SLICE)
        finally:
            when = self._deadlines.next()
            if when < self._timer_at and when < FOREVER:
                # What is due already, and was too much for one turn, comes in the next.
                self._set_timer(max(when, now + self._grain) if when > now else now)

    # -- the end -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Cancels the timer. A later wake() sets it again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, FOREVER

    def reset(self) -> None:
        """Begins anew, in another event loop: what an earlier one has left behind will never run."""
        self.dirty = []
        self._deadlines = Deadlines(self._grain)
        self._timer, self._timer_at = None, FOREVER
