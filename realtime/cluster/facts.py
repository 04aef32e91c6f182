"""What a worker says to another of a client that it brings there, and how that is sealed with what the client says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, TypeAlias

__all__ = ["Facts", "Headers", "said_by"]

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


class Facts(NamedTuple):
    """What the worker that a request came to says of its client."""

    worker: str  # which that is
    remote: str  # as aiohttp has it there: the other end of the connection
    scheme: str
    handed: str = ""
    # No request of a client's: the worker itself is going away. Whoever can is to come again by another (EARLY), or
    # those as well who can't, and have so many seconds.
    leaving: float | None = None
    pid: str = ""  # its client has come to that worker, and goes on here by this
    head: Sequence[tuple[str, str]] | None = None  # of the CONNECT of a WebTransport session: see streams

    def pack(self) -> bytes:
        """As they stand in a header."""
        return json.dumps(self).encode()

    @classmethod
    def read(cls, packed: bytes) -> Facts:
        """What pack() has made; of a later version's, which may say more, what is known here."""
        return cls(*json.loads(packed)[: len(cls._fields)])


def said_by(line: str, facts: bytes, headers: Headers) -> list[bytes]:
    """All that a request says but for its body, as it is sealed. `line` is its first: method, target and version."""
    return [line.encode("utf-8", "surrogateescape"), facts, *chain.from_iterable(headers)]
