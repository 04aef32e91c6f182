"""The server that SockJS's own suites want: `python -m tests.compat.sockjs.server --port 8081`.

The endpoints are those of the protocol document and of the client's tests: /echo (4096 bytes a response),
/disabled_websocket_echo, /cookie_needed_echo, /close, /amplify, /ticker and /broadcast.
"""

from __future__ import annotations

import argparse
import asyncio

from aiohttp import web

import realtime

__all__ = ["make_app", "make_server"]

# Suites ask for the same sessions again after five seconds.
CLIENT = "https://cdn.jsdelivr.net/npm/sockjs-client@1.6.1/dist/sockjs.min.js"


def make_server(client_url: str = CLIENT, client_integrity: str | None = None) -> realtime.Server:
    """The endpoints, for pages of any origin. The protocol's suite wants the iframe page to the letter, which has no
    `integrity`: hence None."""
    rt = realtime.Server(allowed_origins="*", shutdown_timeout=0.5)
    usual = realtime.SockJS(client_url=client_url, client_integrity=client_integrity)

    @rt.endpoint(
        "/echo", sockjs=realtime.SockJS(response_limit=4096, client_url=client_url, client_integrity=client_integrity)
    )
    @rt.endpoint(
        "/disabled_websocket_echo",
        sockjs=realtime.SockJS(websocket=False, client_url=client_url, client_integrity=client_integrity),
    )
    @rt.endpoint(
        "/cookie_needed_echo",
        sockjs=realtime.SockJS(cookie_needed=True, client_url=client_url, client_integrity=client_integrity),
    )
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @rt.endpoint("/close", sockjs=usual)
    async def close(session: realtime.Session) -> None:
        await session.close(3000, "Go away!")

    @rt.endpoint("/amplify", sockjs=usual)
    async def amplify(session: realtime.Session) -> None:
        async for message in session:
            size = int(float(message)) if message else 0
            await session.send("x" * 2 ** (size if 0 < size < 19 else 1))

    @rt.endpoint("/bulk", sockjs=usual)
    async def bulk(session: realtime.Session) -> None:
        for number in range(1000):
            await session.send(str(number))
        await session.wait_closed()

    @rt.endpoint("/ticker", sockjs=usual)
    async def ticker(session: realtime.Session) -> None:
        while True:
            await asyncio.sleep(1)
            await session.send("tick!")

    @rt.endpoint("/broadcast", sockjs=usual)
    async def broadcast(session: realtime.Session) -> None:
        await session.join("everybody")
        async for message in session:
            await rt.room("everybody").send(message)

    return rt


def make_app(client_url: str = CLIENT) -> web.Application:
    """The application, with the endpoints at its root."""
    app = web.Application()
    realtime.setup(app, make_server(client_url), prefix="")
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    arguments = parser.parse_args()
    web.run_app(make_app(), host=arguments.host, port=arguments.port, print=None, access_log=None)
