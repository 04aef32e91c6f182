"""What one session tells the queues, which may be the application's: what they raise there is logged, and goes no
further. A subscription that has ended, and what is for others, is told in a row, of which no half may be left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from .bound import Bound
from .queues import Consumer, Parcel

__all__ = ["GuardedQueues"]

log: logging.Logger = logging.getLogger("realtime.server")


class GuardedQueues:
    """The methods of queues.Queues that are called and not awaited; none raises."""

    __slots__ = ("_bound", "failed")

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self.failed: bool = False  # what a client may be told is done is not: whoever asks sets it back

    def unsubscribe(self, destination: str, consumer: Consumer) -> None:
        """See queues.Queues."""
        self.failed |= not self._tell(self._bound.queues.unsubscribe, destination, consumer)

    def settle(self, parcel: Parcel, *, accepted: bool) -> None:
        """See queues.Queues."""
        self.failed |= not self._tell(self._bound.queues.settle, parcel, accepted=accepted)

    def refuse(self, parcel: Parcel) -> None:
        """See queues.Queues."""
        self._tell(self._bound.queues.refuse, parcel)

    def ready(self, destination: str, consumer: Consumer) -> None:
        """See queues.Queues."""
        self._tell(self._bound.queues.ready, destination, consumer)

    @staticmethod
    def _tell(tell: Callable[..., object], *args: Any, **kwargs: Any) -> bool:
        try:
            tell(*args, **kwargs)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:  # such as the CancelledError of a future that it has looked at
            name = getattr(tell, "__name__", "a method")  # which a partial, or an object that can be called, has not
            log.exception("the queues of a STOMP endpoint raised in %s(), which they never should", name)
            return False
        return True
