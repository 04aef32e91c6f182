"""What one end has received and its application has not taken yet, and which acks are owed for it.

Pure data; time is passed in. The sender's window bounds it, so a receiver never stops reading.

Where a session's rate is limited (a Meter), what came too fast is given to the application all the same, but counts as
taken only from the moment at which it is within the rate: so the window makes the sender wait, and nothing else does.
Messages that are nothing without each other (group()) count as taken together, behind the last of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeAlias

from .errors import RemoteProtocolError
from .frames import Dropped, RoomMessage, RoomPosition, Window
from .queues import EMPTY
from .rates import Meter

__all__ = ["AT_ONCE", "NEVER", "Inbox", "Received"]

Received: TypeAlias = str | bytes | Dropped | RoomMessage | RoomPosition

NEVER = float("inf")
AT_ONCE = float("-inf")


class Grouping:
    """What belongs together: see Inbox.group()."""

    __slots__ = ("_behind", "_most", "_most_bytes", "_size", "begins", "coming", "waiting")

    def __init__(self, behind: Callable[[str], int], begins: str, most: int, most_bytes: int) -> None:
        self._behind = behind
        self._most = most
        self._most_bytes = most_bytes
        self._size = 0  # of what was received of a group
        self.begins: str = begins
        self.coming: int = 0  # so many are to be received of the group whose first message was
        self.waiting: int = 0  # so many are to be taken of the group whose first message was

    def goes_on(self, size: int) -> bool:
        """Whether a message of `size` bytes, if it comes next, belongs to those before it, and may."""
        return self.coming > 0 and self._size + size <= self._most_bytes

    def came(self, item: Received, size: int) -> None:
        """This was received."""
        self._size += size
        if self.coming:
            self.coming -= not isinstance(item, (Dropped, RoomPosition))
        else:
            self.coming, self._size = self._parts(item), size

    def taken(self, item: Received) -> bool:
        """This goes to the application: whether more belongs to it."""
        if self.waiting:
            self.waiting -= not isinstance(item, (Dropped, RoomPosition))
        else:
            self.waiting = self._parts(item)
        return self.waiting > 0

    def _parts(self, item: Received) -> int:
        """How many belong to it; none to what has too many."""
        data = item.data if isinstance(item, RoomMessage) else item
        parts = self._behind(data) if isinstance(data, str) else 0
        return parts if parts <= self._most else 0


class Inbox:
    """One direction's receiving half."""

    __slots__ = (
        "_announced_received",
        "_announced_taken",
        "_asked",
        "_bytes",
        "_early",
        "_grouping",
        "_held",
        "_meter",
        "_quarter_bytes",
        "_quarter_messages",
        "_received_bytes",
        "_received_since",
        "_sizes",
        "_taken_bytes",
        "_taken_since",
        "_within",
        "items",
        "metered",
        "notes",
        "owed_since",
        "received",
        "taken",
        "total",
        "window",
    )

    def __init__(self, window: Window, meter: Meter | None = None) -> None:
        self.window: Window = window  # what this side announced
        self.metered: bool = meter is not None
        self._meter = meter
        self._within: deque[float] = EMPTY  # with a meter: from when on each of _sizes is within the rate
        self._early = 0  # of what does not count as taken, the application has so many already,
        self._held = 0  # and the last so many of those are parts of a group whose rest it has not
        self._grouping: Grouping | None = None
        self.received: int = 0
        self.taken: int = 0
        self.notes: int = 0  # of the received, those that were no messages: notes, a close
        self.total: int = 0  # payload bytes ever received
        self.items: deque[Received] = EMPTY  # not taken by the application
        self._sizes: deque[int] = EMPTY  # of what does not count as taken
        self._quarter_messages = window.messages // 4 or 1
        self._quarter_bytes = window.size // 4 or 1
        # What the peer surely knows, and what has come on top of it.
        self._announced_received = self._announced_taken = 0
        self._asked = 0  # the peer waits to hear that so many were taken
        self._bytes = self._received_bytes = self._taken_bytes = 0
        self._received_since: float | None = None
        self._taken_since: float | None = None
        # Since when the oldest news waits: minus infinity when its ack is due at once, infinity when there is none. Set
        # when something becomes news, and anew when an ack is announced.
        self.owed_since: float = NEVER

    def announce_by(self, share: float) -> None:
        """An ack goes on its own when this part of a quarter of the window has come, or was taken."""
        self._quarter_messages = int(self.window.messages * share / 4) or 1
        self._quarter_bytes = int(self.window.size * share / 4) or 1

    def __len__(self) -> int:
        return len(self.items)

    @property
    def size(self) -> int:
        """Payload bytes that do not count as taken."""
        return self._bytes

    @property
    def messages(self) -> int:
        """How many messages were ever received."""
        return self.received - self.notes

    def has_room(self, size: int) -> bool:
        """Whether a message of `size` bytes is within the window. When nothing else waits, one of any size is, and what
        belongs to the one before is, too."""
        outstanding = self.received - self.taken
        if not outstanding or (outstanding < self.window.messages and self._bytes + size <= self.window.size):
            return True
        return self._grouping is not None and self._grouping.goes_on(size)

    @property
    def releases_at(self) -> float:
        """When something that the application has already will count as taken, for being within the rate; infinity
        when nothing waits for that."""
        return self._within[0] if self._early > self._held and self._within else NEVER

    def put(self, item: Received, size: int, now: float) -> None:
        """Takes in the next numbered item. Raises RemoteProtocolError when it exceeds the window or the rate."""
        outstanding = self.received - self.taken  # has_room(), without a call
        beyond = outstanding and (outstanding >= self.window.messages or self._bytes + size > self.window.size)
        if beyond and not self.has_room(size):
            raise RemoteProtocolError(
                1002,
                f"the receive window ({self.window.messages} messages, {self.window.size} bytes) was exceeded",
            )
        if self._sizes is EMPTY:
            self.items, self._sizes, self._within = deque(), deque(), deque() if self.metered else EMPTY
        if self._meter is not None:
            self._within.append(self._meter.charge(size, now))
        grouping = self._grouping
        if grouping is not None and (grouping.coming or (item[:1] in grouping.begins if type(item) is str else True)):
            grouping.came(item, size)
        self.items.append(item)
        self._sizes.append(size)
        self._bytes += size
        # count(), without a call.
        self.total += size
        self._received_bytes += size
        received = self.received = self.received + 1
        if self._received_since is None:
            self._received_since = now
            if now < self.owed_since:
                self.owed_since = now
        if received - self._announced_received >= self._quarter_messages or self._received_bytes >= self._quarter_bytes:
            self.owed_since = AT_ONCE

    def restore(self, sizes: Sequence[int], now: float) -> None:
        """Messages of these sizes were received before, and wait: when they came they were within the window and the
        rate, and are again, whatever the limits are now."""
        if sizes:
            self.items, self._sizes = deque([""] * len(sizes)), deque(sizes)
            self._within = deque([now] * len(sizes)) if self.metered else EMPTY
        self._bytes = sum(sizes)
        self.received += len(sizes)
        self.total += self._bytes

    def other(self, now: float) -> None:
        """Something has come that is no new message. Raises RemoteProtocolError (1008) when that exceeds the rate."""
        if self._meter is not None:
            self._meter.charge_other(now)

    def count(self, size: int, now: float) -> None:
        """Counts one more as received without keeping it (a close, which takes no room)."""
        self.received += 1
        self.total += size
        self._received_bytes += size
        # There is something to acknowledge: from now on, or at once.
        if self._received_since is None:
            self._received_since = now
            if now < self.owed_since:
                self.owed_since = now
        if (
            self.received - self._announced_received >= self._quarter_messages
            or self._received_bytes >= self._quarter_bytes
        ):
            self.owed_since = AT_ONCE

    def take(self, now: float) -> Received:
        """The oldest item, which counts as taken from here, or once it is within the rate. Raises IndexError when
        there is none."""
        item = self.items.popleft()
        grouping = self._grouping
        if grouping is not None and (
            grouping.waiting or self._early or (item[:1] in grouping.begins if type(item) is str else True)
        ):
            self._give(grouping, item, now)
            return item
        if self._within:
            self.release(now)
            if self._early or self._within[0] > now:
                self._early += 1
                return item
            self._within.popleft()
        # _count_taken(), without a call.
        size = self._sizes.popleft()
        self._bytes -= size
        self._taken_bytes += size
        taken = self.taken = self.taken + 1
        if self._taken_since is None:
            self._taken_since = now
            if now < self.owed_since:
                self.owed_since = now
        if (
            taken - self._announced_taken >= self._quarter_messages
            or self._taken_bytes >= self._quarter_bytes
            or taken == self._asked
        ):
            self.owed_since = AT_ONCE
        return item

    def group(self, behind: Callable[[str], int], begins: str, most: int, most_bytes: int) -> None:
        """From now on messages may belong together: `behind` says of a text that begins with one of the letters
        `begins` how many of those behind it do, `most` at the most, of `most_bytes` with it. They count as taken with
        the last of them, and so all but the first may come beyond the window."""
        self._grouping = Grouping(behind, begins, most, most_bytes)
        for item, size in zip(self.items, islice(self._sizes, self._early, None), strict=True):
            self._grouping.came(item, size)

    def _give(self, grouping: Grouping, item: Received, now: float) -> None:
        """An item goes to the application, and counts as taken now or with others."""
        self.release(now)
        self._early += 1
        self._held = self._held + 1 if grouping.taken(item) else 0
        while self._early > self._held and not (self._within and self._within[0] > now):
            self._early -= 1
            if self._within:
                self._within.popleft()
            self._count_taken(now)

    def release(self, now: float) -> None:
        """What the application has counts as taken as soon as it is within the rate."""
        while self._early > self._held and self._within and self._within[0] <= now:
            self._early -= 1
            self._count_taken(self._within.popleft())

    def _count_taken(self, when: float) -> None:
        size = self._sizes.popleft()
        self._bytes -= size
        self._taken_bytes += size
        self.taken += 1
        if self._taken_since is None:
            self._taken_since = when
            if when < self.owed_since:
                self.owed_since = when
        if (
            self.taken - self._announced_taken >= self._quarter_messages
            or self._taken_bytes >= self._quarter_bytes
            or self.taken == self._asked
        ):
            self.owed_since = AT_ONCE

    def discard(self, now: float) -> None:
        """Takes everything and forgets it, at any rate: the application has called close."""
        self.items.clear()
        self._within.clear()
        self._early = self._held = 0
        if self._grouping is not None:
            self._grouping.waiting = 0
        while self._sizes:
            self._count_taken(now)

    def rest(self) -> None:
        """Nothing has come for a while: what is empty takes no room."""
        if not self._sizes:
            self.items = self._sizes = self._within = EMPTY

    def ask(self) -> None:
        """The peer asks for acks: what was received, and not taken, is told at once when all of it was taken."""
        if self.received > self.taken:
            self._asked = self.received

    def ack(self) -> tuple[int, int]:
        """The acks to write now. Says nothing of whether they will arrive: see announced()."""
        return self.received, self.taken

    def announced(self, received: int, taken: int) -> None:
        """The peer knows this ack, or will: it was written on the current ordered carrier, or its POST was
        answered (docs/protocol.md §6)."""
        if received == self.received and taken == self.taken:  # as it usually is
            self._announced_received, self._announced_taken = received, taken
            self._received_bytes = self._taken_bytes = 0
            self._received_since = self._taken_since = None
            self.owed_since = NEVER
            return
        self._announced_received = max(self._announced_received, received)
        self._announced_taken = max(self._announced_taken, taken)
        if received >= self.received:
            self._received_bytes = 0
            self._received_since = None
        if taken >= self.taken:
            self._taken_bytes = 0
            self._taken_since = None
        self.owed_since = _oldest(self)

    def unannounced(self) -> None:
        """An ack may not have arrived after all: whatever there is to tell is due again."""
        if self.received:
            self._announced_received = self._announced_taken = -1
            self.owed_since = AT_ONCE

    @property
    def news(self) -> bool:
        """Whether there is anything the peer was not told."""
        return self._announced_received < self.received or self._announced_taken < self.taken

    def due(self, now: float, delay: float) -> bool:
        """Whether an ack should go on its own now (docs/protocol.md §6): a quarter of a window, or `delay` seconds."""
        self.release(now)
        return now >= self.due_at(delay)

    def due_at(self, delay: float) -> float:
        """When an ack is due by time; minus infinity when it is due already, infinity when nothing waits."""
        when = self.owed_since + delay
        return self._released_at(when, delay) if self._early > self._held and self._within else when

    def _released_at(self, when: float, delay: float) -> float:
        """due_at(), or earlier if by then enough of what the application has will count as taken."""
        when = min(when, self._within[0] + delay)
        messages = self.taken - self._announced_taken
        size = self._taken_bytes
        for at, item, _ in zip(self._within, self._sizes, range(self._early - self._held), strict=False):
            if at >= when:
                break
            messages += 1
            size += item
            if messages >= self._quarter_messages or size >= self._quarter_bytes:
                return at
        return when


def _oldest(inbox: Inbox) -> float:
    """What `owed_since` is, found from scratch."""
    if (
        inbox.received - inbox._announced_received >= inbox._quarter_messages
        or inbox.taken - inbox._announced_taken >= inbox._quarter_messages
        or inbox._received_bytes >= inbox._quarter_bytes
        or inbox._taken_bytes >= inbox._quarter_bytes
        or inbox._announced_taken < inbox._asked <= inbox.taken
    ):
        return AT_ONCE
    received = NEVER if inbox._received_since is None else inbox._received_since
    return received if inbox._taken_since is None else min(received, inbox._taken_since)
