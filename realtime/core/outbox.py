"""What one end has to send: numbered, replayable until acked, bounded, and held back by the peer's window.

    waiting ──peek──> sent (numbered) ──received──> sizes only ──taken──> forgotten

Pure data; knows nothing of carriers, time or encodings.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from .errors import RemoteProtocolError
from .frames import CLOSE, DROPPED, Outgoing, Window

__all__ = ["MOST_OUTSTANDING", "Outbox"]

# More messages than this are never above *taken*, whatever window the peer announces: their sizes are kept.
MOST_OUTSTANDING = 65_536


class Outbox:
    """One direction's sending half. Numbers are from 1; `acked` and `taken` are the highest the peer told."""

    __slots__ = (
        "_bytes",
        "_in_flight",
        "_max_bytes",
        "_max_messages",
        "_sent",
        "_sizes",
        "_waiting",
        "_window",
        "acked",
        "appended",
        "close_number",
        "dropped",
        "held",
        "initial",
        "last",
        "notes",
        "replayed",
        "taken",
        "total",
    )

    def __init__(self, window: Window, max_messages: int, max_bytes: int) -> None:
        self.window = window
        self.acked = 0  # the peer has received so many
        self.taken = 0  # and its application has taken so many
        self.last = 0  # the highest number given
        self.close_number: int | None = None  # the number of our `c`, once it has one
        self.appended = 0  # items ever appended: what flush() counts by
        self.dropped = 0  # messages ever dropped
        self.notes = 0  # of the numbered, those that were no messages: notes of drops, a close
        self.replayed = 0  # items ever handed to a carrier that another had been handed before
        self.total = 0  # payload bytes of the numbered, each counted once
        self.held = False  # the peer drains: nothing new gets a number
        self.initial = False  # the window is what any peer takes before it has announced one: nothing goes beyond
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._sent: deque[Outgoing] = deque()  # numbers acked+1 … last
        self._sizes: deque[int] = deque()  # of numbers taken+1 … last
        self._in_flight = 0  # the sum of _sizes
        self._waiting: deque[Outgoing] = deque()  # not numbered yet
        self._bytes = 0  # payload kept in _sent and _waiting

    def __len__(self) -> int:
        return len(self._sent) + len(self._waiting)

    @property
    def window(self) -> Window:
        """The peer's receive window, as far as it is used."""
        return self._window

    @window.setter
    def window(self, window: Window) -> None:
        self._window = window._replace(messages=min(window.messages, MOST_OUTSTANDING))

    @property
    def size(self) -> int:
        """Payload bytes kept for sending or replay."""
        return self._bytes

    @property
    def unnumbered(self) -> int:
        """How many items no carrier has been handed yet."""
        return len(self._waiting)

    @property
    def messages(self) -> int:
        """How many messages ever got a number, which is when a carrier is first handed them."""
        return self.last - self.notes

    def has_room(self, size: int) -> bool:
        """Whether a message of `size` bytes may be appended. An empty outbox takes a message of any size."""
        kept = len(self._sent) + len(self._waiting)
        return kept < self._max_messages and (self._bytes + size <= self._max_bytes or kept == 0)

    @property
    def half_full(self) -> bool:
        """Whether half of the room is taken: time to ask for an ack, or it may come too late."""
        kept = len(self._sent) + len(self._waiting)
        return 2 * kept >= self._max_messages or 2 * self._bytes >= self._max_bytes

    def append(self, item: Outgoing) -> None:
        """Queues one item. Asking has_room first is the caller's affair: closes and drop notes always go in."""
        self._waiting.append(item)
        self._bytes += item.size
        self.appended += 1

    def make_room(self, size: int) -> bool:
        """Drops the oldest unnumbered messages until `size` bytes fit, leaving a note of how many.

        Returns False when numbered messages alone leave no room; the caller then drops the new message
        (`drop_new`). Notes are never dropped: adjacent ones become one.
        """
        while not self.has_room(size):
            waiting = self._waiting
            noted = bool(waiting) and waiting[0].kind == DROPPED
            if len(waiting) == noted:
                return False
            count = waiting.popleft().code if noted else 0
            oldest = waiting.popleft()
            if oldest.kind == DROPPED:
                count += oldest.code
            else:
                count += 1
                self.dropped += 1
                self._bytes -= oldest.size
            waiting.appendleft(Outgoing.dropped(count))
        return True

    def drop_new(self) -> None:
        """Notes that a message was dropped at the end of the queue instead of being appended."""
        self.dropped += 1
        waiting = self._waiting
        if waiting and waiting[-1].kind == DROPPED:
            waiting[-1] = Outgoing.dropped(waiting[-1].code + 1)
        else:
            self.append(Outgoing.dropped(1))

    def _may(self, item: Outgoing) -> bool:
        if item.kind == CLOSE:
            return True
        outstanding = self.last - self.taken
        if self.held or outstanding >= self._window.messages:
            return False
        # A message larger than the window goes when everything before it has been taken (rule 2).
        return self._in_flight + item.size <= self._window.size or (outstanding == 0 and not self.initial)

    def pending(self, cursor: int) -> bool:
        """Whether a carrier whose cursor is `cursor` has something to write now."""
        return max(cursor, self.acked + 1) <= self.last or (bool(self._waiting) and self._may(self._waiting[0]))

    def peek(self, cursor: int, max_items: int, max_bytes: int) -> tuple[int, list[Outgoing]]:
        """The next items for a carrier whose cursor is `cursor`, and the number of the first.

        The number may be above the cursor (acks that came elsewhere freed those between): the carrier then
        renumbers. Waiting items that fit the peer's window get their numbers here, when they are first handed
        to a carrier. At least one item is given if any is due, however large; else an empty list.
        """
        first = max(cursor, self.acked + 1)
        items: list[Outgoing] = []
        size = 0
        if first <= self.last:
            for item in islice(self._sent, first - self.acked - 1, None):
                if items and (len(items) >= max_items or size + item.size > max_bytes):
                    self.replayed += len(items)
                    return first, items
                items.append(item)
                size += item.size
            self.replayed += len(items)
        replayed = size
        waiting = self._waiting
        while waiting and len(items) < max_items:
            item = waiting[0]
            if (items and size + item.size > max_bytes) or not self._may(item):
                break
            waiting.popleft()
            self.last += 1
            self._sent.append(item)
            self._sizes.append(item.size)
            self._in_flight += item.size
            if not item.size and item.kind in (CLOSE, DROPPED):  # these have no payload
                self.notes += 1
                if item.kind == CLOSE:
                    self.close_number = self.last
            items.append(item)
            size += item.size
        self.total += size - replayed
        return first, items

    def acknowledge(self, received: int, taken: int) -> bool:
        """Takes an ack, in whatever order acks arrive; returns whether it told something new.

        Raises RemoteProtocolError for an ack of what was never sent.
        """
        if received > self.last or taken > received:
            raise RemoteProtocolError(
                1002, f"acknowledged {received},{taken} where {self.last} is the highest number sent"
            )
        news = False
        while self.acked < received:
            self._bytes -= self._sent.popleft().size
            self.acked += 1
            news = True
        while self.taken < taken:
            self._in_flight -= self._sizes.popleft()
            self.taken += 1
            news = True
        return news

    @property
    def closed_cleanly(self) -> bool:
        """Whether the peer has received our close."""
        return self.close_number is not None and self.acked >= self.close_number

    def unacknowledged(self) -> list[str | bytes]:
        """The messages the peer never said it received, oldest first."""
        kept = (*self._sent, *self._waiting)
        return [item.data for item in kept if item.kind not in (CLOSE, DROPPED)]
