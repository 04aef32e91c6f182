"""What is sent: a short cycle of numbered messages, made once, so that sending and checking cost the generator little.

The cycle is longer than anything is ever under way, so that a lost, repeated or swapped message is never the one
expected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Messages"]


class Messages:
    """Texts of `size` bytes, and how each looks on a wire."""

    SMALLEST = 8  # bytes
    COUNT = range(64, 1025)  # how many: fewer of large ones,
    MEMORY = 16_777_216  # so that all of them take no more bytes than this where possible

    def __init__(self, size: int) -> None:
        if size < self.SMALLEST:
            raise ValueError(f"a message has its number in it: size={size} must be at least {self.SMALLEST} bytes")
        self.size = size
        self.count = min(max(self.MEMORY // size, self.COUNT[0]), self.COUNT[-1])
        self.texts = [f"{number:04d}".ljust(size, "x").encode() for number in range(self.count)]
        self._laid: dict[tuple[Callable[[bytes], bytes], bytes], list[bytes]] = {}
        self._several: dict[Callable[[bytes], Sequence[bytes]], list[bytes]] = {}

    def laid(self, frame: Callable[[bytes], bytes], prefix: bytes = b"") -> list[bytes]:
        """`frame(prefix + text)` of every text; made once."""
        laid = self._laid.get((frame, prefix))
        if laid is None:
            laid = self._laid[frame, prefix] = [frame(prefix + text) for text in self.texts]
        return laid

    def several(self, frames: Callable[[bytes], Sequence[bytes]]) -> list[bytes]:
        """The same where each text is in several frames: those of all texts, one after the other."""
        several = self._several.get(frames)
        if several is None:
            several = self._several[frames] = [frame for text in self.texts for frame in frames(text)]
        return several
