"""A server with rooms over Redis and a page for them, as a process of its own, which a test kills and starts again.

python -m tests.browsers.rooms_worker PORT REDIS
"""

from __future__ import annotations

import sys

from aiohttp import web

import realtime

__all__ = ["PAGE", "ROOM", "make_app"]

ROOM = "kept/news"

# What it has heard it keeps for the page that it is when it is loaded anew, together with how far that reaches.
PAGE = """<!DOCTYPE html><title>rooms</title>
<script>
window.problems = [];
window.onerror = (text) => void problems.push(text);
</script>
<script type="module">
import Realtime, { cursors } from "/realtime/client.mjs";
const kept = JSON.parse(sessionStorage.getItem("kept") || '{"heard": [], "loads": 0, "cursors": null}');
kept.loads += 1;
const transports = location.search.slice(1).split(",");
const session = new Realtime("/realtime/rooms", { transports, reopen: true, cursors: cursors(kept.cursors) });
window.kept = kept;
window.session = session;
window.codes = [];
window.gaps = [];
session.onmessage = ({ data, room }) => void (room && kept.heard.push(data));
session.onclose = ({ code }) => void codes.push(code);
session.addEventListener("gap", ({ room, missing }) => void gaps.push([room, missing]));
addEventListener("pagehide", () => {
  kept.cursors = session.cursors;
  sessionStorage.setItem("kept", JSON.stringify(kept));
});
</script>"""


def make_app(rt: realtime.Server) -> web.Application:
    """The page at /, and the sessions at /realtime/rooms, which are all in one room."""
    rt.configure_rooms("kept/*", history=10_000, ttl=600)

    @rt.endpoint("/rooms")
    async def rooms(session: realtime.Session) -> None:
        await session.join(ROOM)
        await session.wait_closed()

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def icon(request: web.Request) -> web.Response:
        return web.Response(content_type="image/x-icon")

    app = web.Application()
    realtime.setup(app, rt)
    app.router.add_get("/", page)
    app.router.add_get("/favicon.ico", icon)
    return app


def up(_: object) -> None:
    """Tells that it listens."""
    sys.stdout.write("up\n")
    sys.stdout.flush()


if __name__ == "__main__":
    web.run_app(
        make_app(realtime.Server(broker=sys.argv[2], shutdown_timeout=0.3)),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        print=up,
        access_log=None,
    )
