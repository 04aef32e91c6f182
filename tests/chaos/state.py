"""What each worker is in the middle of, in memory that whoever kills it can read.

Stopped, read, and then killed, it was in the middle of just that.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["DURABLE", "ORDINARY", "WHAT", "State"]

ORDINARY = ("post", "upgrade", "publish", "drain")
# A turn of a durable session; its commit, which is not in the store; and the same in the store, and nobody was told.
DURABLE = ("turn", "commit", "write")
WHAT = ORDINARY + DURABLE
CELL = 8


class State:
    """Numbers in a file that is mapped: one row for each worker, one column for each of WHAT."""

    def __init__(self, path: Path, rows: int) -> None:
        size = rows * len(WHAT) * CELL
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    @staticmethod
    def _place(row: int, what: str) -> slice:
        start = (row * len(WHAT) + WHAT.index(what)) * CELL
        return slice(start, start + CELL)

    def get(self, row: int, what: str) -> int:
        """How many of these the worker is in the middle of."""
        return int.from_bytes(self._map[self._place(row, what)], "little")

    def add(self, row: int, what: str, number: int) -> None:
        """One more, or one less."""
        self._map[self._place(row, what)] = (self.get(row, what) + number).to_bytes(CELL, "little")

    def clear(self, row: int) -> None:
        """A worker begins."""
        for what in WHAT:
            self._map[self._place(row, what)] = bytes(CELL)

    @contextmanager
    def during(self, row: int, what: str) -> Iterator[None]:
        """In the middle of it."""
        self.add(row, what, 1)
        try:
            yield
        finally:
            self.add(row, what, -1)

    def close(self) -> None:
        """Harmless twice."""
        self._map.close()
