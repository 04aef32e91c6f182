"""Workers of a cluster, in one process, with a durable endpoint; and what a test does to them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp

import realtime
from realtime.brokers.base import Refused

from ..cluster.workers import Worker, workers
from .raw import let_go
from .workers import counting

__all__ = ["Crew", "crew"]


class Still:
    """The directory as a worker uses it that stands still: it does not renew its lease."""

    def __init__(self, directory: Any) -> None:
        self.directory = directory

    async def enlist(self, peer: Any, lease: float) -> bool:
        raise Refused("it stands still")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.directory, name)


class Crew:
    """Workers with a handler that counts, and what their handlers saw."""

    def __init__(self, them: list[Worker], http: aiohttp.ClientSession) -> None:
        self.workers, self.http = them, http

    def url(self, worker: Worker) -> str:
        return f"{worker.url}/realtime/orders"

    def keeper(self, worker: Worker) -> Any:
        keeper = worker.service.keeper
        assert keeper is not None
        return keeper

    def has(self, worker: Worker, sid: str) -> bool:
        return sid in self.keeper(worker).holdings

    def lapse(self, worker: Worker) -> None:
        """The worker's lease is over, as where it stands still, and the others may judge so."""
        owners = directory_of(worker)
        if not isinstance(owners._directory, Still):
            owners._directory = Still(owners._directory)
        owners._directory.directory._peers[worker.name] = worker.peer, time.monotonic()
        for other in self.workers:
            if other is not worker:
                theirs = directory_of(other)
                theirs._standing.steady = lambda now: True
                theirs._finding.neighbours.doubt(worker.name)

    async def renew(self, worker: Worker) -> None:
        """It goes on, and has renewed its lease."""
        owners = directory_of(worker)
        owners._directory = owners._directory.directory
        await owners._register()

    def waits(self, sid: str) -> float:
        """After how many seconds without another write the store has a session looked at."""
        kept = self.keeper(self.workers[0]).records._kept[sid]
        return float(kept.due - kept.written)

    async def record(self, sid: str) -> Any:
        sight = await self.keeper(self.workers[-1]).records.load(sid)
        return sight.record


def directory_of(worker: Worker) -> Any:
    """The directory, as a worker uses it."""
    return worker.service.sessions.owners


@contextlib.asynccontextmanager
async def crew(
    handler: Any = counting,
    count: int = 2,
    prepare: Callable[[realtime.Server], object] = bool,
    kinds: Sequence[str] = (),
    **settings: Any,
) -> AsyncIterator[Crew]:
    """`prepare` is called with each server before it starts. `kinds` says of each worker whether its endpoint is
    "durable", as it is if nothing is said, "ordinary", or "absent": it has another one."""
    left = list(kinds)

    def prepared(worker: Worker) -> None:
        kind = left.pop(0) if left else "durable"
        prepare(worker.server)
        path = "/others" if kind == "absent" else "/orders"
        worker.server.endpoint(path, durable=kind != "ordinary", **settings)(handler)

    async with workers(len(kinds) or count, prepare=prepared) as them, aiohttp.ClientSession() as http:
        made = Crew(them, http)
        for one in them:  # others bring nothing to a worker that has seen no request
            async with http.post(f"{made.url(one)}/v1/send", data="[]") as answer:
                assert answer.status == 400
        try:
            yield made
        finally:
            let_go(http)
