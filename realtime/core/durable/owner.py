"""A durable session at the worker that has it: what has arrived, what is written and how that ends, what requests are
told, and when its handler is given what (docs/protocol.md §13). Pure: ids, times and the store's answers are arguments.

    changes ──write()──> one write at a time ──answered()──> stored: now sends may go out, and acks
                              │ unknown: again(), under the same id
                              └ another id is there: an older one of ours (the store went back) is written over; any
                                other means that another worker has the session: this one is fenced

Nothing that is not stored leaves this worker: no message, no ack, no end.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import NamedTuple

from .changes import Attempt, Change, Context, Touch, discarded
from .lineage import Shown, Verdict, judge, successor
from .record import IDS, Arrived, Close, Record, Stage, Tenure

__all__ = ["MOST_ATTEMPTS", "Arrival", "Given", "Hand", "Outcome", "Owner", "Write"]

MOST_ATTEMPTS = 3  # of one message, or of a handler's beginning, behind takeovers
BEGINNING, MESSAGE = "beginning", "message"
KNOWN = 64  # ids of writes, its own and those before, by which an owner knows that the store went back


class Write(NamedTuple):
    """What the store is asked: put this where `expected` is, and say which id is there then."""

    expected: str
    record: Record


class Outcome(Enum):
    """What the store's answer says of a write, or of an owner."""

    STORED = "stored"
    BEHIND = "behind"  # the store went back: what this owner has is written again
    FENCED = "fenced"  # another worker has the session; nothing more is said here, and its carriers are cut


class Arrival(Enum):
    """What a numbered frame up is."""

    NEW = "new"
    KNOWN = "known"
    GAP = "gap"


class Hand(Enum):
    """What a handler is given now."""

    NOTHING = "nothing"  # it waits
    COUNT = "count"  # a write has to count the attempt first
    POISON = "poison"  # it has been tried often enough: 1011
    GIVE = "give"
    OVER = "over"  # the client has closed, and everything in front of that is taken


class Given(NamedTuple):
    """A message for a handler."""

    turn: int  # its number
    data: Arrived
    redelivered: bool  # an earlier handler has committed something of this turn


