"""One live connection or poll, as the session's machine sees it, and the two interfaces it stands on.

A Codec (protocol × transport) says how things look on the wire; a Link is what web/ and client/ implement. Both are
synchronous: a link buffers, says whether it is writable, and reports that it is writable again, or lost, by calling the
machine.
What is numbered and acknowledged goes over a NumberedCarrier, whose codec has words for it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from .frames import Outgoing, RoomItem, RoomNote, Unshared

__all__ = [
    "DUPLEX",
    "POLL",
    "STREAM",
    "Capabilities",
    "Carrier",
    "Codec",
    "Link",
    "NumberedCarrier",
    "NumberedCodec",
    "Part",
    "Shape",
    "SharedBuffers",
    "lay_alone",
    "share",
]

# One frame as it lies on a carrier: bytes ready to be written, or text where the library below frames it.
Part: TypeAlias = bytes | str


class Shape(enum.Enum):
    """How a carrier carries."""

    DUPLEX = "duplex"  # frames both ways, in order (WebSocket)
    STREAM = "stream"  # frames down one long response; POSTs up
    POLL = "poll"  # one batch down per request


# The same, for those who ask at each message: see lifecycle.
DUPLEX, STREAM, POLL = Shape.DUPLEX, Shape.STREAM, Shape.POLL


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a wire protocol can do, and how. The core asks these, never for a protocol's name."""

    # What people call it.
    protocol: str = "the native protocol"
    # Binary messages can be carried.
    binary: bool = True
    # "ask": a silent peer is pinged and must answer. "tell": heartbeats go out and nothing comes back.
    heartbeat: Literal["ask", "tell"] = "ask"
    # The version of Socket.IO's packets that its clients have, where they are Socket.IO's; 0: they are not.
    socketio: int = 0
    # What a session's first carrier opens with, where that is always the same; empty for nothing.
    greeting: Part = b""


