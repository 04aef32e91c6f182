"""From the messages of a session to packets: an event with bytes in it is one when the last of its attachments is here.

What waits is bounded in number, in size and in time. Time is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ....core.errors import RemoteProtocolError
from ....core.frames import payload_size
from ....core.machine import FOREVER
from . import values
from .packets import ACK, Packet, parse

__all__ = ["Decoder", "decode"]

# How the first clients say every ack, and no others any.
COUNTED = re.compile(r"3[0-9]+-")


def decode(version: int, messages: Sequence[str | bytes]) -> Packet:
    """The packet of these messages, which a Decoder has found whole before."""
    text, *attachments = messages
    assert isinstance(text, str)
    packet, count = parse(version, text)
    if not count:
        return packet
    parts = [part for part in attachments if isinstance(part, bytes)]
    return packet._replace(data=values.restore(packet.data, parts, []))


class Decoder:
    """One session's. `max_size` bounds the text of a packet and its attachments together, in bytes; `patience` is how
    many seconds the last of them may come behind the first."""

    __slots__ = (
        "_attachments",
        "_expected",
        "_max_attachments",
        "_max_size",
        "_packet",
        "_patience",
        "_size",
        "deadline",
        "version",
    )

    def __init__(self, version: int, *, max_attachments: int, max_size: int, patience: float) -> None:
        self.version: int = version
        self.deadline: float = FOREVER  # when what waits has waited long enough
        self._max_attachments = max_attachments
        self._max_size = max_size
        self._packet: Packet | None = None  # which waits for attachments
        self._expected = 0
        self._attachments: list[bytes] = []
        self._size = 0
        self._patience = patience

    def feed(self, message: str | bytes, now: float) -> tuple[Packet, int] | None:
        """Takes the next message; returns a packet and its size in bytes, or None where attachments are missing.

        Raises RemoteProtocolError (1002; 1009 for too many attachments, or too large ones).
        """
        if isinstance(message, bytes):
            return self._attach(message)
        if self._packet is not None:
            raise RemoteProtocolError(1002, "a packet came where an attachment of the one before was due")
        packet, expected = parse(self.version, message)
        size = len(message) if message.isascii() else payload_size(message)
        if self.version == 4 and packet.type == ACK and COUNTED.match(message):
            self.version = 3
        if not expected:
            return packet, size
        if expected > self._max_attachments:
            raise RemoteProtocolError(1009, f"more than {self._max_attachments} attachments (max_attachments)")
        self._packet, self._expected, self._size = packet, expected, 0
        self.deadline = now + self._patience
        self._count(size)
        return None

    def _attach(self, attachment: bytes) -> tuple[Packet, int] | None:
        packet = self._packet
        if packet is None:
            raise RemoteProtocolError(1002, "an attachment came where none was due")
        self._count(len(attachment))
        self._attachments.append(attachment)
        if len(self._attachments) < self._expected:
            return None
        attachments, self._attachments, self._packet = self._attachments, [], None
        self.deadline = FOREVER
        placed: list[bytes] = []
        packet = packet._replace(data=values.restore(packet.data, attachments, placed))
        # One that is in many places is as many to whoever passes the event on: of a megabyte there would be gigabytes.
        if len(placed) > self._max_attachments or sum(map(len, placed)) > self._max_size:
            raise RemoteProtocolError(
                1009, f"more than {self._max_attachments} attachments or {self._max_size} bytes, in all their places"
            )
        return packet, self._size

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._max_size:
            raise RemoteProtocolError(1009, f"an event of more than {self._max_size} bytes with its attachments")

    def expire(self, now: float) -> None:
        """Raises RemoteProtocolError (1002) when attachments have been missing for too long."""
        if now >= self.deadline:
            raise RemoteProtocolError(1002, "the attachments of an event did not come in time")
