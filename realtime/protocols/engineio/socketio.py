"""What an endpoint says of its Socket.IO clients. Pure data, checked when made."""

from __future__ import annotations

import dataclasses

from ...core.settings import check, number, whole
from .options import EngineIO

__all__ = ["SocketIO"]

_RULES = {
    "connect_timeout": number(0.001, 86_400),
    "recovery": number(0.001, 86_400).or_none("no recovery"),
    "recovery_events": whole(1),
    "recovery_size": whole(1),
    "max_away": whole(1),
    "max_away_per_identity": whole(1),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SocketIO(EngineIO):
    """How an endpoint of events serves Socket.IO clients: `rt.endpoint("/chat", socketio=SocketIO(…))(events)`.

    They come by Engine.IO, whose options these are, too, and by default to "/socket.io/". `connect_timeout`: so many
    seconds a client may take to ask for its first namespace.

    With `recovery` a client of version 4.6 or newer whose connection is lost may go on where it was, within so many
    seconds: it keeps its id, rooms and data, and is sent what it has missed. For that the last `recovery_events` events
    of each client in each namespace are kept, of `recovery_size` bytes together; and at most `max_away` clients that
    are away, of which `max_away_per_identity` are of one identity (or of one address, where nobody knows who they are):
    the one that has been away for longest goes first. All events have one more argument then, at the end. Raises as
    EngineIO does.
    """

    path: str = "/socket.io/"
    connect_timeout: float = 45.0
    recovery: float | None = None
    recovery_events: int = 1000
    recovery_size: int = 262_144
    max_away: int = 10_000
    max_away_per_identity: int = 100

    def __post_init__(self) -> None:
        EngineIO.__post_init__(self)
        for name, rule in _RULES.items():
            check(f"socketio: {name}", getattr(self, name), rule)
