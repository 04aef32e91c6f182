"""htmlfile: an HTML document without end in an iframe, each batch a script block. Uplink by POSTs, forms or scripts.

For engines without streams that a script can read, and for pages of other origins where there is no CORS. An iframe can
only GET, so the first frame rides in the URL.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.carrier import Part, Shape
from .base import Facts, Frame, Head
from .script import ScriptStreamDecoder, document, join, quote
from .xhr_streaming import PADDING, STREAM_HEADERS

__all__ = ["HtmlFile"]


class HtmlFile:
    """One call of the page's function a batch."""

    name = "htmlfile"
    method = "GET"
    shape = Shape.STREAM
    held = False
    lays = "script"

    def head(self, facts: Facts) -> Head:
        """The answer's status and headers, the function that delivers, and padding."""
        return Head(
            200,
            (("Content-Type", "text/html; charset=utf-8"), *STREAM_HEADERS),
            document(facts.callback) + b" " * PADDING + b"\r\n",
        )

    def frame(self, frame: Frame) -> bytes:
        """One frame, as it lies in a batch."""
        return quote(frame)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One script block."""
        return [b"<script>r(" + join(parts) + b")</script>\r\n"]

    def tail(self) -> bytes:
        """The end of the document."""
        return b"</body></html>\r\n"

    def decoder(self, max_frames: int, max_bytes: int) -> ScriptStreamDecoder:
        """Decodes the body as it grows. A block without its line end counts for nothing."""
        return ScriptStreamDecoder(max_frames, max_bytes)
