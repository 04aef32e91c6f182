"""The server that the conformance suites of Engine.IO want: an echo at /engine.io/, on port 3000.

python -m tests.compat.engineio.server [--port 3000] [--ping-interval 0.3] [--ping-timeout 0.2]

The suites (folders `docs/engine.io-protocol/v4-test-suite` and `v3-test-suite` of `socketio/socket.io`) test their own
constants PING_INTERVAL and PING_TIMEOUT, in milliseconds: with other intervals than theirs change these as well.
"""

from __future__ import annotations

import argparse

from aiohttp import web

import realtime


def make(ping_interval: float, ping_timeout: float) -> web.Application:
    """The application."""
    rt = realtime.Server(allowed_origins="*")
    options = realtime.EngineIO(path="/engine.io/", ping_interval=ping_interval, ping_timeout=ping_timeout)

    @rt.endpoint("/echo", engineio=options)
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    app = web.Application()
    realtime.setup(app, rt)
    return app


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(description="An Engine.IO echo server for conformance suites.")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval", type=float, default=0.3, help="seconds")
    parser.add_argument("--ping-timeout", type=float, default=0.2, help="seconds")
    arguments = parser.parse_args()
    app = make(arguments.ping_interval, arguments.ping_timeout)
    web.run_app(app, host="localhost", port=arguments.port, access_log=None)


if __name__ == "__main__":
    main()
