"""Engines that a small script of ours drives: commands go to it as lines of JSON, and so do answers and events come.

A command is {"id", "do", "page", …}; its answer {"id", "result"} or {"id", "error"}; what a page writes to its console
is {"page", "kind", "text"}. The scripts are in drivers/. Other lines are complaints.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from .base import Engine, EngineError, Page
from .process import PATIENCE, Program

__all__ = ["DRIVERS", "LineEngine", "LinePage"]

DRIVERS = Path(__file__).parent / "drivers"


class LinePage(Page):
    """A page of the script's."""

    def __init__(self, engine: LineEngine, number: int) -> None:
        super().__init__()
        self._engine = engine
        self.number = number

    async def evaluate(self, script: str) -> Any:
        text = await self._engine.command("evaluate", self.number, script=script)
        return None if text is None else json.loads(text)

    async def screenshot(self, path: Path) -> None:
        if not self._engine.pictures:
            await super().screenshot(path)
        await self._engine.command("screenshot", self.number, path=str(path))


class LineEngine(Engine):
    """An engine behind a script that reads lines."""

    def __init__(self) -> None:
        self._program: Program | None = None
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._pages: dict[int, LinePage] = {}
        self._said_version = ""

    @abc.abstractmethod
    def program(self) -> tuple[list[str | Path], Mapping[str, str]]:
        """The command of the script, and what it wants in the environment. It starts by telling {"version"}."""

    async def version(self) -> str:
        await self._start()
        return self._said_version

    async def _start(self) -> Program:
        if self._program is not None and self._program.alive:
            return self._program
        await self.stop()
        command, environment = self.program()
        program = await Program.start(self.name, command, env=environment, on_line=self._line)
        self._program = program
        found = await program.wait_for(r'^\{"version": ?"(.*)"')
        self._said_version = found[1]
        return program

    def _line(self, line: str) -> None:
        if not line.startswith("{"):
            return
        try:
            said = json.loads(line)
        except ValueError:
            return
        if "id" in said:
            future = self._waiting.get(said["id"])
            if future is not None and not future.done():
                if "error" in said:
                    future.set_exception(EngineError(f"{self.name}: {said['error']}"))
                else:
                    future.set_result(said.get("result"))
        elif "page" in said:
            page = self._pages.get(said["page"])
            if page is not None:
                page.note(said["kind"], said["text"])

    async def command(self, what: str, page: int, **details: Any) -> Any:
        """A command to the script; its answer. Raises EngineError."""
        program = self._program
        if program is None or not program.alive:
            raise EngineError(f"{self.name} has ended") if program is None else program.failure("has ended")
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(PATIENCE):
                await self._send(program, json.dumps({"id": number, "do": what, "page": page, **details}))
                return await future
        except TimeoutError:
            raise program.failure(f"no answer to {what} within {PATIENCE:g} s") from None
        finally:
            del self._waiting[number]

    async def _send(self, program: Program, line: str) -> None:
        program.write(line)

    @contextlib.asynccontextmanager
    async def open(self, url: str, *, window: bool = False) -> AsyncIterator[LinePage]:
        await self._start()
        self._number += 1
        page = self._pages[self._number] = LinePage(self, self._number)
        try:
            await self.command("open", page.number, url=url)
            yield page
        finally:
            del self._pages[page.number]
            if self._program is not None and self._program.alive:
                with contextlib.suppress(EngineError):
                    await self.command("close", page.number)

    async def stop(self) -> None:
        program, self._program = self._program, None
        if program is not None:
            await program.stop()
