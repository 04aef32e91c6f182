"""The names that a worker claims before a handler starts: opening nonces, and what clients choose for their sessions
(docs/scaling.md §7).

Of each name it is known here who waits for the answer to its claim, and which session has begun by it: so no name opens
two. Pure: what the store answers, and the time, are arguments.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from .leases import Later

__all__ = ["Answer", "Claim", "Claims", "Runs"]


class Claim(NamedTuple):
    """Who has a name, as the store keeps it."""

    sid: str  # of the session that it opens, or has opened: its worker is in it
    digest: str  # of what an open by this name is bound to; "" for nothing

    @property
    def worker(self) -> str:
        """Whose it is."""
        return self.sid.partition(".")[0]


Answer: TypeAlias = Claim | Later
"""What the store says to a claim: who has the name now. Later: nobody, and none is given now; or it did not answer."""

Tell: TypeAlias = Callable[[Answer], None]


class _Opening:
    """A name on its way: its claim is asked for, or was won and nothing has begun yet."""

    __slots__ = ("claim", "tells", "users")

    def __init__(self) -> None:
        self.claim: Claim | None = None  # that was won
        self.tells: list[Tell] = []
        self.users = 0  # who were told that it is theirs, and have not said what came of it


class Claims:
    """The names of one worker. `life` is for how long the store keeps a claim, in seconds. Of names that nobody comes
    by any more, the last `most` are known."""

    def __init__(self, worker: str, life: float, most: int) -> None:
        self.worker = worker
        self.life = life
        self._most = most
        self._openings: dict[str, _Opening] = {}
        self._lasting: dict[str, Claim] = {}  # of sessions that live, and whose clients come by the name
        self._held: OrderedDict[str, tuple[Claim, float]] = OrderedDict()  # the others, until when: oldest first

    def __len__(self) -> int:
        return len(self._openings) + len(self._lasting) + len(self._held)

    # -- an open ---------------------------------------------------------------------------------------------------

    def ask(self, name: str, tell: Tell) -> bool:
        """Somebody opens by this name, by which there is no session here. `tell` is told the answer, maybe at once;
        True if the store is to be asked for it, with answered() behind."""
        opening = self._openings.get(name)
        if opening is None:
            self._lasting.pop(name, None)  # its session has ended, and longer ago than anybody is told of
            self._held.pop(name, None)
            opening = self._openings[name] = _Opening()
            opening.tells.append(tell)
            return True
        if opening.claim is None:
            opening.tells.append(tell)
        else:
            opening.users += 1
            tell(opening.claim)
        return False

    def answered(self, name: str, answer: Answer) -> None:
        """The store's answer: all who wait for it are told."""
        opening = self._openings[name]
        tells, opening.tells = opening.tells, []
        if isinstance(answer, Claim) and answer.worker == self.worker:
            opening.claim = answer
            opening.users += len(tells)
        else:
            del self._openings[name]
        for tell in tells:
            tell(answer)

    def settled(self, name: str, begun: Claim | None, now: float) -> Claim | None:
        """One of those who were told that the name is theirs has opened a session by it (`begun`), or has found the one
        that another of them has opened; or has opened none.

        The claim that is to be given back, if all have said so and nothing has begun.
        """
        opening = self._openings[name]
        opening.users -= 1
        if begun is not None:
            if begun.digest:
                self._hold(name, begun, now)
            else:
                self._lasting[name] = begun
        if opening.users:
            return None
        del self._openings[name]
        return None if name in self._lasting or name in self._held else opening.claim

    # -- what has begun --------------------------------------------------------------------------------------------

    def _hold(self, name: str, claim: Claim, now: float) -> None:
        self._held[name] = claim, now + self.life
        self._held.move_to_end(name)
        if len(self._held) > self._most:
            self._held.popitem(last=False)

    def ended(self, name: str, now: float) -> None:
        """The session of this name has ended: the name is forgotten when the store has forgotten it."""
        claim = self._lasting.pop(name, None)
        if claim is not None:
            self._hold(name, claim, now)

    def begun(self, now: float) -> list[tuple[str, Claim]]:
        """The claims of all handlers that have begun, which another run of the store is told again; none of opens that
        are still on their way."""
        self.forget(now)
        return [*self._lasting.items(), *((name, claim) for name, (claim, _) in self._held.items())]

    def lasting(self) -> list[tuple[str, Claim]]:
        """The claims that have to be renewed before their life is over: clients come by these names for as long as
        their sessions live. (An open that is bound to something is not repeated once its session is used.)"""
        return list(self._lasting.items())

    def forget(self, now: float) -> None:
        """Drops what the store has forgotten, too."""
        while self._held and next(iter(self._held.values()))[1] <= now:
            self._held.popitem(last=False)


class Runs:
    """Since when each run of the store may have been without claims that were made before. For one lease from then a
    name that nobody has claimed there is not given to anybody: an open by it may have begun elsewhere."""

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._free: dict[str, float] = {}

    def met(self, run: str, ago: float, now: float) -> None:
        """The first worker to meet this run of the store did so `ago` seconds before now."""
        self._free[run] = max(self._free.get(run, now - ago + self._lease), now - ago + self._lease)

    def known(self, run: str) -> bool:
        """Whether it is known when this run was met first."""
        return run in self._free

    def may_claim(self, run: str, now: float) -> bool:
        """Whether unclaimed names may be claimed in this run."""
        return self._free.get(run, now + 1.0) <= now

    def wait(self, now: float) -> float:
        """In how many seconds they may be in all that are known; 0.0 where they may."""
        return max((now, *self._free.values())) - now

    def gone(self, runs: set[str]) -> None:
        """Only these runs are left."""
        for run in self._free.keys() - runs:
            del self._free[run]
