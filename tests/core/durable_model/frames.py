"""What the two ends say to each other, and the carriers that bring it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from realtime.core.durable.lineage import Shown
from realtime.core.durable.record import Close, Item, Message, Tenure
from realtime.core.rooms import Position

if TYPE_CHECKING:
    from .holding import Holding
    from .worker import Worker

__all__ = [
    "Acks",
    "Answered",
    "Attached",
    "Carrier",
    "Down",
    "Ends",
    "Kind",
    "Left",
    "Numbered",
    "Opened",
    "Pong",
    "Refused",
    "Request",
    "RoomFrame",
    "Up",
]


class Kind(Enum):
    WEBSOCKET = "websocket"
    STREAM = "stream"
    POLL = "poll"
    SEND = "send"  # no carrier


class Opened(NamedTuple):
    sid: str
    tenure: str
    acks: tuple[int, int]


class Attached(NamedTuple):
    acks: tuple[int, int]
    tenure: str
    began: Tenure | None


class Numbered(NamedTuple):
    number: int
    item: Item


class RoomFrame(NamedTuple):
    room: str
    position: Position
    payload: str | None  # None: a position alone
    previous: str
    missing: int | None


class Left(NamedTuple):
    room: str


class Acks(NamedTuple):
    acks: tuple[int, int]


class Answered(NamedTuple):
    acks: tuple[int, int]
    tenure: str


class Ends(NamedTuple):
    how: str


class Refused(NamedTuple):
    code: int
    of_session: bool
    received: int | None


class Pong(NamedTuple):
    pass


Down: TypeAlias = Opened | Attached | Numbered | RoomFrame | Left | Acks | Answered | Ends | Refused | Pong


class Request(NamedTuple):
    """An open (without a sid), an attach, or a send."""

    sid: str
    nonce: str
    shown: Shown
    cursors: Mapping[str, Position] | None  # None: a URL has no room for them, and a send will bring them
    messages: tuple[Message | Close, ...]  # from shown.first on
    carrier: Carrier
    gen: int = 0  # of the carrier that the cursors are for, and on which so many room frames were taken:
    rooms_taken: int = 0


@dataclass(eq=False)
class Carrier:
    """One connection, stream, poll or send, as both ends see it. Each way brings things in order, until it is cut."""

    gen: int
    kind: Kind
    named: str  # the tenure that its request has named
    heard: float = 0.0  # at the client
    up: bool = True
    down: bool = True
    attached: bool = False
    cursors_due: bool = False  # they did not go with the attach
    room_frames: int = 0  # that came
    last_up: float = 0.0
    last_down: float = 0.0
    # The server's.
    entry: Worker | None = None
    holding: Holding | None = None
    cursor: int = 0
    told: tuple[int, int] = (-1, -1)
    began: Tenure | None = None
    batch: list[Down] = field(default_factory=list)  # of a poll
    held: bool = True
    finished: bool = False


class Up(NamedTuple):
    """What a WebSocket brings: a numbered frame, acks, a ping, an end."""

    number: int = 0
    item: Message | Close | None = None
    acks: tuple[int, int] | None = None
    rooms_taken: int = 0
    cursors: Mapping[str, Position] | None = None
    ping: bool = False
    end: int = 0
