"""Engines that live as long as the tests that want them, and the servers they talk to.

All on one event loop for the session: an engine serves one test after another. pytest groups tests by the engine, as
it is a parameter of a session's fixture, so that one engine runs at a time.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from ..demo.forked import forked
from .engines import ENGINES, Engine, wanted
from .harness import Harness, serving

__all__: list[str] = []

log = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a test here leaves to the garbage collector is not reported in another test."""
    yield
    gc.collect()


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    """What demos start is forked."""
    with forked():
        yield


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=wanted())
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """Each engine that is wanted. One that is not installed fails its tests, with what to do about it."""
    engine = ENGINES[request.param]()
    reason = engine.missing()
    if reason is not None:
        pytest.fail(f"{reason}; or name the engines you want, as in REALTIME_ENGINES=chromium", pytrace=False)
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def harness() -> AsyncIterator[Harness]:
    """Pages and endpoints."""
    asyncio.get_running_loop().set_debug(False)
    async with serving() as harness:
        yield harness
