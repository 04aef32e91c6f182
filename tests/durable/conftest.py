"""What tests of durable sessions begin with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

import realtime
from realtime.durable.sweeps import Sweeps

from .process import FORKS
from .workers import Place, worker


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[None]:
    """What starts the processes ends with the tests."""
    yield
    FORKS.close()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with worker(realtime.MemoryBroker()) as place:
        yield place


@pytest.fixture
def nobody_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that start look after no session that is due, but where the test has them do it."""
    monkeypatch.setattr(Sweeps, "pause", 1e6)
    monkeypatch.setattr(Sweeps, "rare", 1e6)
