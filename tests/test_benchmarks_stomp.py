"""What benchmarks.stomp measures gets all its messages. Nothing is timed."""

from __future__ import annotations

import pytest

from benchmarks.stomp import SCENARIOS, measure, started


@pytest.mark.parametrize("name", ["bare room", "topic, ids of their own", "queue, acknowledged"])
async def test_nothing_is_missing(name: str) -> None:
    scenario, server = SCENARIOS[name], await started(None)
    try:
        assert await measure(server, scenario, scenario.listeners or 3, 10) > 0
    finally:
        await server.stop()
