"""Every scenario of benchmarks.stomp gets all its messages. Nothing is timed."""

from __future__ import annotations

import pytest

from benchmarks.stomp import SCENARIOS, measure, started


@pytest.mark.parametrize("name", SCENARIOS)
async def test_nothing_is_missing(name: str) -> None:
    server = await started(None)
    try:
        assert await measure(server, SCENARIOS[name], 3, 10) > 0
    finally:
        await server.stop()
