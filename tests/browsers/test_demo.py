"""The comparison demo in real browsers: every lane connects, every plug is pulled, nothing is lost or complained of.

The whole walk is for the current Chromium; other engines race, pull one plug and have their server killed; of two old
ones, of one family, a race is enough that runs by itself. With REALTIME_PICTURES=1 the picture of the README is made
anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from realtime.demo import Demo, Store, plug
from realtime.demo import page as demo_page
from realtime.demo.plug import FAULTS

from .abilities import TRANSPORTS, can
from .engines import Engine, EngineError, Page
from .engines.devtools import DevToolsPage
from .harness import CLIENT, ROOT
from .udp import ENGINES as WITH_WEBTRANSPORT

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not CLIENT.exists(), reason="client-js/dist/realtime.js has not been built"),
]

PATIENCE = 120.0  # for what takes a moment where nothing else runs
PICTURE = ROOT / "docs" / "demo.png"
SHOWN = ("chromium", "firefox", "webkitgtk", "qtwebkit", "phantomjs2", "chromium64")
# Their drivers look into pages by eval(), which the demo's policy forbids.
BY_EVAL = ("qtwebkit", "phantomjs2")
# Messages a second, the fewest that can be chosen: where it is not asked how many a page can draw.
FEW = "5"
# The state of the panel's session.
PANEL = (
    "Demo.plug.session() && [Demo.plug.session().state, Demo.plug.session().transport,"
    " Demo.plug.session().unacknowledged.length]"
)
# A page that is told so tries a WebSocket again at once.
ANOTHER_NETWORK = "dispatchEvent(new Event('online'))"


class Visit:
    """A page of the demo, and a hand that clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def value(self, expression: str) -> Any:
        """What an expression is in the page, by way of JSON, which all engines share."""
        return json.loads(await self.page.evaluate(f"JSON.stringify({expression})") or "null")

    async def until(self, expression: str) -> None:
        """Waits until an expression is true in the page."""
        problem = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        if await self.value(f"!!({expression})"):
                            return
                    except EngineError as error:  # between two pages
                        problem = error
                    await asyncio.sleep(0.1)
        except TimeoutError:
            story = await self.value("document.getElementById('main').innerText")
            session = await self.value(PANEL)
            told = f"{session}\n{story}\n{await self.page.console()}"
            raise AssertionError(f"never true: {expression} ({problem})\n{told}") from None

    async def click(self, selector: str) -> None:
        """Clicks, as soon as that can be clicked."""
        await self.until(f"document.querySelector({selector!r}) && !document.querySelector({selector!r}).disabled")
        await self.page.evaluate(f"document.querySelector({selector!r}).click()")

    async def choose(self, selector: str, value: str) -> None:
        """Chooses an option, as a visitor would have before anything runs."""
        await self.page.evaluate(f"document.querySelector({selector!r}).value = {value!r}")

    async def text(self, selector: str) -> str:
        """The text of an element."""
        text: str = await self.value(f"document.querySelector({selector!r}).textContent")
        return text

    async def account(self) -> dict[str, str]:
        """The panel's counts."""
        ids = [f"{way}-{what}" for way in ("up", "down") for what in ("lost", "repeated", "reordered")]
        return {name: await self.text(f"#{name}") for name in ids}


@contextlib.asynccontextmanager
async def visit(engine: Engine, broker: str | None = None) -> AsyncIterator[Visit]:
    """A demo of its own, and its page; in the end nothing may have been complained of."""
    if engine.name not in SHOWN:
        pytest.skip(f"the demo is not made for {engine.name}")
    with pytest.MonkeyPatch.context() as patch:
        if engine.name in BY_EVAL:
            strict = demo_page.policy
            patch.setattr(
                demo_page,
                "policy",
                lambda *places: strict(*places).replace("script-src", "script-src 'unsafe-eval'"),
            )
        async with Demo(broker=broker) as demo:
            async with engine.open(f"http://127.0.0.1:{demo.port}/", window=True) as page:
                visitor = Visit(page)
                await _loaded(visitor)
                yield visitor
                assert await page.errors() == []
            await demo.end_sessions()


async def _loaded(visitor: Visit) -> None:
    """Waits for the page's scripts. An old engine may give one of them up when the machine is busy: then once more."""
    ready = "document.getElementById('lane-jsonp')"
    try:
        async with asyncio.timeout(PATIENCE / 2):
            await visitor.until(ready)
    except TimeoutError:
        await visitor.page.reload()
        await visitor.until(ready)


