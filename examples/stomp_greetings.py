"""STOMP: what a page of another framework's simple broker wants of its server, by the same paths and destinations.

    python examples/stomp_greetings.py

Open http://127.0.0.1:8080/ in two browsers. The page knows nothing of this package: it has @stomp/stompjs, connects to
/greetings, sends to /app/hello and subscribes to /topic/greetings. Clients of STOMP over TCP find port 61613:

    stomp -H 127.0.0.1 -P 61613     (pip install stomp.py)
"""

from pathlib import Path

from aiohttp import web

import realtime

FRESH = {"Cache-Control": "no-cache"}  # another example may have had this address
HERE = Path(__file__).parent

rt = realtime.Server()
stomp = realtime.STOMP(tcp=("127.0.0.1", 61613))


@stomp.allow
async def allow(client: realtime.StompClient, action: str, destination: str) -> bool:
    """Everybody hears greetings, and may greet. Work is put into the queue, and taken, by whoever likes."""
    if action == "send":
        return destination in ("/app/hello", "/queue/work")
    return destination in ("/topic/greetings", "/queue/work")


@stomp.on("/app/hello", reply="/topic/greetings")
async def hello(client: realtime.StompClient, message: realtime.StompMessage) -> dict[str, str]:
    said = message.json()
    name = said.get("name") if isinstance(said, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise realtime.EventError("say who you are")
    return {"content": f"Hello, {name.strip()[:24]}!"}


async def page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(HERE / "stomp_greetings.html", headers=FRESH)


def make_app() -> web.Application:
    rt.endpoint("/greetings", sockjs=True)(stomp)
    app = web.Application()
    app.router.add_get("/", page)
    realtime.setup(app, rt, prefix="")
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
