"""Polls that are made again, word by word, since whoever was to pass their answer on has died with it.

A proxy makes a GET again when the worker that it went to is gone. If that one only carried it, its session has
answered, and in a protocol without acks that would be lost without a word. Clients of such protocols put something else
into the URL of each poll; but some only the second, so that this alone says nothing.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

from ..request import SessionRequest
from ..session import Session

__all__ = ["Hop", "Repeats"]

DIFFERENT = ("t", "c")  # what is different from poll to poll: a time or a number, the name of a function
MAX_QUERY = 1024  # characters; of longer ones nothing is kept


class Hop(Protocol):
    """A connection from another worker, which is kept for other requests when one is answered."""

    def is_closing(self) -> bool:
        """Whether it has ended."""


class Answered(NamedTuple):
    """The last answer that a session has given another worker to pass on."""

    query: str
    hop: Hop
    body: bytes


class Repeats:
    """The last answer of each session whose polls come by other workers, as large as an answer may be."""

    def __init__(self) -> None:
        self._last: WeakKeyDictionary[Session, Answered] = WeakKeyDictionary()

    def note(self, session: Session, request: SessionRequest, hop: Hop, body: bytes) -> None:
        """A poll was answered so, to the worker at the other end of this hop."""
        query = request.query_string
        if len(query) <= MAX_QUERY and any(map(request.query.__contains__, DIFFERENT)):
            self._last[session] = Answered(query, hop, body)

    def answer(self, session: Session, request: SessionRequest) -> bytes | None:
        """What this poll was answered when it came before, if nobody is there to pass that on."""
        last = self._last.get(session) if self._last else None
        if last is None:
            return None
        if last.query == request.query_string and last.hop.is_closing():
            return last.body
        del self._last[session]  # whoever polls anew has had the answer before
        return None
