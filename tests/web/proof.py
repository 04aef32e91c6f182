"""What requests of a session say first: the frames of docs/protocol.md §3.4, with what they have to show."""

from __future__ import annotations

import realtime
from realtime.core.proof import ATTACH, SEND, ticket

__all__ = ["GETS", "attach_frame", "uplink_frame"]

GETS = ("sse", "multipart", "htmlfile", "jsonp")


def attach_frame(session: realtime.Session, transport: str, gen: int, *numbers: int) -> str:
    """An attach by this transport: received, taken, first."""
    key = session._machine.key
    return _frame("r", session, (gen, *numbers), ticket(key, ATTACH, gen) if transport in GETS else key)


def uplink_frame(session: realtime.Session, *numbers: int, by: str = "POST") -> str:
    """The head of a batch: received, taken, first."""
    key = session._machine.key
    return _frame("u", session, numbers, ticket(key, SEND, numbers[-1]) if by == "GET" else key)


def _frame(letter: str, session: realtime.Session, numbers: tuple[int, ...], proof: str) -> str:
    return letter + ",".join((session.id, *map(str, numbers), proof))
