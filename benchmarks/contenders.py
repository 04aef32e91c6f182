"""The applications that are compared: the same three things, with realtime and with aiohttp alone.

/echo sends every message back. /listen only listens. What is sent to /speak goes to all who listen. Each of them takes
WebSockets; the first two take long polls as well, and who listens may do so by a stream (/stream of the bare one). The
bare ones promise nothing: no numbers, no acks, no session.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import WSMsgType, web

import realtime

from .peers import APPS, BURST, FLOOR, NODE

__all__ = ["ALL", "CONTENDERS", "EVENTS", "ROOMS", "SERVED"]

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


def events_app() -> web.Application:
    """With realtime's events, for its own clients and Socket.IO's. What it does the peers of peers.py do as well."""
    rt = realtime.Server()
    events = realtime.Events()
    rt.endpoint("/events", socketio="/socket.io")(events)
    room = events.room("all")

    @events.on("connect")
    async def connect(session: realtime.EventSession) -> None:
        session.data["name"] = session.request.query["name"]
        if session.data["name"] == "listen":
            await session.join("all")

    @events.on("m")
    async def message(session: realtime.EventSession, text: str) -> None:
        if session.data["name"] == "echo":
            await session.emit("m", text)
        elif session.data["name"] == "speak":
            await room.emit("m", text)

    @events.on("put")
    async def put(session: realtime.EventSession, text: str) -> None:
        session.data["count"] = session.data.get("count", 0) + 1

    @events.on("counted")
    async def counted(session: realtime.EventSession) -> int:
        count: int = session.data.pop("count", 0)
        return count

    @events.on("burst")
    async def burst(session: realtime.EventSession, text: str) -> None:
        for _ in range(BURST):
            await session.emit("m", text)

    @events.on("ack")
    async def ack(session: realtime.EventSession, text: str) -> str:
        return text

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
    streams: set[web.StreamResponse] = set()
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
                for stream in tuple(streams):
                    try:
                        await stream.write(message.data.encode() + b"\n")
                    except ConnectionError:  # aiohttp lets its handler wait on
                        streams.discard(stream)
                for queue in queues.values():
                    queue.put_nowait(message.data)
        return ws

    async def listen_by_stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        streams.add(response)
        try:
            await asyncio.get_running_loop().create_future()  # until its client leaves
        finally:
            streams.discard(response)
        return response

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
    app.router.add_get("/stream", listen_by_stream)
    app.router.add_post("/enter/{id}", enter)
    app.router.add_get("/poll/{id}", poll)
    app.router.add_post("/send/{id}", send)
    return app


CONTENDERS: dict[str, Callable[[], web.Application]] = {"realtime": realtime_app, "bare aiohttp": bare_app}
COMPARED: dict[str, Callable[[], web.Application]] = {**CONTENDERS, "realtime, tune_gc()": tuned_app, **APPS}
ALL: tuple[str, ...] = (*COMPARED, FLOOR, *NODE)
# All that the server of this package serves.
EVENTS = "realtime, events"
SERVED: dict[str, Callable[[], web.Application]] = {**COMPARED, EVENTS: events_app}
