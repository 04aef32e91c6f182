"""Pages for browsers, the servers they talk to, and the reports they send.

Pages come from one port, which serves the endpoints too; another port serves the endpoints alone, so that cross-origin
is real. `Harness.run` opens the page run.html in an engine, and waits until it has reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

import realtime

from .endpoints import make_server
from .engines import CannotError, Engine, EngineError, Page

__all__ = ["CLIENT", "Failure", "Harness", "Outcome", "Report", "serving"]

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "client-js" / "test" / "browser"
LOADS = 40.0
"""Seconds after which a page in which nothing has begun won't begin by itself."""
CLIENT = Path(os.environ.get("REALTIME_CLIENT_JS", ROOT / "client-js" / "dist" / "realtime.js"))


class Failure(AssertionError):
    """A page did not report, or not well. Its text has all that is known."""


@dataclass(frozen=True)
class Outcome:
    """What became of one scenario."""

    scenario: str
    ok: bool
    problem: str | None
    transport: str | None
    seconds: float


@dataclass(frozen=True)
class Report:
    """What a page reported."""

    ok: bool
    outcomes: list[Outcome]
    log: list[str]
    errors: list[str]  # uncaught, by the page and by the engine


class _Log(logging.Handler):
    """Keeps the last lines of a log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        because = f" ({record.exc_info[1]!r})" if record.exc_info else ""
        self.lines.append(f"{record.levelname} {record.name}: {record.getMessage()}{because}")
        del self.lines[:-200]


@dataclass
class Harness:
    """Both servers, while they run."""

    pages: str  # http://127.0.0.1:A
    other: str  # http://127.0.0.1:B
    server: realtime.Server
    log: _Log
    _reports: dict[str, asyncio.Future[Any]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=itertools.count)

    def address(self, token: str, transport: str, scenarios: Sequence[str], pages: str | None = None) -> str:
        """The page's address. `pages` is another way to the port of the pages, such as a proxy."""
        pages = pages or self.pages
        query = {
            "token": token,
            "transport": transport,
            "scenarios": ",".join(scenarios),
            "same": f"{pages}/realtime",
            "cross": f"{self.other}/realtime",
        }
        return f"{pages}/run.html?{urlencode(query)}"

    async def run(
        self,
        engine: Engine,
        transport: str,
        scenarios: Sequence[str],
        *,
        timeout: float = 120.0,
        pages: str | None = None,
    ) -> Report:
        """Runs scenarios one after another in a fresh page. An empty `transport` leaves the choice to the client.

        Raises Failure when there is no report within `timeout` seconds.
        """
        token = f"{os.getpid()}-{next(self._numbers)}"
        address = self.address(token, transport, scenarios, pages)
        async with engine.open(address) as page:
            return await self.report(token, page, timeout)

    async def report(self, token: str, page: Page, timeout: float) -> Report:
        """The report of a page that is open. An old engine may give up one of its scripts when the machine is busy, and
        then nothing begins: it is loaded once more."""
        report = self._report(token)
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wait((report,), timeout=LOADS)
                if not report.done() and await self._has_not_begun(page):
                    await page.reload()
                said = await report
        except TimeoutError:
            raise Failure(f"no report within {timeout:g} s\n{await self.evidence(page)}") from None
        finally:
            del self._reports[token]
        outcomes = [Outcome(**outcome) for outcome in said["details"]]
        with contextlib.suppress(EngineError):
            said["errors"] += [text for text in await page.errors() if text not in said["errors"]]
        return Report(said["ok"], outcomes, said["log"], said["errors"])

    async def _has_not_begun(self, page: Page) -> bool:
        """Whether no scenario has, of those of run.html; who can't be asked has."""
        with contextlib.suppress(CannotError, EngineError):
            return bool(await page.evaluate("location.pathname === '/run.html' && !(window.run && run.log.length)"))
        return False

    async def evidence(self, page: Page) -> str:
        """What the page, the engine and the server have to say."""
        try:
            written = "\n".join(await page.evaluate("run.log"))
        except (CannotError, EngineError, TypeError) as error:
            written = f"({error!r})"
        try:
            console = "\n".join(f"{line.kind}: {line.text}" for line in await page.console())
        except EngineError as error:
            console = f"({error!r})"
        server = "\n".join(self.log.lines[-40:])
        sessions = "\n".join(map(repr, self.server.sessions))
        return f"page:\n{written}\n\nconsole:\n{console}\n\nserver:\n{server}\n{sessions}"

    def _report(self, token: str) -> asyncio.Future[Any]:
        return self._reports.setdefault(token, asyncio.get_running_loop().create_future())

    async def take(self, request: web.Request) -> web.Response:
        """The route /report: POST, or GET from an image."""
        text = await request.text() if request.method == "POST" else request.query["report"]
        future = self._report(request.query["token"])
        if not future.done():
            try:
                future.set_result(json.loads(text))
            except ValueError:  # an image's address holds only so much
                result = {"ok": False, "details": [], "log": [text], "errors": ["the report was cut"]}
                future.set_result(result)
        return web.Response(headers={"Cache-Control": "no-store"})


@contextlib.asynccontextmanager
async def serving(
    client: Path = CLIENT, webtransport: realtime.WebTransport | None = None, **settings: Any
) -> AsyncIterator[Harness]:
    """Both servers, up. `settings` are those of realtime.Server; with `webtransport` that of the pages has it, too."""
    log = _Log()
    logging.getLogger("realtime").addHandler(log)
    logging.getLogger("aiohttp").addHandler(log)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(logging.getLogger("realtime").removeHandler, log)
        stack.callback(logging.getLogger("aiohttp").removeHandler, log)
        server = make_server(**settings)
        app = web.Application(client_max_size=1 << 24)
        realtime.setup(app, server, webtransport=webtransport)
        harness = Harness("", "", server, log)
        app.router.add_route("*", "/report", harness.take)
        app.router.add_get("/run.html", _file(SCENARIOS / "run.html", "text/html"))
        app.router.add_get("/steered.html", _file(SCENARIOS / "steered.html", "text/html"))
        app.router.add_get("/blank.html", _text("<!DOCTYPE html><title>blank</title>", "text/html"))
        app.router.add_get("/favicon.ico", _text("", "image/x-icon"))
        app.router.add_get("/realtime.js", _file(client, "text/javascript"))
        app.router.add_get("/webtransport.js", _file(CLIENT.with_name("webtransport.js"), "text/javascript"))
        for script in sorted(SCENARIOS.glob("*.js")):
            app.router.add_get(f"/scenarios/{script.name}", _file(script, "text/javascript"))
        harness.pages = await _up(stack, app)
        other = web.Application()
        realtime.setup(other, make_server(**{"allowed_origins": (harness.pages,), **settings}))
        harness.other = await _up(stack, other)
        yield harness


async def _up(stack: contextlib.AsyncExitStack, app: web.Application) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


def _file(path: Path, kind: str) -> Any:
    # Read once: nothing changes while tests run.
    return _text(path.read_text("utf-8") if path.exists() else "", kind)


def _text(text: str, kind: str) -> Any:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, charset="utf-8")

    return handle
