"""The servers that other people's tests of Socket.IO want, at /socket.io/ on port 3000.

python -m tests.compat.socketio.server [--port 3000] [--ping-interval 0.3] [--ping-timeout 0.2]

For the conformance suite (folder `docs/socket.io-protocol/v5-test-suite` of `socketio/socket.io`), which tests its own
constants PING_INTERVAL and PING_TIMEOUT, in milliseconds: with other intervals than these change them as well.
"""

from __future__ import annotations

import argparse
from typing import Any

from aiohttp import web

import realtime


def make(ping_interval: float, ping_timeout: float) -> web.Application:
    """What the suite's own server does."""
    rt = realtime.Server(allowed_origins="*")
    events = realtime.Events()
    options = realtime.SocketIO(ping_interval=ping_interval, ping_timeout=ping_timeout, connect_timeout=1.0)

    async def connect(session: realtime.EventSession, auth: dict[str, Any]) -> None:
        await session.emit("auth", auth)

    events.on("connect")(connect)
    events.namespace("/custom").on("connect")(connect)

    @events.on("message")
    async def message(session: realtime.EventSession, *args: Any) -> None:
        await session.emit("message-back", *args)

    @events.on("message-with-ack")
    def message_with_ack(session: realtime.EventSession, *args: Any) -> Any:
        return args

    rt.endpoint("/events", socketio=options)(events)
    app = web.Application()
    realtime.setup(app, rt)
    return app


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(description="A server for other people's tests of Socket.IO.")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--ping-interval", type=float, default=0.3, help="seconds")
    parser.add_argument("--ping-timeout", type=float, default=0.2, help="seconds")
    arguments = parser.parse_args()
    app = make(arguments.ping_interval, arguments.ping_timeout)
    web.run_app(app, host="localhost", port=arguments.port, access_log=None)


if __name__ == "__main__":
    main()
