"""What a session has learnt from the ends of its carriers: which transport is worth a try, how long to wait for it, and
how long before it. No tasks, no I/O: the supervisor and the drivers report to it, and ask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ..core.carrier import Shape
from ..core.client_machine import ClientMachine
from ..core.health import Health
from .ends import CarrierEnd
from .settings import Settings
from .wire import has_shape, posts_apart

__all__ = ["GOOD_LIFE", "Ledger", "better_than"]

log = logging.getLogger("realtime.negotiation")

# A carrier that lived so long, in seconds, was a good one: its end is no evidence against its transport.
GOOD_LIFE = 10.0
# So much of the time that a session has left without contact one attempt may take at the most.
SHARE = 0.25


def better_than(current: str, names: Sequence[str]) -> list[str]:
    """Those of `names`, most wanted first, that a session carried by `current` would rather have.

    The one in use counts at its own place in the order, whatever opened the session. From one stream to another nothing
    is won.
    """
    if current not in names:
        return []
    wanted = names[: names.index(current)]
    return [name for name in wanted if not (has_shape(name, Shape.STREAM) and has_shape(current, Shape.STREAM))]


class Ledger:
    """The account of one session's carriers."""

    def __init__(self, settings: Settings, machine: ClientMachine, now: Callable[[], float]) -> None:
        self._settings = settings
        self._machine = machine
        self._now = now
        self._health = Health(*settings.upgrade_interval)
        self._failed_at: dict[str, float] = {}  # when, by transport, those that failed in a row did last
        self._superseded_in_a_row = 0
        self._patience = 0.0  # twice what was waited in vain for the last carrier, since one got through
        self._probe_patience: dict[str, float] = {}  # the same for what was tried beside one
        self._not_allowed: set[str] = set()
        self.failed_in_a_row = 0  # forgotten when something was delivered, or after a good life
        self.posts_failed_in_a_row = 0  # forgotten when what goes up has got through, by a POST or on a carrier
        self.attempts: dict[str, str] = {}  # what happened to each transport that failed last
        self.timings: dict[str, float] = {}  # seconds each took to get through

    # -- reports -----------------------------------------------------------------------------------------------------

    def got_through(self, name: str, started: float) -> None:
        """A carrier of this transport, started at `started`, begins to carry."""
        self.timings.setdefault(name, self._now() - started)
        self._patience = 0.0
        if not posts_apart(name):
            self.posts_failed_in_a_row = 0

    def of_use(self) -> None:
        """The newest carrier has brought a message, or word of one that had not been acknowledged, or has lived well.

        So the failures before it are forgotten.

        That it could attach says less: something in between may cut every carrier at its first message.
        """
        self.failed_in_a_row = 0
        self._failed_at.clear()

    def failed_beside(self, end: CarrierEnd) -> None:
        """An attempt failed that was made beside what carries, or is to."""
        self.attempts[end.transport] = end.what
        if end.waited:
            self._probe_patience[end.transport] = 2 * end.waited
        if end.refusal is not None and end.refusal.code == 4406:
            self._not_allowed.add(end.transport)
        else:
            self._health.failed(end.transport, end.what, self._now())

    def doubt(self, name: str, what: str) -> None:
        """A transport turns out not to be of use, though its carrier is well."""
        self.attempts[name] = what
        self._health.failed(name, what, self._now())

    def ended(self, end: CarrierEnd) -> None:
        """The driver in charge has ended."""
        now = self._now()
        lived_well = end.since is not None and now - end.since >= GOOD_LIFE
        if lived_well:
            self._superseded_in_a_row = 0
            self.of_use()
        if end.superseded:
            self._superseded_in_a_row += 1
            return
        if end.recycled:
            self.failed_in_a_row += 1  # unless it has delivered: then the next one comes at once
            return
        self._patience = max(self._patience, 2 * end.waited)
        log.debug("! session %s: %s %s", self._machine.label, end.transport, end.what)
        self.attempts[end.transport] = end.what
        if end.refusal is not None and end.refusal.code == 4406:
            self._not_allowed.add(end.transport)  # policy is no evidence
            return
        self.failed_in_a_row += 1
        if lived_well:
            self._health.worked(end.transport)
            return
        self._failed_at[end.transport] = now
        self._health.failed(end.transport, end.what, now)
        if end.held:  # what keeps one stream back keeps them all
            for name in self._settings.transports:
                if has_shape(name, Shape.STREAM) and name != end.transport:
                    self._health.failed(name, "another stream was held back", now)

    def network_changed(self) -> None:
        """What failed before says nothing about another network."""
        self._health.forget()
        self._patience = 0.0
        self._probe_patience.clear()

    # -- questions ---------------------------------------------------------------------------------------------------

    def is_allowed(self, name: str) -> bool:
        """Whether the server has not refused this transport as such."""
        return name not in self._not_allowed

    def is_due(self, name: str) -> bool:
        """Whether a transport is allowed, and has not failed lately."""
        return self.is_allowed(name) and self._health.is_well(name, self._now())

    def retry_at(self, name: str) -> float:
        """When a transport that has failed is worth another try."""
        return self._health.retry_at(name, self._now())

    def choose(self, names: Sequence[str]) -> str:
        """The most wanted transport that is allowed and well; if none is, the one that will be soonest.

        Those that have not failed since a carrier was of use come first, then the one that failed longest ago: two that
        fail slowly enough would else be well again in turns, and the third never be tried.
        """
        allowed = [name for name in names if self.is_allowed(name)] or list(names)
        now = self._now()
        well = [name for name in allowed if self._health.is_well(name, now)]
        if not well:
            return min(allowed, key=self.retry_at)
        return min(well, key=lambda name: self._failed_at.get(name, -1.0))

    def opening_poll(self) -> str | None:
        """The most wanted of the polls that are allowed and well, if any: what opens a session for a stream."""
        polls = (name for name in self._settings.transports if has_shape(name, Shape.POLL))
        return next(filter(self.is_due, polls), None)

    def patience(self, name: str = "") -> float:
        """How many seconds an attempt to carry may take; or to get through beside the carrier in use, by `name`.

        Each that was waited for in vain doubles it; other failures say nothing about how slow the way is.
        """
        least, machine = self._settings.attach_timeout, self._machine
        grown = self._probe_patience.get(name, 0.0) if name else self._patience
        if machine.sid:
            grown = min(grown, (machine.contact + machine.server.lifetime - self._now()) * SHARE)
        return max(least, grown)

    def pause(self, end: CarrierEnd) -> float:
        """How many seconds to wait before the carrier that follows this end; 0 for none at all."""
        if end.superseded:
            most = min(self._settings.backoff[1], self._machine.server.resume_window / 3)
            return min(0.3 * 2.0 ** min(self._superseded_in_a_row - 1, 60), most)
        if self.failed_in_a_row > 1:  # the first attempt after a good carrier is made at once
            return self._settings.pause(self.failed_in_a_row - 2)
        return 0.0

    def history(self) -> dict[str, tuple[str, float]]:
        """What failed lately: how, and how many seconds ago. Told to the server with an open."""
        now = self._now()
        failures = {name: self._health.failure(name, now) for name in self._settings.transports}
        return {name: (failure.how, now - failure.at) for name, failure in failures.items() if failure is not None}
