"""The server's end of a durable session, as far as it brings what rooms have sent: on ordered carriers as soon as that
is there and the client's window takes it, and with the answers to polls, when these are due (docs/protocol.md §13.4).

DurableMachine builds on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..carrier import NumberedCarrier, Shape
from ..config import Config
from ..frames import RoomItem, Window
from ..machine import Listener
from ..numbered_machine import NumberedMachine, answer_due
from .owner import Owner
from .record import Record, Stage
from .room_outbox import RoomOutbox

__all__ = ["READING", "RoomMachine"]

READING = 2.0
"""For so many seconds the answer to a poll waits for what is being read of rooms."""


class RoomMachine(NumberedMachine):
    """See above. Whoever makes one gives its `rooms` a source."""

    __slots__ = ("_brought", "rooms")

    owner: Owner
    # The bases' own: see Numbering.
    carrier: NumberedCarrier | None
    gen: int

    def __init__(self, config: Config, peer_window: Window, listener: Listener, now: float, **facts: Any) -> None:
        super().__init__(config, peer_window, listener, now, **facts)
        self._brought = 0  # what the newest carrier has brought is stored when this number is
        window = self.outbox.window
        self.rooms: RoomOutbox = RoomOutbox(window, config.max_outbox_size, config.max_batch_size, self.sid)

    def in_rooms(self, record: Record) -> None:
        """This is stored. A handler that has returned has left its rooms."""
        self.rooms.update(record.rooms if record.stage is Stage.LIVE else ())

    def rooms_heard(self, gen: int, cursors: Mapping[str, str]) -> None:
        """`l` came: how far the client has heard its rooms, for the carrier of this gen."""
        if self.rooms.show(gen, cursors):
            self._tell()

    def rooms_taken(self, gen: int, count: int) -> bool:
        """`f` came: so many of the room frames of the carrier of this gen were taken. Whether that is news."""
        news = self.rooms.taken(gen, count)
        if news and self.rooms.due:
            self._tell()
        return news

    def room_passed(self, room: str) -> None:
        """There may be something to tell of a room."""
        if self.rooms.heard(room):
            self._tell()

    def _tell(self) -> None:
        if self.carrier is not None:
            self.listener.dirty()

    # -- carriers ------------------------------------------------------------------------------------------------------

    def attach(
        self, carrier: NumberedCarrier, gen: int, received: int, taken: int, first: int, now: float, **how: bool
    ) -> bool:
        """Takes up a carrier. See NumberedMachine.attach()."""
        self._brought = 0
        if gen >= self.gen:
            self.rooms.begin(gen)
        return super().attach(carrier, gen, received, taken, first, now, **how)

    def recycle(self, now: float) -> None:
        """Has the client come again, at once: a poll waits for nothing then. See NumberedMachine.recycle()."""
        self.rooms.begin(self.gen)
        super().recycle(now)

    def flush(self, now: float) -> None:
        """Writes what is due on the session's carrier. See NumberedMachine.flush()."""
        super().flush(now)
        carrier = self.carrier
        if carrier is None or self.outcome is not None or carrier.codec.shape is Shape.POLL:
            return
        link, codec, rooms = carrier.link, carrier.codec, self.rooms
        while link.writable and not carrier.finished and (told := rooms.frames()):
            one = told[0] if len(told) == 1 else None
            carrier.write([codec.room(each) for each in told], one if isinstance(one, RoomItem) else None)
            carrier.last_written = now

    def brought(self) -> int:
        """All that has come so far: whoever brought it is answered when this number is stored."""
        self._brought = self.owner.received
        return self._brought

    def _answer(self, carrier: NumberedCarrier, now: float) -> None:
        """Answers a poll, which waits for what it has brought to be stored, and a moment for what is being read of
        rooms."""
        if self.inbox.received < self._brought:
            return
        rooms, codec = self.rooms, carrier.codec
        news = rooms.prepare()
        if rooms.waits and now < carrier.started + READING:
            self.wake_by(carrier.started + READING)
            return
        if news:
            carrier.greeting = carrier.greeting or codec.attach_answer  # so it is answered
        if news or self.outbox.pending(carrier.send_cursor) or answer_due(self, carrier, now):
            carrier.tickets = [*carrier.tickets, *map(codec.room, rooms.frames())]
        super()._answer(carrier, now)
