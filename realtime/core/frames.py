"""The vocabulary of the core: what a session's numbered streams are made of.

Knows nothing of letters, JSON or carriers: how an item looks on a wire is a protocol's and a transport's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from .errors import LocalProtocolError

__all__ = [
    "BINARY",
    "CLOSE",
    "DROPPED",
    "KEPT",
    "NOTES",
    "POSITION",
    "ROOM",
    "TEXT",
    "Dropped",
    "Group",
    "Outgoing",
    "RoomItem",
    "RoomMessage",
    "RoomNote",
    "RoomPosition",
    "Unshared",
    "Window",
    "missed",
    "parts_of",
    "payload_size",
    "window_of",
]

# The kinds of numbered items (docs/protocol.md §3).
TEXT = "m"
BINARY = "b"
DROPPED = "d"
CLOSE = "c"
ROOM = "h"  # a message of a room, with the position behind it
POSITION = "h-"  # such a position without a message
# What `code` says of a message that is never dropped.
KEPT = 1
NOTES = (CLOSE, DROPPED, POSITION)  # those that are no messages
# What stands for a dictionary until there is something for it.
NOBODY: dict[object, Any] = {}


class Forgetful(dict[str, bytes | str]):
    """What is encoded for one receiver, who is not sent it twice but after a fault: nothing of it is kept."""

    __slots__ = ()

    def __setitem__(self, key: str, value: bytes | str) -> None:
        """Keeps nothing."""


FORGETFUL = Forgetful()

Payload: TypeAlias = str | bytes


class Window(NamedTuple):
    """A receive window: how many messages, and how many payload bytes, may be above *taken*."""

    messages: int
    size: int


@lru_cache(maxsize=256)
def window_of(messages: int, size: int) -> Window:
    """A Window, which all share that keep one of this size: most do."""
    return Window(messages, size)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Stands in the stream where the sender dropped `count` messages by its slow-consumer policy."""

    count: int


@dataclass(frozen=True, slots=True)
class RoomMessage:
    """A message of a room with history, as it came: where the room stands behind it says `cursor`."""

    data: Payload
    room: str
    cursor: str


@dataclass(frozen=True, slots=True)
class RoomPosition:
    """Where a room stands, told without a message. `missing`: None if nothing is missing in front of it; else how many
    messages are, 0 for nobody knows."""

    room: str
    cursor: str
    missing: int | None


def missed(message: RoomMessage) -> RoomPosition:
    """What is told in place of a message that is not taken."""
    return RoomPosition(message.room, message.cursor, 1)


