"""What an endpoint says of its Socket.IO clients. Pure data, checked when made."""

from __future__ import annotations

import dataclasses

from ...core.settings import check, number
from .options import EngineIO

__all__ = ["SocketIO"]

_CONNECT_TIMEOUT = number(0.001, 86_400)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SocketIO(EngineIO):
    """How an endpoint of events serves Socket.IO clients: `rt.endpoint("/chat", socketio=SocketIO(…))(events)`.

    They come by Engine.IO, whose options these are, too, and by default to "/socket.io/". `connect_timeout`: so many
    seconds a client may take to ask for its first namespace. Raises as EngineIO does.
    """

    path: str = "/socket.io/"
    connect_timeout: float = 45.0

    def __post_init__(self) -> None:
        EngineIO.__post_init__(self)
        check("socketio: connect_timeout", self.connect_timeout, _CONNECT_TIMEOUT)
