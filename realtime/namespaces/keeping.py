"""What one client in one namespace was sent, so that it can go on where it was, in another session.

Offsets are for whole events, whoever gets them: so an event for many is still encoded once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import count
from typing import Any

from ..core.frames import Group, Outgoing
from ..protocols.layers.socketio.recovery import Sent, ends_with_text, with_offset

__all__ = ["Absence", "Keeping", "new_offset", "numbered", "unnumbered"]

_NUMBERED = "with its offset"
_numbers = count(1)
_process: list[str] = []  # what the offsets of this process begin with, as soon as there is one


def new_offset() -> str:
    """An offset that no other event has, of this worker or another."""
    if not _process:
        _process.append(secrets.token_urlsafe(6))
    return f"{_process[0]}.{next(_numbers):x}"


def numbered(group: Group) -> tuple[str, Group]:
    """The offset of an event, and the event with it: made once for all who get it."""
    made: dict[str, Any] = group.encoded
    if _NUMBERED not in made:
        offset = new_offset()
        made[_NUMBERED] = offset, _with(group, offset)
    found: tuple[str, Group] = made[_NUMBERED]
    return found


def unnumbered(group: Group, offset: str) -> Group:
    """A volatile event, which has no offset of its own: where its last argument would be taken for one, the client's is
    said again."""
    return _with(group, offset) if ends_with_text(str(group.data)) else group


def _with(group: Group, offset: str) -> Group:
    text = Outgoing.message(with_offset(str(group.data), offset))
    text.behind = group.parts[0].behind
    made = Group.of((text, *group.parts[1:]))
    made.volatile = group.volatile
    return made


class Absence:
    """A client is away: why, since when it was sent no more, who pays for it, and what ends that."""

    __slots__ = ("cancel", "end", "key", "lost", "why")

    def __init__(self, why: str, end: int, key: str, cancel: Callable[[], None], lost: Callable[[], object]) -> None:
        self.why: str = why  # what its "disconnect" is told, if it does not come back
        self.end: int = end  # the number of the first event that it was not sent
        self.key: str = key  # its identity, or its address
        self.cancel = cancel  # it is not waited for any more
        self.lost = lost  # it cannot go on, whatever it has had


class Keeping:
    """See the top. `live`: its connection is written to; else what is sent is only kept."""

    __slots__ = ("absence", "ended", "live", "pid", "sent")

    def __init__(self, pid: str, sent: Sent) -> None:
        self.pid: str = pid
        self.sent: Sent = sent
        self.live: bool = True
        self.absence: Absence | None = None
        # Told when it goes on nowhere; None after that, and before it knows its pid.
        self.ended: Callable[[], object] | None = None

    def add(self, offset: str, group: Group) -> None:
        """It is sent this event, or would be if it were here."""
        self.sent.add(offset, group)
        absence = self.absence
        if absence is not None and self.sent.first > absence.end:
            absence.lost()
