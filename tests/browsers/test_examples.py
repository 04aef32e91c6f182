"""The pages of the examples, in a browser of today: what a person does there, and what they see."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import realtime
from realtime.testing import serve

from ..patience import within
from .engines import Engine, EngineError, Page, wanted

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.asyncio(loop_scope="session")

in_chromium = pytest.mark.parametrize("engine", [name for name in ("chromium",) if name in wanted()], indirect=True)


def load(name: str) -> Any:
    """An example as a fresh module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def shows(page: Page, expression: str) -> None:
    """Waits until a page is there, and an expression is true in it."""
    expression = f"location.protocol === 'http:' && document.readyState === 'complete' && ({expression})"

    async def holds() -> bool:
        try:
            return bool(await page.evaluate(expression))
        except EngineError as error:
            if "navigated" not in str(error) and "context" not in str(error):
                raise
            return False  # asked between one page and the next

    async with within(f"until the page says: {expression}"):
        while not await holds():  # noqa: ASYNC110 # the page tells nobody
            await asyncio.sleep(0.02)


async def fill(page: Page, form: str, **fields: str) -> None:
    """Types into a form, and submits it."""
    for name, value in fields.items():
        await page.evaluate(f'document.querySelector("{form}").elements.{name}.value = {json.dumps(value)}')
    await page.evaluate(f'void setTimeout(() => document.querySelector("{form}").requestSubmit())')


def line(text: str) -> str:
    """Whether a line is there, and nowhere a second time."""
    return (
        f"[...document.querySelectorAll('#log > *')].filter((e) => e.textContent === {json.dumps(text)}).length === 1"
    )


@in_chromium
async def test_chat_between_today_and_2011(engine: Engine) -> None:
    example = load("chat")
    async with (
        serve(example.make_app()) as server,
        engine.open(str(server.make_url("/"))) as page,
        engine.open(str(server.make_url("/legacy"))) as old,
    ):
        await shows(old, "/open over (?!nothing)/.test(document.getElementById('status').firstChild.nodeValue)")
        await fill(page, "#enter", name="Ada")
        await shows(page, line("* Ada has joined"))
        await shows(old, line("* Ada has joined"))
        await shows(page, "/^open over (?!nothing)/.test(document.getElementById('status').textContent)")
        await fill(page, "#say", text="<b>hello</b>")
        await shows(old, line("Ada: <b>hello</b>"))
        await old.evaluate("document.getElementById('text').value = 'good day'")
        await old.evaluate("document.querySelector('input[type=submit]').click()")
        await shows(page, "/guest\\d+: good day/.test(document.getElementById('log').textContent)")
        # A session that the server ends is reopened, and said so.
        for session in example.rt.sessions:
            if session.request.query["name"] == "Ada":
                await session.close(1013, "a break")
        await shows(page, line("* closed with 1013 a break: opening a new session"))
        await shows(old, "/Ada has left/.test(document.getElementById('log').textContent)")
        await shows(page, line("* Ada has joined").replace("=== 1", "=== 2"))
        await page.evaluate("document.getElementById('leave').click()")
        await shows(page, line("* closed with 1000 "))
        await shows(page, "!document.getElementById('enter').hidden")
        assert await page.errors() == await old.errors() == []


async def test_the_legacy_page_joins_in_every_engine(engine: Engine) -> None:
    """Seen from the room, since not every engine lets us look into its pages."""
    async with (
        serve(load("chat").make_app()) as server,
        realtime.connect(server.make_url("/realtime/chat?name=Ada")) as ada,
        within(f"until {engine.name} has joined"),
    ):
        assert await ada.receive() == "* Ada has joined"
        async with engine.open(str(server.make_url("/legacy"))):
            assert re.fullmatch(r"\* guest\d+ has joined", str(await ada.receive()))


@in_chromium
async def test_upload(engine: Engine) -> None:
    size = 3_000_001
    content = bytes(index % 251 for index in range(size))
    async with serve(load("upload").make_app()) as server, engine.open(str(server.make_url("/"))) as page:
        await shows(page, "true")
        # A page may not fill in a file's name, but it may hand over a file.
        await page.evaluate(
            f"""(() => {{
                const content = new Uint8Array({size}).map((_, index) => index % 251);
                const transfer = new DataTransfer();
                transfer.items.add(new File([content], "file"));
                const input = document.getElementById("file");
                input.files = transfer.files;
                input.dispatchEvent(new Event("change"));
            }})()"""
        )
        result = f"SHA-256: {hashlib.sha256(content).hexdigest()}"
        await shows(page, f"document.getElementById('result').textContent === {json.dumps(result)}")
        assert await page.evaluate("document.getElementById('progress').value") == size
        assert await page.errors() == []


@in_chromium
async def test_the_output_of_a_job_goes_on_over_reloads(engine: Engine) -> None:
    example = load("streamed_job")
    example.LINES = 200
    lines = [*(f"line {number}" for number in range(example.LINES)), example.END]
    count = "Number(document.getElementById('count').textContent)"
    async with serve(example.make_app(pause=0.01)) as server, engine.open(str(server.make_url("/"))) as page:
        for reload in range(1, 6):
            await shows(page, f"!window.before && {count} > {10 * reload}")
            await page.evaluate("window.before = true")
            await page.reload()
        await shows(page, f"!window.before && {count} >= {len(lines)}")
        assert await page.evaluate("document.getElementById('log').textContent") == "".join(f"{x}\n" for x in lines)
        assert await page.errors() == []
    assert example.runs == {"nightly": 1}


@in_chromium
async def test_sign_out_everywhere(engine: Engine) -> None:
    app: web.Application = load("existing_app").make_app()
    async with serve(app) as server:
        url = str(server.make_url("/"))
        async with engine.open(url) as page, engine.open(url) as elsewhere:  # each in a profile of its own
            for window in (page, elsewhere):
                await shows(window, "document.forms.length === 1")
                await fill(window, "form", user="ada", password="lovelace")
                await shows(window, "document.getElementById('note') !== null")
            await fill(page, "#note", text="milk")
            for window in (page, elsewhere):
                await shows(window, "document.getElementById('notes').textContent === 'milk'")
            await fill(page, "form[action='/logout']")
            for window in (page, elsewhere):
                await shows(window, "document.forms.length === 1 && document.forms[0].elements.password !== undefined")


@in_chromium
async def test_the_readme(engine: Engine) -> None:
    """Its application and its page: what is said in the one window stands in both."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (plugin, *_), (html,) = (
        re.findall(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL) for language in ("python", "html")
    )
    names: dict[str, Any] = {"__name__": "app"}
    exec(plugin, names)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    names["page"] = page
    async with serve(names["make_app"]()) as server:
        url = str(server.make_url("/"))
        async with engine.open(url) as one, engine.open(url) as other, within():
            for window in (one, other):
                await shows(window, "window.session && session.readyState === 1")
            await shows(one, "true")
            while len(list(names["rt"].room("lobby"))) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await one.evaluate(
                "(() => { const field = document.getElementById('text'); field.value = 'hello';"
                " field.dispatchEvent(new Event('change')); })()"
            )
            for window in (one, other):
                await shows(window, "document.getElementById('log').textContent === 'hello\\n'")
                assert await window.errors() == []
