"""The transports: one small pure file each, registered here by one line."""

from __future__ import annotations

from .base import Decoder, Facts, Frame, Head, Transport
from .form import Form
from .htmlfile import HtmlFile
from .jsonp import Jsonp
from .long_polling import LongPolling
from .multipart import Multipart
from .polling import Polling
from .sse import ServerSentEvents
from .websocket import WebSocket, WebSocketMessages
from .webtransport import WebTransport
from .xhr_streaming import XhrStreaming

__all__ = [
    "ALL_TRANSPORTS",
    "TRANSPORTS",
    "WEBTRANSPORT",
    "Decoder",
    "Facts",
    "Form",
    "Frame",
    "Head",
    "HtmlFile",
    "Jsonp",
    "LongPolling",
    "Multipart",
    "Polling",
    "ServerSentEvents",
    "Transport",
    "WebSocket",
    "WebSocketMessages",
    "WebTransport",
    "XhrStreaming",
]

# Those that come by the application's own port, by name, best first.
TRANSPORTS: dict[str, Transport] = {
    transport.name: transport
    for transport in (
        WebSocket(),
        ServerSentEvents(),
        XhrStreaming(),
        Multipart(),
        HtmlFile(),
        LongPolling(),
        Polling(),
        Jsonp(),
    )
}

# The one that has a port of its own, where an application opens it; what is said of transports counts for it too.
WEBTRANSPORT = WebTransport()
ALL_TRANSPORTS: dict[str, Transport] = {WEBTRANSPORT.name: WEBTRANSPORT, **TRANSPORTS}