def payload_size(data: str | bytes) -> int:
    """The size of a message in bytes, text in UTF-8. Raises UnicodeEncodeError for lone surrogates."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())


class Outgoing:
    """One thing to send: a message, a note of drops, or a close.

    One Outgoing is shared by the outboxes of all its receivers, and with it what was encoded: `encoded` maps
    the key of a codec to the finished bytes (encode once).
    """

    __slots__ = ("about", "alone", "behind", "code", "data", "encoded", "framed", "kind", "size")

    def __init__(self, kind: str, data: Payload, size: int, code: int = 0) -> None:
        self.kind: str = kind
        self.data: Payload = data
        self.size: int = size
        self.code: int = code  # a close's code, the count of a note of drops, or whether a message is never dropped
        self.behind: int = 0  # of a group: how many of it follow
        self.about: str = ""  # what protocols tell of it that have words for that: headers, as a JSON object
        self.encoded: dict[str, bytes | str] = {}
        # By codec: the parts of a flush whose last item this was, and what the codec made of them. See carrier.share().
        self.framed: dict[object, tuple[Sequence[bytes | str], Sequence[bytes | str]]] | None = None
        # By codec: what it makes of a flush of this alone. See carrier.lay_alone().
        self.alone: dict[object, Any] = NOBODY

    @classmethod
    def message(cls, data: str | bytes | bytearray | memoryview) -> Outgoing:
        """A text (str) or binary (bytes-like) message.

        Raises LocalProtocolError for text with lone surrogates and TypeError for anything else.
        """
        if isinstance(data, str):
            try:
                return cls(TEXT, data, len(data) if data.isascii() else len(data.encode()))
            except UnicodeEncodeError as error:
                raise LocalProtocolError(
                    f"text must be Unicode scalar values, and there is a lone surrogate at index {error.start}"
                ) from None
        if isinstance(data, bytes | bytearray | memoryview):
            data = bytes(data)
            return cls(BINARY, data, len(data))
        raise TypeError(f"a message is str or bytes, not {type(data).__name__}: json.dumps() makes str of most")

    @classmethod
    def group(cls, *contents: str | bytes | bytearray | memoryview) -> list[Outgoing]:
        """Messages that are nothing without each other, such as an event and the bytes in it: an outbox that drops one
        drops them all. Raises as message() does.
        """
        items = [cls.message(data) for data in contents]
        for behind, item in enumerate(reversed(items)):
            item.behind = behind
        return items

    @classmethod
    def dropped(cls, count: int) -> Outgoing:
        """A note that `count` messages were dropped here."""
        return cls(DROPPED, "", 0, count)

    @classmethod
    def close(cls, code: int, reason: str) -> Outgoing:
        """The clean end of a stream."""
        return cls(CLOSE, reason, 0, code)

    def __repr__(self) -> str:
        return f"<Outgoing {self.kind} {self.size} bytes>"


class Unshared(Outgoing):
    """A message for one receiver: nothing that is made of it is kept, and it belongs to no group."""

    __slots__ = ()

    about = ""
    alone = NOBODY
    behind = 0
    encoded = FORGETFUL
    framed = None

    def __init__(self, kind: str, data: Payload, size: int, code: int = 0) -> None:
        self.kind = kind
        self.data = data
        self.size = size
        self.code = code


class Group(Outgoing):
    """Messages that are nothing without each other, `parts`, for a room or one session: made once for all receivers,
    each of which gets all of them or none. `size` is that of all. A `volatile` one is for who can be written to now,
    and is dropped without a word for everybody else. One that is `kept` no outbox drops to make room.

    It is never in an outbox itself.
    """

    __slots__ = ("kept", "parts", "volatile")

    def __init__(
        self, *contents: str | bytes | bytearray | memoryview, volatile: bool = False, kept: bool = False
    ) -> None:
        """Raises as Outgoing.message() does."""
        self.parts: tuple[Outgoing, ...] = tuple(Outgoing.group(*contents))
        super().__init__(self.parts[0].kind, self.parts[0].data, sum(part.size for part in self.parts))
        self.volatile: bool = volatile
        self.kept: bool = kept
        if kept:
            for part in self.parts:
                part.code = KEPT

    @classmethod
    def of(cls, parts: tuple[Outgoing, ...]) -> Group:
        """A group of these."""
        made = cls.__new__(cls)
        Outgoing.__init__(made, parts[0].kind, parts[0].data, sum(part.size for part in parts))
        made.parts, made.volatile, made.kept = parts, False, False
        return made


class RoomItem(Outgoing):
    """A message of a room with history, with its position: what clients get that take both in one frame. It is made
    once for all of them, as `plain` is for all others. Of a group it is the last message: behind that the room stands.
    """

    __slots__ = ("cursor", "plain", "room")

    def __init__(self, room: str, cursor: str, plain: Outgoing) -> None:
        last = plain.parts[-1] if isinstance(plain, Group) else plain
        super().__init__(ROOM, last.data, last.size)
        self.room: str = room
        self.cursor: str = cursor  # behind this message
        self.plain: Outgoing = plain

    @property
    def parts(self) -> tuple[Outgoing, ...]:
        """This, behind what belongs to it."""
        return (*self.plain.parts[:-1], self) if isinstance(self.plain, Group) else (self,)


def parts_of(item: Outgoing) -> tuple[Outgoing, ...]:
    """What goes into an outbox for a message, or for a group."""
    return item.parts if isinstance(item, (Group, RoomItem)) else (item,)


class RoomNote(Outgoing):
    """Where a room stands, for one client, without a message. See RoomPosition."""

    __slots__ = ("cursor", "missing", "room")

    def __init__(self, room: str, cursor: str, missing: int | None = None) -> None:
        super().__init__(POSITION, "", 0)
        self.room: str = room
        self.cursor: str = cursor
        self.missing = missing

    def move(self, cursor: str, missing: int | None) -> None:
        """The room goes on before this was encoded for anybody: the note says both at once. What is missing, and nobody
        knows how much, stays unknown whatever is added."""
        self.cursor = cursor
        if self.missing is None:
            self.missing = missing
        elif missing is not None:
            self.missing = self.missing + missing if self.missing and missing else 0
