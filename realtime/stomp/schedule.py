"""When what is due in one session of STOMP: heart-beats in both directions, messages that nobody acknowledges, a client
that never comes.

There is no timer for it: it stands in the server's one heap of deadlines, beside the session's own.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from ..core.lifecycle import State
from ..core.machine import FOREVER
from ..core.plain_machine import PlainMachine
from ..core.server_machine import ServerMachine
from ..protocols.layers.stomp.conversation import Conversation
from ..protocols.layers.stomp.handshake import Beats, HeartBeat
from ..session import Session
from .bound import Bound
from .messages import written
from .queues import Parcel

__all__ = ["Home", "Schedule"]

EOL = written(b"\n")
# So many that are settled may be kept with those that are not.
SPARE = 32


class Home(Protocol):
    """The connection that this is of."""

    bound: Bound
    session: Session
    conversation: Conversation[Parcel | None]

    def fail(self, code: int, reason: str, receipt: str | None = None) -> None:
        """Tells the client what is wrong, and ends the session."""

    def late(self, number: int) -> None:
        """A message was not acknowledged in time."""


class Schedule:
    """See core.deadlines.Expiring."""

    def __init__(self, home: Home) -> None:
        self.wake_at: float = FOREVER
        self._home = home
        self._runtime = home.session._listener.runtime
        self._now = home.session._now
        self._beats = Beats(HeartBeat(), HeartBeat(), 0.0)
        self._connect_by = self._now() + home.bound.sizes.connect_timeout
        self._due: deque[tuple[float, int]] = deque()  # when which message is to be acknowledged

    def start(self) -> None:
        """The client is there, and has not said a CONNECT."""
        self._watch()

    def stop(self) -> None:
        """Nothing is due any more."""
        self._runtime.forget(self)

    def connected(self, theirs: HeartBeat) -> None:
        """It is in, and would have heart-beats like this."""
        self._connect_by = FOREVER
        self._beats = Beats(self._home.bound.beats, theirs, self._now())
        self._watch()

    def heard(self) -> None:
        """Something has come."""
        self._beats.heard(self._now())

    def spoke(self) -> None:
        """Something was sent."""
        self._beats.sent(self._now())

    def given(self, number: int) -> None:
        """A message was given, and is to be acknowledged."""
        timeout = self._home.bound.sizes.ack_timeout
        if timeout is not None:
            due, deliveries = self._due, self._home.conversation.deliveries
            if len(due) > 2 * len(deliveries) + SPARE:  # most of these are settled
                self._due = due = deque(each for each in due if deliveries.find(each[1]) is not None)
            due.append((self._now() + timeout, number))
            if len(due) == 1:
                self._watch()

    def _watch(self) -> None:
        when = self.deadline()
        if when < self.wake_at:
            self._runtime.wake(self, when)

    def deadline(self) -> float:
        """When expire() has something to do; infinity for never."""
        machine = self._home.session._machine
        if machine.outcome is not None or machine.closing is not None:
            return FOREVER
        due, deliveries = self._due, self._home.conversation.deliveries
        while due and deliveries.find(due[0][1]) is None:
            due.popleft()
        return min(self._connect_by, self._beats.deadline(), due[0][0] if due else FOREVER)

    def expire(self, now: float) -> None:
        """Does what is due."""
        home, beats = self._home, self._beats
        session = home.session
        machine = session._machine
        if machine.outcome is not None or machine.closing is not None:
            return
        if now >= self._connect_by:
            home.fail(4408, "no CONNECT came within connect_timeout")
            return
        if now >= beats.silent_at:
            if machine.state is not State.DETACHED and not len(machine.inbox) and not _waits(machine):
                home.fail(4408, f"nothing came for two heart-beats of {beats.hear_every:g} seconds")
                return
            beats.heard(now)  # its transport watches over it, or what it has said waits for us
        if now >= beats.send_at:
            if not machine.outbox.unnumbered and machine.outbox.has_room(EOL.size):
                session._put((EOL,))
            beats.sent(now)
        while self._due and self._due[0][0] <= now:
            home.late(self._due.popleft()[1])


def _waits(machine: ServerMachine) -> bool:
    """Whether what the client says is not read, since there is no room for it."""
    return isinstance(machine, PlainMachine) and machine.waiting > 0
