"""A browser's own WebSocket that offers sub-protocols: one opens only when the server has agreed on one of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import web

import realtime

from ..patience import within
from ..web.place import Place, serving
from .engines import Engine, wanted

PAGE = """<!DOCTYPE html><title>a page</title><script>
function told_by(url, offered) {
  window.told = null;
  var told = { opened: false, protocol: null, message: null, code: null };
  var socket = new WebSocket(url, offered);
  socket.onopen = function () { told.opened = true; told.protocol = socket.protocol; };
  socket.onmessage = function (event) { told.message = event.data; socket.close(4000); };
  socket.onclose = function (event) { told.code = event.code; window.told = told; };
}
</script>"""


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("engine", [name for name in ("chromium",) if name in wanted()], indirect=True)
async def test_websockets_that_offer_sub_protocols(engine: Engine) -> None:
    rt = realtime.Server(shutdown_timeout=0.3)

    @rt.endpoint("/spoken", subprotocols=("v12.stomp", "mqtt"))
    async def spoken(session: realtime.Session) -> None:
        await session.send(str(session.subprotocol))
        await session.wait_closed()

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    def prepare(place: Place) -> None:
        place.app.router.add_get("/page.html", page)

    async def told(place: Place, shown: Any, offered: Sequence[str]) -> Any:
        url = place.url("/spoken").replace("http", "ws", 1)
        await shown.evaluate(f"told_by({json.dumps(url)}, {json.dumps(offered)})")
        async with within("the end of a WebSocket"):
            while (said := await shown.evaluate("window.told")) is None:  # noqa: ASYNC110 # it cannot call
                await asyncio.sleep(0.02)
        return said

    async with serving(rt, prepare=prepare) as place, engine.open(f"{place.base}/page.html") as shown:
        async with within("the page's script"):
            while not await shown.evaluate("typeof told_by == 'function'"):  # noqa: ASYNC110 # the same
                await asyncio.sleep(0.02)
        for offered, agreed in ((["mqtt"], "mqtt"), (["x", "mqtt", "v12.stomp"], "v12.stomp"), ([], "")):
            said = {"opened": True, "protocol": agreed, "message": agreed or "None", "code": 4000}
            assert await told(place, shown, offered) == said
        # Which gets none, and so does not open (WHATWG WebSockets, "establish a WebSocket connection").
        said = {"opened": False, "protocol": None, "message": None, "code": 1006}
        assert await told(place, shown, ["x"]) == said
