"""A sample of the matrix (`make matrix` runs all of it): the oldest and the newest, and what is worst for each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .engines import Engine, wanted
from .harness import Harness, serving
from .matrix.faults import FAULTS, SETTINGS, run_cell

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAMPLE = {
    "chromium": ("websocket-killed", "websocket-mute", "server-gone"),
    "firefox": ("websocket-refused", "stream-cut", "reply-dropped"),
    "webkitgtk": ("websocket-killed", "stream-held"),
    "phantomjs2": ("websocket-mute", "server-gone"),
    "phantomjs1": ("none", "post-repeated", "stream-cut"),
    "chromium64": ("stream-held",),
    "htmlunit": ("none", "reply-dropped"),
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def impatient() -> AsyncIterator[Harness]:
    """A harness whose server finds silence soon."""
    async with serving(**SETTINGS) as harness:
        yield harness


@pytest.mark.parametrize(
    ("engine", "fault"),
    [(name, fault) for name, faults in SAMPLE.items() if name in wanted() for fault in faults],
    indirect=["engine"],
)
async def test_session_survives(engine: Engine, fault: str, impatient: Harness) -> None:
    assert fault in FAULTS
    cell = await run_cell(engine, fault, impatient)
    assert cell.ok, cell.problem
    assert cell.transport
