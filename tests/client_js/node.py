"""The JavaScript client in Node, which a test talks to by lines: a script, and what it says and is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from ..patience import arrives
from .test_events import CLIENT, WS

__all__ = ["Page", "page"]


P = TypeVar("P", bound="Page")


class Page:
    """A process of Node, as if it were a page."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self) -> Any:
        """What it said next, as JSON."""
        assert self._process.stdout is not None
        return json.loads(await arrives(self._process.stdout.readline()))

    def tell(self, line: str) -> None:
        """What it is to do is the script's."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def ended(self) -> None:
        """Waits for its end."""
        await arrives(self._process.wait())


@contextlib.asynccontextmanager
async def page(kind: type[P], script: str, url: str, transport: str) -> AsyncIterator[P]:
    """Runs a script, a module that finds a WebSocket at %(ws)s, with an address and a transport."""
    node = await asyncio.create_subprocess_exec(
        *("node", "--input-type=module", "-e", script % {"ws": WS}, "--", url, transport),
        cwd=CLIENT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield kind(node)
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