def figure(name: str, index: int) -> str:
    """One of a lane's six figures, as an expression."""
    return f"document.querySelectorAll('#lane-{name} td.figure')[{index}].textContent"


def lanes_of(engine: Engine) -> list[str]:
    """The lanes that this engine's page has."""
    return [*TRANSPORTS, *(["webtransport"] if engine.name in WITH_WEBTRANSPORT else [])]


def open_lanes(engine: Engine) -> list[str]:
    """And those that can be open."""
    return [name for name in lanes_of(engine) if name not in TRANSPORTS or can(engine.name, name)]


def figures_of(name: str) -> range:
    """Which of a lane's figures there are: WebTransport's requests and bytes are not counted."""
    return range(4 if name == "webtransport" else 6)


SUMS = ("unknown", "lost", "repeated", "reordered")
BY_ITSELF = "Demo.race.runsByItself()"
# Of each lane, in the page's milliseconds: when it was called, and when it was open (null: not).
OPENINGS = (
    "Demo.race.lanes.map(function (lane) {"
    " return [lane.name, lane.began, lane.opened === null ? null : lane.began + lane.opened]; })"
)


async def test_every_lane_connects(engine: Engine, tmp_path: Path) -> None:
    async with visit(engine) as visitor:
        able = open_lanes(engine)
        # By itself at first, and gently.
        await visitor.until(BY_ITSELF)
        await visitor.until(f"{figure(able[0], 1)} !== '—'")
        await visitor.until("/by itself/.test(document.getElementById('race-status').textContent)")
        pictured = engine.name == "chromium" and bool(os.environ.get("REALTIME_PICTURES"))
        await visitor.choose("#race-rate", FEW)  # it is asked whether they connect, not how much they can draw
        await visitor.click("#race-start")
        assert not await visitor.value(BY_ITSELF)
        for name in able:
            for index in figures_of(name):
                await visitor.until(f"{figure(name, index)} !== '—'")
        await visitor.until(f"document.querySelectorAll('.lane.open').length === {len(able)}")
        await visitor.until(
            f"/^[0-9] of {len(lanes_of(engine))} lanes are open, each on its own port/.test("
            "document.getElementById('race-status').textContent)"
        )
        for name in TRANSPORTS:
            if name not in able:
                await visitor.until(
                    f"/did not get through|run it/.test(document.querySelector('#lane-{name} .state').textContent)"
                )
        openings = {name: (began, opened) for name, began, opened in await visitor.value(OPENINGS)}
        assert list(openings) == lanes_of(engine)
        # They were called in their order, and nobody before the WebSocket was open or out (which is waited for 5 s).
        calls = [began for began, _ in openings.values()]
        assert calls == sorted(calls)
        began, opened = openings["websocket"]
        assert (opened is not None) is ("websocket" in able)
        assert opened is None or opened <= calls[1] or calls[1] - began >= 5000
        # Somebody leads, and the sentence says who.
        await visitor.until("/ leads: /.test(document.getElementById('race-winner').textContent)")
        assert await visitor.value("document.querySelectorAll('.lane .tag:not(:empty)').length") == 1
        if engine.name == "chromium":
            await _picture(visitor, PICTURE if pictured else tmp_path / "demo.png")
        await visitor.click("#race-stop")
        await visitor.until("document.querySelectorAll('.lane.open').length === 0")
        assert " won: " in await visitor.text("#race-winner")


async def test_the_race_runs_by_itself_until_something_is_touched(engine: Engine) -> None:
    async with visit(engine) as visitor:
        await visitor.until(BY_ITSELF)
        count = {8: "Eight", 9: "Nine"}[len(lanes_of(engine))]
        assert (await visitor.text("h1")).startswith(f"{count} transports.")
        assert count.lower() in await visitor.value("document.title")
        able = open_lanes(engine)
        await visitor.until(f"document.querySelectorAll('.lane.open').length === {len(able)}")
        for name in able:
            await visitor.until(f"{figure(name, 1)} !== '—'")
        # Its pace is gentle, whatever the controls would have.
        assert await visitor.value("Demo.race.lanes[0].settings.rate") == 2
        assert await visitor.value("Demo.race.settings().rate") > 2
        # A click on nothing in particular is no touch; one on a control is, wherever.
        await visitor.page.evaluate(CLICK % "'h1'")
        assert await visitor.value(BY_ITSELF)
        await visitor.click("#pane1 form button")
        await visitor.until(f"!{BY_ITSELF}")
        await visitor.until("document.querySelectorAll('.lane.open').length === 0")
        assert "touched" in await visitor.text("#race-status")
        # It does not begin again when somebody looks again.
        await visitor.page.evaluate(EVENT % ("document", "'visibilitychange'"))
        assert not await visitor.value(BY_ITSELF)
        assert await visitor.value(figure(able[0], 1)) != "—"


