"""Transactions: what a client's SENDs and ACKs have wait for its COMMIT, bounded in number and in bytes."""

from __future__ import annotations

from typing import Generic, TypeVar

from ....core.errors import RemoteProtocolError

__all__ = ["Transactions"]

T = TypeVar("T")

SHOWN = 64


class Transactions(Generic[T]):
    """Those of one client: `most` at a time, with `max_size` bytes in all of them together, where each thing that waits
    counts `each` bytes besides its own."""

    __slots__ = ("_each", "_max_size", "_most", "_size", "_waiting")

    def __init__(self, most: int, max_size: int, *, each: int = 256) -> None:
        self._most = most
        self._max_size = max_size
        self._each = each
        self._waiting: dict[str, list[tuple[T, int]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> int:
        """How many bytes wait."""
        return self._size

    def begin(self, name: str) -> None:
        """Raises RemoteProtocolError: 1002 for one that there is already, 1008 for one too many."""
        if name in self._waiting:
            raise RemoteProtocolError(1002, f"the transaction {name[:SHOWN]!r} has begun already")
        if len(self._waiting) >= self._most:
            raise RemoteProtocolError(1008, f"more than {self._most} transactions (max_transactions)")
        self._waiting[name] = []

    def add(self, name: str, what: T, size: int) -> None:
        """Something waits for the COMMIT. Raises RemoteProtocolError: 1002 for an unknown transaction, 1009 when too
        much waits."""
        waiting = self._find(name)
        size += self._each
        if self._size + size > self._max_size:
            raise RemoteProtocolError(1009, f"more than {self._max_size} bytes in transactions (max_transaction_size)")
        self._size += size
        waiting.append((what, size))

    def commit(self, name: str) -> list[T]:
        """All that has waited, in its order. Raises RemoteProtocolError (1002) for an unknown transaction."""
        return [what for what, _ in self._end(name)]

    def abort(self, name: str) -> None:
        """Forgets it. Raises RemoteProtocolError (1002) for an unknown transaction."""
        self._end(name)

    def _find(self, name: str) -> list[tuple[T, int]]:
        waiting = self._waiting.get(name)
        if waiting is None:
            raise RemoteProtocolError(1002, f"there is no transaction {name[:SHOWN]!r}: BEGIN comes first")
        return waiting

    def _end(self, name: str) -> list[tuple[T, int]]:
        waiting = self._find(name)
        del self._waiting[name]
        self._size -= sum(size for _, size in waiting)
        return waiting
