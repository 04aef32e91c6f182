"""What a worker knows of a room: what it has passed to its members, what is missing, and whether the store went back.

Told what the subscription brings and what readings say; tells its owner what to deliver, what is lost, what to read and
when the epoch has to be raised (docs/scaling.md §3). Knows neither Redis nor members.
"""

from __future__ import annotations

from typing import Protocol

from .rooms import Entry, Position, Reading

__all__ = ["Follower", "Owner"]

RECENT = 64  # ids of so many messages are kept, to tell a repetition from another message in its place


class Owner(Protocol):
    """Who does what a follower asks for."""

    def read(self, after: Position | None, known: Position | None) -> None:
        """Read the room behind `after` (None: only where it stands) with the id at `known`; then call answer()."""

    def raise_epoch(self, seen: int, above: int) -> None:
        """Raise the epoch above `above`, if it is still `seen`; then call raised()."""

    def retry(self) -> None:
        """Call compare() in a while."""

    def deliver(self, entry: Entry) -> None:
        """The next message for all members."""

    def gap(self, position: Position, lost: int | None) -> None:
        """So many messages are lost to the members (None: nobody knows how many). It goes on at `position`."""

    def closed(self, at: tuple[int, int]) -> None:
        """The room was closed there, by a message that was among the lost."""

    def ready(self) -> None:
        """Members may join: what is delivered from here on is complete, or the gap is told."""


