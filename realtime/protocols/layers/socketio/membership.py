"""Which namespaces the client of one session is in, and what is to be done with a packet of it.

    (nothing) ──CONNECT──> asked ──accept──> in ──DISCONNECT, leave──> (nothing)
                             └───refuse────> (nothing)

A session begins with a CONNECT. Once it has begun, what comes for a namespace that its client is not in was under way
when it left, or was refused, and says nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from ....core.errors import RemoteProtocolError
from . import packets
from .packets import Packet

__all__ = ["Act", "Membership"]


class Act(enum.Enum):
    """What is to be done with a packet."""

    ASK = "ask"  # the application, whether the client may come in: accept() or refuse() says what it answers
    TURN_AWAY = "turn away"  # it is in too many namespaces
    GIVE = "give"  # the event to the application
    ANSWER = "answer"  # the call that this ack is for
    LEAVE = "leave"  # the client has left the namespace
    IGNORE = "ignore"


class Membership:
    """The namespaces of one session. A client is in `most` of them at most."""

    __slots__ = ("_begun", "_most", "names")

    def __init__(self, most: int, *, begun: bool = False) -> None:
        """`begun`: the protocol has clients in a namespace from the beginning, without a CONNECT (version 4)."""
        self.names: dict[str, bool] = {}  # whether it is in, or asked for
        self._most = most
        self._begun = begun

    def __contains__(self, name: str) -> bool:
        """Whether the client is in."""
        return self.names.get(name, False)

    def __iter__(self) -> Iterator[str]:
        """The names of those that it is in."""
        return iter([name for name, joined in self.names.items() if joined])

    @property
    def begun(self) -> bool:
        """Whether a CONNECT has come."""
        return self._begun

    def take(self, packet: Packet) -> Act:
        """What to do with a packet of the client. Raises RemoteProtocolError (1002) for one that it may not send."""
        kind, name = packet.type, packet.namespace
        if kind == packets.EVENT and self.names.get(name):
            return Act.GIVE
        if kind == packets.CONNECT:
            return self.ask(name)
        if kind == packets.CONNECT_ERROR:
            raise RemoteProtocolError(1002, "a client refuses nobody")
        if not self._begun:
            raise RemoteProtocolError(1002, "the first packet has to be a CONNECT")
        if not self.names.get(name):
            return Act.IGNORE
        if kind == packets.DISCONNECT:
            del self.names[name]
            return Act.LEAVE
        return Act.ANSWER

    def ask(self, name: str) -> Act:
        """The client wants to be in."""
        self._begun = True
        if name in self.names:
            return Act.IGNORE
        if len(self.names) >= self._most:
            return Act.TURN_AWAY
        self.names[name] = False
        return Act.ASK

    def accept(self, name: str) -> None:
        """It is in."""
        self.names[name] = True

    def refuse(self, name: str) -> None:
        """It may not, or has to leave."""
        self.names.pop(name, None)
