"""Fifty clients that do not read, beside others: what these get, by counting (benchmarks/stalled.py, with fewer)."""

from __future__ import annotations

import pytest

from benchmarks.stalled import count
from realtime.web import sockets


@pytest.mark.parametrize("taking_over", [True, False])
async def test_nobody_waits_for_who_does_not_read(taking_over: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All messages arrive while the fifty take nothing, whether the connections are taken over or read by aiohttp."""
    monkeypatch.setattr(sockets, "TAKING_OVER", taking_over)
    assert (await count(sessions=100, stalled=50, messages=10))[:3] == (1000, 1000, 50)