class Follower:
    """One room, as this worker follows it. `history`: the room keeps its messages, so what is missing can be read.

    At most `max_held` messages with `max_held_size` bytes wait for what is missing before them; `patience` seconds pass
    before a top that nobody has heard of counts as a loss, where there is no history.
    """

    __slots__ = (
        "_again",
        "_asked",
        "_gap",
        "_held",
        "_held_size",
        "_history",
        "_last_closing",
        "_max_held",
        "_max_held_size",
        "_owner",
        "_patience",
        "_reading",
        "_recent",
        "_suspected",
        "closed",
        "heard",
        "live",
        "position",
    )

    def __init__(
        self,
        history: bool,
        owner: Owner,
        *,
        max_held: int = 256,
        max_held_size: int = 1_048_576,
        patience: float = 2.0,
    ) -> None:
        self.position: Position | None = None  # delivered up to here
        self.heard: Position | None = None  # the furthest that snapshots and answers have told of
        self.live: bool = False  # subscribed, and compared since
        self.closed: tuple[int, int] = (0, 0)  # where the room was closed last, so far as its members have left
        self._history = history
        self._owner = owner
        self._max_held = max_held
        self._max_held_size = max_held_size
        self._patience = patience
        self._gap = False  # something is missing before what is held
        self._held: list[Entry] = []
        self._held_size = 0
        self._reading = False
        self._again = False  # compare again, when the reading is answered
        self._asked: Position | None = None
        self._last_closing = (0, 0)  # where the room was closed last, by what was read last
        self._recent: dict[tuple[int, int], str] = {}
        self._suspected: tuple[Position, float] | None = None

    # -- the subscription ----------------------------------------------------------------------------------------------

    def subscribed(self) -> None:
        """The subscription stands. What was lost without one is looked for before anything goes on."""
        if self._history:  # what an earlier one brought is read, too, unless the store has taken it back
            self._held, self._held_size = [], 0
        self.compare()

    def unsubscribed(self) -> None:
        """The subscription is lost, or may be: what comes is held until the next comparison."""
        self.live = False

    def learn(self, position: Position) -> None:
        """A snapshot, or the answer to a publish, has told of this position."""
        if self.heard is None or position[:2] > self.heard[:2]:
            self.heard = position

    def message(self, entry: Entry) -> None:
        """The subscription brought this."""
        position = self.position
        if position is None or self._gap or not self.live:
            self._hold(entry)
        elif entry.epoch == position.epoch and entry.offset == position.offset + 1:
            if entry.previous and position.id and entry.previous != position.id:
                self._gap = True  # it follows another message than the one that was heard here
                self._hold(entry)
                self._raise(entry.epoch)
            else:
                self._deliver(entry)
        elif entry.epoch == position.epoch and entry.offset <= position.offset:
            if self._recent.get((entry.epoch, entry.offset)) != entry.id:
                self.compare()  # another message at an offset that was heard; or too long ago to tell
        elif entry.epoch < position.epoch:
            self.compare()
        elif self._history:
            self._gap = True
            self._hold(entry)
            self.compare()
        else:
            self._tell(Position(entry.epoch, entry.offset - 1, entry.previous))
            self._deliver(entry)

    def missed(self) -> None:
        """Something came that could not be taken: it is read again."""
        self.compare()

    def _hold(self, entry: Entry) -> None:
        size = len(entry.payload)
        if len(self._held) < self._max_held and self._held_size + size <= self._max_held_size:
            self._held.append(entry)
            self._held_size += size
        else:
            self._again = True

    # -- comparing -----------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Compares what is known with the store, and reads what is missing."""
        if self._reading:
            self._again = True
            return
        self._reading, self._again = True, False
        position, heard = self.position, self.heard
        self._asked = heard if position and heard and heard[:2] > position[:2] else position
        self._owner.read(position, self._asked)

    def raised(self, done: bool) -> None:
        """The answer to raise_epoch(): whether it was answered at all."""
        if done:
            self.compare()
        else:
            self._owner.retry()

    def answer(self, reading: Reading | None, now: float) -> None:
        """The answer to read(); None if there was none."""
        self._reading = False
        if reading is None:
            self._owner.retry()
            return
        if self.position is None:
            self.position, self.closed = reading.end, reading.closed
        elif self._went_back(reading):
            self._raise(reading.epoch)
            return
        else:
            self._last_closing = reading.closed
            self._take(self.position, reading, now)
            self._look_for_closing(self.position)
        self.live, self._gap = True, False
        held, self._held, self._held_size = self._held, [], 0
        for entry in held:
            self.message(entry)
        self._owner.ready()
        if self._again:
            self.compare()

    def _went_back(self, reading: Reading) -> bool:
        """Whether the store knows less than it did, or something else."""
        asked = self._asked
        assert asked is not None
        if reading.epoch < asked.epoch or (reading.epoch == asked.epoch and reading.top < asked.offset):
            return True
        # Also what came since it was asked, and what was only told of.
        known = (self.position, self.heard, asked)
        return any(reading.contradicts(position) for position in known if position is not None)

    def _raise(self, seen: int) -> None:
        known = [position.epoch for position in (self.position, self.heard) if position is not None]
        self._owner.raise_epoch(seen, max(seen, *known))

    def _take(self, position: Position, reading: Reading, now: float) -> None:
        """What a reading says of the time behind the position."""
        if reading.epoch > position.epoch:
            # Everything above the base is new. Of what was before nobody can tell what the members have heard.
            goes_on = reading.beginning if self._history else reading.end
            before = reading.before
            if self._history and before is not None and before.offset > goes_on.offset:
                goes_on = before
            self._tell(goes_on)
        elif reading.epoch < position.epoch or self._may_come(position, reading, now):
            return  # it was asked before the epoch was raised; or it is known later
        for entry in reading.entries:
            self._take_entry(entry)
        self._look_at_top(reading, now)

    def _may_come(self, position: Position, reading: Reading, now: float) -> bool:
        """Has the history been outrun by messages that are on their way? The subscription stands and has shown no gap,
        so it may bring yet what is read no more: that is a loss if it is missing still at a later comparison."""
        if not self._history or not self.live or self._gap:
            return False
        behind = reading.before or reading.end
        if behind.offset <= position.offset:
            return False
        suspected = self._suspected
        if suspected is None or suspected[0].epoch != position.epoch or suspected[0].offset <= position.offset:
            self._suspected = behind, now
            return True
        return now - suspected[1] < self._patience

    def _take_entry(self, entry: Entry) -> None:
        position = self.position
        assert position is not None
        if entry.offset > position.offset:
            if entry.offset > position.offset + 1:
                self._tell(Position(entry.epoch, entry.offset - 1, entry.previous))
            self._deliver(entry)

    def _look_at_top(self, reading: Reading, now: float) -> None:
        """Are there messages that neither the subscription nor the reading has brought?"""
        position = self.position
        assert position is not None
        if reading.top <= position.offset:
            self._suspected = None
        elif reading.more:
            self._again = True
        elif self._history:
            self._tell(reading.end)  # they are not kept any more
        else:
            self._suspect(position, reading.end, now)

    def _suspect(self, position: Position, top: Position, now: float) -> None:
        """They may be on their way: it is a loss if they are missing still at a later comparison."""
        suspected = self._suspected
        if suspected is not None and suspected[0][:2] <= position[:2]:
            suspected = None
        if suspected is not None and suspected[0].epoch == top.epoch and now - suspected[1] >= self._patience:
            self._tell(suspected[0])
            suspected = None
        self._suspected = None if self.position == top else suspected or (top, now)

    # -- to the members ------------------------------------------------------------------------------------------------

    def _tell(self, goes_on: Position) -> None:
        position = self.position
        assert position is not None
        lost = goes_on.offset - position.offset if goes_on.epoch == position.epoch else None
        self.position = goes_on
        self._owner.gap(goes_on, lost)
        self._look_for_closing(goes_on)

    def _look_for_closing(self, position: Position) -> None:
        """Was the room closed by a message that was missed before this position?"""
        if self.closed < self._last_closing <= position[:2]:
            self.closed = self._last_closing
            self._owner.closed(self.closed)

    def _deliver(self, entry: Entry) -> None:
        self.position = entry.position
        self._recent[entry.epoch, entry.offset] = entry.id
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        if entry.closes:
            self.closed = (entry.epoch, entry.offset)
        self._owner.deliver(entry)
