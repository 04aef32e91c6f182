"""The interfaces of requests for a gate: reading a body, and whether the client still waits for the answer."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from ..core.errors import Refusal

__all__ = ["Held", "Read", "Unreadable"]


class Unreadable(Exception):
    """The rest of a body will not come, or makes no sense: the connection ends behind the refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Read(Protocol):
    """Reads a request's body, of at most `limit` bytes. Raises RemoteProtocolError (4413) when there is more, and
    Unreadable."""

    def __call__(self, limit: int, /) -> Awaitable[bytes]: ...


@runtime_checkable
class Held(Protocol):
    """The link of an answer that has not ended."""

    @property
    def gone(self) -> bool:
        """Whether its connection has closed."""

    def abort(self) -> None:
        """Ends the answer. The code that serves the request goes on."""
