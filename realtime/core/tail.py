"""A member's place in a room while it catches up: from a cursor, or the last messages, to where the worker stands.

What comes meanwhile waits, and what the snapshot had already is passed over: no gap, and no repetition
(docs/scaling.md §4). Knows neither Redis nor sessions.
"""

from __future__ import annotations

from typing import Protocol

from .rooms import Entry, Position, Reading, same

__all__ = ["Member", "Tail"]


class Member(Protocol):
    """Who a tail belongs to."""

    def read(self, after: Position | None, last: int) -> None:
        """Read the room behind `after`, with the id there; without one the `last` messages. Then call answer()."""

    def retry(self) -> None:
        """Call again() in a while."""

    def starts(self, position: Position, at: float) -> None:
        """It starts here, at this time of the store. Told once and first, unless it goes on from a cursor."""

    def take(self, entry: Entry) -> None:
        """The next message."""

    def gap(self, position: Position) -> None:
        """Messages are lost to it. It goes on at `position`, which may be lower than before."""

    def gone(self, seen: int, above: int) -> None:
        """What it was given is gone from the store: raise the epoch above `above`, if it is still `seen`; then call
        again(). (What a client's cursor says, which anybody can write, never leads here.)"""


class Tail:
    """One member's place. `cursor` is where it was, if it was there; else it gets the `last` so many messages first.

    At most `max_held` messages wait for an answer: what is above that is read once more.
    """

    __slots__ = (
        "_closings",
        "_cursor",
        "_held",
        "_history",
        "_joined",
        "_last",
        "_max_held",
        "_member",
        "_over",
        "pending",
        "position",
    )

    def __init__(
        self, history: bool, member: Member, *, cursor: Position | None = None, last: int = 0, max_held: int = 256
    ) -> None:
        self.position: Position | None = None  # what it was given ends here
        self.pending: bool = True  # an answer is awaited
        self._history = history
        self._member = member
        self._cursor = cursor
        self._last = last
        self._max_held = max_held
        self._held: list[Entry | Position] = []
        self._over = False  # more came than could be held
        self._joined: tuple[int, int] | None = None  # the room's end by the first answer
        self._closings: list[tuple[int, int]] = []  # behind that: at the first of them its member leaves

    def again(self) -> None:
        """Reads the room: at the start, and behind a retry()."""
        self._member.read(self.position or self._cursor, 0 if self.position else self._last)

    def answer(self, reading: Reading | None) -> None:
        """The answer to read(); None if there was none."""
        if reading is None:
            self._member.retry()
            return
        if self.position is not None and self._is_gone(self.position, reading):
            self._member.gone(reading.epoch, max(reading.epoch, self.position.epoch))
            return
        if self._joined is None:
            self._joined = reading.end[:2]
            self._closings = [at for at in self._closings if at > self._joined]
        self.position = self._start(reading)
        for entry in reading.entries:
            if entry.offset > self.position.offset:
                self._pass_on(entry)
        if reading.more:
            self.again()
            return
        if self._history and reading.top > self.position.offset:  # they are not kept any more
            self._lose(reading.end)
        self.pending = False
        held, self._held = self._held, []
        if self._over:
            self._over = False
            self.read_again()
            return
        for item in held:
            self.offer(item)

    @staticmethod
    def _is_gone(position: Position, reading: Reading) -> bool:
        behind = (position.epoch, position.offset) > (reading.epoch, reading.top)
        return behind or reading.contradicts(position)

    def _start(self, reading: Reading) -> Position:
        """Where it goes on, and whether that is where it was."""
        was = self.position or self._cursor
        if was is None:
            start = reading.before or reading.end
            self._member.starts(start, reading.at)
            return start
        if was.epoch == reading.epoch and was.offset <= reading.top:
            known = reading.id_at(was.offset)
            if known is not None and same(known, was.id) and (self._history or was.offset == reading.top):
                return was
        start = reading.end
        if self._history and was.epoch <= reading.epoch:
            before = reading.before
            if was.epoch < reading.epoch:  # all above the base is new to it
                start = reading.beginning
                if before is not None and before.offset > start.offset:
                    start = before
            elif before is not None and before.offset > was.offset:  # too old
                start = before
        self._member.gap(start)
        return start

    def offer(self, item: Entry | Position) -> None:
        """What all members get: a message, or a gap, behind which it goes on."""
        if self.pending:
            if len(self._held) < self._max_held:
                self._held.append(item)
            else:
                self._over = True
            return
        position = self.position
        assert position is not None
        behind = item.position if isinstance(item, Entry) else item
        if behind[:2] <= position[:2]:
            return
        if not isinstance(item, Entry):
            self._lose(behind)
        elif behind.epoch == position.epoch and behind.offset == position.offset + 1:
            self._pass_on(item)
        elif self._history:
            self.read_again()
        else:
            self._lose(Position(behind.epoch, behind.offset - 1, item.previous))
            self._pass_on(item)

    def closed(self, at: tuple[int, int]) -> None:
        """The room was closed there, as this worker hears now: its member gets what was sent before, and leaves. Unless
        the first answer is of a moment behind that: then it has joined later."""
        if self._joined is None:
            self._closings[1:] = [at]  # the first and the newest
        elif not self._closings and self._joined < at:
            self._closings = [at]

    @property
    def leaves(self) -> bool:
        """Whether its member leaves now, since it has been given all that it gets."""
        return bool(self._closings) and self.position is not None and self.position[:2] >= self._closings[0]

    def _pass_on(self, entry: Entry) -> None:
        leaves = self.leaves
        self.position = entry.position
        if not leaves:
            self._member.take(entry)

    def read_again(self) -> None:
        """Reads on from where it stands: something that came could not be taken."""
        self.pending = True
        self.again()

    def _lose(self, goes_on: Position) -> None:
        self.position = goes_on
        self._member.gap(goes_on)
