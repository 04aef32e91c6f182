"""One worker: it counts what its sessions are sent, answers each message with itself, and publishes when told to."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

import realtime
from realtime.core.durable.owner import Write
from realtime.core.durable.takeover import Notice

from .state import State

__all__ = ["ROOMS", "main"]

ROOMS = ("kept/a", "kept/b", "kept/c")
DRAIN = 20.0
HELD = 0.002  # seconds at most for which a write is held back on either side of the store, so that kills fall there
WORK = 0.005  # and which a turn takes


class HeldBack:
    """The records of durable sessions: says where the commit of a turn is."""

    def __init__(self, worker: Worker, keeper: Any) -> None:
        self._worker = worker
        self._keeper = keeper
        self._records = keeper.records

    async def put(self, sid: str, write: Write, life: float, notice: Notice | None = None, to: str = "") -> str:
        """See Records. What is no commit of a turn goes on at once."""
        state, row = self._worker.state, self._worker.row
        holding = self._keeper.holdings.get(sid)
        if holding is None or write.record.taken == holding.owner.record.taken:
            found: str = await self._records.put(sid, write, life, notice, to)
            return found
        with state.during(row, "commit"):
            await asyncio.sleep(random.uniform(0.0, HELD))
        found = await self._records.put(sid, write, life, notice, to)
        if found == write.record.id:
            with state.during(row, "write"):
                await asyncio.sleep(random.uniform(0.0, HELD))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)


class Worker:
    """Its application."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.name = f"{arguments.row}.{arguments.incarnation}"
        self.row: int = arguments.row
        self.state = State(arguments.place / "state", arguments.rows)
        self.state.clear(self.row)
        self.complaints = arguments.place / "complaints"
        self.opens = (arguments.place / "opens").open("a", buffering=1)
        self.handled = (arguments.place / "handled").open("a", buffering=1)
        self.rt = realtime.Server(
            broker=realtime.RedisBroker(arguments.broker, timeout=min(2.0, arguments.lease / 2)),
            cluster=realtime.Cluster(
                secret=arguments.secret,
                listen=f"unix:{arguments.place}/{self.name}.sock",
                lease=arguments.lease,
                drain_timeout=DRAIN,
            ),
            broker_timeout=10.0,
            drain_rate=arguments.drain_rate,
            shutdown_timeout=1.0,
            resume_window=30.0,
            poll_interval=(0.05, 0.5),
            trusted_proxies=["127.0.0.1"],
            allowed_origins="*",
        )
        self.rt.configure_rooms("kept/*", history=100_000, ttl=600)
        self.rt.endpoint("/count", sockjs=True, engineio="/engine.io/")(self.count)
        self.rt.endpoint("/durable", durable=True, resume_window=120.0, ping_interval=2.0, ping_timeout=3.0)(
            self.outlive
        )

    def hold_back(self) -> None:
        """The server has started: from now on commits can be seen from outside."""
        keeper: Any = self.rt._service.keeper
        keeper.records = HeldBack(self, keeper)

    def complain(self, text: str) -> None:
        """What no client could tell."""
        with self.complaints.open("a") as file:
            file.write(f"{self.name}: {text}\n")

    async def count(self, session: realtime.Session) -> None:
        """Messages are numbers from 1, each the next: what comes twice, or not, is seen here."""
        self.opens.write(f"{time.monotonic()}\n")
        native = session.request.query.get("rooms")
        await session.send(f"at {self.name}")
        if native:
            for room in ROOMS:
                with suppress(realtime.BrokerError):
                    await session.join(room)
        expected = 1
        async for message in session:
            number = int(message)
            if number != expected:
                self.complain(f"{session.id[:8]} was sent {number}, and {expected} should have come")
            expected = number + 1
            await session.send(message)

    async def outlive(self, session: realtime.Session) -> None:
        """The same in a durable session: what it has counted is in its data, and goes on at another worker. Of every
        third message the answer goes out before it is taken. The answers say who has given them."""
        if not session.durable:
            self.complain(f"{session.id[:8]} is not durable")
        if not session.restored:
            await session.send(f"at {session.id}")
        async for message in session:
            with self.state.during(self.row, "turn"):
                number = int(message)
                counted = session.data.get("count", 0)
                if number != counted + (not session.redelivered):
                    again = "again " if session.redelivered else ""
                    self.complain(f"{session.id[:8]} was {again}sent {number} behind {counted}")
                if not session.redelivered:
                    session.data["count"] = number
                    await session.send(f"{number} by {self.name}")
                    if number % 3 == 0:
                        await session.commit()
                await asyncio.sleep(WORK)
        self.handled.write(f"{session.id} {session.data.get('count', 0)}\n")

    async def publish(self, request: web.Request) -> web.Response:
        """Publishes one message. 200: it was; 409: it was not; 503: nobody knows."""
        with self.state.during(self.row, "publish"):
            try:
                await self.rt.room(request.query["room"]).send(request.query["number"])
            except realtime.BrokerError as error:
                return web.Response(status=503 if error.maybe_sent else 409, text=str(error))
            return web.Response()

    def application(self) -> web.Application:
        """All of it."""

        @web.middleware
        async def counting(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.headers.get("Upgrade"):
                self.state.add(self.row, "upgrade", 1)
                request["upgrading"] = True
                try:
                    return await handler(request)
                finally:
                    self._upgraded(request)
            if request.method == "POST" and request.path != "/publish":
                with self.state.during(self.row, "post"):
                    return await handler(request)
            return await handler(request)

        async def prepared(request: web.Request, _: web.StreamResponse) -> None:
            self._upgraded(request)

        app = web.Application(middlewares=[counting])
        app.on_response_prepare.append(prepared)
        app.router.add_post("/publish", self.publish)
        app.router.add_get("/ready", realtime.readiness(self.rt))
        realtime.setup(app, self.rt)
        return app

    def _upgraded(self, request: web.Request) -> None:
        if request.get("upgrading"):
            request["upgrading"] = False
            self.state.add(self.row, "upgrade", -1)


async def _serve(arguments: argparse.Namespace) -> None:
    worker = Worker(arguments)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    runner = web.AppRunner(worker.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    worker.hold_back()
    await web.TCPSite(runner, "127.0.0.1", arguments.port).start()
    await ended.wait()
    with worker.state.during(worker.row, "drain"):
        await runner.cleanup()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--row", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--incarnation", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--place", type=Path, required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--lease", type=float, required=True)
    parser.add_argument("--drain-rate", type=float, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.WARNING,
        filename=arguments.place / f"worker-{arguments.row}.log",
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    logging.getLogger("realtime.cluster").setLevel(logging.DEBUG)  # who was found to be gone, and why
    asyncio.run(_serve(arguments))


if __name__ == "__main__":
    main()
