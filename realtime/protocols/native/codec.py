"""What each frame of a session looks like on each kind of carrier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...core.carrier import Capabilities, Part, Shape
from ...core.errors import Refusal, clip
from ...core.frames import BINARY, CLOSE, TEXT, Outgoing, RoomItem, RoomNote, Unshared
from ...transports import Frame, Transport
from .durable import cursors_frame, left_frame, room_frame_of, taken_frame
from .refusals import refusal_frame
from .rooms import room_frame
from .values import to_base64

__all__ = ["NativeCodec"]

CAPABILITIES = Capabilities()


class NativeCodec:
    """The native protocol on one transport. See core.carrier.NumberedCodec."""

    capabilities = CAPABILITIES

    def __init__(self, transport: Transport, kind: str = "server") -> None:
        self.transport = transport
        self.name: str = transport.name
        self.shape: Shape = transport.shape
        self.held: bool = transport.held
        # Transports that lay frames alike share what was encoded.
        self.key: str = f"native {kind} {transport.framing}"
        self._key_of_rooms = f"{self.key} l"
        self.wrap: Callable[[Sequence[Part]], Sequence[Part]] = transport.wrap
        # Any frame already in words.
        self.text: Callable[[Frame], Part] = transport.frame
        # In JSON numbers stand as they are, so these frames need not be made anew.
        made = transport.framing == "json"
        self._ack = bytes(transport.frame("a%d,%d")) if made else None  # type: ignore[arg-type] # JSON is bytes
        self._attached = bytes(transport.frame("r%d,%d")) if made else None  # type: ignore[arg-type] # the same

    def item(self, item: Outgoing) -> Part:
        """A numbered item; made once for all receivers on carriers of this kind."""
        part = item.encoded.get(self.key)
        if part is None:
            frame = f"m{item.data!s}" if item.kind == TEXT else self._text(item)
            part = self.transport.frame(frame)
            if type(item) is not Unshared:
                item.encoded[self.key] = part
        return part

    def _text(self, item: Outgoing) -> Frame:
        if item.kind == BINARY:
            assert isinstance(item.data, bytes)
            if self.shape is Shape.DUPLEX:
                return item.data
            return "b" + to_base64(item.data)
        if item.kind == CLOSE:
            return f"c{item.code},{clip(str(item.data))}"
        if isinstance(item, RoomItem | RoomNote):
            return room_frame(item)
        return f"d{item.code}"

    def number(self, number: int) -> Part:
        """`n`: the next numbered frame here has this number."""
        return self.transport.frame(f"n{number}")

    def ack(self, received: int, taken: int) -> Part:
        """`a`."""
        return self._ack % (received, taken) if self._ack else self.transport.frame(f"a{received},{taken}")

    def attach_answer(self, received: int, taken: int) -> Part:
        """`r`, as the server says it."""
        return self._attached % (received, taken) if self._attached else self.transport.frame(f"r{received},{taken}")

    def ping(self) -> Part:
        """`p`."""
        return self.transport.frame("p")

    def pong(self, payload: str) -> Part:
        """`q`, with what the ping carried."""
        return self.transport.frame("q" + payload)

    def end_of_carrier(self, reason: str) -> Part:
        """`e`."""
        return self.transport.frame("e" + reason)

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """`x`."""
        return self.transport.frame(refusal_frame(Refusal(code, reason, scope=scope, received=received)))

    def go_away(self, value: float) -> Part:
        """`g`. A delay has milliseconds: never an exponent, which is no decimal number."""
        return self.transport.frame(f"g{round(value, 3)}")

    def room(self, told: RoomItem | RoomNote | str) -> Part:
        """The server's `l`: made once for all receivers of a message on carriers of this kind."""
        if isinstance(told, str):
            return self.transport.frame(left_frame(told))
        part = told.encoded.get(self._key_of_rooms)
        if part is None:
            part = told.encoded[self._key_of_rooms] = self.transport.frame(room_frame_of(told))
        return part

    def cursors(self, gen: int, rooms: Mapping[str, str]) -> Part:
        """`l`, as the client says it."""
        return self.transport.frame(cursors_frame(gen, rooms))

    def rooms_taken(self, gen: int, count: int) -> Part:
        """`f`."""
        return self.transport.frame(taken_frame(gen, count))
