"""The client that ships, in the place of the model's: a ClientMachine behind the frames of the wire, which this file
translates to and from the model's. What its application sees is held against the same promises.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from realtime.core.carrier import NumberedCarrier, Part, Shape
from realtime.core.client_machine import ClientMachine, Uplink
from realtime.core.config import Config
from realtime.core.durable.lineage import Shown
from realtime.core.durable.record import Close, Message
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import CLOSE, Dropped, Outgoing, RoomItem, RoomNote, Window
from realtime.core.rooms import Position
from realtime.protocols.native import NativeCodec, feed_client
from realtime.protocols.native.durable import (
    Held,
    answered_frame,
    attached_frame,
    left_frame,
    parse_cursors,
    parse_taken,
    room_frame_of,
)
from realtime.transports import TRANSPORTS, WebSocketMessages

from ..fakes import Diary
from .client import CARRIERS, Client
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
    Pong,
    Refused,
    Request,
    RoomFrame,
    Up,
)
from .holding import WINDOW_OF_MESSAGES
from .world import Violation

if TYPE_CHECKING:
    from .schedule import Schedule

__all__ = ["ShippingClient"]

CODECS = {
    Kind.WEBSOCKET: [NativeCodec(WebSocketMessages(), "client")],
    Kind.STREAM: [NativeCodec(TRANSPORTS["xhr_streaming"], "client")],
    Kind.POLL: [NativeCodec(TRANSPORTS["long_polling"], "client"), NativeCodec(TRANSPORTS["polling"], "client")],
}
POST = CODECS[Kind.POLL][0]
WIDE = 100_000
CONFIG = Config(max_queue=16, max_queue_size=WIDE)
SERVER = Config(ping_interval=2.0, ping_timeout=2.0, resume_window=27.0)


class Link:
    """Of one carrier: what is written on a WebSocket goes up."""

    def __init__(self, client: ShippingClient, carrier: Carrier) -> None:
        self._client, self._carrier = client, carrier
        self.number = 1  # of the next numbered frame

    @property
    def writable(self) -> bool:
        carrier = self._carrier  # (what is written before the answer has nobody there who takes it)
        return carrier.kind is Kind.WEBSOCKET and carrier.up and carrier.attached

    def write(self, buffers: Sequence[Part]) -> None:
        for frame in buffers:
            self._client.up(self._carrier, self._said(str(frame)))

    def _said(self, frame: str) -> Up:
        kind, rest = frame[:1], frame[1:]
        match kind:
            case "n":
                self.number = int(rest)
            case "m" | "c":
                self.number += 1
                item: Message | Close = rest if kind == "m" else Close(int(rest.partition(",")[0]))
                return Up(number=self.number - 1, item=item)
            case "a":
                received, taken = rest.split(",")
                return Up(acks=(int(received), int(taken)))
            case "l":
                cursors = parse_cursors(frame)
                assert cursors.gen == self._carrier.gen
                return Up(cursors=positions(cursors.rooms))
            case "f":
                taken_of = parse_taken(frame)
                assert taken_of.gen == self._carrier.gen
                return Up(acks=(0, 0), rooms_taken=taken_of.number)
            case "p":
                return Up(ping=True)
            case "x":
                return Up(end=int(rest.partition(",")[0]))
        return Up()

    def close(self, code: int, reason: str) -> None:
        """The model's carriers are cut, or told to end."""

    def abort(self) -> None:
        self._client.lost(self._carrier)


def positions(cursors: dict[str, str]) -> dict[str, Position]:
    return {room: Position.parse(cursor) for room, cursor in cursors.items()}


