"""Every engine starts, loads a page, reports, tells its version, and lets us see an error that nobody caught."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from .engines import CannotError, Engine, EngineError, MuJS, Page, wanted
from .harness import SCENARIOS, Harness

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_version(engine: Engine, record_property: pytest.FixtureRequest) -> None:
    version = await engine.version()
    record_property("version", f"{engine.name}: {version}")  # type: ignore[operator] # a function, says pytest
    print(f"{engine.name}: {version}")  # noqa: T201 # for the log
    assert any(character.isdigit() for character in version)


async def test_a_page_reports(engine: Engine, harness: Harness) -> None:
    """Without the client: a scenario that does not exist is reported as such."""
    report = await harness.run(engine, "", ["nonsense"])
    assert not report.ok
    assert [outcome.problem for outcome in report.outcomes] == ["there is no such scenario"]


async def test_an_uncaught_error_is_seen(engine: Engine, harness: Harness) -> None:
    report = await harness.run(engine, "", ["uncaught"])
    assert report.ok
    assert any("nobody catches this" in error for error in report.errors), report.errors


async def test_each_page_is_in_a_fresh_profile(engine: Engine, harness: Harness) -> None:
    for _ in range(2):
        report = await harness.run(engine, "", ["fresh"])
        assert report.ok, report.outcomes


async def test_a_page_is_asked(engine: Engine, harness: Harness) -> None:
    async with engine.open(harness.address("asked", "", ["fresh"])) as page:
        await harness.report("asked", page, 120)
        assert await page.evaluate("1 + 1") == 2
        assert await page.evaluate("['a', null]") == ["a", None]
        assert await page.evaluate("document.title") == "realtime: scenarios"


async def test_a_picture(engine: Engine, harness: Harness, tmp_path: Path) -> None:
    async with engine.open(harness.address("picture", "", ["fresh"]), window=True) as page:
        await harness.report("picture", page, 120)
        path = tmp_path / "page.png"
        if not engine.pictures:
            with pytest.raises(CannotError):
                await page.screenshot(path)
            return
        await page.screenshot(path)
        assert path.read_bytes().startswith(b"\x89PNG")


async def test_an_engine_that_was_stopped_starts_again(engine: Engine, harness: Harness) -> None:
    await engine.stop()
    assert (await harness.run(engine, "", ["fresh"])).ok


async def test_a_page_loaded_anew_before_it_had_loaded_has_not_failed(engine: Engine) -> None:
    """As a page is that an old engine gave up a script of."""
    if not engine.pages or engine.name == "htmlunit":
        pytest.skip("it has no pages, or none that can be asked while a script is on its way")
    asked: asyncio.Queue[int] = asyncio.Queue()
    ended = asyncio.Event()

    async def index(request: web.Request) -> web.Response:
        return web.Response(text="<!DOCTYPE html><script src='script'></script>", content_type="text/html")

    async def script(request: web.Request) -> web.Response:
        asked.put_nowait(1)
        if not served:
            served.append(request)
            await ended.wait()
        return web.Response(text="window.complete = true", content_type="text/javascript")

    served: list[web.Request] = []
    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/script", script)
    async with TestServer(app) as server:
        async with engine.open(str(server.make_url("/"))) as page:
            async with asyncio.timeout(120):
                await asked.get()
                await page.reload()
                await asked.get()
                complete = False
                while not complete:
                    await asyncio.sleep(0.05)
                    with contextlib.suppress(EngineError):  # between two pages
                        complete = await page.evaluate("!!window.complete")
            assert await page.errors() == []
        ended.set()


class Page2011(Page):
    """It gives up one of its scripts the first time."""

    def __init__(self, harness: Harness) -> None:
        super().__init__()
        self._harness = harness
        self.asked: list[str] = []

    async def evaluate(self, script: str) -> Any:
        self.asked.append(script)
        return True

    async def reload(self) -> None:
        self.asked.append("reload")
        said = {"ok": True, "details": [], "log": [], "errors": []}
        self._harness._report("given up").set_result(said)


async def test_a_page_that_never_begins_is_loaded_once_more(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.browsers.harness.LOADS", 0.0)
    page = Page2011(harness)
    assert (await harness.report("given up", page, 120)).ok
    assert page.asked[1:] == ["reload"]


@pytest.mark.skipif("mujs" not in wanted() and len(wanted()) < 10, reason="REALTIME_ENGINES names others")
async def test_mujs_without_es5(tmp_path: Path) -> None:
    mujs = MuJS()
    reason = mujs.missing()
    assert reason is None, reason
    script = tmp_path / "script.js"
    script.write_text("print(typeof JSON, typeof [].map, typeof ''.trim, typeof [].slice)", "utf-8")
    assert await mujs.run(script) == "undefined undefined undefined function\n"
    assert await mujs.run(script, es3=False) == "object function function function\n"
    script.write_text("[].forEach(print)", "utf-8")
    with pytest.raises(EngineError, match="undefined"):
        await mujs.run(script)
    # The scenarios themselves are for every engine, but for those that need the browser's own WebSocket of today.
    scenarios = sorted(path for path in SCENARIOS.glob("[!r]*.js") if path.name != "alike.js")
    script.write_text("var location = {search: ''}, window = {};", "utf-8")
    await mujs.run(script, SCENARIOS / "run.js", *scenarios)
