"""What durable sessions add to the native protocol's frames (docs/protocol.md §13.3, §13.4): tenures in heads and
answers, room messages without a number, cursors, and what was taken of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ...core.cursors import MAX_CURSORS, is_cursor
from ...core.durable.record import Tenure
from ...core.errors import RemoteProtocolError
from ...core.frames import RoomItem, RoomMessage, RoomNote, RoomPosition
from .rooms import escaped, parse_name, parse_room, room_frame
from .values import malformed, parse_number

__all__ = [
    "Cursors",
    "Held",
    "Left",
    "Taken",
    "answered_frame",
    "attached_frame",
    "check_tenure",
    "cursors_frame",
    "is_tenure",
    "left_frame",
    "parse_attached",
    "parse_cursors",
    "parse_room_of",
    "parse_taken",
    "room_frame_of",
    "taken_frame",
    "with_tenure",
]

TENURE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Held(NamedTuple):
    """`r` of the server, or the answer to a send: acks, whose they are, and with which numbers the tenure began that
    followed the one which was named, if that is another; not whose that was."""

    received: int
    taken: int
    tenure: str
    began: Tenure | None = None


class Left(NamedTuple):
    """The session is not in this room any more."""

    room: str


class Cursors(NamedTuple):
    """How far a client has heard its rooms, for the carrier of this gen."""

    gen: int
    rooms: dict[str, str]


class Taken(NamedTuple):
    """So many room frames of the carrier of this gen were taken."""

    gen: int
    number: int


def is_tenure(value: object) -> bool:
    """Whether this is the id of a tenure."""
    return isinstance(value, str) and TENURE.fullmatch(value) is not None


# -- heads and answers -------------------------------------------------------------------------------------------------


def with_tenure(head: str, tenure: str) -> str:
    """A client's `r` or `u` that names the tenure it read of last."""
    return f"{head},{tenure}"


def check_tenure(named: str) -> None:
    """What an `r` or `u` names. Raises RemoteProtocolError (4400) for what is no id of a tenure, nor "" for none."""
    if named and not TENURE.fullmatch(named):
        raise malformed("the id of a tenure is 1 to 64 characters of A-Z a-z 0-9 - _ .")


def attached_frame(held: Held) -> str:
    """The server's `r`."""
    began = "" if held.began is None else f",{held.began.sent},{held.began.received},{held.began.taken}"
    return f"r{held.received},{held.taken},{held.tenure}{began}"


def answered_frame(held: Held) -> str:
    """The `a` in the answer to a send."""
    return f"a{held.received},{held.taken},{held.tenure}"


def parse_attached(frame: str) -> Held:
    """The server's `r`, or the `a` in the answer to a send. Raises RemoteProtocolError (1002)."""
    texts = frame[1:].split(",")
    if len(texts) < 3 or not TENURE.fullmatch(texts[2]):
        raise RemoteProtocolError(1002, "an answer of a durable session names a tenure")
    received, taken = parse_number(texts[0], "received"), parse_number(texts[1], "taken")
    if frame[0] == "a" or len(texts) < 6:
        return Held(received, taken, texts[2])
    sent, above, begun = (parse_number(text, "what a tenure began with") for text in texts[3:6])
    return Held(received, taken, texts[2], Tenure("", sent, above, begun))


# -- rooms -------------------------------------------------------------------------------------------------------------


def room_frame_of(item: RoomItem | RoomNote) -> str:
    """The server's `l`: a message of a room, a position, or a gap."""
    return f"l{room_frame(item)[1:]}"


def left_frame(room: str) -> str:
    """The server's `l` that says no more of a room."""
    return f"l{escaped(room)}"


def parse_room_of(frame: str) -> tuple[RoomMessage | RoomPosition | Left, int]:
    """What a server's `l` says, and the size of the message in it. Raises RemoteProtocolError (1002, 1007)."""
    return parse_room(frame) if "," in frame else (Left(parse_name(frame[1:])), 0)


def cursors_frame(gen: int, cursors: Mapping[str, str]) -> str:
    """The client's `l`."""
    return ",".join([f"l{gen}", *(f"{escaped(room)},{cursor}" for room, cursor in cursors.items())])


def parse_cursors(frame: str) -> Cursors:
    """The client's `l`. Raises RemoteProtocolError (1002, 1007)."""
    gen, *texts = frame[1:].split(",")
    if len(texts) % 2 or len(texts) > 2 * MAX_CURSORS or not all(map(is_cursor, texts[1::2])):
        raise RemoteProtocolError(1002, f"cursors are l<gen>,<room>,<cursor>…, of at most {MAX_CURSORS} rooms")
    rooms = dict(zip(map(parse_name, texts[::2]), texts[1::2], strict=True))
    return Cursors(parse_number(gen, "gen"), rooms)


def taken_frame(gen: int, count: int) -> str:
    """The client's `f`."""
    return f"f{gen},{count}"


def parse_taken(frame: str) -> Taken:
    """The client's `f`. Raises RemoteProtocolError (1002)."""
    gen, _, count = frame[1:].partition(",")
    return Taken(parse_number(gen, "gen"), parse_number(count, "how many were taken"))
