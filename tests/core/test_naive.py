"""The server's machine beside a naive one: the same frames, acks, deadlines and errors, whatever happens.

The machine knows several ways to do one thing: what is usual stands in front, written out without calls, and what is
general behind it. The naive one has a single way, keeps everything in lists, and reckons everything from them anew each
time. Nothing in it is quick, and nothing in it is kept up to date.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from realtime.core.carrier import Shape
from realtime.core.config import Config
from realtime.core.errors import Refusal, RemoteProtocolError
from realtime.core.frames import Dropped, Outgoing, Window
from realtime.core.lifecycle import State
from realtime.core.numbered_machine import NumberedMachine
from realtime.protocols.native import feed_server

from .fakes import Diary, contents, duplex, life, poll, stream

CONFIG = Config(
    max_queue=16,
    max_queue_size=65_536,
    max_size=20_000,
    max_outbox=7,
    max_outbox_size=90,
    max_batch=3,
    max_batch_size=30,
)
# Less than any server may have it, so that streams are recycled here.
object.__setattr__(CONFIG, "max_stream_size", 50)
PEER = Window(6, 40)
FOREVER = float("inf")
ACK_DELAY = 1.0


class Broken(Exception):
    """What the naive machine refuses: a close code, and why."""


class Naive:
    """A session's server end, on one carrier at a time."""

    def __init__(self, now: float) -> None:
        self.numbered: list[Outgoing] = []  # all that ever got a number, from 1
        self.waiting: list[Outgoing] = []
        self.acked = self.taken = 0
        self.came: list[tuple[float, int]] = []  # when, and how large
        self.took: list[tuple[float, int]] = []
        self.inbox: list[tuple[object, int]] = []
        self.told = 0, 0
        self.asked = 0  # the peer waits to hear that so many were taken
        self.starved_at: tuple[int, int] | None = None  # when it was last asked
        self.born = self.absent_at = now
        self.used = self.asking = False
        self.closing: tuple[int, str] | None = None
        self.close_deadline = FOREVER
        self.outcome: tuple[int, str, bool] | None = None
        self.state = State.CONNECTING
        self.shape: Shape | None = None  # of the carrier, if there is one
        self.before: Shape | None = None  # of the last there was
        self.writable = True
        self.started = self.heard = self.wrote = self.rang = now
        self.size = 0  # of what was written on it
        self.down = self.up = 1  # the numbers that come next on it
        self.ignores = self.pinged = self.greets = False
        self.writes: list[list[str]] = []

    # -- what there is -----------------------------------------------------------------------------------------------

    def owed_since(self) -> float:
        quarter, size = CONFIG.max_queue // 4, CONFIG.max_queue_size // 4
        received, taken = self.came[self.told[0] :], self.took[self.told[1] :]
        for news in (received, taken):
            if len(news) >= quarter or sum(size for _, size in news) >= size:
                return -FOREVER
        if self.told[1] < self.asked <= len(self.took):
            return -FOREVER
        return min((when for when, _ in received + taken), default=FOREVER)

    def ack_delay(self) -> float:
        return ACK_DELAY if self.shape is Shape.DUPLEX else CONFIG.hold / 2

    def deadline(self) -> float:
        if self.outcome is not None:
            return FOREVER
        when = [self.close_deadline]
        if not self.used:
            when.append(self.born + CONFIG.open_timeout)
        if self.shape is None:
            when.append(self.absent_at + CONFIG.resume_window)
            if self.state is State.OPEN:
                when.append(self.absent_at)
            return min(when)
        when.append(self.owed_since() + self.ack_delay())
        if self.shape is Shape.POLL:
            when.append(self.started + CONFIG.hold)
        elif self.shape is Shape.STREAM:
            when += [self.ring_at(), self.heard + CONFIG.silence]
        else:
            assert CONFIG.ping_interval is not None
            when.append(self.heard + (CONFIG.silence if self.pinged else CONFIG.ping_interval))
        return min(when)

    def ring_at(self) -> float:
        """When a stream is pinged next."""
        assert CONFIG.ping_interval is not None
        return min(self.wrote, max(self.heard, self.rang)) + CONFIG.ping_interval

    def worn_out(self) -> bool:
        return self.shape is Shape.STREAM and self.size >= CONFIG.max_stream_size and self.writable

    # -- the application ---------------------------------------------------------------------------------------------

    def offer(self, item: Outgoing) -> bool | None:
        kept = self.numbered[self.acked :] + self.waiting
        size = sum(one.size for one in kept) + item.size
        if kept and (len(kept) >= CONFIG.max_outbox or size > CONFIG.max_outbox_size):
            return None
        self.waiting.append(item)
        return 2 * (len(kept) + 1) >= CONFIG.max_outbox or 2 * size >= CONFIG.max_outbox_size

    def take(self, now: float) -> object:
        data, size = self.inbox.pop(0)
        self.took.append((now, size))
        return data

    def close(self, code: int, reason: str, now: float) -> None:
        if self.outcome is None and self.closing is None:
            self.closing, self.close_deadline = (code, reason), now + CONFIG.lifetime
            self.waiting.append(Outgoing.close(code, reason))
            self.state = State.CLOSING
            while self.inbox:
                self.take(now)

    # -- what comes --------------------------------------------------------------------------------------------------

    def hear(self, now: float) -> None:
        self.heard, self.pinged = now, False

    def is_next(self) -> bool:
        if self.outcome is not None or self.ignores:
            return False
        number, self.up = self.up, self.up + 1
        if number > len(self.came) + 1:
            raise Broken(1002, f"number {number} came after {len(self.came)}: a gap")
        return number == len(self.came) + 1

    def message(self, data: object, size: int, now: float) -> None:
        self.hear(now)
        if self.is_next():
            if size > CONFIG.max_size:
                raise Broken(1009, f"a message of {size} bytes is above max_size={CONFIG.max_size}")
            left = [size for _, size in self.came[len(self.took) :]]
            if left and (len(left) >= CONFIG.max_queue or sum(left) + size > CONFIG.max_queue_size):
                window = f"{CONFIG.max_queue} messages, {CONFIG.max_queue_size} bytes"
                raise Broken(1002, f"the receive window ({window}) was exceeded")
            self.came.append((now, size))
            self.inbox.append((data, size))
            if self.closing is not None:
                self.take(now)

    def acknowledge(self, received: int, taken: int, now: float) -> None:
        if received > len(self.numbered) or taken > received:
            highest = len(self.numbered)
            raise Broken(1002, f"acknowledged {received},{taken} where {highest} is the highest number sent")
        self.acked, self.taken = max(self.acked, received), max(self.taken, taken)
        if self.closing is not None and any(item.kind == "c" for item in self.numbered[: self.acked]):
            self.end(*self.closing, clean=True)

    def pinged_by_peer(self, payload: str, now: float) -> None:
        self.hear(now)
        if len(self.took) < len(self.came):
            self.asked = len(self.came)
        if self.shape is Shape.DUPLEX and self.writable:
            news = self.told != (len(self.came), len(self.took))
            self.write(([self.ack("a")] if news else []) + [f"q{payload}"])

    def closed_by_peer(self, code: int, reason: str, now: float) -> None:
        self.hear(now)
        if self.is_next():
            self.came.append((now, 0))
            self.end(code, reason, clean=True)

    # -- carriers ----------------------------------------------------------------------------------------------------

    def attach(self, shape: Shape, received: int, taken: int, first: int, now: float, *, named: bool = True) -> None:
        self.used = self.used or named
        if (received, taken) != (self.acked, self.taken):
            self.acknowledge(received, taken, now)
        if self.outcome is not None:
            return
        back = self.shape is not None or self.state is State.DETACHED or self.before not in (None, shape)
        if self.shape is Shape.POLL:
            self.write([f"r{len(self.came)},{len(self.took)}", "esuperseded"])
        elif self.shape is not None:
            self.write(["esuperseded"])
        self.shape = self.before = shape
        self.writable, self.started, self.pinged = True, now, False
        self.wrote = self.rang = now
        self.size = 0
        self.down, self.up = received + 1, first
        self.hear(now)
        self.ignores = shape is not Shape.DUPLEX and first > len(self.came) + 1
        self.greets = back and shape is Shape.POLL
        if self.state in (State.CONNECTING, State.DETACHED):
            self.state = State.OPEN
        if shape is not Shape.POLL:
            self.write([self.ack("r")])

    def lose(self, now: float) -> None:
        if self.shape is not None:
            self.shape, self.absent_at = None, now
            if self.state is State.OPEN:
                self.state = State.DETACHED

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, parts: list[str]) -> None:
        self.writes.append(parts)
        self.size += sum(map(len, parts))

    def ack(self, kind: str) -> str:
        self.told = len(self.came), len(self.took)
        return f"{kind}{len(self.came)},{len(self.took)}"

    def may(self, item: Outgoing) -> bool:
        flying = self.numbered[self.taken :]
        if item.kind == "c":
            return True
        if len(flying) >= PEER.messages:
            return False
        return not flying or sum(one.size for one in flying) + item.size <= PEER.size

    def starves(self) -> bool:
        """Whether the peer is to be asked what it has taken: it need not say before long."""
        flying, at = self.numbered[self.taken :], (len(self.numbered), self.taken)
        few = 4 * len(flying) < PEER.messages and 4 * sum(one.size for one in flying) < PEER.size
        if not flying or not few or not self.waiting or self.may(self.waiting[0]) or at == self.starved_at:
            return False
        self.starved_at = at
        return True

    def next_items(self) -> list[Outgoing]:
        """What goes in one write; `down` then says the number of the first."""
        items: list[Outgoing] = []
        for item in self.numbered[max(self.down, self.acked + 1) - 1 :]:
            if items and not self.fits(items, item):
                return items
            items.append(item)
        while self.waiting and len(items) < CONFIG.max_batch and self.may(self.waiting[0]):
            if items and not self.fits(items, self.waiting[0]):
                break
            items.append(self.waiting.pop(0))
            self.numbered.append(items[-1])
        return items

    @staticmethod
    def fits(items: list[Outgoing], item: Outgoing) -> bool:
        size = sum(one.size for one in items) + item.size
        return len(items) < CONFIG.max_batch and size <= CONFIG.max_batch_size

    def said(self, items: list[Outgoing]) -> list[str]:
        first = max(self.down, self.acked + 1)
        renumbered = [f"n{first}"] if items and first != self.down else []
        if items:
            self.down = first + len(items)
        return renumbered + [
            f"c{item.code},{item.data!s}" if item.kind == "c" else contents([item])[0] for item in items
        ]

    def flush(self, now: float) -> None:
        if self.outcome is not None or self.shape is None:
            return
        if self.shape is Shape.POLL:
            items, asks = self.next_items(), ["p"] if self.starves() else []
            due = self.greets or now >= min(self.owed_since() + self.ack_delay(), self.started + CONFIG.hold)
            if items or due or asks:
                said = self.said(items)
                self.write([self.ack("r"), *said, *asks])
                self.shape, self.absent_at = None, now + CONFIG.poll_grace
            return
        before, worn_out = self.size, self.worn_out()
        while self.writable and not (self.size == before and self.worn_out()):
            items = self.next_items()
            news = self.told != (len(self.came), len(self.took))
            delay = self.ack_delay() / 4 if items else self.ack_delay()
            acks = [self.ack("a")] if news and (self.closing or now >= self.owed_since() + delay) else []
            parts = acks + self.said(items)
            if not parts:
                break
            self.write(parts)
        if not worn_out and self.starves():
            self.asking = True
        if self.asking and self.writable and not (self.size == before and self.worn_out()):
            self.asking = False
            self.write(["p"])
        if self.size > before:
            self.wrote = now
        if self.worn_out():
            self.write(["erecycled"])
            self.shape, self.absent_at = None, now + CONFIG.poll_grace

    # -- time, and the end -------------------------------------------------------------------------------------------

    def end(self, code: int, reason: str, *, clean: bool = False) -> None:
        if self.outcome is None:
            self.outcome, self.state = (code, reason, clean), State.CLOSED
            if self.shape is not None:
                kind = "r" if self.shape is Shape.POLL else "a"
                self.write([self.ack(kind), f"x{code},session,{len(self.came)},{reason}"])
                self.shape = None

    def expire(self, now: float) -> None:
        if self.outcome is not None:
            return
        if not self.used and now >= self.born + CONFIG.open_timeout:
            self.end(4408, "the session was opened and never used")
        elif now >= self.close_deadline:
            self.end(4412, "the close was not acknowledged in time")
        elif self.shape is None:
            if now >= self.absent_at + CONFIG.resume_window:
                self.end(4410, "no carrier came within the resume window")
            elif now >= self.absent_at and self.state is State.OPEN:
                self.state = State.DETACHED
        else:
            assert CONFIG.ping_interval is not None
            if self.shape is not Shape.POLL and now >= self.heard + CONFIG.silence:
                self.lose(now)
            elif self.shape is Shape.STREAM and now >= self.ring_at() and self.writable:
                self.wrote = self.rang = now
                self.write(["p"])
            elif self.shape is Shape.DUPLEX and now >= self.heard + CONFIG.ping_interval and not self.pinged:
                self.pinged = True
                if self.writable:
                    self.write(["p"])
            self.flush(now)


