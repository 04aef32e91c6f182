"""Workers in processes of their own, which are killed, over a Redis that fails: a short form of killings."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..patience import PATIENCE
from .killings import PERSISTENT, play
from .servers import Server, available


@pytest.mark.timeout(4 * PATIENCE)
async def test_killed_workers_and_a_failing_redis_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """What a wiped Redis has lost is told, to everybody in each room; nothing else is."""
    if not available():
        pytest.skip("redis-server is not installed")
    server = Server(tmp_path, *PERSISTENT).start()
    try:
        counts, _ = await play(server, ["kill", "restart", "pause", "wipe"], processes=2, clients=4, beat=0.2)
    finally:
        server.kill()
    assert counts["killed"] == 1
    assert counts["reopened"] >= 4
    assert counts["heard"] > 50
    assert counts["gaps"] == 4 * 3
    wrong = ("lost", "repeated", "out of order", "gaps without a reason")
    assert {name: counts[name] for name in wrong} == dict.fromkeys(wrong, 0)
