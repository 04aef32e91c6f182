"""How SockJS 0.3.3 lays its frames on each of its transports: sections "WebSocket" to "JsonpPolling" of its document.

Here a frame is finished text in UTF-8, such as `o` or `a["x"]`. Each is a buffer of its own, because clients read the
prelude and every frame as they come. The names are those of the native transports that work alike.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod

from ...core.carrier import Shape
from ...transports.base import Head
from ...transports.websocket import FIN_PING, FIN_TEXT, frame_header

__all__ = ["FRAMINGS", "HEARTBEAT", "NOT_CACHED", "EventSource", "Framing", "HtmlFile", "Jsonp", "WebSocket", "Xhr"]

HEARTBEAT = b"h"
# Word for word, since iOS 6 kept answers to POSTs.
NOT_CACHED = ("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0")
SAFE = (NOT_CACHED, ("X-Content-Type-Options", "nosniff"))
# X-Accel-Buffering keeps nginx from holding back what streams.
STREAM = (*SAFE, ("X-Accel-Buffering", "no"))
SCRIPT_TYPE = ("Content-Type", "application/javascript; charset=UTF-8")
PADDING = 2048
# Browsers look at so many bytes of a document before they show any.
LEAST_DOCUMENT = 1024
# EventSource's data are decoded as a URI by the client.
_URI = re.compile(rb"[%\r\n\x00]")
# What ends a script, or a line of one, inside a string.
_MARKUP = {ord(c): f"\\u{ord(c):04x}" for c in "<>&"}
_DOCUMENT = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%s;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""


def literal(frame: bytes) -> bytes:
    """A frame as a string of JavaScript: ASCII, and none of its characters means anything to a parser of HTML."""
    return json.dumps(frame.decode()).translate(_MARKUP).encode()


class Framing(ABC):
    """One transport of SockJS."""

    name: str  # of the native transport that works alike
    path: str  # the last part of its URL
    method = "GET"  # of its requests
    shape: Shape
    scripted = False  # whether a function of the page has to be named

    @abstractmethod
    def head(self, callback: str) -> Head:
        """The beginning of the response: status, headers, and what the body opens with."""

    @abstractmethod
    def lay(self, frame: bytes) -> bytes:
        """A frame as it is written on the carrier."""

    def tail(self) -> bytes:
        """The end of the response: nothing, where the last frame says all."""
        return b""


class WebSocket(Framing):
    """Each frame is a text message. With every heartbeat goes a ping (RFC 6455 §5.5.2), which any client answers."""

    name = "websocket"
    path = "websocket"
    shape = Shape.DUPLEX

    def head(self, callback: str) -> Head:
        """The handshake's."""
        return Head(101, ())

    def lay(self, frame: bytes) -> bytes:
        """A whole unmasked WebSocket frame."""
        laid = frame_header(FIN_TEXT, len(frame)) + frame
        return laid + frame_header(FIN_PING, 0) if frame == HEARTBEAT else laid


class Xhr(Framing):
    """A frame a line; the answer to a poll is one."""

    name = "long_polling"
    path = "xhr"
    method = "POST"
    shape = Shape.POLL

    def head(self, callback: str) -> Head:
        """The answer's status and headers."""
        return Head(200, (SCRIPT_TYPE, *SAFE))

    def lay(self, frame: bytes) -> bytes:
        """A line."""
        return frame + b"\n"


class XhrStreaming(Xhr):
    """The same lines in one long response."""

    name = "xhr_streaming"
    path = "xhr_streaming"
    shape = Shape.STREAM

    def head(self, callback: str) -> Head:
        """The answer's status and headers, and the padding without which some engines show nothing."""
        return Head(200, (SCRIPT_TYPE, *STREAM), HEARTBEAT * PADDING + b"\n")


class EventSource(Framing):
    """A frame an event."""

    name = "sse"
    path = "eventsource"
    shape = Shape.STREAM

    def head(self, callback: str) -> Head:
        """The answer's status and headers, and an empty line, which Opera wanted."""
        return Head(200, (("Content-Type", "text/event-stream"), *STREAM), b"\r\n")

    def lay(self, frame: bytes) -> bytes:
        """An event. What its format has another meaning for is escaped as in a URI, and so is `%`."""
        escaped = _URI.sub(lambda found: b"%%%02X" % found[0][0], frame)
        return b"data: " + escaped + b"\r\n\r\n"


class HtmlFile(Framing):
    """An HTML document without end, each frame a script block."""

    name = "htmlfile"
    path = "htmlfile"
    shape = Shape.STREAM
    scripted = True

    def head(self, callback: str) -> Head:
        """The answer's status and headers, and the document's beginning."""
        document = (_DOCUMENT % callback).encode().ljust(LEAST_DOCUMENT) + b"\r\n\r\n"
        return Head(200, (("Content-Type", "text/html; charset=UTF-8"), *STREAM), document)

    def lay(self, frame: bytes) -> bytes:
        """A script block."""
        return b"<script>\np(" + literal(frame) + b");\n</script>\r\n"


class Jsonp(Framing):
    """A script that calls the page's function with one frame. (The comment in front keeps the answer from being taken
    for the file of a plug-in.)"""

    name = "jsonp"
    path = "jsonp"
    shape = Shape.POLL
    scripted = True

    def head(self, callback: str) -> Head:
        """The answer's status and headers, and the beginning of the call."""
        return Head(200, (SCRIPT_TYPE, *SAFE), f"/**/{callback}(".encode())

    def lay(self, frame: bytes) -> bytes:
        """The call's argument."""
        return literal(frame)

    def tail(self) -> bytes:
        """The end of the call."""
        return b");\r\n"


# By the last part of their URLs.
FRAMINGS: dict[str, Framing] = {
    framing.path: framing for framing in (WebSocket(), Xhr(), XhrStreaming(), EventSource(), HtmlFile(), Jsonp())
}
