"""What one end has to send: numbered, replayable until acked, bounded, and held back by the peer's window.

    waiting ──peek──> sent (numbered) ──received──> sizes only ──taken──> forgotten

Pure data; knows nothing of carriers, time or encodings.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from .errors import RemoteProtocolError
from .frames import BINARY, CLOSE, DROPPED, NOTES, POSITION, TEXT, Outgoing, Window, window_of
from .queues import EMPTY

__all__ = ["MOST_OUTSTANDING", "Outbox", "starved"]

MESSAGES = (TEXT, BINARY)
# More messages than this are never above *taken*, whatever window the peer announces: their sizes are kept.
MOST_OUTSTANDING = 65_536


def _bounded(window: Window) -> Window:
    """Of at most MOST_OUTSTANDING messages."""
    return window if window.messages <= MOST_OUTSTANDING else window_of(MOST_OUTSTANDING, window.size)


class Outbox:
    """One direction's sending half. Numbers are from 1; `acked` and `taken` are the highest the peer told."""

    __slots__ = (
        "_asked",
        "_begun",
        "_bytes",
        "_half",
        "_in_flight",
        "_max_bytes",
        "_max_messages",
        "_sent",
        "_sizes",
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
        "waiting",
    )

    def __init__(self, window: Window, max_messages: int, max_bytes: int) -> None:
        # _bounded(), without a call: each session has one.
        self._window = window if window.messages <= MOST_OUTSTANDING else _bounded(window)
        self.acked: int = 0  # the peer has received so many
        self.taken: int = 0  # and its application has taken so many
        self.last: int = 0  # the highest number given
        self.close_number: int | None = None  # the number of our `c`, once it has one
        self.appended: int = 0  # items ever appended: what flush() counts by
        self.dropped: int = 0  # messages ever dropped
        self.notes: int = 0  # of the numbered, those that were no messages: notes, a close
        self.replayed: int = 0  # items ever handed to a carrier that another had been handed before
        self.total: int = 0  # payload bytes of the numbered, each counted once
        self.held: bool = False  # the peer drains: nothing new gets a number, but the rest of a group
        self.initial: bool = False  # the window is what any peer takes before it has announced one: nothing goes beyond
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._sent: deque[Outgoing] = EMPTY  # numbers acked+1 … last
        self._sizes: deque[int] = EMPTY  # of numbers taken+1 … last
        self._in_flight = 0  # the sum of _sizes
        self.waiting: deque[Outgoing] = EMPTY  # not numbered yet
        self._begun = 0  # of these, the first so many belong to a group whose first message has a number
        self._half: deque[Outgoing] = EMPTY  # the first parts of a group, which were acked, while others were not
        self._asked = 0  # starved() said so when `last` and `taken` together were this
        self._bytes = 0  # payload kept in _sent and waiting, and in _half

    def __len__(self) -> int:
        return len(self._sent) + len(self.waiting)

    @property
    def window(self) -> Window:
        """The peer's receive window, of at most MOST_OUTSTANDING messages."""
        return self._window

    @window.setter
    def window(self, window: Window) -> None:
        self._window = _bounded(window)

    @property
    def size(self) -> int:
        """Payload bytes kept for sending or replay."""
        return self._bytes

    @property
    def unnumbered(self) -> int:
        """How many items no carrier has been handed yet."""
        return len(self.waiting)

    @property
    def begun(self) -> bool:
        """Whether a group has a number for its first message, and none for its last: the rest is to follow."""
        return bool(self._begun)

    @property
    def messages(self) -> int:
        """How many messages ever got a number, which is when a carrier is first handed them."""
        return self.last - self.notes

    def has_room(self, size: int, messages: int = 1) -> bool:
        """Whether a message of `size` bytes may be appended, or a group of so many messages and bytes. An empty outbox
        takes one of any size."""
        kept = len(self._sent) + len(self.waiting)
        return not kept or (kept + messages <= self._max_messages and self._bytes + size <= self._max_bytes)

    def offer(self, item: Outgoing) -> bool | None:
        """Queues a message, if there is room for it. None if there is not, or else as append()."""
        waiting = self.waiting
        kept, size = len(self._sent) + len(waiting), self._bytes + item.size
        half_full = 2 * kept + 2 >= self._max_messages or 2 * size >= self._max_bytes
        if half_full and kept and (kept >= self._max_messages or size > self._max_bytes):
            return None
        if waiting is EMPTY:
            waiting = self.waiting = deque()
        waiting.append(item)
        self.appended += 1
        self._bytes = size
        return half_full

    def append(self, item: Outgoing) -> bool:
        """Queues one item. It does not check has_room, so closes and drop notes always go in.

        Returns whether half of the room is taken now: time to ask for an ack, or it may come too late.
        """
        if self.waiting is EMPTY:
            self.waiting = deque()
        self.waiting.append(item)
        self.appended += 1
        self._bytes = kept = self._bytes + item.size
        return 2 * (len(self._sent) + len(self.waiting)) >= self._max_messages or 2 * kept >= self._max_bytes

    def make_room(self, size: int, messages: int = 1, *, newest: bool = True) -> bool:
        """Drops the oldest unnumbered messages until a message of `size` bytes fits, or a group of so many messages and
        bytes, leaving a note of how many. A group is dropped as a whole, or not at all once a part of it has a number.

        What is newest counts most: unless room has to be found within the limits (`newest` is False), it may be beyond
        them, alone, where nothing else is that stays. Then it waits until something is acknowledged, and goes, or is
        dropped for what comes next.

        Returns False when what may not be dropped leaves no room, and then drops nothing; the caller drops what is new
        (`drop_new`). Neither messages that are to be kept are dropped, nor notes: those of drops become one where there
        is no message between them.
        """
        if not _can_make_room(self, size, messages, newest):
            return False
        _drop(self, size, messages)
        return True

    def drop_new(self, messages: int = 1) -> None:
        """Notes that a message, or a group of so many, was dropped at the end of the queue and not appended."""
        self.dropped += messages
        waiting = self.waiting
        if waiting and waiting[-1].kind == DROPPED:
            waiting[-1] = Outgoing.dropped(waiting[-1].code + messages)
        else:
            self.append(Outgoing.dropped(messages))

    @property
    def _beyond(self) -> bool:
        """Whether more is kept than the limits allow, while an ack is to come. What waits then waits for that, but the
        rest of a group that has begun, and what is in front of a close, behind which nothing comes."""
        sent = len(self._sent)
        if not sent or (sent + len(self.waiting) <= self._max_messages and self._bytes <= self._max_bytes):
            return False
        return self.waiting[-1].kind != CLOSE

    def _may(self, item: Outgoing) -> bool:
        if item.kind == CLOSE:
            return True
        if self._begun and not self.initial:  # to its receiver a group is one message (docs/protocol.md §11)
            return True
        outstanding = self.last - self.taken
        if self.held or outstanding >= self._window.messages:
            return False
        # A message larger than the window goes when everything before it has been taken (docs/protocol.md §6).
        return self._in_flight + item.size <= self._window.size or (outstanding == 0 and not self.initial)

    def pending(self, cursor: int) -> bool:
        """Whether a carrier whose cursor is `cursor` has something to write now."""
        if max(cursor, self.acked + 1) <= self.last:
            return True
        return bool(self.waiting) and self._may(self.waiting[0]) and (bool(self._begun) or not self._beyond)

    def peek(self, cursor: int, max_items: int, max_bytes: int) -> tuple[int, list[Outgoing]]:
        """The next items for a carrier whose cursor is `cursor`, and the number of the first.

        The number may be above the cursor (acks that came elsewhere freed those between): the carrier then
        renumbers. Waiting items that fit the peer's window get their numbers here, when they are first handed
        to a carrier. At least one item is given if any is due, however large; else an empty list.
        """
        if cursor > self.last and not self.waiting:  # as at most polls, when they come
            return cursor, []
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
        waiting = self.waiting
        if not waiting:
            return first, items
        # _beyond, without a call, as it usually is.
        if (self._bytes > self._max_bytes or len(self._sent) + len(waiting) > self._max_messages) and self._beyond:
            if not self._begun:
                return first, items
            max_items = min(max_items, len(items) + self._begun)
        if self._sizes is EMPTY:
            self._sent, self._sizes = deque(), deque()
        while waiting and len(items) < max_items:
            item = waiting[0]
            if items and size + item.size > max_bytes:
                break
            # _may(), without a call, as it usually is.
            if (
                self.held
                or self.last - self.taken >= self._window.messages
                or self._in_flight + item.size > self._window.size
            ) and not self._may(item):
                break
            waiting.popleft()
            self._begun = item.behind
            self.last += 1
            self._sent.append(item)
            self._sizes.append(item.size)
            self._in_flight += item.size
            if not item.size and item.kind in NOTES:  # these have no payload
                self.notes += 1
                if item.kind == CLOSE:
                    self.close_number = self.last
            items.append(item)
            size += item.size
        self.total += size - replayed
        return first, items

    def number(self, cursor: int) -> Outgoing | None:
        """The one message that waits, if a carrier whose cursor is `cursor` gets it and nothing else: then it has its
        number, as by peek(). None wherever there is more to look at."""
        waiting, last = self.waiting, self.last
        if len(waiting) != 1 or cursor <= last or self.held:
            return None
        item = waiting[0]
        size, (most, most_bytes) = item.size, self._window
        in_flight = self._in_flight + size
        if not size or in_flight > most_bytes or last - self.taken >= most:
            return None
        if last - self.acked >= self._max_messages or self._bytes > self._max_bytes:  # more than usual: see peek()
            return None
        if self._sizes is EMPTY:
            self._sent, self._sizes = deque(), deque()
        waiting.popleft()
        self._begun = item.behind
        self.last = last + 1
        self._sent.append(item)
        self._sizes.append(size)
        self._in_flight = in_flight
        self.total += size
        return item

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
            item = self._sent.popleft()
            self.acked += 1
            news = True
            if item.behind:  # what is nothing without the rest is kept as long as that
                if self._half is EMPTY:
                    self._half = deque()
                self._half.append(item)
                continue
            self._bytes -= item.size
            while self._half:
                self._bytes -= self._half.popleft().size
        while self.taken < taken:
            self._in_flight -= self._sizes.popleft()
            self.taken += 1
            news = True
        return news

    def rest(self) -> None:
        """Nothing has been sent for a while: what is empty takes no room."""
        if not self._sizes:
            self._sent = self._sizes = self._half = EMPTY
        if not self.waiting:
            self.waiting = EMPTY

    @property
    def closed_cleanly(self) -> bool:
        """Whether the peer has received our close."""
        return self.close_number is not None and self.acked >= self.close_number

    def unacknowledged(self) -> list[str | bytes]:
        """The messages the peer never said it received, oldest first. Of a group that it has not received to the end
        all of them."""
        kept = (*self._half, *self._sent, *self.waiting)
        return [item.data for item in kept if item.kind not in NOTES]


