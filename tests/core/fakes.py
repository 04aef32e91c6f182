"""Stand-ins for what a machine stands on: a Link that records, a Codec whose parts can be read, a Listener that keeps
a diary. Shared by the tests of core/ and protocols/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from realtime.core.carrier import Capabilities, NumberedCarrier, Part, Shape
from realtime.core.config import Config
from realtime.core.frames import CLOSE, DROPPED, Outgoing, RoomItem, RoomNote, Window
from realtime.core.lifecycle import State
from realtime.core.machine import SessionMachine
from realtime.core.outbox import Outbox

# Half a window is 8 messages, a quarter is 4; a quarter of the bytes is 16,384.
SMALL = Config(max_queue=16, max_queue_size=65_536)
# A peer's window that no test fills by chance.
WIDE = Window(100, 100_000)


class FakeLink:
    """A carrier's I/O that remembers what it was told."""

    def __init__(self) -> None:
        self.writable = True
        self.writes: list[list[Part]] = []  # one entry a write
        self.closed: tuple[int, str] | None = None
        self.closes = 0
        self.aborted = False

    def write(self, buffers: Sequence[Part]) -> None:
        """Records buffers."""
        assert self.closed is None, "written after the close"
        self.writes.append(list(buffers))

    def close(self, code: int, reason: str) -> None:
        """Records the end."""
        self.closed = code, reason
        self.closes += 1

    def abort(self) -> None:
        """Records the cut."""
        self.aborted = True

    @property
    def said(self) -> list[Part]:
        """All parts since the last call, whatever writes they came in."""
        parts = [part for write in self.writes for part in write]
        self.writes.clear()
        return parts


class FakeCodec:
    """Parts in words; a flush is written part by part."""

    def __init__(
        self,
        shape: Shape = Shape.DUPLEX,
        *,
        held: bool = False,
        capabilities: Capabilities | None = None,
        name: str = "fake",
    ) -> None:
        self.name = name
        self.key = f"fake {id(self)}"
        self.shape = shape
        self.held = held
        self.capabilities = capabilities or Capabilities()

    def item(self, item: Outgoing) -> Part:
        """m, b, d or c."""
        if item.kind == CLOSE:
            return f"c{item.code},{item.data!s}"
        if item.kind == DROPPED:
            return f"d{item.code}"
        return f"{item.kind}{item.data!s}"

    def number(self, number: int) -> Part:
        """n."""
        return f"n{number}"

    def ack(self, received: int, taken: int) -> Part:
        """a."""
        return f"a{received},{taken}"

    def attach_answer(self, received: int, taken: int) -> Part:
        """r."""
        return f"r{received},{taken}"

    def ping(self) -> Part:
        """p."""
        return "p"

    def pong(self, payload: str) -> Part:
        """q."""
        return "q" + payload

    def end_of_carrier(self, reason: str) -> Part:
        """e."""
        return "e" + reason

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """x."""
        return f"x{code},{scope},{'' if received is None else received},{reason}"

    def go_away(self, value: float) -> Part:
        """g."""
        return f"g{value}"

    def room(self, told: RoomItem | RoomNote | str) -> Part:
        """l."""
        if isinstance(told, str):
            return f"l{told}"
        said = f"l{told.room},{told.cursor}"
        if isinstance(told, RoomItem):
            return f"{said},m{told.data!s}"
        return said if told.missing is None else f"{said},d{told.missing}"

    def cursors(self, gen: int, rooms: Mapping[str, str]) -> Part:
        """l."""
        return ",".join([f"l{gen}", *(f"{room},{cursor}" for room, cursor in rooms.items())])

    def rooms_taken(self, gen: int, count: int) -> Part:
        """f."""
        return f"f{gen},{count}"

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """As they are."""
        return parts


class Diary:
    """A Listener that writes down what it is told."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.woken: list[float] = []
        self.moves: list[tuple[State, State]] = []

    def noted(self) -> None:
        """Written down."""
        self.entries.append("noted")

    def readable(self) -> None:
        """Written down."""
        self.entries.append("readable")

    def acknowledged(self) -> None:
        """Written down."""
        self.entries.append("acknowledged")

    def dirty(self) -> None:
        """Written down."""
        self.entries.append("dirty")

    def changed(self, before: State, after: State) -> None:
        """Written down, and the move apart."""
        self.entries.append("changed")
        self.moves.append((before, after))

    def may_be_drained(self) -> None:
        """Written down."""
        self.entries.append("may_be_drained")

    def ended(self) -> None:
        """Written down."""
        self.entries.append("ended")

    def wake(self, when: float) -> None:
        """The time is written down; the machine goes on asking for earlier ones."""
        self.woken.append(when)

    def read(self) -> list[Any]:
        """The entries since the last call."""
        entries, self.entries = self.entries, []
        return entries


def life(machine: SessionMachine) -> State:
    """The state as it is now. (A type checker believes that an attribute stays what it was compared with.)"""
    return machine.state


def duplex(now: float = 0.0, **options: Any) -> tuple[NumberedCarrier, FakeLink]:
    """An ordered carrier and its link."""
    link = FakeLink()
    return NumberedCarrier(FakeCodec(Shape.DUPLEX, **options), link, now), link


def poll(now: float = 0.0, *, held: bool = True, **options: Any) -> tuple[NumberedCarrier, FakeLink]:
    """A poll, long or plain, and its link."""
    link = FakeLink()
    return NumberedCarrier(FakeCodec(Shape.POLL, held=held, **options), link, now), link


def stream(now: float = 0.0, **options: Any) -> tuple[NumberedCarrier, FakeLink]:
    """One long response, and its link."""
    link = FakeLink()
    return NumberedCarrier(FakeCodec(Shape.STREAM, **options), link, now), link


def texts(*contents: str) -> list[Outgoing]:
    """Text messages."""
    return [Outgoing.message(content) for content in contents]


def contents(items: Sequence[Outgoing]) -> list[str]:
    """What items say, for comparisons: m…, b…, d<count>, c<code>."""
    return [f"{item.kind}{item.code if item.kind in (CLOSE, DROPPED) else item.data!s}" for item in items]


def append_group(outbox: Outbox, items: Sequence[Outgoing]) -> None:
    """Queues the messages of an Outgoing.group()."""
    for item in items:
        outbox.append(item)
