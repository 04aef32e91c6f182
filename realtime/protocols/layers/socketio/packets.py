"""One Socket.IO packet: what it says, how it is read and how it is written ("Packet encoding").

    <type>[<attachments>-][<namespace>,][<id>][<JSON>]

Behind it follow its attachments, each a binary message. Whether a packet has any says its text: to the application an
event with bytes in it is an event like all others.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ....core.errors import LocalProtocolError, RemoteProtocolError
from . import values

__all__ = [
    "ACK",
    "CONNECT",
    "CONNECT_ERROR",
    "DISCONNECT",
    "EVENT",
    "GROUPS",
    "MAX_ID",
    "MAX_NAMESPACE",
    "RESERVED",
    "Packet",
    "attachments",
    "check_event",
    "check_namespace",
    "parse",
    "write",
]

# The types of packets. Those with attachments have numbers of their own on the wire, and nowhere else.
CONNECT = 0
DISCONNECT = 1
EVENT = 2
ACK = 3
CONNECT_ERROR = 4
_BINARY = {EVENT: 5, ACK: 6}
_PLAIN = {5: EVENT, 6: ACK}

# Names of events that say something about the connection, to an application: no peer may send them.
RESERVED = frozenset(("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"))
MAX_NAMESPACE = 256  # characters of its name
MAX_ID = 2**53 - 1  # what a number of JavaScript counts to

# An event in "/" without attachments, and with a number that is far below MAX_ID.
_EVENT = re.compile(r"2([0-9]{0,15})\[")
# The namespace ends with a comma, or with the packet. Version 4 lets a query follow its name.
_HEAD = re.compile(r"([0-6])(?:([0-9]{1,10})-)?(?:(/[^,]*)(?:,|\Z))?([0-9]{1,16})?")

# Version 3 has no other type for acks with attachments.
_COUNTED = re.compile(r"[356]([0-9]{1,10})-")


class Packet(NamedTuple):
    """What one end says to the other. `data` of an event are its name and its arguments, of an ack the answers."""

    type: int
    namespace: str = "/"
    data: Any = None
    id: int | None = None  # of an event that is to be acknowledged, and of its ack


def _malformed(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(1002, what)


def check_namespace(name: str) -> None:
    """Raises TypeError and LocalProtocolError for what is no name of a namespace."""
    if not isinstance(name, str):
        raise TypeError(f"a namespace is known by a str, not {type(name).__name__}")
    if not _is_namespace(name):
        raise LocalProtocolError(
            f'a namespace is "/" or "/admin": at most {MAX_NAMESPACE} characters, the first of them a slash, without a'
            f' comma, "?" and "#", not {name[:64]!r}'
        )


def _is_namespace(name: str) -> bool:
    return name.startswith("/") and len(name) <= MAX_NAMESPACE and not any(mark in name for mark in ",?#")


def check_event(name: str) -> None:
    """Raises TypeError and LocalProtocolError for what is no name of an event that can be sent."""
    if not isinstance(name, str):
        raise TypeError(f"an event has a name, not {type(name).__name__}")
    if name in RESERVED:
        raise LocalProtocolError(f"{name!r} is what the ends tell their applications: no event can have this name")


def attachments(text: str) -> int:
    """How many messages belong to the one with this text, as that says itself: of any version, and not checked."""
    found = _COUNTED.match(text)
    return int(found[1]) if found else 0


# What is said where, most likely, one end has events and the other plain messages; a close frame has room for it.
NO_EVENT = "this is no event: use realtime.Events() at the server and events() of the session at the client, or neither"

# For Inbox.group(): that, and what such texts begin with.
GROUPS = attachments, "356"


def parse(version: int, text: str) -> tuple[Packet, int]:
    """The packet of one text message, and how many attachments follow. Raises RemoteProtocolError (1002).

    In version 4 what a client asks a namespace by (`/admin?token=1`) is the `data` of its CONNECT: the text behind
    the question mark.
    """
    data: Any
    event = _EVENT.match(text)
    if event is not None:  # as most are: the same, without looking for what it has not
        begin = event.end(1)
        data = values.read(text, begin)
        if type(data) is list and data and type(data[0]) is str and data[0] not in RESERVED:
            return Packet(EVENT, "/", data, int(text[1:begin]) if begin > 1 else None), 0
    head = _HEAD.match(text)
    if head is None:
        raise _malformed(NO_EVENT)
    shown, count, named, counted = head.groups()
    kind = int(shown)
    binary = kind > CONNECT_ERROR
    if binary:
        kind = _PLAIN[kind]
    # Version 3 counts the attachments of every ack.
    if (count is not None) != binary and not (count is not None and kind == ACK and version < 5):
        raise _malformed("a packet says how many attachments it has if, and only if, its type is 5 or 6")
    number = None if counted is None else int(counted)
    if number is not None and number > MAX_ID:
        raise _malformed("the number of an event is above 2**53 - 1")
    namespace, query = "/", None
    if named is not None:
        namespace = named
        if kind == CONNECT and version < 5:
            namespace, mark, asked = named.partition("?")
            query = asked if mark else None
        if not _is_namespace(namespace):
            raise _malformed(f'a namespace has at most {MAX_NAMESPACE} characters, and no "?" and "#"')
    rest = text[head.end() :]
    data = values.read(rest) if rest else query
    _check(version, kind, number, data)
    if kind == EVENT and type(data[0]) is int:
        data[0] = str(data[0])
    return Packet(kind, namespace, data, number), int(count or 0)


def _check(version: int, kind: int, number: int | None, data: Any) -> None:
    """Raises RemoteProtocolError (1002) for a payload, or its absence, that the type does not have."""
    if kind == EVENT:
        if not isinstance(data, list) or not data or not (isinstance(data[0], str) or type(data[0]) is int):
            raise _malformed("an event is an array that begins with its name")
        if data[0] in RESERVED:
            raise _malformed("no event can have this name")
    elif kind == ACK:
        if not isinstance(data, list) or number is None:
            raise _malformed("an ack is an array, and says which event it answers")
    elif number is not None:
        raise _malformed("only events and acks have a number")
    elif kind == CONNECT:
        if data is not None and not isinstance(data, dict if version >= 5 else (dict, str)):
            raise _malformed("what a CONNECT says is an object")
    elif kind == DISCONNECT and data is not None:
        raise _malformed("a DISCONNECT says nothing")


def write(version: int, packet: Packet) -> list[str | bytes]:
    """The messages of a packet: its text, and its attachments.

    Raises TypeError and LocalProtocolError for data that JSON and bytes can't say.
    """
    kind, namespace, data, number = packet
    text, attachments = ("", []) if data is None else values.write(data)
    if not attachments and namespace == "/" and version != 3:  # as most are
        return [f"{kind}{text}" if number is None else f"{kind}{number}{text}"]
    count = f"{len(attachments)}-" if attachments or (version == 3 and kind == ACK) else ""
    if attachments and kind not in _BINARY:
        raise LocalProtocolError("only events and acks can hold bytes")
    # Version 3 has no type of its own for acks with attachments.
    shown = _BINARY[kind] if attachments and not (version == 3 and kind == ACK) else kind
    place = "" if namespace == "/" else f"{namespace},"
    return [f"{shown}{count}{place}{'' if number is None else number}{text}", *attachments]
