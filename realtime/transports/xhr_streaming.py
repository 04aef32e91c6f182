"""XHR streaming: one long response whose body grows by a line a batch, read as it comes. Uplink by POSTs.

The request is a POST, so that no sid stands in a URL.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.carrier import Part, Shape
from .base import Facts, Frame, Head
from .batch import LinesDecoder, join, quote

__all__ = ["PADDING", "STREAM_HEADERS", "XhrStreaming"]

# Nothing between the two ends may keep, change or hold back what streams: no-transform stops compressing proxies,
# X-Accel-Buffering stops nginx, nosniff lets Chromium show text before its end.
STREAM_HEADERS = (
    ("Cache-Control", "no-store, no-transform"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Accel-Buffering", "no"),
)

# Some engines show nothing of a body before they have seen so much of it.
PADDING = 2048


class XhrStreaming:
    """Lines of batches; an empty line is nothing."""

    name = "xhr_streaming"
    method = "POST"
    shape = Shape.STREAM
    held = False
    framing = "json"

    def head(self, facts: Facts) -> Head:
        """The answer's status and headers, and a line of padding."""
        return Head(200, (("Content-Type", "text/plain; charset=utf-8"), *STREAM_HEADERS), b" " * PADDING + b"\n")

    # One frame, as it lies in a batch.
    frame: staticmethod[[Frame], bytes] = staticmethod(quote)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One line."""
        return [join(parts) + b"\n"]

    def tail(self) -> bytes:
        """Nothing: the last frame is `e` or `x`."""
        return b""

    def decoder(self, max_frames: int, max_bytes: int) -> LinesDecoder:
        """Decodes the body as it grows. An unfinished last line counts for nothing."""
        return LinesDecoder(max_frames, max_bytes)
