"""What the client of a durable session has received: numbered messages, and between them those of rooms, which have no
number and a window of their own, on each carrier (docs/protocol.md §13.4).

Both are taken in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..errors import RemoteProtocolError
from ..frames import RoomMessage, RoomPosition, Window
from ..inbox import AT_ONCE, NEVER, Inbox, Received
from .rooms import Flow

__all__ = ["RoomInbox"]


class Waiting:
    """A room's frame that the application has not taken."""

    __slots__ = ("count", "gen", "size")

    def __init__(self, gen: int, size: int) -> None:
        self.gen: int = gen  # of the carrier that has brought it
        self.size: int = size  # of its message
        self.count: int = 1  # it, and those behind it that are not for the application


class RoomInbox(Inbox):
    """An inbox with messages of rooms in it: what is a RoomMessage or a RoomPosition has no number here."""

    __slots__ = (
        "_announced",
        "_bytes_waiting",
        "_flow",
        "_gen",
        "_rooms",
        "_rooms_bytes",
        "_rooms_since",
        "_rooms_taken",
        "_taken_now",
        "frames",
        "room_messages",
    )

    items: deque[Received]

    def __init__(self, window: Window, taken: Callable[[float], object]) -> None:
        """`taken` is called, with the time, when the application has taken something of a room."""
        super().__init__(window)
        self.items, self._sizes = deque(), deque()
        self._taken_now = taken
        self._rooms: deque[Waiting] = deque()
        self._bytes_waiting = 0
        self.frames: int = 0  # of rooms, ever
        self.room_messages: int = 0  # of these, those that brought one
        self.begin(0)

    def begin(self, gen: int) -> None:
        """From now on rooms are heard on the carrier of this gen; 0 for none."""
        self._gen = gen
        self._flow = Flow(self.window)
        self._rooms_taken = self._announced = 0  # frames of this carrier
        self._rooms_bytes = 0  # taken and not announced
        self._rooms_since: float | None = None

    @property
    def has_room_for_rooms(self) -> bool:
        """Whether another carrier may bring a window of messages: less than one waits."""
        return len(self._rooms) < self.window.messages and self._bytes_waiting < self.window.size

    @property
    def messages(self) -> int:
        """How many messages were ever received, from rooms, too."""
        return super().messages + self.room_messages

    def put_room(self, item: RoomMessage | RoomPosition, size: int) -> None:
        """Takes in what a room has sent, on the carrier on which rooms are heard. Raises RemoteProtocolError when that
        exceeds its window."""
        self._arrives(size, isinstance(item, RoomMessage))
        self.items.append(item)
        self._rooms.append(Waiting(self._gen, size))
        self._bytes_waiting += size

    def pass_by(self, now: float) -> None:
        """A frame of a room came that is not for the application: it counts as taken when those before it do."""
        self._arrives(0, False)
        if self._rooms and self._rooms[-1].gen == self._gen:
            self._rooms[-1].count += 1
        else:
            self._count(1, 0, now)

    def _arrives(self, size: int, message: bool) -> None:
        flow = self._flow
        if not (flow.may(size) if message else flow.may_note):
            raise RemoteProtocolError(
                1002,
                f"the window of rooms ({self.window.messages} messages, {self.window.size} bytes) was exceeded",
            )
        flow.sent(size)
        self.frames += 1
        self.room_messages += message

    def take(self, now: float) -> Received:
        """See Inbox.take()."""
        if not isinstance(self.items[0], (RoomMessage, RoomPosition)):
            return super().take(now)
        item = self.items.popleft()
        self._take_room(now)
        return item

    def _take_room(self, now: float) -> None:
        waiting = self._rooms.popleft()
        self._bytes_waiting -= waiting.size
        if waiting.gen == self._gen:
            self._count(waiting.count, waiting.size, now)
        self._taken_now(now)

    def _count(self, count: int, size: int, now: float) -> None:
        self._rooms_taken += count
        self._rooms_bytes += size
        if self._rooms_since is None:
            self._rooms_since = now

    def discard(self, now: float) -> None:
        """See Inbox.discard()."""
        super().discard(now)
        while self._rooms:
            self._take_room(now)

    def rest(self) -> None:
        """See Inbox.rest(): what has no number stays."""

    def rooms_due_at(self, delay: float) -> float:
        """When the server is to hear how many were taken: minus infinity when that is now, infinity when there is
        nothing to say. As acks (docs/protocol.md §6)."""
        if self._rooms_since is None:
            return NEVER
        taken = self._rooms_taken - self._announced
        if taken >= self._quarter_messages or self._rooms_bytes >= self._quarter_bytes:
            return AT_ONCE
        return self._rooms_since + delay

    def rooms_taken(self) -> int:
        """How many frames of the carrier were taken, to be said to the server now."""
        self._flow.taken(self._rooms_taken)
        self._announced = self._rooms_taken
        self._rooms_bytes, self._rooms_since = 0, None
        return self._rooms_taken

    def taken_lost(self) -> None:
        """Whether the server has heard that is not known: it is to be said again."""
        self._rooms_since = AT_ONCE
