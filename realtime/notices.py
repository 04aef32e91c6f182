"""What is said once in the log, although it happens with request after request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

__all__ = ["Notices"]

log: logging.Logger = logging.getLogger("realtime.server")

# So many different things are said; then nothing more for so many seconds, since clients may make them up.
MOST = 256
PAUSE = 3600.0


class Notices:
    """Of one server. `now` tells the time in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: set[Hashable] = set()
        self._full_at = 0.0

    def warn(self, key: Hashable, message: str, *arguments: object) -> None:
        """Logs a warning, unless it was said already of the same `key`, which is kept: it has to be small."""
        if len(self._said) >= MOST:
            if self._now() < self._full_at + PAUSE:
                return
            self._said.clear()
        if key in self._said:
            return
        self._said.add(key)
        log.warning(message, *arguments)
        if len(self._said) == MOST:
            self._full_at = self._now()
            log.warning("%d different warnings were logged: further ones are not, for %g s", MOST, PAUSE)