# What the page does every second, or for a second, it does every half of one.
HURRYING = (
    "['setInterval', 'setTimeout'].forEach(function (name) { var real = window[name];"
    " window[name] = function (call, late) { return real.call(window, call, late === 1000 ? 500 : late); }; })"
)

# The next so many questions for the race's counts fail, as where a connection was lost.
LOSING = (
    "(function () { var ask = Demo.ask; window.losing = 0; Demo.ask = function (method, path, done) {"
    " if (losing && method === 'GET' && path.indexOf('/demo/race/') === 0)"
    " { losing--; setTimeout(function () { done('the server does not answer', null); }, 0); }"
    " else return ask(method, path, done); }; })()"
)


async def test_a_race_goes_on_without_a_count_and_ends_with_its_server(engine: Engine) -> None:
    if engine.name != "chromium":
        pytest.skip("one engine tells")
    async with visit(engine) as visitor:
        await visitor.until(BY_ITSELF)
        await visitor.page.evaluate(LOSING)
        await visitor.page.evaluate(HURRYING)
        await visitor.choose("#race-rate", FEW)
        await visitor.click("#race-start")
        counted = "Demo.race.lanes[0].last.at"
        await visitor.until(f"{figure('websocket', 4)} !== '—'")
        await visitor.page.evaluate("losing = 2")
        await visitor.until("losing === 0")
        before = await visitor.value(counted)
        await visitor.until(f"{counted} > {before}")
        assert await visitor.value("Demo.race.isRunning()")
        await visitor.page.evaluate("losing = 3")
        await visitor.until("!Demo.race.isRunning()")
        assert await visitor.text("#race-status") == "It was stopped: the server does not answer."
        assert await visitor.value("losing") == 0


# As scripts of old engines can: their elements have no click(), and their events no constructor.
EVENT = (
    "(function (target, kind) { var event = document.createEvent('Event');"
    " event.initEvent(kind, true, true); target.dispatchEvent(event); })(%s, %s)"
)
CLICK = EVENT % ("document.querySelector(%s)", "'click'")


async def test_nothing_moves_by_itself_where_motion_is_not_wanted(engine: Engine) -> None:
    if engine.name != "chromium":
        pytest.skip("needs DevTools")
    async with visit(engine) as visitor:
        page = visitor.page
        assert isinstance(page, DevToolsPage)
        await visitor.until(BY_ITSELF)
        token = "sessionStorage.getItem('realtime demo race')"
        await visitor.until(token)
        before = await visitor.value(token)
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        await page.evaluate("window.before = true")
        await page.reload()
        await visitor.until("!window.before && document.getElementById('lane-jsonp')")
        assert not await visitor.value(BY_ITSELF)
        assert await visitor.text("#race-status") == "Nothing has been measured yet."
        # Whoever loads the page anew gives the race before back, and its place.
        await visitor.until(
            f"(function (x) {{ x.open('GET', '/demo/race/{before}', false); x.send(); return x.status === 404; }})"
            "(new XMLHttpRequest())"
        )
        await visitor.choose("#race-rate", FEW)
        await visitor.click("#race-start")
        await visitor.until(f"document.querySelectorAll('.lane.open').length === {len(lanes_of(engine))}")
        await visitor.click("#race-stop")


BOXES = (
    "[].map.call(document.querySelectorAll(%r), function (element) { var box = element.getBoundingClientRect();"
    " return [box.left, box.top, box.right, box.bottom]; })"
)


