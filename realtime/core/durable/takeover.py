"""Who goes on with a durable session, and what becomes of one that nobody has (docs/protocol.md §13).

Time and connections prove nothing here for good: what makes a takeover safe is that it is a write, behind which no
write of the owner before has any effect. They only say when one is worth it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple, TypeAlias

from ..leases import Gone, Later, Peer
from .record import IDS, TENURES, Close, Record, Stage, Tenure

__all__ = [
    "NOBODY",
    "Notice",
    "Orphan",
    "Place",
    "Step",
    "Underway",
    "abandoned",
    "indexed",
    "orphan",
    "place",
    "taken_over",
    "told",
    "unclaimed",
    "unfinished",
]


NOBODY = "-"
"""In the place of an owner that was found gone: from then on its client has its time to come back."""


class Step(Enum):
    """What the worker does that was asked for a session."""

    SERVE = "serve"  # it has it
    TAKE = "take"  # nobody does
    TOMBSTONE = "tombstone"  # it has ended: its record says how
    UNKNOWN = "unknown"  # there is no such session, or it ended too long ago


Place: TypeAlias = Step | Peer | Later
"""Where a request is answered: by this worker, so; by another one; or nobody can say now."""


def place(record: Record | None, worker: str, *, has: bool, owner: Peer | Gone | Later) -> Place:
    """Where a request for a session goes, of which the store has this. `has`: this worker has it. `owner`: what is
    known of the worker that the record names (core.leases.judge)."""
    if has:
        return Step.SERVE
    if record is None:
        return Step.UNKNOWN
    if record.stage is Stage.ENDED:
        return Step.TOMBSTONE
    if record.owner in ("", worker):
        return Step.TAKE  # it was handed over; or a takeover of this worker's own came to nothing here
    return Step.TAKE if isinstance(owner, Gone) else owner


class Notice(NamedTuple):
    """Left with a takeover, in the same write, for the worker that had the session: it may live, and have nothing to
    write by which it would notice."""

    session: str
    tenure: str  # that is over

    def concerns(self, tenure: str) -> bool:
        """Whether that is what the worker has. It may have taken the session back since."""
        return tenure == self.tenure


def taken_over(record: Record, worker: str, id: str, tenure: str) -> Record:
    """What a takeover writes where `record` is. Both ids were never used before. It has happened if the store shows its
    id behind it, and only then; its outcome is asked for under the same id."""
    return record._replace(
        id=id,
        before=(*record.before, record.id)[-IDS:],
        owner=worker,
        tenures=(*record.tenures, Tenure(tenure, record.sent, record.received, record.taken))[-TENURES:],
    )


class Underway:
    """The takeovers of one worker: of each session one at a time. Its record names this worker as soon as one is
    written, and before the answer is here: who looks in between would take the session from its own worker."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], object]]] = {}

    def begins(self, session: str, then: Callable[[], object]) -> bool:
        """Whether this one may begin, with ended() behind. If not, another is under way, and `then` is called when that
        has ended: whoever waits looks again."""
        if session in self._waiting:
            self._waiting[session].append(then)
            return False
        self._waiting[session] = []
        return True

    def ended(self, session: str) -> None:
        """It has come to an end, whatever that is."""
        for then in self._waiting.pop(session):
            then()


class Orphan(Enum):
    """What becomes of a session whose owner is gone, and which no request asks for."""

    LEAVE = "leave"  # nothing: its client may still come back
    PUBLISH = "publish"  # it has ended, and its last publishes are still due
    TAKE = "take"  # its client has closed and gone: a handler takes what is in front of that
    END = "end"  # nobody came back for it: it ends, and no handler runs


def orphan(record: Record, idle: float, window: float) -> Orphan:
    """What is to be done with it. `idle`: since when nothing was written, in seconds; `window`: how long a client may
    stay away, with what a request may take."""
    if record.stage is Stage.ENDED:
        return Orphan.PUBLISH if record.publishes else Orphan.LEAVE
    if record.draining:
        return Orphan.TAKE
    return Orphan.END if idle > window else Orphan.LEAVE


def unfinished(record: Record) -> bool:
    """Whether something is due of it for which nobody's client has to come: where its owner is gone, that is not left
    until it would."""
    return bool(record.publishes) or record.draining


def unclaimed(record: Record) -> Close:
    """How a session ends that nobody came back for."""
    return Close(4412 if record.stage is Stage.CLOSING else 4410 if record.used else 4408)


def abandoned(record: Record, id: str) -> Record:
    """What is written where an owner is found gone. How long it was silent before says nothing of its client: an idle
    session is written nothing."""
    return record._replace(id=id, before=(*record.before, record.id)[-IDS:], owner=NOBODY)


def indexed(record: Record) -> bool:
    """Whether the index of orphans has it: what is not in there is never looked at."""
    return record.stage is not Stage.ENDED or bool(record.publishes)


def told(notices: Iterable[Notice], session: str, tenure: str) -> bool:
    """Whether one of these notices ends this hold of this session."""
    return any(notice.session == session and notice.concerns(tenure) for notice in notices)
