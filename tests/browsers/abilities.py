"""What each engine can run, in one place: for every engine × transport that does not work, the reason in words.

Whatever is not listed as a gap works, and the tests run it.
"""

from __future__ import annotations

from .engines import ENGINES, Node

__all__ = ["GAPS", "LESS", "MOCKED", "ONLY", "TRANSPORTS", "can", "leaves_out"]

TRANSPORTS = ("websocket", "sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp")

_IN_WEBKIT = "WebKit ends every request for multipart/x-mixed-replace that is not a frame's or an image's; in a frame "
_LATE_PARTS = _IN_WEBKIT + "a part has loaded only when the next one begins, so that each message waits for another"
_NO_PARTS = _IN_WEBKIT + "this one shows the body as one text, boundaries and all"

GAPS: dict[tuple[str, str], str] = {
    ("webkitgtk", "multipart"): _LATE_PARTS,
    ("qtwebkit", "multipart"): _NO_PARTS,
    ("phantomjs2", "multipart"): _NO_PARTS,
    ("node", "sse"): "Node has no EventSource",
    ("node", "htmlfile"): "Node has no document",
    ("node", "jsonp"): "Node has no document",
    ("phantomjs1", "websocket"): "speaks hixie-76, a draft of 2010 that no server of today answers",
    ("phantomjs1", "multipart"): _NO_PARTS,
    ("htmlunit", "websocket"): "Internet Explorer 8 has no WebSocket",
    ("htmlunit", "sse"): "Internet Explorer has no EventSource",
    ("htmlunit", "xhr_streaming"): "HtmlUnit hands over a body when it is complete",
    ("htmlunit", "multipart"): "Internet Explorer shows no multipart/x-mixed-replace",
    ("htmlunit", "htmlfile"): "HtmlUnit hands over a body when it is complete",
    ("htmlunit", "jsonp"): (
        "in HtmlUnit the page stands still while a script is on its way, and the server holds each; it runs where none "
        "is held for long (test_scripts_that_are_not_held_long)"
    ),
}

_SLOW = "HtmlUnit takes minutes for it"
_LARGE = "a megabyte takes it seconds: as a growing text, whole and as a script is enough; PhantomJS 2 has it over all"
_SAME = "an older engine of its family has most of it, and today's all: much of what does not differ between them"
_FRAMES = "today's engine of its family has it over all: much in frames and scripts, which take it longest"

# Scenarios that an engine cannot do, or not in time: by engine, transport ("" for any) and scenario.
LESS: dict[tuple[str, str, str], str] = {
    ("phantomjs1", "sse", "cross_origin"): "the oldest EventSource throws when it is to cross origins",
    ("phantomjs1", "sse", "large_text"): _LARGE,
    ("phantomjs1", "htmlfile", "large_text"): _LARGE,
    ("phantomjs1", "long_polling", "large_text"): _LARGE,
    ("qtwebkit", "", "numbers"): _SAME,
    ("qtwebkit", "", "large_text"): _SAME,
    ("qtwebkit", "", "large_binary"): _SAME,
    ("chromium64", "htmlfile", "numbers"): _FRAMES,
    ("chromium64", "htmlfile", "large_text"): _FRAMES,
    ("chromium64", "htmlfile", "large_binary"): _FRAMES,
    ("chromium64", "jsonp", "numbers"): _FRAMES,
    ("chromium64", "jsonp", "large_text"): _FRAMES,
    ("chromium64", "jsonp", "large_binary"): _FRAMES,
    ("chromium69", "", "numbers"): _SAME,
    ("chromium69", "", "large_text"): _SAME,
    ("chromium69", "", "large_binary"): _SAME,
    ("chromium87", "", "numbers"): _SAME,
    ("chromium87", "", "large_text"): _SAME,
    ("chromium87", "", "large_binary"): _SAME,
    ("htmlunit", "", "numbers"): _SLOW,
    ("htmlunit", "", "large_text"): _SLOW,
    ("htmlunit", "", "large_binary"): _SLOW,
}

# Engines whose client is told what to use in the matrix, and why.
ONLY: dict[str, tuple[str, str]] = {
    "htmlunit": ("polling", "HtmlUnit makes one request at a time, so that a held poll holds up what is to be sent"),
}

# What no engine here has, and client-js/test/old.test.js plays in a browser that is none.
MOCKED: dict[str, str] = {
    "XDomainRequest (Internet Explorer 8 and 9, other origins)": (
        "tested against mocks: no status, onprogress, onload, onerror, a text that throws when it is read too early"
    ),
    "ActiveX htmlfile (Internet Explorer)": "tested against mocks: the document, its window, its frame",
    "htmlfile, JSONP and forms of another origin, by postMessage": "tested against mocks, attachEvent too",
    "localStorage that is missing or throws, no crypto, no typed arrays": "tested against mocks",
}


def can(engine: str, transport: str) -> bool:
    """Whether this engine runs this transport."""
    assert engine in ENGINES or engine == Node.name
    assert transport in TRANSPORTS
    return (engine, transport) not in GAPS


def leaves_out(engine: str, transport: str, scenario: str) -> bool:
    """Whether this engine is spared a scenario over this transport."""
    return (engine, transport, scenario) in LESS or (engine, "", scenario) in LESS