class Listening(Diary):
    """A listener that is asked for time, as the runtime is."""

    machine: NumberedMachine

    def wake(self, when: float) -> None:
        """See core.deadlines."""
        super().wake(when)
        self.machine.wake_at = when


# What no machine takes.
BAD = {
    "": (1002, "an empty frame"),
    "o{}": (1002, "o can only be the first frame"),
    "m\ud800": (1007, "text with a lone surrogate; replace it by U+FFFD"),
    "b?": (1007, "a binary message that is not base64 (RFC 4648 section 4)"),
    "a1": (1002, "a is not a number: ''"),
    "n-1": (1002, "n is not a number: '-1'"),
    "c1005,": (1002, "no clean close has the code 1005"),
}
FEW = st.integers(0, 3)
KINDS: dict[str, Any] = {"long_polling": poll, "websocket": duplex, "xhr_streaming": stream}


class BothWays(RuleBasedStateMachine):
    """Everything is done to both; then both are looked at."""

    machine: NumberedMachine

    @initialize(kind=st.sampled_from(["websocket", "xhr_streaming"]))
    def begin(self, kind: str) -> None:
        self.now = 100.0
        self.listener = Listening()
        self.machine = self.listener.machine = NumberedMachine(CONFIG, PEER, self.listener, self.now, sid="s")
        self.naive = Naive(self.now)
        self.carrier, self.link = KINDS[kind](self.now, name=kind)
        self.machine.open(self.carrier, 1, self.now)
        self.naive.attach(self.carrier.codec.shape, 0, 0, 1, self.now, named=False)
        self.settle()

    def both(self, real: Any, naive: Any) -> Any:
        """Does the same to both; what one of them refuses, the other does, in the same words."""
        told = why = None
        refused: Any = None
        try:
            told = real()
        except RemoteProtocolError as error:
            why = error
        try:
            assert naive() == told
        except Broken as broken:
            refused = broken.args
        assert refused == (None if why is None else (why.close_code, why.reason))
        if why is not None:
            self.naive.end(*refused)
            self.machine.fail(why, self.now)
        self.settle()
        return told

    def settle(self) -> None:
        """What the runtime would do in this turn, to both; then both are the same."""
        machine, naive, now = self.machine, self.naive, self.now
        dirty = True
        while dirty:
            if machine.wake_at <= now:
                machine.wake_at = -FOREVER
                machine.expire(now)
                naive.expire(now)
                machine.wake_at = FOREVER
                when = machine.deadline()
                machine.wake_at = when if when > now else now + 0.25
            dirty = "dirty" in self.listener.read()
            if dirty:
                machine.flush(now)
                naive.flush(now)
        self.compare()

    def compare(self) -> None:
        machine, naive = self.machine, self.naive
        writes, self.link.writes[:] = [list(write) for write in self.link.writes], []
        said, naive.writes = naive.writes, []
        assert writes == said
        assert life(machine) is naive.state
        assert (None if machine.outcome is None else tuple(machine.outcome)) == naive.outcome
        assert machine.deadline() == naive.deadline()
        inbox, outbox = machine.inbox, machine.outbox
        assert (inbox.received, inbox.taken, len(inbox)) == (len(naive.came), len(naive.took), len(naive.inbox))
        assert (outbox.acked, outbox.taken, outbox.last) == (naive.acked, naive.taken, len(naive.numbered))
        kept = naive.numbered[naive.acked :] + naive.waiting
        assert (len(outbox), outbox.size) == (len(kept), sum(item.size for item in kept))
        if naive.outcome is None:
            assert inbox.owed_since == naive.owed_since()
            assert machine.wake_at <= naive.deadline() or naive.deadline() <= self.now
            # Nothing is left that could be written now, and nobody was asked to write.
            more = copy.copy(naive)
            more.numbered, more.waiting, more.writes = naive.numbered[:], naive.waiting[:], []
            more.flush(self.now)
            if naive.closing is None:  # behind a close acks go with whatever is written next
                assert more.writes == []

    @property
    def alive(self) -> bool:
        return self.naive.outcome is None

    @property
    def fed(self) -> bool:
        return self.alive and (not self.carrier.finished or self.carrier.codec.shape is Shape.POLL)

    def feed(self, frame: str | bytes, naive: Any) -> None:
        self.both(lambda: feed_server(self.machine, self.carrier, frame, self.now), naive)

    # -- the application

    @precondition(lambda self: self.alive and self.naive.closing is None)
    @rule(size=st.sampled_from([0, 1, 10, 30, 45, 60]), count=st.integers(1, 4))
    def send(self, size: int, count: int) -> None:
        for _ in range(count):
            item = Outgoing.message("x" * size)
            self.both(lambda item=item: self.machine.offer(item), lambda item=item: self.naive.offer(item))

    @precondition(lambda self: self.alive and self.naive.inbox)
    @rule(count=st.integers(1, 5))
    def take(self, count: int) -> None:
        for _ in range(min(count, len(self.naive.inbox))):
            self.both(lambda: self.machine.take(self.now), lambda: self.naive.take(self.now))

    @precondition(lambda self: self.alive)
    @rule()
    def ask(self) -> None:
        self.naive.asking = True
        self.both(self.machine.ask_for_acks, lambda: None)

    @precondition(lambda self: self.alive)
    @rule(seldom=st.integers(0, 5))
    def close(self, seldom: int) -> None:
        if not seldom:
            self.both(
                lambda: self.machine.close(3000, "bye", self.now), lambda: self.naive.close(3000, "bye", self.now)
            )

    # -- the peer

    @precondition(lambda self: self.fed)
    @rule(size=st.sampled_from([0, 1, 1, 5000, 16_384, 20_001]), count=st.integers(1, 5), kind=st.sampled_from("mé"))
    def messages(self, size: int, count: int, kind: str) -> None:
        for _ in range(count if self.fed else 0):
            text = kind * (size // len(kind.encode()))
            self.feed("m" + text, lambda text=text: self.naive.message(text, len(text.encode()), self.now))

    @precondition(lambda self: self.fed)
    @rule(base64=st.booleans())
    def binary(self, base64: bool) -> None:
        self.feed("bAQI=" if base64 else b"\1\2", lambda: self.naive.message(b"\1\2", 2, self.now))

    @precondition(lambda self: self.fed)
    @rule(count=st.integers(1, 9))
    def note_of_drops(self, count: int) -> None:
        self.feed(f"d{count}", lambda: self.naive.message(Dropped(count), 0, self.now))

    @precondition(lambda self: self.fed)
    @rule(back=st.integers(-1, 3))
    def renumber(self, back: int) -> None:
        number = max(0, len(self.naive.came) + 1 - back)

        def naive() -> None:
            self.naive.hear(self.now)
            self.naive.up = number

        self.feed(f"n{number}", naive)

    @precondition(lambda self: self.fed)
    @rule(received=FEW, taken=FEW)
    def ack(self, received: int, taken: int) -> None:
        ack = self.naive.acked + received, self.naive.taken + taken

        def naive() -> None:
            self.naive.hear(self.now)
            self.naive.acknowledge(*ack, self.now)
            self.naive.used = True

        self.feed(f"a{ack[0]},{ack[1]}", naive)

    @precondition(lambda self: self.fed and self.naive.shape is not Shape.STREAM)  # where pings come by sends
    @rule(payload=st.sampled_from(["", "7"]))
    def ping(self, payload: str) -> None:
        self.feed(f"p{payload}", lambda: self.naive.pinged_by_peer(payload, self.now))

    @precondition(lambda self: self.fed)
    @rule(frame=st.sampled_from(["q", "q7", "z what nobody knows yet"]))
    def says_nothing(self, frame: str) -> None:
        self.feed(frame, lambda: self.naive.hear(self.now))

    @precondition(lambda self: self.fed)
    @rule(frame=st.sampled_from(sorted(BAD)), seldom=st.integers(0, 5))
    def nonsense(self, frame: str, seldom: int) -> None:
        def naive() -> None:
            self.naive.hear(self.now)
            raise Broken(*BAD[frame])

        if not seldom:
            self.feed(frame, naive)

    @precondition(lambda self: self.fed)
    @rule(seldom=st.integers(0, 5))
    def close_of_the_peer(self, seldom: int) -> None:
        if not seldom:
            self.feed("c4000,bye", lambda: self.naive.closed_by_peer(4000, "bye", self.now))

    # -- carriers

    @precondition(lambda self: self.alive)
    @rule(kind=st.sampled_from(sorted(KINDS)), received=FEW, taken=FEW, back=st.integers(-1, 2), alone=st.booleans())
    def attach(self, kind: str, received: int, taken: int, back: int, alone: bool) -> None:
        received = min(self.naive.acked + received, len(self.naive.numbered))
        taken = min(max(self.naive.taken, taken), received)
        first = max(1, len(self.naive.came) + 1 - back)
        carrier, link = KINDS[kind](self.now, name=kind)
        before, self.carrier, self.link = self.link, carrier, link
        gen, shape = self.machine.gen + 1, carrier.codec.shape

        def real() -> None:
            try:
                self.machine.attach(carrier, gen, received, taken, first, self.now, alone=alone)
            except Refusal:
                assert self.machine.outcome is not None
            link.writes[:0], before.writes[:] = before.writes, []

        def naive() -> None:
            self.naive.attach(shape, received, taken, first, self.now)
            if alone and shape is Shape.POLL and self.naive.outcome is None:
                self.naive.flush(self.now)

        self.both(real, naive)

    @precondition(lambda self: self.alive)
    @rule()
    def cut(self) -> None:
        if self.machine.carrier is not None:
            self.both(lambda: self.machine.lost(self.carrier, self.now), lambda: self.naive.lose(self.now))

    @precondition(lambda self: self.alive and self.naive.shape in (Shape.DUPLEX, Shape.STREAM))
    @rule(writable=st.booleans())
    def the_link(self, writable: bool) -> None:
        self.link.writable = self.naive.writable = writable
        self.both(lambda: self.listener.dirty() if writable else None, lambda: None)

    # -- time

    @precondition(lambda self: not self.alive)
    @rule(kind=st.sampled_from(["websocket", "xhr_streaming"]))
    def begin_anew(self, kind: str) -> None:
        self.begin(kind)

    @precondition(lambda self: self.alive)
    @rule(seconds=st.sampled_from([0.0, 0.25, 0.3, 1.0, 5.0, 20.0, 21.0, 50.0, 130.0]))
    def wait(self, seconds: float) -> None:
        """As the runtime has it: whoever wants to be looked at is, whenever that is."""
        until = self.now + seconds
        while self.machine.wake_at <= until:
            self.now = max(self.now, self.machine.wake_at)
            self.settle()
        self.now = until
        self.compare()


BothWays.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestBothWays = BothWays.TestCase
