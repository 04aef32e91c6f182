"""Server-sent events (HTML standard, §9.2): each batch is the data of one event. Uplink by POSTs.

EventSource can only GET, so the first frame rides in the URL; it reconnects by itself with the same URL, and is stopped
by a 204.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.carrier import Part, Shape
from .base import Facts, Frame, Head
from .batch import BatchLines, LinesDecoder, join, quote
from .xhr_streaming import PADDING, STREAM_HEADERS

__all__ = ["ServerSentEvents"]


class ServerSentEvents:
    """One event a batch, no other fields."""

    name = "sse"
    method = "GET"
    shape = Shape.STREAM
    held = False
    framing = "json"

    def head(self, facts: Facts) -> Head:
        """The answer's status and headers, and a comment as padding."""
        return Head(
            200,
            (("Content-Type", "text/event-stream; charset=utf-8"), *STREAM_HEADERS),
            b":" + b" " * PADDING + b"\n\n",
        )

    # One frame, as it lies in a batch. JSON has no raw line ends, so one data line holds it.
    frame: staticmethod[[Frame], bytes] = staticmethod(quote)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One event."""
        return [b"data: " + join(parts) + b"\n\n"]

    def tail(self) -> bytes:
        """Nothing: the last frame is `e` or `x`."""
        return b""

    def decoder(self, max_frames: int, max_bytes: int) -> SseDecoder:
        """Decodes the body as it grows. An event without its empty line counts for nothing."""
        return SseDecoder(max_frames, max_bytes)


class SseDecoder(LinesDecoder):
    """The data of each event, once its empty line has come. Comments and other fields say nothing here.

    Lines end with LF or CRLF; a lone CR, which the standard allows too, no server of ours sends.
    """

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        super().__init__(max_frames, max_bytes)
        self._data = BatchLines(max_bytes)

    def line(self, line: bytes) -> list[Frame]:
        """The frames of the event that this line ends, if it is empty."""
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._data.add(line[5:])
        elif not line:
            return super().line(self._data.take())
        return []