class Codec(Protocol):
    """How a session's frames look on one kind of carrier. What the protocol cannot express is an empty part."""

    @property
    def name(self) -> str:
        """The transport's name."""

    @property
    def shape(self) -> Shape: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def item(self, item: Outgoing) -> Part:
        """A message, a note of drops or a close; encoded once for all its receivers."""

    def ping(self) -> Part:
        """A heartbeat."""

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """The end of the session, or of the carrier (`scope`), without an exchange of closes."""

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Lays the parts of one flush on the carrier: the buffers to write. On a duplex one a part alone is one."""


class NumberedCodec(Codec, Protocol):
    """A codec of a protocol with numbers and acks (docs/protocol.md §4, §6)."""

    @property
    def key(self) -> str:
        """Under which `Outgoing.encoded` has what item() has made."""

    @property
    def held(self) -> bool:
        """Whether a poll without news is held."""

    def number(self, number: int) -> Part:
        """The number of the next numbered frame."""

    def ack(self, received: int, taken: int) -> Part:
        """What has been received, and what the application has taken."""

    def attach_answer(self, received: int, taken: int) -> Part:
        """The answer to an attach, with the acks."""

    def pong(self, payload: str) -> Part:
        """The answer to a ping."""

    def end_of_carrier(self, reason: str) -> Part:
        """The end of this carrier, and not of the session."""

    def go_away(self, value: float) -> Part:
        """A drain: the delay, or the highest number in use."""

    def room(self, told: RoomItem | RoomNote | str) -> Part:
        """In a durable session, what a room has sent: a message, a position or a gap; or that the session is not in
        the room of this name."""

    def cursors(self, gen: int, rooms: Mapping[str, str]) -> Part:
        """How far the client of a durable session has heard its rooms, for the carrier of this gen."""

    def rooms_taken(self, gen: int, count: int) -> Part:
        """How many of the room frames of the carrier of this gen it has taken."""


class Link(Protocol):
    """The I/O of one carrier."""

    @property
    def writable(self) -> bool:
        """False while too much waits to be written. When it becomes True again the machine is flushed."""

    def write(self, buffers: Sequence[Part]) -> None:
        """Hands over buffers, in order. Never raises, never blocks: a dead link reports itself lost later."""

    def close(self, code: int, reason: str) -> None:
        """Ends the connection or response after what was written. Idempotent."""

    def abort(self) -> None:
        """Ends the connection at once, without a closing handshake: the peer is silent."""


class SharedBuffers(list[Part]):
    """The buffers of a flush that other carriers write as well. A link keeps with them what it makes of them."""

    __slots__ = ("chunked", "size")

    def __init__(self, buffers: Sequence[Part]) -> None:
        super().__init__(buffers)
        self.chunked: bytes | None = None  # as chunks of HTTP/1.1
        self.size: int = sum(map(len, buffers))


def share(codec: Codec, last: Outgoing, parts: Sequence[Part]) -> Sequence[Part]:
    """What `codec.wrap(parts)` gives, made once for all carriers that write these parts, of which `last` is the last
    item: it is kept with that, and made anew for who writes others."""
    if type(last) is Unshared:
        return SharedBuffers(codec.wrap(parts))
    if last.framed is None:
        last.framed = {}
    made = last.framed.get(codec)
    if made is None or made[0] != parts:
        made = last.framed[codec] = parts, SharedBuffers(codec.wrap(parts))
    return made[1]


def lay_alone(codec: Codec, item: Outgoing) -> SharedBuffers:
    """What `codec.wrap()` gives of this item and nothing else: made once, and kept in `item.alone` for all carriers
    that write the same."""
    made = SharedBuffers(codec.wrap([codec.item(item)]))
    if type(item) is not Unshared:
        item.alone = {**item.alone, codec: made}
    return made


class Carrier:
    """A carrier and its cursor. The machine knows which session it carries."""

    __slots__ = (
        "attached",
        "codec",
        "finished",
        "gen",
        "last_pinged",
        "last_received",
        "last_written",
        "link",
        "send_cursor",
        "started",
        "written",
    )

    def __init__(self, codec: Codec, link: Link, now: float) -> None:
        self.codec: Codec = codec
        self.link: Link = link
        self.gen: int = 0
        self.send_cursor: int = 1  # the peer takes the next numbered frame for this number
        self.started: float = now  # when it was started
        self.last_received: float = now  # when the last frame came
        self.last_written: float = now  # server's stream: when it was last written to
        self.last_pinged: float = now  # server's stream: when it was last pinged
        self.written: int = 0  # bytes
        self.attached: bool = False  # client: its `o` or `r` has come
        self.finished: bool = False  # nothing is written on it any more

    def write(self, parts: Sequence[Part], last: Outgoing | None = None) -> None:
        """Writes parts, unless the carrier is finished. Where others write the same, such as a broadcast's receivers,
        `last` is the last item among them: see share()."""
        if not self.finished:
            buffers = self.codec.wrap(parts) if last is None else share(self.codec, last, parts)
            for buffer in buffers:
                self.written += len(buffer)
            self.link.write(buffers)

    def finish(self, parts: Sequence[Part], code: int = 1000, reason: str = "") -> None:
        """Writes the last parts and closes the link, once."""
        if not self.finished:
            if parts:
                self.link.write(self.codec.wrap(parts))
            self.finished = True
            self.link.close(code, reason)

    def _cursors(self) -> str:
        return f"send={self.send_cursor}"

    def __repr__(self) -> str:
        state = " finished" if self.finished else ""
        return f"<{type(self).__name__} {self.codec.name} gen={self.gen} {self._cursors()}{state}>"


class NumberedCarrier(Carrier):
    """A carrier of numbered frames: a cursor for each direction (docs/protocol.md §4)."""

    __slots__ = ("greeting", "ignored", "ignores", "pinged", "receive_cursor", "tickets")

    codec: NumberedCodec
    last_pinged: float
    last_received: float
    last_written: float
    started: float

    def __init__(self, codec: NumberedCodec, link: Link, now: float) -> None:
        # Carrier's, without a call: each poll and each send has one.
        self.codec: NumberedCodec = codec
        self.link: Link = link
        self.gen: int = 0
        self.send_cursor: int = 1
        self.started = self.last_received = self.last_written = self.last_pinged = now
        self.written: int = 0
        self.attached = self.finished = False
        self.receive_cursor: int = 1  # the next numbered frame from the peer has this number
        self.ignored: int = 0  # numbered frames that changed nothing
        self.pinged: bool = False  # a ping is out, and nothing was received since
        # Server: a POST that begins above a gap, so that its numbered frames change nothing. Client: its `o` named
        # another session, so that nothing on it counts.
        self.ignores: bool = False
        # What the first answer opens with, made from the acks; None for the codec's `attach_answer`.
        self.greeting: Callable[[int, int], Part] | None = None
        # Server: the tickets that are handed out behind that, if any.
        self.tickets: Sequence[Part] = ()

    def _cursors(self) -> str:
        return f"send={self.send_cursor} receive={self.receive_cursor}"
