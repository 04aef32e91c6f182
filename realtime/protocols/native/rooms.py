"""Messages of rooms and their positions: `h`, and the member `rooms` of an open (docs/protocol.md §3.5, §5)."""

from __future__ import annotations

import re
from typing import Any

from ...core.cursors import MAX_CURSORS, MAX_ROOM_NAME, is_cursor, is_room_name
from ...core.errors import RemoteProtocolError
from ...core.frames import RoomItem, RoomMessage, RoomNote, RoomPosition, payload_size
from .values import is_text, malformed, parse_base64, parse_number, to_base64

__all__ = ["escaped", "parse_name", "parse_room", "parse_rooms", "room_frame"]

_NAME = re.compile(r"(?:[^%]|%25|%2C)*+", re.DOTALL)


def escaped(room: str) -> str:
    """A room's name in a frame."""
    return room.replace("%", "%25").replace(",", "%2C")


def parse_name(name: str) -> str:
    """The room of a name in a frame. Raises RemoteProtocolError (1002, 1007)."""
    if not is_text(name):
        raise RemoteProtocolError(1007, "the name of a room with a lone surrogate")
    room = name.replace("%2C", ",").replace("%25", "%")
    if not _NAME.fullmatch(name) or not is_room_name(room):
        raise RemoteProtocolError(1002, f"the name of a room has at most {MAX_ROOM_NAME} characters, % as %25")
    return room


def room_frame(item: RoomItem | RoomNote) -> str:
    """The server's `h`."""
    place = f"h{escaped(item.room)},{item.cursor}"
    if isinstance(item, RoomNote):
        return place if item.missing is None else f"{place},d{item.missing}"
    data = item.data
    return f"{place},m{data}" if isinstance(data, str) else f"{place},b{to_base64(data)}"


def parse_room(frame: str) -> tuple[RoomMessage | RoomPosition, int]:
    """What an `h` says, and the size of the message in it. Raises RemoteProtocolError (1002, 1007)."""
    name, _, rest = frame[1:].partition(",")
    cursor, _, inner = rest.partition(",")
    room = parse_name(name)
    if not is_cursor(cursor):
        raise RemoteProtocolError(1002, "a message of a room is h<room>,<cursor>,<message>")
    kind, payload = inner[:1], inner[1:]
    if cursor == rest:
        return RoomPosition(room, cursor, None), 0
    if kind == "d":
        return RoomPosition(room, cursor, parse_number(payload, "a gap")), 0
    if kind == "b":
        data = parse_base64(payload)
        return RoomMessage(data, room, cursor), len(data)
    if kind != "m":
        raise RemoteProtocolError(1002, "what a room has sent is m<text>, b<base64> or d<count>")
    try:
        return RoomMessage(payload, room, cursor), payload_size(payload)
    except UnicodeEncodeError:
        raise RemoteProtocolError(1007, "text with a lone surrogate") from None


def parse_rooms(rooms: Any) -> dict[str, str]:
    """The cursors in an open: its member `rooms`, if there is one. Raises RemoteProtocolError (4400)."""
    if not isinstance(rooms, dict) or len(rooms) > MAX_CURSORS:
        raise malformed(f"open: rooms is an object of at most {MAX_CURSORS} rooms and their cursors")
    for room, cursor in rooms.items():
        if not is_room_name(room):
            raise malformed(f"open: the name of a room has at most {MAX_ROOM_NAME} characters, and no lone surrogates")
        if not is_cursor(cursor):
            raise malformed("open: a cursor is 1 to 128 characters of A-Z a-z 0-9 - _ .")
    return rooms