def _drop(outbox: Outbox, size: int, messages: int) -> None:
    """What make_room() drops, when it can make room."""
    waiting, at = outbox.waiting, outbox._begun
    note = -1  # where the note is that tells of all
    while at < len(waiting) and not outbox.has_room(size, messages):
        item = waiting[at]
        if item.kind == POSITION or (item.kind == DROPPED and note < 0) or (item.code and item.kind in MESSAGES):
            if item.kind == DROPPED:
                note = at
            at += 1
            continue
        count = item.code
        if item.kind == DROPPED:
            del waiting[at]
        else:
            count = item.behind + 1
            outbox.dropped += count
            for _ in range(count):
                outbox._bytes -= waiting[at].size
                del waiting[at]
        if note < 0:
            waiting.insert(at, Outgoing.dropped(count))
        else:
            waiting[note] = Outgoing.dropped(waiting[note].code + count)


def _can_make_room(outbox: Outbox, size: int, messages: int, newest: bool) -> bool:
    """Whether make_room() can: what would be left, item by item, as it drops them."""
    most, most_bytes = outbox._max_messages - messages, outbox._max_bytes - size
    kept, left = len(outbox), outbox.size
    behind = 0  # of a group that goes, so many are still to go
    noted = False  # there is a note of drops, to which others are added
    for item in islice(outbox.waiting, outbox._begun, None):
        if behind:
            behind -= 1
        elif not kept or (kept <= most and left <= most_bytes):
            return True
        elif item.kind == POSITION or (item.code and item.kind in MESSAGES):
            continue
        elif item.kind == DROPPED:
            kept -= noted
            noted = True
            continue
        else:
            kept += not noted
            noted, behind = True, item.behind
        kept -= 1
        left -= item.size
    if not kept or (kept <= most and left <= most_bytes):
        return True
    # Two at least, as a note of drops may have been sent in front of the newest before.
    most = max(outbox._max_messages, 2)
    return newest and messages <= most and kept - noted <= most and left <= outbox._max_bytes


def starved(outbox: Outbox) -> bool:
    """Whether what waits may be held back by nothing but an ack: less is outstanding than the peer has to tell of
    before long, who may have taken it all. True once until more is sent, or taken."""
    waiting, outstanding, window = outbox.waiting, outbox.last - outbox.taken, outbox.window
    if (
        not (waiting and outstanding)
        or outbox.held
        or outbox.initial
        or outbox._asked == outbox.last + outbox.taken
        or 4 * outstanding >= window.messages
        or 4 * outbox._in_flight >= window.size
        or outbox._may(waiting[0])
    ):
        return False
    outbox._asked = outbox.last + outbox.taken
    return True
