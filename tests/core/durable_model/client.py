"""The client: it opens, by one carrier or two, attaches by WebSockets, streams and polls, sends, and closes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime.core.durable.lineage import Answer, Follower, Shown
from realtime.core.durable.record import Close, Item, Message, Tenure
from realtime.core.durable.rooms import Heard
from realtime.core.rooms import Position, same

from .frames import (
    Acks,
    Answered,
    Attached,
    Carrier,
    Down,
    Ends,
    Kind,
    Left,
    Numbered,
    Opened,
    Refused,
    Request,
    RoomFrame,
    Up,
)
from .holding import AWAY, WINDOW_OF_MESSAGES
from .world import Violation

if TYPE_CHECKING:
    from .schedule import Schedule

__all__ = ["Client"]

CARRIERS = (Kind.WEBSOCKET, Kind.WEBSOCKET, Kind.STREAM, Kind.POLL)


class Client:
    """One client object, and what its application sees."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.world = schedule, schedule.world
        self.nonce = "n"
        self.sid = ""
        self.follower = Follower()
        self.heard = Heard()
        self.received = self.taken = 0
        self.got: list[Item] = []
        self.acked = self.server_taken = 0
        self.sent = 0
        self.closing = False
        self.ended: int | None = None
        self.newest: Carrier | None = None
        self.carriers: list[Carrier] = []
        self.gen = 0
        self.post: Carrier | None = None
        self._next = 0.0
        self._send_next = 0.0
        self._contact = 0.0
        self._written = 0  # on the newest WebSocket
        self._confirmed = True
        self._repeats: tuple[int, float, int] = (0, 0.0, 0)

    @property
    def last(self) -> int:
        """The highest number used."""
        return self.sent + self.closing

    def _item(self, number: int) -> Message | Close:
        return Close(1000) if number > self.sent else f"u{number}"

    # -- requests ----------------------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Starts a carrier: it opens, as long as there is no sid."""
        draw = self.world.random
        self.gen += 1
        kind = draw.choice(CARRIERS)
        carrier = self.newest = Carrier(self.gen, kind, self.follower.tenure, heard=self.world.now)
        self.carriers = [*self.carriers[-12:], carrier]
        shown = Shown(self.follower.tenure, self.received, self.taken, self.acked + 1, self.gen)
        messages: tuple[Message | Close, ...] = ()
        if kind is Kind.POLL and self.post is None:
            messages = self._due()
        self._written = self.acked
        later = kind is not Kind.POLL and bool(self.sid) and draw.random() < 0.5
        cursors = None if later else self._cursors(self.gen)
        carrier.cursors_due = later
        self.world.say("client: attaches" if self.sid else "client: opens", self.gen, kind.value, shown, cursors)
        self._request(Request(self.sid, self.nonce, shown, cursors, messages, carrier, self.gen))

    def _cursors(self, gen: int) -> dict[str, Position]:
        return {room: Position.parse(cursor) for room, cursor in self.heard.shown(gen).items()}

    def _due(self) -> tuple[Message | Close, ...]:
        most = min(self.last, self.server_taken + WINDOW_OF_MESSAGES)
        if self.closing and self.sent <= self.server_taken + WINDOW_OF_MESSAGES:
            most = self.last
        return tuple(self._item(number) for number in range(self.acked + 1, most + 1))

    def _request(self, request: Request) -> None:
        world, schedule = self.world, self.schedule
        world.after(schedule.delay(), lambda: schedule.arrive(request))
        if world.chance(schedule.repeats):
            schedule.count("repeated requests")
            carrier = request.carrier
            copy = Carrier(carrier.gen, carrier.kind, carrier.named, down=False)
            again = request._replace(carrier=copy)
            world.after(schedule.delay() + world.random.random() * 6, lambda: schedule.arrive(again))

    def send(self, final: bool = False) -> None:
        """A POST beside the carrier: acks, cursors, and messages."""
        waits = self.post is not None and self.world.now - self.post.heard < 2
        if (waits or self.world.now < self._send_next) and not final:
            return
        messages = () if final else self._due()
        shown = Shown(self.follower.tenure, self.received, self.taken, self.acked + 1)
        self.post = Carrier(0, Kind.SEND, self.follower.tenure, heard=self.world.now)
        newest = self.newest
        current = newest is not None and newest.attached
        cursors = self._cursors(self.gen) if current else None
        rooms = newest.room_frames if newest is not None else 0
        self._request(Request(self.sid, self.nonce, shown, cursors, messages, self.post, self.gen, rooms))
        first, when, times = self._repeats
        again = bool(messages) and first == shown.first and self.world.now - when < 0.4
        self._repeats = (shown.first, self.world.now, times + 1 if again else 0)
        if self._repeats[2] > 8:
            raise Violation("hot loop: the same send again and again, each answered at once")

    def up(self, carrier: Carrier, frame: Up) -> None:
        """Writes on a WebSocket."""
        holding, world = carrier.holding, self.world
        if not carrier.up or holding is None:
            return
        when = carrier.last_up = max(world.now + self.schedule.delay(), carrier.last_up + 1e-6)
        world.at(when, lambda: holding.worker.after(0, lambda: holding.up(carrier, frame)))

    # -- what comes down ---------------------------------------------------------------------------------------------

    def lost(self, carrier: Carrier) -> None:
        """A carrier is gone, as this end sees it."""
        carrier.up = carrier.down = False
        if self.newest is carrier:
            self.newest = None
            self._next = self.world.now + self.world.random.random() * 0.4

    def frames(self, carrier: Carrier, frames: list[Down]) -> None:
        """What came in one piece."""
        if not carrier.down:
            return
        for frame in frames:
            if self.ended is None and carrier.down:
                self.world.say(f"client: {carrier.gen} <-", *frame)
                carrier.heard = self._contact = self.world.now
                self._frame(carrier, frame)
        if carrier.kind is Kind.POLL and self.newest is carrier and self.ended is None:
            self.lost(carrier)  # the next poll follows
        self.flush()

    def _frame(self, carrier: Carrier, frame: Down) -> None:
        if isinstance(frame, (Opened, Attached)):
            self._attached(carrier, frame)
        elif isinstance(frame, Numbered):
            self._numbered(carrier, frame)
        elif isinstance(frame, RoomFrame):
            carrier.room_frames += 1
            self._room(carrier, frame)
        elif isinstance(frame, Left):
            carrier.room_frames += 1
            self.heard.left(frame.room)
        elif isinstance(frame, Acks):
            self._acknowledged(frame.acks)
        elif isinstance(frame, Answered):
            self._answered(carrier, frame)
        elif isinstance(frame, Ends):
            if carrier is self.newest:
                self.lost(carrier)
                self._next = self.world.now + 0.2
        elif isinstance(frame, Refused):
            self._refused(carrier, frame)

    def _attached(self, carrier: Carrier, frame: Opened | Attached) -> None:
        began: Tenure | None = None
        if isinstance(frame, Opened):
            if self.sid and frame.sid != self.sid:
                self.lost(carrier)
                return
            self.sid = frame.sid
            if carrier is self.newest and carrier.kind is not Kind.POLL:
                carrier.attached = True
                self.up(carrier, Up(acks=(self.received, self.taken)))
        else:
            began = frame.began
            if carrier is not self.newest and carrier.kind is not Kind.POLL:
                return
        answer = self.follower.attached(
            carrier.named, frame.tenure, began, self.received, self.acked, self.server_taken
        )
        if answer is Answer.STALE:
            self.lost(carrier)
        elif answer is Answer.AHEAD:
            self.world.say("client: is ahead")
            self.up(carrier, Up(end=4414))
            self.end(4414)
        else:
            if answer is Answer.CHANGED:
                for one in self.carriers:
                    if one.gen < carrier.gen:
                        one.down = False
            carrier.attached = True
            if carrier is self.newest and carrier.kind is Kind.WEBSOCKET and carrier.cursors_due:
                self.up(carrier, Up(cursors=self._cursors(carrier.gen)))
            self._acknowledged(frame.acks)

    def _acknowledged(self, acks: tuple[int, int]) -> None:
        received, taken = acks
        if received > self.last:
            if not self.schedule.store.backs:
                raise Violation("an ack for what was never sent")
            self.end(4414)
            return
        self.acked, self.server_taken = max(self.acked, received), max(self.server_taken, taken)
        if self.closing and self.acked >= self.last:
            self.end(1000)

    def _answered(self, carrier: Carrier, frame: Answered) -> None:
        if self.post is carrier:
            self.post = None
        if self.follower.answered(carrier.named, frame.tenure) is Answer.SAME:
            self._acknowledged(frame.acks)
        elif self.follower.has_moved(carrier.named, frame.tenure) and self.newest is not None:
            self.lost(self.newest)

    def _numbered(self, carrier: Carrier, frame: Numbered) -> None:
        number, item = frame
        if number <= self.received:
            if self.got[number - 1] != item:
                raise Violation(f"number {number} was {self.got[number - 1]!r}, and is {item!r}")
            return
        if number != self.received + 1:
            raise Violation(f"gap: {number} behind {self.received}")
        if item not in self.schedule.store.ever:
            raise Violation(f"the client sees {item!r}, which was never committed")
        self.received = number
        self.got.append(item)
        if isinstance(item, Close):
            self.taken = number
            self.up(carrier, Up(acks=(number, number)))
            self.send(final=True)
            self.end(item.code)

    def _room(self, carrier: Carrier, frame: RoomFrame) -> None:
        store, position = self.schedule.store, frame.position
        known = Position.parse(self.heard[frame.room]) if frame.room in self.heard else None
        if not self.heard.takes(frame.room, position.cursor, carrier.gen):
            return
        kept = store.rooms[frame.room]
        if frame.missing is not None:
            if not kept.backs and not (frame.missing and kept.top > kept.kept):
                raise Violation(f"room {frame.room}: a gap where nothing is lost: {known} {position}")
        elif frame.payload is None:
            if (frame.room, position) not in store.joins:
                raise Violation(f"room {frame.room}: {position} is no join's, behind {known}")
        else:
            follows = known is not None and (known.epoch, known.offset + 1) == position[:2]
            if known is None or not follows or not same(known.id, frame.previous):
                raise Violation(f"room {frame.room}: silent gap, {position} behind {known}")
            self.schedule.hears(frame.room, frame.payload)

    def _refused(self, carrier: Carrier, frame: Refused) -> None:
        if self.post is carrier:
            self.post = None
            self._send_next = self.world.now + 0.4
        if not frame.of_session:
            if carrier is self.newest:
                self.lost(carrier)
            return
        if frame.received is not None and self.closing and frame.received >= self.last:
            self.acked = self.last
        if self.closing and self.acked >= self.last and frame.code != 4414:
            self.end(1000)
        else:
            self.end(frame.code)

    def end(self, code: int) -> None:
        if self.ended is None:
            self.ended = code
            self.world.say("client: ended", code)
            if code == 1000:
                self.schedule.check_silent()

    # -- time --------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        carrier = self.newest
        if self.ended is not None or carrier is None or not carrier.attached:
            return
        if carrier.kind is Kind.WEBSOCKET:
            self._written = max(self._written, self.acked)
            while self._written < self.last and (
                self._written < self.server_taken + WINDOW_OF_MESSAGES or self._written == self.sent
            ):
                self._written += 1
                self.up(carrier, Up(number=self._written, item=self._item(self._written)))
        elif carrier.kind is Kind.STREAM and self.acked < self.last and self.post is None:
            self.send()

    def tick(self) -> None:
        """What its application does, and its timers."""
        if self.ended is not None:
            return
        world, schedule, draw, carrier = self.world, self.schedule, self.world.random, self.newest
        if world.now - self._contact > AWAY + 6:
            self.end(4411)
            return
        if self.sent < schedule.messages and self.sent < self.server_taken + WINDOW_OF_MESSAGES and not self.closing:
            self.sent += draw.random() < 0.6 or not world.adverse
        if schedule.closer == "client" and self.sent == schedule.messages and not self.closing and self.sid:
            if world.adverse:
                self.closing = draw.random() < schedule.early
            else:
                self.closing = self.acked >= self.sent and schedule.quiet()
            if self.closing:
                world.say("client: closes")
        if not schedule.slow or draw.random() < 0.3 or not world.adverse:
            self.taken = self.received
        if carrier is None:
            if world.now >= self._next:
                self.attach()
                if not self.sid and world.chance(0.3):
                    self.attach()  # a race
        elif world.now - carrier.heard > (5 if carrier.kind is Kind.POLL else 4 if carrier.attached else 3):
            self.lost(carrier)
        elif (carrier.attached or carrier.kind is Kind.POLL) and self.sid and world.chance(schedule.switches):
            self.attach()  # by another transport: the old carrier is read until it ends
        elif carrier.attached:
            self._tick_carrier(carrier)
        self.flush()
        world.after(0.5 + draw.random() * 0.3, self.tick)

    def _tick_carrier(self, carrier: Carrier) -> None:
        if self.post is not None and self.world.now - self.post.heard > 2:
            self.post = None
        acks = (self.received, self.taken)
        if carrier.kind is Kind.WEBSOCKET:
            self.up(carrier, Up(acks=acks, rooms_taken=carrier.room_frames, ping=True))
        elif carrier.kind is Kind.STREAM:
            self.send()
            self.up(carrier, Up(ping=True))  # that its connection stands, the server sees by itself
