"""What changes in a table of PostgreSQL goes to everybody in a room, once it is committed.

    python examples/postgres_feed.py postgresql://you@127.0.0.1/shop    # needs `pip install asyncpg`

realtime connect http://127.0.0.1:8080/realtime/orders
psql -d shop -c "INSERT INTO orders (what) VALUES ('tea')"

A trigger tells of each change, whoever makes it: a notice has 8,000 bytes at most, so it names the row, and a reader
who wants the rest asks for it. PostgreSQL keeps no notices for who is away: readers are told to look again.
"""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import AsyncIterator

import asyncpg
from aiohttp import web

import realtime

TABLE = """
CREATE TABLE IF NOT EXISTS orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text NOT NULL);
CREATE OR REPLACE FUNCTION tell_orders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('orders', json_build_object('change', lower(TG_OP), 'id', coalesce(NEW.id, OLD.id))::text);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION tell_orders();
"""

rt = realtime.Server()
ADDRESS = web.AppKey("ADDRESS", str)


@rt.endpoint("/orders")
async def orders(session: realtime.Session) -> None:
    await session.join("readers")
    await session.wait_closed()


async def listen(address: str) -> None:
    """Tells the room what PostgreSQL tells, until the connection is lost."""
    connection = await asyncpg.connect(address)
    try:
        notices: asyncio.Queue[str | None] = asyncio.Queue()  # None: the connection is lost
        connection.add_termination_listener(lambda connection: notices.put_nowait(None))
        await connection.execute(TABLE)  # yours is made by a migration
        await connection.add_listener("orders", lambda connection, pid, channel, text: notices.put_nowait(text))
        await rt.room("readers").send(json.dumps({"change": "unknown"}))  # until now nobody has listened
        while (text := await notices.get()) is not None:
            await rt.room("readers").send(text)
        raise ConnectionResetError("the connection is lost")
    finally:
        await connection.close(timeout=1)


async def feed(address: str) -> None:
    while True:
        try:
            await listen(address)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logging.warning("PostgreSQL: %s: trying again in a second", error)
            await asyncio.sleep(1)


async def background(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(feed(app[ADDRESS]))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def make_app(address: str) -> web.Application:
    app = web.Application()
    app[ADDRESS] = address
    app.cleanup_ctx.append(background)
    realtime.setup(app, rt)
    return app


if __name__ == "__main__":
    web.run_app(make_app(sys.argv[1]), host="127.0.0.1", port=8080)
