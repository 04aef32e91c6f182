"""Who of this worker is present where, and when a worker may judge others (docs/scaling.md §6).

Presence is kept in a store that may forget an entry or bring one back: each worker compares its own, and mends.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Attendance", "Standing"]


class Attendance:
    """The members of this worker in rooms with presence, with what each says of itself."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, str]] = {}

    def add(self, room: str, member: str, info: str) -> bool:
        """A member is in the room; whether that, or what it says, is news."""
        members = self._rooms.setdefault(room, {})
        if members.get(member) == info:
            return False
        members[member] = info
        return True

    def remove(self, room: str, member: str) -> bool:
        """A member is not in the room any more; whether it was."""
        members = self._rooms.get(room, {})
        if member not in members:
            return False
        del members[member]
        if not members:
            del self._rooms[room]
        return True

    def rooms(self) -> Iterable[str]:
        """The rooms that have members here."""
        return tuple(self._rooms)

    def members(self, room: str) -> dict[str, str]:
        """Who is in a room, with what it says; not to be kept or changed."""
        return self._rooms.get(room, {})

    def differences(self, room: str, stored: Iterable[str]) -> tuple[dict[str, str], list[str]]:
        """What has to be added to a room, and what removed, where these are stored as this worker's."""
        members = self._rooms.get(room, {})
        there = set(stored)
        return {name: info for name, info in members.items() if name not in there}, sorted(there - members.keys())


class Standing:
    """Since when the store has been answering this worker in one run, and without a pause. Before a whole lease of that
    has passed, a lease that ran out proves nothing: its worker may have been cut off just as this one was, or the store
    forgot, or stood still.

    A worker renews its leases four times in each. So others' cannot run out through no fault of theirs while its own
    are renewed, and what it asks is answered, within half of one.
    """

    def __init__(self, now: float, lease: float) -> None:
        self._since = now  # a start counts as a return
        self._renewed = now
        self._failed = False
        self._lease = lease

    def failed(self) -> None:
        """The store did not answer, or cannot be reached."""
        self._failed = True

    def answered(self, now: float) -> None:
        """The store has answered."""
        if self._failed:
            self._failed = False
            self._since = now

    def returned(self, now: float) -> None:
        """Another run of the store answers."""
        self._since = now

    def took(self, asked: float, now: float) -> None:
        """The store has answered what this worker asked at that time. If that took long it is as good as a return."""
        if now - asked > self._lease / 2:
            self._since = now

    def renewed(self, asked: float, now: float) -> None:
        """The store has renewed this worker's own lease, as asked at that time."""
        if max(asked - self._renewed, now - asked) > self._lease / 2:
            self._since = now
        self._renewed = asked

    def answering(self, now: float) -> float:
        """For how many seconds the store has been answering."""
        return 0.0 if self._failed else now - self._since

    def steady(self, now: float) -> bool:
        """Whether leases may be judged."""
        fresh = now - self._renewed <= self._lease / 2
        return fresh and not self._failed and now - self._since >= self._lease