async def test_the_lanes_and_what_breaks_the_network_are_seen_together(engine: Engine) -> None:
    if engine.name != "chromium":
        pytest.skip("needs DevTools")
    async with visit(engine) as visitor:
        page = visitor.page
        assert isinstance(page, DevToolsPage)
        await page.call("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)
        await visitor.until("window.innerWidth === 1280")
        # Without a word of anybody's: what breaks opens a session first.
        await visitor.click("[data-fault=block_websocket]")
        await _moves_on(visitor, away_from="WebSocket")
        await visitor.until("/has acted/.test(document.querySelector('[data-fault=block_websocket]').textContent)")
        await _restart(visitor)
        assert await visitor.value("window.pageYOffset") == 0
        for selector, count in (
            (".lane", len(lanes_of(engine))),
            (".faults button", 8),
            (".verdict", 5),
            (".tracks", 1),
            ("#unacked", 1),
        ):
            boxes = await visitor.value(BOXES % selector)
            assert len(boxes) == count
            for left, top, right, bottom in boxes:
                assert 0 <= left < right <= 1280
                assert 0 <= top < bottom <= 800, selector
        # Beside each other, not one below the other.
        ((_, top, right, bottom),) = await visitor.value(BOXES % ".effect")
        for left, above, _, _ in await visitor.value(BOXES % ".faults button"):
            assert left > right
            assert top - 1 <= above < bottom
        # What is unknown stands above what is known.
        ((*_, below),) = await visitor.value(BOXES % "#unacked")
        assert all(above >= below for _, above, _, _ in await visitor.value(BOXES % ".verdict"))
        # On a phone nothing is wider than the screen, and heads stand once.
        for width in (390, 360):
            await page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=740, deviceScaleFactor=1, mobile=True
            )
            await visitor.until(f"window.innerWidth === {width} && document.documentElement.scrollWidth <= {width}")
        assert await visitor.value("document.querySelectorAll('#lanes th[scope=col]').length") == 8
        await visitor.click("#plug-end")


async def _picture(visitor: Visit, path: Path) -> None:
    page = visitor.page
    assert isinstance(page, DevToolsPage)
    await page.call("Emulation.setDeviceMetricsOverride", width=1280, height=756, deviceScaleFactor=1, mobile=False)
    if path == PICTURE:  # with a session that has seen something
        await visitor.click("#plug-start")
        await _moves_on(visitor)
        for fault in ("block_websocket", "hold_streams"):
            await visitor.click(f"[data-fault={fault}]")
            await visitor.until(f"/has acted/.test(document.querySelector('[data-fault={fault}]').textContent)")
            await _moves_on(visitor, by=40)  # some seconds, which show in its tracks
    points = "document.querySelector('#lane-jsonp polyline').getAttribute('points').split(' ').length"
    await visitor.until(f"{points} >= {60 if path == PICTURE else 10}")
    look = "document.documentElement.style"
    await page.evaluate(f"{look}.scrollBehavior = 'auto'; {look}.overflow = 'hidden'")
    await page.screenshot(path)
    assert 20_000 < len(await asyncio.to_thread(path.read_bytes)) < 200_000


async def test_one_plug_is_pulled_and_the_server_is_killed(engine: Engine) -> None:
    async with visit(engine) as visitor:
        await _open_panel(visitor)
        await visitor.click("[data-fault=block_websocket]")
        await _moves_on(visitor, away_from="WebSocket")
        await _restart(visitor)
        await _settle(visitor)


async def test_over_a_store_the_session_outlives_its_server(engine: Engine) -> None:
    if engine.name not in ("chromium", "firefox"):
        pytest.skip("the client's own tests tell what all engines do")
    async with Store() as broker:
        if broker is None:
            pytest.skip("no redis-server here")
        async with visit(engine, broker) as visitor:
            await _open_panel(visitor)
            assert await visitor.text("#plug-restart-what") == "killed; another goes on"
            for _ in range(2):
                await visitor.click("#plug-restart")
                await visitor.until("!document.querySelector('#plug-restart').disabled")
                await visitor.until("Demo.plug.session().state === 'open'")
                await _moves_on(visitor)
            # One session all the while, and of every message it is known what became of it.
            assert "Session 1:" in await visitor.text("#counts-caption")
            assert [await visitor.text(f"#plug-{name}") for name in SUMS] == ["0"] * 4
            assert "this process goes on with it" in await visitor.text("#story")
            assert "ended" not in await visitor.text("#story")
            await _settle(visitor)


