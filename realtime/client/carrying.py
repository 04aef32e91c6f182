"""One carrier under way, as its driver sees it: what it takes up of the session, and whom it tells what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..core.carrier import NumberedCarrier
from ..core.client_machine import Attach
from ..transports import Frame
from .context import Context
from .ends import CarrierEnd

__all__ = ["Carrying"]


def _nothing() -> None:
    """Nobody wants to know."""


class Carrying:
    """A carrier that the policy has started, by its number there. `ended` hears once how it ended, if it was not let go
    of before."""

    def __init__(
        self, context: Context, number: int, name: str, role: str, ended: Callable[[Carrying, CarrierEnd], None]
    ) -> None:
        self.context = context
        self.number = number
        self.name = name
        self.role = role  # "carry", "open" or "probe": see core/supervision.py
        self.gen: int | None = None  # of one that opens beside the newest: reserved before that was started
        self.carrier: NumberedCarrier | None = None
        self.task: asyncio.Task[None] | None = None
        self.tester: asyncio.Task[Any] | None = None  # a POST beside a stream
        self.begun: asyncio.Event = asyncio.Event()  # of a stream: its request is on its way
        self.taken: asyncio.Event = asyncio.Event()  # of a probe: it is to carry
        self.over: bool = False
        self.on_over: Callable[[], None] = _nothing
        self.attached: bool = False  # the policy knows that it has taken up the session
        self._ended = ended

    def start(self, carrier: NumberedCarrier) -> Attach:
        """Gives it the session: it is the newest carrier, unless it opens beside that. What it has to say first."""
        self.carrier = carrier
        return self.context.machine.start(carrier, self.context.clock.now(), gen=self.gen)

    def feed(self, frames: Sequence[Frame]) -> CarrierEnd | None:
        """Frames have come on it. Returns its end if that is what they say."""
        carrier, context = self.carrier, self.context
        assert carrier is not None
        end = context.feed(carrier, frames)
        if carrier.attached and not self.attached:
            self.attached = True
            if self.role == "open":
                context.opened_by(self.name)
            context.tell(context.policy.attached, self.number)
        return end

    def alive(self) -> None:
        """A part of an answer has come that says nothing yet."""
        self.context.policy.alive(self.context.clock.now(), self.number)

    def tell_proven(self) -> None:
        """A probe was answered, and waits to be taken."""
        self.context.tell(self.context.policy.proven, self.number)

    def when_aborted(self, what: str) -> Callable[[], None]:
        """What a link calls when the machine lets go of it: `what` has happened."""
        return partial(self.finish, CarrierEnd(self.name, what))

    def finish(self, end: CarrierEnd) -> None:
        """It has ended of itself."""
        if not self.over:
            self._ended(self, end)
            self._is_over()

    def let_go(self) -> None:
        """It is not wanted any more, whatever it might still bring."""
        if self.carrier is not None:
            self.context.machine.lost(self.carrier, self.context.clock.now())
        self._is_over()

    def _is_over(self) -> None:
        self.over = True
        for task in (self.task, self.tester):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self.on_over()
