"""How two workers of a cluster know each other, and that what one says of a client is its word.

Whoever connects to a worker's inner port has to show that it knows the cluster's secret, before anything that it says
is read as more than bytes; and the worker shows the same, before it is told anything. What both have drawn for this
connection, and whom the one who connects means to reach, goes into a key of this connection alone. Each request on it
is sealed with that key and its number: nothing can be made up, changed, or said again, on this connection or another,
and nobody has to remember what was said.

Pure: what is drawn by lot is drawn elsewhere. What goes first has a fixed size.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Sequence
from typing import NamedTuple

__all__ = [
    "ANSWER_SIZE",
    "GREETING_SIZE",
    "HELLO_SIZE",
    "NONCE_SIZE",
    "SEAL_SIZE",
    "Hello",
    "Seal",
    "greeting",
    "nonce_of",
]

VERSION = b"realtime hop 1\n"
NONCE_SIZE = 16
MAC_SIZE = 32
MARK_SIZE = 16  # of an incarnation
GREETING_SIZE: int = len(VERSION) + NONCE_SIZE
HELLO_SIZE: int = NONCE_SIZE + MARK_SIZE + MAC_SIZE
ANSWER_SIZE: int = 1 + MAC_SIZE
SEAL_SIZE: int = 2 * MAC_SIZE  # of a request's: in hexadecimal
WELCOME = b"+"  # it is the worker that was meant
STALE = b"-"  # it is another, which has taken the other's place


def greeting(nonce: bytes) -> bytes:
    """What a worker says to whoever connects."""
    return VERSION + nonce


def nonce_of(said: bytes) -> bytes | None:
    """What the worker has drawn; None where this is no worker's greeting."""
    return said[len(VERSION) :] if len(said) == GREETING_SIZE and said.startswith(VERSION) else None


class Hello(NamedTuple):
    """What is said by whoever connects to a worker."""

    nonce: bytes
    mark: bytes  # of the incarnation that is meant
    proof: bytes

    @classmethod
    def read(cls, said: bytes) -> Hello:
        """HELLO_SIZE bytes, as they came."""
        mark = NONCE_SIZE + MARK_SIZE
        return cls(said[:NONCE_SIZE], said[NONCE_SIZE:mark], said[mark:])


class Seal:
    """What one connection's two ends prove and seal by: `theirs` is what the worker has drawn, `ours` what the one who
    connects has, to whom the worker of this incarnation is who is meant."""

    def __init__(self, secret: bytes, theirs: bytes, ours: bytes, mark: bytes) -> None:
        self._key = hmac.digest(secret, VERSION + theirs + ours + mark, "sha256")
        self._ours = ours
        self._mark = mark
        self._count = 0  # of requests

    @staticmethod
    def mark(incarnation: str) -> bytes:
        """What stands for an incarnation of a worker: of one size, whatever that is called."""
        return hashlib.sha256(incarnation.encode()).digest()[:MARK_SIZE]

    def hello(self) -> bytes:
        """What the one who connects says."""
        return self._ours + self._mark + self._code(b"hello")

    def knows(self, hello: Hello) -> bool:
        """Whether who says this knows the secret."""
        return hmac.compare_digest(hello.proof, self._code(b"hello"))

    def answer(self, *, stale: bool = False) -> bytes:
        """What the worker says then: whether it is who is meant."""
        how = STALE if stale else WELCOME
        return how + self._code(how)

    def welcome(self, answer: bytes) -> bool | None:
        """Whether who answers is the worker that was meant (True), or one in its place (False); None where it does not
        know the secret."""
        how = answer[:1]
        if how not in (WELCOME, STALE) or not hmac.compare_digest(answer[1:], self._code(how)):
            return None
        return how == WELCOME

    def request(self, parts: Sequence[bytes]) -> str:
        """The seal of the next request on this connection, of which this is all that it says."""
        self._count += 1
        said = (self._count, len(parts), *map(len, parts))
        whole = b"request" + struct.pack(f"!{len(said)}Q", *said) + b"".join(parts)
        return hmac.digest(self._key, whole, "sha256").hex()

    def sealed(self, seal: bytes, parts: Sequence[bytes]) -> bool:
        """Whether this is the seal of the next request, and it says this."""
        return hmac.compare_digest(seal, self.request(parts).encode())

    def _code(self, said: bytes) -> bytes:
        return hmac.digest(self._key, said, "sha256")
