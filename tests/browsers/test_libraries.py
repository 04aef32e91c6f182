"""Libraries that take a WebSocket class are given Realtime: unchanged, in a page. In Node: tests/compat/websocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ..compat.websocket.test_libraries import CLIENT, HERE, LIBRARIES, check, needs_libraries, output, serving
from ..patience import within
from .engines import Engine, Page, wanted

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs_libraries]


async def told(page: Page, variable: str, what: str) -> Any:
    """A variable of the page, once it has a value."""
    async with within(what):
        while (value := await page.evaluate(f"window.{variable} || null")) is None:  # noqa: ASYNC110 # it cannot call
            await asyncio.sleep(0.02)
    return value


@pytest.mark.parametrize("engine", [name for name in ("chromium", "firefox") if name in wanted()], indirect=True)
async def test_in_a_page(engine: Engine) -> None:
    bundled = await output(
        CLIENT / "node_modules" / "esbuild" / "bin" / "esbuild",
        HERE / "page.js",
        "--bundle",
        "--format=iife",
        "--log-level=error",
    )
    async with serving(bundled) as base, engine.open(f"{base}/page.html") as page:
        assert await told(page, "names", engine.name) == list(LIBRARIES)
        for name in LIBRARIES:
            await page.evaluate(f"void start({json.dumps(name)}, {json.dumps(base + '/realtime')})")
            check(await told(page, "told", f"{name} in {engine.name}"), name)
