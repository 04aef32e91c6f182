"""What a durable session has to send, as far as it is stored: an outbox whose numbers are the record's. Where a session
was taken over, earlier owners have given numbers in it that only the client knows to have been sent.
"""

from __future__ import annotations

from collections import deque

from ..frames import CLOSE, NOTES
from ..outbox import Outbox
from ..queues import EMPTY

__all__ = ["StoredOutbox"]

MOST_UNKNOWN = 1024
"""Of so many messages that were not taken, as their client says, a place is kept: it may say that it has taken nothing
for as long as the session is. What is behind these waits for all of them, however many they are."""


class StoredOutbox(Outbox):
    """See core.outbox.Outbox. What is appended has been stored, and its number with it."""

    __slots__ = ("_untold",)

    # The base's own: see Numbering.
    taken: int
    last: int
    notes: int
    close_number: int | None

    def begin(self, acked: int) -> None:
        """It goes on behind this number, up to which the client has acknowledged all. What of that it has taken it says
        with its next request."""
        self.acked = self.taken = self.last = acked
        self._untold = True

    def sent_before(self, received: int, taken: int) -> None:
        """The client has received so much: what of that waits here another owner has sent. On the first call it counts
        as its window's what it has not taken, of which the sizes are not known: nothing goes before it has."""
        waiting = self.waiting
        if waiting and self._sizes is EMPTY:
            self._sent, self._sizes = deque(), deque()
        while waiting and self.last < received:
            item = waiting.popleft()
            self.last += 1
            self._begun = item.behind
            self._sent.append(item)
            self._sizes.append(item.size)
            self._in_flight += item.size
            if item.kind in NOTES:
                self.notes += 1
                if item.kind == CLOSE:
                    self.close_number = self.last
        if self._untold:
            self._untold = False
            unknown = min(self.taken - taken, MOST_UNKNOWN)
            if unknown > 0:
                if self._sizes is EMPTY:
                    self._sent, self._sizes = deque(), deque()
                self._sizes.extendleft([self._window.size] * unknown)
                self._in_flight += self._window.size * unknown
                self.taken -= unknown