class ShippingClient(Client):
    """A client whose rules are those that ship."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.machine = ClientMachine(CONFIG, Diary(), self.world.now)
        self.machine.server = SERVER
        self.machine.outbox.window = Window(WINDOW_OF_MESSAGES, WIDE)
        self.follower, self.heard = self.machine.following.follower, self.machine.following.heard
        self._wires: dict[Carrier, NumberedCarrier] = {}
        self._expected: dict[Carrier, int] = {}  # the number that the next numbered frame on a carrier has
        self._batch: Uplink | None = None
        self._queued = 0  # so many of its application's messages

    def _sync(self) -> None:
        machine = self.machine
        self.sid, self.gen = machine.sid, machine.gen
        self.received, self.taken = machine.inbox.received, machine.inbox.taken
        self.acked, self.server_taken = machine.outbox.acked, machine.outbox.taken
        if machine.outcome is not None and self.ended is None:
            if machine.final_ack or machine.following.unsaid:
                machine.final_ack = machine.following.unsaid = False
                self._post(machine.aside())
            self.end(machine.outcome.code)

    # -- requests ----------------------------------------------------------------------------------------------------

    def attach(self) -> None:
        draw, machine, now = self.world.random, self.machine, self.world.now
        kind = draw.choice(CARRIERS)
        carrier = self.newest = Carrier(self.gen + 1, kind, self.follower.tenure, heard=now)
        self.carriers = [*self.carriers[-12:], carrier]
        link = Link(self, carrier)
        wire = self._wires[carrier] = NumberedCarrier(draw.choice(CODECS[kind]), link, now)
        attach = machine.start(wire, now)
        assert (attach.gen, attach.tenure) == (carrier.gen, carrier.named)
        link.number, self._expected[carrier] = attach.first, attach.received + 1
        shown = Shown(attach.tenure, attach.received, attach.taken, attach.first, attach.gen)
        later = kind is not Kind.POLL and draw.random() < 0.5
        cursors = machine.cursors(wire) if attach.sid and not later else None
        brings = kind is Kind.POLL and (not attach.sid or not wire.codec.held)
        items = [self._of(item) for item in (machine.poll_items(wire) if brings else [])]
        self.world.say("client: attaches" if attach.sid else "client: opens", carrier.gen, kind.value, shown, cursors)
        shows = None if cursors is None else positions(cursors)
        self._request(Request(attach.sid, self.nonce, shown, shows, tuple(items), carrier, carrier.gen))
        self._sync()

    @staticmethod
    def _of(item: Outgoing) -> Message | Close:
        return Close(item.code) if item.kind == CLOSE else str(item.data)

    def send(self, final: bool = False) -> None:
        """What its sender of POSTs does."""
        now, carrier = self.world.now, self.newest
        if self.post is not None and now - self.post.heard > 2:
            self._over(answered=False)
        needed = carrier is not None and (carrier.kind is Kind.STREAM or self._wires[carrier].codec.held)
        if self.post is not None or not needed or now < self._send_next:
            return
        batch = self.machine.uplink(now)
        if batch is not None:
            self._batch = batch
            self.post = self._post(batch)
            self._check_repeats(batch)

    def _post(self, batch: Uplink) -> Carrier:
        carrier = Carrier(0, Kind.SEND, batch.tenure, heard=self.world.now)
        wire = self._wires[carrier] = NumberedCarrier(POST, Link(self, carrier), self.world.now)
        self.machine.following.sends(wire, batch.tenure)
        shown = Shown(batch.tenure, batch.received, batch.taken, batch.first)
        news = batch.news
        cursors = None if news.cursors is None else positions(dict(news.cursors))
        items = tuple(map(self._of, batch.items))
        self._request(Request(batch.sid, self.nonce, shown, cursors, items, carrier, news.gen, news.taken or 0))
        return carrier

    def _check_repeats(self, batch: Uplink) -> None:
        first, when, times = self._repeats
        again = bool(batch.items) and first == batch.first and self.world.now - when < 0.4
        self._repeats = (batch.first, self.world.now, times + 1 if again else 0)
        if self._repeats[2] > 8:
            raise Violation("hot loop: the same send again and again, each answered at once")

    def _over(self, *, answered: bool) -> None:
        batch, self._batch, self.post = self._batch, None, None
        if batch is not None and answered:
            self.machine.uplink_answered(batch, self.world.now)
        elif batch is not None:
            self.machine.uplink_lost(batch)

    # -- what comes down ---------------------------------------------------------------------------------------------

    def lost(self, carrier: Carrier) -> None:
        super().lost(carrier)
        wire = self._wires.pop(carrier, None)
        if wire is not None and carrier.gen and not (carrier.kind is Kind.POLL and wire.finished):
            self.machine.lost(wire, self.world.now)

    def frames(self, carrier: Carrier, frames: list[Down]) -> None:
        if not carrier.down or carrier not in self._wires:
            return
        wire = self._wires[carrier]
        for frame in frames:
            if self.ended is None and carrier.down:
                self.world.say(f"client: {carrier.gen} <-", *frame)
                carrier.heard = self.world.now
                try:
                    self._comes(carrier, wire, frame)
                except RemoteProtocolError as error:
                    self.world.say("client: fails", error.reason)
                    self.machine.fail(error, self.world.now)
                self._sync()
                if wire.ignores:
                    self.lost(carrier)
        if carrier.kind is Kind.POLL and self.newest is carrier and self.ended is None:
            wire.finished = True
            self.lost(carrier)  # the next poll follows
        self.flush()

    def _comes(self, carrier: Carrier, wire: NumberedCarrier, frame: Down) -> None:
        machine, now = self.machine, self.world.now
        if isinstance(frame, Ends):
            if carrier is self.newest:
                self.lost(carrier)
                self._next = now + 0.2
            return
        if isinstance(frame, Refused):
            if frame.of_session:
                machine.refused(wire, frame.code, frame.received, "", now)
            if self.post is carrier:
                self._over(answered=frame.of_session)
                self._send_next = now + 0.4
            elif carrier is self.newest:
                self.lost(carrier)
            return
        if isinstance(frame, Numbered):
            self._checks(carrier, wire, frame)
        if isinstance(frame, RoomFrame) and machine.outcome is None and not wire.ignores:
            self._room(carrier, frame)
        for text in self._words(carrier, frame):
            feed_client(machine, wire, text, now)
        if isinstance(frame, Answered) and self.post is carrier:
            self._over(answered=True)
        carrier.attached = wire.attached

    def _words(self, carrier: Carrier, frame: Down) -> list[str]:
        """The frames of the wire that say this."""
        match frame:
            case Opened(sid, tenure, acks):
                members = {
                    "sid": sid,
                    "key": "K",
                    "tenure": tenure,
                    "ack": acks,
                    "window": [WINDOW_OF_MESSAGES, WIDE],
                    "max_size": WIDE,
                    "max_batch": [1024, 10 * WIDE],
                    "ping_interval": SERVER.ping_interval,
                    "ping_timeout": SERVER.ping_timeout,
                    "resume_window": SERVER.resume_window,
                    "poll_interval": [0.1, 1],
                    "transports": [],
                }
                return [f"o{json.dumps(members)}"]
            case Attached(acks, tenure, began):
                return [attached_frame(Held(*acks, tenure, began))]
            case Answered(acks, tenure):
                return [answered_frame(Held(*acks, tenure))]
            case Acks(acks):
                return [f"a{acks[0]},{acks[1]}"]
            case Numbered(number, item):
                words = [] if self._expected[carrier] == number else [f"n{number}"]
                self._expected[carrier] = number + 1
                if isinstance(item, Close):
                    return [*words, f"c{item.code},"]
                return [*words, f"d{item.count}" if isinstance(item, Dropped) else f"m{item!s}"]
            case RoomFrame(room, position, payload, _, missing):
                if payload is None:
                    return [room_frame_of(RoomNote(room, position.cursor, missing))]
                return [room_frame_of(RoomItem(room, position.cursor, Outgoing.message(payload)))]
            case Left(room):
                return [left_frame(room)]
            case Pong():
                return ["q"]
        raise AssertionError(frame)

    def _checks(self, carrier: Carrier, wire: NumberedCarrier, frame: Numbered) -> None:
        """What its application is to see."""
        number, item = frame
        if self.machine.outcome is not None or wire.ignores:
            return
        if number <= self.received:
            if self.got[number - 1] != item:
                raise Violation(f"number {number} was {self.got[number - 1]!r}, and is {item!r}")
            return
        if number != self.received + 1:
            raise Violation(f"gap: {number} behind {self.received}")
        if item not in self.schedule.store.ever:
            raise Violation(f"the client sees {item!r}, which was never committed")
        self.got.append(item)

    # -- time --------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        if self.ended is None:
            self.machine.flush(self.world.now)
            self.send()
            self._sync()

    def tick(self) -> None:
        """What its application does, and its timers."""
        if self.ended is not None:
            return
        world, schedule, draw, machine, now = self.world, self.schedule, self.world.random, self.machine, self.world.now
        if machine.deadline() <= now:
            machine.expire(now)
            self._sync()
        if self.sent < schedule.messages and self.sent < self.server_taken + WINDOW_OF_MESSAGES and not self.closing:
            self.sent += draw.random() < 0.6 or not world.adverse
        while self._queued < self.sent:
            self._queued += 1
            machine.send(Outgoing.message(f"u{self._queued}"))
        if schedule.closer == "client" and self.sent == schedule.messages and not self.closing and self.sid:
            if world.adverse:
                self.closing = draw.random() < schedule.early
            else:
                self.closing = self.acked >= self.sent and schedule.quiet()
            if self.closing and machine.outcome is None:
                world.say("client: closes")
                machine.close(1000, "", now)
        if not schedule.slow or draw.random() < 0.3 or not world.adverse:
            while machine.inbox.items:
                machine.take(now)
        carrier = self.newest
        if self.ended is None:
            self._tick(carrier)
        self.flush()
        world.after(0.5 + draw.random() * 0.3, self.tick)

    def _tick(self, carrier: Carrier | None) -> None:
        world, now = self.world, self.world.now
        if carrier is None:
            if now >= self._next:
                self.attach()
                if not self.sid and world.chance(0.3):
                    self.attach()  # a race
            return
        shape = self._wires[carrier].codec.shape
        if now - carrier.heard > (5 if carrier.kind is Kind.POLL else 4 if carrier.attached else 3):
            self.lost(carrier)
        elif (carrier.attached or carrier.kind is Kind.POLL) and self.sid and world.chance(self.schedule.switches):
            self.attach()  # by another transport: the old carrier is read until it ends
        elif carrier.attached and shape is Shape.STREAM:
            self.machine.pinged(self._wires[carrier], "")  # as a server asks whether it is there
            self.up(carrier, Up(ping=True))
        elif carrier.attached and shape is Shape.DUPLEX:
            self.up(carrier, Up(ping=True))
