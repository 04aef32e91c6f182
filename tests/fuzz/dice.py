"""Random values with a taste for trouble, from a seed and the number of the input: the same for ever."""

from __future__ import annotations

from random import Random
from typing import Any

__all__ = ["Dice"]

NUMBERS = (0, 1, 1, 2, 2, 3, 4, 7, 15, 16, 17, 20, 255, 65_536, 2**31, 2**32, 2**53 - 1, 2**53, 2**63, 2**64, 10**30)
NO_NUMBERS = ("", "-1", "+1", "01", "00", " 1", "1 ", "1.5", "1e3", "0x1", "1_0", "٣", "²", "NaN", "null", "9" * 17)
PIECES = (
    *("a", "hello", "0", " ", "\t", ",", ",,", '"', "\\", "'", "/", "</script>", "<", "&", "%", "%00", "{}", "[]"),
    *("\n", "\r", "\r\n", "\x00", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff"),
    *("é", "ß", "☃", "💥", "e\u0301", "\u202e", "\ud800", "\udfff", "\udc80", "\ud83d", "true", "null", "1000,"),
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Dice(Random):
    """What one input is made of."""

    def __init__(self, seed: int, number: int) -> None:
        super().__init__(f"{seed}/{number}")

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.random() < probability

    def size(self) -> int:
        """Mostly small, seldom around the limits of the server under test."""
        if self.chance(0.97):
            return self.choice((0, 1, 1, 2, 3, 5, 8, 13, 64, 65, 123, 126, 300))
        return self.choice((4096, 4097, 8000, 8190, 65_535, 65_536, 70_000, 120_000))

    def number(self) -> int:
        """A number from 0, mostly a likely one."""
        return self.randrange(4) if self.chance(0.5) else self.choice(NUMBERS)

    def digits(self) -> str:
        """A number as text, or almost."""
        if self.chance(0.85):
            return str(self.number())
        return "1" * 5000 if self.chance(0.05) else self.choice(NO_NUMBERS)

    def text(self) -> str:
        """Any text, lone surrogates included."""
        if self.chance(0.5):
            return self.choice(PIECES)
        if self.chance(0.8):
            return "".join(self.choices(PIECES, k=self.randrange(6)))
        return self.choice(("x", "☃", "\x00", '"', "\ud800")) * self.size()

    def name(self, size: int = 24) -> str:
        """A proper nonce or sid."""
        return "".join(self.choices(LETTERS, k=size))

    def value(self, depth: int = 3) -> Any:
        """Any JSON value."""
        kind = self.randrange(10 if depth else 7)
        if kind == 0:
            return None
        if kind == 1:
            return self.chance(0.5)
        if kind == 2:
            return self.number() * self.choice((1, -1))
        if kind == 3:
            return self.choice((0.0, -0.0, 0.5, 1e-300, 1e300, 20.0, float("inf"), float("nan"), 10**400))
        if kind <= 6:
            return self.text()
        if kind <= 8:
            return [self.value(depth - 1) for _ in range(self.randrange(4))]
        return {self.text(): self.value(depth - 1) for _ in range(self.randrange(4))}

    def mutated(self, data: bytes) -> bytes:
        """The same bytes with something wrong."""
        wrong = bytearray(data)
        for _ in range(self.choice((1, 1, 1, 2, 4, 12))):
            at = self.randrange(len(wrong) + 1)
            to = min(len(wrong), at + self.randrange(16))
            match self.randrange(7):
                case 0 if wrong:
                    wrong[at % len(wrong)] ^= 1 << self.randrange(8)
                case 1:
                    del wrong[at:]
                case 2:
                    del wrong[at:to]
                case 3:
                    wrong[at:at] = self.randbytes(self.randrange(1, 5))
                case 4:
                    wrong[at:at] = wrong[at:to]
                case 5:
                    wrong[at:to] = self.text().encode("utf-8", "surrogatepass")
                case _:
                    other = self.randrange(len(wrong) + 1)
                    piece = wrong[at:to]
                    del wrong[at:to]
                    wrong[other:other] = piece
        return bytes(wrong)

    def cut(self, data: bytes) -> list[bytes]:
        """The same bytes in a few pieces."""
        if self.chance(0.6):
            return [data]
        at = sorted(self.randrange(len(data) + 1) for _ in range(self.randrange(1, 4)))
        return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]
