"""What gets through each box of the lab, and what the doctor has to say about the rest."""

from __future__ import annotations

__all__ = ["ALL", "EXPECTED", "PATIENCE", "STREAMS", "through"]

STREAMS = ("sse", "xhr_streaming", "multipart")
ALL = ("websocket", *STREAMS, "long_polling", "polling")

# How long the doctor leaves connections idle, in seconds: longer than the boxes that cut after one second need.
PATIENCE = {"nginx that cuts after 1 s": 1.6, "haproxy that cuts after 1 s": 1.6}

# For each box the state of each transport that is not "ok".
EXPECTED: dict[str, dict[str, str]] = {
    "nginx as it comes": {"websocket": "stripped"},
    "nginx that holds streams": {"websocket": "stripped", **dict.fromkeys(STREAMS, "buffered")},
    "nginx that cuts after 1 s": dict.fromkeys(("websocket", *STREAMS, "long_polling"), "cut"),
    "nginx as documented": {},
    "haproxy as it comes": dict.fromkeys(STREAMS, "lagged"),
    "haproxy that denies WebSockets": {"websocket": "refused"},
    "haproxy that strips Upgrade": {"websocket": "stripped"},
    "haproxy that cuts after 1 s": dict.fromkeys(("websocket", *STREAMS, "long_polling"), "cut"),
    "haproxy that waits for bodies": dict.fromkeys(STREAMS, "buffered"),
    "haproxy as documented": {},
    "caddy as documented": {},
}


def through(box: str) -> list[str]:
    """The transports that get through a box."""
    return [name for name in ALL if EXPECTED[box].get(name, "ok") in ("ok", "lagged", "cut")]
