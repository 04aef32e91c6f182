"""What is published in Redis goes to everybody in a room.

    python examples/redis_feed.py       # needs `pip install redis`, and a Redis at 127.0.0.1:6379

realtime connect http://127.0.0.1:8080/realtime/news
redis-cli publish news "the build is green"
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Lost

import realtime

rt = realtime.Server()
ADDRESS = web.AppKey("ADDRESS", str)


@rt.endpoint("/news")
async def news(session: realtime.Session) -> None:
    await session.join("readers")
    await session.wait_closed()


async def listen(address: str) -> None:
    """Publishes into the room. Redis keeps nothing: what it is told while we are away is not seen."""
    while True:
        try:
            async with Redis.from_url(address, decode_responses=True) as redis, redis.pubsub() as channel:
                await channel.subscribe("news")
                async for event in channel.listen():
                    if event["type"] == "message":
                        await rt.room("readers").send(event["data"])
        except Lost:
            logging.warning("Redis is away, trying again in a second")
            await asyncio.sleep(1)


async def subscription(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(listen(app[ADDRESS]))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def make_app(address: str = "redis://127.0.0.1:6379") -> web.Application:
    app = web.Application()
    app[ADDRESS] = address
    app.cleanup_ctx.append(subscription)
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
