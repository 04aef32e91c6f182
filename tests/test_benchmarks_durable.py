"""The command that says what a turn of a durable session costs: it measures what it says, with few turns."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.durable import a_worker, compare
from benchmarks.forwarding import a_redis


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_a_turn_is_one_script_of_a_durable_session_and_none_of_another() -> None:
    async with a_redis() as redis, a_worker(redis, core=None) as worker:
        ordinary, durable = await compare(redis, worker, 20, 3)
    assert ordinary.scripts < 1  # what is done without sessions is counted, too
    assert durable.scripts >= 1
    assert durable.commands > durable.scripts
    assert min(ordinary.worker, durable.worker, ordinary.latency, durable.latency) > 0
