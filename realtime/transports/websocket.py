"""WebSocket (RFC 6455): each frame of the protocol is one WebSocket message.

The server lays finished, unmasked WebSocket frames, so that a broadcast is framed once for all its receivers. The
client hands text and bytes to its WebSocket library, which masks each for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from ..core.carrier import Part, Shape
from .base import Facts, Frame, Head

__all__ = [
    "FIN_BINARY",
    "FIN_CLOSE",
    "FIN_PING",
    "FIN_PONG",
    "FIN_TEXT",
    "WebSocket",
    "WebSocketMessages",
    "frame_header",
]

_short = Struct("!BB").pack
_medium = Struct("!BBH").pack
_long = Struct("!BBQ").pack

FIN_TEXT = 0x81
FIN_BINARY = 0x82
FIN_CLOSE = 0x88
FIN_PING = 0x89
FIN_PONG = 0x8A


def frame_header(first: int, size: int) -> bytes:
    """The header of an unmasked frame: RFC 6455 §5.2. `first` is the FIN bit and the opcode."""
    if size < 126:
        return _short(first, size)
    if size < 65_536:
        return _medium(first, 126, size)
    return _long(first, 127, size)


class MessageDecoder:
    """A WebSocket library has framed the messages already: each is one frame."""

    def feed(self, data: Frame) -> list[Frame]:
        """The one frame."""
        return [data]

    def end(self) -> list[Frame]:
        """Nothing is ever left over."""
        return []


class WebSocketMessages:
    """The client's half: frames as the text and bytes that a WebSocket library sends."""

    name = "websocket"
    method = "GET"
    shape = Shape.DUPLEX
    held = False
    framing = "message"

    def head(self, facts: Facts) -> Head:
        """The handshake's answer; a WebSocket library adds the headers of RFC 6455 §4.2.2."""
        return Head(101, ())

    def frame(self, frame: Frame) -> Part:
        """The frame itself."""
        return frame

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One message a frame."""
        return parts

    def tail(self) -> bytes:
        """Nothing: the closing handshake is the library's."""
        return b""

    def decoder(self, max_frames: int, max_bytes: int) -> MessageDecoder:
        """Messages in, the same frames out."""
        return MessageDecoder()


class WebSocket(WebSocketMessages):
    """The server's half: frames as the bytes that go on the wire."""

    def frame(self, frame: Frame) -> bytes:
        """A whole unmasked WebSocket frame."""
        if isinstance(frame, str):
            payload = frame.encode()
            size = len(payload)
            # frame_header(), without a call.
            if size < 126:
                return _short(FIN_TEXT, size) + payload
            return (_medium(FIN_TEXT, 126, size) if size < 65_536 else frame_header(FIN_TEXT, size)) + payload
        return frame_header(FIN_BINARY, len(frame)) + frame

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One buffer for all that is written in one flush: one system call."""
        return parts if len(parts) == 1 else [b"".join(parts)]  # type: ignore[arg-type] # frame() makes bytes
