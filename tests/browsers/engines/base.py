"""What every engine is to a test: it may be missing, it has a version, and it opens pages that can be looked into.

An engine is started with its first page, serves one page after another (each in a fresh profile), and is started
again when it has died.
"""

from __future__ import annotations

import abc
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .process import EngineError

__all__ = ["INSTALL", "LAB", "CannotError", "Engine", "EngineError", "Message", "Page", "npm", "save", "started"]

ROOT = Path(__file__).parents[3]
LAB = Path(os.environ.get("REALTIME_LAB", ROOT / ".lab"))
INSTALL = "run `sh .ci/browsers`"


class CannotError(EngineError):
    """This engine has no way to do that."""


@dataclass(frozen=True)
class Message:
    """A line of a page's console. `kind` is "error" for uncaught errors and console.error, else as the engine says."""

    kind: str
    text: str


class Page:
    """A page that is open."""

    def __init__(self) -> None:
        self._console: list[Message] = []

    def note(self, kind: str, text: str) -> None:
        """Something was written to the console."""
        self._console.append(Message(kind, text))

    async def console(self) -> list[Message]:
        """All that the engine told so far."""
        return list(self._console)

    async def errors(self) -> list[str]:
        """The errors among it."""
        return [message.text for message in await self.console() if message.kind == "error"]

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, as JSON allows. Raises EngineError when it throws."""
        raise CannotError("this engine cannot evaluate")

    async def reload(self) -> None:
        """Loads it anew, behind the answer to this call: the document goes, and what it is asked then goes with it."""
        await self.evaluate("void setTimeout(function () { location.reload(); }, 0)")

    async def visit(self, address: str) -> None:
        """Goes to another page, likewise."""
        await self.evaluate(f"void setTimeout(function () {{ location.href = {json.dumps(address)}; }}, 0)")

    async def back(self) -> None:
        """Goes back to the page before, likewise."""
        await self.evaluate("void setTimeout(function () { history.back(); }, 0)")

    async def screenshot(self, path: Path) -> None:
        """A PNG of the page. Raises CannotError where there is none."""
        raise CannotError("this engine takes no pictures")


class Engine(abc.ABC):
    """One browser engine."""

    name: str
    stands_for: str
    pictures = True
    pages = True
    """Whether there are pages, which are left, put away and loaded again."""

    @abc.abstractmethod
    def missing(self) -> str | None:
        """Why it cannot run here and what to do about that, in a sentence; None if it can."""

    @abc.abstractmethod
    async def version(self) -> str:
        """As the engine itself reports it."""

    @abc.abstractmethod
    def open(self, url: str, *, window: bool = False) -> contextlib.AbstractAsyncContextManager[Page]:
        """Loads a page in a fresh profile, and closes it in the end. Raises EngineError.

        `window`: whether it needs one, as it does for its picture, for what waits for the next frame, and to come back
        from the back-forward cache. Otherwise an engine may leave it out where it costs more than the page.
        """

    @abc.abstractmethod
    async def stop(self) -> None:
        """Ends all processes."""

    def __repr__(self) -> str:
        return f"<engine {self.name}>"

    def _need(self, *paths: Path) -> str | None:
        for path in paths:
            if not path.exists():
                return f"{self.name} is not installed ({path} is missing): {INSTALL}"
        return None

    def _need_program(self, *programs: str) -> str | None:
        for program in programs:
            if shutil.which(program) is None:
                return f"{self.name} is not installed (no {program} on the PATH): {INSTALL}"
        return None


def save(path: Path, data: bytes) -> None:
    """Writes a picture."""
    path.write_bytes(data)


def npm(package: str) -> Path:
    """Where one of the lab's npm packages is."""
    return LAB / "node_modules" / package


@contextlib.asynccontextmanager
async def started(engine: Engine) -> AsyncIterator[Engine]:
    """An engine for a while. Raises EngineError if it is not installed."""
    reason = engine.missing()
    if reason is not None:
        raise EngineError(reason)
    try:
        yield engine
    finally:
        await engine.stop()
