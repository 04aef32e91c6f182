"""Ten sessions in one page, to one origin where no WebSocket gets through: they leave connections to the page."""

from __future__ import annotations

import pytest

from realtime.testing import FaultProxy, RefuseWebSocket

from .engines import Engine, wanted
from .harness import Harness
from .steering import steered

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENGINES = [name for name in ("chromium", "webkitgtk") if name in wanted()]
WITHOUT = ["sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "polling", "jsonp"]
HOLDING = ("sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "jsonp")
COUNT = 10


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("transports", [WITHOUT, None], ids=["without websocket", "websocket refused"])
async def test_ten_sessions(engine: Engine, transports: list[str] | None, harness: Harness) -> None:
    host, _, port = harness.pages.removeprefix("http://").partition(":")
    options = {"transports": transports} if transports else {}
    names = [f"s{number}" for number in range(COUNT)]
    async with FaultProxy(host, int(port)) as proxy:
        proxy.add(RefuseWebSocket())
        async with steered(engine, harness, proxy.url) as page:
            for name in names:
                await page.do("steered.open(%s, %s, %s)", name, f"{proxy.url}/realtime/echo", options)
            for name in names:
                await page.until("steered.of(%s, 'open').length", name)
            for turn in range(3):
                for name in names:
                    await page.do("steered.send(%s, %s, %s)", name, 20 * turn + 1, 20 * turn + 20)
                for name in names:
                    await page.came(name, 20 * turn + 20)
            used = [await page.do("steered.sessions[%s].transport", name) for name in names]
            assert sum(transport in HOLDING for transport in used) <= 3, used
            assert used.count("polling") >= COUNT - 3
            # The page's own request finds a connection, though every session is up.
            await page.do("steered.ask('/blank.html?own')")
            await page.until("steered.answered['/blank.html?own'] === 200", timeout=20)
            for name in names:
                await page.acknowledged(name)
                assert await page.do("steered.of(%s, 'close')", name) == []
            assert await page.page.errors() == []
