"""Where there is no XMLHttpRequest, as in service workers and extensions, the transports over HTTP go by fetch."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

import realtime

from ..patience import within
from ..web.place import Place, serving
from .engines import Engine, wanted

WORKER = """
importScripts("/realtime/client.js");
addEventListener("install", function () { skipWaiting(); });
addEventListener("activate", function (event) { event.waitUntil(clients.claim()); });
addEventListener("message", function (event) {
  var told = { names: [], heard: [] }, port = event.ports[0];
  told.xhr = typeof XMLHttpRequest;
  var session = new Realtime(event.data.url, { transports: event.data.transports });
  session.binaryType = "arraybuffer";
  session.ontransport = function (event) { told.names.push(event.transport); };
  session.onmessage = function (event) {
    told.heard.push(typeof event.data === "string" ? event.data : Array.from(new Uint8Array(event.data)));
    if (told.heard.length < 3) return;
    told.transport = session.transport;
    session.close();
  };
  session.onclose = function (event) { told.code = event.code; told.reason = event.reason; port.postMessage(told); };
  session.send("h\\u00e9\\ud83d\\ude00");
  session.send(new Uint8Array([0, 255]));
  var wanted = event.data.transports[0];
  (function last() {
    if (session.transport === wanted || told.code) session.send("last");
    else setTimeout(last, 50);
  })();
});
"""
PAGE = """<!DOCTYPE html><title>a page</title><script>
window.start = function (url, transports) {
  window.told = null;
  navigator.serviceWorker.register("/worker.js");
  navigator.serviceWorker.ready.then(function (registered) {
    var channel = new MessageChannel();
    channel.port1.onmessage = function (event) { window.told = event.data; };
    registered.active.postMessage({ url: url, transports: transports }, [channel.port2]);
  });
};
</script>"""


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("engine", [name for name in ("chromium", "firefox") if name in wanted()], indirect=True)
async def test_sessions_in_a_service_worker(engine: Engine) -> None:
    await engine.version()  # its own tasks are there before those that must be gone in the end
    rt = realtime.Server(shutdown_timeout=0.3)

    def prepare(place: Place) -> None:
        for path, text, kind in (("/page.html", PAGE, "text/html"), ("/worker.js", WORKER, "text/javascript")):
            place.app.router.add_get(path, answering(text, kind))

    async with serving(rt, prepare=prepare) as place, engine.open(f"{place.base}/page.html") as page:
        for transport in ("websocket", "xhr_streaming", "multipart", "long_polling", "polling"):
            transports = json.dumps([transport, "polling"])
            async with within(f"{transport} in a service worker"):
                while not await page.evaluate("typeof window.start === 'function'"):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                await page.evaluate(f"void start('/realtime/echo', {transports})")
                while (told := await page.evaluate("window.told")) is None:  # noqa: ASYNC110 # it cannot call
                    await asyncio.sleep(0.02)
            assert told["xhr"] == "undefined"
            assert told["heard"] == ["h\u00e9\U0001f600", [0, 255], "last"], told
            assert told["transport"] == transport
            assert told["code"] == 1000


def answering(text: str, kind: str) -> Any:
    """A handler with one answer."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind)

    return answer
