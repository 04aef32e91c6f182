"""What a request shows, beside the sid, to count as its session's client's: the session's key, or in a URL a ticket
for just this request (docs/protocol.md §5.1).

Pure: keys are drawn elsewhere. A ticket is reckoned from the key and its number, so nobody has to keep any.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from .errors import Refusal

__all__ = ["ATTACH", "SEND", "TOGETHER", "Key", "Proof", "Tickets", "first_tickets", "ticket", "tickets"]

# What a ticket is for: an attach of this gen, or a send that begins with this message.
ATTACH = "k"
SEND = "s"

# So many tickets are cut from one hash. What is handed out when a session opens, for gen 2 to 5, is of one.
TOGETHER = 4


class Key(str):
    """A session's key: a secret, which shows itself in no repr()."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<key>"


def ticket(key: str, use: str, number: int) -> str:
    """The ticket that a session hands out for this number: 32 hexadecimal digits, by keyed BLAKE2 (RFC 7693), which
    costs a third of an HMAC. A key has 64 bytes at most."""
    return tickets(key, use, number, 1)[0]


def tickets(key: str, use: str, number: int, count: int) -> list[str]:
    """The tickets for so many numbers, from this on: each is what ticket() gives."""
    made: list[str] = []
    block, before = divmod(number + 2, TOGETHER)
    while len(made) < before + count:
        digits = hashlib.blake2b(b"%b%d" % (use.encode(), block), digest_size=64, key=key.encode()).hexdigest()
        made += (digits[:32], digits[32:64], digits[64:96], digits[96:])
        block += 1
    return made[before : before + count]


def first_tickets(key: str, use: str) -> str:
    """The first that are of one hash, for the numbers from 2 on, with commas between: what a session's opening hands
    out."""
    digits = hashlib.blake2b(use.encode() + b"1", digest_size=64, key=key.encode()).hexdigest()
    return f"{digits[:32]},{digits[32:64]},{digits[64:96]},{digits[96:]}"


class Proof(NamedTuple):
    """What one request shows: the key, or, where it names a `use`, the ticket of its number."""

    shown: Key
    use: str = ""
    number: int = 0
    request: bytes = b""  # all that a request with a ticket says: a ticket is good for no other

    def fits(self, key: str) -> bool:
        """Whether it was made by who knows this key; always False without one. Takes the same time for any guess."""
        expected = ticket(key, self.use, self.number) if self.use else key
        return bool(key) and hmac.compare_digest(self.shown.encode("utf-8", "replace"), expected.encode())

    def refusal(self) -> Refusal:
        """What a request is told that shows the wrong thing, or nothing: nothing about the session."""
        if self.use:
            return Refusal(4403, "no ticket for this request: one is good for one gen or first number, said once")
        return Refusal(4403, "the session's key, which its opening answer has, is missing behind the sid, or wrong")


class Tickets:
    """The tickets that one session has used: the highest of each use."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: dict[str, tuple[int, bytes]] = {}  # by use: the highest number, and what was said with it

    def used(self, use: str) -> int:
        """The highest number that was used; 0 for none."""
        return self._used.get(use, (0, b""))[0]

    def take(self, proof: Proof, least: int) -> bool:
        """Uses the ticket of a proof that fits; False where one with a higher number was used, or where it is new and
        below `least`.

        Raises Refusal when it was used for a request that said something else.
        """
        number, request = self._used.get(proof.use, (0, b""))
        said = hashlib.sha256(proof.request).digest()
        if proof.number == number:
            if request != said:
                raise proof.refusal()
            return True
        if proof.number < max(number, least):
            return False
        self._used[proof.use] = proof.number, said
        return True
