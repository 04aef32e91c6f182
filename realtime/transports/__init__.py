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
from .xhr_streaming import XhrStreaming

__all__ = [
    "TRANSPORTS",
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
    "XhrStreaming",
]

# The server's transports by name, best first.
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
