"""Who has left while a handler runs, which would hold up the packet that says so.

The events of a client are handled one after the other, so its DISCONNECT waits behind a coroutine that runs. What waits
is looked at as it comes, without being taken: who has left is out at once, and the handler that runs for it has
`close_timeout` seconds from then on. After these it is cancelled, as a session's handler is after the session's end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

from ..base_session import BaseSession
from ..clock import Timer
from ..core.machine import FOREVER
from ..protocols.layers.socketio import packets

__all__ = ["Leaving"]

# What the packet begins with by which a namespace is left.
LEAVES = str(packets.DISCONNECT)


class Leaving:
    """The namespaces of one session that were left by packets which nobody has taken yet. `left` is called with the
    name of each, once for every such packet, and says whether anybody was in it."""

    __slots__ = (
        "_behind",
        "_cutting",
        "_deadlines",
        "_left",
        "_over",
        "_session",
        "_timer",
        "busy",
        "looked",
        "noted",
        "task",
    )

    def __init__(self, session: BaseSession[Any], left: Callable[[str], bool]) -> None:
        self._session = session
        self._left = left
        self._behind: Counter[str] = Counter()  # packets that were seen, and not taken, by namespace
        self.looked: int = 0  # the number of the last message that was looked at
        self._deadlines: dict[str, float] = {}  # when handlers of these have to be done
        self._over = FOREVER  # when all have to be
        self.busy: str | None = None  # the namespace whose handler runs
        self.noted: bool = False  # there is something in _behind or _deadlines, or the session is over
        self.task: asyncio.Task[Any] | None = None  # which runs it
        self._timer: Timer | None = None
        self._cutting = False  # what runs was cancelled, by this

    def __contains__(self, name: str) -> bool:
        """Whether a namespace was left, by a packet that nobody has taken yet."""
        return name in self._behind

    async def run(self, work: Awaitable[None], name: str) -> None:
        """Awaits what a handler of a namespace does, which others wait for; looks meanwhile at what comes."""
        self.task, self.busy, self._session._listener.heard = asyncio.current_task(), name, self.look
        self.look()
        try:
            await work
        except asyncio.CancelledError:
            if not self.cut():
                raise
        finally:
            self._session._listener.heard = None
            self.busy = None
            self.end(name, left=False)

    def end(self, name: str, left: bool) -> None:
        """It has ended."""
        if left:
            self._deadlines.pop(name, None)
        self.noted = bool(self._behind or self._deadlines) or self._over < FOREVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._cutting:
            self.cut()  # the handler has caught that

    def look(self, left: bool = False) -> None:
        """Looks at what has come, where something runs for the namespace `busy`. `left`: that was left just now, and
        this is told so."""
        inbox = self._session._machine.inbox
        if inbox.received > self.looked:
            items = inbox.items
            seen = max(0, self.looked - (inbox.received - len(items)))
            self.looked = inbox.received
            for item in islice(items, seen, None):
                if type(item) is str and item[:1] == LEAVES:
                    self._see(item)
        name = self.busy
        if name is not None and (left or name in self._behind):
            self._deadlines.setdefault(name, self._patience())
            self.noted = True
        if self.noted:
            self._arm()

    def taken(self, message: str | bytes) -> None:
        """This was read ahead of what runs: it waits elsewhere from here."""
        inbox = self._session._machine.inbox
        number = inbox.received - len(inbox.items)
        if number > self.looked:
            self.looked = number
            if type(message) is str and message[:1] == LEAVES:
                self._see(message)

    def _see(self, packet: str) -> None:
        """A namespace is left by this."""
        name = packet[1:].partition(",")[0] or "/"
        self._behind[name] += 1
        self.noted = True
        if self._left(name) or name == self.busy:
            self._deadlines.setdefault(name, self._patience())
            self._arm()

    def done(self, name: str) -> None:
        """A packet by which a namespace is left is taken now."""
        behind = self._behind.pop(name, 0)
        if behind > 1:
            self._behind[name] = behind - 1
        self._deadlines.pop(name, None)

    def pass_on(self) -> None:
        """What runs now passes on all that comes: whoever leaves by that is nobody's here, and does not end it."""
        self._session._listener.heard = None
        self._behind.clear()
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    def over(self) -> float:
        """The session is over: all that runs has so much time, until what this returns."""
        self._over, self.noted = min(self._over, self._patience()), True
        self._arm()
        return self._over

    def _patience(self) -> float:
        """When who begins to wait now has waited long enough."""
        now: float = self._session._now()
        return now + float(self._session._machine.config.close_timeout)

    # -- the end of patience -------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Sees to it that what runs now ends in time."""
        if self.busy is not None and self._timer is None:
            when = min(self._over, self._deadlines.get(self.busy, FOREVER))
            if when < FOREVER:
                self._timer = self._session._listener.runtime.clock.call_at(when, self._late)

    def _late(self) -> None:
        assert self.task is not None
        self._timer = None
        self._cutting = True
        self.task.cancel()

    def cut(self) -> bool:
        """Whether a cancellation that was caught is this one's, and nobody else's: then it is over."""
        cutting, self._cutting = self._cutting, False
        return cutting and self.task is not None and not self.task.uncancel()
