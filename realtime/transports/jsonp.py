"""JSONP: long-polling by script tags, for pages that can neither read an answer nor fill an iframe.

A script tag can only GET, so the one frame it says rides in the URL. Uplink by forms, or by further script tags.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.carrier import Part, Shape
from .base import Facts, Frame, Head
from .script import ScriptDecoder, check_callback, join, quote

__all__ = ["Jsonp"]


class Jsonp:
    """The answer is one call of the page's function, held until there is news."""

    name = "jsonp"
    method = "GET"
    shape = Shape.POLL
    held = True
    framing = "script"

    def head(self, facts: Facts) -> Head:
        """The answer's status and headers, and the beginning of the call. (The comment in front keeps the answer from
        being taken for the file of a plug-in, which could begin with letters of the asker's choice.)"""
        return Head(
            200,
            (
                ("Content-Type", "application/javascript; charset=utf-8"),
                ("Cache-Control", "no-store, no-transform"),
                ("X-Content-Type-Options", "nosniff"),
            ),
            f"/**/{check_callback(facts.callback)}(".encode(),
        )

    # One frame, as it lies in a batch.
    frame: staticmethod[[Frame], bytes] = staticmethod(quote)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """The call's argument."""
        return [join(parts)]

    def tail(self) -> bytes:
        """The end of the call."""
        return b");\r\n"

    def decoder(self, max_frames: int, max_bytes: int) -> ScriptDecoder:
        """Decodes the whole answer."""
        return ScriptDecoder(max_frames, max_bytes)
