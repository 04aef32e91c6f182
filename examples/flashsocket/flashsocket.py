"""The unchanged client over Flash: in place of `window.WebSocket` the page has a class that a SWF stands behind.

    cd examples/flashsocket && npm install && cd -
    python examples/flashsocket/flashsocket.py

Then open http://127.0.0.1:8080/. Needs Haxe, which makes the movie (Debian: apt-get install haxe). Nobody has Flash any
more: Ruffle plays it, in any browser of today. It opens no TCP connections, so it is given a bridge, a WebSocket to
each. Adobe's player asked the server for a policy file before it opened a socket; that is served too, at port 8430.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

import realtime

HERE = Path(__file__).parent
RUFFLE = HERE / "node_modules" / "@ruffle-rs" / "ruffle"
MOVIE = HERE / "build" / "FlashSocket.swf"
POLICY = b"""<?xml version="1.0"?>
<cross-domain-policy><allow-access-from domain="127.0.0.1" to-ports="8080"/></cross-domain-policy>\0"""
ASKED = b"<policy-file-request/>\0"

POLICY_PORT = web.AppKey("policy_port", int)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(movie: Path = MOVIE) -> Path:
    """Has Haxe make the movie, if it is not there or older than its source. Raises FileNotFoundError without Haxe."""
    source = HERE / "FlashSocket.hx"
    if not movie.exists() or movie.stat().st_mtime < source.stat().st_mtime:
        movie.parent.mkdir(exist_ok=True)
        subprocess.run(["haxe", "-cp", HERE, "-main", source.stem, "--swf", movie, "--swf-version", "11"], check=True)
    return movie


@contextlib.asynccontextmanager
async def policy_server(host: str, port: int, policy: bytes = POLICY) -> AsyncIterator[int]:
    """Tells Flash players whose movies may open sockets to which ports of this host. Yields its own port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(60):
                if await reader.readexactly(len(ASKED)) == ASKED:
                    writer.write(policy)
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, host, port)
    async with server:
        yield server.sockets[0].getsockname()[1]


def bridge(target: tuple[str, int] | None = None, piece: int = 65_536) -> Handler:
    """A WebSocket of binary messages becomes a TCP connection: to this server itself, or to a host and port.

    `piece` is the most that is read from there at a time, in bytes.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        if urlsplit(request.headers.get("Origin", "")).netloc != request.host:
            raise web.HTTPForbidden(text="This is for the page of this server.")
        assert request.transport is not None
        host, port = target or request.transport.get_extra_info("sockname")[:2]
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            raise web.HTTPBadGateway(text=f"Nobody listens at {host}:{port}.") from None
        websocket = web.WebSocketResponse()

        async def down() -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(piece):
                    await websocket.send_bytes(data)
            await websocket.close()

        try:
            await websocket.prepare(request)
            downward = asyncio.create_task(down())
            try:
                async for message in websocket:
                    if message.type is not WSMsgType.BINARY:
                        break
                    writer.write(message.data)
                    await writer.drain()
            finally:
                downward.cancel()
        except OSError:
            pass  # one end is gone, and so is the other now
        finally:
            writer.close()
        await websocket.close()
        return websocket

    return handle


def make_app(
    movie: Path = MOVIE, policy_port: int = 8430, target: tuple[str, int] | None = None, piece: int = 65_536
) -> web.Application:
    """The page, what it wants, and an echo. `target` and `piece` are the bridge's."""
    rt = realtime.Server()

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    async def page(request: web.Request) -> web.Response:
        text = (HERE / "index.html").read_text("utf-8")
        return web.Response(text=text.replace("8430", str(app[POLICY_PORT])), content_type="text/html")

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(movie if request.path.endswith(".swf") else HERE / "flashsocket.js")

    async def policy(app: web.Application) -> AsyncIterator[None]:
        async with policy_server("127.0.0.1", policy_port) as app[POLICY_PORT]:
            yield

    app = web.Application()
    app.cleanup_ctx.append(policy)
    app.router.add_get("/", page)
    app.router.add_get("/flashsocket.js", file)
    app.router.add_get("/FlashSocket.swf", file)
    app.router.add_get("/tcp", bridge(target, piece))
    if RUFFLE.is_dir():
        app.router.add_static("/ruffle/", RUFFLE)
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(build()), host="127.0.0.1", port=8080)
