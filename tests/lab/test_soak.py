"""Exactly once, in order, both ways, through real middle boxes: every transport that gets through each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..client.soak import assert_exactly_once, soak_server
from .boxes import standing
from .expected import EXPECTED, through

COUNT = 2000


@pytest.mark.parametrize(
    ("name", "transport"),
    [pytest.param(name, transport, id=f"{name}-{transport}") for name in EXPECTED for transport in through(name)],
)
async def test_exactly_once_through_a_box(name: str, transport: str, tmp_path: Path) -> None:
    async with soak_server(COUNT) as soak, standing(name, soak.port, tmp_path) as url:
        soak.url = f"{url}/realtime/soak"
        server, client, session = await soak.run(transports=[transport])
        assert_exactly_once(server, client, COUNT)
        assert session.transport == transport
        assert session.unacknowledged == []
