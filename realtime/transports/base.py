"""What a transport is: how a batch of frames lies on a carrier. Pure; nothing here knows what a frame means.

A transport is a small object with five members besides its name, its shape and its framing: `head` (status
and headers, from the facts of the request), `frame` (one frame as it lies in a batch; cached per message), `wrap` (the
frames of one flush as buffers; where a protocol needs chunk boundaries, one buffer is one chunk), `tail` (what ends the
carrier) and `decoder` (is fed bytes, gives frames).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from ..core.carrier import Part, Shape

__all__ = ["Decoder", "Facts", "Frame", "Head", "Transport"]

# A frame's text, or the payload of a binary message where the carrier has binary frames.
Frame: TypeAlias = str | bytes


class Facts(NamedTuple):
    """What a transport may have to know of the request."""

    http_version: tuple[int, int] = (1, 1)
    # The function of the page that takes what comes, where the answer is a script.
    callback: str = ""


class Head(NamedTuple):
    """How a response begins."""

    status: int
    headers: tuple[tuple[str, str], ...]
    prelude: bytes = b""


class Decoder(Protocol):
    """Turns the bytes of one body or connection into frames, as they come."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`. Raises RemoteProtocolError for what can't become a frame."""

    def end(self) -> list[Frame]:
        """No more bytes will come: the last frames. Raises RemoteProtocolError if one was cut off."""


class Transport(Protocol):
    """One way for frames to travel."""

    @property
    def name(self) -> str:
        """What clients and configuration call it."""

    @property
    def method(self) -> str:
        """The HTTP method of its requests."""

    @property
    def shape(self) -> Shape: ...

    @property
    def held(self) -> bool:
        """Whether the server keeps a poll until it has news."""

    @property
    def framing(self) -> str:
        """The encoding that frame() uses, such as "json". Transports with the same framing share encoded frames."""

    def head(self, facts: Facts) -> Head: ...

    def frame(self, frame: Frame) -> Part: ...

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]: ...

    def tail(self) -> bytes: ...

    def decoder(self, max_frames: int, max_bytes: int) -> Decoder: ...
