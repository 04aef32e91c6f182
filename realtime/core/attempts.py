"""A client's attempts to be carried: what was started and in which place, what is late or held back, what failures
mean, and how long to wait. The half of core/supervision that goes by time and failures; the other hears the events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .choice import FOREVER, HELD, STREAM, Choice, Rules

__all__ = ["GOOD_LIFE", "NONCE_END", "NONCE_LIFE", "OPEN_TIMED_OUT", "Action", "Attempts", "Started"]

# A carrier that lived so long, in seconds, was a good one: its end is no evidence against its transport.
GOOD_LIFE = 10.0
# How often each transport fails before opening is given up. Time-outs do not count: the opening's own ends those.
ROUNDS = 2
# So much of the time that a session has left without contact one attempt may take at the most,
SHARE = 0.25
# and so much of a session's life any pause.
LONGEST = 1 / 3
# The shortest time between two looks for something better; less where transports that failed are tried sooner.
LOOK = 1.0
# No open begins by a nonce whose first was so long ago, in seconds, and each is let go of when that was so long ago:
# a lease, for which a store that may have forgotten who has a nonce gives none (docs/protocol.md §5).
NONCE_LIFE = 7.0
NONCE_END = 10.0
# What is said where opening ended with open_timeout.
OPEN_TIMED_OUT = "no transport got through in time"

Action: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True, eq=False)
class Started:
    """A carrier that was started."""

    id: int
    name: str  # of its transport
    kind: int
    role: str  # "carry" of the newest and the one before, "open" or "probe" of the one beside
    opens: bool  # it started when there was no session yet
    since: float
    limit: float  # how many seconds it may take
    late_at: float
    verdict_at: float = FOREVER  # a stream that is mute then is held back by something
    attached: bool = False


class Attempts:
    """See Supervision, which is this and the events."""

    def __init__(
        self, transports: Sequence[tuple[str, int]], rules: Rules, jitter: Callable[[], float], now: float
    ) -> None:
        self.rules = rules
        self.choice: Choice = Choice(transports, rules)
        # What the shell sets, before a turn.
        self.contact: float = now  # when anything came last
        self.waits: bool = False  # nothing is to be started now
        self.calm: bool = False  # the session is open and not about to end: a time to look for something better
        # What the shell may read.
        self.current: str = ""  # the transport that carries, or did last
        self.post_at: float = 0.0  # no POST before that
        self.is_open: bool = False  # there is a session
        self.is_over: bool = False
        # What the server announced: see opened().
        self.lifetime: float = rules.open_timeout
        self.held: float = 0.0
        self.poll_interval: tuple[float, float] = (0.0, 0.0)
        # Carriers.
        self.newest: Started | None = None  # the one that is to carry; between two polls there is none
        self.old: Started | None = None  # the one before, until the newest is attached
        self.beside: Started | None = None  # a probe, or a second way of opening
        self._count = 0
        self._goes_on = ""  # with that transport: the next poll, a recycled stream
        self._began: float | None = None  # when the newest, or its run of polls, began to carry
        self._pause = 0.0  # between two plain polls
        self._raced = False
        self._nonce_since: float | None = None  # the first open by it
        self._in_doubt = False  # what goes up beside the carrier in use does not get through
        self._renewing = self._renewed = False
        # In a row.
        self.fails: int = 0  # of carriers; forgotten when something was delivered, or after a good life
        self.posts_failed: int = 0  # forgotten when what goes up has got through, by a POST or on a carrier
        self._posts_since = 0.0
        self._opening_failed = self._superseded = 0
        self._late: dict[str, int] = {}  # time-outs: of carriers (""), and by transport of probes
        # When what is due. deadline() is what the last turn() has found to be next.
        self._open_by = now + rules.open_timeout
        self._start_at = now
        self._grace_at = self._upgrade_at = FOREVER
        self._deadline = now
        self._actions: list[Action] = []
        self._jitter = jitter

    # -- what is due ---------------------------------------------------------------------------------------------------

    def _due(self, when: float, now: float) -> bool:
        """Whether it is time; if not, deadline() knows of it."""
        if when > now:
            self._deadline = min(self._deadline, when)
        return when <= now

    def _watch(self, now: float) -> None:
        """What was started and is late, or held back; opening as a whole; a life that has become a good one."""
        if not self.is_open and not self._renewing and self._due(self._open_by, now):
            self._end(4411, OPEN_TIMED_OUT)
        for carrier in (self.newest, self.beside):
            if carrier is None or carrier.attached or self.is_over:
                continue
            if self._due(carrier.verdict_at, now):
                self._give_up(carrier, now, "held back by something in between", held=True)
            elif carrier is self.newest and self._due(self._grace_at, now):
                self._give_up(carrier, now, "no answer while HTTP had one")
            elif self._due(carrier.late_at, now):
                mute = carrier.kind == STREAM
                how = "no data in time: held back, or mute" if mute else "no answer in time"
                self._give_up(carrier, now, how, late=True)
        if self._began is not None and self.choice.in_trouble and self._due(self._began + GOOD_LIFE, now):
            self._of_use(now)

    # -- starting and stopping ---------------------------------------------------------------------------------------

    def _start(self, name: str, now: float) -> None:
        """Makes transport `name` carry the session from now on."""
        kinds = self.choice.kinds
        if not self.is_open and kinds[name] == STREAM:
            # A session is opened by a poll where there is one, so that the stream can be tested against a POST.
            name = self.choice.opener(now) or name
        if not (self._goes_on and kinds[name] >= HELD):
            self._began = None
        self._goes_on = ""
        self._stop(self.old)
        self._become(self._begin(name, "carry", now))

    def _begin(self, name: str, role: str, now: float) -> Started:
        self._count += 1
        kind, opens = self.choice.kinds[name], not self.is_open
        limit = self.patience(now, name if role == "probe" else "")
        if kind == HELD and role == "carry" and not opens:
            limit = max(limit, self.held)
        if opens and role != "probe":
            limit = min(limit, self._mind_nonce(now))
        carrier = Started(self._count, name, kind, role, opens, now, limit, now + limit)
        self._due(carrier.late_at, now)
        self._actions.append(("start", carrier.id, name, role))
        if kind == STREAM and not opens:
            self._actions.append(("test", carrier.id))
        return carrier

    def _mind_nonce(self, now: float) -> float:
        """An open is to begin: by another nonce if the one before is too old. How many seconds it may take."""
        if self._nonce_since is None:
            self._nonce_since = now
        elif not self._nonce_is_young(now):
            for carrier in (self.newest, self.old, self.beside):
                self._stop(carrier)
            self._nonce_since = now
            self._actions.append(("anew",))
        return self._nonce_since + NONCE_END - now

    def _nonce_is_young(self, now: float) -> bool:
        return self._nonce_since is None or now - self._nonce_since <= NONCE_LIFE

    def _become(self, carrier: Started) -> None:
        """Makes `carrier` the newest; the one before goes on until that is attached."""
        self._stop(self.old)
        self.old, self.newest = self.newest, carrier
        self._grace_at = FOREVER

    def _stop(self, carrier: Started | None) -> None:
        if carrier is not None:
            self._actions.append(("stop", carrier.id))
            self._out(carrier.id)

    def _find(self, ident: int) -> Started | None:
        for carrier in (self.newest, self.old, self.beside):
            if carrier is not None and carrier.id == ident and not self.is_over:
                return carrier
        return None

    def _out(self, ident: int) -> Started | None:
        """Takes a carrier out of its place. None if it had none, or that of the old one, whose end means nothing."""
        carrier = self._find(ident)
        if carrier is None:
            return None
        if carrier is self.old:
            self.old = None
            return None
        if carrier is self.newest:
            self.newest, self._grace_at = None, FOREVER
        else:
            self.beside = None
        return carrier

    def _promote(self) -> bool:
        """What opens the session beside a carrier that is gone takes its place."""
        if self.beside is None or self.beside.role != "open":
            return False
        self.newest, self.beside = self.beside, None
        self.newest.role = "carry"
        return True

    def _end(self, code: int, reason: str) -> None:
        self._actions.append(("end", code, reason))
        self.is_over = True

    # -- what failures mean ------------------------------------------------------------------------------------------

    def _give_up(self, carrier: Started, now: float, how: str, *, late: bool = False, held: bool = False) -> None:
        self._stop(carrier)
        if late:
            key = "" if carrier.role != "probe" else carrier.name
            self._late[key] = self._late.get(key, 0) + 1
        self._failed(carrier, now, how, late=late, held=held)

    def _failed(self, carrier: Started, now: float, how: str, *, late: bool = False, held: bool = False) -> None:
        """A carrier that has left its place has failed."""
        carries = carrier.role == "carry"
        if self._lived_well(carrier, now):
            self._of_use(now)
            self.choice.attempts[carrier.name] = how
            self.choice.health.worked(carrier.name)
        else:
            self.choice.failed(carrier.name, how, now, carrier=carries, held=held)
        if not carries:
            if carrier.attached:
                self._grant(now, now - carrier.since)  # it has opened the session
            return
        self._began = None
        self.fails += 1
        self._back_off(now)
        promoted = self._promote()
        if self.is_open or self.rules.insists or late:
            return
        self._opening_failed += 1
        if not promoted and self._opening_failed >= ROUNDS * len(self.choice.allowed()):
            self._end(4411, f"no transport got through: {carrier.name}: {how}")

    def _grant(self, now: float, seconds: float) -> None:
        """HTTP has opened the session; the WebSocket, which is wanted more, has a little longer. Its handshake takes a
        round trip more where HTTP has a connection already."""
        if self.newest is not None and not self.newest.attached and self.is_open:
            self._grace_at = now + seconds

    def _back_off(self, now: float) -> None:
        """When to start the next carrier: the first one at once, and while opening the first of each transport."""
        self._start_at = max(now, self.choice.back_at(now))
        every = 1 if self.is_open else max(len(self.choice.allowed()), 1)
        rounds, rest = divmod(self.fails, every)
        times = rounds - 2 if self.is_open else rounds - 1
        if not rest and times >= 0:
            self._start_at = max(self._start_at, now + self._backed_off(times))

    def _backed_off(self, times: int) -> float:
        least, most = self.rules.backoff
        return min(least * 2.0 ** min(times, 60), most) * (0.5 + self._jitter() / 2)

    def _of_use(self, now: float) -> None:
        self.fails = 0
        if self.choice.of_use():
            self._upgrade_at = min(self._upgrade_at, now + self._look)

    def _lived_well(self, carrier: Started, now: float) -> bool:
        return carrier.attached and self._began is not None and now - self._began >= GOOD_LIFE

    def _got_through(self, carrier: Started, now: float) -> None:
        if carrier.kind != HELD or carrier.opens:  # how long a poll is held is no measure
            self.choice.timings.setdefault(carrier.name, now - carrier.since)

    # -- times -------------------------------------------------------------------------------------------------------

    def patience(self, now: float, name: str = "") -> float:
        """How many seconds an attempt may take to carry, or, by `name`, to get through beside the carrier in use.

        Each that was waited for in vain doubles it; other failures say nothing about how slow the way is.
        """
        least = self.rules.attach_timeout
        grown = least * 2.0 ** min(self._late.get(name, 0), 60)
        if self.is_open:
            grown = min(grown, (self.contact + self.lifetime - now) * SHARE)
        return max(least, grown)

    @property
    def _look(self) -> float:
        return min(self.rules.upgrade_interval[0] / 5, LOOK)

    @property
    def _longest(self) -> float:
        return self.lifetime * LONGEST
