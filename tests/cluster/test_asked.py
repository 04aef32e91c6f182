"""The application is asked who a client is, and does not answer, while a worker of the cluster drains: the drain ends,
and the client is told to come by another one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import realtime

from ..patience import arrives, bounded
from .fleet import Fleet, fleet
from .workers import Worker

HOW = ["websocket", "sse", "long_polling", "polling"]
QUICK: dict[str, Any] = {"backoff": (0.01, 0.1)}


class Hook:
    """An authorize hook of all workers, which at some of them does not answer any more."""

    def __init__(self, one: Fleet) -> None:
        self.stuck: set[Worker] = set()
        self.asked: asyncio.Queue[Worker] = asyncio.Queue()  # where it does not answer
        for worker in one.workers:
            self._at(worker)

    def _at(self, worker: Worker) -> None:
        @worker.server.authorize
        async def authorize(request: realtime.SessionRequest) -> str:
            if worker in self.stuck:
                self.asked.put_nowait(worker)
                await asyncio.Event().wait()
            return "ada"


@pytest.mark.parametrize("transport", HOW)
async def test_who_opens_is_told_to_come_by_another(transport: str) -> None:
    async with fleet(2, drain_timeout=30.0) as one:
        hook = Hook(one)
        goes, stays = one.workers
        hook.stuck.add(goes)
        one.from_now_on(goes)
        url = f"{one.url}/realtime/echo"

        async def talk() -> object:
            async with realtime.connect(url, transports=transport, open_timeout=600.0, **QUICK) as client:
                await client.send("hello")
                return await client.receive()

        talking = asyncio.create_task(talk())
        assert await arrives(hook.asked.get()) is goes
        one.from_now_on(stays)
        async with bounded(4.0):  # a client waits for 5 s before it comes again by itself
            await arrives(goes.stop())
            assert await arrives(talking) == "hello"
        one.workers.remove(goes)


@pytest.mark.parametrize("transport", HOW)
async def test_who_comes_again_is_told_how_its_session_has_ended(transport: str) -> None:
    """By a worker that has just started, and can't say yet whether the one that has left is gone."""
    async with fleet(3, drain_timeout=0.5) as one:
        hook = Hook(one)
        url = f"{one.url}/realtime/echo"
        async with realtime.connect(url, transports=transport, **QUICK) as client:
            session = await arrives(one.sessions.get())
            goes = one.owner(session)
            through = one.other(goes)
            hook.stuck.add(goes)
            one.from_now_on(through)
            session._machine.recycle(goes.service.clock.now())
            assert await arrives(hook.asked.get()) is goes
            one.from_now_on(next(worker for worker in one.workers if worker not in (goes, through)))
            async with bounded(5.0):  # a lease is 10 s
                await arrives(goes.stop())
                one.workers.remove(goes)
                with pytest.raises(realtime.SessionClosed) as closed:
                    await arrives(client.receive())
            assert closed.value.code == session.close_code == 1012


@pytest.mark.parametrize("transport", HOW)
async def test_who_comes_by_a_worker_that_drains_goes_on_by_another(transport: str) -> None:
    async with fleet(3, drain_timeout=0.5) as one:
        hook = Hook(one)
        url = f"{one.url}/realtime/echo"
        async with realtime.connect(url, transports=transport, **QUICK) as client:
            session = await arrives(one.sessions.get())
            owner = one.owner(session)
            goes = one.other(owner)
            hook.stuck.add(owner)
            one.from_now_on(goes)
            session._machine.recycle(owner.service.clock.now())
            assert await arrives(hook.asked.get()) is owner
            hook.stuck.clear()  # it answers whoever comes from now on
            one.from_now_on(owner)
            async with bounded(4.0):
                await arrives(goes.stop())
                one.workers.remove(goes)
                await arrives(client.send("on"))
                assert await arrives(client.receive()) == "on"
            assert not session.closed
