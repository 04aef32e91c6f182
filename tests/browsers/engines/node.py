"""Node: no browser and no pages, but the client as servers and tools have it. A "page" is a worker of its own.

It has the transports that go by `fetch`, and the `WebSocket` of Node 22, or else that of the package `ws`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .base import ROOT
from .lines import DRIVERS, LineEngine

__all__ = ["Node"]

CLIENT = ROOT / "client-js" / "dist" / "realtime.cjs"
SCRIPTS = ROOT / "client-js" / "test" / "browser"
PACKAGES = ROOT / "tests" / "compat" / "websocket" / "node_modules"


class Node(LineEngine):
    """A script that starts workers."""

    name = "node"
    stands_for = "servers, tools, tests"
    pictures = False
    pages = False

    def missing(self) -> str | None:
        return self._need_program("node") or self._need(PACKAGES / "ws")

    def program(self) -> tuple[list[str | Path], Mapping[str, str]]:
        scripts = [SCRIPTS / "campaign.js", SCRIPTS / "steered.js"]
        return ["node", DRIVERS / "node.mjs", CLIENT, *scripts], {"NODE_PATH": str(PACKAGES), **os.environ}
