"""examples/frontends: React, Vue and Svelte in one chat, from pages of another origin that Vite serves.

`make test` installs their packages (`.ci/clients`). Where there is no Node that Vite runs on, these tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ..patience import within
from .engines import Engine, EngineError, Page, wanted

FRONTENDS = Path(__file__).parents[2] / "examples" / "frontends"
PAGES = ("react", "vue", "svelte")
# Vite with the example's own configuration, but for where it listens and keeps things. It says where it is, once it has
# prepared the packages that it finds in the pages: when it finds one later, it loads all open pages again.
VITE = """
import { build, createServer, preview } from "vite";
const [mode, folder, ...pages] = process.argv.slice(1);
const place = { host: "127.0.0.1", port: 0, strictPort: true };
const seen = new Set();
let server, address;
async function visit(path) {
  if (seen.has(path)) return;
  seen.add(path);
  const text = await (await fetch(address + path)).text();
  await Promise.all([...text.matchAll(/(?:from|import|src=) ?"(\\/[^"]+)"/g)].map((found) => visit(found[1])));
}
if (mode === "dev") {
  server = await createServer({ logLevel: "warn", cacheDir: folder, server: place });
  await server.listen();
} else {
  await build({ logLevel: "warn", build: { outDir: folder } });
  server = await preview({ logLevel: "warn", build: { outDir: folder }, preview: place });
}
address = `http://127.0.0.1:${server.httpServer.address().port}`;
await Promise.all(pages.map(visit));
console.log(address);
"""


def runs_vite() -> bool:
    """Whether the packages are there, and a Node that they take: 20.19, 22.12 or newer."""
    if shutil.which("node") is None or not (FRONTENDS / "node_modules").is_dir():
        return False
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    major, minor = (int(part) for part in said.lstrip("v").split(".")[:2])
    return (major, minor) >= (22, 12) or (major == 20 and minor >= 19)


pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not runs_vite(), reason="needs Node 20.19 or newer, and the example's packages: sh .ci/clients"),
]


def example() -> Any:
    spec = importlib.util.spec_from_file_location("example_frontends", FRONTENDS / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def vite(mode: str, folder: Path, application: str) -> AsyncIterator[str]:
    """The origin of the pages, while they are served."""
    process = await asyncio.create_subprocess_exec(
        *("node", "--input-type=module", "-e", VITE, mode, str(folder), *(f"/{name}.html" for name in PAGES)),
        cwd=FRONTENDS,
        env={**os.environ, "VITE_SERVER": application},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with within("until Vite serves"):
            line = await process.stdout.readline()
        assert line.startswith(b"http://"), "Vite has ended"
        yield line.decode().strip()
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def served(app: web.Application, place: socket.socket) -> AsyncIterator[None]:
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.SockSite(runner, place).start()
        yield
    finally:
        await runner.cleanup()


async def becomes(page: Page, condition: str) -> None:
    """Waits until something is true in a page."""
    async with within(f"until this is true in the page: {condition}"):
        while True:
            with contextlib.suppress(EngineError):  # asked between one page and the next
                if await page.evaluate(condition):
                    return
            await asyncio.sleep(0.02)


async def shows(page: Page, lines: list[str]) -> None:
    """Waits until these are the last lines of a page."""
    found = f"[...document.querySelectorAll('p')].slice(-{len(lines)}).map((each) => each.textContent)"
    await becomes(page, f"JSON.stringify({found}) === {json.dumps(json.dumps(lines, separators=(',', ':')))}")


async def say(page: Page, text: str) -> None:
    """Types it, and submits the form, once the page has one."""
    await becomes(page, "document.querySelector('form') !== null")
    await page.evaluate(
        f"(() => {{ const field = document.querySelector('input'); field.value = {json.dumps(text)};"
        " field.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    await page.evaluate("document.querySelector('form').requestSubmit()")


@pytest.mark.parametrize("mode", ["dev", "built"])
@pytest.mark.parametrize("engine", [name for name in ("chromium",) if name in wanted()], indirect=True)
async def test_they_talk_to_each_other(engine: Engine, tmp_path: Path, mode: str) -> None:
    async with AsyncExitStack() as stack:
        place = stack.enter_context(socket.socket())
        place.bind(("127.0.0.1", 0))
        application = f"http://127.0.0.1:{place.getsockname()[1]}"
        origin = await stack.enter_async_context(vite(mode, tmp_path, application))
        await stack.enter_async_context(served(example().make_app([origin]), place))
        pages = {name: await stack.enter_async_context(engine.open(f"{origin}/{name}.html")) for name in PAGES}
        for name, page in pages.items():
            await say(page, f"{name} is here")
            await shows(page, [f"{name} is here"])  # who reads what it says has joined
        said: list[str] = []
        for name, page in pages.items():
            said.append(f"hello from {name}")
            await say(page, said[-1])
            for each in pages.values():
                await shows(each, said)
        for page in pages.values():
            assert await page.errors() == []
