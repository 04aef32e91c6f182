"""WebTransport: frames on one bidirectional stream, each behind its length and its kind (docs/protocol.md §3.6).

A head is one integer in the variable-length encoding of QUIC (RFC 9000 §16), twice the size of the payload, and one
more if that is binary. Both ends frame alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.carrier import Part, Shape
from ..core.errors import RemoteProtocolError
from .base import Facts, Frame, Head

__all__ = ["LengthDecoder", "WebTransport", "frame_head"]

# How many bits an integer of 1, 2, 4 and 8 bytes has for its value; the first two say how many bytes there are.
BITS = (6, 14, 30, 62)


def frame_head(size: int, binary: bool) -> bytes:
    """The head of a frame with a payload of so many bytes, of at most 2⁶⁰."""
    value = 2 * size + binary
    if value < 64:
        return bytes((value,))
    length = 1 if value < 1 << 14 else 2 if value < 1 << 30 else 3
    return (length << BITS[length] | value).to_bytes(1 << length, "big")


class LengthDecoder:
    """Frames out of bytes that come in any pieces. `max_bytes` bounds one frame's payload."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`. Raises RemoteProtocolError: 1009 for one that is too large, as soon as its
        head says so, and 1007 for text that is not UTF-8."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        at, end = 0, len(buffer)
        while at < end:
            length = 1 << (buffer[at] >> 6)
            begin = at + length
            if begin > end:
                break
            value = int.from_bytes(buffer[at:begin], "big") & ((1 << BITS[buffer[at] >> 6]) - 1)
            size = value >> 1
            if size > self._max_bytes:
                raise RemoteProtocolError(1009, f"a frame of {size} bytes, where {self._max_bytes} are taken")
            if begin + size > end:
                break
            at = begin + size
            payload = bytes(buffer[begin:at])
            frames.append(payload if value & 1 else _text(payload))
        del buffer[:at]
        return frames

    def rest(self) -> bytes:
        """What has come of a frame that is not whole."""
        return bytes(self._buffer)

    def end(self) -> list[Frame]:
        """Nothing: a frame that is not whole was cut, and counts for nothing."""
        return []


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError(1007, "text that is not UTF-8") from None


class WebTransport:
    """Frames as the bytes that go on the stream."""

    name = "webtransport"
    method = "CONNECT"
    shape = Shape.DUPLEX
    held = False
    framing = "length"

    def head(self, facts: Facts) -> Head:
        """The answer to the extended CONNECT (RFC 9220)."""
        return Head(200, ())

    def frame(self, frame: Frame) -> bytes:
        """A whole frame."""
        binary = not isinstance(frame, str)
        payload = frame.encode() if isinstance(frame, str) else frame
        return frame_head(len(payload), binary) + payload

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One buffer for all that is written in one flush."""
        return parts if len(parts) == 1 else [b"".join(parts)]  # type: ignore[arg-type] # frame() makes bytes

    def tail(self) -> bytes:
        """Nothing: the stream's own end is enough."""
        return b""

    def decoder(self, max_frames: int, max_bytes: int) -> LengthDecoder:
        """Bytes in, frames out; how many frames are taken at once is for whoever reads the stream."""
        return LengthDecoder(max_bytes)
