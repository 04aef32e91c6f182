"""Plain polling: a request on a timer, answered at once, for networks that cut held requests. Messages ride with
the poll both ways.
"""

from __future__ import annotations

from .long_polling import LongPolling

__all__ = ["Polling"]


class Polling(LongPolling):
    """Long-polling's framing, never held."""

    name = "polling"
    held = False
