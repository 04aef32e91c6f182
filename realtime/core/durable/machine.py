"""The server's end of a durable session: a NumberedMachine whose numbers and acks are those that are stored
(docs/protocol.md §13.1). Pure: who writes calls stored() behind each write.

What arrives goes to the Owner, and counts as received when it is stored. What a handler sends is in the outbox when it
is. An end is told when it is stored: until then the machine is `ending`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from ..carrier import NumberedCarrier, Shape
from ..config import Config
from ..errors import Refusal, RemoteProtocolError, SessionClosed
from ..frames import Dropped, Outgoing, RoomMessage, Window, payload_size
from ..inbox import AT_ONCE
from ..lifecycle import State
from ..machine import FOREVER, Ended
from ..machine import Listener as MachineListener
from .changes import Ended as Ends
from .changes import Sends
from .outbox import StoredOutbox
from .owner import Owner
from .record import Close, Item, Record, Stage
from .room_machine import RoomMachine

__all__ = ["MOVED", "DurableMachine", "Listener"]

MOVED = (1012, "another worker goes on with this session")


class Listener(MachineListener, Protocol):
    """Who writes."""

    def unwritten(self) -> None:
        """There is something to write."""

    def finish(self, close: Close) -> None:
        """The session is to be closed: a commit does that."""


class DurableMachine(RoomMachine):
    """One worker's end of a durable session. `owner` has what is stored; restore() goes before all else."""

    __slots__ = (
        "_arrived",
        "_arrived_size",
        "_dropped",
        "_queued",
        "_queued_size",
        "_writing",
        "_writing_size",
        "ending",
        "finishing",
        "moved",
        "owner",
    )

    listener: Listener
    outbox: StoredOutbox
    used: bool
    gen: int
    duplicates: int
    carrier: NumberedCarrier | None

    def __init__(
        self, config: Config, peer_window: Window, listener: Listener, now: float, *, owner: Owner, **facts: Any
    ) -> None:
        super().__init__(config, peer_window, listener, now, **facts)
        self.owner: Owner = owner
        self.ending: Ended | None = None  # as soon as that is stored
        self.finishing: tuple[int, str] | None = None  # its close, as soon as that is stored
        self.moved: bool = False  # it has ended here, and not for its client
        self._arrived: deque[tuple[int, float]] = deque()  # the sizes of what has arrived, and is not stored; and when
        self._arrived_size = 0
        # Messages and bytes sent beside the turns, which wait for a write or are in one; and those that found no room.
        self._queued = self._queued_size = self._writing = self._writing_size = self._dropped = 0
        self.outbox = StoredOutbox(peer_window, config.max_outbox, config.max_outbox_size)

    @property
    def remembered(self) -> float:
        """The store remembers its end. What goes on elsewhere has none."""
        return 0.0 if self.moved else self.config.lifetime

    def restore(self, now: float) -> None:
        """Goes on as the record says."""
        record, inbox = self.owner.record, self.inbox
        self.used, self.gen = record.used, record.gen
        closed = record.closed is not None
        inbox.received = inbox.taken = record.received - len(record.inbox) - closed
        inbox.restore([_size(data) for data in record.inbox], now)
        if closed:
            inbox.count(0, now)
            inbox.notes += 1
        inbox.announced(inbox.received, inbox.taken)
        self.outbox.begin(record.sent - len(record.outbox))
        self.state: State = State.DETACHED if record.used else self.state
        for item in record.outbox:
            self._append(item, now)
        self.in_rooms(record)
        self._settle(now)

    # -- what comes ----------------------------------------------------------------------------------------------------

    def _is_next(self, carrier: NumberedCarrier, now: float) -> bool:
        """Moves the carrier's cursor by one numbered frame; whether that frame is new."""
        owner = self.owner
        if self.outcome is not None or self.ending is not None:
            return False
        number = carrier.receive_cursor
        if not carrier.ignores:
            carrier.receive_cursor = number + 1
        if carrier.ignores or number <= owner.received or owner.closed:
            self.duplicates += not carrier.ignores
            self._ignored(carrier, now)
            return False
        if number > owner.received + 1:
            raise RemoteProtocolError(1002, f"number {number} came after {owner.received}: a gap")
        return True

    def message(self, carrier: NumberedCarrier, data: str | bytes | RoomMessage, size: int, now: float) -> None:
        """A message came on `carrier`."""
        if not self._is_next(carrier, now):
            return
        if size > self.config.max_size:
            raise RemoteProtocolError(1009, f"a message of {size} bytes is above max_size={self.config.max_size}")
        assert not isinstance(data, RoomMessage)
        self._take_in(carrier, data, size, now)

    def drop_note(self, carrier: NumberedCarrier, count: int, now: float) -> None:
        """The client dropped `count` messages at this point of its stream."""
        if self._is_next(carrier, now):
            self._take_in(carrier, Dropped(count), 0, now)

    def peer_closed(self, carrier: NumberedCarrier, code: int, reason: str, now: float) -> None:
        """`c` came: it is acknowledged when it is stored, and the handler takes what is in front of it."""
        if self._is_next(carrier, now):
            self.owner.arrive(carrier.receive_cursor - 1, Close(code, reason))
            self.listener.unwritten()
            self.listener.readable()

    def _take_in(self, carrier: NumberedCarrier, item: str | bytes | Dropped, size: int, now: float) -> None:
        inbox, window = self.inbox, self.inbox.window
        outstanding = self.owner.received - inbox.taken
        beyond = outstanding >= window.messages or inbox.size + self._arrived_size + size > window.size
        if outstanding and beyond:
            raise RemoteProtocolError(
                1002, f"the receive window ({window.messages} messages, {window.size} bytes) was exceeded"
            )
        self.owner.arrive(carrier.receive_cursor - 1, item)  # which is new
        self._arrived.append((size, now))
        self._arrived_size += size
        self.listener.unwritten()
        self.listener.readable()

    def acknowledged(self, received: int, taken: int, now: float) -> bool:
        """An ack came, on anything; returns whether it told something new."""
        if received <= self.owner.record.sent:
            self.outbox.sent_before(received, taken)
        news = super().acknowledged(received, taken, now)
        self.owner.acknowledged(self.outbox.acked)
        self._tell_dropped()
        return news

    # -- what goes -----------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether nothing can be sent any more, though that is not stored yet."""
        return super().over or self.ending is not None or self.finishing is not None

    def check_open(self) -> None:
        """Raises SessionClosed when nothing can be sent any more."""
        super().check_open()
        if self.ending is not None:
            raise SessionClosed(self.ending.code, self.ending.reason)
        if self.finishing is not None:
            raise SessionClosed(*self.finishing)

    @property
    def has_room(self) -> bool:
        """Whether the client has acknowledged enough for more to be stored for it."""
        config, messages = self.config, self.owner.outstanding + self._queued + self._writing
        size = self.outbox.size + self._queued_size + self._writing_size
        return messages < config.max_outbox and size < config.max_outbox_size

    def send(self, item: Outgoing) -> bool:
        """Sends beside the handler's turns: a write of its own."""
        self._queued += 1
        self._queued_size += item.size
        self.owner.change(Sends((item.data,)))
        self.listener.unwritten()
        return False

    def drop_new(self, messages: int) -> None:
        """So many found no room."""
        self._dropped += messages
        self.outbox.dropped += messages
        self._tell_dropped()

    def _tell_dropped(self) -> None:
        if self._dropped and self.has_room and self.outcome is None and self.ending is None:
            self.owner.change(Sends((Dropped(self._dropped),)))
            self._queued += 1
            self._dropped = 0
            self.listener.unwritten()

    def offer(self, item: Outgoing) -> bool | None:
        """The same, if there is room for it."""
        return self.send(item) if self.has_room else None

    def close(self, code: int, reason: str, now: float) -> None:
        """Ends this side's stream with a clean close, when that is stored. Idempotent."""
        if self.outcome is None and self.ending is None and self.closing is None and self.finishing is None:
            self.finishing = (code, reason)
            self.listener.finish(Close(code, reason))

    def _append(self, item: Item, now: float) -> None:
        if isinstance(item, Close):
            self.finishing = (item.code, item.reason)
            super().close(item.code, item.reason, now)
        elif isinstance(item, Dropped):
            self.outbox.append(Outgoing.dropped(item.count))
        else:
            self.outbox.append(Outgoing.message(item))

    # -- carriers ------------------------------------------------------------------------------------------------------

    def attach(
        self, carrier: NumberedCarrier, gen: int, received: int, taken: int, first: int, now: float, **how: bool
    ) -> bool:
        """Takes up a carrier. See NumberedMachine.attach()."""
        self.outbox.sent_before(received, taken)
        attached = super().attach(carrier, gen, received, taken, first, now, **how)
        carrier.ignores = carrier.codec.shape is not Shape.DUPLEX and first > self.owner.received + 1
        return attached

    def uplink(
        self, carrier: NumberedCarrier, received: int, taken: int, first: int, now: float, *, alone: bool = False
    ) -> bool:
        """A send names the session. See NumberedMachine.uplink(). Rooms may have something to say, `alone` or not."""
        self.outbox.sent_before(received, taken)
        goes_on = super().uplink(carrier, received, taken, first, now)
        carrier.ignores = first > self.owner.received + 1
        return goes_on and self.ending is None

    # -- writes --------------------------------------------------------------------------------------------------------

    def writing(self) -> None:
        """A write begins: it has all that waits."""
        self._writing, self._writing_size = self._queued, self._queued_size
        self._queued = self._queued_size = 0
        self.owner.used = self.owner.used or self.used

    def stored(self, before: Record, now: float) -> None:
        """A write has happened, where `before` was the record: what it has made is told."""
        record, inbox = self.owner.record, self.inbox
        self._writing = self._writing_size = 0
        try:
            for _ in range(_messages(record) - _messages(before)):
                size, when = self._arrived.popleft()
                self._arrived_size -= size
                inbox.put("", size, when)  # its rate is its client's, and not that of the store
        except RemoteProtocolError as error:  # it came faster than it may
            self.fail(error, now)
        if record.closed is not None and before.closed is None:
            inbox.count(0, now)
            inbox.notes += 1
            inbox.owed_since = AT_ONCE
        if record.stage is Stage.CLOSING:
            inbox.discard(now)
        for _ in range(min(record.taken - before.taken, len(inbox.items))):
            inbox.take(now)
        if record.sent > before.sent:
            for item in record.outbox[before.sent - record.sent :]:
                self._append(item, now)
        self.in_rooms(record)
        if record.stage is Stage.ENDED:
            assert record.end is not None
            super().end(*record.end, now, clean=self.ending is not None and self.ending.clean)
            return
        self._settle(now)
        if self.carrier is not None:
            self.wake_by(self._ack_at())
        self.listener.acknowledged()
        self.listener.dirty()

    def _settle(self, now: float) -> None:
        """The handler has returned: the session ends where nobody waits for the server's close any more."""
        record = self.owner.record
        if record.stage is Stage.CLOSING:
            if record.closed is not None:
                self.end(*record.closed, now, clean=True)
            elif self.closing is None:
                self.end(*(record.end or Close(1000)), now, clean=True)

    # -- ending --------------------------------------------------------------------------------------------------------

    def end(self, code: int, reason: str, now: float, *, clean: bool = False) -> None:
        """Ends the session, when that is stored. Idempotent; the first end counts."""
        if self.outcome is None and self.ending is None:
            self.ending = Ended(code, reason, clean)
            self.owner.change(Ends(Close(code, reason)))
            self.listener.unwritten()
            self.listener.acknowledged()
            self.listener.readable()

    def cut(self, now: float) -> None:
        """Another worker has the session: nothing more is said here."""
        carrier, self.carrier = self.carrier, None
        if carrier is not None:
            carrier.finished = True
            carrier.link.abort()
        self._leave(now)

    def hand_over(self, now: float) -> None:
        """Others go on with the session: its client comes by another carrier at once."""
        self.recycle(now)
        self.carrier = None
        self._leave(now)

    def refusal(self) -> Refusal:
        """What a request is told that was asked about meanwhile: of a session that goes on elsewhere, to come again."""
        return Refusal(4503, f"{MOVED[1]}; come back") if self.moved else super().refusal()

    def _leave(self, now: float) -> None:
        if self.outcome is None:
            self.moved = True
            super().end(*MOVED, now)

    # -- time ----------------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """When expire() has something to do next."""
        waits_for_nobody = self.carrier is None and self.owner.record.draining
        return FOREVER if waits_for_nobody or self.ending is not None else super().deadline()

    def expire(self, now: float) -> None:
        """Does what is due by `now`. A client that has closed is not waited for."""
        if self.ending is None and (self.carrier is not None or not self.owner.record.draining):
            super().expire(now)


def _messages(record: Record) -> int:
    """The number of the last message that is stored."""
    return record.received - (record.closed is not None)


def _size(data: str | bytes | Dropped) -> int:
    return 0 if isinstance(data, Dropped) else payload_size(data)
