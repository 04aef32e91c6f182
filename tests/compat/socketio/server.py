"""The servers that other people's tests of Socket.IO want, at /socket.io/.

python -m tests.compat.socketio.server [--suite protocol] [--port 3000] [--ping-interval 0.3] [--ping-timeout 0.2]

`protocol`: for the conformance suite (folder `docs/socket.io-protocol/v5-test-suite` of `socketio/socket.io`). It tests
its own constants PING_INTERVAL and PING_TIMEOUT, in milliseconds: with other intervals than these change them as well.

`client`: what `test/support/server.ts` of socket.io-client does for its own tests (`test/index.ts`, without the server
that their `test/support/hooks.ts` starts), at port 3210.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

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


def handshake(session: realtime.EventSession) -> dict[str, Any]:
    """What their tests look at of it."""
    return {"auth": session.auth, "query": dict(session.request.query), "headers": dict(session.request.headers)}


def now() -> str:
    """The time, as JSON has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_for_client(ping_interval: float, ping_timeout: float) -> web.Application:
    """What socket.io-client's own tests talk to."""
    rt = realtime.Server(allowed_origins="*")
    events = realtime.Events()
    options = realtime.SocketIO(ping_interval=ping_interval, ping_timeout=ping_timeout, recovery=120.0)
    for name in ("/timeout_socket", "/valid", "/asd"):
        events.namespace(name)
    events.namespace("/foo").on("getId")(lambda session: session.id)
    forbidden = events.namespace("/no")

    @forbidden.on("connect")
    def no(session: realtime.EventSession) -> None:
        raise realtime.Unauthorized("Auth failed (custom namespace)")

    @events.namespace("/abc").on("connect")
    async def abc(session: realtime.EventSession) -> None:
        await session.emit("handshake", handshake(session))

    @events.on("connect")
    def connect(session: realtime.EventSession) -> None:
        if session.request.query.get("fail"):
            raise realtime.Unauthorized("Auth failed (main namespace)")

    @events.on("ack", concurrent=10)
    async def ack(session: realtime.EventSession) -> None:
        answer = await session.call("ack")
        if answer[0] == 5 and answer[1]["test"]:
            await session.emit("got it")

    def says(event: str, *told: tuple[Any, ...]) -> None:
        """An event that is answered by others."""

        @events.on(event)
        async def say(session: realtime.EventSession, *args: Any) -> None:
            for one in told:
                await session.emit(*one)

    says("hi", ("hi",))
    says("false", ("false", False))
    says("getDate", ("takeDate", now()))
    says("getDateObj", ("takeDateObj", {"date": now()}))
    texts = ("てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string")
    says("getUtf8", *(("takeUtf8", text) for text in texts))
    says("doge", ("doge", b"asdfasdf"))
    says("getbin", ("takebin", b"asdfasdf"))
    for event, answer in (("abuff2", "abuff2-ack"), ("blob3", "blob3-ack"), ("blob", "back")):
        says(event, (answer,))

    @events.on("buffa")
    async def buffa(session: realtime.EventSession, data: bytes) -> None:
        await session.emit("buffack")

    for event in ("jsonbuff", "jsonblob"):

        @events.on(event)
        async def mixed(session: realtime.EventSession, said: dict[str, Any], event: str = event) -> None:
            if (said["hello"], type(said["message"]), said["goodbye"]) == ("lol", bytes, "gotcha"):
                await session.emit(f"{event}-ack")

    events.on("echo")(lambda session, arg: (arg,))
    events.on("getAckDate")(lambda session, data: now())
    events.on("getHandshake")(handshake)
    events.on("getId")(lambda session: session.id)
    rt.endpoint("/events", socketio=options)(events)

    @web.middleware
    async def a_little_later(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "sid" not in request.query:
            await asyncio.sleep(0.01)  # so that clients can give up before
        return await handler(request)

    app = web.Application(middlewares=[a_little_later])
    realtime.setup(app, rt)
    return app


SUITES = {"protocol": (make, 3000, 0.3, 0.2), "client": (make_for_client, 3210, 2.0, 20.0)}


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(description="A server for other people's tests of Socket.IO.")
    parser.add_argument("--suite", choices=SUITES, default="protocol")
    parser.add_argument("--port", type=int)
    parser.add_argument("--ping-interval", type=float, help="seconds")
    parser.add_argument("--ping-timeout", type=float, help="seconds")
    arguments = parser.parse_args()
    made, port, interval, timeout = SUITES[arguments.suite]
    app = made(arguments.ping_interval or interval, arguments.ping_timeout or timeout)
    web.run_app(app, host="localhost", port=arguments.port or port, access_log=None)


if __name__ == "__main__":
    main()
