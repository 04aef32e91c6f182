"""Script tags, iframes and forms of another site's page, over plain http, in real browsers.

There a tag with `no-referrer` shows neither Origin nor Sec-Fetch-Site nor Referer, and what it is answered any page can
read (docs/protocol.md §9). Hosts are names: to an address of the loopback browsers send Sec-Fetch-Site over http, too.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

import realtime

from ..patience import eventually, within
from .engines import Engine, wanted

SIGNS = ("Origin", "Sec-Fetch-Site", "Referer")
OURS, STRANGE = "ours.test", "strange.test"
PAGE = """<!DOCTYPE html><title>tags</title>%s<body><script>
var heard = {}, base = %s;
window.native = function () { heard.native = 1; };
window.sockjs = function () { heard.sockjs = 1; };
window.___eio = [function () { heard.engineio = 1; }];
window.onmessage = function (event) { heard[String(event.data).split("[")[0]] = 1; };
function add(kind, path) {
  var element = document.createElement(kind);
  element.src = base + path;
  document.body.appendChild(element);
}
function form(path, fields) {
  var element = document.createElement("form"), frame = document.createElement("iframe"), name;
  frame.name = element.target = "frame" + path.length;
  document.body.appendChild(frame);
  element.method = "POST"; element.action = base + path;
  for (name in fields) {
    element.appendChild(document.createElement("input")).name = name;
    element.lastChild.value = fields[name];
  }
  document.body.appendChild(element).submit();
}
function open(nonce) { return "o" + JSON.stringify({ nonce: nonce, gen: 1, window: [16, 65536] }); }
var query = "?frame=" + encodeURIComponent(open("jsonp-jsonp-jsonp-jsonp"));
add("script", "/realtime/talk/v1/jsonp" + query + "&callback=native");
add("script", "/realtime/talk/v1/send?callback=sent&batch=" + encodeURIComponent('["unobody,0,0,1"]'));
add("script", "/realtime/talk/0/name/jsonp?c=sockjs");
add("script", "/engine.io/?EIO=3&transport=polling&j=0");
add("iframe", "/realtime/talk/v1/htmlfile" + query.replace(/jsonp/g, "frame") + "&callback=framed");
add("iframe", "/realtime/talk/0/other/htmlfile?c=nothing");
add("iframe", "/realtime/talk/iframe.html");
form("/realtime/talk/v1/polling", { batch: JSON.stringify([open("forms-forms-forms-forms")]), callback: "posted" });
form("/realtime/talk/0/name/jsonp_send", { d: '["x"]' });
</script>"""
# The tags that are no forms: a form has an Origin, be it "null".
TAGS = 7
FORMS = 2


@dataclass
class House:
    """The server, and how its requests were answered: path, signs shown, status."""

    rt: realtime.Server
    port: int
    asked: dict[str, tuple[list[str], int]] = field(default_factory=dict)
    opened: list[realtime.SessionRequest] = field(default_factory=list)
    send = "/realtime/talk/0/name/jsonp_send"

    async def note(self, request: web.Request, response: web.StreamResponse) -> None:
        """An answer begins."""
        if request.path not in ("/page", "/favicon.ico", "/sockjs.js"):
            self.asked[request.path] = [name for name in SIGNS if name in request.headers], response.status


@asynccontextmanager
async def serving(*allowed: str) -> AsyncIterator[House]:
    """A server that allows these origins, of its own port PORT, and the page, which every host has."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    origins = tuple(origin.replace("PORT", str(port)) for origin in allowed)
    house = House(realtime.Server(allowed_origins=origins, shutdown_timeout=0.5), port)

    @house.rt.authorize
    async def look(request: realtime.SessionRequest) -> None:
        house.opened.append(request)

    options = realtime.SockJS(client_url="/sockjs.js")

    @house.rt.endpoint("/talk", sockjs=options, engineio="/engine.io")
    async def talk(session: realtime.Session) -> None:
        await session.wait_closed()

    async def page(request: web.Request) -> web.Response:
        hide = '<meta name="referrer" content="no-referrer">' if "hide" in request.query else ""
        base = json.dumps(f"http://{OURS}:{house.port}")
        return web.Response(text=PAGE % (hide, base), content_type="text/html")

    async def nothing(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    realtime.setup(app, house.rt)
    app.router.add_get("/page", page)
    app.router.add_get("/favicon.ico", nothing)
    app.router.add_get("/sockjs.js", nothing)
    app.on_response_prepare.append(house.note)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield house
    finally:
        await runner.cleanup()


modern = pytest.mark.parametrize(
    "engine", [name for name in ("chromium", "firefox") if name in wanted()], indirect=True
)


@modern
@pytest.mark.asyncio(loop_scope="session")
async def test_a_page_of_another_site_gets_nothing(engine: Engine) -> None:
    async with serving() as house, engine.open(f"http://{STRANGE}:{house.port}/page?hide") as page:
        await eventually(lambda: len(house.asked) == TAGS + FORMS)
        for path, (signs, status) in house.asked.items():
            assert status == 403, path
            assert signs == [] or "send" in path or "polling" in path, path
        assert sum(not signs for signs, _ in house.asked.values()) == TAGS
        assert await page.evaluate("heard") == {}
        assert house.opened == []


@modern
@pytest.mark.asyncio(loop_scope="session")
async def test_where_any_page_may_come_it_does_without_a_sign(engine: Engine) -> None:
    """The same page, which shows that it would have read what it was refused."""
    async with serving("*") as house, engine.open(f"http://{STRANGE}:{house.port}/page?hide") as page:
        await eventually(lambda: len(house.asked) == TAGS + FORMS)
        async with within("that the page is told"):
            while len(await page.evaluate("heard")) < 5:  # noqa: ASYNC110 # the page cannot call
                await asyncio.sleep(0.05)
        assert set(await page.evaluate("heard")) == {"native", "sockjs", "engineio", "framed", "posted"}
        assert 403 not in [status for _, status in house.asked.values()]


@modern
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("host", [OURS, STRANGE])
async def test_an_allowed_page_shows_itself(engine: Engine, host: str) -> None:
    """By the Referer that browsers send unless a page hides it."""
    async with serving(f"http://{STRANGE}:PORT") as house, engine.open(f"http://{host}:{house.port}/page"):
        await eventually(lambda: len(house.asked) == TAGS + FORMS)
        for path, (signs, status) in house.asked.items():
            assert status != 403, path
            assert "Referer" in signs
        # All but the iframe page and the sends, of which SockJS's may find its session there.
        await eventually(lambda: len({request.path for request in house.opened} - {house.send}) == 6)
