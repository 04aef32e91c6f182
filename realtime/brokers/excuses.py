"""What a store may raise, where whoever has asked it goes on by asking again: a BrokerError, of which there is nothing
to say; and whatever else, which is a fault, and is told in the log. If it ended the task that asks, nobody asked again.
"""

from __future__ import annotations

import logging

from ..core.errors import BrokerError
from ..loops import ends

__all__ = ["EXCUSED", "excuse"]

log: logging.Logger = logging.getLogger("realtime.broker")


def excuse(raised: BaseException) -> None:
    """Tells in the log what is a fault."""
    if not isinstance(raised, BrokerError):
        log.error("! the store has failed, and is asked again", exc_info=raised)


class Excused:
    """What is raised in this is over where it ends."""

    def __enter__(self) -> None:
        """Nothing is to be done."""

    def __exit__(self, _: object, raised: BaseException | None, __: object) -> bool:
        """Whether it is over."""
        if raised is None or ends(raised):
            return False
        excuse(raised)
        return True


EXCUSED = Excused()
