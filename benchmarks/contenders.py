"""The applications that are compared: the same three things, with realtime and with aiohttp alone.

/echo sends every message back. /listen only listens. What is sent to /speak goes to all who listen. Each of them takes
WebSockets; the first two take long polls as well. The bare ones promise nothing: no numbers, no acks, no session.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import WSMsgType, web

import realtime

from .peers import APPS, FLOOR, NODE

__all__ = ["ALL", "CONTENDERS", "ROOMS", "SERVED"]

# /listen-N, which only realtime has, is in so many rooms.
ROOMS = (1, 10, 100, 1000)


def realtime_app() -> web.Application:
    """With realtime, at its default settings."""
    rt = realtime.Server()
    room = rt.room("all")

    @rt.endpoint("/echo")
    async def echo(session: realtime.Session) -> None:
        async for message in session:
            await session.send(message)

    @rt.endpoint("/listen")
    async def listen(session: realtime.Session) -> None:
        await session.join("all")
        async for _ in session:
            pass

    for rooms in ROOMS:

        @rt.endpoint(f"/listen-{rooms}")
        async def listen_in_rooms(session: realtime.Session, rooms: int = rooms) -> None:
            for number in range(1, rooms):
                await session.join(str(number))
            await listen(session)

    @rt.endpoint("/speak")
    async def speak(session: realtime.Session) -> None:
        async for message in session:
            await room.send(message)

    app = web.Application()
    realtime.setup(app, rt)
    return app


def tuned_app() -> web.Application:
    """With realtime, and its tuning of the garbage collector."""

    async def tuned(app: web.Application) -> AsyncIterator[None]:
        undo = realtime.tune_gc()
        yield
        undo()

    app = realtime_app()
    app.cleanup_ctx.append(tuned)
    return app


def bare_app() -> web.Application:
    """With aiohttp and nothing else."""
    sockets: set[web.WebSocketResponse] = set()
    queues: dict[str, asyncio.Queue[str]] = {}

    async def echo(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
        return ws

    async def listen(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        sockets.add(ws)
        try:
            async for _ in ws:
                pass
        finally:
            sockets.discard(ws)
        return ws

    async def speak(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                for socket in tuple(sockets):
                    await socket.send_str(message.data)
                for queue in queues.values():
                    queue.put_nowait(message.data)
        return ws

    async def enter(request: web.Request) -> web.Response:
        queues[request.match_info["id"]] = asyncio.Queue()
        return web.Response()

    async def poll(request: web.Request) -> web.Response:
        return web.Response(text=await queues[request.match_info["id"]].get())

    async def send(request: web.Request) -> web.Response:
        queues[request.match_info["id"]].put_nowait(await request.text())
        return web.Response()

    app = web.Application()
    app.router.add_get("/echo", echo)
    app.router.add_get("/listen", listen)
    app.router.add_get("/speak", speak)
    app.router.add_post("/enter/{id}", enter)
    app.router.add_get("/poll/{id}", poll)
    app.router.add_post("/send/{id}", send)
    return app


CONTENDERS: dict[str, Callable[[], web.Application]] = {"realtime": realtime_app, "bare aiohttp": bare_app}
# All that the server of this package serves, and all that is compared.
SERVED: dict[str, Callable[[], web.Application]] = {**CONTENDERS, "realtime, tune_gc()": tuned_app, **APPS}
ALL: tuple[str, ...] = (*SERVED, FLOOR, *NODE)
