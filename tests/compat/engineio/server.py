"""The servers that other people's tests of Engine.IO want, at /engine.io/ on port 3000.

python -m tests.compat.engineio.server [--suite protocol] [--port 3000] [--ping-interval 0.3] [--ping-timeout 0.2]

`protocol`: an echo for the conformance suites (folders `docs/engine.io-protocol/v4-test-suite` and `v3-test-suite` of
`socketio/socket.io`). They test their own constants PING_INTERVAL and PING_TIMEOUT, in milliseconds: with other
intervals than theirs change these as well.

`client`: what `test/support/hooks.js` of engine.io-client starts for its own tests (`mocha test/index.js`, without
those hooks): other limits, a greeting, some commands, cookies, and a parameter that says no.
"""

from __future__ import annotations

import argparse
import json

from aiohttp import web
from aiohttp.typedefs import Handler

import realtime

COOKIES = (
    "1=1; Max-Age=86400",
    "2=2; Path=/; HttpOnly; Secure; SameSite=Strict",
    "3=3; Max-Age=0",
    "4=4; Expires=Thu, 01 Jan 2026 00:00:00 GMT",
)


def make(ping_interval: float, ping_timeout: float) -> web.Application:
    """An echo."""
    rt = realtime.Server(allowed_origins="*")
    options = realtime.EngineIO(path="/engine.io/", ping_interval=ping_interval, ping_timeout=ping_timeout)

    @rt.endpoint("/echo", engineio=options)
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    app = web.Application()
    realtime.setup(app, rt)
    return app


def make_for_client(ping_interval: float, ping_timeout: float) -> web.Application:
    """What engine.io-client's own tests talk to."""
    rt = realtime.Server(allowed_origins="*")
    posted: dict[str, dict[str, str]] = {}  # the headers of each session's last POST
    options = realtime.EngineIO(
        path="/engine.io/", ping_interval=ping_interval, ping_timeout=ping_timeout, max_payload=100
    )

    @rt.endpoint("/echo", engineio=options)
    async def echo(session: realtime.Session) -> None:
        await session.send("hi")
        async for message in session:
            if message == "give binary":
                await session.send(bytes(range(5)))
            elif message == "give utf8":
                await session.send("пойду спать всем спокойной ночи")
            elif message == "sendHeaders":
                await session.send(json.dumps(posted.get(session.id, {})))
            else:
                await session.send(message)

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "deny" in request.query:
            return web.json_response({"code": 4, "message": "Forbidden"}, status=403)
        if request.method == "POST":
            posted[request.query.get("sid", "")] = {name.lower(): value for name, value in request.headers.items()}
        return await handler(request)

    async def give_cookies(request: web.Request, response: web.StreamResponse) -> None:
        if "sid" not in request.query:
            response.headers.extend(("Set-Cookie", cookie) for cookie in COOKIES)

    app = web.Application(middlewares=[look])
    app.on_response_prepare.append(give_cookies)
    realtime.setup(app, rt)
    return app


SUITES = {"protocol": (make, 0.3, 0.2), "client": (make_for_client, 0.5, 20.0)}


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(description="A server for other people's tests of Engine.IO.")
    parser.add_argument("--suite", choices=SUITES, default="protocol")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval", type=float, help="seconds")
    parser.add_argument("--ping-timeout", type=float, help="seconds")
    arguments = parser.parse_args()
    made, interval, timeout = SUITES[arguments.suite]
    app = made(arguments.ping_interval or interval, arguments.ping_timeout or timeout)
    web.run_app(app, host="localhost", port=arguments.port, access_log=None)


if __name__ == "__main__":
    main()
