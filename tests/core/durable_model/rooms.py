"""Where a worker takes rooms from: the RoomOutbox that ships, over their store, which answers some time or never."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from realtime.core.durable.record import Record, Stage
from realtime.core.durable.room_outbox import Passed, RoomOutbox, Told
from realtime.core.frames import Outgoing, RoomItem, Window
from realtime.core.rooms import Entry, Position, Reading

from .frames import Carrier, Left, RoomFrame
from .world import Process

if TYPE_CHECKING:
    from .holding import Holding
    from .store import Store

__all__ = ["HoldingRooms"]

WINDOW = Window(3, 1000)


class HoldingRooms:
    """The rooms of a session at a worker."""

    def __init__(self, holding: Holding, store: Store, record: Record) -> None:
        self._holding, self._store = holding, store
        self.outbox = RoomOutbox(WINDOW, 1000, 1000, holding.sid)
        self.outbox.source = self
        self._previous: dict[tuple[str, str], str] = {}
        self.update(record)

    def update(self, record: Record) -> None:
        self.outbox.update(record.rooms if record.stage is Stage.LIVE else ())

    def attach(self, carrier: Carrier) -> None:
        self.outbox.begin(carrier.gen)

    def show(self, gen: int, cursors: Mapping[str, Position]) -> None:
        self.outbox.show(gen, {room: position.cursor for room, position in cursors.items()})

    def heard(self) -> None:
        """Something may have passed in any room."""
        for room in self._store.rooms:
            self.outbox.heard(room)

    def frames(self) -> list[RoomFrame | Left]:
        return [self._frame(told) for told in self.outbox.frames()]

    def _frame(self, told: Told) -> RoomFrame | Left:
        if isinstance(told, str):
            return Left(told)
        position = Position.parse(told.cursor)
        if isinstance(told, RoomItem):
            return RoomFrame(told.room, position, str(told.data), self._previous[told.room, told.cursor], None)
        return RoomFrame(told.room, position, None, "", told.missing)

    # -- the source ----------------------------------------------------------------------------------------------------

    def after(self, room: str, position: Position, seen: bool) -> Iterable[Passed] | None:
        """What the worker has: of as much as it has, all; or it has to be read."""
        reading = self._store.rooms[room].read(position)
        there, first = reading.id_at(position.offset), reading.before or reading.end
        whole = position.epoch == reading.epoch and there == position.id and first.offset <= position.offset
        if not whole or self._holding.world.chance(0.5):
            return None
        return [self.said(room, entry) for entry in reading.entries if entry.offset > position.offset]

    def said(self, room: str, entry: Entry) -> Passed:
        self._previous[room, entry.position.cursor] = entry.previous
        item = RoomItem(room, entry.position.cursor, Outgoing.message(entry.payload.decode()))
        return Passed(entry.position, item, frozenset())

    def read(self, question: int, room: str, position: Position) -> None:
        self._holding.run(self._read(question, room, position))

    def _read(self, question: int, room: str, position: Position) -> Process:
        holding, outbox, kept = self._holding, self.outbox, self._store.rooms[room]
        reading: Any = yield holding.worker.ask(lambda: kept.read(position))
        if reading is None:
            outbox.unanswered(question)
            holding.push()
            yield 0.3
        else:
            assert isinstance(reading, Reading)
            raising = outbox.answer(question, room, reading)
            if raising is not None:
                self._store.raise_epoch(room, *raising)
        outbox.heard(room)
        holding.push()
