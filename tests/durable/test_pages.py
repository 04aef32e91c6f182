"""The code of docs/durable.md, run as it stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp

from realtime.testing import serve

from ..test_docs_blocks import blocks
from .raw import Raw

PAGE = Path(__file__).parents[2] / "docs" / "durable.md"


async def test_the_counting_handler() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    exec(blocks(PAGE)[0].text, names)  # it is ours
    async with serve(names["rt"]) as server, aiohttp.ClientSession() as http:
        raw = Raw(http, str(server.make_url("/realtime/orders")))
        await raw.open()
        await raw.say("tea", "milk")
        await raw.until("morder 2")
        assert raw.messages == ["welcome", "order 1: tea", "order 2: milk"]
