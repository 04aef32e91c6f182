"""A ticker, and readers that are too slow for it: who can't keep up misses lines, and is told how many.

    python examples/ticker.py
    realtime connect http://127.0.0.1:8080/realtime/ticker      # keeps up

A reader that takes half a second for each line, of which there are a hundred a second:

    python examples/ticker.py --slow http://127.0.0.1:8080/realtime/ticker
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator

from aiohttp import web

import realtime

rt = realtime.Server()
ticks = rt.room("ticks")


# A ticker does not wait for anybody, and old figures are worth nothing: with 16 lines that are not acknowledged the
# oldest is dropped that was not sent yet, and never the newest. ("close" would end the session with 1008 instead.)
# Whoever reads is told how many were dropped, and where.
@rt.endpoint("/ticker", on_full="drop_oldest", max_outbox=16)
async def ticker(session: realtime.Session) -> None:
    await session.join("ticks")
    async for _ in session:
        pass  # nobody asked


async def tick(pause: float) -> None:
    for number in itertools.count(1):
        await ticks.send(f"tick {number}")  # never waits for a slow reader
        await asyncio.sleep(pause)


async def read(session: realtime.ClientSession, pause: float) -> None:
    """Prints what comes, and how much did not."""
    dropped = 0
    async for line in session:
        if session.dropped > dropped:  # in JavaScript: session.ondropped = ({ count }) => …
            print(f"({session.dropped - dropped} lines missed)")
            dropped = session.dropped
        print(line)
        await asyncio.sleep(pause)


async def read_slowly(url: str) -> None:
    # The window is what may come unread: a smaller one makes the server notice sooner.
    async with realtime.connect(url, max_queue=16) as session:
        await read(session, pause=0.5)


def make_app(pause: float = 0.01) -> web.Application:
    async def run(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(tick(pause))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = web.Application()
    app.cleanup_ctx.append(run)
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    if sys.argv[1:2] == ["--slow"]:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(read_slowly(sys.argv[2]))
    else:
        web.run_app(make_app(), host="127.0.0.1", port=8080)
