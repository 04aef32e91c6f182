"""multipart/x-mixed-replace: each batch is one part of a response without end. Uplink by POSTs.

A part is complete when the boundary behind it has come, so each is written with the next boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.carrier import Part, Shape
from .base import Facts, Frame, Head
from .batch import BatchLines, LinesDecoder, join, quote
from .xhr_streaming import PADDING, STREAM_HEADERS

__all__ = ["Multipart"]

BOUNDARY = "realtime"
_DELIMITER = f"--{BOUNDARY}".encode()
_CLOSING = _DELIMITER + b"--"


class Multipart:
    """One part a batch."""

    name = "multipart"
    method = "GET"
    shape = Shape.STREAM
    held = False
    framing = "json"

    def head(self, facts: Facts) -> Head:
        """The answer's status and headers, a preamble as padding (RFC 2046 §5.1.1), and the first boundary."""
        content_type = f'multipart/x-mixed-replace; boundary="{BOUNDARY}"'
        prelude = b" " * PADDING + b"\r\n" + _DELIMITER + b"\r\n"
        return Head(200, (("Content-Type", content_type), *STREAM_HEADERS), prelude)

    # One frame, as it lies in a batch.
    frame: staticmethod[[Frame], bytes] = staticmethod(quote)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One part and the boundary that ends it."""
        body = join(parts)
        return [
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b\r\n%b\r\n"
            % (len(body), body, _DELIMITER)
        ]

    def tail(self) -> bytes:
        """What ends the last boundary: there is no further part."""
        return _CLOSING + b"\r\n"

    def decoder(self, max_frames: int, max_bytes: int) -> MultipartDecoder:
        """Decodes the body as it grows. A part without its boundary counts for nothing."""
        return MultipartDecoder(max_frames, max_bytes)


class MultipartDecoder(LinesDecoder):
    """The body of each text part, once the boundary behind it has come (RFC 2046 §5.1.1).

    A batch has no line feed in it, so no line of one looks like a boundary. What stands in front of the first boundary
    or behind the closing one, and a part of another type, is somebody else's.
    """

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        super().__init__(max_frames, max_bytes)
        self._body = BatchLines(max_bytes)
        self._in_headers = False
        self._ours = False  # what comes is the body of a part of ours

    def line(self, line: bytes) -> list[Frame]:
        """The frames of the part that this line ends, if it is a boundary."""
        line = line.rstrip(b" \t\r")
        if line in (_DELIMITER, _CLOSING):
            self._ours = self._in_headers = line == _DELIMITER
            return super().line(self._body.take())
        if self._in_headers:
            self._in_headers = line != b""
            name, _, value = line.lower().partition(b":")
            if name == b"content-type":
                self._ours = value.strip().startswith(b"text/plain")
        elif self._ours:
            self._body.add(line)
        return []
