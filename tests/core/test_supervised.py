"""The histories of the simulated world with the client's policy that ships, in place of chance.

`make histories` plays more of them.
"""

from __future__ import annotations

from collections import Counter

import pytest

from .simulation import play
from .supervised import SupervisedClient

SEEDS = 200
CHUNK = 100


@pytest.mark.parametrize("start", range(0, SEEDS, CHUNK))
def test_histories(start: int) -> None:
    """Exactly once, in order, both ways, or both sides told a code; whatever carrier the policy takes."""
    seen: Counter[str] = Counter()
    for seed in range(start, start + CHUNK):
        try:
            client = play(seed, client=SupervisedClient).client
        except Exception as error:
            error.add_note(f"in the history of seed {seed}")
            raise
        assert isinstance(client, SupervisedClient)
        seen.update(client.started)
        seen["delivered"] += client.machine.inbox.received
    # Not for want of anything that happens.
    assert min(seen[role] for role in ("carry", "open", "probe")) > 10, seen
    assert seen["delivered"] > 500
