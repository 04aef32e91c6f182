"""Sessions of events: Socket.IO's packets over the native protocol, as our clients speak them, and over Engine.IO.

What one post() sends, and what has to come of it, is a Kind: one event and its echo, or its acknowledgement, or many of
them. Counts of messages are those of posts; what is numbered by the native protocol are packets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .bare import BasePeer
from .load import Tally
from .messages import Messages
from .native import ACK_DELAY, NativePeer, NativeWebSocket
from .peers import BURST, SOCKETIO, PeerWebSocket
from .wire import TEXT, client_frame, server_frame

__all__ = ["ACK", "DOWN", "EVENT", "UP", "Kind", "NativeEvents", "SocketIOEvents"]

Packets = Callable[[bytes], tuple[bytes, ...]]


@dataclass(frozen=True)
class Kind:
    """What is sent for one text, and what comes back: the same number of packets each time."""

    up: Packets
    down: Packets
    events: int = 1  # that are counted as operations

    def native_up(self, text: bytes) -> bytes:
        """As a native client writes it."""
        return b"".join(client_frame(b"m" + packet) for packet in self.up(text))

    def native_down(self, text: bytes) -> tuple[bytes, ...]:
        """As a native client reads it, frame by frame."""
        return tuple(server_frame(b"m" + packet) for packet in self.down(text))

    def socketio_up(self, text: bytes) -> bytes:
        """As a client of Socket.IO writes it."""
        return b"".join(client_frame(b"4" + packet) for packet in self.up(text))

    def socketio_down(self, text: bytes) -> tuple[bytes, ...]:
        """As a client of Socket.IO reads it, frame by frame."""
        return tuple(server_frame(b"4" + packet) for packet in self.down(text))


def _number(text: bytes) -> int:
    """The number that an event wants to be acknowledged by: its message's."""
    return int(text[:4])


EVENT = Kind(lambda text: (b'2["m","%b"]' % text,), lambda text: (b'2["m","%b"]' % text,))
ACK = Kind(
    lambda text: (b'2%d["ack","%b"]' % (_number(text), text),), lambda text: (b'3%d["%b"]' % (_number(text), text),)
)
# Events that nobody answers, and behind them one whose answer says how many they were.
UP = Kind(
    lambda text: (*(b'2["put","%b"]' % text,) * (BURST - 1), b'20["counted"]'),
    lambda text: (b"30[%d]" % (BURST - 1),),
    BURST,
)
# One event, of which many come.
DOWN = Kind(lambda text: (b'2["burst","%b"]' % text,), lambda text: (b'2["m","%b"]' % text,) * BURST, BURST)


class WholePosts(BasePeer):
    """Counts as received what has come whole: of each post so many packets."""

    _each = 1
    _came = 0

    def _take(self, count: int) -> None:
        self._came += count
        whole = self._came // self._each - self.received
        if whole:
            super()._take(whole)


class NativeEvents(WholePosts, NativeWebSocket):
    """A client of ours."""

    def __init__(
        self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0, *, kind: Kind = EVENT
    ) -> None:
        NativePeer.__init__(self, tally, messages, first)
        self._each_up, self._each = len(kind.up(messages.texts[0])), len(kind.down(messages.texts[0]))
        self._connected = 0  # 1: the namespace was asked for, and its answer is here
        self._asked = 0
        sends, receives = messages.laid(kind.native_up), messages.several(kind.native_down)
        path = f"/realtime/events/v1/websocket?name={name}&"
        self._over(port, path, sends, receives, self._first * self._each)

    @property
    def _up(self) -> int:
        return self.sent * self._each_up + self._asked

    @property
    def _down(self) -> int:
        return self._came + self._connected

    def _allowed(self) -> int:
        outstanding = self._up - self._taken
        count = min(self._waiting, max((self._most - outstanding) // self._each_up, 0 if outstanding else 1))
        self._waiting -= count
        return count

    def _welcome(self) -> None:
        """The session is open: asks for the namespace."""
        self._asked = 1
        self._connection.write(client_frame(b"m0"))

    def _other(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT and not self._connected and payload.startswith(b'm0{"sid":'):
            self._connected = 1
            self._since = self._loop.time()
            self._timer = self._loop.call_at(self._since + ACK_DELAY, self._tick)
            super()._welcome()
        else:
            super()._other(opcode, payload)


class SocketIOEvents(WholePosts, PeerWebSocket):
    """A client of Socket.IO, over a WebSocket from the beginning."""

    def __init__(
        self, port: int, name: str, messages: Messages, tally: Tally, first: int = 0, *, kind: Kind = EVENT
    ) -> None:
        dialect = replace(SOCKETIO, sends=kind.socketio_up, receives=kind.socketio_down)
        PeerWebSocket.__init__(self, port, name, messages, tally, first, dialect=dialect)
        self._each = len(kind.down(messages.texts[0]))
