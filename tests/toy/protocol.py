"""The frames, and what an endpoint says of them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import partial

from realtime.core.carrier import Capabilities, Part, Shape
from realtime.core.dialects import Dialect
from realtime.core.errors import RemoteProtocolError
from realtime.core.frames import CLOSE, TEXT, Outgoing
from realtime.core.plain_machine import PlainMachine
from realtime.transports.websocket import FIN_TEXT, frame_header

__all__ = ["KIND", "LINES", "WEBSOCKET", "Toy", "parse"]

CAPABILITIES = Capabilities(binary=False, heartbeat="tell", protocol="the toy", greeting=b"+")
KIND = partial(PlainMachine, capabilities=CAPABILITIES)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Toy(Dialect):
    """`most` messages are taken at once; `path` is where else its clients come, from the application's root."""

    most: int = 10
    path: str = ""

    @property
    def route(self) -> str:
        """The path of its own, if it has one."""
        return self.path


class ToyCodec:
    """See core.carrier.Codec."""

    capabilities = CAPABILITIES

    def __init__(self, name: str, shape: Shape) -> None:
        self.name = name
        self.shape = shape

    def item(self, item: Outgoing) -> Part:
        """A message, or the end."""
        if item.kind == TEXT:
            return f"={item.data!s}".encode()
        return b"-%d" % item.code if item.kind == CLOSE else b""

    def ping(self) -> Part:
        """There is none."""
        return b""

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """The end."""
        return b"-%d" % code

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """A WebSocket message each, or lines."""
        frames = [part for part in parts if isinstance(part, bytes) and part]
        if self.shape is Shape.DUPLEX:
            return [frame_header(FIN_TEXT, len(frame)) + frame for frame in frames]
        return [b"\n".join(frames)] if frames else []


WEBSOCKET = ToyCodec("websocket", Shape.DUPLEX)
LINES = ToyCodec("long_polling", Shape.POLL)


def parse(options: Toy, data: str | bytes) -> Iterable[str]:
    """The messages of some lines. Raises RemoteProtocolError."""
    text = data if isinstance(data, str) else data.decode(errors="replace")
    frames = text.split("\n")
    if len(frames) > options.most or not all(frame.startswith("=") for frame in frames):
        raise RemoteProtocolError(1002, f"at most {options.most} frames, each =<text>")
    return [frame[1:] for frame in frames]
