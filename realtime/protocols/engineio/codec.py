"""How a session's items become Engine.IO packets on each kind of carrier. See core.carrier.Codec."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.carrier import Capabilities, Part, Shape
from ...core.frames import BINARY, CLOSE, DROPPED, Outgoing
from ...transports.websocket import WebSocket
from . import packets
from .options import POLLING, WEBSOCKET
from .payloads import join, join_counted

__all__ = ["CODECS", "Codec", "codec"]

# By the version: what its clients speak over it is Socket.IO, where it is anything known.
CAPABILITIES = {
    4: Capabilities(protocol="Engine.IO", socketio=5),
    3: Capabilities(protocol="Engine.IO", socketio=4),
}
_FRAMES = WebSocket()


class Codec:
    """One version on one transport. `text_only`: bytes travel as base64."""

    def __init__(self, version: int, transport: str, *, text_only: bool) -> None:
        self.version = version
        self.capabilities: Capabilities = CAPABILITIES[version]
        self.name = transport
        self.shape = Shape.POLL if transport == POLLING else Shape.DUPLEX
        self.text_only = text_only
        self.key: str = f"engineio {version} {transport} {text_only}"

    def item(self, item: Outgoing) -> Part:
        """A message or the close, as a packet; made once for all receivers on carriers of this kind.

        Nothing says that messages were dropped: an empty part.
        """
        part = item.encoded.get(self.key)
        if part is None:
            if item.kind == CLOSE:
                part = self.packet(packets.CLOSE)
            elif item.kind == DROPPED:
                part = ""
            else:
                text_only = self.text_only and item.kind == BINARY
                part = self._lay(packets.message(self.version, item.data, text_only=text_only))
            item.encoded[self.key] = part
        return part

    def packet(self, kind: str, data: str = "") -> Part:
        """Any other packet."""
        return self._lay(kind + data)

    def _lay(self, packet: Part) -> Part:
        return packet if self.shape is Shape.POLL else _FRAMES.frame(packet)

    def wrap(self, parts: Sequence[Part]) -> Sequence[Part]:
        """One HTTP body, or one buffer of WebSocket frames."""
        parts = [part for part in parts if part]
        if self.shape is Shape.DUPLEX:
            return _FRAMES.wrap(parts)
        if self.version == 3:
            return [join_counted(parts)]
        return [join(parts)]  # type: ignore[arg-type] # version 4 polls in text

    def ping(self) -> Part:
        """The ping of version 4."""
        return self.packet(packets.PING)

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """Every end looks the same."""
        return self.packet(packets.CLOSE)


CODECS = {
    (version, transport, text_only): Codec(version, transport, text_only=text_only)
    for version in (4, 3)
    for transport in (POLLING, WEBSOCKET)
    for text_only in (True, False)
}


def codec(version: int, transport: str, *, base64: bool) -> Codec:
    """The codec of a carrier. `base64`: the client has said that it can't take bytes (`b64=1`, and JSONP)."""
    text_only = base64 if version == 3 else transport == POLLING
    return CODECS[version, transport, text_only]
