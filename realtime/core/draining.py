"""How the server's end of a numbered session drains: the client is asked to number nothing more, and the session closes
when all that it has numbered is taken (docs/protocol.md §8). NumberedMachine builds on it.
"""

from __future__ import annotations

from typing import Any

from .carrier import Shape
from .lifecycle import Event, State
from .machine import FOREVER
from .numbering import ACK_DELAY, Numbering
from .server_machine import ServerMachine

__all__ = ["Draining"]


class Draining(Numbering, ServerMachine):
    """The server's end, as far as it drains. See ServerMachine for what it is made with."""

    __slots__ = ("drain_delay", "going_told", "peer_last")

    def __init__(self, *facts: Any, **named: Any) -> None:
        super().__init__(*facts, **named)
        self.drain_delay: float = 0.0
        self.going_told: float = -FOREVER  # when a poll was last answered with `g`
        self.peer_last: int | None = None  # draining: the peer numbers nothing above this

    def drain(self, delay: float) -> None:
        """Asks the client to stop sending; `delay` spreads its return.

        Listener.may_be_drained() is called when all is done.
        """
        if self.state in (State.CLOSED, State.CLOSING, State.DRAINING):
            return
        self.drain_delay = delay
        self._move(Event.DRAIN)
        carrier = self.carrier
        if carrier is not None and carrier.codec.shape is not Shape.POLL:
            carrier.write([carrier.codec.go_away(delay)])
        self.listener.dirty()

    def peer_going(self, last: int) -> None:
        """The client will number nothing above `last`."""
        self.peer_last = last
        if self.drained:
            self.listener.may_be_drained()

    @property
    def drained(self) -> bool:
        """Whether a draining session has received all there is and its inbox is empty."""
        return (
            self.state is State.DRAINING
            and self.peer_last is not None
            and self.inbox.received >= self.peer_last
            and not len(self.inbox)
        )

    def _going_at(self) -> float:
        """When a held poll is answered to announce the drain, repeatedly until the client has answered.

        Not each poll at once: a client with much to finish would poll as fast as the network lets it.
        """
        if self.state is not State.DRAINING or self.peer_last is not None:
            return FOREVER
        return self.going_told + ACK_DELAY
