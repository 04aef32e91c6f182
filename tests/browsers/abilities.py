"""What each engine can run, in one place: for every engine × transport that does not work, the reason in words.

Whatever is not listed as a gap works, and the tests run it.
"""

from __future__ import annotations

from .engines import ENGINES

__all__ = ["GAPS", "LESS", "ONLY", "TRANSPORTS", "can", "leaves_out"]

TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp")

_NO_PARTS = "the client opens nothing by multipart here: XMLHttpRequest does not show the parts of a body that grows"

GAPS: dict[tuple[str, str], str] = {
    ("webkitgtk", "multipart"): _NO_PARTS,
    ("qtwebkit", "multipart"): _NO_PARTS,
    ("phantomjs2", "multipart"): _NO_PARTS,
    ("phantomjs1", "websocket"): "speaks hixie-76, a draft of 2010 that no server of today answers",
    ("phantomjs1", "multipart"): _NO_PARTS,
    ("htmlunit", "websocket"): "Internet Explorer 8 has no WebSocket",
    ("htmlunit", "sse"): "Internet Explorer has no EventSource",
    ("htmlunit", "xhr_streaming"): "HtmlUnit hands over a body when it is complete",
    ("htmlunit", "multipart"): "Internet Explorer shows no multipart/x-mixed-replace",
    ("htmlunit", "htmlfile"): "HtmlUnit hands over a body when it is complete",
    ("htmlunit", "jsonp"): "no report in HtmlUnit, which makes one request at a time; not looked into further",
}

_SLOW = "HtmlUnit takes minutes for it"

# Scenarios that an engine cannot do, or not in time: by engine, transport ("" for any) and scenario.
LESS: dict[tuple[str, str, str], str] = {
    ("phantomjs1", "sse", "cross_origin"): "the oldest EventSource throws when it is to cross origins",
    ("htmlunit", "", "numbers"): _SLOW,
    ("htmlunit", "", "large_text"): _SLOW,
    ("htmlunit", "", "large_binary"): _SLOW,
}

# Engines whose client is told what to use in the matrix, and why.
ONLY: dict[str, tuple[str, str]] = {
    "htmlunit": ("polling", "HtmlUnit makes one request at a time, so that a held poll holds up what is to be sent"),
}


def can(engine: str, transport: str) -> bool:
    """Whether this engine runs this transport."""
    assert engine in ENGINES
    assert transport in TRANSPORTS
    return (engine, transport) not in GAPS


def leaves_out(engine: str, transport: str, scenario: str) -> bool:
    """Whether this engine is spared a scenario over this transport."""
    return (engine, transport, scenario) in LESS or (engine, "", scenario) in LESS
