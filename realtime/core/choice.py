"""Which transports there are for a client's session, what is known of each, and which one is to be tried next: what the
application has set, the server's word, and what was seen to fail. Its twin stands in `client-js/src/supervision.js`.

Pure: times are passed in, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .health import Health

__all__ = ["DUPLEX", "FOREVER", "HELD", "POLL", "STREAM", "Choice", "Rules"]

# What a carrier is: both ways at once, one long answer, a poll that is held, a poll that is answered at once.
DUPLEX, STREAM, HELD, POLL = range(4)

FOREVER = float("inf")
# Where other sessions of a page hold requests enough, what needs another one waits behind everything else.
CROWDED = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the application has set. Times in seconds; pairs: the first and the longest."""

    attach_timeout: float = 5.0  # for one carrier to open or attach, or a probe to be answered
    open_timeout: float = 30.0  # for opening, all transports together
    race_delay: float = 0.25  # how long a WebSocket has to itself at opening
    backoff: tuple[float, float] = (0.1, 10.0)  # between failed attempts
    upgrade_interval: tuple[float, float] = (5.0, 300.0)  # until a transport that failed is tried again
    upgrade: bool = True  # move to better transports
    # Nobody else would try again (a page has no caller): opening goes on for open_timeout, whatever fails, and where it
    # is told that the auth data are no longer valid.
    insists: bool = False


class Choice:
    """What is known of the transports. `transports` are (name, kind), most wanted first."""

    def __init__(self, transports: Sequence[tuple[str, int]], rules: Rules) -> None:
        self.kinds: dict[str, int] = dict(transports)
        self.ranks: list[str] = list(self.kinds)  # most wanted first
        self.health: Health = Health(*rules.upgrade_interval)
        self.ruled_out: dict[str, str] = {}  # by transport: why it is out of the question
        self.attempts: dict[str, str] = {}  # what happened to each that failed last
        self.timings: dict[str, float] = {}  # seconds each took to get through, the first time it did
        self.crowded = False  # see CROWDED, and Supervision.crowd()
        self._failed_at: dict[str, float] = {}  # those of carriers that failed since one was of use
        self._not_before: dict[str, float] = {}  # somebody said when to come back

    # -- what happens ------------------------------------------------------------------------------------------------

    def rank(self, names: Iterable[str]) -> None:
        """The server's order, most wanted first, where the application has none of its own. The rest is out."""
        self.ranks = [name for name in names if name in self.kinds] or self.ranks

    def rule_out(self, name: str, why: str) -> bool:
        """A transport is out of the question: no evidence against it. Returns whether another one is left."""
        self.attempts[name] = self.ruled_out[name] = why
        return bool(self.allowed())

    def failed(self, name: str, how: str, now: float, *, carrier: bool = False, held: bool = False) -> None:
        """Evidence against a transport; `carrier`: of what was to carry. What holds one stream back holds them all."""
        self.attempts[name] = how
        self.health.failed(name, how, now)
        if held:
            for other in self.ranks:
                if self.kinds[other] == STREAM and other != name:
                    self.health.failed(other, "another stream was held back", now)
        elif carrier:
            self._failed_at[name] = now

    def come_back(self, name: str, at: float) -> None:
        """A transport is not to be tried before that: no evidence against it."""
        self._not_before[name] = at

    def of_use(self) -> bool:
        """A carrier was of use. Returns whether transports are well again that were not.

        Several that failed in a row may have met a network that was gone: they are tried again soon.
        """
        several = len(self._failed_at) > 1
        if several:
            for name in self._failed_at:
                self.health.worked(name)
        self._failed_at.clear()
        return several

    def forget(self) -> None:
        """What failed before says nothing about another network."""
        self.health.forget()
        self._failed_at.clear()
        self._not_before.clear()

    # -- questions ---------------------------------------------------------------------------------------------------

    @property
    def in_trouble(self) -> bool:
        """Whether a carrier has failed since one was of use."""
        return bool(self._failed_at)

    def allowed(self) -> list[str]:
        """Those that are not out of the question."""
        return [name for name in self.ranks if name not in self.ruled_out]

    def retry_at(self, name: str, now: float) -> float:
        """When a transport is worth a try: `now` if it is well."""
        at = max(now, self.health.retry_at(name, now), self._not_before.get(name, now))
        return at + CROWDED if self.crowded and self.kinds[name] in (STREAM, HELD) else at

    def back_at(self, now: float) -> float:
        """When the first of them may be tried by what was said of when to come back."""
        return min((self._not_before.get(name, now) for name in self.allowed()), default=now)

    def next(self, now: float) -> str:
        """The most wanted transport that is well; if none is, the one that will be soonest.

        Those that have not failed since a carrier was of use come first, then the one that failed longest ago: two that
        fail slowly enough would else be well again in turns, and the third never be tried.
        """
        return min(self.allowed(), key=lambda name: (self.retry_at(name, now), self._failed_at.get(name, -FOREVER)))

    def opener(self, now: float) -> str:
        """The most wanted of the polls that are well: what opens a session for others. Empty if there is none."""
        polls = (name for name in self.allowed() if self.kinds[name] >= HELD and self.retry_at(name, now) <= now)
        return next(polls, "")

    def better(self, current: str, *, in_doubt: bool) -> list[str]:
        """What a session would rather be carried by: what is wanted more, the one in use at its own place in the order.

        From one stream to another nothing is won. `in_doubt`: all that brings up what goes up by itself.
        """
        if in_doubt:
            return [name for name in self.allowed() if self.kinds[name] in (DUPLEX, POLL)]
        if current not in self.ranks:
            return []
        wanted = self.ranks[: self.ranks.index(current)]
        streams = self.kinds[current] == STREAM
        return [n for n in wanted if n not in self.ruled_out and not (streams and self.kinds[n] == STREAM)]

    def history(self, now: float) -> dict[str, tuple[str, float]]:
        """What failed lately: how, and how many seconds ago. Told to the server with an open."""
        failures = {name: self.health.failure(name, now) for name in self.ranks}
        return {name: (failure.how, now - failure.at) for name, failure in failures.items() if failure is not None}
