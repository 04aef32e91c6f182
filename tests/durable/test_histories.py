"""A short history of durable sessions whose workers are killed and told to go; `python -m tests.durable.histories`
plays longer ones.
"""

from __future__ import annotations

import pytest

from .histories import TRANSPORTS, play


@pytest.mark.timeout(300)
async def test_nothing_is_lost_repeated_or_reordered() -> None:
    counts = await play(1, len(TRANSPORTS), 5)
    assert counts["killed"] + counts["told to go"] == 5
    assert counts["messages"] >= len(TRANSPORTS)
    assert counts["handlers"] > len(TRANSPORTS)
