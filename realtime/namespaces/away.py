"""Clients of an endpoint's events that may go on where they were: who they are, and who of them is away.

Who is away is still in its rooms, and what is sent to it is kept. Bounded are how many are away, of one identity and in
all, and for how long.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from functools import partial

from ..clock import STOOD_STILL, Patience
from ..owners import Bridge
from ..protocols.dialects import SocketIO
from ..protocols.layers.socketio.recovery import Sent
from ..service import Service
from ..session import Session
from ..sessions import SID
from .keeping import Absence, Keeping, new_offset
from .reasons import ENDED, reason_of
from .session import EventSession

__all__ = ["Away"]


class Away:
    """Those of one endpoint, in all its namespaces. See handlers.Absent."""

    def __init__(self, options: SocketIO, window: float, service: Service) -> None:
        self._options = options
        self._window = window
        self._service = service
        self._sessions = service.sessions
        self._by_pid: dict[str, EventSession] = {}
        self._away: dict[EventSession, None] = {}  # the first has been away for longest
        self._by_key: dict[str, dict[EventSession, None]] = {}  # these, by identity or address

    def keeping(self) -> Keeping:
        """For a client that comes in. The pid says which worker has it, as a sid does."""
        options = self._options
        pid = f"{self._sessions.worker}.{secrets.token_urlsafe(18)}"
        return Keeping(pid, Sent(new_offset(), options.recovery_events, options.recovery_size))

    def knows(self, member: EventSession) -> None:
        """The client is told its pid: from now on it may go on."""
        keeping = member._keeping
        assert keeping is not None
        keeping.ended = partial(self._forget, member)
        self._by_pid[keeping.pid] = member

    def find(self, pid: str) -> EventSession | None:
        """Whose pid this is."""
        return self._by_pid.get(pid)

    def has(self, pid: str) -> bool:
        """Whether somebody may go on by this."""
        return pid in self._by_pid

    def is_elsewhere(self, pid: str) -> bool:
        """Whether this may be of another worker that can be asked."""
        theirs = SID.fullmatch(pid)
        return (
            self._service.bridges is not None
            and theirs is not None
            and theirs[1] != self._sessions.worker
            and not self.has(pid)
        )

    async def bridge(self, pid: str, session: Session) -> Bridge | None:
        """A bridge to another worker, where the client of a session goes on."""
        bridges = self._service.bridges
        return None if bridges is None else await bridges.open(pid, session.request)

    # -- who is away ---------------------------------------------------------------------------------------------------

    def leaves(self, member: EventSession, why: str) -> None:
        """The connection of a client is gone. Of too many that are away the first is not waited for any more."""
        keeping, session = member._keeping, member.session
        assert keeping is not None
        machine, clock = session._machine, session._listener.runtime.clock
        key = f"={machine.identity}" if machine.identity is not None else f"@{machine.address}"
        when = clock.now() + self._window
        timer = clock.call_at(when, partial(self._overdue, member, when))
        keeping.live = False
        keeping.absence = Absence(why, keeping.sent.end, key, timer.cancel, partial(self.give_up, member))
        self._away[member] = None
        same = self._by_key.setdefault(key, {})
        same[member] = None
        if len(same) > self._options.max_away_per_identity:
            self.give_up(next(iter(same)))
        elif len(self._away) > self._options.max_away:
            self.give_up(next(iter(self._away)))

    def _overdue(self, member: EventSession, when: float) -> None:
        """It has not come in time. Where nobody could, since this process stood still, it has its time anew."""
        keeping, clock = member._keeping, member.session._listener.runtime.clock
        now = clock.now()
        if now - when > STOOD_STILL and keeping is not None and keeping.absence is not None:
            when = now + self._window
            keeping.absence.cancel = clock.call_at(when, partial(self._overdue, member, when)).cancel
        else:
            self.give_up(member)

    def returns(self, member: EventSession) -> None:
        """A client is back: it is not waited for any more."""
        keeping = member._keeping
        if keeping is None or keeping.absence is None or member not in self._away:
            return
        absence, keeping.absence = keeping.absence, None
        absence.cancel()
        del self._away[member]
        same = self._by_key[absence.key]
        del same[member]
        if not same:
            del self._by_key[absence.key]

    def _forget(self, member: EventSession) -> None:
        """A client goes on nowhere."""
        keeping = member._keeping
        assert keeping is not None
        self.returns(member)
        if self._by_pid.get(keeping.pid) is member:
            del self._by_pid[keeping.pid]

    def give_up(self, member: EventSession, why: str = "", *, behind: bool = True) -> asyncio.Task[None] | None:
        """A client that is away will not go on: what tells its handler, `behind` all that has come from it before. None
        for one that is here."""
        keeping = member._keeping
        if keeping is None or keeping.absence is None or member not in self._away:
            return None
        why = why or keeping.absence.why
        self._forget(member)
        return self._sessions.handlers.beside(_lose(member, why, behind), "realtime client that is gone")

    def end(self, code: int, identity: str | None) -> None:
        """All that are away are not waited for any more, or all of an identity."""
        for member in tuple(self._away):
            if identity is None or member.identity == identity:
                self.give_up(member, reason_of(code, ENDED))

    def reset(self) -> None:
        """Begins anew, in another event loop: what an earlier one has left behind will never run."""
        self._by_pid, self._away, self._by_key = {}, {}, {}


async def _lose(member: EventSession, why: str, behind: bool) -> None:
    """A client is gone: it is out at once, and its handler is told why. That has `close_timeout` seconds for it, and is
    cancelled then."""
    machine, clock = member.session._machine, member.session._listener.runtime.clock
    assert machine.outcome is not None
    member._end(*machine.outcome[:2])
    told, member._told = member._told, False  # nobody else tells it meanwhile
    patience = machine.config.close_timeout
    try:
        if behind:
            with suppress(TimeoutError):  # a handler of its last session goes on and on
                async with Patience(2 * patience):
                    await member._home.finished()
    finally:
        member._told = told
        task = asyncio.current_task()
        assert task is not None
        timer = clock.call_at(clock.now() + patience, task.cancel)
        try:
            await member._home.leaves(member, why)
        finally:
            timer.cancel()
