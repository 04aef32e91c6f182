"""One Engine.IO packet: what it is, and how it lies in a WebSocket frame or in a payload ("Packet encoding")."""

from __future__ import annotations

import binascii
from typing import NamedTuple

from ...core.errors import RemoteProtocolError

__all__ = ["CLOSE", "MESSAGE", "NOOP", "OPEN", "PING", "PONG", "UPGRADE", "Packet", "decode", "decode_text", "message"]

# Packet types.
OPEN = "0"
CLOSE = "1"
PING = "2"
PONG = "3"
MESSAGE = "4"
UPGRADE = "5"
NOOP = "6"

_TYPES = frozenset((OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP))
_BASE64 = "b"


class Packet(NamedTuple):
    """A packet from the peer. Only a message may have bytes."""

    type: str
    data: str | bytes = ""


def decode(version: int, frame: str | bytes) -> Packet:
    """The packet of one WebSocket message. Raises RemoteProtocolError (1002)."""
    if isinstance(frame, str):
        return decode_text(version, frame)
    if version != 3:
        return Packet(MESSAGE, frame)
    return decode_bytes(frame)


def decode_bytes(frame: bytes) -> Packet:
    """A binary packet of version 3, whose first byte is its type. Raises RemoteProtocolError (1002)."""
    kind = str(frame[0]) if frame else ""
    if kind not in _TYPES:
        raise RemoteProtocolError(1002, "a binary packet starts with its type, a byte from 0 to 6")
    return Packet(kind, frame[1:] if kind == MESSAGE else "")


def decode_text(version: int, text: str) -> Packet:
    """A packet that is text, in a WebSocket frame or in a payload. Raises RemoteProtocolError (1002)."""
    kind = text[:1]
    if kind in _TYPES:
        return Packet(kind, text[1:])
    if kind != _BASE64:
        raise RemoteProtocolError(1002, "a packet starts with its type, from 0 to 6, or with b")
    encoded = text[1:]
    if version == 3:
        kind, encoded = encoded[:1], encoded[1:]
        if kind != MESSAGE:
            raise RemoteProtocolError(1002, "base64 is for messages: b4...")
    try:
        return Packet(MESSAGE, binascii.a2b_base64(encoded.encode("ascii"), strict_mode=True))
    except ValueError:  # binascii.Error and UnicodeEncodeError
        raise RemoteProtocolError(1002, "what follows b is not base64") from None


def message(version: int, data: str | bytes, *, text_only: bool) -> str | bytes:
    """A message as a packet. `text_only`: the carrier takes no bytes, which become base64."""
    if isinstance(data, str):
        return MESSAGE + data
    if text_only:
        encoded = binascii.b2a_base64(data, newline=False).decode()
        return f"b{encoded}" if version != 3 else f"b{MESSAGE}{encoded}"
    return data if version != 3 else b"\x04" + data
