"""Whether a client is ahead of the store, which may have gone back: both ends' judgement (docs/protocol.md §13.3).

A client names the tenure that it read of last, and has counted under it. The next owner began with some numbers. What
the client has above these was lost. Comparing its numbers with the present ones would show nothing: the next owner may
have given the same numbers to something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from .record import Tenure

__all__ = ["Answer", "Follower", "Shown", "Verdict", "judge", "successor"]


class Shown(NamedTuple):
    """What a request says of what its client has."""

    tenure: str  # that it read of last; "" for none yet
    received: int = 0
    taken: int = 0
    first: int = 1  # the lowest number that it has not had acknowledged
    gen: int = 0  # 0: a send


class Verdict(Enum):
    """What a request is told."""

    FINE = "fine"
    SUPERSEDED = "superseded"  # late: it is not judged, since what it names may be forgotten
    LATER = "later"  # a send of a tenure that is not known any more: 4503
    AHEAD = "ahead"  # the store has lost what its client has: the session ends with 4414


def successor(tenures: Sequence[Tenure], named: str) -> Tenure | None:
    """The numbers that end what a client has counted under the tenure it names: with which the next owner began. None
    if there is no next one."""
    ids = [tenure.id for tenure in tenures]
    behind = ids.index(named) + 1
    return tenures[behind] if behind < len(tenures) else None


def judge(tenures: Sequence[Tenure], now: Tenure, gen: int, shown: Shown) -> Verdict:
    """Of a request, where the owner's numbers are these now. `gen` is the highest one known."""
    if shown.gen and shown.gen < gen:
        return Verdict.SUPERSEDED
    if not shown.tenure:
        return Verdict.FINE  # it has nothing yet
    if all(tenure.id != shown.tenure for tenure in tenures):
        return Verdict.AHEAD if shown.gen else Verdict.LATER
    bound = successor(tenures, shown.tenure) or now
    ahead = shown.received > bound.sent or shown.first - 1 > bound.received
    return Verdict.AHEAD if ahead else Verdict.FINE


class Answer(Enum):
    """What a client makes of an answer that names a tenure."""

    SAME = "same"  # it counts
    CHANGED = "changed"  # it counts, and nothing more of older carriers does
    STALE = "stale"  # it answers what this client has gone beyond, or is of an owner that it has not attached to
    AHEAD = "ahead"  # this client has what the new owner has not: 4414


class Follower:
    """The client's side: which tenure it knows."""

    def __init__(self) -> None:
        self.tenure: str = ""

    def attached(self, named: str, tenure: str, began: Tenure | None, received: int, acked: int, taken: int) -> Answer:
        """`r`, or `o`, is read, on a carrier whose request has named a tenure. `began`: with what the one behind that
        began. The numbers are the client's own: they may have grown since that request."""
        if tenure == self.tenure:
            return Answer.SAME
        if named != self.tenure:
            return Answer.STALE
        if self.tenure and (began is None or received > began.sent or acked > began.received or taken > began.taken):
            return Answer.AHEAD
        self.tenure = tenure
        return Answer.CHANGED

    def answered(self, named: str, tenure: str) -> Answer:
        """The answer to a send is read, which has named a tenure. STALE: its acks do not count."""
        return Answer.SAME if named == tenure == self.tenure else Answer.STALE

    def has_moved(self, named: str, tenure: str) -> bool:
        """Whether the answer to a send shows that another owner has the session."""
        return named == self.tenure != tenure
