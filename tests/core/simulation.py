"""A world in memory: the real core at both ends of a network that loses, repeats, delays, reorders, holds and cuts.

What is real: the server with its gate, sessions and machines; the client's machine; the native codec, with every frame
encoded and decoded again. What is simulated: time, connections and the two applications. The shell of the client
(what client/ does with sockets) is as small as it can be. No event loop runs here, and of the server's random sids and
keys nothing depends on what they are.

Two ways to use it: World.run() lets an automatic network of some Conditions deliver, and its adversary interfere. With
`automatic=False` nothing moves until a test delivers it: requests by arrive() and answer(), WebSocket frames by
Pipe.deliver().

Its client chooses carriers by chance, which meets more than any policy would; supervised.py has one with the policy
that ships.

After every step World.check() holds both ends to the invariants; World.verdict() judges how it ended.
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

import realtime
from realtime.clock import Timer
from realtime.core.carrier import NumberedCarrier, Part
from realtime.core.client_machine import LEAST_ACK_SHARE, Attach, ClientMachine, Uplink
from realtime.core.config import Config
from realtime.core.deadlines import Deadlines
from realtime.core.errors import Refusal
from realtime.core.frames import Dropped, Outgoing, RoomItem, RoomMessage, RoomPosition, Window
from realtime.core.inbox import Received
from realtime.core.lifecycle import State
from realtime.core.machine import SessionMachine
from realtime.core.numbered_machine import NumberedMachine
from realtime.core.proof import ATTACH, Key
from realtime.core.registry import Registry
from realtime.endpoint import Endpoint
from realtime.gates.native import Begun, NativeGate, tell
from realtime.gates.native_connection import NativeConnection
from realtime.protocols.native import (
    NativeCodec,
    Open,
    Opened,
    RequestHead,
    attach_frame,
    feed_client,
    open_frame,
    parse_head,
    parse_refusal,
    refusal_frame,
    uplink_frames,
)
from realtime.runtime import Flushable
from realtime.session import ServerListener
from realtime.transports import TRANSPORTS, Facts, Frame, WebSocketMessages
from realtime.transports.batch import decode_batch

POST_TIMEOUT = 3.0
ATTACH_TIMEOUT = 3.0
FOREVER = float("inf")
IDLE = object()
"""What an action returns that has touched nothing: most turns of applications that have sent all they want to."""
WINDOW = Window(8, 400)
INITIAL = Window(4, 200)
NONCE = "a-nonce-of-the-client-1"

STREAMS = ("xhr_streaming", "sse", "multipart")
BY_URL = ("sse", "multipart")

Item: TypeAlias = Frame | None  # what travels on a pipe; None is the end
T = TypeVar("T")


class Violation(AssertionError):
    """The two ends broke a promise of docs/protocol.md."""


class TinyConfig(Config):
    """Settings below what Config allows a real server: small windows reach their edges soon."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Everything goes."""
        self._derive()


@dataclass(kw_only=True)
class Habits:
    """How one application behaves."""

    plan: int = 0  # how many messages it sends of its own
    sizes: tuple[int, int] = (0, 30)
    oversize: float = 0.0  # how often a message is larger than the peer's window
    drops: bool = False  # a full outbox drops the oldest instead of making the sender wait
    pace: float = 0.1  # seconds between two of its turns to send
    think: float = 0.05  # seconds before it takes what has come
    bite: int = 3  # how much it takes at once
    stalls: tuple[float, float] = (FOREVER, FOREVER)  # from when to when it takes nothing
    # When it ends the session: never; when all is sent; when all is sent and received; at `at`; abruptly at `at`.
    closes: str = "never"
    at: float = 0.0
    code: int = 1000


@dataclass(kw_only=True)
class Conditions:
    """A world: two ends, a network, and an adversary who stops at `until`."""

    server_window: Window = WINDOW
    client_window: Window = WINDOW
    initial_window: Window = INITIAL
    max_outbox: int = 16
    max_outbox_size: int = 2000
    max_batch: int = 12
    max_batch_size: int = 400
    max_stream_size: int = 10_000
    ping_interval: float | None = 2.0
    ping_timeout: float | None = 2.0
    resume_window: float = 30.0
    open_timeout: float = 10.0
    capacity: int = 8  # frames that wait in a WebSocket before it is not writable
    delay: float = 0.05
    loss: float = 0.0
    repeat: float = 0.0
    late: float = 0.0  # how often something is late
    lateness: float = 2.0  # and by how much, at most
    blocked: bool = False  # WebSockets and streams open and stay mute
    kinds: tuple[str, ...] = ("websocket", "long_polling", "polling")
    poll_brings: bool = False  # messages ride with polls
    begin: float = 0.0
    until: float = 0.0
    fault_every: float = 1.0
    crash: bool = False
    drain_at: float = FOREVER
    rooms: bool = False  # the client takes messages of rooms with their positions, and some of the server's are such
    server: Habits = field(default_factory=Habits)
    client: Habits = field(default_factory=Habits)

    @property
    def survivable(self) -> bool:
        """Whether nothing happens that a session need not survive."""
        return (
            not self.crash
            and self.resume_window >= self.until + 15
            and "abruptly" not in (self.server.closes, self.client.closes)
        )

    @property
    def healthy(self) -> bool:
        """And neither application stops taking."""
        return self.survivable and self.server.stalls[0] == self.client.stalls[0] == FOREVER


