"""What each engine can run, in one place: for every engine × transport that does not work, the reason in words.

Whatever is not listed as a gap works, and the tests run it.
"""

from __future__ import annotations

from .engines import ENGINES

__all__ = ["GAPS", "NOT_EMULATED", "TRANSPORTS", "can"]

TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "long_polling", "polling")

GAPS: dict[tuple[str, str], str] = {
    ("phantomjs1", "websocket"): "speaks hixie-76, a draft of 2010 that no server of today answers",
    ("htmlunit", "websocket"): "Internet Explorer 8 has no WebSocket",
    ("htmlunit", "sse"): "Internet Explorer has no EventSource",
    ("htmlunit", "xhr_streaming"): "HtmlUnit hands over a body when it is complete",
    ("htmlunit", "multipart"): "Internet Explorer shows no multipart/x-mixed-replace",
}

# Scenarios that an engine cannot show anything about, whatever the transport.
NOT_EMULATED: dict[tuple[str, str], str] = {
    ("htmlunit", "large_text"): "a megabyte takes HtmlUnit's interpreter minutes",
}


def can(engine: str, transport: str) -> bool:
    """Whether this engine runs this transport."""
    assert engine in ENGINES
    assert transport in TRANSPORTS
    return (engine, transport) not in GAPS
