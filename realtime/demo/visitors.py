"""A bounded number of visitors, each with a token that nobody can guess; who is away for long makes room."""

from __future__ import annotations

import secrets
from typing import Generic, Protocol, TypeVar

from ..clock import Clock

__all__ = ["Visitor", "Visitors"]


class Visitor(Protocol):
    """What a visitor is given."""

    async def aclose(self) -> None:
        """Takes it all back."""


V = TypeVar("V", bound=Visitor)


class Visitors(Generic[V]):
    """Visitors by their tokens: `limit` at the most, forgotten after `idle` seconds in which nothing was asked."""

    def __init__(self, clock: Clock, *, limit: int, idle: float) -> None:
        self._clock = clock
        self._limit = limit
        self._idle = idle
        self._visitors: dict[str, tuple[V, float]] = {}

    def __len__(self) -> int:
        return len(self._visitors)

    @staticmethod
    def token() -> str:
        """A new one. It stands in paths, whose length counts in the race."""
        return secrets.token_urlsafe(9)

    @property
    def full(self) -> bool:
        """Whether there is no room for another."""
        return len(self._visitors) >= self._limit

    def add(self, token: str, visitor: V) -> None:
        """Takes one in. Look whether it is full first."""
        self._visitors[token] = visitor, self._clock.now()

    def get(self, token: str) -> V | None:
        """The visitor, who is not idle now."""
        found = self._visitors.get(token)
        if found is None:
            return None
        self._visitors[token] = found[0], self._clock.now()
        return found[0]

    async def remove(self, token: str) -> None:
        """One that leaves."""
        found = self._visitors.pop(token, None)
        if found is not None:
            await found[0].aclose()

    async def sweep(self) -> None:
        """Forgets who is idle."""
        now = self._clock.now()
        for token in [token for token, (_, seen) in self._visitors.items() if now - seen >= self._idle]:
            await self.remove(token)

    async def aclose(self) -> None:
        """Forgets all."""
        for token in list(self._visitors):
            await self.remove(token)
