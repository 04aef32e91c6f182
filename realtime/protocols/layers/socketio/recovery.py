"""Connection state recovery: what a client was sent that it may have missed, and what it says to be sent the rest.

A client that may go on is told a secret, `pid`, in the answer to its CONNECT, and with each event an offset, as the
last of its arguments. It connects again with `{"pid": …, "offset": …}` in its auth data: the offset of the last event
that it has had, or none where it never had any. Of an event that wants an ack it is told no offset.

What is kept is bounded, in number and in size; an offset that is not known any more cannot be gone on from.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from ....core.frames import Group

__all__ = ["Kept", "Sent", "Wish", "ends_with_text", "wish", "with_offset"]

# What a client says of itself is at most so long, in characters.
MAX_WORD = 128


class Wish(NamedTuple):
    """A client wants to go on where it was. `offset` is None where it never had an event."""

    pid: str
    offset: str | None

    @property
    def said(self) -> dict[str, Any]:
        """As it stands in the auth data."""
        return {"pid": self.pid} if self.offset is None else {"pid": self.pid, "offset": self.offset}


def wish(auth: dict[str, Any]) -> Wish | None:
    """What a client asks for in its auth data, from which it is taken out; None where it asks for nothing, or for
    nothing that could be."""
    pid, offset = auth.pop("pid", None), auth.pop("offset", None)
    if not isinstance(pid, str) or not (offset is None or isinstance(offset, str)):
        return None
    if len(pid) > MAX_WORD or len(offset or "") > MAX_WORD:
        return None
    return Wish(pid, offset)


def with_offset(text: str, offset: str) -> str:
    """The text of an event's packet, with an offset behind its arguments. `offset` is of letters, digits, "-", "_" and
    "."."""
    return f'{text[:-1]},"{offset}"]'


def ends_with_text(text: str) -> bool:
    """Whether the last of an event's arguments is a string, or its name is: a client takes that for its offset."""
    return text.endswith('"]')


class Kept(NamedTuple):
    """An event as it was sent."""

    offset: str
    group: Group


class Sent:
    """The last events that one client in one namespace was sent, in their order, each with a number of its own."""

    __slots__ = ("_before", "_events", "_max_events", "_max_size", "first", "size")

    def __init__(self, start: str, max_events: int, max_size: int) -> None:
        """`start` stands for an offset where there was no event yet. Of events of `max_size` bytes together at most
        `max_events` are kept."""
        self._events: deque[Kept] = deque()
        self._before = start  # the offset of the event in front of these
        self._max_events = max_events
        self._max_size = max_size
        self.first: int = 0  # the number of the oldest
        self.size: int = 0  # in bytes

    @property
    def end(self) -> int:
        """The number that the next event gets."""
        return self.first + len(self._events)

    @property
    def last(self) -> str:
        """The newest offset."""
        return self._events[-1].offset if self._events else self._before

    def add(self, offset: str, group: Group) -> None:
        """An event is sent, or would be if the client were here. The oldest go where there are too many."""
        events = self._events
        events.append(Kept(offset, group))
        self.size += group.size
        while len(events) > self._max_events or self.size > self._max_size:
            gone = events.popleft()
            self._before = gone.offset
            self.size -= gone.group.size
            self.first += 1

    def behind(self, offset: str | None) -> int | None:
        """The number of the first event that a client has missed who has this offset; None where nobody knows any
        more.

        One that comes in anew keeps its offset until it has an event. So as long as nothing is gone, what is no offset
        of these events says that it has had none of them.
        """
        for number, kept in zip(range(self.end, self.first, -1), reversed(self._events), strict=True):
            if kept.offset == offset:
                return number
        return self.first if offset == self._before or not self.first else None

    def at(self, number: int) -> Kept | None:
        """The event of this number, which is below `end`; None where it is not kept any more."""
        if number < self.first:
            return None
        return self._events[number - self.first]
