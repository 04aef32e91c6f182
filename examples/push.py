"""Messages that no session sent: a POST handler and a background task push into a room.

    python examples/push.py

curl -d "the build is green" http://127.0.0.1:8080/news
realtime connect http://127.0.0.1:8080/realtime/news
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from aiohttp import web

import realtime

rt = realtime.Server()
PAUSE = web.AppKey("PAUSE", float)  # seconds


@rt.endpoint("/news")
async def news(session: realtime.Session) -> None:
    await session.join("readers")
    await session.wait_closed()


async def post(request: web.Request) -> web.Response:
    await rt.room("readers").send(await request.text())  # yours asks who may
    return web.Response(status=202)


async def clock(app: web.Application) -> None:
    while True:
        await rt.room("readers").send(time.strftime("it is %H:%M:%S"))
        await asyncio.sleep(app[PAUSE])


async def background(app: web.Application) -> AsyncIterator[None]:
    """Runs the clock as long as the application: started in its event loop, and cancelled at its end."""
    task = asyncio.create_task(clock(app))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def make_app(pause: float = 10.0) -> web.Application:
    app = web.Application()
    app[PAUSE] = pause
    app.router.add_post("/news", post)
    app.cleanup_ctx.append(background)
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
