"""The page of several workers in a real browser: a worker is killed by its button, and no session misses a tick."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from realtime.demo import Several

from ..brokers.servers import Server, available
from .engines import Engine, wanted
from .engines.devtools import DevToolsPage
from .harness import CLIENT
from .test_demo import Visit

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not CLIENT.exists(), reason="client-js/dist/realtime.js has not been built"),
    pytest.mark.skipif(not available(), reason="redis-server is not installed"),
]

CHROMIUM = [name for name in ("chromium",) if name in wanted()]
# Of each lane: the worker that has its session, and what was counted.
LANES = "Demo.crew.lanes.map((lane) => [lane.worker, lane.ticks, lane.lost, lane.repeated, lane.deaths])"
ANSWERED = "[...document.querySelectorAll('#seats td:nth-child(3)')]"


async def all_hear(visitor: Visit, more: int = 3) -> list[list[Any]]:
    """Every lane has a session that hears the room; none has missed anything."""
    before = await visitor.value("Demo.crew.lanes.map((lane) => lane.ticks)")
    await visitor.until(
        f"Demo.crew.lanes.every((lane, i) => lane.worker !== null && lane.ticks >= {json.dumps(before)}[i] + {more})"
    )
    lanes: list[list[Any]] = await visitor.value(LANES)
    assert [lane[2:4] for lane in lanes] == [[0, 0]] * 8
    return lanes


@pytest.mark.parametrize("engine", CHROMIUM, indirect=True)
async def test_a_worker_is_killed_and_every_session_goes_on(engine: Engine, tmp_path: Path) -> None:
    redis = await asyncio.to_thread(Server(tmp_path, "--save", "").start)
    several = Several(3, redis.url, pause=1.0)
    try:
        async with several, engine.open(f"http://127.0.0.1:{several.port}/") as page:
            assert isinstance(page, DevToolsPage)
            visitor = Visit(page)
            await visitor.until("window.Demo && Demo.crew && Demo.crew.hands.length")
            lanes = await all_hear(visitor)
            await visitor.until(
                "[...document.querySelectorAll('#seats td:nth-child(3)')].every((cell) => cell.textContent !== '—')"
            )
            victim = lanes[0][0]
            dead = sum(lane[0] == victim for lane in lanes)
            await visitor.click(f"#worker-{victim} button")
            await visitor.until(f"document.querySelector('#worker-{victim}').className === 'hand down'")
            await visitor.until(f"Demo.crew.lanes.reduce((sum, lane) => sum + lane.deaths, 0) >= {dead}")
            await all_hear(visitor)
            await visitor.until(f"Demo.crew.hands[{victim}].told.starts === 2")
            await visitor.until(f"document.querySelector('#worker-{victim}').className === 'hand'")
            story = await visitor.text("#story")
            assert f"You killed worker {victim}" in story
            assert f"Worker {victim} is back" in story
            assert "WebSocket: its session ended with 4404" in story
            await all_hear(visitor)
            assert await visitor.text("#all-lost") == await visitor.text("#all-repeated") == "0"
            for width in (1280, 390):
                await page.call(
                    "Emulation.setDeviceMetricsOverride",
                    width=width,
                    height=800,
                    deviceScaleFactor=1,
                    mobile=width < 600,
                )
                await visitor.until(f"window.innerWidth === {width} && document.documentElement.scrollWidth <= {width}")
    finally:
        redis.kill()
