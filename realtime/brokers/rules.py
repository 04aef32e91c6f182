"""What is kept of which rooms: patterns of names, of which the most specific wins."""

from __future__ import annotations

import re

from ..core.cursors import MAX_ROOM_NAME, is_room_name
from ..core.errors import LocalProtocolError
from ..core.settings import check, flag, having, number, text, whole
from .base import Keep

__all__ = ["BROKER", "BROKER_TIMEOUT", "RoomRules"]

BROKER = having("store", 'a URL such as "redis://localhost", or realtime.RedisBroker(…)')
"""What rooms go over."""
BROKER_TIMEOUT = number(0, 50, above=True)
"""For how long a broker may be waited for: a store remembers for a minute under which ids it was told something."""

MAX_CACHED = 4096
MAX_TTL = 100_000_000.0  # seconds: three years, and far from what Redis can't count in milliseconds any more

_RULES = {
    "pattern": text('a name of rooms, in which * stands for any text: "chat/*"'),
    "history": whole(0),
    "ttl": number(0, MAX_TTL, above=True),
    "presence": flag(),
}


class RoomRules:
    """The patterns of one server, fixed when it starts."""

    def __init__(self) -> None:
        self.fixed = False
        self._rules: dict[str, tuple[re.Pattern[str], Keep]] = {}
        self._cache: dict[str, Keep | None] = {}

    def __len__(self) -> int:
        return len(self._rules)

    def add(self, pattern: str, history: int, ttl: float, presence: bool) -> None:
        """Adds a pattern. Raises TypeError and LocalProtocolError."""
        for name, value in (("pattern", pattern), ("history", history), ("ttl", ttl), ("presence", presence)):
            check(name, value, _RULES[name])
        if self.fixed:
            raise LocalProtocolError("the server has started: call configure_rooms() before")
        if pattern in self._rules:
            raise LocalProtocolError(f"rooms of the pattern {pattern!r} are configured already")
        if history and not is_room_name(pattern.replace("*", "")):
            raise LocalProtocolError(
                f"rooms with history have names of at most {MAX_ROOM_NAME} characters, without lone surrogates: no such"
                f" name fits the pattern {pattern[:64]!r}…"
            )
        self._rules[pattern] = _expression(pattern), Keep(history, ttl, presence)
        self._cache.clear()

    def keep(self, name: str) -> Keep | None:
        """What is kept of a room; None if no pattern has it. Of several the one with the most characters beside its
        asterisks counts. Raises LocalProtocolError for a name that no broker can be told."""
        if name in self._cache:
            return self._cache[name]
        try:
            name.encode()
        except UnicodeEncodeError:
            raise LocalProtocolError(f"a room's name has no lone surrogates: {name[:64]!r}") from None
        fitting = [
            (len(pattern) - pattern.count("*"), -pattern.count("*"), keep)
            for pattern, (expression, keep) in self._rules.items()
            if expression.fullmatch(name)
        ]
        keep = max(fitting)[2] if fitting else None
        if len(name) <= MAX_ROOM_NAME:  # clients may choose others, as long as they like
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[name] = keep
        return keep


def _expression(pattern: str) -> re.Pattern[str]:
    """What matches the names of a pattern. What stands between two asterisks is found where it comes first, and sought
    nowhere else: so the time grows with the name, and no faster."""
    first, *others = map(re.escape, pattern.split("*"))
    if others:
        first += "".join(f"(?>.*?{part})" for part in others[:-1]) + f".*{others[-1]}"
    return re.compile(first, re.DOTALL)
