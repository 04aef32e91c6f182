"""htmlfile: an HTML document without end in an iframe, each batch a script block. Uplink by POSTs, forms or scripts.

For engines without streams that a script can read, and for pages of other origins where there is no CORS. An iframe can
only GET, so the first frame rides in the URL.
"""

from __future__ import annotations

from ..core.carrier import Shape
from .base import Facts, Head
from .script import ScriptBlocks, document
from .xhr_streaming import PADDING, STREAM_HEADERS

__all__ = ["HtmlFile"]


class HtmlFile(ScriptBlocks):
    """One call of the page's function a batch."""

    name = "htmlfile"
    method = "GET"
    shape = Shape.STREAM
    held = False

    def head(self, facts: Facts) -> Head:
        """The answer's status and headers, the function that delivers, and padding."""
        return Head(
            200,
            (("Content-Type", "text/html; charset=utf-8"), *STREAM_HEADERS),
            document(facts.callback) + b" " * PADDING + b"\r\n",
        )
