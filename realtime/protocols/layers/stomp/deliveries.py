"""Messages that a client has been given and has to acknowledge: which of them an ACK or NACK is about.

    given ──ACK, NACK, UNSUBSCRIBE, withdraw──> settled

A message is known by its number, which is its client's alone. Whoever gives them keeps what is behind each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import Generic, TypeVar

from ....core.errors import LocalProtocolError

__all__ = ["AUTO", "CLIENT", "INDIVIDUAL", "Deliveries", "Subscription"]

T = TypeVar("T")

AUTO, CLIENT, INDIVIDUAL = "auto", "client", "client-individual"


class Subscription:
    """A client's subscription: `id` is "" where version 1.0's clients gave none."""

    __slots__ = ("destination", "headers", "id", "key", "mode")

    def __init__(self, key: str, id: str, destination: str, mode: str, headers: dict[str, str] | None = None) -> None:
        self.key: str = key  # by which its client's subscriptions are told apart
        self.id: str = id
        self.destination: str = destination
        self.mode: str = mode
        self.headers: dict[str, str] = {} if headers is None else headers  # the others of its frame

    def __repr__(self) -> str:
        return f"<Subscription {self.id!r} to {self.destination!r}, {self.mode}>"


class Deliveries(Generic[T]):
    """The unacknowledged messages of one client, `most` at most. What is behind each is a T."""

    __slots__ = ("_by_number", "_last", "_most", "_of")

    def __init__(self, most: int) -> None:
        self._most = most
        self._last = 0
        self._by_number: dict[int, tuple[Subscription, T]] = {}
        self._of: dict[Subscription, dict[int, None]] = {}  # numbers, in the order in which they were given

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def room(self) -> int:
        """How many more may be given."""
        return self._most - len(self._by_number)

    def count(self, subscription: Subscription) -> int:
        """How many are given to this subscription."""
        return len(self._of.get(subscription, ()))

    def of(self, subscription: Subscription) -> list[T]:
        """What is given to this subscription, and not settled, in that order."""
        return [self._by_number[number][1] for number in self._of.get(subscription, ())]

    def give(self, subscription: Subscription, what: T) -> int:
        """A message is given; its number. Raises LocalProtocolError when there is no room, and for a subscription that
        acknowledges nothing."""
        if self.room <= 0 or subscription.mode == AUTO:
            raise LocalProtocolError(f"{subscription!r} takes no more")
        self._last += 1
        self._by_number[self._last] = subscription, what
        self._of.setdefault(subscription, {})[self._last] = None
        return self._last

    def was_given(self, number: int) -> bool:
        """Whether there was a message of this number, settled or not."""
        return 0 < number <= self._last

    def find(self, number: int) -> tuple[Subscription, T] | None:
        """The message of this number, unless it is settled or never was."""
        return self._by_number.get(number)

    def settle(self, number: int) -> list[T]:
        """What an ACK or NACK of this number is about, in the order in which it was given: nothing, where it is settled
        already; all up to it, where the subscription's mode is "client"."""
        found = self._by_number.get(number)
        if found is None:
            return []
        subscription = found[0]
        if subscription.mode == INDIVIDUAL:
            return [self._take(number)]
        upto = tuple(takewhile(lambda given: given <= number, self._of[subscription]))
        return [self._take(given) for given in upto]

    def withdraw(self, number: int) -> T | None:
        """Takes one back that was not acknowledged in time; None if it is settled."""
        return self._take(number) if number in self._by_number else None

    def drop(self, subscription: Subscription) -> list[T]:
        """The subscription has ended: what was given to it, and is not settled, in that order."""
        return [self._take(number) for number in tuple(self._of.get(subscription, ()))]

    def drop_all(self) -> Iterator[T]:
        """The client has left: everything, in the order in which it was given."""
        given, self._by_number, self._of = self._by_number, {}, {}
        return (what for _, what in given.values())

    def _take(self, number: int) -> T:
        subscription, what = self._by_number.pop(number)
        of = self._of[subscription]
        del of[number]
        if not of:
            del self._of[subscription]
        return what
