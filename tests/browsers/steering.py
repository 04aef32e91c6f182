"""Pages that a test steers from outside: it says what the page does, and waits until something is true there."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Self

from aiohttp import web

import realtime

from ..cutting import cut_what_was_taken_over
from .endpoints import make_server
from .engines import Engine, EngineError, Page
from .harness import Failure, Harness

__all__ = ["Endpoint", "Steered", "steered"]

PATIENCE = 120.0  # for what comes sooner or later, on a machine that is busy


class Steered:
    """A page with steered.js in it."""

    def __init__(self, page: Page, harness: Harness) -> None:
        self.page = page
        self._harness = harness

    async def do(self, expression: str, *arguments: Any) -> Any:
        """The value of an expression; each `%s` in it is an argument, as JSON."""
        return await self.page.evaluate(expression % tuple(json.dumps(argument) for argument in arguments))

    async def until(self, expression: str, *arguments: Any, timeout: float = PATIENCE) -> Any:
        """Waits until an expression is true, and returns its value."""
        problem = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        value = await self.do(expression, *arguments)
                    except EngineError as error:  # between two pages
                        problem = error
                    else:
                        if value:
                            return value
                    await asyncio.sleep(0.05)
        except TimeoutError:
            evidence = await self._harness.evidence(self.page)
            with contextlib.suppress(EngineError):
                evidence += f"\n{await self.do('steered.told')}"
            raise Failure(f"never: {expression} {arguments} ({problem})\n{evidence}") from None

    async def open(self, name: str, url: str, **options: Any) -> None:
        """Opens a session, and waits for it."""
        await self.do("steered.open(%s, %s, %s)", name, url, options)
        await self.until("steered.of(%s, 'open').length", name)

    async def exchange(self, name: str, first: int, last: int) -> None:
        """Sends numbered messages to an echo, and waits for the answers. All that came so far must be in order."""
        await self.do("steered.send(%s, %s, %s)", name, first, last)
        await self.came(name, last)

    async def came(self, name: str, last: int, word: str = "") -> None:
        """Waits until the echo of every message to this one has come, once and in order. `word`: or of others."""
        word = word or name
        await self.until("steered.heard(%s, %s).length >= %s", name, word, last)
        assert await self.do("steered.heard(%s, %s)", name, word) == words(word, 1, last)

    async def acknowledged(self, name: str) -> None:
        """Waits until nothing is unacknowledged."""
        await self.until("!steered.sessions[%s].unacknowledged.length", name)

    async def closed(self, name: str) -> dict[str, Any]:
        """Waits for a close; its fields."""
        fields = await self.until("steered.last(%s, 'close')", name)
        return dict(zip(("code", "reason", "clean", "unacknowledged", "reopening"), fields, strict=True))


def words(name: str, first: int, last: int) -> list[str]:
    """What steered.send sends."""
    return [f"{name} {number}" for number in range(first, last + 1)]


@contextlib.asynccontextmanager
async def steered(
    engine: Engine, harness: Harness, pages: str | None = None, *, window: bool = False
) -> AsyncIterator[Steered]:
    """The page, open. `pages` is another way to the port of the pages; `window` as for Engine.open."""
    async with engine.open(f"{pages or harness.pages}/steered.html", window=window) as page:
        its = Steered(page, harness)
        await its.until("typeof steered === 'object' && typeof Realtime === 'function'")
        yield its


class Endpoint:
    """A server of the endpoints alone, which can vanish as one does whose process is killed, and come again.

    It comes again on the same port, and knows nothing of what was.
    """

    def __init__(self, origin: str, **settings: Any) -> None:
        self.server: realtime.Server
        self.url = ""
        self._origin = origin
        self._settings = settings
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._gone: list[web.AppRunner] = []

    def application(self) -> web.Application:
        """That of a new server."""
        self.server = make_server(allowed_origins=(self._origin,), **self._settings)
        app = web.Application()
        realtime.setup(app, self.server)
        return app

    async def start(self) -> None:
        """A new server, on the port of the one before."""
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}/realtime"

    async def vanish(self) -> None:
        """No socket listens and no connection lives any more, and no session was told anything."""
        runner, self._runner = self._runner, None
        assert runner is not None
        assert runner.server is not None
        for site in list(runner.sites):
            await site.stop()
        for connection in list(runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        cut_what_was_taken_over(self.server._service)  # of which aiohttp does not know any more
        self._gone.append(runner)

    async def stop(self) -> None:
        """The end of all."""
        for runner in (*self._gone, self._runner):
            if runner is not None:
                await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