def draw_habits(rnd: random.Random, window: Window, until: float) -> Habits:
    """One application, at random."""
    habits = Habits(
        plan=rnd.choice((0, 2, 10, 25, 40)),
        sizes=(0, rnd.choice((1, 8, window.size // 2, window.size))),
        oversize=rnd.choice((0.0, 0.0, 0.1, 0.3)),
        drops=rnd.random() < 0.25,
        pace=rnd.choice((0.01, 0.1, 0.4)),
        think=rnd.choice((0.0, 0.05, 0.7, 1.5)),
        bite=rnd.choice((1, 3, 99)),
        code=rnd.choice((1000, 1000, 1001, 3001, 4999)),
        at=rnd.random() * (until + 3),
    )
    if rnd.random() < 0.12:
        start = rnd.random() * until
        habits.stalls = (start, rnd.choice((start + 5, FOREVER)))
    return habits


def draw_conditions(rnd: random.Random) -> Conditions:
    """A world at random."""
    initial = Window(rnd.choice((1, 2, 4)), rnd.choice((8, 40)))
    until = rnd.choice((0.0, 4.0, 8.0, 16.0))
    server_window = Window(initial.messages * rnd.choice((1, 2, 8)), initial.size * rnd.choice((1, 2, 8)))
    client_window = Window(rnd.choice((1, 2, 8, 32)), rnd.choice((1, 8, 40, 200)))
    kinds = [kind for kind in ("websocket", "long_polling", "polling") if rnd.random() < 0.7]
    conditions = Conditions(
        server_window=server_window,
        client_window=client_window,
        initial_window=initial,
        max_outbox=rnd.choice((2, 4, 30)),
        max_outbox_size=rnd.choice((30, 100, 10_000)),
        max_batch=rnd.choice((3, 4, 20)),
        max_batch_size=rnd.choice((10, 60, 400)),
        resume_window=rnd.choice((3.0, 8.0, 40.0, 40.0)),
        open_timeout=rnd.choice((6.0, 14.0)),
        capacity=rnd.choice((1, 2, 8, 99)),
        delay=rnd.choice((0.01, 0.1, 0.4)),
        loss=rnd.random() * 0.3,
        repeat=rnd.random() * 0.3,
        late=rnd.random() * 0.3,
        lateness=rnd.choice((2.0, 8.0, 20.0)),
        blocked=rnd.random() < 0.1,
        kinds=tuple(kinds or ["long_polling"]),
        poll_brings=rnd.random() < 0.5,
        begin=rnd.choice((0.0, 1.0)),
        until=until,
        fault_every=rnd.choice((0.2, 0.5, 1.0, 4.0)),
        crash=rnd.random() < 0.08,
        drain_at=rnd.random() * (until + 2) if rnd.random() < 0.15 else FOREVER,
        server=draw_habits(rnd, client_window, until),
        client=draw_habits(rnd, server_window, until),
    )
    special = rnd.random()
    for share, change in ((0.25, hurry), (0.3, brim), (0.33, bulk), (0.36, upgrade), (0.39, leave)):
        if special < share:
            change(conditions, rnd)
            break
    if conditions.blocked and conditions.kinds == ("websocket",):
        conditions.kinds = ("websocket", "polling")
    ways = ("never", "when sent", "when done", "when done", "when done", "at", "abruptly")
    for end, chance in ((conditions.server, 0.6), (conditions.client, 0.6)):
        if rnd.random() < chance:
            end.closes = rnd.choice(ways)
    return conditions


def add_streams(conditions: Conditions, rnd: random.Random) -> None:
    """Streams among the transports, or nothing else."""
    if rnd.random() < 0.4:
        kinds = tuple(kind for kind in conditions.kinds if rnd.random() < 0.7)
        conditions.kinds = (*kinds, rnd.choice(STREAMS), *(("polling",) if conditions.blocked else ()))
        conditions.max_stream_size = rnd.choice((200, 600, 10_000))


def brim(conditions: Conditions, rnd: random.Random) -> None:
    """Windows that fill up and stay full, because nobody takes; one or both close."""
    for habits, window in (
        (conditions.server, conditions.client_window),
        (conditions.client, conditions.server_window),
    ):
        habits.plan = rnd.choice((window.messages, 30))
        habits.sizes = (0, 1)
        habits.pace = 0.02
        habits.stalls = (0.0, FOREVER)
        habits.closes = rnd.choice(("at", "at", "when sent"))
        habits.at = 1 + rnd.random() * 3
        habits.drops = False
    conditions.max_outbox = 100
    if rnd.random() < 0.3:
        rnd.choice((conditions.server, conditions.client)).closes = "never"


def bulk(conditions: Conditions, rnd: random.Random) -> None:
    """Small messages among those larger than the window, taken slowly, on WebSockets that hold."""
    for habits in (conditions.server, conditions.client):
        habits.plan = 6
        habits.sizes = (0, 5)
        habits.oversize = 0.4
        habits.think = 1.5
        habits.drops = False
        habits.closes = "never"
    conditions.server_window = conditions.client_window = Window(32, 200)
    conditions.kinds = ("websocket",)
    conditions.loss = conditions.late = 0.0
    conditions.until, conditions.fault_every = 5.0, 20.0
    conditions.crash = conditions.blocked = False


def upgrade(conditions: Conditions, rnd: random.Random) -> None:
    """Sends get lost while WebSockets take over from polls."""
    hurry(conditions, rnd)
    conditions.kinds = ("long_polling",)
    conditions.server_window = conditions.initial_window = Window(32, 200)
    conditions.client.sizes, conditions.client.oversize = (0, 5), 0.4
    conditions.loss = 0.5
    conditions.until, conditions.fault_every = 3.0, 1.0
    conditions.resume_window = 40.0


def speak_in_rooms(conditions: Conditions, rnd: random.Random) -> None:
    """The server's messages are those of rooms, for many clients more than they take."""
    hurry(conditions, rnd)
    conditions.rooms = True
    conditions.max_outbox = rnd.choice((2, 4, 8, 30))
    conditions.kinds = rnd.choice((("websocket",), ("long_polling",), ("websocket", "xhr_streaming", "polling")))
    conditions.server.closes = conditions.client.closes = "never"
    conditions.resume_window = 40.0


def leave(conditions: Conditions, rnd: random.Random) -> None:
    """The server drains while WebSockets break."""
    hurry(conditions, rnd)
    conditions.kinds = ("websocket",)
    conditions.drain_at = 1 + rnd.random() * 2.5
    conditions.fault_every = rnd.choice((0.3, 1.0))
    conditions.resume_window = 40.0
    for habits in (conditions.server, conditions.client):
        habits.plan, habits.oversize, habits.closes, habits.stalls = 20, 0.0, "never", (FOREVER, FOREVER)


def hurry(conditions: Conditions, rnd: random.Random) -> None:
    """Many messages both ways while carriers follow each other: what overlaps, overlaps here."""
    for habits in (conditions.server, conditions.client):
        habits.plan = 60
        habits.pace = rnd.choice((0.02, 0.06))
        habits.think = 0.0
        habits.bite = 99
    conditions.fault_every = rnd.choice((0.1, 0.3))
    conditions.delay = rnd.choice((0.1, 0.3))
    conditions.kinds = rnd.choice((("websocket", "long_polling"), ("websocket", "long_polling", "polling")))
    conditions.capacity = rnd.choice((1, 2))
    conditions.begin, conditions.until = 0.5, 4.0
    conditions.open_timeout = 14.0
    conditions.crash = conditions.blocked = False


# -- the network -----------------------------------------------------------------------------------------------------


def rides(item: Item) -> bool:
    """Whether this takes no room of its own on a WebSocket: tickets, which come behind something else."""
    return isinstance(item, str) and item[:1] == ATTACH


class Pipe:
    """One direction of a WebSocket: ordered, bounded, and possibly mute, held back or dead."""

    def __init__(self, world: World, sink: Callable[[Item], None], writable_again: Callable[[], None]) -> None:
        self.world = world
        self.queue: deque[Item] = deque()
        self.dead = False
        self.mute = False
        self.held_until = 0.0
        self._sink = sink
        self._writable_again = writable_again
        self._busy = False

    @property
    def writable(self) -> bool:
        return self.dead or sum(not rides(item) for item in self.queue) < self.world.conditions.capacity

    def write(self, item: Item) -> None:
        if not self.dead:
            self.queue.append(item)
            self.kick()

    def cut(self) -> None:
        self.dead = True
        self.queue.clear()

    def deliver(self, count: int = 1_000_000) -> list[Item]:
        """Brings at most `count` frames to the other side, and what rides with them; returns them all."""
        delivered: list[Item] = []
        while self.queue and (count > 0 or rides(self.queue[0])):
            delivered.append(self.queue.popleft())
            count -= not rides(delivered[-1])
            self._sink(delivered[-1])
        self._writable_again()
        self.world.settle()
        return delivered

    def kick(self) -> None:
        """Lets the automatic network go on with this pipe."""
        world = self.world
        if self.queue and world.automatic and not (self._busy or self.mute or self.dead):
            self._busy = True
            world.at(max(world.now + world.delay(0.3), self.held_until), self._pump)

    def _pump(self) -> None:
        self._busy = False
        if self.dead or self.mute:
            return
        if self.held_until <= self.world.now:
            self.deliver(self.world.rnd.choice((1, 2, 8)))
        self.kick()


Handler: TypeAlias = Callable[[bytes, Callable[[bytes], None]], Callable[[], None]]


class Request:
    """One POST and its answer. Each arrive() is a copy of it; the client sees the answer to one of them."""

    def __init__(self, world: World, handler: Handler, done: Callable[[bytes], None], parts: Sequence[Part]) -> None:
        self.world = world
        self.body = b"".join(part for part in parts if isinstance(part, bytes))
        self.frames = decode_batch(self.body, 10_000)
        self.answers: list[bytes | None] = []
        self.over = False  # answered or abandoned: the client reads no answer any more
        self._handler = handler
        self._done = done
        self._gone: list[Callable[[], None]] = []
        self._wired = 0
        if world.automatic:
            self.dispatch()

    def dispatch(self) -> None:
        """Gives it to the automatic network."""
        world, rnd = self.world, self.world.rnd
        if world.adverse and rnd.random() < world.conditions.loss:
            return
        copies = 2 if world.adverse and rnd.random() < world.conditions.repeat else 1
        self._wired = rnd.randrange(copies)
        for _ in range(copies):
            world.at(world.now + world.delay(), self.arrive)

    def arrive(self) -> None:
        """A copy reaches the server."""
        index = len(self.answers)
        self.answers.append(None)
        self._gone.append(self._handler(self.body, lambda body: self._replied(index, body)))
        self.world.settle()

    def _replied(self, index: int, body: bytes) -> None:
        if self.answers[index] is not None:
            raise Violation("a request was answered twice")
        self.answers[index] = body
        world = self.world
        if (
            world.automatic
            and index == self._wired
            and not (world.adverse and world.rnd.random() < world.conditions.loss)
        ):
            world.at(world.now + world.delay(), lambda: self.answer(index))

    def answer(self, index: int = 0) -> list[Frame]:
        """The answer to a copy reaches the client. Returns its frames."""
        body = self.answers[index]
        if body is None:
            raise Violation("the server has not answered")
        if not self.over:
            self.over = True
            self._done(body)
            self.world.settle()
        return decode_batch(body, 10_000)

    @property
    def answered(self) -> bool:
        return any(body is not None for body in self.answers)

    def abandon(self) -> None:
        """The client gives it up; the server learns it later or never."""
        self.over = True
        world = self.world
        if world.automatic and world.rnd.random() < 0.5:
            for gone in self._gone:
                world.at(world.now + world.delay(), gone)

    def gone(self) -> None:
        """The server sees the connections closed."""
        for gone in self._gone:
            gone()
        self.world.settle()


def unframe(data: bytes) -> list[Frame]:
    """The messages in unmasked WebSocket frames (RFC 6455 §5.2)."""
    frames: list[Frame] = []
    while data:
        first, size, start = data[0], data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10]), 10
        payload, data = data[start : start + size], data[start + size :]
        if len(payload) != size or first not in (0x81, 0x82):
            raise Violation(f"not whole frames: {first:#x} {size}")
        frames.append(payload.decode() if first == 0x81 else payload)
    return frames


# -- the applications ------------------------------------------------------------------------------------------------

FILLING = 'a"\\\n\u2028é€🙂\x00/<'


@dataclass(frozen=True)
class Passed:
    """What a room has said and not to this session: skipped, or missing (so many; 0: nobody knows)."""

    missing: int | None


@functools.cache
def filling(room: int) -> str:
    """As many bytes of UTF-8 as there is room for; of characters that some framing might trip over."""
    text = ""
    while room > 0:
        character = FILLING[room % len(FILLING)]
        if len(character.encode()) > room:
            character = "x"
        text += character
        room -= len(character.encode())
    return text


class App:
    """One application over its machine: sends numbered contents, and knows what must come next."""

    def __init__(self, world: World, machine: SessionMachine, habits: Habits, name: str) -> None:
        self.world = world
        self.machine = machine
        self.habits = habits
        self.name = name
        self.sent: list[str | bytes] = []
        self.peer: App | None = None
        self.largest = 0  # bytes
        self.position = 0  # how many of the peer's messages were delivered, or told as dropped
        self.log: list[Received] = []
        self._taking = False
        self.session: realtime.Session | None = None  # at the server
        self.rooms: dict[str, list[int | Passed]] = {}  # what each room has said: messages by their place in `sent`
        self.heard: dict[str, int] = {}  # of the peer's rooms

    def start(self) -> None:
        """Begins to live by its habits."""
        if self.world.automatic:
            self.world.at(self.world.now, self._turn)

    @property
    def stalled(self) -> bool:
        start, end = self.habits.stalls
        return start <= self.world.now < end

    def content(self, size: int, binary: bool) -> str | bytes:
        """The next message: no two are the same, however short."""
        text = f"{self.name}{len(self.sent)}"
        text += filling(size - len(text))
        return text.encode() if binary else text

    def send(self, size: int = 1, *, binary: bool = False) -> bool:
        """Sends one message if there is room (or room can be made)."""
        machine = self.machine
        if machine.outcome is not None or machine.closing is not None:
            return False
        data = self.content(size, binary)
        item = Outgoing.message(data)
        self.largest = max(self.largest, item.size)
        if self.speaks_in_rooms:
            room, dice = self.choose_room()
            if dice < 0.5:
                assert self.session is not None
                if item.size > machine.config.max_outbox_size:  # a gap, which no outbox is too small for
                    self.rooms[room].append(Passed(1))
                else:
                    self.rooms[room].append(len(self.sent))
                    self.sent.append(data)
                self.session._offer_room(RoomItem(room, str(len(self.rooms[room])), item))
                return True
        if not machine.outbox.has_room(item.size):
            if not self.habits.drops:
                return False
            if not machine.outbox.make_room(item.size):
                machine.outbox.drop_new()
                self.sent.append(data)
                machine.listener.dirty()
                return True
        self.sent.append(data)
        machine.send(item)
        return True

    @property
    def drops(self) -> bool:
        """Whether it drops messages for want of room, so that the newest may be beyond the limits."""
        return self.habits.drops or self.speaks_in_rooms

    @property
    def speaks_in_rooms(self) -> bool:
        """Whether its peer takes messages of rooms with their positions."""
        return self.session is not None and self.session._positions is not None

    def choose_room(self) -> tuple[str, float]:
        """A room for what comes next, and a number from 0 to 1, without touching the world's own chance."""
        said = sum(map(len, self.rooms.values()))
        dice = random.Random(f"{self.name} {len(self.sent)} {said}")
        room = dice.choice(("a", "b,%", ""))
        self.rooms.setdefault(room, [])
        return room, dice.random()

    def pass_over(self) -> None:
        """A room goes on without a message for this session: it was skipped, or is missing."""
        room, dice = self.choose_room()
        gone = None if dice < 0.7 else int(dice * 10) - 7
        self.rooms[room].append(Passed(gone))
        assert self.session is not None
        self.session._offer_position(room, str(len(self.rooms[room])), gone)

    def take_notes(self) -> None:
        """Takes the notes in front of the next message, as the client does by itself."""
        machine = self.machine
        while machine.inbox.items and isinstance(machine.inbox.items[0], RoomPosition):
            self.deliver(machine.take(self.world.now))

    def hear(self, room: str, cursor: str) -> list[Passed]:
        """The peer's room stands at this cursor: all up to there was delivered, or told as dropped, or passed over."""
        assert self.peer is not None
        before, here = self.heard.get(room, 0), int(cursor)
        said = self.peer.rooms[room]
        if not before < here <= len(said):
            raise Violation(f"{self.name} is told {here} of {room!r} behind {before}, of {len(said)}")
        self.heard[room] = here
        passed = []
        for entry in said[before:here]:
            if isinstance(entry, Passed):
                passed.append(entry)
            elif entry >= self.position:
                raise Violation(f"the cursor {here} of {room!r} is behind message {entry}, at {self.position}")
        return passed

    def hear_position(self, position: RoomPosition) -> None:
        """A position without a message."""
        missing = [entry.missing for entry in self.hear(position.room, position.cursor) if entry.missing is not None]
        told = None if not missing else sum(missing) if all(missing) else 0
        if position.missing != told:
            raise Violation(f"{self.name} is told {position}, and missing are {missing}")

    def take(self, count: int = 1_000_000) -> None:
        """Takes what has come, and checks that it is what must come."""
        machine = self.machine
        while count and len(machine.inbox):
            count -= 1
            self.deliver(machine.take(self.world.now))

    def deliver(self, item: Received) -> None:
        self.log.append(item)
        if self.peer is None:
            raise Violation(f"{self.name} got {item!r:.40} from nobody")
        sent = self.peer.sent
        if isinstance(item, RoomMessage):
            self.deliver(item.data)
            if self.peer.rooms[item.room][int(item.cursor) - 1] != self.position - 1:
                raise Violation(f"{self.name} got a message with the position of another: {item}")
            if any(entry.missing is not None for entry in self.hear(item.room, item.cursor)):
                raise Violation(f"{self.name} was not told of a gap before {item}")
        elif isinstance(item, RoomPosition):
            self.hear_position(item)
        elif isinstance(item, Dropped):
            self.position += item.count
            if self.position > len(sent):
                raise Violation(f"{self.name} was told of more drops than were sent")
        elif self.position >= len(sent) or sent[self.position] != item:
            raise Violation(f"{self.name} got {item!r:.40} at {self.position}")
        else:
            self.position += 1

    def close(self, code: int = 1000) -> None:
        self.machine.close(code, "goodbye", self.world.now)

    def readable(self) -> None:
        if self.world.automatic and not self._taking:
            self._taking = True
            self.world.at(self.world.now + self.habits.think, self._take_turn)

    def _take_turn(self) -> None:
        self._taking = False
        if self.machine.closing is not None:
            return  # who has closed reads no more
        if self.stalled:
            if self.habits.stalls[1] < FOREVER:
                self._taking = True
                self.world.at(self.habits.stalls[1], self._take_turn)
            return
        self.take(self.habits.bite)
        if len(self.machine.inbox):
            self.readable()

    def _turn(self) -> object:
        machine, habits, rnd, now = self.machine, self.habits, self.world.rnd, self.world.now
        if machine.outcome is not None or machine.closing is not None or self.peer is None:
            return IDLE
        idle = True
        if len(self.sent) < habits.plan:
            idle = False
            window = machine.outbox.window.size
            large = rnd.random() < habits.oversize
            size = rnd.randint(window + 1, 2 * window + 5) if large else rnd.randint(*habits.sizes)
            self.send(size, binary=rnd.random() < 0.3)
        if self.speaks_in_rooms and len(self.rooms.get("a", ())) < habits.plan:
            idle = False
            self.pass_over()
        way = habits.closes
        all_sent = len(self.sent) >= habits.plan
        if way == "abruptly" and now >= habits.at:
            machine.end(1011, "the application failed", now)
        elif (
            (way == "at" and now >= habits.at)
            or (way == "when sent" and all_sent)
            or (way == "when done" and all_sent and self.position >= self.peer.habits.plan)
        ):
            self.close(habits.code)
        else:
            self.world.at(now + habits.pace * rnd.uniform(0.5, 2), self._turn)
            return IDLE if idle else None
        return None


# -- the server ------------------------------------------------------------------------------------------------------


class NoLoop:
    """A session's listener, where there is no event loop for what waits beside the outbox."""

    def __init__(self, world: World, listener: object) -> None:
        self.world = world
        self.listener = listener

    def __getattr__(self, name: str) -> object:
        return getattr(self.listener, name)

    def when_progressed(self, callback: Callable[[object], object]) -> None:
        """In a while."""
        self.world.at(self.world.now + 0.2, lambda: callback(None))


class Session:
    """A session of the server's, with its application and what is known of it. Listens beside its own listener."""

    def __init__(self, server: Server, session: realtime.Session) -> None:
        world = server.world
        machine = session._machine
        assert isinstance(machine, NumberedMachine)
        self.server = server
        self.machine = machine
        self.crashed = False
        self.ended_at = FOREVER
        self.highest = 0  # the gen of the newest carrier seen
        self.arrived: list[Open | RequestHead] = []
        self.app = App(world, machine, world.conditions.server, f"S{len(server.all)}.")
        self.app.session = session
        self._own = machine.listener
        machine.listener = self
        session._listener = cast("ServerListener", NoLoop(world, session._listener))

    def readable(self) -> None:
        self._own.readable()
        self.app.readable()

    def noted(self) -> None:
        raise Violation("a client tells of rooms")

    def acknowledged(self) -> None:
        self._own.acknowledged()

    def dirty(self) -> None:
        if not self.crashed:
            self._own.dirty()

    def changed(self, before: State, after: State) -> None:
        self._own.changed(before, after)

    def may_be_drained(self) -> None:
        if self.machine.drained:
            self.machine.close(1012, "drained", self.server.world.now)

    def ended(self) -> None:
        self.ended_at = self.server.world.now
        if not self.crashed:
            self._own.ended()

    def wake(self, when: float) -> None:
        if not self.crashed:
            self._own.wake(when)


class NoLink:
    """A request of the client that carries nothing down by itself, or the server's end of a send."""

    writable = True

    def __init__(self, closed: Callable[[], None] | None = None) -> None:
        self._closed = closed

    def write(self, buffers: Sequence[Part]) -> None:
        raise Violation(f"nothing can be written here: {buffers!r:.60}")

    def close(self, code: int, reason: str) -> None:
        if self._closed is not None:
            self._closed()

    def abort(self) -> None:
        self.close(1006, "")


class AnswerLink:
    """The server's end of a poll: one body."""

    writable = True

    def __init__(self, reply: Callable[[bytes], None]) -> None:
        self._reply = reply
        self._body: bytes | None = None
        self._closed = False

    def write(self, buffers: Sequence[Part]) -> None:
        if self._body is not None:
            raise Violation("a poll has one body, and it is written twice")
        self._body = b"".join(part for part in buffers if isinstance(part, bytes))

    def close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._reply(self._body or b"[]")

    def abort(self) -> None:
        self.close(1006, "")


class PipeLink:
    """Either end of a WebSocket."""

    def __init__(self, pipe: Pipe, closed: Callable[[], None] | None = None) -> None:
        self.pipe = pipe
        self._closed = closed
        self._over = False

    @property
    def writable(self) -> bool:
        return self.pipe.writable

    def write(self, buffers: Sequence[Part]) -> None:
        for buffer in buffers:
            self.pipe.write(buffer)

    def close(self, code: int, reason: str) -> None:
        if not self._over:
            self._over = True
            self.pipe.write(None)
            if self._closed is not None:
                self._closed()

    def abort(self) -> None:
        self.close(1006, "")


class ServerLink(PipeLink):
    """The server's end of a WebSocket, which writes finished WebSocket frames."""

    def write(self, buffers: Sequence[Part]) -> None:
        for buffer in buffers:
            assert isinstance(buffer, bytes)
            for frame in unframe(buffer):
                self.pipe.write(frame)


class ServerSocket:
    """A WebSocket at the server."""

    def __init__(self, server: Server, down: Pipe) -> None:
        self.server = server
        self._connection = NativeConnection(
            server.gate, server.facts("websocket"), server.endpoint, server.codecs["websocket"], ServerLink(down)
        )
        self.carrier = self._connection

    def receive(self, frame: Item) -> None:
        connection = self._connection
        if frame is None:
            self.gone()
            return
        silent = connection.silent
        taking = connection.message(frame)
        if taking is not None:
            at_once(taking)
        if silent and connection.session is not None:
            newest = connection.session._machine.carrier is self.carrier
            self.server.took_up(connection.session, parse_head(frame), newest)

    def gone(self) -> None:
        """The connection has ended, and the server noticed."""
        self._connection.lost()

    def writable_again(self) -> None:
        """The link takes more."""
        self._connection.writable_again()


class ServerStream:
    """A stream at the server: what one copy of its request brought about."""

    def __init__(self, server: Server, name: str, frame: Frame, down: Pipe) -> None:
        self.server = server
        transport = TRANSPORTS[name]
        down.write(transport.head(Facts()).prelude)
        self.carrier = NumberedCarrier(server.codecs[name], PipeLink(down), server.world.now)
        self._begun = server.begin(name, self.carrier, [frame])
        if self._begun is not None and self._begun.superseded and transport.method == "GET":
            self.carrier.finish([])  # 204

    def gone(self) -> None:
        """The connection has ended, and the server noticed."""
        if self._begun is not None:
            self.server.gate.lost(self._begun.session, self.carrier)
        self.carrier.finished = True

    def writable_again(self) -> None:
        """The link takes more."""
        if self._begun is not None:
            self.server.gate.writable_again(self._begun.session)


class WorldClock:
    """A server's clock (realtime.clock.Clock), until its process dies."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.stopped = False

    def now(self) -> float:
        return self._world.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        timer = WorldTimer()
        self._world.at(when, lambda: None if self.stopped or timer.cancelled else callback())
        return timer


class WorldTimer:
    """See realtime.clock.Timer."""

    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def at_once(steps: Awaitable[T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        steps.__await__().__next__()
    except StopIteration as returned:
        return cast("T", returned.value)
    raise Violation("it waits, and nothing here would go on with it")


class Server:
    """A process with a realtime.Server, as it is: its gate, its sessions, its registry. What is not there is asyncio:
    marked sessions are flushed when the world settles, and handlers are the world's applications."""

    def __init__(self, world: World) -> None:
        conditions = world.conditions
        self.world = world
        self.config = TinyConfig(
            max_queue=conditions.server_window.messages,
            max_queue_size=conditions.server_window.size,
            max_outbox=conditions.max_outbox,
            max_outbox_size=conditions.max_outbox_size,
            max_batch=conditions.max_batch,
            max_batch_size=conditions.max_batch_size,
            max_stream_size=conditions.max_stream_size,
            max_size=10_000,
            ping_interval=conditions.ping_interval,
            ping_timeout=conditions.ping_timeout,
            resume_window=conditions.resume_window,
            open_timeout=conditions.open_timeout,
        )
        self.codecs = {name: NativeCodec(transport) for name, transport in TRANSPORTS.items()}
        self.all: list[Session] = []
        self.dirty: list[Flushable] = []
        self._begin()

    def _begin(self) -> None:
        """A process starts, and knows nothing."""
        self.clock = WorldClock(self.world)
        service = realtime.Server(clock=self.clock)._service
        service.runtime.mark = self.dirty.append  # type: ignore[method-assign, assignment]
        service.sessions.registry = Registry(self.config)
        service.sessions.handlers = self  # type: ignore[assignment]
        self.endpoint = Endpoint("/world", _handler, self.config)
        self.gate = NativeGate(service)

    @property
    def registry(self) -> Registry:
        return self.gate.service.sessions.registry

    # in the place of realtime.handlers.Handlers

    def start(self, session: realtime.Session, handler: object) -> None:
        """A session was opened."""
        machine = session._machine
        for other in self.all:
            remembered = other.ended_at + self.config.lifetime
            if not other.crashed and machine.nonce == other.machine.nonce and self.world.now < remembered:
                raise Violation("two sessions for one nonce")
        opened = Session(self, session)
        opened.machine.key = Key(f"K{len(self.all)}")
        self.all.append(opened)
        opened.app.peer = self.world.client.app
        opened.app.start()

    def ended(self, session: realtime.Session) -> None:
        """A session has ended: its application finds out by itself."""

    # requests

    def facts(self, name: str) -> realtime.SessionRequest:
        """What the gate is told of a request for this transport, or of a send."""
        return realtime.SessionRequest(method="GET" if name in ("websocket", *BY_URL) else "POST", transport=name)

    def took_up(self, session: realtime.Session, head: Open | RequestHead, newest: bool) -> None:
        """An open or attach has come in."""
        ours = self.of(session)
        if ours.machine.outcome is None and newest != (head.gen >= ours.highest):
            raise Violation(f"gen {head.gen} came after {ours.highest}; newest: {newest}")
        ours.arrived.append(head)
        ours.highest = max(ours.highest, head.gen)

    def of(self, session: realtime.Session) -> Session:
        return next(ours for ours in self.all if ours.machine is session._machine)

    def begin(self, name: str, carrier: NumberedCarrier, frames: list[Frame]) -> Begun | None:
        """A poll or a stream; None when it was refused, and told."""
        try:
            begun = at_once(self.gate.begin(self.facts(name), self.endpoint, carrier, frames))
        except Refusal as refusal:
            tell(carrier, refusal)
            return None
        self.took_up(begun.session, parse_head(frames[0]), not begun.superseded)
        return begun

    def decode(self, name: str, body: bytes) -> list[Frame]:
        decoder = TRANSPORTS[name].decoder(self.config.max_batch, self.config.max_body)
        return decoder.feed(body) + decoder.end()

    def poll(self, name: str, body: bytes, reply: Callable[[bytes], None]) -> Callable[[], None]:
        """A poll. Returns what to call when its connection is gone."""
        carrier = NumberedCarrier(self.codecs[name], AnswerLink(reply), self.world.now)
        gate = self.gate
        begun = self.begin(name, carrier, self.decode(name, body))
        return lambda: None if begun is None else gate.lost(begun.session, carrier)

    def send(self, body: bytes, reply: Callable[[bytes], None]) -> Callable[[], None]:
        """An uplink batch."""
        codec = self.codecs["long_polling"]
        carrier = NumberedCarrier(codec, NoLink(), self.world.now)
        frames = self.decode("long_polling", body)
        try:
            _, answer = at_once(self.gate.send(self.facts("send"), self.endpoint, carrier, frames))
        except Refusal as refusal:
            answer = [codec.text(refusal_frame(refusal))]
        reply(b"".join(part for part in codec.wrap(answer) if isinstance(part, bytes)))
        return lambda: None

    def flush(self) -> None:
        """See realtime.runtime.Runtime.flush(), which would report what goes wrong, and go on."""
        while self.dirty:
            dirty = self.dirty[:]
            self.dirty.clear()
            for listener in dirty:
                listener.marked = False
                listener.machine.flush(self.world.now)

    def drain(self) -> None:
        for session in self.all:
            if not session.crashed:
                session.machine.drain(0.5)
                session.may_be_drained()

    def crash(self) -> None:
        """The process dies, and another takes its place."""
        for session in self.all:
            session.crashed = True
        self.clock.stopped = True
        self.dirty.clear()
        self._begin()


async def _handler(session: object) -> None:
    """Never called: the applications of the world are."""


# -- the client's shell ------------------------------------------------------------------------------------------------


class ClientSocket:
    """A WebSocket at the client, with both its pipes. Without a carrier it is only probed."""

    def __init__(self, client: Client) -> None:
        world = client.world
        self.client = client
        self.carrier: NumberedCarrier | None = None
        self.over = False
        self.down = Pipe(world, self.receive, self._server_drained)
        self.server: ServerSocket = ServerSocket(world.server, self.down)
        self.up = Pipe(world, self.server.receive, self._writable_again)
        self.link = PipeLink(self.up, self._closed)
        if world.conditions.blocked:
            self.up.mute = self.down.mute = True

    def _server_drained(self) -> None:
        self.server.writable_again()

    def _writable_again(self) -> None:
        if self.carrier is not None:
            self.client.dirty()

    def receive(self, frame: Item) -> None:
        if self.over:
            return
        if frame is None:
            self.lost()
        elif self.carrier is not None:
            self.client.feed(self, self.carrier, frame)
        elif isinstance(frame, str) and frame[:1] == "q":
            self.client.attach(self)

    def lost(self) -> None:
        """The connection has ended, and the client noticed or gave it up."""
        self.over = True
        if self.carrier is not None:
            self.client.lost(self.carrier)
        self.link.close(1000, "")

    def _closed(self) -> None:
        # The machine found it silent, or ended.
        self.over = True
        if self.client.machine.carrier is None:
            self.client.go_on_soon(0.1)


class Stream:
    """A stream at the client. Each arrive() is a copy of its request; the client reads the answer to one of them."""

    def __init__(self, client: Client, kind: str) -> None:
        world = client.world
        self.client = client
        self.kind = kind
        self.over = False
        self.carrier = NumberedCarrier(client.codecs[kind], NoLink(self._closed), world.now)
        ticket = Key(client.machine.ticket())
        attach = client.begin(self.carrier)
        self.hello: Frame = client.hello(attach._replace(proof=ticket) if kind in BY_URL else attach)
        self.down = Pipe(world, self.receive, self._writable_again)
        self.copies: list[ServerStream] = []
        self._decoder = TRANSPORTS[kind].decoder(10_000, 1_000_000)
        self._wired = 0
        world.at(world.now + ATTACH_TIMEOUT, self._timeout)
        if world.automatic:
            self.dispatch()

    def dispatch(self) -> None:
        """Gives the request to the automatic network."""
        world, rnd = self.client.world, self.client.world.rnd
        if world.adverse and rnd.random() < world.conditions.loss:
            return
        count = 2 if world.adverse and rnd.random() < world.conditions.repeat else 1
        self._wired = rnd.randrange(count)
        if world.conditions.blocked:
            self.down.mute = True  # held back by something in between
        for _ in range(count):
            world.at(world.now + world.delay(), self.arrive)

    def arrive(self) -> None:
        """A copy reaches the server. What is answered to the others, nobody reads."""
        world = self.client.world
        down = self.down
        if len(self.copies) != self._wired:
            down = Pipe(world, lambda item: None, lambda: None)
            down.mute = True
        self.copies.append(ServerStream(world.server, self.kind, self.hello, down))
        world.settle()

    def _writable_again(self) -> None:
        for copy in self.copies[self._wired : self._wired + 1]:
            copy.writable_again()

    def receive(self, item: Item) -> None:
        if self.over:
            return
        if item is None:
            self.lost()
            return
        assert isinstance(item, bytes)
        half = len(item) // 2
        for frame in self._decoder.feed(item[:half]) + self._decoder.feed(item[half:]):
            if not self.over:
                self.client.feed(self, self.carrier, frame)

    def _timeout(self) -> None:
        if not self.carrier.attached and not self.over:
            self._leave()
            self.lost()

    def _closed(self) -> None:
        # The machine found it silent, or ended.
        self.over = True
        self._leave()
        if self.client.machine.carrier is None:
            self.client.go_on_soon(0.1)

    def _leave(self) -> None:
        """The server learns it later or never."""
        world = self.client.world
        if world.automatic and world.rnd.random() < 0.5:
            world.at(world.now + world.delay(), self.gone)

    def gone(self) -> None:
        """The server sees the connections closed."""
        for copy in self.copies:
            copy.gone()

    def lost(self) -> None:
        self.over = True
        self.client.lost(self.carrier)


class Poll:
    """A poll at the client."""

    def __init__(self, client: Client, kind: str) -> None:
        world = client.world
        self.client = client
        self.kind = kind
        self.over = False
        codec = client.codecs[kind]
        self.carrier = NumberedCarrier(codec, NoLink(self._closed), world.now)
        attach = client.begin(self.carrier)
        parts = [codec.text(client.hello(attach))]
        if client.brings(kind):
            parts += [codec.item(item) for item in client.machine.poll_items(self.carrier)]
        self.request = Request(
            world, lambda body, reply: world.server.poll(kind, body, reply), self._answered, list(codec.wrap(parts))
        )
        world.at(world.now + client.config.liveness, self._timeout)

    def _answered(self, body: bytes) -> None:
        frames = decode_batch(body, 10_000)
        numbered = 0
        for frame in frames:
            numbered += frame[:1] in ("m", "b", "c", "d", "o")
            if not self.over:
                self.client.feed(self, self.carrier, frame)
        self.over = True
        if self.carrier is self.client.machine.carrier:
            self.client.polled(self, numbered)

    def _timeout(self) -> None:
        if not self.request.over:
            self.request.abandon()
            self.lost()

    def _closed(self) -> None:
        self.over = True
        if not self.request.over:
            self.request.abandon()

    def lost(self) -> None:
        self.over = True
        self.client.lost(self.carrier)


class Client:
    """All that the client does with answers: the machine's listener, and its application."""

    def __init__(self, world: World) -> None:
        conditions = world.conditions
        self.world = world
        self.automatic = world.automatic  # starts carriers by itself
        self.config = TinyConfig(
            max_queue=conditions.client_window.messages,
            max_queue_size=conditions.client_window.size,
            max_outbox=conditions.max_outbox,
            max_outbox_size=conditions.max_outbox_size,
            max_batch=conditions.max_batch,
            max_batch_size=conditions.max_batch_size,
            max_size=10_000,
            ping_interval=conditions.ping_interval,
            ping_timeout=conditions.ping_timeout,
            resume_window=conditions.resume_window,
        )
        self.codecs = {
            "websocket": NativeCodec(WebSocketMessages(), "client"),
            "long_polling": NativeCodec(TRANSPORTS["long_polling"], "client"),
            "polling": NativeCodec(TRANSPORTS["polling"], "client"),
            **{name: NativeCodec(TRANSPORTS[name], "client") for name in STREAMS},
        }
        self.deadlines = Deadlines()
        # Drawn apart: nothing else in a history depends on it.
        share = random.Random(conditions.max_batch).uniform(LEAST_ACK_SHARE, 1)
        self.machine = ClientMachine(self.config, self, world.now, share)
        self.machine.outbox.window = conditions.initial_window
        self.app = App(world, self.machine, conditions.client, "C")
        self.sockets: list[ClientSocket] = []
        self.polls: list[Poll] = []
        self.streams: list[Stream] = []
        self.sends: list[Request] = []
        self.starts = 0  # carriers started, polls that brought something not counted
        self.ended_at = FOREVER
        self.unacknowledged: list[str | bytes] = []
        self._dirty = False
        self._turn = 0
        self._backoff = 0.3
        self._pause = 0.1

    # the machine's listener

    def readable(self) -> None:
        self.app.readable()

    def noted(self) -> None:
        self.app.take_notes()

    def acknowledged(self) -> None:
        """Nothing waits for it here."""

    def dirty(self) -> None:
        self._dirty = True

    def changed(self, before: State, after: State) -> None:
        """Nothing waits for it here."""

    def may_be_drained(self) -> None:
        """A client never drains by itself."""

    def ended(self) -> None:
        self.ended_at = self.world.now
        self.unacknowledged = self.machine.outbox.unacknowledged()
        if self.machine.final_ack:
            self._final_ack(3)

    def wake(self, when: float) -> None:
        self.deadlines.schedule(self.machine, when)
        self.world.sweep_by(self.deadlines)

    # carriers

    def hello(self, attach: Attach) -> str:
        if attach.sid:
            return attach_frame(attach)
        rooms: dict[str, str] | None = {} if self.world.conditions.rooms else None
        return open_frame(NONCE, attach.gen, self.config.window, ["websocket", "long_polling"], rooms=rooms)

    def begin(self, carrier: NumberedCarrier) -> Attach:
        """Gives the session to a carrier."""
        return self.machine.start(carrier, self.world.now)

    def brings(self, kind: str) -> bool:
        """Whether messages go up with a poll."""
        return self.world.conditions.poll_brings or kind == "polling"

    def start(self, kind: str) -> ClientSocket | Stream | Poll:
        """Starts a carrier; those before are read until they end."""
        self._turn += 1
        self.starts += 1
        if kind == "websocket":
            return self.attach(self.probe(silent=True))
        if kind in STREAMS:
            self.streams.append(Stream(self, kind))
            return self.streams[-1]
        poll = Poll(self, kind)
        self.polls.append(poll)
        return poll

    def websocket(self) -> ClientSocket:
        socket = self.start("websocket")
        assert isinstance(socket, ClientSocket)
        return socket

    def poll(self, kind: str = "long_polling") -> Poll:
        poll = self.start(kind)
        assert isinstance(poll, Poll)
        self.world.settle()
        return poll

    def stream(self, kind: str = "xhr_streaming") -> Stream:
        stream = self.start(kind)
        assert isinstance(stream, Stream)
        self.world.settle()
        return stream

    def probe(self, *, silent: bool = False) -> ClientSocket:
        """Opens a WebSocket and pings; attach() follows when the pong comes."""
        socket = ClientSocket(self)
        self.sockets.append(socket)
        if not silent:
            socket.up.write("p")
        return socket

    def attach(self, socket: ClientSocket) -> ClientSocket:
        if self.machine.outcome is not None:
            socket.lost()
            return socket
        self._turn += 1
        carrier = NumberedCarrier(self.codecs["websocket"], socket.link, self.world.now)
        attach = self.begin(carrier)
        socket.carrier = carrier
        socket.up.write(self.hello(attach))

        def timeout() -> None:
            if not carrier.attached and not socket.over:
                socket.lost()

        self.world.at(self.world.now + ATTACH_TIMEOUT, timeout)
        self.world.settle()
        return socket

    def feed(self, owner: ClientSocket | Stream | Poll | None, carrier: NumberedCarrier, frame: Frame) -> None:
        """One frame from the server."""
        machine, now = self.machine, self.world.now
        if machine.outcome is not None:
            return
        kind = frame[:1]
        if kind == "x":
            refusal = parse_refusal(str(frame))
            if refusal.scope == "session":
                machine.refused(carrier, refusal.code, refusal.received, refusal.reason, now)
            if owner is not None and self.ended_at == FOREVER:
                owner.lost()
        elif kind == "e":
            assert owner is not None
            if frame == "erecycled" and isinstance(owner, Stream):
                self.recycled(owner)
                return
            if carrier is machine.carrier:
                self._backoff = min(self._backoff * 2, 10)
            owner.lost()
        else:
            if kind == "o":
                opened = Opened.parse(str(frame)[1:])
                if machine.sid in ("", opened.sid):
                    frames, size = opened.max_batch
                    machine.server = dataclasses.replace(
                        self.config, max_batch=frames, max_batch_size=max(1, (size - 65_536) // 6)
                    )
            feed_client(machine, carrier, frame, now)
            if kind == "o":
                self.world.bind(machine.sid)
            if carrier.finished and owner is not None:
                owner.over = True
            if carrier is machine.carrier and carrier.attached and now > carrier.started + 10:
                self._backoff = 0.3

    def lost(self, carrier: NumberedCarrier) -> None:
        """A carrier has ended. If it was the newest, another follows."""
        newest = carrier is self.machine.carrier
        if self.machine.outcome is None:
            self.machine.lost(carrier, self.world.now)
            if newest:
                self.go_on_soon(self._backoff * self.world.rnd.random())

    def recycled(self, stream: Stream) -> None:
        """A stream has brought enough: another follows at once."""
        stream.over = True
        newest = stream.carrier is self.machine.carrier
        self.machine.lost(stream.carrier, self.world.now)
        if newest:
            self.starts -= 1
            self.go_on_soon(0.0, stream.kind)

    def polled(self, poll: Poll, numbered: int) -> None:
        """The newest poll was answered: when is the next?"""
        if numbered:
            self.starts -= 1
            self._pause = 0.1
        else:
            self._pause = min(self._pause * 2, 1.0)
        self.go_on_soon(0.0 if poll.kind == "long_polling" else self._pause, poll.kind)

    def go_on_soon(self, wait: float, kind: str | None = None) -> None:
        turn = self._turn

        def go_on() -> None:
            if self.automatic and turn == self._turn and self.machine.outcome is None:
                rnd, kinds = self.world.rnd, self.world.conditions.kinds
                same = kind is not None and rnd.random() < (0.9 if self.world.adverse else 1.0)
                chosen = kind if kind is not None and same else rnd.choice(kinds)
                if chosen in BY_URL and self.machine.sid and not self.machine.ticket():
                    self.ask(chosen)
                else:
                    self.start(chosen)

        self.world.at(self.world.now + wait, go_on)

    def ask(self, kind: str) -> None:
        """Asks for tickets by a send of its own, and starts this carrier when they have come."""
        world, codec, machine = self.world, self.codecs["long_polling"], self.machine
        self._turn += 1
        parts = [*uplink_frames(codec, machine.aside()), codec.text(f"{ATTACH}{machine.gen + 1}")]

        def answered(body: bytes) -> None:
            for frame in decode_batch(body, 10_000):
                self.feed(None, NumberedCarrier(codec, NoLink(), world.now), frame)
            self.go_on_soon(0.0, kind)

        request = Request(world, world.server.send, answered, list(codec.wrap(parts)))
        self.sends.append(request)

        def timeout() -> None:
            if not request.over:
                request.abandon()
                self.go_on_soon(0.0, kind)

        world.at(world.now + POST_TIMEOUT, timeout)

    # uplink

    def flush(self) -> bool:
        if not self._dirty:
            return False
        self._dirty = False
        self.machine.flush(self.world.now)
        batch = self.machine.uplink(self.world.now)
        if batch is not None:
            self._post(batch)
        return True

    def _post(self, batch: Uplink) -> None:
        world, codec = self.world, self.codecs["long_polling"]
        carrier = NumberedCarrier(codec, NoLink(), world.now)

        def answered(body: bytes) -> None:
            if self.machine.outcome is None:
                self.machine.uplink_answered(batch, world.now)
                for frame in decode_batch(body, 10_000):
                    self.feed(None, carrier, frame)

        request = Request(world, world.server.send, answered, list(codec.wrap(uplink_frames(codec, batch))))
        self.sends.append(request)

        def timeout() -> None:
            if not request.over:
                request.abandon()
                self.machine.uplink_lost(batch)

        world.at(world.now + POST_TIMEOUT, timeout)

    def _final_ack(self, again: int) -> None:
        """The server's close is acked by a send; up to three more are tried."""
        world, codec, machine = self.world, self.codecs["long_polling"], self.machine
        batch = machine.aside()
        request = Request(world, world.server.send, lambda body: None, list(codec.wrap(uplink_frames(codec, batch))))
        self.sends.append(request)
        if again:
            world.at(world.now + POST_TIMEOUT, lambda: None if request.over else self._final_ack(again - 1))


# -- the world ---------------------------------------------------------------------------------------------------------


def _body(codec: NativeCodec, parts: Sequence[Part]) -> bytes:
    return b"".join(part for part in codec.wrap(parts) if isinstance(part, bytes))


def _picture(machine: NumberedMachine) -> tuple[object, ...]:
    """All that a request could change of a session."""
    outbox, inbox = machine.outbox, machine.inbox
    return (
        (machine.outcome, machine.state, machine.used, machine.gen, machine.transport, machine.carrier),
        (machine.contact, machine.absent_at, machine.closing, machine.peer_last),
        (outbox.last, outbox.acked, outbox.taken, inbox.received, inbox.ack(), len(inbox)),
    )


class World:
    """Everything, and time."""

    def __init__(
        self,
        conditions: Conditions,
        seed: int = 0,
        *,
        automatic: bool = True,
        client: Callable[[World], Client] | None = None,
    ) -> None:
        self.conditions = conditions
        self.rnd = random.Random(seed)
        self.automatic = automatic
        self.now = 0.0
        self.steps = 0
        self.crashed = False
        self.drained = False
        self.forged = 0
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._sweeps: dict[Deadlines, float] = {}
        self.server = Server(self)
        self.client = (client or Client)(self)
        self.session: Session | None = None  # the one whose sid the client has
        self.bound = FOREVER  # since when

    def bind(self, sid: str) -> None:
        """The client has a sid: from here on both ends are held to each other."""
        if self.session is None and sid:
            self.session = next(session for session in self.server.all if session.machine.sid == sid)
            self.bound = self.now
            self.client.app.peer = self.session.app
            self.client.app.start()

    # time

    def at(self, when: float, action: Callable[[], object]) -> None:
        self.steps += 1
        heapq.heappush(self._heap, (max(when, self.now), self.steps, action))

    def sweep_by(self, deadlines: Deadlines) -> None:
        """Makes sure that `deadlines` run in time."""
        when = max(deadlines.next(), self.now)
        if when < self._sweeps.get(deadlines, FOREVER):
            self._sweeps[deadlines] = when
            self.at(when, lambda: self._sweep(deadlines, when))

    def _sweep(self, deadlines: Deadlines, when: float) -> None:
        if self._sweeps.get(deadlines) == when:
            del self._sweeps[deadlines]
            if deadlines is self.client.deadlines:
                deadlines.run(self.now)
                if deadlines.next() < FOREVER:
                    self.sweep_by(deadlines)

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Lets everything happen that happens by `until`."""
        heap = self._heap
        budget = self.steps + 60_000
        while heap and heap[0][0] <= until and not stop():
            self.now, _, action = heapq.heappop(heap)
            if action() is not IDLE:
                self.settle()
            if self.steps > budget:
                raise Violation("livelock: too much happens")
        self.now = max(self.now, until) if not stop() else self.now

    def settle(self) -> None:
        """Flushes who is dirty, as a loop does at the end of its tick."""
        while self.client.flush() or self.server.dirty:
            self.server.flush()
        self.check()

    # the network's moods

    @property
    def adverse(self) -> bool:
        return self.conditions.begin <= self.now < self.conditions.until

    def delay(self, share: float = 1.0) -> float:
        """How long something is under way. `share`: how much of the lateness applies."""
        conditions = self.conditions
        delay = self.rnd.random() * conditions.delay
        if self.adverse and self.rnd.random() < conditions.late * share:
            delay += self.rnd.random() * conditions.lateness
        return delay

    # the adversary

    def fault(self) -> None:
        """Something bad, or only something unusual."""
        rnd, client = self.rnd, self.client
        if client.machine.outcome is not None:
            return
        sockets = [socket for socket in client.sockets[-3:] if not socket.over]
        streams = [stream for stream in client.streams[-3:] if not stream.over]
        choice = rnd.random()
        if streams and (not sockets or rnd.random() < 0.5) and choice < 0.5:
            stream = rnd.choice(streams)
            how = rnd.random()
            if how < 0.4:
                self.cut_stream(stream)
            elif how < 0.6:
                stream.down.mute = True
            else:
                stream.down.held_until = self.now + rnd.random() * 8
        elif sockets and choice < 0.5:
            socket = rnd.choice(sockets)
            how = rnd.random()
            if how < 0.4:
                self.cut(socket)
            elif how < 0.6:
                rnd.choice((socket.up, socket.down)).mute = True
            elif how < 0.7:
                socket.up.mute = socket.down.mute = True
            else:
                rnd.choice((socket.up, socket.down)).held_until = self.now + rnd.random() * 8
        elif choice < 0.65:
            client.probe()
        elif choice < 0.8:
            client.start(rnd.choice(self.conditions.kinds))
        elif choice < 0.85 and self.conditions.crash:
            self.crash()

    def forge(self, rnd: random.Random) -> None:
        """Somebody who knows the sid, and all URLs that have arrived, says what was never said: nothing changes."""
        if self.session is None or self.session.crashed:
            return
        machine, server = self.session.machine, self.server
        gen = machine.gen + rnd.choice((-1, 0, 1, 2))
        first = machine.inbox.received + rnd.choice((0, 1))
        shown = Key(rnd.choice(("", "K", "nobody's", machine.key + "x", machine.key.lower())))
        head = RequestHead(machine.sid, max(1, gen), machine.outbox.last, 0, first or 1, shown)
        logged = [head for head in self.session.arrived if isinstance(head, RequestHead) and head.proof != machine.key]
        name = rnd.choice(("websocket", *STREAMS, "long_polling", "polling", "send"))
        if name in BY_URL and logged:
            head = rnd.choice(logged)
            change = rnd.choice(("gen", "received", "taken", "first"))
            head = head._replace(**{change: getattr(head, change) + rnd.choice((1, 2, 7))})
        elif name in BY_URL:
            head = head._replace(proof=rnd.choice((machine.key, shown)))
        before = _picture(machine)
        said: list[bytes] = []
        attach = attach_frame(Attach(head.sid, head.gen, head.received, head.taken, head.first, head.proof))
        if name == "send":
            codec = server.codecs["long_polling"]
            forged = [Outgoing.message("forged")]
            batch = Uplink(head.sid, head.received, head.taken, head.first, forged, None, head.proof)
            server.send(_body(codec, uplink_frames(codec, batch)), said.append)
        elif name in ("long_polling", "polling"):
            codec = server.codecs[name]
            server.poll(name, _body(codec, [codec.text(attach), codec.text("mforged")]), said.append)
        else:
            down = Pipe(self, lambda item: None, lambda: None)
            down.mute = True
            if name == "websocket":
                ServerSocket(server, down).receive(attach)
            else:
                ServerStream(server, name, attach, down)
        if _picture(machine) != before:
            raise Violation(f"a forged {name} changed the session: {attach}")
        self.forged += 1

    def cut(self, socket: ClientSocket) -> None:
        """A WebSocket breaks: what was under way is lost, or not; each side notices soon, late or never."""
        rnd = self.rnd
        for pipe in (socket.up, socket.down):
            if rnd.random() < 0.5:
                pipe.cut()
            else:
                self.at(self.now + rnd.random() * 3, pipe.cut)
        if rnd.random() < 0.7:
            self.at(self.now + rnd.random() * 3, lambda: None if socket.over else socket.lost())
        if rnd.random() < 0.6:
            self.at(self.now + rnd.random() * 3, socket.server.gone)

    def cut_stream(self, stream: Stream) -> None:
        """A stream breaks: what was under way is lost, or not; each side notices soon, late or never."""
        rnd = self.rnd
        if rnd.random() < 0.5:
            stream.down.cut()
        else:
            self.at(self.now + rnd.random() * 3, stream.down.cut)
        if rnd.random() < 0.7:
            self.at(self.now + rnd.random() * 3, lambda: None if stream.over else stream.lost())
        if rnd.random() < 0.6:
            self.at(self.now + rnd.random() * 3, stream.gone)

    def crash(self) -> None:
        """The server loses everything."""
        self.crashed = True
        self.server.crash()
        for stream in self.client.streams:
            stream.down.cut()
            if self.rnd.random() < 0.5 and not stream.over:
                self.at(self.now + self.rnd.random(), lambda s=stream: None if s.over else s.lost())  # type: ignore[misc]
        for socket in self.client.sockets:
            socket.up.cut()
            socket.down.cut()
            if self.rnd.random() < 0.5 and not socket.over:
                self.at(self.now + self.rnd.random(), lambda s=socket: None if s.over else s.lost())  # type: ignore[misc]

    def drain(self) -> None:
        self.drained = True
        self.server.drain()

    def heal(self) -> None:
        """From now on the network is good, and moves by itself."""
        self.conditions.until = self.now
        self.conditions.blocked = False
        self.automatic = self.client.automatic = True
        for socket in self.client.sockets:
            for pipe in (socket.up, socket.down):
                pipe.mute = False
                pipe.held_until = 0.0
                pipe.kick()
        for stream in self.client.streams:
            if not stream.over and not stream.copies:
                stream.dispatch()
            stream.down.mute = False
            stream.down.held_until = 0.0
            stream.down.kick()
        for exchange in [*self.client.sends, *(poll.request for poll in self.client.polls)]:
            if not exchange.over and not exchange.answers:
                exchange.dispatch()
            elif not exchange.over and exchange.answers[0] is not None:
                self.at(self.now, exchange.answer)
        client = self.client
        newest = client.machine.carrier
        if newest is None or any(poll.carrier is newest and poll.request.over for poll in client.polls):
            client.go_on_soon(0.0)
        for app in (client.app, *(session.app for session in self.server.all)):
            app.readable()
        self.settle()

    # promises

    def check(self) -> None:
        """What must hold after every step."""
        client = self.client.machine
        apps = [self.client.app]
        if self.session is not None:
            server = self.session.machine
            apps.append(self.session.app)
            for sender, receiver in ((client, server), (server, client)):
                outbox, inbox = sender.outbox, receiver.inbox
                if outbox.acked > inbox.received or outbox.taken > inbox.taken:
                    raise Violation(f"acked more than was received: {sender} {receiver}")
                if inbox.received > outbox.last:
                    raise Violation(f"received more than was sent: {sender} {receiver}")
                if outbox.last - outbox.taken > outbox.window.messages + (outbox.close_number is not None):
                    raise Violation(f"more sent than the window allows: {sender}")
        for app in apps:
            end = app.machine
            inbox, outbox = end.inbox, end.outbox
            if len(inbox) > inbox.window.messages or (len(inbox) > 1 and inbox.size > inbox.window.size):
                raise Violation(f"the inbox is larger than its window: {end}")
            # Beyond them: the newest and the position in front of it; a note of drops before, one behind, which went
            # with it, and one since; a close.
            if len(outbox) > max(self.conditions.max_outbox, 2) + 6:
                raise Violation(f"the outbox has more items than its limit: {end}")
            if outbox.size > max(self.conditions.max_outbox_size, app.largest) + app.largest * app.drops:
                raise Violation(f"the outbox has more bytes than its limit: {end}")

    @property
    def over(self) -> bool:
        """Whether every end has ended."""
        return self.client.machine.outcome is not None and all(
            session.crashed or session.machine.outcome is not None for session in self.server.all
        )

    def verdict(self) -> None:
        """Judges the end: both are told; clean is complete; what did not arrive is listed."""
        client = self.client.machine
        if not self.over:
            raise Violation(f"deadlock at {self.now}: {client} {[s.machine for s in self.server.all]}")
        ours = client.outcome
        assert ours is not None
        session = self.session
        if session is None:
            if not ours.clean:
                return
            # It closed before it had read the sid, and was told from the tombstone that the server received it all.
            session = self.server.all[-1]
        server = session.machine
        self._check_code("client", client, server, {4404, 4408, 4410, 4411, 4412, 1011})
        theirs = server.outcome
        for app, stalled in ((self.client.app, False), (session.app, session.crashed)):
            if app.machine.closing is None and not stalled:
                app.take()
        # Everything the server did not receive is listed.
        missing = set(self.client.app.sent[session.app.position :])
        if server.closing is None and not session.crashed:
            lost = missing - set(self.client.unacknowledged)
            if lost and not client.outbox.dropped:
                raise Violation(f"lost without being listed: {sorted(map(str, lost))}")
            if (
                self.drained
                and ours.code == 1012
                and not client.closing
                and set(self.client.unacknowledged) & (set(self.client.app.sent) - missing)
            ):
                raise Violation("drained, and something that arrived is listed as lost")
        if theirs is None:
            return
        self._check_code("server", server, client, {4408, 4410, 4411, 4412, 1011})
        for sender, receiver in ((self.client.app, session.app), (session.app, self.client.app)):
            a, b = sender.machine, receiver.machine
            assert a.outcome is not None
            assert b.outcome is not None
            if a.closing is not None and b.closing is None:
                received_all = b.inbox.received == a.outbox.last and not a.outbox.unnumbered
                if (a.outcome.clean or b.outcome.clean) and not received_all:
                    raise Violation(f"a clean close, and not all was received: {a} {b}")
                if (a.outcome.clean or b.outcome.clean) and receiver.position != len(sender.sent):
                    raise Violation(f"a clean close, and {receiver.position} of {len(sender.sent)} were delivered")
            if a.outcome.clean and a.closing is None and b.closing is None:
                raise Violation("a clean end that nobody asked for")
        calm = max(self.bound, self.conditions.until)
        if theirs.code == 4408 and min(session.ended_at, self.client.ended_at) > calm + 5:
            raise Violation("the client has the sid, the network is good, and the server never hears that it was used")
        for a, b in ((server, client), (client, server)):
            alone = a.outbox.close_number is None and a.outbox.unnumbered == 1 and b.closing is None
            if a.closing is not None and alone and self.conditions.survivable and server.used:
                raise Violation(f"a close waited for window: {a}")
        # Who has closed discards: where both have, it does not matter who takes nothing.
        both = server.closing is not None and client.closing is not None and self.conditions.survivable
        if (self.conditions.healthy or both) and not self.crashed and server.used:
            # The last ack may have been lost, with a carrier that nobody had found silent yet.
            late = (
                theirs.code in (4410, 4412)
                and server.closing is not None
                and self.client.ended_at < self.conditions.until + 6
            )
            if not ours.clean or not (theirs.clean or late):
                raise Violation(f"a healthy session ended with {ours} and {theirs}")

    @staticmethod
    def _check_code(who: str, machine: SessionMachine, peer: SessionMachine, allowed: set[int]) -> None:
        outcome = machine.outcome
        assert outcome is not None
        if outcome.clean:
            fine = outcome[:2] in (machine.closing, peer.closing)
        else:
            # A tombstone may tell the client of a close that was clean for the server; but that is never 1000.
            fine = outcome.code in allowed or (
                who == "client" and peer.closing is not None and outcome[:2] == peer.closing and outcome.code != 1000
            )
        if not fine:
            raise Violation(f"the {who} ended with {outcome}")


Change: TypeAlias = Callable[[Conditions, random.Random], None]


def play(seed: int, change: Change | None = None, client: Callable[[World], Client] | None = None) -> World:
    """One history, from its seed to its verdict. `change` makes its conditions special; `client`: another one."""
    rnd = random.Random(seed)
    drawn = draw_conditions(rnd)
    if change is not None:
        change(drawn, rnd)
    else:
        add_streams(drawn, random.Random(f"streams of {seed}"))
        drawn.rooms = random.Random(f"rooms of {seed}").random() < 0.3
    world = World(drawn, seed, client=client)

    forger = random.Random(f"forger of {seed}")

    def fault() -> None:
        if world.now < drawn.until:
            world.fault()
            world.forge(forger)
            world.at(world.now + world.rnd.random() * 2 * drawn.fault_every, fault)

    def hasten() -> None:
        # So slow an application may take longer than a close may wait; that is no fault.
        for habits in (drawn.server, drawn.client):
            habits.think, habits.bite = min(habits.think, 0.1), 99

    world.at(drawn.until + 3, hasten)
    world.at(0.0, lambda: world.client.start(world.rnd.choice(drawn.kinds)))
    if drawn.until:
        world.at(drawn.begin, fault)
    if drawn.drain_at < FOREVER:
        world.at(drawn.drain_at, world.drain)
    world.run(drawn.until + 10, lambda: world.over)
    draining = [session.machine for session in world.server.all if session.machine.state is State.DRAINING]
    if draining and drawn.healthy and world.client.machine.outcome is None:
        world.run(world.now + 20, lambda: world.over)
        if any(machine.state is State.DRAINING and machine.used for machine in draining):
            raise Violation(f"a drain does not come to its end: {draining}")
    finish(world)
    return world


def finish(world: World) -> None:
    """Whoever has not closed by now does; then the world goes on until both ends have ended, and is judged."""
    if world.client.machine.outcome is None and (world.session is None or world.session.machine.closing is None):
        world.client.app.close()
    for session in world.server.all:
        if session is not world.session and not session.crashed:
            session.app.close()
    world.settle()
    starts, began = world.client.starts, world.now
    lifetime = world.client.config.lifetime
    world.run(world.now + 90 + 4 * lifetime, lambda: world.over)
    allowed = 30 + 3 * (world.now - began)
    if world.client.starts - starts > allowed:
        raise Violation(f"livelock: {world.client.starts - starts} carriers in {world.now - began:.0f} s of calm")
    world.verdict()
