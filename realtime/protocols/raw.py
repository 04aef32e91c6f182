"""No protocol at all: each message is a WebSocket message, text or binary, and closes are WebSocket's own.

For clients of any library (`websocat`, twenty lines of anything). Pure. A session lives as long as its one connection;
what it is, is in core/plain_machine.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from ..core.carrier import Capabilities, Part, Shape
from ..core.dialects import Dialect
from ..core.errors import LocalProtocolError
from ..core.frames import BINARY, TEXT, Outgoing
from ..core.settings import shown
from ..transports.websocket import FIN_PING, WebSocket, frame_header

__all__ = ["CODEC", "Raw", "RawCodec"]

# RFC 9110 §5.6.2.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
PING = frame_header(FIN_PING, 0)


class RawCodec:
    """See core.carrier.Codec. What has no words is an empty part."""

    name = "websocket"
    shape = Shape.DUPLEX
    capabilities: Capabilities = Capabilities(protocol="a bare WebSocket")

    def __init__(self) -> None:
        self._transport = WebSocket()
        self.wrap: Callable[[Sequence[Part]], Sequence[Part]] = self._transport.wrap

    def item(self, item: Outgoing) -> Part:
        """A message as it is, made once for all receivers. A close is the link's; a note of drops is not told."""
        if item.kind not in (TEXT, BINARY):
            return b""
        part = item.encoded.get("raw")
        if part is None:
            part = item.encoded["raw"] = self._transport.frame(item.data)
        return part

    def ping(self) -> Part:
        """WebSocket's own (RFC 6455 §5.5.2)."""
        return PING

    def abrupt(self, code: int, scope: str, received: int | None, reason: str) -> Part:
        """The closing handshake says it."""
        return b""


CODEC = RawCodec()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Raw(Dialect):
    """An endpoint takes bare WebSockets, and speaks one of these sub-protocols with them, first choice first.

    Sub-protocols are tokens, each once (RFC 6455 §4.1). Raises LocalProtocolError for anything else.
    """

    subprotocols: Sequence[str] = ()

    def __post_init__(self) -> None:
        names: Any = self.subprotocols
        listed = isinstance(names, Sequence) and not isinstance(names, str)
        fine = listed and all(isinstance(name, str) and _TOKEN.fullmatch(name) for name in names)
        if not fine or len(set(names)) != len(names):
            raise LocalProtocolError(
                f"subprotocols={shown(names)}: must be a sequence of different names without spaces, such as"
                ' ("v12.stomp",)'
            )
        object.__setattr__(self, "subprotocols", tuple(names))
