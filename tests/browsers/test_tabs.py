"""Tabs of one browser where no WebSocket gets through: it allows six connections to an origin, to all tabs together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from realtime.testing import FaultProxy, RefuseWebSocket

from .engines import ENGINES, wanted
from .engines.devtools import Chromium, DevToolsPage
from .harness import Harness
from .steering import Steered

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif("chromium" not in wanted(), reason="tabs are told apart by the DevTools protocol"),
]

HOLDING = ("sse", "xhr_streaming", "multipart", "htmlfile", "long_polling", "jsonp")
PLACES = 3
MINUTE_AND_A_HALF = 90_000  # a place of which nobody has spoken for so long is free
# Makes every place for a held request so many milliseconds older: who lives says again that it holds one.
AGE = """Object.keys(localStorage).filter(function (key) {
  return /\\d$/.test(key) && localStorage[key];
}).forEach(function (key) {
  var text = localStorage[key];
  localStorage[key] = text.slice(0, 26) + (text.slice(26) - %s);
})"""


@dataclass
class Window:
    """A browser's window with tabs, each with one session."""

    harness: Harness
    url: str
    open: contextlib.AsyncExitStack
    chromium: Chromium

    async def start(self) -> None:
        self.new = await self.open.enter_async_context(self.chromium.window())
        self.pages: list[DevToolsPage] = []

    async def tab(self, name: str) -> Steered:
        """One more tab, whose session is open."""
        page = await self.open.enter_async_context(self.new(f"{self.url}/steered.html"))
        self.pages.append(page)
        tab = Steered(page, self.harness)
        await tab.until("typeof steered === 'object' && typeof Realtime === 'function'", timeout=20)
        await tab.open(name, f"{self.url}/realtime/echo")
        return tab


@pytest_asyncio.fixture(loop_scope="session")
async def window(harness: Harness) -> AsyncIterator[Window]:
    host, _, port = harness.pages.removeprefix("http://").partition(":")
    chromium = ENGINES["chromium"]()
    assert isinstance(chromium, Chromium)
    async with FaultProxy(host, int(port)) as proxy, contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(chromium.stop)
        proxy.add(RefuseWebSocket())
        window = Window(harness, proxy.url, stack, chromium)
        await window.start()
        yield window


async def transport(tab: Steered, name: str) -> str:
    used: str = await tab.do("steered.sessions[%s].transport", name)
    return used


async def test_eight_tabs_are_all_open_and_all_exchange(window: Window) -> None:
    names = [f"tab{number}" for number in range(8)]
    tabs = {name: await window.tab(name) for name in names}
    for turn in range(3):
        for name, tab in tabs.items():
            await tab.exchange(name, 20 * turn + 1, 20 * turn + 20)
    used = [await transport(tab, name) for name, tab in tabs.items()]
    assert sum(one in HOLDING for one in used) <= PLACES, used
    assert used.count("polling") >= len(names) - PLACES
    # The pages' own requests find a connection, though every session is up.
    last = tabs[names[-1]]
    await last.do("steered.ask('/blank.html?own')")
    await last.until("steered.answered['/blank.html?own'] === 200", timeout=20)
    for name, tab in tabs.items():
        await tab.acknowledged(name)
        assert await tab.do("steered.of(%s, 'close')", name) == []
        assert await tab.page.errors() == []


@pytest.mark.parametrize("crash", [True, False], ids=["crashed", "closed"])
async def test_the_place_of_a_tab_that_is_gone_is_given_away(window: Window, crash: bool) -> None:
    tabs = {name: await window.tab(name) for name in ("one", "two", "three", "four")}
    for name in ("one", "two", "three"):
        await tabs[name].until("steered.sessions[%s].transport !== 'polling'", name)
        await tabs[name].until("%s.indexOf(steered.sessions[%s].transport) >= 0", list(HOLDING), name)
    four = tabs["four"]
    await four.exchange("four", 1, 20)
    assert await transport(four, "four") == "polling"
    if crash:
        await window.pages[0].crash()
        # As if time had passed.
        await four.do(AGE, MINUTE_AND_A_HALF // 2)
        for name in ("two", "three"):
            await tabs[name].exchange(name, 1, 20)  # a turn of theirs, at least
        await four.do(AGE, MINUTE_AND_A_HALF // 2)
    else:
        await window.pages[0].call("Page.navigate", url="about:blank")
    await four.until("%s.indexOf(steered.sessions.four.transport) >= 0", list(HOLDING))
    await four.exchange("four", 21, 40)
    for name in ("two", "three"):
        await tabs[name].exchange(name, *((21, 40) if crash else (1, 20)))
        assert await transport(tabs[name], name) in HOLDING