class Owner:
    """One worker's hold of one session, from its takeover (or its opening) to the end of that."""

    def __init__(self, record: Record, *, suspected: bool = False, most: int | None = None) -> None:
        """`record` is in the store. `suspected`: it was taken from a worker that died, maybe by what it was doing."""
        self.record: Record = record
        self.tenure: Tenure = record.tenure
        self.fenced: bool = False
        self.leaving: bool = False  # it is handed over: nothing is begun any more
        self.gen: int = record.gen
        self.used: bool = record.used
        self.acked: int = record.sent - len(record.outbox)  # by the client
        self.floor: int = self.tenure.sent  # numbers up to here may have been read, from some owner
        self._named = ""  # the tenure that the client attached with last
        self._arrived: list[Arrived] = []
        self._closed: Close | None = None
        self._most = most
        self._changes: deque[Change] = deque()
        self._flying: Write | None = None
        self._known: deque[str] = deque(record.before, maxlen=KNOWN)
        self._uncounted = {BEGINNING, MESSAGE} if suspected else set()  # what has to be counted before it is tried

    # -- what arrives ------------------------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """The highest number that is here; it may not be stored yet."""
        return self.record.received + len(self._arrived) + (self._closed is not None)

    @property
    def _messages(self) -> int:
        """The number of the last message that is stored."""
        return self.record.received - (self.record.closed is not None)

    @property
    def closed(self) -> bool:
        """Whether the client's close is here; it may not be stored yet."""
        return self._closed is not None or self.record.closed is not None

    @property
    def stored(self) -> bool:
        """Whether all that has arrived is: only then is a send answered, or a poll that has brought messages."""
        return self.received == self.record.received

    @property
    def acks(self) -> tuple[int, int]:
        """What the client may be told: received and taken, as far as they are stored."""
        return self.record.received, self.record.taken

    def arrive(self, number: int, item: Arrived | Close) -> Arrival:
        """A numbered frame came up."""
        if number <= self.received or self.closed or self.record.stage is Stage.ENDED:
            return Arrival.KNOWN
        if number > self.received + 1:
            return Arrival.GAP
        if isinstance(item, Close):
            self._closed = item
        else:
            self._arrived.append(item)
        return Arrival.NEW

    # -- requests ----------------------------------------------------------------------------------------------------

    def judge(self, shown: Shown) -> Verdict:
        """What becomes of a request."""
        return judge(self.record.tenures, self.record.now(), self.gen, shown)

    def accept(self, shown: Shown) -> Tenure | None:
        """A request is fine, and its acks count. With which numbers the owner began that followed the one which the
        client knows; None where that is this one."""
        self.acked = max(self.acked, min(shown.received, self.record.sent))
        if shown.gen:
            self.gen = shown.gen
        if not shown.tenure:
            return None
        self.used = True
        if shown.gen:
            self._named = shown.tenure
        return successor(self.record.tenures, shown.tenure)

    def acknowledged(self, received: int) -> None:
        """The client has received so much, as it says on its carrier."""
        self.acked = max(self.acked, min(received, self.record.sent))
        self.used = True

    @property
    def last(self) -> int:
        """The highest number that may be written to carriers now: all of these are stored, and a note of drops that a
        write is about to change waits for that."""
        sent = self.record.sent
        if self._flying is None or self._flying.record.item(sent) in (None, self.record.item(sent)):
            return sent
        return sent - 1

    def handed(self, number: int) -> None:
        """This number is written to a carrier."""
        self.floor = max(self.floor, number)

    @property
    def outstanding(self) -> int:
        """How many items the client has not acknowledged. (The record lets them go with the next write.)"""
        return self.record.sent - self.acked

    # -- the handler -------------------------------------------------------------------------------------------------

    def begin(self) -> Hand:
        """Whether a handler may begin."""
        if self.record.stage is not Stage.LIVE or self.leaving:
            return Hand.NOTHING
        return self._counted(self.record.starts, BEGINNING)

    def hand(self) -> tuple[Hand, Given | None]:
        """What the handler is given that asks for the next message."""
        record = self.record
        if record.stage is not Stage.LIVE or self.leaving:
            return Hand.NOTHING, None
        waiting = [*record.inbox, *self._arrived]
        if not waiting:
            return Hand.OVER if self.closed else Hand.NOTHING, None
        verdict = self._counted(record.attempts, MESSAGE)
        return verdict, Given(record.taken + 1, waiting[0], record.redelivered) if verdict is Hand.GIVE else None

    def _counted(self, times: int, what: str) -> Hand:
        if what not in self._uncounted:
            return Hand.GIVE
        if times >= MOST_ATTEMPTS:
            return Hand.POISON
        self._uncounted.remove(what)
        self.change(Attempt(self.record.taken + 1 if what == MESSAGE else 0))
        return Hand.COUNT

    # -- writes ------------------------------------------------------------------------------------------------------

    def change(self, change: Change) -> None:
        """The next write does this too."""
        self._changes.append(change)

    @property
    def waiting(self) -> bool:
        """Whether there is something to write, and nothing is under way: a session's writes go one at a time."""
        return self._flying is None and not self.fenced and (bool(self._changes) or not self.stored)

    def write(self, id: str) -> Write:
        """The next write, under an id that was never used before."""
        old, context = self.record, Context(self.floor, self._most)
        acked = max(0, self.acked - (old.sent - len(old.outbox)))
        tenures = old.tenures
        if self._named:
            tenures = tenures[[tenure.id for tenure in tenures].index(self._named) :]
        record = old._replace(
            id=id,
            before=(*old.before, old.id)[-IDS:],
            tenures=tenures,
            gen=self.gen,
            used=self.used,
            outbox=old.outbox[acked:],
            inbox=(*old.inbox, *self._arrived),
            received=self.received,
            closed=old.closed or self._closed,
        )
        record = discarded(record)
        while self._changes:
            record = self._changes.popleft().apply(record, context)
        self._flying = Write(old.id, record)
        return self._flying

    def again(self) -> Write:
        """The write whose outcome nobody knows, or which the store had gone back behind: under the same id."""
        assert self._flying is not None
        return self._flying

    def answered(self, found: str) -> Outcome:
        """The store shows this id, behind the write: that has happened if it is its own, and only then."""
        assert self._flying is not None
        record = self._flying.record
        if found == record.id:
            self._known.append(self.record.id)
            if record.closed is not None:
                self._closed = None
            del self._arrived[: record.received - (record.closed is not None) - self._messages]
            self.record = record
            self._flying = None
            return Outcome.STORED
        if found == self.record.id or found in self._known:
            self._flying = Write(found, record)
            return Outcome.BEHIND
        self.fenced = True
        return Outcome.FENCED

    def compare(self, found: str) -> Outcome:
        """The store shows this id, as it was asked during this tenure, and after another run of it had begun. A store
        that went back is written to at once: it may be the last that this owner does. (A write that is under way will
        tell by itself.)"""
        if found == self.record.id or self._flying is not None:
            return Outcome.STORED
        if found in self._known:
            self.change(Touch())
            return Outcome.BEHIND
        self.fenced = True
        return Outcome.FENCED
