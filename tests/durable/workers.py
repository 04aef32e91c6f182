"""Servers that share a broker, as workers of one application; and what a test does to their store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp

import realtime
from realtime.brokers.base import Stores
from realtime.core.durable.owner import Write
from realtime.core.durable.takeover import Notice
from realtime.core.errors import BrokerError
from realtime.testing import serve

from .raw import let_go

__all__ = [
    "KEPT",
    "Handler",
    "Place",
    "Puts",
    "Rooms",
    "Worker",
    "counting",
    "heard",
    "keeps",
    "record",
    "telling",
    "worker",
]

KEPT = "kept"

Handler = Callable[[realtime.Session], Awaitable[object]]


class Puts:
    """Holds back what a worker writes: `before` it is in the store, or `behind`, where only the answer is missing."""

    def __init__(self, records: Any) -> None:
        self._put = records.put
        self.before = asyncio.Event()
        self.behind = asyncio.Event()
        self.asked = 0
        self.waiting = asyncio.Event()  # one is held back
        self.count = 0  # that were stored
        self.before.set()
        self.behind.set()

    async def put(self, sid: str, write: Write, life: float, notice: Notice | None = None, to: str = "") -> str:
        self.asked += 1
        if not self.before.is_set():
            self.waiting.set()
        await self.before.wait()
        found: str = await self._put(sid, write, life, notice, to)
        self.count += found == write.record.id
        if not self.behind.is_set():
            self.waiting.set()
        await self.behind.wait()
        return found


class Records:
    """A broker's records as one worker has them."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.puts = Puts(records)
        self.put = self.puts.put

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)


class Rooms:
    """Holds back what one worker publishes: `before` it is in the room, or `behind`, where only the answer is
    missing. `fails` times it does not answer, and then it raises what `raises` has."""

    def __init__(self, rt: realtime.Server) -> None:
        self.before, self.behind, self.waiting = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.before.set()
        self.behind.set()
        self.fails = 0
        self.raises: list[Exception] = []
        self.asked: list[str] = []
        store: Any = rt._service.sessions.hub.rooms._store
        self._publish = store.publish
        store.publish = self.publish

    async def publish(self, room: str, keep: Any, id: str, payload: bytes, ask: bool, life: float = 60.0) -> Any:
        self.asked.append(id)
        if self.fails:
            self.fails -= 1
            raise BrokerError("not now")
        if self.raises:
            raise self.raises.pop()
        await self._held(self.before)
        found = await self._publish(room, keep, id, payload, ask, life)
        await self._held(self.behind)
        return found

    async def _held(self, until: asyncio.Event) -> None:
        if not until.is_set():
            self.waiting.set()
        await until.wait()


class Worker:
    """One server."""

    def __init__(self, rt: realtime.Server, url: str) -> None:
        self.rt, self.url = rt, url
        keeper: Any = rt._service.keeper
        self.keeper = keeper
        self.records = keeper.records = Records(keeper.records)
        self.puts = self.records.puts

    @property
    def sessions(self) -> list[Any]:
        return list(self.rt.sessions)


class Place:
    """Workers that are started one after the other, and a client's connections."""

    def __init__(self, http: aiohttp.ClientSession, stack: contextlib.AsyncExitStack, broker: Stores) -> None:
        self.http, self._stack, self.broker = http, stack, broker

    async def worker(
        self, handler: Handler, prepare: Callable[[realtime.Server], object] = bool, **settings: Any
    ) -> Worker:
        """`prepare` is called with the server before it starts."""
        rt = realtime.Server(broker=self.broker, shutdown_timeout=1.0)
        prepare(rt)
        rt.endpoint("/orders", durable=True, **settings)(handler)
        server = await self._stack.enter_async_context(serve(rt))
        return Worker(rt, str(server.make_url("/realtime/orders")))


@contextlib.asynccontextmanager
async def worker(broker: Stores) -> AsyncIterator[Place]:
    """See Place."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        try:
            yield Place(http, stack, broker)
        finally:
            let_go(http)  # or the servers wait for them


async def record(one: Worker, sid: str) -> Any:
    """What the store has of a session."""
    sight = await one.keeper.records.load(sid)
    return None if sight is None else sight.record


# -- handlers ----------------------------------------------------------------------------------------------------------


async def counting(session: realtime.Session) -> None:
    """Answers each message with its count."""
    if not session.restored:
        await session.send("welcome")
    async for message in session:
        session.data["count"] = session.data.get("count", 0) + 1
        await session.send(f"{message!s} {session.data['count']}")
        if message == "end":
            return


async def telling(session: realtime.Session) -> None:
    """Publishes each message, and again what it is."""
    async for message in session:
        await session.publish(KEPT, message)
        await session.publish(KEPT, f"{message!s} again")
        await session.send(f"told {message!s}")


def keeps(rt: realtime.Server) -> None:
    """The room keeps what was published."""
    rt.configure_rooms(KEPT, history=100)


async def heard(rt: realtime.Server) -> list[Any]:
    """All that was ever published there."""
    return [message for _, message in (await rt.room(KEPT).history()).messages]
