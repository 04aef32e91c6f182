"""The browser engines of the tests: current ones, old ones, and one that only pretends.

`ENGINES` has a class for each by name. `.ci/browsers` installs them. `wanted()` are those that a run is about. Node is
no browser and not among them.
"""

from __future__ import annotations

import os

from .base import CannotError, Engine, EngineError, Message, Page, started
from .devtools import Chromium, Chromium64
from .firefox import Firefox
from .htmlunit import HtmlUnit
from .mujs import MuJS
from .node import Node
from .phantom import PhantomJS1, PhantomJS2
from .qt import Chromium69, Chromium87, QtWebKit
from .webkitgtk import WebKitGTK

__all__ = ["ENGINES", "CannotError", "Engine", "EngineError", "Message", "MuJS", "Node", "Page", "started", "wanted"]

_CLASSES: tuple[type[Engine], ...] = (
    Chromium,
    Firefox,
    WebKitGTK,
    QtWebKit,
    PhantomJS2,
    PhantomJS1,
    Chromium64,
    Chromium69,
    Chromium87,
    HtmlUnit,
)
ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in _CLASSES}


def wanted() -> list[str]:
    """All engines, or those that REALTIME_ENGINES names, separated by commas. Who is wanted must be there."""
    names = [name.strip() for name in os.environ.get("REALTIME_ENGINES", "").split(",") if name.strip()]
    for name in names:
        if name not in ENGINES:
            raise EngineError(f"REALTIME_ENGINES: there is no engine {name!r}; there are {', '.join(ENGINES)}")
    return names or list(ENGINES)
