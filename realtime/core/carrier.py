"""One live connection or poll, as the session's machine sees it, and the two interfaces it stands on.

A Codec (protocol × transport) says how things look on the wire; a Link is what web/ and client/ implement. Both are
synchronous: a link buffers, says whether it is writable, and reports data, drained and lost by calling the machine.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from .frames import Outgoing

__all__ = ["Capabilities", "Carrier", "Codec", "Link", "Part", "Shape"]

# One frame as it lies on a carrier: bytes ready to be written, or text where the library below frames it.
Part: TypeAlias = bytes | str


class Shape(enum.Enum):
    """How a carrier carries."""

    DUPLEX = "duplex"  # frames both ways, in order (WebSocket)
    STREAM = "stream"  # frames down one long response; POSTs up
    POLL = "poll"  # one batch down per request


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a wire protocol can do. The core asks these, never for a protocol's name."""

    # What people call it.
    protocol: str = "the native protocol"
    # The peer acknowledges what it received. Where it cannot, a commit counts as the ack.
    acks: bool = True
    # Binary messages can be carried.
    binary: bool = True
    # "ask": a silent peer is pinged and must answer. "tell": heartbeats go out and nothing comes back.
    heartbeat: Literal["ask", "tell"] = "ask"
    # What becomes of a second carrier of the same session: it takes over, or is refused.
    second_attach: Literal["supersede", "refuse"] = "supersede"


class Codec(Protocol):
    """How a session's frames look on one kind of carrier."""

    @property
    def name(self) -> str:
        """The transport's name."""

    @property
    def shape(self) -> Shape: ...

    @property
    def held(self) -> bool:
        """Whether a poll without news is held."""

    @property
    def capabilities(self) -> Capabilities: ...

    def item(self, item: Outgoing) -> Part:
        """A numbered item; encoded once for all its receivers."""

    def number(self, number: int) -> Part: ...

    def ack(self, received: int, taken: int) -> Part: ...

    def attached(self, received: int, taken: int) -> Part: ...

    def ping(self) -> Part: ...

    def pong(self, payload: str) -> Part: ...

    def end_of_carrier(self, reason: str) -> Part: ...

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part: ...

    def go_away(self, value: float) -> Part: ...

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Lays the parts of one flush on the carrier: the buffers to write."""


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


class Carrier:
    """A carrier and its two cursors. Which session it carries, and since when, its machine knows."""

    __slots__ = (
        "asked",
        "attached",
        "codec",
        "deaf",
        "gen",
        "head",
        "heard",
        "ignored",
        "link",
        "over",
        "pinged",
        "receive_cursor",
        "send_cursor",
        "since",
        "spoke",
        "tickets",
        "written",
    )

    def __init__(self, codec: Codec, link: Link, now: float) -> None:
        self.codec = codec
        self.link = link
        self.gen = 0
        self.send_cursor = 1  # the peer takes the next numbered frame for this number
        self.receive_cursor = 1  # the next numbered frame from the peer has this number
        self.since = now  # when it was started
        self.heard = now  # when the last frame came
        self.spoke = now  # server's stream: when it was last written to
        self.asked = now  # server's stream: when it was last pinged
        self.written = 0  # bytes
        self.ignored = 0  # numbered frames that changed nothing
        self.pinged = False  # a ping is out, and nothing was heard since
        self.attached = False  # client: its `o` or `r` has come
        # Server: a POST that begins above a gap, so that its numbered frames change nothing. Client: its `o` named
        # another session, so that nothing on it counts.
        self.deaf = False
        self.over = False  # nothing is written on it any more
        # What the first answer opens with, made from the acks; None for the codec's `attached`.
        self.head: Callable[[int, int], Part] | None = None
        # Server: the tickets that are handed out behind that, if any.
        self.tickets: Sequence[Part] = ()

    def write(self, parts: Sequence[Part]) -> None:
        """Writes parts, unless the carrier is over."""
        if not self.over:
            buffers = self.codec.wrap(parts)
            for buffer in buffers:
                self.written += len(buffer)
            self.link.write(buffers)

    def finish(self, parts: Sequence[Part], code: int = 1000, reason: str = "") -> None:
        """Writes the last parts and closes the link, once."""
        if not self.over:
            if parts:
                self.link.write(self.codec.wrap(parts))
            self.over = True
            self.link.close(code, reason)

    def __repr__(self) -> str:
        state = " over" if self.over else ""
        return (
            f"<Carrier {self.codec.name} gen={self.gen} send={self.send_cursor} receive={self.receive_cursor}{state}>"
        )
