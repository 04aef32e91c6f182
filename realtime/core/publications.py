"""What a process has published: what may be asked again, what became of it, and what was acknowledged and may be lost.

An unknown outcome is asked again under the same id, and never sent twice (docs/scaling.md §5).
"""

from __future__ import annotations

from collections.abc import Callable, Container

from .rooms import Position, Reading

__all__ = ["Acknowledged", "Publication"]

SWEEPS = 2  # answered sweeps of one run of the store, after which it is not expected to forget any more


class Publication:
    """One message on its way to the store. `run` names a run of the store: from a start to its end, or to the moment in
    which another takes its place."""

    __slots__ = ("_run", "flying", "id", "room", "unknown")

    def __init__(self, room: str, id: str) -> None:
        self.room: str = room
        self.id: str = id
        self.unknown: bool = False  # an attempt got no answer
        self.flying: bool = False  # an answer is awaited
        self._run = ""

    def attempt(self, run: str) -> bool:
        """It is written to this run of the store. Whether that may only ask for it: it may have been published in
        another run, which this one may have forgotten, and then it would be heard twice."""
        self.flying = True
        if not self.unknown:
            self._run = run
        return self.unknown and run != self._run

    def unanswered(self) -> None:
        """It was written, and the connection ended before an answer came."""
        self.flying = False
        self.unknown = True

    def refused(self) -> None:
        """It was not written at all."""
        self.flying = False

    @property
    def maybe_sent(self) -> bool:
        """Whether, if no more is heard of it, it may have been published all the same."""
        return self.unknown or self.flying


class Acknowledged:
    """The last acknowledged publish of each room, for each run of the store: a failover may take it back, and nobody
    else may have heard of it. What was acknowledged by an earlier run is compared with the present one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[Position, int]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, room: str, run: str, position: Position) -> None:
        """It was acknowledged in this run."""
        known = self._known.get((room, run))
        if known is None or known[0][:2] <= position[:2]:
            self._known[room, run] = (position, SWEEPS)

    def sweep(self, runs: Container[str]) -> None:
        """These runs of the store are still there, some seconds later."""
        for key, (position, left) in list(self._known.items()):
            if key[1] in runs:
                if left == 1:
                    del self._known[key]
                else:
                    self._known[key] = (position, left - 1)

    def questions(self, run_of: Callable[[str], str]) -> list[tuple[str, str, Position]]:
        """What has to be compared with the run that a room is in now ("": none): the room, the run that acknowledged,
        and the position."""
        return [
            (room, before, position)
            for (room, before), (position, _) in self._known.items()
            if run_of(room) not in ("", before)
        ]

    def compared(self, room: str, before: str, reading: Reading, run: str) -> tuple[int, int] | None:
        """What was read of a room in this run. If what `before` acknowledged is gone, or can't be told to be there,
        the epoch that was seen, and the one above which it has to be raised."""
        known = self._known.get((room, before))
        if known is None:
            return None
        position, _ = known
        if reading.epoch < position.epoch or (reading.epoch == position.epoch and reading.top < position.offset):
            return reading.epoch, position.epoch
        if reading.epoch == position.epoch and reading.id_at(position.offset) != position.id:
            return reading.epoch, reading.epoch
        # It has survived into this run, or the epoch was raised: which this run may forget in turn. (Where the epoch
        # has to be raised, it is known until a later comparison finds that done.)
        del self._known[room, before]
        self.add(room, run, position if reading.epoch == position.epoch else reading.end)
        return None
