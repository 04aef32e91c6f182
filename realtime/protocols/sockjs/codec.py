"""SockJS's frames as the server writes them: `o`, `h`, `a[…]` and `c[code,"reason"]`. See core.carrier.Codec."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence

from ...core.carrier import Capabilities, Part, Shape
from ...core.errors import clip
from ...core.frames import CLOSE, TEXT, Outgoing
from ...core.plain_machine import INTERRUPTED
from .framings import FRAMINGS, HEARTBEAT, Framing

__all__ = ["CAPABILITIES", "CODECS", "OPEN", "SockJSCodec", "close_frame", "quote"]

OPEN = b"o"
CAPABILITIES = Capabilities(binary=False, heartbeat="tell", protocol="SockJS", greeting=OPEN)
# A WebSocket's pings are answered.
ASKS = dataclasses.replace(CAPABILITIES, heartbeat="ask")

# JSON allows these as they are; some browsers change or lose them (section "JSON Unicode Encoding").
_MANGLED = re.compile("[\x7f\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]")
_encode = json.JSONEncoder(ensure_ascii=False).encode


class Message(bytes):
    """A message as a string of JSON, to be joined with others; `alone` is the finished frame that carries no other."""

    alone: bytes


def quote(text: str) -> bytes:
    """A message as a string of JSON, in which every character arrives as it is."""
    return _MANGLED.sub(lambda found: f"\\u{ord(found[0]):04x}", _encode(text)).encode()


def close_frame(code: int, reason: str) -> bytes:
    """`c`. A connection that was cut is told as the document says it."""
    if code == INTERRUPTED:
        code, reason = 1002, "Connection interrupted"
    return b"c[%d,%b]" % (code, quote(clip(reason)))


class SockJSCodec:
    """SockJS on one of its transports. See core.carrier.Codec."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.name: str = framing.name
        self.shape: Shape = framing.shape
        self.capabilities: Capabilities = ASKS if framing.shape is Shape.DUPLEX else CAPABILITIES
        self._key = f"sockjs {framing.path}"

    def item(self, item: Outgoing) -> Part:
        """A message, made once for all receivers on carriers of this kind; a close; nothing for a note of drops."""
        if item.kind == TEXT:
            part = item.encoded.get(self._key)
            if part is None:
                part = item.encoded[self._key] = Message(quote(str(item.data)))
                part.alone = self.framing.lay(b"a[%b]" % part)
            return part
        return close_frame(item.code, str(item.data)) if item.kind == CLOSE else b""

    def ping(self) -> Part:
        """`h`."""
        return HEARTBEAT

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """`c`."""
        return close_frame(code, reason)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """A buffer a frame; messages that follow one another share one."""
        frames: list[Part] = []
        messages: list[Message] = []
        for part in parts:
            if isinstance(part, Message):
                messages.append(part)
                continue
            self._gather(messages, frames)
            if part:
                assert isinstance(part, bytes)
                frames.append(self.framing.lay(part))
        self._gather(messages, frames)
        return frames

    def _gather(self, messages: list[Message], frames: list[Part]) -> None:
        if len(messages) == 1:
            frames.append(messages[0].alone)
        elif messages:
            frames.append(self.framing.lay(b"a[%b]" % b",".join(messages)))
        messages.clear()


# By the last part of their URLs.
CODECS = {path: SockJSCodec(framing) for path, framing in FRAMINGS.items()}