async def test_every_plug_is_pulled(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine.name != "chromium":
        pytest.skip("one plug is pulled there, by another test")
    monkeypatch.setattr(plug, "CUT_SECONDS", 1.0)
    async with visit(engine) as visitor:
        await _open_panel(visitor)
        for fault in FAULTS:
            await visitor.until(f"Demo.plug.session().transport && document.querySelector('[data-fault={fault}]')")
            await visitor.click(f"[data-fault={fault}]")
            await visitor.until(
                f"document.querySelector('[data-fault={fault}]').getAttribute('aria-pressed') === 'true'"
            )
            await _moves_on(visitor, away_from="WebSocket")
            await visitor.page.evaluate(ANOTHER_NETWORK)
            await visitor.until(f"/has acted/.test(document.querySelector('[data-fault={fault}]').textContent)")
            await _moves_on(visitor)
            await visitor.click(f"[data-fault={fault}]")
            await visitor.click("[data-once=mend]")
            await visitor.until("Demo.plug.session().transport === 'websocket'")
            await _moves_on(visitor)
        await visitor.click("[data-once=cut]")
        await visitor.until("Demo.plug.session().state === 'detached'")
        await visitor.until("Demo.plug.session().state === 'open'")
        await _moves_on(visitor)
        await _restart(visitor)
        await _settle(visitor)


async def _open_panel(visitor: Visit) -> None:
    await visitor.click("#plug-start")
    await _moves_on(visitor)


async def _moves_on(visitor: Visit, away_from: str = "", by: int = 5) -> None:
    """Messages go on, both ways, and none is lost, repeated or reordered."""
    if away_from:
        await visitor.until(f"!/^(—|{away_from})$/.test(document.getElementById('plug-transport').textContent)")
    counts = ("up-received", "down-received")
    before = {name: await visitor.text(f"#{name}") for name in counts}
    for name in counts:
        start = int(before[name]) if before[name].isdigit() else 0
        await visitor.until(f"parseInt(document.getElementById('{name}').textContent, 10) > {start + by}")
    assert set((await visitor.account()).values()) == {"0"}


async def _restart(visitor: Visit) -> None:
    """The server process is killed: the page is told by a code, reopens, and lists what was never acknowledged."""
    assert await visitor.text("#plug-restart-what") == "killed; the session ends"
    await visitor.click("#plug-restart")
    await visitor.until("/Session 2:/.test(document.getElementById('counts-caption').textContent)")
    await visitor.until("Demo.plug.session().state === 'open'")
    assert "The session ended with 4404" in await visitor.text("#story")
    await visitor.until("/The server process is new/.test(document.getElementById('story').textContent)")
    # Messages were sent while it was dead: what became of them is unknown, and that is said before all else.
    unknown = int(await visitor.text("#plug-unknown"))
    told = await visitor.text("#unacked")
    spans = [span.split("–") for span in told.split(" of session 1: fate unknown")[0].split(" ", 1)[1].split(", ")]
    assert sum(int(span[-1]) - int(span[0]) + 1 for span in spans) == unknown > 0
    await visitor.until("parseInt(document.getElementById('up-received').textContent, 10) > 3")
    assert int(await visitor.text("#plug-unknown")) == unknown
    # Nothing is known to be lost, and nothing is green as if all were well.
    assert [await visitor.text(f"#plug-{name}") for name in ("lost", "repeated", "reordered")] == ["0", "0", "0"]
    assert await visitor.value("document.querySelectorAll('.verdict .good').length") == 0


async def _settle(visitor: Visit) -> None:
    """When sending pauses, everything has arrived."""
    await visitor.click("#plug-pause")
    ids = ("up-sent", "up-received", "down-sent", "down-received")
    up_sent, up_received, down_sent, down_received = (f"document.getElementById('{name}').textContent" for name in ids)
    await visitor.until(f"{up_sent} === {up_received} && {down_sent} === {down_received}")
    assert set((await visitor.account()).values()) == {"0"}
    await visitor.click("#plug-end")


async def test_the_fair_comparison_ends_in_a_table_to_take_away(engine: Engine) -> None:
    if engine.name != "chromium":
        pytest.skip("compared in one engine")
    async with visit(engine) as visitor:
        # Shorter than the page offers: what is compared here differs by much.
        await visitor.page.evaluate(HURRYING)
        await visitor.page.evaluate("document.querySelector('#fair-seconds option').textContent = '1'")
        await visitor.choose("#fair-seconds", "1")
        await visitor.choose("#race-rate", "20")
        await visitor.click("#fair-start")
        for name in ("SSE", "Multipart", "Long-polling", "JSONP"):
            await visitor.until(f"/^({name}|Done)/.test(document.getElementById('fair-status').textContent)")
        await visitor.until("/^Done: 8/.test(document.getElementById('fair-status').textContent)")
        head, *rows = (await visitor.value("Demo.fair.csv()")).splitlines()
        assert head.startswith("transport,open_ms,p50_ms,")
        assert [row.split(",")[0] for row in rows] == list(TRANSPORTS)
        figures = {row.split(",")[0]: [float(cell) for cell in row.split(",")[1:7]] for row in rows}
        # A WebSocket needs no request for a message, and the fewest bytes.
        assert figures["websocket"][4] == 0
        assert min(figures, key=lambda name: figures[name][5]) == "websocket"
        markdown = await visitor.value("Demo.fair.markdown()")
        assert markdown.count("\n|") == 10
        assert await visitor.value("document.querySelectorAll('#charts .chart').length") == 6


async def test_why_and_the_chat(engine: Engine) -> None:
    if engine.name != "chromium":
        pytest.skip("looked at in one engine")
    async with visit(engine) as visitor:
        await visitor.click("#why-start")
        await visitor.until("document.querySelectorAll('.rung').length === 8")
        assert await visitor.value("document.querySelectorAll('.rung.taken').length") == 1
        assert "WebSocket carries after" in await visitor.text("#why-verdict")
        await visitor.until("/8 of 8 transports get through/.test(document.getElementById('why-status').textContent)")
        # Each has evidence of its own: how it carries, and how long it took just now.
        rungs = await visitor.value(
            "[].map.call(document.querySelectorAll('.rung'), function (rung) {"
            " return [rung.querySelector('.evidence').textContent, rung.querySelector('.how').textContent]; })"
        )
        assert len({how for _, how in rungs}) == 8
        for evidence, _ in rungs:
            assert re.match(r"open after [\d\u202f.]+ ms, echo after [\d\u202f.]+ ms: ", evidence)
        assert sum(evidence.endswith("the fastest") for evidence, _ in rungs) == 1
        assert len({evidence for evidence, _ in rungs}) > 1
        for number, text in ((1, "hello from the one"), (2, "hello from the other")):
            await visitor.click(f"#pane{number} form button")
            await visitor.until(
                f"/In the room, over/.test(document.querySelector('#pane{number} .status').textContent)"
            )
            await visitor.page.evaluate(f"document.getElementById('pane{number}-text').value = {text!r}")
            await visitor.click(f"#pane{number} .say button")
        for number in (1, 2):
            await visitor.until(
                f"/hello from the other/.test(document.querySelector('#pane{number} .said').textContent)"
            )
        assert "over Long-polling" in await visitor.text("#pane2 .status")
        await visitor.click("#pane2 form button")
        await visitor.until("/Grace [0-9]+ has left/.test(document.querySelector('#pane1 .said').textContent)")


async def test_an_address_without_an_endpoint_is_told_as_docs_javascript_has_it(engine: Engine) -> None:
    if engine.name != "chromium":
        pytest.skip("the client's own tests tell what all engines do")
    async with visit(engine) as visitor:
        # At this server: 4406. Where something else answers: 4411.
        for path, code in (("/realtime/nowhere", 4406), ("/nobody/here", 4411)):
            await visitor.page.evaluate(
                f"window.ended = 0; new Realtime({path!r}).onclose = function (event) {{ window.ended = event.code; }}"
            )
            await visitor.until("window.ended")
            assert await visitor.value("window.ended") == code


async def test_where_the_lanes_ports_are_out_of_reach_they_run_in_turn(engine: Engine) -> None:
    if engine.name != "chromium":
        pytest.skip("needs DevTools")
    async with visit(engine) as visitor:
        page = visitor.page
        assert isinstance(page, DevToolsPage)
        lanes = await visitor.value(
            "(function (x) { x.open('GET', '/demo/config', false); x.send();"
            " return JSON.parse(x.responseText).lanes; })(new XMLHttpRequest())"
        )
        await page.call("Network.enable")
        await page.call("Network.setBlockedURLs", urls=[f"*127.0.0.1:{port}*" for port in lanes])
        await visitor.choose("#race-rate", FEW)
        await visitor.click("#race-start")
        await visitor.until("/run in turn/.test(document.getElementById('race-status').textContent)")
        for name in ("websocket", "sse"):
            await visitor.until(f"{figure(name, 5)} !== '—'")
        await visitor.click("#race-stop")
