"""The command that says what rooms over Redis cost: it measures what it says, with few messages."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.rooms import measure


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_receiving_is_measured() -> None:
    rows = await measure(["receiving"], 0.005)
    assert [what for what, *_ in rows] == ["receiving, and one delivery", "receiving, with history, and one delivery"]
    for _, _, worker, store in rows:
        assert 1 < float(worker.removesuffix(" µs")) < 100_000
        assert 64 < float(store.removesuffix(" bytes out")) < 10_000
