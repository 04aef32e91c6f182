"""Long-polling: one held request at a time; the answer is one batch. Uplink by POSTs beside it."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.carrier import Part, Shape
from .base import Facts, Frame, Head
from .batch import BatchDecoder, quote

__all__ = ["LongPolling"]

HEADERS = (
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Cache-Control", "no-store, no-transform"),
    ("X-Content-Type-Options", "nosniff"),
)


class LongPolling:
    """The answer is held until there is news, `ping_interval` at the longest."""

    name = "long_polling"
    method = "POST"
    shape = Shape.POLL
    held = True
    framing = "json"

    def head(self, facts: Facts) -> Head:
        """The answer's status and headers."""
        return Head(200, HEADERS)

    # One frame, as it lies in a batch.
    frame: staticmethod[[Frame], bytes] = staticmethod(quote)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """The body: one batch, which ends itself."""
        return [b"[" + b",".join(parts) + b"]"]  # type: ignore[arg-type] # join(), without a call

    def tail(self) -> bytes:
        """Nothing: a batch is complete or cut."""
        return b""

    def decoder(self, max_frames: int, max_bytes: int) -> BatchDecoder:
        """Decodes the body of a poll (at the server) or of its answer (at the client)."""
        return BatchDecoder(max_frames, max_bytes, single=True)
